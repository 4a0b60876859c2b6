//! `/v1/hooks`: inbound webhooks. Each has a path, a token and a preset that knows what its senders send; a mapping says
//! what that becomes.

mod alertmanager;
mod alerts;
mod cloudevents;
mod compose;
mod github;
mod grafana;
pub mod ingest;
mod preset;
mod raw;
mod registry;
mod sender;
mod standard_webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use warp::reply::Response;

use super::bounces;
use super::call::{Call, parse_json};
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use super::submission::inbound;
use crate::access::Scope;
use crate::access::vault::{signing_bytes, token};
use crate::channel::webhook::sign;
use crate::engine::report::instant;
use crate::model::ids::new_id;
use crate::model::invalid::Invalid;
use crate::store::hooks::HookRecord;
use compose::MAPPED;
use preset::{Preset, Sent};
pub use registry::Hooks;
use registry::{Hook, HookError, token_hash};

/// How long a secret that a sender chose must be, and may be.
const SECRET_BYTES_MIN: usize = 8;
const SECRET_BYTES_MAX: usize = 256;
/// The most headers that a test can have.
const TEST_HEADERS_LEN_MAX: usize = 50;

/// A hook as the outside sees it, without what it authenticates by.
pub fn shape(hook: &Hook) -> Value {
    let record = &hook.record;
    let mapping: BTreeMap<&String, &String> =
        record.mapping.iter().map(|(name, source)| (name, source)).collect();
    json!({
        "id": record.id.to_string(),
        "name": record.name,
        "preset": record.preset,
        "user_id": record.user_id,
        "topic": record.topic,
        "mapping": if mapping.is_empty() { Value::Null } else { json!(mapping) },
        "signed": record.secret.is_some(),
        "path": format!("/in/{}", record.name),
        "created_at": instant(record.created_at),
    })
}

fn known(call: &Call, id: &str) -> Result<Arc<Hook>, Problem> {
    call.holder_of(&Scope::Admin)?;
    call.api.hooks.find(id).ok_or_else(|| Problem::not_found("hook"))
}

/// `GET`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let data: Vec<Value> = call.api.hooks.all().iter().map(|hook| shape(hook)).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": null })))
}

/// `GET /{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    let hook = known(&call, id)?;
    Ok(shapes::ok(&shape(&hook)))
}

/// `DELETE /{id}`.
pub async fn remove(call: Call, id: &str) -> Result<Response, Problem> {
    let hook = known(&call, id)?;
    call.api.hooks.remove(hook.record.id).await?;
    Ok(shapes::no_content())
}

/// `POST`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    fields.only(&["name", "preset", "user_id", "topic", "mapping", "secret"]);
    let name = fields.name("name").map(str::to_owned);
    let name = fields.required("name", name);
    if name.as_ref().is_some_and(|name| name.contains('/')) {
        fields.wrong("name", "must hold no slash, since it is part of a path");
    }
    if name.as_deref() == Some(bounces::NAME) {
        fields.wrong("name", "is taken: mails that came back are posted to /in/bounce");
    }
    let names = Preset::ALL.map(Preset::name);
    let preset = fields.one_of("preset", &names, Preset::from_name);
    let preset = fields.required("preset", preset);
    let user_id = fields.name("user_id").map(str::to_owned);
    let topic = fields.name("topic").map(str::to_owned);
    let mapping = read_mapping(&mut fields);
    let receivers = [user_id.is_some(), topic.is_some()];
    if receivers == [true, true] {
        fields.wrong("topic", "must not be given together with user_id");
    } else if receivers == [false, false]
        && !["user_id", "topic"].iter().any(|name| mapping.contains_key(*name))
    {
        fields.wrong("user_id", "is required, or topic, or a mapping that gives one of them");
    }
    let secret = preset.and_then(|preset| read_secret(&mut fields, preset));
    let both = fields.finish(name.zip(preset))?;
    let (name, preset) = both.ok_or_else(|| Invalid::one("body", "is incomplete"))?;
    let (now, token) = (call.api.clock.now(), token("bh_"));
    let record = HookRecord {
        id: new_id(now),
        name,
        preset: preset.name().to_owned(),
        user_id,
        topic,
        mapping: mapping.into_iter().collect(),
        token_hash: token_hash(&token),
        secret: secret.as_ref().map(|secret| call.api.hooks.seal(&secret.bytes)),
        created_at: now,
    };
    let compiled = call.api.supervisor.blocking("hook-compile", move || Hook::of(record, preset)).await;
    let hook = compiled
        .ok_or_else(|| Problem::overloaded("the mapping failed inside; the server's log says why"))?
        .map_err(|wrong| {
            let mut invalid = Invalid::default();
            for unfilled in wrong {
                invalid.push(format!("mapping.{}", unfilled.field), unfilled.detail);
            }
            invalid
        })?;
    let mut made = shape(&hook);
    made["token"] = json!(token);
    if let Some(secret) = secret {
        made["secret"] = json!(secret.shown);
    }
    call.api.hooks.add(hook).await.map_err(|error| match error {
        HookError::NameTaken => Problem::conflict("another hook has this name"),
        HookError::TooMany => Problem::conflict("there are too many hooks already, and no more can be made"),
        HookError::Store(error) => error.into(),
    })?;
    Ok(shapes::json_response(StatusCode::CREATED, &made))
}

