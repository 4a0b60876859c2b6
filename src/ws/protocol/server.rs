//! What the server says. Each frame is encoded once, header and payload in one buffer, however many read it.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::client::{Channel, Echo};
use crate::clock::Millis;
use crate::hub::Frame;
use crate::ws::Limits;
use crate::ws::frame::text_frame;

/// The codes of an `error` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// Not JSON, not an object, a field missing or of a wrong kind, or a binary message.
    InvalidMessageFormat,
    /// A `type` that is not known.
    UnknownMessageType,
    /// Over `max_message_size`.
    MessageTooLarge,
    /// No token, or not a good one.
    AuthenticationFailed,
    /// A good token, but not for this.
    Forbidden,
    /// Too many frames or errors.
    RateLimitExceeded,
    /// Nothing came for too long.
    ConnectionTimeout,
    /// Our fault.
    SystemError,
}

/// A button under a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// What it says.
    pub label: String,
    /// Where it leads.
    pub url: String,
}

/// A notification as a live connection gets it.
#[derive(Clone, Debug)]
pub struct NotificationFrame {
    /// The notification's id.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The title.
    pub title: String,
    /// The text.
    pub message: String,
    /// `low`, `medium`, `high` or `critical`.
    pub priority: String,
    /// The category.
    pub category: String,
    /// The button.
    pub action: Option<Action>,
    /// What the sender attached, as it was sent.
    pub metadata: Option<Box<RawValue>>,
    /// The notification's own type.
    pub notification_type: String,
    /// Its place in the user's stream.
    pub offset: u64,
    /// The notification's timestamp.
    pub timestamp_ms: Millis,
    /// Whether it was missed and is sent again.
    pub replay: bool,
}

#[derive(Serialize)]
struct NotificationFields<'a> {
    id: &'a str,
    user_id: &'a str,
    title: &'a str,
    message: &'a str,
    priority: &'a str,
    category: &'a str,
    action: Option<&'a Action>,
    metadata: Option<&'a RawValue>,
    notification_type: &'a str,
    offset: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replay: bool,
}

impl NotificationFrame {
    /// The frame to publish.
    pub fn encode(&self) -> Frame {
        self.encode_as(self.replay)
    }

    pub(in crate::ws) fn encode_as(&self, replay: bool) -> Frame {
        let fields = NotificationFields {
            id: &self.id,
            user_id: &self.user_id,
            title: &self.title,
            message: &self.message,
            priority: &self.priority,
            category: &self.category,
            action: self.action.as_ref(),
            metadata: self.metadata.as_deref(),
            notification_type: &self.notification_type,
            offset: self.offset,
            replay,
        };
        encode("notification", self.timestamp_ms, Some(self.offset), &fields)
    }
}

/// How a workflow stands, for those who watch it.
#[derive(Clone, Debug, Serialize)]
pub struct WorkflowUpdate {
    /// The session it runs in.
    pub session_id: Option<String>,
    /// The workflow.
    pub workflow_id: String,
    /// The stage it is in.
    pub stage: Option<String>,
    /// How far it is, from 0 to 1.
    pub progress: Option<f64>,
    /// `starting`, `running`, `completed`, `failed`, `review_required` or `canceled`.
    pub status: Option<String>,
    /// A word about it.
    pub message: Option<String>,
    /// What the sender attached, as it was sent.
    pub metadata: Option<Box<RawValue>>,
    /// When.
    #[serde(skip)]
    pub timestamp_ms: Millis,
}

impl WorkflowUpdate {
    /// The frame to publish.
    pub fn encode(&self) -> Frame {
        encode("workflow_update", self.timestamp_ms, None, self)
    }
}

/// How many notifications an inbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All that are not archived.
    pub total: u64,
    /// Not read yet.
    pub unread: u64,
    /// Not seen yet.
    pub unseen: u64,
}

/// A change of an inbox, for all connections of its user.
#[derive(Clone, Debug, Serialize)]
pub struct InboxChange {
    /// What the notifications became: `seen`, `read`, `unread` or `archived`.
    pub op: String,
    /// The notifications.
    pub ids: Vec<String>,
    /// How the inbox stands now.
    pub counts: Counts,
    /// When.
    #[serde(skip)]
    pub timestamp_ms: Millis,
}

impl InboxChange {
    /// The frame to publish.
    pub fn encode(&self) -> Frame {
        encode("inbox", self.timestamp_ms, None, self)
    }
}

/// The frame of a broadcast: the sender's own flat object, which has a `type`; a `timestamp` is added where it has
/// none.
pub fn broadcast(message: &Map<String, Value>, now: Millis) -> Frame {
    if message.contains_key("timestamp") {
        return framed(message, None);
    }
    let mut message = message.clone();
    message.insert("timestamp".to_owned(), Value::String(stamp(now)));
    framed(&message, None)
}

