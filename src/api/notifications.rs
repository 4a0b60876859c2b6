//! `/v1/notifications`: sending one or many, and asking what became of them.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;
use warp::reply::Response;

use super::call::{Call, parse_json};
use super::fields::{Fields, parse_instant};
use super::idempotent::Slotted;
use super::ordinary::ordinary;
use super::problem::Problem;
use super::sends;
use super::shapes;
use super::submission::{Inbound, inbound, read_channels};
use crate::access::Scope;
use crate::engine::accept::{Keep, Submission};
use crate::engine::report::{self, Standing};
use crate::engine::resend::Resent;
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::model::invalid::Invalid;
use crate::model::notification::{Accepted, Priority};

/// The longest that `Prefer: wait` waits, in seconds.
const WAIT_SECONDS_MAX: u64 = 30;

/// `POST /v1/notifications`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let wait = prefer_wait(&call);
    let body = call.json_bytes().await?;
    let submission = match ordinary(&body) {
        Some(notification) => Submission { notification, content: [0; 16] },
        None => match inbound(&call.api, &parse_json(&body)?).await? {
            Inbound::One(submission) => submission,
            Inbound::Many(submission, target) => {
                return Box::pin(sends::create(call, submission, target)).await;
            }
        },
    };
    let keep = call.slotted.take().map(keep_one);
    let taken = call.api.engine.accept(vec![submission], keep).await?;
    let taken = taken.into_iter().next().expect("one result for one submission")?;
    let accepted = taken.accepted();
    if let Some(longest) = wait {
        let settled = call.api.engine.settled(accepted.key, longest).await?;
        if let Some(standing) = call.api.engine.standing(accepted.key).await? {
            let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
            return Ok(shapes::result_response(status, &shapes::result(accepted, &standing)));
        }
    }
    Ok(shapes::result_response(StatusCode::ACCEPTED, &first_result(accepted)))
}

/// What is answered the moment that a notification is accepted.
pub fn first_result(accepted: &Accepted) -> shapes::NotificationResult {
    shapes::result(accepted, &Standing::of(accepted, &[]))
}

/// Keeps the answer to a request for one notification in the commit that accepts it.
pub fn keep_one(slotted: Slotted) -> Keep {
    Keep {
        slot: slotted.slot,
        answer: Box::new(move |taken| {
            let body = match taken.first() {
                Some(Ok(taken)) => Some(first_result(taken.accepted())),
                Some(Err(_)) | None => None,
            };
            slotted.kept(StatusCode::ACCEPTED, &json!(body).to_string())
        }),
    }
}

/// `Prefer: wait=N` (RFC 7240, section 4.3).
pub fn prefer_wait(call: &Call) -> Option<Duration> {
    let prefer = call.header("prefer")?;
    let wait = prefer.split([',', ';']).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then_some(value)
    })?;
    let seconds: u64 = wait.trim().trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
}

/// `GET /v1/notifications/{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let Some(accepted) = call.api.engine.store().notification(id).await? else {
        return sends::show(&call, id).await;
    };
    let events = call.api.engine.store().events(accepted.key).await?;
    let mut body = shapes::notification(&accepted);
    body["status"] = json!(Standing::of(&accepted, &events).overall().name());
    Ok(shapes::ok(&body))
}

/// `GET /v1/notifications/{id}/status`.
pub async fn status(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let Some(accepted) = call.api.engine.store().notification(id).await? else {
        return sends::status(&call, id).await;
    };
    let events = call.api.engine.store().events(accepted.key).await?;
    let standing = call.api.engine.with_circuits(Standing::of(&accepted, &events));
    Ok(shapes::ok(&shapes::standing(&accepted.id(), &standing)))
}

/// `GET /v1/notifications/{id}/timeline`.
pub async fn timeline(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let Some(accepted) = call.api.engine.store().notification(id).await? else {
        return sends::timeline(&call, id).await;
    };
    let events = call.api.engine.store().events(accepted.key).await?;
    Ok(shapes::story(&report::timeline(&accepted, &events)))
}

/// `POST /v1/notifications/{id}/cancel`.
pub async fn cancel(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let Some(accepted) = call.api.engine.store().notification(id).await? else {
        return sends::cancel(&call, id).await;
    };
    call.api.engine.cancel(accepted.key).await?;
    let events = call.api.engine.store().events(accepted.key).await?;
    Ok(shapes::result_response(StatusCode::OK, &shapes::result(&accepted, &Standing::of(&accepted, &events))))
}

