//! One notification to many people: what is answered, and how.

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::batch::settle_all;
use super::batches;
use super::call::Call;
use super::notifications::{first_result, prefer_wait};
use super::problem::Problem;
use super::shapes;
use crate::engine::accept::{Submission, Taken};
use crate::engine::batch::Received;
use crate::engine::expand::{KeepSent, Sent};
use crate::engine::overview::{overall, story};
use crate::engine::report::instant;
use crate::model::audience::Target;
use crate::model::batch::Batch;
use crate::model::invalid::Invalid;
use crate::model::notification::{Accepted, Notification};

/// Accepts it. The caller's right to is checked.
pub async fn create(mut call: Call, submission: Submission, target: Target) -> Result<Response, Problem> {
    if let Target::Topic(name) = &target
        && call.api.engine.store().topic(name).await?.is_none()
    {
        return Err(Invalid::one("topic", "there is no topic of that name").into());
    }
    let keep = call.slotted.take().map(|slotted| -> KeepSent {
        let slot = slotted.slot;
        (slot, Box::new(move |sent| slotted.kept(StatusCode::ACCEPTED, &result(sent).to_string())))
    });
    let sent = call.api.engine.accept_many(submission, target, keep).await?;
    let mut body = result(&sent);
    let (Some(longest), Some(each)) = (prefer_wait(&call), &sent.each) else {
        return Ok(shapes::json_response(StatusCode::ACCEPTED, &body));
    };
    let each: Vec<_> = each.iter().cloned().map(|taken| Ok(Received::One(taken))).collect();
    let settled = settle_all(&call, &each, longest, &mut body).await?;
    let results = body["results"].as_array().cloned().unwrap_or_default();
    fold(&mut body, &results);
    let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(shapes::json_response(status, &body))
}

/// A send as `GET /v1/notifications/{id}` shows it: what it says, and its batch in the place of a person.
pub async fn show(call: &Call, id: &str) -> Result<Response, Problem> {
    let (batch, notification) = found(call, id).await?;
    let accepted = Accepted {
        key: batch.id,
        notification,
        accepted_at: batch.created_at,
        offset: 0,
        decisions: Vec::new(),
        quiet_hours_overridden: false,
    };
    let mut body = shapes::notification(&accepted);
    (body["user_id"], body["offset"]) = (Value::Null, Value::Null);
    body["batch"] = batches::shape(call, &batch);
    Ok(shapes::ok(&body))
}

/// `GET /v1/notifications/{id}/status` of a send: everybody's put together, with how many stand where.
pub async fn status(call: &Call, id: &str) -> Result<Response, Problem> {
    let (batch, _) = found(call, id).await?;
    let overview = call.api.engine.overview(&batch).await?;
    let mut body = shapes::standing(id, &overview.standing);
    body["overall_status"] = json!(overall(&batch, &overview).name());
    body["retry_attempts"] = json!(overview.retries);
    for (entry, counts) in body["channel_statuses"].as_array_mut().into_iter().flatten().zip(&overview.counts)
    {
        entry["counts"] = json!(counts);
    }
    body["counted"] = json!(overview.looked_at);
    body["batch"] = batches::shape(call, &batch);
    Ok(shapes::ok(&body))
}

/// `GET /v1/notifications/{id}/timeline` of a send: what is not told with each person's notification.
pub async fn timeline(call: &Call, id: &str) -> Result<Response, Problem> {
    let (batch, _) = found(call, id).await?;
    Ok(shapes::story(&story(&batch)))
}

/// Why `POST /v1/notifications/{id}/resend` does not take a send.
pub async fn no_resend(call: &Call, id: &str) -> Problem {
    match found(call, id).await {
        Ok(_) => Problem::conflict("it was sent to many; send again what a person got, by its own id"),
        Err(problem) => problem,
    }
}

/// `POST /v1/notifications/{id}/cancel` of a send: what has not left yet, of everybody's.
pub async fn cancel(call: &Call, id: &str) -> Result<Response, Problem> {
    let (batch, _) = found(call, id).await?;
    let batch = call.api.engine.cancel_batch(batch.id).await?.unwrap_or(batch);
    Ok(shapes::ok(&batches::shape(call, &batch)))
}

async fn found(call: &Call, id: &str) -> Result<(Batch, Notification), Problem> {
    call.api.engine.store().sent(id).await?.ok_or_else(|| Problem::not_found("notification"))
}

/// A *NotificationResult* for all of them, with where to follow it; with one for each person where they are few.
pub fn result(sent: &Sent) -> Value {
    let batch = &sent.batch;
    let each: Vec<Value> =
        sent.each.iter().flatten().map(|taken: &Taken| json!(first_result(taken.accepted()))).collect();
    let mut body = json!({
        "success": batch.failed == 0,
        "notification_id": sent.id,
        "retry_attempts": 0,
        "quiet_hours_overridden": each.iter().any(|one| one["quiet_hours_overridden"] == true),
        "timestamp": instant(batch.created_at),
        "errors": batch.errors,
        "batch_id": batch.id.to_string(),
        "total_sent": batch.expected.unwrap_or(batch.total).max(batch.total),
        "successful": batch.successful,
        "failed": batch.failed,
    });
    fold(&mut body, &each);
    if sent.each.is_some() {
        body["results"] = Value::Array(each);
    }
    body
}

/// Puts into the lists of channels of `body` what stands in those of any of `each`.
fn fold(body: &mut Value, each: &[Value]) {
    for list in
        ["channels_sent", "channels_failed", "channels_pending", "channels_deferred", "channels_skipped"]
    {
        body[list] = on_any(each, list);
    }
}

/// What stands in that list of any of the results.
fn on_any(each: &[Value], list: &str) -> Value {
    let mut found: Vec<Value> = Vec::new();
    for entry in each.iter().filter_map(|one| one[list].as_array()).flatten() {
        if !found.contains(entry) {
            found.push(entry.clone());
        }
    }
    Value::Array(found)
}
