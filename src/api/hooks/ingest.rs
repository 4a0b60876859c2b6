//! `POST /in/{hook}`: what other programs send, as notifications.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use warp::reply::Response;

use super::compose::{Composed, compose};
use super::preset::{Item, Preset, Sent};
use super::registry::Hook;
use super::sender;
use crate::api::Api;
use crate::api::call::Call;
use crate::api::problem::Problem;
use crate::api::shapes;
use crate::api::submission::{Inbound, inbound};
use crate::engine::accept::{AcceptError, Submission, Taken};
use crate::model::invalid::Invalid;
use crate::render::mapping::Unfilled;

/// The rate that is allowed to a CloudEvents sender that asks for one, in requests a minute.
const RATE: &str = "600";

/// What became of one notification that was asked for.
enum Fate {
    /// It was accepted under that id.
    Taken(String),
    /// It came before, under that id; nothing is sent twice.
    Before(String),
    /// The very same request came before.
    Replayed,
    /// The mapping leaves it out.
    LeftOut,
    /// It cannot be accepted.
    Refused(Problem),
}

/// `POST /in/{hook}`.
pub async fn take(mut call: Call, name: &str) -> Result<Response, Problem> {
    let hook = call.api.hooks.find(name).ok_or_else(|| Problem::not_found("hook"))?;
    let bytes_max = call.api.limits.load().body_bytes_max;
    let body = call.bytes(bytes_max).await?;
    let sent = Sent { headers: &call.headers, body: &body, now: call.api.clock.now() };
    sender::check(&call, &hook, &sent)?;
    let items = hook.preset.read(&sent, &hook.record.name)?;
    let mut fates = Vec::with_capacity(items.len());
    for composed in composed(&call.api, &hook, items).await? {
        let fate = match composed {
            Ok(Some(composed)) => accept(&call.api, composed).await,
            Ok(None) => Fate::LeftOut,
            Err(unfilled) => Fate::Refused(unfilled_problem(unfilled)),
        };
        match fate {
            // What is wrong with us and not with the request: all of it may come again, and is recognised then.
            Fate::Refused(problem) if problem.status().is_server_error() => return Err(problem),
            fate => fates.push(fate),
        }
    }
    answer(fates)
}

/// `OPTIONS /in/{hook}`: the handshake by which a CloudEvents sender asks whether it may send.
pub async fn handshake(call: Call, name: &str) -> Result<Response, Problem> {
    let hook = call.api.hooks.find(name).ok_or_else(|| Problem::not_found("hook"))?;
    let mut response = shapes::no_content();
    let headers = response.headers_mut();
    headers.insert(http::header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    if hook.preset != Preset::CloudEvents {
        return Ok(response);
    }
    if let Some(origin) = call.headers.get("webhook-request-origin") {
        headers.insert("webhook-allowed-origin", origin.clone());
        headers.insert("webhook-allowed-rate", HeaderValue::from_static(RATE));
    }
    Ok(response)
}

/// What each of `items` becomes, worked out off the async threads.
pub async fn composed(
    api: &Api,
    hook: &Arc<Hook>,
    items: Vec<Item>,
) -> Result<Vec<Result<Option<Composed>, Unfilled>>, Problem> {
    let hook = hook.clone();
    let work = move || items.into_iter().map(|item| compose(&hook, item)).collect();
    let done = api.supervisor.blocking("hook-mapping", work).await;
    done.ok_or_else(|| Problem::overloaded("the mapping failed inside; the server's log says why"))
}

/// A field of a mapping that cannot be filled, for the one who sends.
pub fn unfilled_problem(unfilled: Unfilled) -> Problem {
    Invalid::one(format!("mapping.{}", unfilled.field), unfilled.detail).into()
}

async fn accept(api: &Api, composed: Composed) -> Fate {
    match try_accept(api, composed).await {
        Ok(fate) => fate,
        Err(problem) => Fate::Refused(problem),
    }
}

async fn try_accept(api: &Api, composed: Composed) -> Result<Fate, Problem> {
    let inbound = inbound(api, &composed.body).await?;
    let (Inbound::One(submission) | Inbound::Many(submission, _)) = &inbound;
    let given = submission.notification.given_id.clone();
    if let Some(id) = &given
        && let Some(content) = api.engine.store().given_content(id).await?
    {
        // Whether the sender tries again, or somebody plays back what it sent once.
        let replayed = content == composed.content && composed.replays;
        return Ok(if replayed { Fate::Replayed } else { Fate::Before(id.clone()) });
    }
    let named = |submission: Submission| Submission { content: composed.content, ..submission };
    let taken = match inbound {
        Inbound::One(submission) => {
            let taken = api.engine.accept(vec![named(submission)], None).await?;
            taken.into_iter().next().expect("one result for one submission").map(|taken| match taken {
                Taken::New(accepted) => Fate::Taken(accepted.id()),
                Taken::Repeat(accepted) => Fate::Before(accepted.id()),
            })
        }
        Inbound::Many(submission, target) => {
            api.engine.accept_many(named(submission), target, None).await.map(|sent| Fate::Taken(sent.id))
        }
    };
    match (taken, given) {
        // Two tries at the same time.
        (Err(AcceptError::Conflict { .. }), Some(id)) => Ok(Fate::Before(id)),
        (taken, _) => Ok(taken?),
    }
}

/// 202 with what became of each, unless nothing was taken and something is wrong.
fn answer(fates: Vec<Fate>) -> Result<Response, Problem> {
    let (mut accepted, mut duplicates, mut refused) = (0, 0, 0);
    let mut results: Vec<Value> = Vec::with_capacity(fates.len());
    let mut first_problem = None;
    for fate in fates {
        results.push(match fate {
            Fate::Taken(id) => {
                accepted += 1;
                json!({ "notification_id": id, "duplicate": false })
            }
            Fate::Before(id) => {
                duplicates += 1;
                json!({ "notification_id": id, "duplicate": true })
            }
            Fate::LeftOut => json!({ "notification_id": null, "duplicate": false, "skipped": true }),
            Fate::Replayed => {
                refused += 1;
                let detail = "this very request was received before; a new try has a new webhook-timestamp";
                first_problem.get_or_insert_with(|| Problem::conflict(detail));
                json!({ "error": detail })
            }
            Fate::Refused(problem) => {
                refused += 1;
                let error = problem.summary();
                first_problem.get_or_insert(problem);
                json!({ "error": error })
            }
        });
    }
    match first_problem {
        Some(problem) if accepted + duplicates == 0 => Err(problem),
        Some(_) | None => Ok(shapes::json_response(
            StatusCode::ACCEPTED,
            &json!({ "accepted": accepted, "duplicates": duplicates, "failed": refused, "results": results }),
        )),
    }
}