/// A secret by which a sender signs.
struct Secret {
    /// What signs.
    bytes: Vec<u8>,
    /// What the sender is given.
    shown: String,
}

/// The secret that is given, or a new one where senders of that kind sign.
fn read_secret(fields: &mut Fields<'_>, preset: Preset) -> Option<Secret> {
    let Some(given) = fields.text("secret") else {
        let bytes = signing_bytes().to_vec();
        let shown = match preset {
            Preset::StandardWebhooks => sign::show(&bytes),
            _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let bytes = if preset == Preset::StandardWebhooks { bytes } else { shown.clone().into_bytes() };
        return preset.signs().then_some(Secret { bytes, shown });
    };
    let shown = given.to_owned();
    if preset == Preset::StandardWebhooks {
        let bytes = sign::read(given);
        if bytes.is_none() {
            fields.wrong("secret", "must be whsec_ and 24 to 64 bytes in Base64");
        }
        return Some(Secret { bytes: bytes?, shown });
    }
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&given.len()) {
        fields.wrong("secret", format!("must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"));
    }
    Some(Secret { bytes: given.as_bytes().to_vec(), shown })
}

/// Templates by the fields that they fill. `action` may be an object of its own.
fn read_mapping(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    fn read(fields: &mut Fields<'_>, path: &str, into: &mut BTreeMap<String, String>) {
        let names: Vec<String> = fields.entries().map(|(name, _)| name.clone()).collect();
        for name in names {
            let inner = format!("{path}{name}");
            if inner == "action" && fields.raw(&name).is_some_and(Value::is_object) {
                fields.object(&name, |fields| read(fields, "action.", into));
            } else if !MAPPED.contains(&inner.as_str()) {
                fields.wrong(&name, format!("is not known here; known are {}", MAPPED.join(", ")));
            } else if let Some(source) = fields.text(&name) {
                into.insert(inner, source.to_owned());
            }
        }
    }
    let mut mapping = BTreeMap::new();
    fields.object("mapping", |fields| read(fields, "", &mut mapping));
    mapping
}

/// `POST /{id}/test`: what a payload would become; nothing is sent. The payload is the body with the request's own
/// headers, or the body names both: `{"payload": …, "headers": {…}}`.
pub async fn test(mut call: Call, id: &str) -> Result<Response, Problem> {
    let hook = known(&call, id)?;
    let bytes_max = call.api.limits.load().body_bytes_max;
    let mut body = call.bytes(bytes_max).await?;
    let mut headers = call.headers.clone();
    if let Ok(wrapped) = parse_json(&body)
        && let Some((payload, named)) = unwrap(&wrapped)
    {
        headers = named?;
        body = match payload {
            Value::String(text) => text.clone().into(),
            payload => payload.to_string().into(),
        };
    }
    let sent = Sent { headers: &headers, body: &body, now: call.api.clock.now() };
    let items = hook.preset.read(&sent, &hook.record.name)?;
    let mut notifications = Vec::with_capacity(items.len());
    for composed in ingest::composed(&call.api, &hook, items).await? {
        let problem = match composed {
            Ok(None) => {
                notifications.push(json!({ "skipped": true, "notification": null, "error": null }));
                continue;
            }
            Ok(Some(composed)) => {
                let checked = inbound(&call.api, &composed.body).await.err();
                let error = checked.map(|problem| problem.summary());
                notifications
                    .push(json!({ "skipped": false, "notification": composed.body, "error": error }));
                continue;
            }
            Err(unfilled) => ingest::unfilled_problem(unfilled),
        };
        let error = problem.summary();
        notifications.push(json!({ "skipped": false, "notification": null, "error": error }));
    }
    let success = notifications.iter().all(|one| one["error"].is_null());
    Ok(shapes::ok(&json!({ "success": success, "notifications": notifications })))
}

/// The payload and the headers, where a test's body names them.
fn unwrap(body: &Value) -> Option<(&Value, Result<HeaderMap, Problem>)> {
    let map = body.as_object()?;
    let payload = map.get("payload")?;
    map.keys().all(|name| name == "payload" || name == "headers").then_some(())?;
    Some((payload, read_headers(map.get("headers"))))
}

fn read_headers(given: Option<&Value>) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    let wrong = |name: &str| Invalid::one(format!("headers.{name}"), "must be a header with a text");
    for (name, value) in given.and_then(Value::as_object).into_iter().flatten().take(TEST_HEADERS_LEN_MAX) {
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        let key = HeaderName::try_from(name.as_str()).ok();
        let (key, value) = key.zip(value).ok_or_else(|| wrong(name))?;
        headers.insert(key, value);
    }
    Ok(headers)
}
