//! The same stream for networks that break WebSockets: one connection that only listens, as Server-Sent Events.
//!
//! What it is told, and when, is decided by the same [`Session`] and joined by the same steps; only the carrier differs.
//! The reader takes events from a short channel at its own pace. What it does not take waits in the hub under the same
//! bounds as any other connection's, and it is closed as a slow consumer when they are passed.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::join::{self, Join};
use super::out::Out;
use super::protocol::{self, Channel, Resume};
use super::session::{Closing, Need, Session};
use super::{Backend, Door, Entry, Refusal, Shared, close};
use crate::access::Principal;
use crate::clock::Millis;
use crate::hub::{Frame, Seat};

/// Events that may wait for the HTTP connection to take them.
const EVENTS_MAX: usize = 16;
/// A reader that has taken nothing for so long is stalled, and not merely busy.
const STALLED_AFTER_MS: Millis = 250;
/// How long a last event may take to leave.
const FAREWELL_MS: Millis = 2_000;

/// One event, as the HTTP layer writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame: the event's name is its type.
    Frame {
        /// The frame's `type`.
        name: String,
        /// `<epoch>:<offset>`, where the reader can begin again behind it.
        id: Option<String>,
        /// The frame's JSON, in one line.
        data: String,
        /// How long the reader should wait before it comes back: told once.
        retry: Option<Duration>,
    },
    /// Nothing but a sign of life.
    Beat,
}

/// Whoever wants to listen, as the HTTP layer sees it.
#[derive(Debug)]
pub struct Listener {
    /// Who asks, if a token came with the request and was found good.
    pub principal: Option<Principal>,
    /// The query's `session_id`, of 1 to 256 bytes.
    pub session_id: Option<String>,
    /// Where it left off.
    pub resume: Option<Resume>,
    /// What it wants to watch.
    pub subscribe: Vec<Channel>,
    /// Ends the HTTP connection where its client does not read.
    pub cut: CancellationToken,
}

impl<B: Backend> Door<B> {
    /// Lets somebody in who only listens. The connection lives as a task of its own, until the events are not taken any
    /// more.
    ///
    /// # Errors
    /// A [`Refusal`]: there is nobody to let in, they may not, or the house is full.
    pub fn listen(&self, listener: Listener) -> Result<mpsc::Receiver<Event>, Refusal> {
        let Listener { principal, session_id, resume, subscribe, cut } = listener;
        let Entry::Seated(seat, mut join) = self.entry(principal, session_id, resume)? else {
            return Err(Refusal::Anonymous);
        };
        join.connect.subscribe = subscribe;
        let (events, taken) = mpsc::channel(EVENTS_MAX);
        let session = Session::new(&self.shared.limits, self.shared.hub.clone(), self.shared.clock.now());
        let shared = self.shared.clone();
        let out = Out::default();
        let stream = Stream { shared, session, out, events, cut, epoch: String::new(), blocked: None };
        self.supervisor.spawn("event stream", Box::pin(stream.run(seat, *join)));
        Ok(taken)
    }
}

/// One listening connection.
struct Stream<B> {
    shared: Arc<Shared<B>>,
    session: Session,
    out: Out,
    events: mpsc::Sender<Event>,
    cut: CancellationToken,
    epoch: String,
    /// Since when the reader has taken nothing, and whether that is called a stall already.
    blocked: Option<(Millis, bool)>,
}

/// How it ends.
enum End {
    Close(Closing),
    /// There is nobody any more.
    Gone,
}

impl From<Closing> for End {
    fn from(closing: Closing) -> End {
        End::Close(closing)
    }
}

/// What woke the task.
enum Woken {
    Room,
    Hub,
    Withdrawn,
    Timer,
}

