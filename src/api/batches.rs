//! `/v1/batches`: how far batches and sends to many are, and withdrawing them.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::report::instant;
use crate::model::batch::Batch;
use crate::model::invalid::Invalid;

/// `GET /v1/batches`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let bad_cursor = || Invalid::one("cursor", "is not one that this list gave");
    let before = page.cursor.map(|cursor| Uuid::parse_str(&cursor).map_err(|_| bad_cursor())).transpose()?;
    let found = call.api.engine.store().batches(before, page.limit).await?;
    Ok(shapes::page(found, |batch| shape(&call, &batch)))
}

/// `GET /v1/batches/{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let batch = call.api.engine.store().batch(key(id)?).await?;
    let batch = batch.ok_or_else(|| Problem::not_found("batch"))?;
    Ok(shapes::ok(&shape(&call, &batch)))
}

/// `POST /v1/batches/{id}/cancel`.
pub async fn cancel(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let batch = call.api.engine.cancel_batch(key(id)?).await?;
    let batch = batch.ok_or_else(|| Problem::not_found("batch"))?;
    Ok(shapes::json_response(StatusCode::OK, &shape(&call, &batch)))
}

fn key(id: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(id).map_err(|_| Problem::not_found("batch"))
}

/// A batch, whole.
pub fn shape(call: &Call, batch: &Batch) -> Value {
    json!({
        "id": batch.id.to_string(),
        "state": batch.state_in(call.api.engine.run()).name(),
        "total": batch.expected.unwrap_or(batch.total).max(batch.total),
        "processed": batch.total,
        "successful": batch.successful,
        "failed": batch.failed,
        "canceled": batch.canceled,
        "errors": batch.errors,
        "created_at": instant(batch.created_at),
        "finished_at": shapes::maybe_instant(batch.finished_at),
    })
}
