//! `/v1/endpoints`: outbound webhooks. A secret is shown when it is made, and never again.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::channel::webhook::sign;
use crate::clock::Millis;
use crate::engine::endpoints::manage::{Change, EndpointError, NewEndpoint};
use crate::engine::report::instant;
use crate::model::endpoint::{Endpoint, EndpointAttempt, EventKind, Interest};
use crate::model::invalid::Invalid;

/// The most characters that somebody may say of an endpoint.
const DESCRIPTION_CHARS_MAX: usize = 256;
/// What stands for every event.
const EVERY: &str = "*";

fn state(endpoint: &Endpoint, opened_at: Option<Millis>) -> &'static str {
    match endpoint {
        Endpoint { disabled: Some(_), .. } => "disabled",
        Endpoint { .. } if opened_at.is_some() => "open",
        Endpoint { failing_since: Some(_), .. } => "degraded",
        Endpoint { .. } => "ok",
    }
}

/// An endpoint as the outside sees it, without its secret.
pub fn shape(call: &Call, endpoint: &Endpoint) -> Value {
    let opened_at = call.api.engine.endpoint_opened_at(endpoint.id);
    let events = match &endpoint.events {
        Interest::All => vec![EVERY],
        Interest::Some(kinds) => kinds.iter().map(|kind| kind.name()).collect(),
    };
    json!({
        "id": endpoint.id.to_string(),
        "url": endpoint.url,
        "events": events,
        "user_id": endpoint.user_id,
        "description": endpoint.description,
        "state": state(endpoint, opened_at),
        "opened_at": shapes::maybe_instant(opened_at),
        "disabled": endpoint.disabled.is_some(),
        "disabled_reason": endpoint.disabled.map(|(_, because)| because.name()),
        "disabled_at": shapes::maybe_instant(endpoint.disabled.map(|(at, _)| at)),
        "failing_since": shapes::maybe_instant(endpoint.failing_since),
        "previous_secret_until": shapes::maybe_instant(endpoint.previous.as_ref().map(|(_, until)| *until)),
        "created_at": instant(endpoint.created_at),
        "updated_at": instant(endpoint.updated_at),
    })
}

fn with_secret(call: &Call, endpoint: &Endpoint, secret: &[u8]) -> Value {
    let mut body = shape(call, endpoint);
    body["secret"] = json!(sign::show(secret));
    body
}

fn attempt_shape(attempt: &EndpointAttempt) -> Value {
    json!({
        "id": attempt.id.to_string(),
        "endpoint_id": attempt.endpoint.to_string(),
        "webhook_id": attempt.webhook_id,
        "type": attempt.kind,
        "notification_id": attempt.about.as_ref().map(|(id, _)| id),
        "at": instant(attempt.at),
        "success": attempt.error.is_none(),
        "status": attempt.status,
        "latency_ms": attempt.latency_ms,
        "response": attempt.answer,
        "error": attempt.error,
        "next_attempt_at": shapes::maybe_instant(attempt.next_at),
    })
}

/// The id in a path, of an endpoint that there is.
fn known(call: &Call, id: &str) -> Result<Uuid, Problem> {
    call.holder_of(&Scope::Admin)?;
    let id = Uuid::parse_str(id).ok().filter(|id| call.api.engine.endpoint(*id).is_some());
    id.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("endpoint")
}

fn read_events(fields: &mut Fields<'_>) -> Option<Interest> {
    let names = fields.texts("events", 2 * EventKind::ALL.len())?;
    if names.is_empty() {
        fields.wrong("events", "must name at least one event, or be [\"*\"]");
    }
    if names.contains(&EVERY) {
        return Some(Interest::All);
    }
    let mut kinds = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match EventKind::from_name(name) {
            Some(kind) if !kinds.contains(&kind) => kinds.push(kind),
            Some(_) => {}
            None => {
                let known = EventKind::ALL.map(EventKind::name).join(", ");
                fields.wrong(&format!("events[{at}]"), format!("must be * or one of {known}"));
            }
        }
    }
    Some(Interest::Some(kinds))
}

/// The URL, where the guard lets it pass.
async fn read_url(call: &Call, fields: &mut Fields<'_>) -> Option<String> {
    let url = fields.text("url")?;
    match call.api.outbound.check(url).await {
        Ok(url) => Some(url.to_string()),
        Err(refused) => {
            fields.wrong("url", refused.to_string());
            None
        }
    }
}

fn read_description(fields: &mut Fields<'_>) -> Option<String> {
    let text = fields.short_text("description", DESCRIPTION_CHARS_MAX)?;
    if text.chars().any(char::is_control) {
        fields.wrong("description", "must hold no control characters");
    }
    Some(text.to_owned())
}