impl<B: Backend> Stream<B> {
    async fn run(mut self, seat: Seat, join: Join) {
        let closing = match self.live(seat, join).await {
            Ok(never) => match never {},
            Err(End::Gone) => return,
            Err(End::Close(closing)) => closing,
        };
        if let Some(attachment) = &self.session.attachment {
            attachment.close(closing.code);
        }
        if closing.code == close::SLOW_CONSUMER {
            self.out = Out::default();
        } else {
            // What waits in the hub still goes out.
            let _ = self.take(true);
        }
        let now = self.shared.clock.now();
        self.out.reply(protocol::closed(closing.code, closing.reason, now));
        let clock = self.shared.clock.clone();
        tokio::select! {
            _ = self.hand_over_all() => {}
            // A client that does not read would hold the connection, and a shutdown, for ever.
            () = clock.sleep_until(now.saturating_add(FAREWELL_MS)) => self.cut.cancel(),
        }
    }

    /// From the first event to the end, which is always an error.
    async fn live(&mut self, seat: Seat, join: Join) -> Result<Infallible, End> {
        let (session, shared) = (&mut self.session, &self.shared);
        let mut replay = join::join(session, shared, Some(seat), join, &mut self.out).await?;
        loop {
            if self.out.is_empty()
                && let Some(under_way) = replay.take()
            {
                let (session, shared) = (&mut self.session, &self.shared);
                replay = join::replay(session, shared, under_way, &mut self.out).await?;
            } else {
                self.turn(replay.is_none()).await?;
            }
        }
    }

    /// Waits for one thing and does it. With `live`, what the hub holds is wanted.
    async fn turn(&mut self, live: bool) -> Result<(), End> {
        if let Some(code) = self.take(live) {
            return Err(Closing { code, reason: super::socket::reason(code) }.into());
        }
        match self.woken(live).await? {
            Woken::Room => {
                let now = self.shared.clock.now();
                // A reader that takes what it is sent is alive.
                self.session.heard(now);
                self.unblock();
                self.hand_over()?;
                if !self.out.is_empty() {
                    self.blocked = Some((now, false));
                }
            }
            Woken::Hub => {}
            Woken::Withdrawn => self.ask(Session::on_withdrawn)?,
            Woken::Timer => {
                self.note_stall();
                self.ask(Session::on_time)?;
            }
        }
        Ok(())
    }

    async fn woken(&mut self, live: bool) -> Result<Woken, End> {
        let (session, events) = (&self.session, &self.events);
        let waiting = !self.out.is_empty();
        let due = match self.blocked {
            Some((since, false)) => session.next_due().min(since.saturating_add(STALLED_AFTER_MS)),
            Some((_, true)) | None => session.next_due(),
        };
        let hub = poll_fn(|cx| {
            if session.leaves.as_ref().is_some_and(|leaves| leaves.poll(cx).is_ready()) {
                return Poll::Ready(Woken::Withdrawn);
            }
            match &session.attachment {
                Some(attachment) => attachment.poll_ready(cx, live && !waiting).map(|()| Woken::Hub),
                None => Poll::Pending,
            }
        });
        tokio::select! {
            biased;
            () = events.closed() => Err(End::Gone),
            woken = hub => Ok(woken),
            room = events.reserve(), if waiting => room.map(|_| Woken::Room).map_err(|_| End::Gone),
            () = self.shared.clock.sleep_until(due) => Ok(Woken::Timer),
        }
    }

    /// Takes what the hub holds. Answers the code if the connection is to be closed.
    fn take(&mut self, live: bool) -> Option<u16> {
        let attachment = self.session.attachment.as_ref()?;
        if live { self.out.take(attachment) } else { attachment.closing() }
    }

    fn ask(&mut self, ask: impl FnOnce(&mut Session, Millis, &mut Out) -> Need) -> Result<(), End> {
        match ask(&mut self.session, self.shared.clock.now(), &mut self.out) {
            Need::Close(closing) => Err(closing.into()),
            // Only what a client says needs more, and this one says nothing.
            Need::Nothing | Need::Join(_) | Need::Watch(_) | Need::Mark(_) | Need::Leave(_) => Ok(()),
        }
    }

