//! What endpoints are sent: `{type, timestamp, data}` by the Standard Webhooks specification. The same bytes over every
//! attempt, since they are made of what does not change any more.

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::{Millis, rfc3339};
use crate::model::channel::Channel;
use crate::model::delivery::Reason;
use crate::model::endpoint::{DisabledBecause, EndpointEvent};
use crate::model::message::Message;
use crate::model::notification::Accepted;

/// The type of what the `webhook` channel sends to a person's own endpoint.
pub const MESSAGE: &str = "notification.message";
/// The type of what is sent to try an endpoint out.
pub const TEST: &str = "endpoint.test";

/// The `webhook-id` of what has that id. The specification wants no full stop in it.
pub fn webhook_id(id: Uuid) -> String {
    format!("msg_{}", id.simple())
}

/// Something that happened to a notification.
pub fn event(event: &EndpointEvent, accepted: &Accepted) -> Bytes {
    let mut data = about(accepted);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            data[name] = Value::String(value);
        }
    };
    add("channel", event.channel.map(|channel| channel.name().to_owned()));
    add("status", event.status.map(|status| status.name().to_owned()));
    add("reason", event.reason.map(|reason| reason.name().to_owned()));
    add("not_before", event.not_before.map(rfc3339));
    envelope(event.kind.name(), event.at, &data)
}

/// Another endpoint is called no more: which one, and why, by the names that it is shown with.
pub fn endpoint_disabled(event: &EndpointEvent) -> Bytes {
    let because = match event.reason {
        Some(Reason::SubscriptionGone) => DisabledBecause::Gone,
        Some(_) => DisabledBecause::Failing,
        None => DisabledBecause::Operator,
    };
    let data = json!({ "endpoint_id": event.notification.to_string(), "reason": because.name() });
    envelope(event.kind.name(), event.at, &data)
}

/// A message for its person's own endpoint; with all of its notification, where it is for one.
pub fn message(one: Option<&Accepted>, message: &Message) -> Bytes {
    let mut data = match one {
        Some(accepted) => about(accepted),
        None => json!({ "notification_id": message.notification_id, "user_id": message.user_id }),
    };
    let n = one.map(|accepted| &accepted.notification);
    let action = n.and_then(|n| n.action.as_ref());
    let metadata = n.and_then(|n| n.metadata.as_deref());
    data["channel"] = json!(Channel::Webhook.name());
    data["title"] = json!(message.title);
    data["message"] = json!(message.text);
    data["action"] = action.map_or(Value::Null, |action| json!({ "label": action.label, "url": action.url }));
    data["metadata"] = metadata.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    envelope(MESSAGE, message.at_ms, &data)
}

/// A try.
pub fn test(endpoint: Uuid, now: Millis) -> Bytes {
    let data =
        json!({ "endpoint_id": endpoint.to_string(), "message": "This is a test. Nothing has happened." });
    envelope(TEST, now, &data)
}

fn about(accepted: &Accepted) -> Value {
    let n = &accepted.notification;
    json!({
        "notification_id": accepted.id(),
        "user_id": n.user_id,
        "notification_type": n.kind,
        "category": n.category,
        "priority": n.priority.name(),
    })
}

fn envelope(kind: &str, at: Millis, data: &Value) -> Bytes {
    json!({ "type": kind, "timestamp": rfc3339(at), "data": data }).to_string().into()
}
