//! The wire forms that several resources share.

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::{Value, json};
use warp::reply::Response;

use crate::clock::Millis;
use crate::engine::report::{Moment, Standing, instant};
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::model::notification::{Accepted, Action};
use crate::store::users::Page;

/// Room for most answers, so that they need not be moved while they grow.
const TEXT_BYTES: usize = 512;

/// JSON with a status.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(TEXT_BYTES);
    serde_json::to_writer(&mut text, body).expect("a JSON value always becomes text");
    raw_json(status, text)
}

/// JSON text with a status.
pub fn raw_json(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response {
    let mut response = Response::new(text.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// What became of a notification, with a status.
pub fn result_response(status: StatusCode, result: &NotificationResult) -> Response {
    raw_json(status, result.to_json())
}

/// 200 with JSON.
pub fn ok(body: &impl Serialize) -> Response {
    json_response(StatusCode::OK, body)
}

/// 204.
pub fn no_content() -> Response {
    let mut response = Response::new(bytes::Bytes::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A page of a list.
pub fn page<T>(page: Page<T>, shape: impl FnMut(T) -> Value) -> Response {
    let data: Vec<Value> = page.items.into_iter().map(shape).collect();
    ok(&json!({ "data": data, "next_cursor": page.next }))
}

/// An instant that may be unknown.
pub fn maybe_instant(at: Option<Millis>) -> Value {
    at.map_or(Value::Null, |at| Value::String(instant(at)))
}

/// JSON text that we stored, as JSON again.
pub fn stored_json(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

/// A button.
pub fn action(action: Option<&Action>) -> Value {
    action.map_or(Value::Null, |action| json!({ "label": action.label, "url": action.url }))
}

/// A notification, whole.
pub fn notification(accepted: &Accepted) -> Value {
    let n = &accepted.notification;
    json!({
        "id": accepted.id(),
        "user_id": n.user_id,
        "type": n.kind,
        "title": n.title,
        "message": n.message,
        "priority": n.priority.name(),
        "category": n.category,
        "timestamp": instant(accepted.timestamp()),
        "action": action(n.action.as_ref()),
        "metadata": stored_json(n.metadata.as_deref()),
        "channels": n.channels.as_ref().map(|channels| channels.iter().map(|c| c.name()).collect::<Vec<_>>()),
        "send_at": maybe_instant(n.send_at),
        "expires_at": maybe_instant(n.expires_at),
        "created_at": instant(accepted.accepted_at),
        "offset": accepted.offset,
    })
}

/// A *NotificationDeliveryStatus*.
pub fn standing(id: &str, standing: &Standing) -> Value {
    let channels: Vec<Value> = standing
        .channels
        .iter()
        .map(|channel| {
            json!({
                "channel": channel.channel.name(),
                "status": channel.status.name(),
                "reason": channel.reason.map(|reason| reason.name()),
                "attempts": channel.attempts,
                "last_error": channel.last_error,
                "not_before": maybe_instant(channel.not_before),
                "delivered_at": maybe_instant(channel.delivered_at),
            })
        })
        .collect();
    let error = standing
        .channels
        .iter()
        .find_map(|channel| channel.last_error.as_ref().map(|error| format!("{}: {error}", channel.channel)));
    json!({
        "notification_id": id,
        "overall_status": standing.overall().name(),
        "channel_statuses": channels,
        "retry_attempts": retries(standing),
        "last_attempt": maybe_instant(standing.channels.iter().filter_map(|c| c.last_attempt).max()),
        "error_message": error,
        "delivered_at": maybe_instant(standing.channels.iter().filter_map(|c| c.delivered_at).min()),
    })
}

/// A story, in order.
pub fn story(moments: &[Moment]) -> Response {
    let told = |moment: &Moment| {
        json!({
            "at": instant(moment.at),
            "event": moment.event,
            "channel": moment.channel.map(Channel::name),
            "reason": moment.reason.map(|reason| reason.name()),
            "detail": moment.detail,
        })
    };
    ok(&json!({ "data": moments.iter().map(told).collect::<Vec<_>>(), "next_cursor": null }))
}

/// A *NotificationResult*. Typed, because every accepted notification is answered with one.
#[derive(Debug, Serialize)]
pub struct NotificationResult {
    success: bool,
    notification_id: String,
    channels_sent: Vec<&'static str>,
    channels_failed: Vec<&'static str>,
    channels_pending: Vec<&'static str>,
    channels_deferred: Vec<DeferredChannel>,
    channels_skipped: Vec<SkippedChannel>,
    retry_attempts: u32,
    quiet_hours_overridden: bool,
    timestamp: String,
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DeferredChannel {
    channel: &'static str,
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct SkippedChannel {
    channel: &'static str,
    reason: Option<&'static str>,
}

impl NotificationResult {
    /// It as JSON text, as serde would write it. Serde looks at every letter of every name; here only what comes from
    /// outside is looked at, since every accepted notification is answered with one of these.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(TEXT_BYTES);
        let say = |text: &mut Vec<u8>, plain: &str| text.extend_from_slice(plain.as_bytes());
        say(&mut text, if self.success { r#"{"success":true"# } else { r#"{"success":false"# });
        say(&mut text, r#","notification_id":"#);
        push_json(&mut text, &self.notification_id);
        let lists = [
            (r#","channels_sent":"#, &self.channels_sent),
            (r#","channels_failed":"#, &self.channels_failed),
            (r#","channels_pending":"#, &self.channels_pending),
        ];
        for (name, channels) in lists {
            say(&mut text, name);
            push_list(&mut text, channels, |text, channel| push_plain(text, channel));
        }
        say(&mut text, r#","channels_deferred":"#);
        push_list(&mut text, &self.channels_deferred, |text, deferred| {
            push_pair(text, deferred.channel, r#","until":"#, deferred.until.as_deref());
        });
        say(&mut text, r#","channels_skipped":"#);
        push_list(&mut text, &self.channels_skipped, |text, skipped| {
            push_pair(text, skipped.channel, r#","reason":"#, skipped.reason);
        });
        say(&mut text, r#","retry_attempts":"#);
        push_json(&mut text, &self.retry_attempts);
        say(&mut text, r#","quiet_hours_overridden":"#);
        push_json(&mut text, &self.quiet_hours_overridden);
        say(&mut text, r#","timestamp":"#);
        push_plain(&mut text, &self.timestamp);
        say(&mut text, r#","errors":"#);
        push_json(&mut text, &self.errors);
        text.push(b'}');
        text
    }
}

/// A word of ours, of which no letter needs to be escaped.
fn push_plain(text: &mut Vec<u8>, word: &str) {
    text.push(b'"');
    text.extend_from_slice(word.as_bytes());
    text.push(b'"');
}

/// A channel and something that is known of it or not, both in words of ours.
fn push_pair(text: &mut Vec<u8>, channel: &str, name: &str, word: Option<&str>) {
    text.extend_from_slice(br#"{"channel":"#);
    push_plain(text, channel);
    text.extend_from_slice(name.as_bytes());
    match word {
        Some(word) => push_plain(text, word),
        None => text.extend_from_slice(b"null"),
    }
    text.push(b'}');
}

fn push_list<T>(text: &mut Vec<u8>, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    text.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        push(text, item);
    }
    text.push(b']');
}

fn push_json(text: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(text, value).expect("a JSON value always becomes text");
}

/// What became of a notification.
pub fn result(accepted: &Accepted, standing: &Standing) -> NotificationResult {
    let mut result = NotificationResult {
        success: false,
        notification_id: accepted.id(),
        channels_sent: Vec::new(),
        channels_failed: Vec::new(),
        channels_pending: Vec::new(),
        channels_deferred: Vec::new(),
        channels_skipped: Vec::new(),
        retry_attempts: retries(standing),
        quiet_hours_overridden: accepted.quiet_hours_overridden,
        timestamp: instant(accepted.timestamp()),
        errors: Vec::new(),
    };
    for standing in &standing.channels {
        let channel = standing.channel.name();
        match standing.status {
            Status::Sent | Status::Delivered => result.channels_sent.push(channel),
            Status::Pending | Status::Retrying | Status::Batched => result.channels_pending.push(channel),
            Status::Failed => result.channels_failed.push(channel),
            Status::Deferred => {
                let until = standing.not_before.map(instant);
                result.channels_deferred.push(DeferredChannel { channel, until });
            }
            Status::Skipped | Status::Canceled | Status::Expired => {
                let reason = standing.reason.map(|reason| reason.name());
                result.channels_skipped.push(SkippedChannel { channel, reason });
            }
        }
        if let (Some(error), Status::Failed | Status::Retrying) = (&standing.last_error, standing.status) {
            result.errors.push(format!("{channel}: {error}"));
        }
    }
    result.success = result.channels_failed.is_empty() || !result.channels_sent.is_empty();
    result
}

/// Attempts beyond each channel's first.
pub fn retries(standing: &Standing) -> u32 {
    standing.channels.iter().map(|channel| channel.attempts.saturating_sub(1)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::channel::Channel;
    use crate::model::delivery::Reason;

    fn channels() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::sample::subsequence(Channel::ALL.map(Channel::name).to_vec(), 0..=Channel::ALL.len())
    }

    proptest! {
        #[test]
        fn a_result_is_written_as_serde_would_write_it(
            notification_id in ".*",
            (sent, failed, pending, deferred, skipped) in
                (channels(), channels(), channels(), channels(), channels()),
            at in proptest::option::of(0_i64..4_000_000_000_000),
            reason in proptest::option::of(proptest::sample::select(Reason::ALL.to_vec())),
            errors in proptest::collection::vec(".*", 0..3),
            (success, overridden, retry_attempts) in (any::<bool>(), any::<bool>(), any::<u32>()),
        ) {
            let result = NotificationResult {
                success,
                notification_id,
                channels_sent: sent,
                channels_failed: failed,
                channels_pending: pending,
                channels_deferred: deferred
                    .into_iter()
                    .map(|channel| DeferredChannel { channel, until: at.map(instant) })
                    .collect(),
                channels_skipped: skipped
                    .into_iter()
                    .map(|channel| SkippedChannel { channel, reason: reason.map(Reason::name) })
                    .collect(),
                retry_attempts,
                quiet_hours_overridden: overridden,
                timestamp: instant(at.unwrap_or_default()),
                errors,
            };
            prop_assert_eq!(
                String::from_utf8(result.to_json()).expect("text"),
                serde_json::to_string(&result).expect("text")
            );
        }
    }
}
