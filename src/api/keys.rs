//! `/v1/keys`: API keys, each shown once.

use http::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use crate::access::{CONFIGURED_KEY_ID, Scope};
use crate::engine::report::instant;
use crate::hub::Leave;
use crate::model::invalid::Invalid;
use crate::store::keyring::KeyRecord;

/// The longest that a key that expires can live, in seconds: ten years.
const EXPIRES_IN_MAX: i64 = 10 * 365 * 24 * 3_600;
/// The most scopes of one key.
const SCOPES_MAX: usize = 20;

fn shape(key: &KeyRecord) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "created_at": instant(key.created_at),
        "expires_at": shapes::maybe_instant(key.expires_at),
        "last_used_at": shapes::maybe_instant(key.last_used_at),
    })
}

/// `GET`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let data: Vec<Value> = call.api.access.keys().iter().map(shape).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": null })))
}

/// `POST`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    let name = fields.short_text("name", 128);
    let name = fields.required("name", name);
    if name.is_some_and(|name| name.chars().any(char::is_control)) {
        fields.wrong("name", "must hold no control characters");
    }
    let texts = fields.texts("scopes", SCOPES_MAX);
    let texts = fields.required("scopes", texts);
    let mut scopes = Vec::new();
    for (at, text) in texts.iter().flatten().enumerate() {
        match Scope::parse(text) {
            Some(scope) => scopes.push(scope),
            None => {
                let detail = "must be one of publish, read, admin, ingest:<hook>";
                fields.wrong(&format!("scopes[{at}]"), detail);
            }
        }
    }
    if texts.as_ref().is_some_and(Vec::is_empty) {
        fields.wrong("scopes", "must name at least one scope");
    }
    let expires_in = fields.integer("expires_in", 1, EXPIRES_IN_MAX);
    let name = fields.finish(name)?.ok_or_else(|| Invalid::one("name", "is required"))?;
    let expires_at = expires_in.map(|seconds| call.api.clock.now() + seconds * 1_000);
    let minted = call.api.access.create(name, &scopes, expires_at).await?;
    let mut body = shape(&minted.record);
    body["token"] = json!(minted.token.expose_secret());
    Ok(shapes::json_response(StatusCode::CREATED, &body))
}

/// `DELETE /{id}`.
pub async fn revoke(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    if id == CONFIGURED_KEY_ID {
        return Err(Problem::conflict("this key is set by auth.admin_key; change it in the configuration"));
    }
    if !call.api.access.revoke(id).await? {
        return Err(Problem::not_found("key"));
    }
    call.api.hub.withdraw(&Leave::Key(id.to_owned()));
    Ok(shapes::no_content())
}
