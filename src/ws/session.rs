//! What one client may do and what it is answered: messages in, messages out, no socket, the time as an argument.

use super::flood::Flood;
use super::frame::{Event, pong_frame};
use super::heartbeat::{Beat, Heartbeat};
use super::join::{Join, Who};
use super::out::Out;
use super::protocol::{self, Channel, ClientFrame, Connect, Echo, ErrorCode, Malformed};
use super::rights::Watch;
use super::{Backend, Limits, close, may_connect};
use crate::access::Principal;
use crate::clock::Millis;
use crate::hub::{Attachment, Hub, Leaves};

/// How long a client may take to say who it is.
const AUTHENTICATION_WITHIN_MS: Millis = 10_000;

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

/// What a message needs beyond an answer. It is met before the next message is looked at.
#[derive(Debug)]
pub(super) enum Need {
    Nothing,
    /// Join the hub, or resume.
    Join(Box<Join>),
    /// Watch a channel, if the backend says that the client may.
    Watch(Box<Watch>),
    /// Mark notifications in the inbox.
    Mark(Box<Mark>),
    Close(Closing),
    /// The client has closed; it gets its code back.
    Leave(u16),
}

#[derive(Debug)]
pub(super) struct Mark {
    pub(super) user: String,
    pub(super) ids: Vec<String>,
    pub(super) op: String,
    pub(super) id: Option<Echo>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Session {
    /// The place in the hub, once the client has said who it is or need not.
    pub(super) attachment: Option<Attachment>,
    pub(super) principal: Option<Principal>,
    /// Notifications up to this offset are not sent as they come: the client has them or was told to read them.
    pub(super) floor: Option<u64>,
    /// A connection resumes once.
    pub(super) resumed: bool,
    /// What it does by leave; `None` for most.
    pub(super) leaves: Option<Box<Leaves>>,
    hub: Hub,
    heart: Heartbeat,
    flood: Flood,
    authenticate_by_ms: Millis,
}

impl Session {
    pub(super) fn new(limits: &Limits, hub: Hub, now: Millis) -> Session {
        Session {
            attachment: None,
            principal: None,
            floor: None,
            resumed: false,
            leaves: None,
            hub,
            heart: Heartbeat::new(limits.heartbeat_interval, limits.connection_timeout, now),
            flood: Flood::new(now),
            authenticate_by_ms: now.saturating_add(AUTHENTICATION_WITHIN_MS),
        }
    }

    /// The user whose stream this connection gets.
    pub(super) fn user(&self) -> Option<&str> {
        self.attachment.as_ref().and_then(Attachment::user_id)
    }

    /// Anything that comes counts as life, a part of a message too.
    pub(super) fn heard(&mut self, now: Millis) {
        self.heart.heard(now);
        if let Some(attachment) = &self.attachment {
            attachment.heard(now);
        }
    }

    /// Parts of a message that is not whole yet.
    pub(super) fn on_fragments(&mut self, count: u32, now: Millis, out: &mut Out) -> Need {
        if self.flood.frames(count, now) { self.too_much(None, now, out) } else { Need::Nothing }
    }

    /// One message of the client.
    pub(super) fn on_event(
        &mut self,
        event: Event,
        backend: &impl Backend,
        now: Millis,
        out: &mut Out,
    ) -> Need {
        if self.flood.frame(now) {
            return self.too_much(None, now, out);
        }
        match event {
            Event::Text(text) => self.on_text(&text, backend, now, out),
            Event::Binary => {
                let code = ErrorCode::InvalidMessageFormat;
                self.fail(code, "messages are JSON text frames, not binary", None, None, now, out)
            }
            Event::TooLarge => {
                let code = ErrorCode::MessageTooLarge;
                self.fail(code, "the message is over max_message_size", None, None, now, out)
            }
            Event::Ping(payload) => {
                out.reply_bytes(pong_frame(&payload));
                Need::Nothing
            }
            Event::Pong => Need::Nothing,
            Event::Close(code) => Need::Leave(code.unwrap_or(1000)),
        }
    }

