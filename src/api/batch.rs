//! `POST /v1/notifications/batch`: each item for itself, all in one commit.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::Api;
use super::call::Call;
use super::fields::Fields;
use super::ndjson;
use super::notifications::{first_result, prefer_wait};
use super::problem::Problem;
use super::sends;
use super::shapes;
use super::submission::{Inbound, inbound};
use crate::access::Scope;
use crate::engine::batch::{Entry, Item, ItemResult, KeepBatch, Received};
use crate::model::batch::Batch;

/// Where batches are sent.
pub const PATH: &str = "/v1/notifications/batch";

/// The largest body of a request: of a batch so many times that of any other, and no more than 64 MiB.
pub fn bytes_max(call: &Call) -> usize {
    let single = call.api.limits.load().body_bytes_max;
    if call.path == PATH { single.saturating_mul(16).min(64 * 1024 * 1024) } else { single }
}

/// `POST /v1/notifications/batch`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    if ndjson::is_ndjson(&call) {
        return ndjson::create(call).await;
    }
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

async fn take_batch(mut call: Call, bodies: Vec<Value>) -> Result<Response, Problem> {
    let mut items = Vec::with_capacity(bodies.len());
    for (at, body) in bodies.iter().enumerate() {
        items.push(item(&call.api, at, body).await);
    }
    let keep = call.slotted.take().map(|slotted| -> KeepBatch {
        let slot = slotted.slot;
        let answer = move |batch: &Batch, results: &[ItemResult]| {
            slotted.kept(StatusCode::ACCEPTED, &batch_result(batch, results).to_string())
        };
        (slot, Box::new(answer))
    });
    let (batch, results) = call.api.engine.accept_batch(items, keep).await?;
    let mut body = batch_result(&batch, &results);
    let Some(longest) = prefer_wait(&call) else {
        return Ok(shapes::json_response(StatusCode::ACCEPTED, &body));
    };
    let settled = settle_all(&call, &results, longest, &mut body).await?;
    let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(shapes::json_response(status, &body))
}

/// One item of a batch, read.
pub async fn item(api: &Api, at: usize, body: &Value) -> Item {
    Item {
        name: item_name(at, body),
        read: inbound(api, body).await.map(Entry::from).map_err(|problem| problem.summary()),
    }
}

/// Waits for every notification of a batch, as long as is left, and puts what became of each into its answer.
pub async fn settle_all(
    call: &Call,
    results: &[ItemResult],
    longest: Duration,
    body: &mut Value,
) -> Result<bool, Problem> {
    let deadline = tokio::time::Instant::now() + longest;
    let mut all_settled = true;
    for accepted in results.iter().flatten().filter_map(Received::accepted) {
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

impl From<Inbound> for Entry {
    fn from(inbound: Inbound) -> Entry {
        match inbound {
            Inbound::One(submission) => Entry::One(submission),
            Inbound::Many(submission, target) => Entry::Many(submission, target),
        }
    }
}

fn batch_result(batch: &Batch, results: &[ItemResult]) -> Value {
    let shape = |result: &ItemResult| match result {
        Ok(Received::One(taken)) => json!(first_result(taken.accepted())),
        Ok(Received::Many(sent)) => sends::result(sent),
        Err(why) => refused(why),
    };
    summary(batch, &results.iter().map(shape).collect::<Vec<_>>())
}

/// The result of an item that was not taken.
pub fn refused(why: &str) -> Value {
    json!({ "success": false, "notification_id": null, "errors": [why] })
}

/// What a request for a batch is answered.
pub fn summary(batch: &Batch, results: &[Value]) -> Value {
    json!({
        "success": batch.failed == 0,
        "total_sent": batch.total,
        "successful": batch.successful,
        "failed": batch.failed,
        "errors": batch.errors,
        "batch_id": batch.id.to_string(),
        "results": results,
    })
}
