//! What a client may say.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::server::ErrorCode;

/// The most bytes of a channel's name, a session's or an epoch's.
const NAME_BYTES_MAX: usize = 256;
/// The most bytes of an `id` that is echoed.
const ECHO_BYTES_MAX: usize = 256;
/// The most ids in one `mark`.
const MARK_IDS_MAX: usize = 1000;

/// The client's `id` of a frame, a string or a number, as it is echoed.
pub type Echo = Box<RawValue>;

/// A channel's name on the wire: `workflow:<id>` or `topic:<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel(String);

impl Channel {
    /// The channel of that spelling.
    pub fn parse(text: &str) -> Option<Channel> {
        let name = text.strip_prefix("workflow:").or_else(|| text.strip_prefix("topic:"))?;
        is_name(name).then(|| Channel(text.to_owned()))
    }

    /// The channel on which a workflow's updates go out.
    pub fn of_workflow(workflow: &str) -> Option<Channel> {
        is_name(workflow).then(|| Channel(format!("workflow:{workflow}")))
    }

    /// The spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The workflow, if it is one's channel.
    pub fn workflow(&self) -> Option<&str> {
        self.0.strip_prefix("workflow:")
    }

    /// The topic, if it is one's channel.
    pub fn topic(&self) -> Option<&str> {
        self.0.strip_prefix("topic:")
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

/// Where the client left off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Resume {
    /// The epoch that its last `hello` named.
    pub epoch: String,
    /// The last offset it has seen.
    pub offset: u64,
}

/// A `connect` frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// The token, where it did not come with the request.
    pub token: Option<String>,
    /// The session that the client is part of.
    pub session_id: Option<String>,
    /// Where it left off.
    pub resume: Option<Resume>,
    /// What it wants to watch.
    pub subscribe: Vec<Channel>,
}

/// One frame of a client.
#[derive(Debug)]
pub enum ClientFrame {
    /// Who it is and where it left off.
    Connect(Box<Connect>),
    /// Watch a channel.
    Subscribe(Channel),
    /// Watch it no more.
    Unsubscribe(Channel),
    /// Mark notifications in the inbox as `seen`, `read`, `unread` or `archived`.
    Mark {
        /// The notifications.
        ids: Vec<String>,
        /// What they become.
        op: String,
    },
    /// The client has got everything up to an offset.
    Ack {
        /// The offset.
        offset: u64,
    },
    /// A sign of life that wants an answer.
    Ping,
    /// A sign of life.
    Pong,
    /// A test of throughput: how many bytes arrived.
    LargeData {
        /// Bytes of a string in UTF-8, otherwise of the JSON text.
        size: usize,
    },
}

/// A frame that is not understood.
#[derive(Debug)]
pub struct Malformed {
    /// `INVALID_MESSAGE_FORMAT` or `UNKNOWN_MESSAGE_TYPE`.
    pub code: ErrorCode,
    /// What is wrong with it.
    pub details: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ConnectShape {
    token: Option<String>,
    session_id: Option<String>,
    resume: Option<Resume>,
    #[serde(default)]
    subscribe: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ChannelShape {
    channel: String,
}

#[derive(Deserialize)]
struct MarkShape {
    ids: Vec<String>,
    #[serde(rename = "as")]
    op: String,
}

#[derive(Deserialize)]
struct AckShape {
    offset: u64,
}

#[derive(Deserialize)]
struct DataShape<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Reads one text frame. The `id` comes back even where the rest is not understood.
pub fn parse(text: &str) -> (Option<Echo>, Result<ClientFrame, Malformed>) {
    match serde_json::from_str::<Envelope<'_>>(text) {
        Ok(envelope) => {
            let id = envelope.id.filter(|id| may_be_echoed(id.get())).map(ToOwned::to_owned);
            (id, body(&envelope.kind, text))
        }
        Err(error) => (None, Err(invalid(&explain(&error)))),
    }
}

fn may_be_echoed(id: &str) -> bool {
    id.len() <= ECHO_BYTES_MAX && id.starts_with(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
}

fn body(kind: &str, text: &str) -> Result<ClientFrame, Malformed> {
    match kind {
        "ping" => Ok(ClientFrame::Ping),
        "pong" => Ok(ClientFrame::Pong),
        "ack" => shape::<AckShape>(text).map(|ack| ClientFrame::Ack { offset: ack.offset }),
        "connect" => connect(shape(text)?).map(|connect| ClientFrame::Connect(Box::new(connect))),
        "subscribe" => channel(&shape::<ChannelShape>(text)?.channel).map(ClientFrame::Subscribe),
        "unsubscribe" => channel(&shape::<ChannelShape>(text)?.channel).map(ClientFrame::Unsubscribe),
        "mark" => mark(shape(text)?),
        "large_data" => Ok(ClientFrame::LargeData { size: size_of(shape::<DataShape<'_>>(text)?.data)? }),
        _ => Err(Malformed {
            code: ErrorCode::UnknownMessageType,
            details:
                "the type must be one of connect, subscribe, unsubscribe, mark, ack, ping, pong, large_data"
                    .to_owned(),
        }),
    }
}

fn shape<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| invalid(&explain(&error)))
}

fn connect(shape: ConnectShape) -> Result<Connect, Malformed> {
    let ConnectShape { token, session_id, resume, subscribe } = shape;
    if session_id.as_deref().is_some_and(|session| !is_name(session)) {
        return Err(invalid("session_id must have 1 to 256 bytes and no control characters"));
    }
    if resume.as_ref().is_some_and(|resume| resume.epoch.len() > NAME_BYTES_MAX) {
        return Err(invalid("resume.epoch must have at most 256 bytes"));
    }
    let subscribe = subscribe.unwrap_or_default();
    if subscribe.len() > crate::hub::SUBSCRIPTIONS_MAX {
        return Err(invalid("subscribe must name at most 1000 channels"));
    }
    let subscribe = subscribe.iter().map(|name| channel(name)).collect::<Result<_, _>>()?;
    Ok(Connect { token, session_id, resume, subscribe })
}

fn channel(name: &str) -> Result<Channel, Malformed> {
    Channel::parse(name).ok_or_else(|| invalid("channel must be workflow:<id> or topic:<name>"))
}

fn mark(shape: MarkShape) -> Result<ClientFrame, Malformed> {
    if !matches!(shape.op.as_str(), "seen" | "read" | "unread" | "archived") {
        return Err(invalid("as must be seen, read, unread or archived"));
    }
    if shape.ids.is_empty() || shape.ids.len() > MARK_IDS_MAX {
        return Err(invalid("ids must name 1 to 1000 notifications"));
    }
    Ok(ClientFrame::Mark { ids: shape.ids, op: shape.op })
}

fn size_of(data: &RawValue) -> Result<usize, Malformed> {
    if data.get().starts_with('"') {
        Ok(shape::<Cow<'_, str>>(data.get())?.len())
    } else {
        Ok(data.get().len())
    }
}

/// What the library says of a frame, without the names of our own types.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(", expected struct ") {
        Some((what, _)) => format!("{what}, expected an object"),
        None => text,
    }
}

fn invalid(details: &str) -> Malformed {
    Malformed { code: ErrorCode::InvalidMessageFormat, details: details.to_owned() }
}