    /// Hands over what waits, as far as there is room at once.
    fn hand_over(&mut self) -> Result<(), End> {
        let mut written = 0;
        while !self.out.is_empty() {
            let room = match self.events.try_reserve() {
                Ok(room) => room,
                Err(mpsc::error::TrySendError::Full(())) => break,
                Err(mpsc::error::TrySendError::Closed(())) => return Err(End::Gone),
            };
            let Some(frame) = self.out.pop() else { break };
            room.send(event(&frame, &mut self.epoch, self.shared.limits.reconnect_delay));
            written += 1;
        }
        if let Some(attachment) = &self.session.attachment {
            attachment.wrote(written, self.shared.clock.now());
        }
        Ok(())
    }

    /// Hands over everything, at the reader's pace, and waits until it is taken.
    async fn hand_over_all(&mut self) -> Result<(), End> {
        while !self.out.is_empty() {
            self.events.reserve().await.map_err(|_| End::Gone)?;
            self.hand_over()?;
        }
        self.events.reserve_many(EVENTS_MAX).await.map(drop).map_err(|_| End::Gone)
    }

    fn note_stall(&mut self) {
        if let Some((since, false)) = self.blocked
            && self.shared.clock.now() >= since.saturating_add(STALLED_AFTER_MS)
        {
            self.blocked = Some((since, true));
            if let Some(attachment) = &self.session.attachment {
                attachment.hold(self.out.len(), self.out.bytes(), true);
            }
        }
    }

    fn unblock(&mut self) {
        if self.blocked.take().is_some()
            && let Some(attachment) = &self.session.attachment
        {
            attachment.hold(0, 0, false);
        }
    }
}

/// A frame as an event. The `hello` names the epoch, and where the stream begins for somebody who has nothing yet.
fn event(frame: &Frame, epoch: &mut String, retry: Duration) -> Event {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Hello {
        epoch: Option<String>,
        offset: u64,
        recovered: bool,
    }
    let kind = match serde_json::from_slice::<Head<'_>>(frame.payload()) {
        Ok(head) if head.kind == "ping" => return Event::Beat,
        Ok(head) => head.kind.into_owned(),
        Err(_) => return Event::Beat,
    };
    let (mut offset, mut told) = (frame.offset(), None);
    if kind == "hello"
        && let Ok(hello) = serde_json::from_slice::<Hello>(frame.payload())
    {
        told = Some(retry);
        *epoch = hello.epoch.unwrap_or_default();
        // Whoever resumes has an id already, and is still to get what lies before the head.
        offset = (!hello.recovered).then_some(hello.offset);
    }
    let id = offset.filter(|_| !epoch.is_empty()).map(|offset| format!("{epoch}:{offset}"));
    // Line ends can be only between tokens, where a space means the same.
    let data = String::from_utf8_lossy(frame.payload()).replace(['\n', '\r'], " ");
    Event::Frame { name: kind, id, data, retry: told }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(frame: &Frame, epoch: &mut String) -> (String, Option<String>, String) {
        match event(frame, epoch, Duration::from_secs(1)) {
            Event::Frame { name, id, data, .. } => (name, id, data),
            Event::Beat => panic!("a frame"),
        }
    }

    #[test]
    fn a_broadcast_is_named_by_its_type_wherever_that_stands_and_whatever_else_it_holds() {
        let message = json!({ "a": "x\ny", "offset": "none", "type": "news" });
        let frame = protocol::broadcast(message.as_object().expect("an object"), 0);
        let (name, id, data) = told(&frame, &mut "e".to_owned());
        assert_eq!((name.as_str(), id), ("news", None));
        assert!(data.contains("x\\ny") && !data.contains('\n'), "{data}");
    }

    #[test]
    fn a_heartbeat_is_no_event() {
        assert_eq!(event(&protocol::ping(0), &mut String::new(), Duration::ZERO), Event::Beat);
    }
}
