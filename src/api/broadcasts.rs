//! `POST /v1/broadcasts`: a message pushed to whoever is connected, and kept nowhere.

use http::StatusCode;
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::model::audience::Audience;
use crate::model::ids::new_id;
use crate::model::notification::{MESSAGE_BYTES_MAX, Priority, TITLE_CHARS_MAX};
use crate::model::workflow::STATUSES;
use crate::ws::protocol::broadcast;

/// Pushes a message.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let body = call.json().await?;
    let now = call.api.clock.now();
    let (mut message, audience) = read(&body)?;
    let id = new_id(now).to_string();
    if message.get("type") == Some(&json!("notification")) {
        message.entry("id").or_insert_with(|| json!(id));
        message.entry("notification_type").or_insert_with(|| json!("broadcast"));
        message.entry("priority").or_insert_with(|| json!(Priority::default().name()));
        message.entry("category").or_insert_with(|| json!("system"));
        for absent in ["user_id", "action", "metadata"] {
            message.entry(absent).or_insert(Value::Null);
        }
    }
    let frame = broadcast(&message, now);
    let connections = match &audience {
        Audience::All => call.api.hub.to_all(&frame),
        Audience::User(user) => call.api.hub.to_user(user, &frame),
        Audience::Topic(topic) => call.api.hub.to_channel(&format!("topic:{topic}"), &frame),
    };
    let body = json!({ "success": true, "broadcast_id": id, "connections": connections });
    Ok(shapes::json_response(StatusCode::ACCEPTED, &body))
}

fn read(body: &Value) -> Result<(Map<String, Value>, Audience), Problem> {
    let mut fields = Fields::of(body)?;
    let message = fields.object("message", check_message);
    fields.required("message", message);
    let audience = read_audience(&mut fields);
    let message = fields.raw("message").and_then(Value::as_object).cloned().unwrap_or_default();
    let audience = fields.finish(audience)?;
    Ok((message, audience.unwrap_or(Audience::All)))
}

/// A client takes these two kinds only, so nothing else is let through to it.
fn check_message(fields: &mut Fields<'_>) {
    let kind = fields.text("type");
    match fields.required("type", kind) {
        Some("notification") => {
            let title = fields.short_text("title", TITLE_CHARS_MAX);
            fields.required("title", title);
            let message = fields.short_text("message", MESSAGE_BYTES_MAX);
            if fields.required("message", message).is_some_and(|message| message.len() > MESSAGE_BYTES_MAX) {
                fields.wrong("message", format!("must be at most {MESSAGE_BYTES_MAX} bytes"));
            }
            let names = Priority::ALL.map(Priority::name);
            fields.one_of("priority", &names, Priority::from_name);
            fields.word("category");
            fields.name("id");
            fields.name("user_id");
            fields.instant("timestamp");
        }
        Some("workflow_update") => {
            let workflow = fields.name("workflow_id");
            fields.required("workflow_id", workflow);
            fields.name("session_id");
            fields.text("stage");
            fields.text("message");
            fields.number("progress", 0.0, 1.0);
            let status = fields.one_of("status", &STATUSES, |name| STATUSES.contains(&name).then_some(()));
            fields.required("status", status);
        }
        Some(_) => fields.wrong("type", "must be notification or workflow_update"),
        None => {}
    }
}

fn read_audience(fields: &mut Fields<'_>) -> Option<Audience> {
    match fields.raw("to") {
        None => {
            fields.wrong("to", "is required: \"all\", {\"user_id\": …} or {\"topic\": …}");
            None
        }
        Some(Value::String(all)) if all == "all" => Some(Audience::All),
        Some(Value::Object(_)) => fields
            .object("to", |to| match (to.name("user_id"), to.name("topic")) {
                (Some(user), None) => Some(Audience::User(user.to_owned())),
                (None, Some(topic)) => Some(Audience::Topic(topic.to_owned())),
                (None, None) | (Some(_), Some(_)) => {
                    to.wrong("user_id", "name either user_id or topic");
                    None
                }
            })
            .flatten(),
        Some(_) => {
            fields.wrong("to", "must be \"all\", {\"user_id\": …} or {\"topic\": …}");
            None
        }
    }
}
