//! `/v1/openapi.json`: the API described for programs, in OpenAPI 3.1.
//!
//! Held by hand in three files of operations and one of schemas, because there is one hand-written router: a test walks
//! its routes and fails where one of them is not described, or where something is described that is no route.

mod integrations;
mod live;
mod operation;
mod operator;
mod people;
mod schemas;
mod sending;

use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes;
use operation::Operation;

/// What the whole of it is, for whoever reads it first. Markdown.
const ABOUT: &str = "\
Belfry takes notifications and workflow events, decides for each person which channels they want and when, and delivers.\n\n\
**Tokens.** Send `Authorization: Bearer <token>`. An API key carries scopes (`publish`, `read`, `admin`, `ingest:<hook>`); \
a user token (a JWT from `POST /v1/users/{id}/tokens`) reaches that user's own resources only, as `/v1/users/me/…`.\n\n\
**Errors** are `application/problem+json` (RFC 9457) with a `code`; a 422 names every field that is wrong in `errors`.\n\n\
**A 2xx to a write** means that it is on disk.\n\n\
**Repeating safely.** Every POST takes `Idempotency-Key`: the same key and body within 24 hours gives the first answer again, \
with `Idempotency-Replayed: true`.\n\n\
**Lists** take `limit` and `cursor` and answer `data` and `next_cursor`, newest first.";

/// The groups of operations, in the order in which a reader meets them.
const TAGS: [(&str, &str); 12] = [
    ("notifications", "Sending, and asking what became of it."),
    ("batches", "Many at once, and how far they are."),
    ("workflows", "What workflow engines report."),
    ("schedules", "What is sent again and again."),
    ("users", "Who people are and where they can be reached."),
    ("preferences", "What people want, on which channel, and when."),
    ("inbox", "What people have got and what they did with it."),
    ("topics", "Named sets of people."),
    ("templates", "What notifications say: in versions, in languages, and on each channel."),
    ("live", "WebSocket and event stream, and who is connected."),
    ("integrations", "Ways in and out for other systems: hooks and endpoints."),
    ("operation", "Keys, health, and what an operator looks at."),
];

/// Every operation.
fn operations() -> Vec<Operation> {
    let groups = [
        sending::operations(),
        people::operations(),
        live::operations(),
        integrations::operations(),
        operator::operations(),
    ];
    groups.into_iter().flatten().collect()
}

/// The whole document.
fn document() -> Value {
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path()).or_insert_with(|| json!({}));
        path[operation.method()] = operation.describe();
    }
    let tags: Vec<Value> =
        TAGS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Belfry",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A notification server that a team installs on one machine and forgets about",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "An API key (`bk_…`) or a user token (a JWT, of this server or of an issuer in `auth.jwt_keys`).",
            } },
            "parameters": operation::shared_parameters(),
            "responses": operation::shared_answers(),
            "schemas": schemas::all(),
        },
    })
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// `GET /v1/openapi.json`.
pub async fn show(_: Call) -> Result<Response, Problem> {
    Ok(shapes::raw_json(StatusCode::OK, DOCUMENT.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` in `value`.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "{name} is used nowhere");
        }
    }

    #[test]
    fn every_operation_has_a_summary_a_group_and_an_id_of_its_own() {
        let all = operations();
        let mut ids = BTreeSet::new();
        for operation in &all {
            let described = operation.describe();
            let (path, id) = (operation.path(), described["operationId"].as_str().unwrap().to_owned());
            assert!(!described["summary"].as_str().unwrap().ends_with('.'), "{path}");
            let tag = described["tags"][0].as_str().unwrap();
            assert!(TAGS.iter().any(|(name, _)| *name == tag), "{path} is in no group: {tag}");
            assert!(ids.insert(id.clone()), "{id} stands for two operations");
        }
    }
}