/// What a client is told when its connection stands.
#[derive(Serialize)]
pub(in crate::ws) struct Hello<'a> {
    pub(in crate::ws) connection_id: String,
    pub(in crate::ws) user_id: Option<&'a str>,
    pub(in crate::ws) session_id: Option<&'a str>,
    pub(in crate::ws) epoch: Option<&'a str>,
    pub(in crate::ws) offset: u64,
    pub(in crate::ws) recovered: bool,
    pub(in crate::ws) unread: u64,
}

#[derive(Serialize)]
struct HelloFields<'a> {
    #[serde(flatten)]
    hello: &'a Hello<'a>,
    /// Seconds.
    heartbeat_interval: Value,
    /// Seconds.
    connection_timeout: Value,
    /// Bytes.
    max_message_size: usize,
    reconnect: Reconnect,
}

/// What the client should do when the connection is lost.
#[derive(Serialize)]
struct Reconnect {
    max_attempts: u32,
    delay_ms: u64,
    factor: u32,
    jitter: f32,
}

pub(in crate::ws) fn hello(hello: &Hello<'_>, limits: &Limits, now: Millis) -> Frame {
    let fields = HelloFields {
        hello,
        heartbeat_interval: seconds(limits.heartbeat_interval),
        connection_timeout: seconds(limits.connection_timeout),
        max_message_size: limits.message_bytes_max,
        reconnect: Reconnect {
            max_attempts: limits.reconnect_attempts_max,
            delay_ms: u64::try_from(limits.reconnect_delay.as_millis()).unwrap_or(u64::MAX),
            // Doubling empties a thundering herd in a few rounds, half a delay of jitter spreads it.
            factor: 2,
            jitter: 0.5,
        },
    };
    encode("hello", now, None, &fields)
}

/// Whole seconds as an integer, so that the usual 30 is written as 30.
fn seconds(duration: std::time::Duration) -> Value {
    if duration.subsec_nanos() == 0 {
        Value::from(duration.as_secs())
    } else {
        Value::from(duration.as_secs_f64())
    }
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    error: &'a str,
    code: ErrorCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
}

pub(in crate::ws) fn error(
    code: ErrorCode,
    error: &str,
    details: Option<&str>,
    id: Option<&Echo>,
    now: Millis,
) -> Frame {
    encode("error", now, None, &ErrorFields { error, code, details, id: id.map(|id| &**id) })
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
}

/// `subscribed`, or `unsubscribed` where `now_watched` is false.
pub(in crate::ws) fn subscribed(
    now_watched: bool,
    channel: &Channel,
    id: Option<&Echo>,
    now: Millis,
) -> Frame {
    let kind = if now_watched { "subscribed" } else { "unsubscribed" };
    let id = id.map(|id| &**id);
    encode(kind, now, None, &Answer { channel: Some(channel.as_str()), size: None, id })
}

pub(in crate::ws) fn large_data_received(size: usize, id: Option<&Echo>, now: Millis) -> Frame {
    let id = id.map(|id| &**id);
    encode("large_data_received", now, None, &Answer { channel: None, size: Some(size), id })
}

#[derive(Serialize)]
struct CloseFields {
    code: u16,
    reason: &'static str,
}

/// Why the connection ends, for a carrier that has no close frame of its own.
pub(in crate::ws) fn closed(code: u16, reason: &'static str, now: Millis) -> Frame {
    encode("close", now, None, &CloseFields { code, reason })
}

pub(in crate::ws) fn ping(now: Millis) -> Frame {
    encode("ping", now, None, &Answer { channel: None, size: None, id: None })
}

pub(in crate::ws) fn pong(id: Option<&Echo>, now: Millis) -> Frame {
    encode("pong", now, None, &Answer { channel: None, size: None, id: id.map(|id| &**id) })
}

#[derive(Serialize)]
struct Flat<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    #[serde(flatten)]
    fields: &'a T,
}

fn encode<T: Serialize>(kind: &'static str, at: Millis, offset: Option<u64>, fields: &T) -> Frame {
    framed(&Flat { kind, timestamp: stamp(at), fields }, offset)
}

fn framed<T: Serialize>(object: &T, offset: Option<u64>) -> Frame {
    let (bytes, payload_at) = text_frame(|buffer| serde_json::to_writer(buffer, object))
        .expect("an object of strings, numbers and checked JSON always serialises into memory");
    Frame::new(bytes, payload_at, offset)
}

fn stamp(at: Millis) -> String {
    // Always with three digits, as everywhere else on the wire.
    format!("{:.3}", jiff::Timestamp::from_millisecond(at).unwrap_or_default())
}