/// `POST /v1/notifications/{id}/resend`: on the channels that are named, or else on those that failed.
pub async fn resend(mut call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let Some(accepted) = call.api.engine.store().notification(id).await? else {
        return Err(sends::no_resend(&call, id).await);
    };
    let body = call.optional_json().await?;
    let mut fields = Fields::of(&body)?;
    let channels = read_channels(&mut fields);
    if channels.as_ref().is_some_and(|channels| channels.contains(&Channel::InApp)) {
        fields.wrong("channels", "in_app needs no resend: mark it unread instead");
    }
    fields.finish(Some(()))?;
    let engine = &call.api.engine;
    match engine.resend(accepted.key, channels).await? {
        Resent::Queued(_) => {}
        Resent::UnderWay(channel) => {
            return Err(Problem::conflict(format!(
                "it is on its way on {channel} already; wait, or cancel it first"
            )));
        }
        Resent::Nothing => {
            return Err(Invalid::one("channels", "name the channels: none has failed").into());
        }
        Resent::Unknown => return Err(Problem::not_found("notification")),
    }
    let events = engine.store().events(accepted.key).await?;
    let result = shapes::result(&accepted, &Standing::of(&accepted, &events));
    Ok(shapes::result_response(StatusCode::ACCEPTED, &result))
}

/// `GET /v1/notifications`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let filter = Filter::of(&call)?;
    let store = call.api.engine.store();
    let status = filter.status.clone();
    let bad_cursor = || Invalid::one("cursor", "is not one that this list gave");
    // One person's notifications are read off their own lines; everybody's off the whole list.
    let page = match filter.user_id.clone() {
        Some(user) => {
            let before =
                page.cursor.map(|cursor| cursor.parse::<u64>().map_err(|_| bad_cursor())).transpose()?;
            let wanted = move |accepted: &Accepted| filter.takes(accepted);
            let found = store
                .inbox(&user, crate::store::inbox::Shelf::Everything, before, page.limit, wanted)
                .await?;
            crate::store::users::Page {
                items: found.items.into_iter().map(|entry| entry.accepted).collect(),
                next: found.next,
            }
        }
        None => {
            let before =
                page.cursor.map(|cursor| Uuid::parse_str(&cursor).map_err(|_| bad_cursor())).transpose()?;
            store.notifications(before, page.limit, move |accepted| filter.takes(accepted)).await?
        }
    };
    let mut data = Vec::with_capacity(page.items.len());
    for accepted in &page.items {
        let events = store.events(accepted.key).await?;
        let overall = Standing::of(accepted, &events).overall().name();
        // Where a notification stands follows from its events, so this filter comes last and a page may be short.
        if status.as_deref().is_none_or(|wanted| wanted == overall) {
            let mut item = shapes::notification(accepted);
            item["status"] = json!(overall);
            data.push(item);
        }
    }
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": page.next })))
}

struct Filter {
    user_id: Option<String>,
    status: Option<String>,
    category: Option<String>,
    kind: Option<String>,
    priority: Option<Priority>,
    since: Option<i64>,
    until: Option<i64>,
}

impl Filter {
    fn of(call: &Call) -> Result<Filter, Problem> {
        let mut invalid = Invalid::default();
        let mut instant = |name: &str| {
            let text = call.query(name)?;
            let at = parse_instant(&text);
            if at.is_none() {
                invalid.push(name, "must be an instant in RFC 3339, such as 2026-11-23T08:00:00Z");
            }
            at
        };
        let (since, until) = (instant("since"), instant("until"));
        let priority = call.query("priority").and_then(|name| {
            let priority = Priority::from_name(&name);
            if priority.is_none() {
                invalid.push("priority", "must be one of low, medium, high, critical");
            }
            priority
        });
        let status = call.query("status");
        if status.as_ref().is_some_and(|name| !Status::ALL.iter().any(|status| status.name() == name)) {
            invalid.push("status", format!("must be one of {}", Status::ALL.map(Status::name).join(", ")));
        }
        Ok(invalid.or(Filter {
            user_id: call.query("user_id"),
            status,
            category: call.query("category"),
            kind: call.query("type"),
            priority,
            since,
            until,
        })?)
    }

    fn takes(&self, accepted: &Accepted) -> bool {
        let n = &accepted.notification;
        let at = accepted.timestamp();
        self.category.as_ref().is_none_or(|category| *category == n.category)
            && self.kind.as_ref().is_none_or(|kind| *kind == n.kind)
            && self.priority.is_none_or(|priority| priority == n.priority)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until)
    }
}