/// `GET`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let page = call.page()?;
    let before = page
        .cursor
        .map(|cursor| {
            Uuid::parse_str(&cursor).map_err(|_| Invalid::one("cursor", "is not one that this list gave"))
        })
        .transpose()?;
    let mut all = call.api.engine.endpoints();
    all.retain(|endpoint| before.is_none_or(|before| endpoint.id < before));
    let more = all.len() > page.limit;
    all.truncate(page.limit);
    let next = all.last().filter(|_| more).map(|endpoint| endpoint.id.to_string());
    let data: Vec<Value> = all.iter().map(|endpoint| shape(&call, endpoint)).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": next })))
}

/// `POST`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    fields.only(&["url", "events", "user_id", "description"]);
    let url = read_url(&call, &mut fields).await;
    let url = fields.required("url", url);
    let user_id = fields.name("user_id").map(str::to_owned);
    let mut events = read_events(&mut fields);
    if user_id.is_some() && fields.raw("events").is_none() {
        // A person's own endpoint may be there for the webhook channel alone.
        events = Some(Interest::Some(Vec::new()));
    } else {
        events = fields.required("events", events);
    }
    let description = read_description(&mut fields);
    let both = fields.finish(url.zip(events))?;
    let (url, events) = both.ok_or_else(|| Invalid::one("body", "is incomplete"))?;
    let made = call.api.engine.add_endpoint(NewEndpoint { url, events, user_id, description }).await;
    let (endpoint, secret) = made.map_err(|error| match error {
        EndpointError::TooMany => Problem::conflict(error.to_string()),
        EndpointError::Store(error) => error.into(),
    })?;
    Ok(shapes::json_response(StatusCode::CREATED, &with_secret(&call, &endpoint, &secret)))
}

/// `GET /{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    let id = known(&call, id)?;
    let endpoint = call.api.engine.endpoint(id).ok_or_else(missing)?;
    Ok(shapes::ok(&shape(&call, &endpoint)))
}

/// `PATCH /{id}`.
pub async fn patch(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = known(&call, id)?;
    let body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    fields.only(&["url", "events", "description", "disabled"]);
    let change = Change {
        url: read_url(&call, &mut fields).await,
        events: read_events(&mut fields),
        description: read_description(&mut fields),
        disabled: fields.boolean("disabled"),
    };
    let change = fields.finish(change)?;
    let endpoint = call.api.engine.change_endpoint(id, change).await?.ok_or_else(missing)?;
    Ok(shapes::ok(&shape(&call, &endpoint)))
}

/// `DELETE /{id}`.
pub async fn remove(call: Call, id: &str) -> Result<Response, Problem> {
    let id = known(&call, id)?;
    if !call.api.engine.remove_endpoint(id).await? {
        return Err(missing());
    }
    Ok(shapes::no_content())
}

/// `GET /{id}/attempts`.
pub async fn attempts(call: Call, id: &str) -> Result<Response, Problem> {
    let id = known(&call, id)?;
    let page = call.page()?;
    let bad_cursor = |_| Invalid::one("cursor", "is not one that this list gave");
    let before = page.cursor.map(|cursor| Uuid::parse_str(&cursor).map_err(bad_cursor)).transpose()?;
    let found = call.api.engine.store().endpoint_attempts(id, before, page.limit).await?;
    Ok(shapes::page(found, |attempt| attempt_shape(&attempt)))
}

/// `POST /{id}/rotate`.
pub async fn rotate(call: Call, id: &str) -> Result<Response, Problem> {
    let id = known(&call, id)?;
    let (endpoint, secret) = call.api.engine.rotate_endpoint(id).await?.ok_or_else(missing)?;
    Ok(shapes::ok(&with_secret(&call, &endpoint, &secret)))
}

/// `POST /{id}/test`.
pub async fn test(call: Call, id: &str) -> Result<Response, Problem> {
    let id = known(&call, id)?;
    let attempt = call.api.engine.try_endpoint(id).await?.ok_or_else(missing)?;
    Ok(shapes::ok(&attempt_shape(&attempt)))
}

/// `POST /{id}/recover`.
pub async fn recover(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = known(&call, id)?;
    let body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    fields.only(&["since"]);
    let since = fields.instant("since");
    let since = fields.required("since", since);
    let since = fields.finish(since)?.ok_or_else(|| Invalid::one("since", "is required"))?;
    let requeued = call.api.engine.recover_endpoint(id, since).await?;
    Ok(shapes::ok(&json!({ "requeued": requeued })))
}