    fn on_text(&mut self, text: &str, backend: &impl Backend, now: Millis, out: &mut Out) -> Need {
        let (id, frame) = protocol::parse(text);
        let id = id.as_ref();
        match frame {
            Err(Malformed { code, details }) => {
                let error = match code {
                    ErrorCode::UnknownMessageType => "the message's type is not known",
                    _ => "the message is not understood",
                };
                self.fail(code, error, Some(&details), id, now, out)
            }
            Ok(ClientFrame::Connect(connect)) => self.on_connect(*connect, id, backend, now, out),
            Ok(_) if self.attachment.is_none() => {
                self.fail(ErrorCode::AuthenticationFailed, "connect with a token first", None, id, now, out)
            }
            Ok(ClientFrame::Subscribe(channel)) => self.on_subscribe(&channel, id, now, out),
            Ok(ClientFrame::Unsubscribe(channel)) => self.unsubscribe(&channel, id, now, out),
            Ok(ClientFrame::Mark { ids, op }) => match self.user().map(str::to_owned) {
                Some(user) => Need::Mark(Box::new(Mark { user, ids, op, id: id.cloned() })),
                None => self.fail(ErrorCode::Forbidden, "only a user has an inbox", None, id, now, out),
            },
            Ok(ClientFrame::Ping) => {
                out.reply(protocol::pong(id, now));
                Need::Nothing
            }
            Ok(ClientFrame::LargeData { size }) => {
                out.reply(protocol::large_data_received(size, id, now));
                Need::Nothing
            }
            Ok(ClientFrame::Ack { offset }) => {
                // For the operator to see. What a client has read is said by marks, and where it goes on by its resume.
                if let Some(attachment) = &self.attachment {
                    attachment.acked(offset);
                }
                Need::Nothing
            }
            Ok(ClientFrame::Pong) => Need::Nothing,
        }
    }

    fn on_connect(
        &mut self,
        connect: Connect,
        id: Option<&Echo>,
        backend: &impl Backend,
        now: Millis,
        out: &mut Out,
    ) -> Need {
        let who = match connect.token.as_deref().map(|token| backend.authenticate(token)) {
            None if self.attachment.is_none() => {
                return self.fail(ErrorCode::AuthenticationFailed, "a token is needed", None, id, now, out);
            }
            None => Who::Same,
            Some(Err(refused)) => {
                let error = refused.to_string();
                self.tell(ErrorCode::AuthenticationFailed, &error, None, id, now, out);
                return Need::Close(Closing { code: close::INVALID_TOKEN, reason: "invalid token" });
            }
            Some(Ok(principal)) if !may_connect(&principal) => {
                let error = "this token may not connect";
                self.tell(ErrorCode::Forbidden, error, None, id, now, out);
                return Need::Close(Closing { code: close::FORBIDDEN, reason: "forbidden" });
            }
            Some(Ok(principal)) => match &self.principal {
                None => Who::New(Some(principal)),
                Some(current) if current.label() == principal.label() => {
                    // A fresh token puts the expiry off.
                    self.principal = Some(principal);
                    Who::Same
                }
                Some(_) => {
                    let error = "this connection belongs to somebody else";
                    return self.fail(ErrorCode::Forbidden, error, None, id, now, out);
                }
            },
        };
        Need::Join(Box::new(Join { who, connect, id: id.cloned() }))
    }

    /// Watches a channel, if the token allows it; a user's other rights are the backend's to know.
    pub(super) fn on_subscribe(
        &mut self,
        channel: &Channel,
        id: Option<&Echo>,
        now: Millis,
        out: &mut Out,
    ) -> Need {
        if self.may_watch(channel) {
            self.subscribe(channel, id, now, out)
        } else if self.user().is_some() {
            Need::Watch(Box::new(Watch { channel: channel.clone(), id: id.cloned() }))
        } else {
            self.forbid(channel, id, now, out)
        }
    }

