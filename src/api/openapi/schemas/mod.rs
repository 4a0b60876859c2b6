//! The shapes of bodies as JSON Schema. What a server answers may have more fields than are named here.

mod integrations;
mod operator;
mod people;
mod sending;

use serde_json::{Value, json};

use super::operation::schema;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::notification::Priority;

/// Every schema, by its name.
pub(super) fn all() -> Value {
    let groups = [
        shared(),
        sending::schemas(),
        people::schemas(),
        operator::live(),
        operator::schemas(),
        integrations::schemas(),
    ];
    Value::Object(groups.into_iter().flatten().map(|(name, schema)| (name.to_owned(), schema)).collect())
}

/// Schemas under their names.
type Schemas = Vec<(&'static str, Value)>;

/// Where a delivery stands.
pub(super) fn status() -> Value {
    json!({ "enum": Status::ALL.map(Status::name) })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// What a request may hold: what is not named here is a mistake.
fn strict(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

fn maybe_text(about: &str) -> Value {
    json!({ "type": ["string", "null"], "description": about })
}

fn count(about: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": about })
}

fn flag(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

fn instant(about: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": about })
}

fn maybe_instant(about: &str) -> Value {
    json!({ "type": ["string", "null"], "format": "date-time", "description": about })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "items": item })
}

fn texts() -> Value {
    list(json!({ "type": "string" }))
}

fn anything(about: &str) -> Value {
    json!({ "type": ["object", "null"], "description": about })
}

fn word(about: &str) -> Value {
    json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$", "description": about })
}

fn name(about: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$", "description": about })
}

fn shared() -> Schemas {
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    vec![
        (
            "Problem",
            object(
                &["type", "title", "status", "detail", "code"],
                json!({
                    "type": text("A name for this kind of problem."), "title": text("The status in words."),
                    "status": { "type": "integer" }, "detail": text("What is wrong, for people."),
                    "code": text("What is wrong, for programs."),
                    "errors": list(object(&["field", "detail"], json!({
                        "field": text("The path of the field."), "detail": text("What is wrong with it."),
                    }))),
                }),
            ),
        ),
        ("Channel", json!({ "enum": Channel::ALL.map(Channel::name) })),
        ("Priority", json!({ "enum": Priority::ALL.map(Priority::name), "default": "medium" })),
        ("Status", status()),
        ("Reason", json!({ "enum": reasons, "description": "Why something was held, skipped or given up." })),
        (
            "Action",
            object(
                &["label", "url"],
                json!({
                    "label": { "type": "string", "minLength": 1, "maxLength": 80, "description": "What the button says." },
                    "url": text("Where it leads: http, https, mailto, or a path that begins with a slash."),
                }),
            ),
        ),
    ]
}
