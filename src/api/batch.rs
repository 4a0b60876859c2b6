//! `POST /v1/notifications/batch`, and one notification for several people: each item for itself, all in one commit.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::notifications::{first_result, prefer_wait};
use super::problem::Problem;
use super::shapes;
use super::submission::submission;
use crate::access::Scope;
use crate::engine::accept::{AcceptError, Keep, Taken};
use crate::model::ids::new_id;

/// The largest body of a request: of a batch so many times that of any other, and no more than 64 MiB.
pub fn bytes_max(call: &Call) -> usize {
    let single = call.api.limits.load().body_bytes_max;
    if call.path == "/v1/notifications/batch" {
        single.saturating_mul(16).min(64 * 1024 * 1024)
    } else {
        single
    }
}

/// `POST /v1/notifications/batch`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let bytes_max = bytes_max(&call);
    let body = call.json_up_to(bytes_max).await?;
    let items = {
        let mut fields = Fields::of(&body)?;
        let list = fields.list("notifications");
        let list = fields.required("notifications", list).unwrap_or_default();
        let most = call.api.limits.load().batch_len_max;
        if list.is_empty() && fields.invalid.errors.is_empty() {
            fields.wrong("notifications", "must not be empty");
        } else if list.len() > most {
            fields
                .wrong("notifications", format!("must have at most {most} entries, this has {}", list.len()));
        }
        fields.finish(list.to_vec())?
    };
    take_batch(call, items).await
}

async fn take_batch(mut call: Call, items: Vec<Value>) -> Result<Response, Problem> {
    let mut checked: Vec<Result<(), String>> = Vec::with_capacity(items.len());
    let mut submissions = Vec::with_capacity(items.len());
    for item in &items {
        match submission(&call.api, item) {
            Ok(submission) => {
                submissions.push(submission);
                checked.push(Ok(()));
            }
            Err(problem) => checked.push(Err(problem.summary())),
        }
    }
    let names: Vec<String> = items.iter().enumerate().map(|(at, item)| item_name(at, item)).collect();
    let batch_id = new_id(call.api.clock.now()).to_string();
    let answer = move |taken: &[Result<Taken, AcceptError>]| batch_result(&batch_id, &names, &checked, taken);
    let keep = call.slotted.take().map(|slotted| {
        let answer = answer.clone();
        Keep {
            slot: slotted.slot,
            answer: Box::new(move |taken| slotted.kept(StatusCode::ACCEPTED, &answer(taken).to_string())),
        }
    });
    let taken = call.api.engine.accept(submissions, keep).await?;
    let mut body = answer(&taken);
    let Some(longest) = prefer_wait(&call) else {
        return Ok(shapes::json_response(StatusCode::ACCEPTED, &body));
    };
    let settled = settle_all(&call, &taken, longest, &mut body).await?;
    let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(shapes::json_response(status, &body))
}

/// Waits for every notification of a batch, as long as is left, and puts what became of each into its answer.
async fn settle_all(
    call: &Call,
    taken: &[Result<Taken, AcceptError>],
    longest: Duration,
    body: &mut Value,
) -> Result<bool, Problem> {
    let deadline = tokio::time::Instant::now() + longest;
    let mut all_settled = true;
    for accepted in taken.iter().flatten().map(Taken::accepted) {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        all_settled &= call.api.engine.settled(accepted.key, left).await?;
        let Some(standing) = call.api.engine.standing(accepted.key).await? else { continue };
        let id = accepted.id();
        let results = body["results"].as_array_mut().into_iter().flatten();
        for result in results.filter(|result| result["notification_id"] == id.as_str()) {
            *result = json!(shapes::result(accepted, &standing));
        }
    }
    Ok(all_settled)
}

/// What an item of a batch is called in an error: its id, or its place.
fn item_name(at: usize, item: &Value) -> String {
    // An id that is refused may hold anything: what would break a line or a terminal is left out.
    let visible = |id: &str| id.chars().filter(|c| !c.is_control()).take(128).collect();
    item.get("id").and_then(Value::as_str).map_or_else(|| at.to_string(), visible)
}

fn batch_result(
    batch_id: &str,
    names: &[String],
    checked: &[Result<(), String>],
    taken: &[Result<Taken, AcceptError>],
) -> Value {
    let (mut results, mut errors, mut taken) = (Vec::new(), Vec::new(), taken.iter());
    for (name, checked) in names.iter().zip(checked) {
        let refused = match checked {
            Ok(()) => match taken.next() {
                Some(Ok(taken)) => {
                    results.push(json!(first_result(taken.accepted())));
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                None => "was not taken".to_owned(),
            },
            Err(why) => why.clone(),
        };
        errors.push(format!("{name}: {refused}"));
        results.push(json!({ "success": false, "notification_id": null, "errors": [refused] }));
    }
    let failed = errors.len();
    json!({
        "success": failed == 0,
        "total_sent": names.len(),
        "successful": names.len() - failed,
        "failed": failed,
        "errors": errors,
        "batch_id": batch_id,
        "results": results,
    })
}

/// One body for several people: a notification for each, answered like a batch.
pub async fn create_for_many(call: Call, body: Value) -> Result<Response, Problem> {
    let people: Vec<String> = {
        let mut fields = Fields::of(&body)?;
        let to = fields.texts("to", call.api.limits.load().batch_len_max).unwrap_or_default();
        let mut seen = HashSet::new();
        let to: Vec<String> = to.into_iter().filter(|user| seen.insert(*user)).map(str::to_owned).collect();
        if to.is_empty() && fields.invalid.errors.is_empty() {
            fields.wrong("to", "must name at least one user");
        }
        for other in ["user_id", "topic", "id"] {
            if fields.raw(other).is_some() {
                fields.wrong(other, "does not go together with to");
            }
        }
        fields.finish(to)?
    };
    let items = people
        .into_iter()
        .map(|user| {
            let mut item = body.clone();
            if let Value::Object(fields) = &mut item {
                fields.remove("to");
                fields.insert("user_id".to_owned(), Value::String(user));
            }
            item
        })
        .collect();
    take_batch(call, items).await
}