    /// Watches a channel that the client may watch, and says so.
    pub(super) fn subscribe(
        &mut self,
        channel: &Channel,
        id: Option<&Echo>,
        now: Millis,
        out: &mut Out,
    ) -> Need {
        let Some(attachment) = &self.attachment else { return Need::Nothing };
        match attachment.subscribe(channel.as_str()) {
            Ok(_) => {
                out.reply(protocol::subscribed(true, channel, id, now));
                Need::Nothing
            }
            Err(error) => {
                self.give_back(channel);
                self.fail(ErrorCode::Forbidden, &error.to_string(), Some(channel.as_str()), id, now, out)
            }
        }
    }

    pub(super) fn forbid(
        &mut self,
        channel: &Channel,
        id: Option<&Echo>,
        now: Millis,
        out: &mut Out,
    ) -> Need {
        let error = "this client may not watch that channel";
        self.fail(ErrorCode::Forbidden, error, Some(channel.as_str()), id, now, out)
    }

    /// Whether the token alone allows to watch a channel.
    pub(super) fn may_watch(&self, channel: &Channel) -> bool {
        let Some(principal) = &self.principal else { return false };
        channel.workflow().is_some_and(|workflow| principal.may_watch_workflow(workflow))
            || channel.topic().is_some_and(|topic| principal.may_watch_topic(topic))
    }

    /// Tells the client that something is wrong, and closes if that happens too often.
    pub(super) fn fail(
        &mut self,
        code: ErrorCode,
        error: &str,
        details: Option<&str>,
        id: Option<&Echo>,
        now: Millis,
        out: &mut Out,
    ) -> Need {
        if self.flood.error(now) {
            return self.too_much(id, now, out);
        }
        self.tell(code, error, details, id, now, out);
        Need::Nothing
    }

    /// What the time brings: pings, and ends.
    pub(super) fn on_time(&mut self, now: Millis, out: &mut Out) -> Need {
        if self.attachment.is_none() && now >= self.authenticate_by_ms {
            let code = ErrorCode::AuthenticationFailed;
            self.tell(code, "no token came in time", None, None, now, out);
            let code = close::AUTHENTICATION_TIMEOUT;
            return Need::Close(Closing { code, reason: "authentication timeout" });
        }
        if self.expires_at().is_some_and(|end| now >= end) {
            return Need::Close(Closing { code: close::TOKEN_EXPIRED, reason: "token expired" });
        }
        match self.heart.turn(now) {
            Beat::Wait => Need::Nothing,
            Beat::Ping => {
                if self.attachment.is_some() {
                    out.reply(protocol::ping(now));
                }
                Need::Nothing
            }
            Beat::Silent => {
                let code = ErrorCode::ConnectionTimeout;
                self.tell(code, "nothing came for too long", None, None, now, out);
                Need::Close(Closing { code: close::NO_PONG, reason: "connection timeout" })
            }
        }
    }

    /// When [`Session::on_time`] has something to do.
    pub(super) fn next_due(&self) -> Millis {
        let due = self.heart.next().min(self.expires_at().unwrap_or(Millis::MAX));
        if self.attachment.is_none() { due.min(self.authenticate_by_ms) } else { due }
    }

    fn expires_at(&self) -> Option<Millis> {
        self.principal.as_ref().and_then(Principal::expires_at)
    }

    fn too_much(&self, id: Option<&Echo>, now: Millis, out: &mut Out) -> Need {
        let error = "too many messages or errors";
        self.tell(ErrorCode::RateLimitExceeded, error, None, id, now, out);
        Need::Close(Closing { code: close::RATE_LIMITED, reason: "rate limited" })
    }

    fn tell(
        &self,
        code: ErrorCode,
        error: &str,
        details: Option<&str>,
        id: Option<&Echo>,
        now: Millis,
        out: &mut Out,
    ) {
        self.hub.count_error();
        out.reply(protocol::error(code, error, details, id, now));
    }
}
