//! Bytes between one TCP stream, its session and its backlog: the loop that a connection's task is.
//!
//! An idle connection holds no buffer. Bytes are read into one that its thread's connections share, and written
//! straight from the shared frames, all that wait in one write. While this task sleeps with nothing to write, those who
//! publish write to the socket themselves; it wakes when something comes in, or when the socket is full.

mod farewell;
mod stall;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::net::TcpStream;

pub(super) use self::farewell::reason;
use super::frame::Decoder;
use super::join::{self, Join, Replay};
use super::out::Out;
use super::rights;
use super::session::{Closing, Need, Session};
use super::{Backend, Entry, Shared, Waiting, close};
use crate::clock::Millis;
use crate::hub::Seat;

/// One read. Large enough for many small frames, small enough to stay in the cache.
const SCRATCH_BYTES: usize = 32 * 1024;
/// The most bytes of a message from a client that has not said who it is: enough for any `connect`.
const STRANGER_BYTES_MAX: usize = 64 * 1024;
/// Writes in a row before the task looks at the other side again.
const WRITES_IN_A_ROW_MAX: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// One connection.
pub(super) struct Socket<B> {
    stream: Arc<TcpStream>,
    shared: Arc<Shared<B>>,
    session: Session,
    decoder: Decoder,
    out: Out,
    /// Bytes that were read and not looked at yet.
    unread: Bytes,
    replay: Option<Box<Replay>>,
    /// Since when the socket has taken nothing, and whether that is called a stall already.
    blocked: Option<(Millis, bool)>,
    entry: Option<Box<Entry<B>>>,
}

/// How it ends.
enum End {
    /// We close, with a code.
    Close(Closing),
    /// The client has closed with that code.
    Left(u16),
    /// There is nobody any more.
    Gone,
}

impl From<Closing> for End {
    fn from(closing: Closing) -> End {
        End::Close(closing)
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

/// What woke the task.
#[derive(Clone, Copy, Default)]
struct Ready {
    timer: bool,
    withdrawn: bool,
    hub: bool,
    write: bool,
    read: bool,
}

impl<B: Backend> Socket<B> {
    pub(super) fn new(
        stream: TcpStream,
        unread: Bytes,
        shared: Arc<Shared<B>>,
        session: Session,
        entry: Entry<B>,
    ) -> Box<Socket<B>> {
        // An empty slice may still hold the HTTP machine's whole buffer.
        let unread = if unread.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(&unread) };
        let decoder = Decoder::new(shared.limits.message_bytes_max.min(STRANGER_BYTES_MAX));
        let entry = Some(Box::new(entry));
        let (out, replay, blocked) = (Out::default(), None, None);
        let stream = Arc::new(stream);
        Box::new(Socket { stream, shared, session, decoder, out, unread, replay, blocked, entry })
    }

    /// From the upgrade to the end.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = match Box::pin(self.enter()).await {
            Ok(()) => self.live().await,
            Err(end) => end,
        };
        Box::pin(self.part(end)).await;
    }

    /// Joins at once, if the request said who it is; otherwise waits for a frame that does.
    async fn enter(&mut self) -> Result<(), End> {
        match self.entry.take().map(|entry| *entry) {
            Some(Entry::Seated(seat, join)) => self.join(Some(seat), *join).await?,
            Some(Entry::Waiting(waiting)) => self.wait_for_connect(waiting).await?,
            None => {}
        }
        Ok(())
    }

    async fn wait_for_connect(&mut self, _waiting: Waiting<B>) -> Result<(), End> {
        let shared = self.shared.clone();
        let mut stopping = pin!(shared.stopping.cancelled());
        while self.session.attachment.is_none() {
            self.meet(Need::Nothing).await?;
            self.send()?;
            if self.session.attachment.is_some() {
                return Ok(());
            }
            let mut timer = pin!(shared.clock.sleep_until(self.next_due()));
            let ready = tokio::select! {
                biased;
                () = stopping.as_mut() => {
                    return Err(Closing { code: close::SHUTDOWN, reason: "shutdown" }.into());
                }
                ready = poll_fn(|cx| self.poll(cx, timer.as_mut())) => ready,
            };
            self.turn(ready).await?;
        }
        Ok(())
    }

    /// The loop. It has an end only by an error.
    async fn live(&mut self) -> End {
        loop {
            if let Err(end) = self.live_until_due().await {
                return end;
            }
        }
    }

    /// One timer's worth of the loop: an armed timer is kept while only frames come and go.
    async fn live_until_due(&mut self) -> Result<(), End> {
        let clock = self.shared.clock.clone();
        let due = self.next_due();
        let mut timer = pin!(clock.sleep_until(due));
        while self.next_due() >= due {
            self.send()?;
            while self.lags() {
                Box::pin(self.catch_up()).await?;
                self.send()?;
            }
            let ready = poll_fn(|cx| self.poll(cx, timer.as_mut())).await;
            if ready.read || ready.timer || ready.withdrawn {
                self.turn(ready).await?;
            }
            if ready.timer {
                break;
            }
        }
        Ok(())
    }

    /// Whether there is something to do that neither the socket nor the hub will wake us for.
    fn lags(&self) -> bool {
        match self.replay {
            Some(_) => self.out.is_empty(),
            None => !self.unread.is_empty() && self.out.has_room_for_replies(),
        }
    }

    /// Replays a page, or looks at bytes that were left while something had to be waited for.
    async fn catch_up(&mut self) -> Result<(), End> {
        match self.replay.take() {
            Some(replay) => {
                self.replay = join::replay(&mut self.session, &self.shared, replay, &mut self.out).await?;
                Ok(())
            }
            None => self.meet(Need::Nothing).await,
        }
    }

    async fn turn(&mut self, ready: Ready) -> Result<(), End> {
        if let Some(attachment) = &self.session.attachment {
            attachment.claim();
        }
        let now = self.shared.clock.now();
        if ready.read {
            let (need, filled) = self.receive(now)?;
            match need {
                Need::Nothing => {}
                need => Box::pin(self.meet(need)).await?,
            }
            if filled {
                // Whoever sends without a pause leaves room for the others.
                tokio::task::yield_now().await;
            }
        }
        if ready.withdrawn {
            match self.session.on_withdrawn(now, &mut self.out) {
                Need::Nothing => {}
                need => Box::pin(self.meet(need)).await?,
            }
        }
        if ready.timer {
            self.note_stall(now);
            match self.session.on_time(now, &mut self.out) {
                Need::Nothing => {}
                need => Box::pin(self.meet(need)).await?,
            }
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: Pin<&mut impl Future<Output = ()>>) -> Poll<Ready> {
        let mut ready = Ready { timer: timer.poll(cx).is_ready(), ..Ready::default() };
        let writing = !self.out.is_empty();
        if let Some(attachment) = &self.session.attachment {
            let wants = !writing && self.replay.is_none();
            ready.hub = attachment.poll_ready(cx, wants).is_ready();
        }
        if let Some(leaves) = &self.session.leaves {
            ready.withdrawn = leaves.poll(cx).is_ready();
        }
        // An error makes a stream ready, and the next read or write tells it.
        ready.write = writing && self.stream.poll_write_ready(cx).is_ready();
        let listening = self.unread.is_empty() && self.out.has_room_for_replies();
        ready.read = listening && self.stream.poll_read_ready(cx).is_ready();
        let any = ready.timer || ready.withdrawn || ready.hub || ready.write || ready.read;
        if any { Poll::Ready(ready) } else { Poll::Pending }
    }

    /// Writes what waits, as far as the socket takes it.
    fn send(&mut self) -> Result<(), End> {
        if let Some(code) = self.take() {
            return Err(Closing { code, reason: reason(code) }.into());
        }
        let mut completed = 0;
        for _ in 0..WRITES_IN_A_ROW_MAX {
            if self.out.is_empty() {
                break;
            }
            match self.out.write(&self.stream) {
                Ok(frames) => {
                    completed += frames;
                    self.unblock();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.block();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if completed > 0
            && let Some(attachment) = &self.session.attachment
        {
            attachment.wrote(completed, self.shared.clock.now());
        }
        Ok(())
    }

    /// Takes what the hub holds, unless something before it must go out first. Answers the code if the connection is
    /// to be closed.
    fn take(&mut self) -> Option<u16> {
        let attachment = self.session.attachment.as_ref()?;
        match &self.replay {
            Some(_) => attachment.closing(),
            None => self.out.take(attachment),
        }
    }

    /// One read, and every message in it up to the first one that has to wait for something. Answers also whether
    /// the read was full.
    fn receive(&mut self, now: Millis) -> Result<(Need, bool), End> {
        SCRATCH.with_borrow_mut(|scratch| {
            let length = match self.stream.try_read(scratch) {
                Ok(0) => return Err(End::Gone),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((Need::Nothing, false)),
                Err(error) => return Err(error.into()),
            };
            self.session.heard(now);
            let (used, need) = self.digest(&scratch[..length], now)?;
            self.unread = Bytes::copy_from_slice(&scratch[used..length]);
            Ok((need, length == scratch.len()))
        })
    }

    fn digest(&mut self, input: &[u8], now: Millis) -> Result<(usize, Need), End> {
        let mut used = 0;
        loop {
            let (more, event) = match self.decoder.next(&input[used..]) {
                Ok(found) => found,
                Err(violation) => {
                    let (code, reason) = (violation.close_code(), "protocol violation");
                    return Err(Closing { code, reason }.into());
                }
            };
            used += more;
            let fragments = self.decoder.take_fragments();
            if fragments > 0 {
                match self.session.on_fragments(fragments, now, &mut self.out) {
                    Need::Nothing => {}
                    need => return Ok((used, need)),
                }
            }
            let Some(event) = event else { return Ok((used, Need::Nothing)) };
            match self.session.on_event(event, &*self.shared.backend, now, &mut self.out) {
                Need::Nothing => {}
                need => return Ok((used, need)),
            }
        }
    }

    /// Does what a message needs, and then looks at the messages behind it.
    async fn meet(&mut self, mut need: Need) -> Result<(), End> {
        loop {
            need = match need {
                Need::Nothing if self.unread.is_empty() || self.replay.is_some() => return Ok(()),
                Need::Nothing => {
                    let unread = std::mem::take(&mut self.unread);
                    let (used, need) = self.digest(&unread, self.shared.clock.now())?;
                    self.unread = unread.slice(used..);
                    if self.unread.is_empty() {
                        self.unread = Bytes::new();
                    }
                    need
                }
                Need::Join(join) => {
                    self.join(None, *join).await?;
                    Need::Nothing
                }
                Need::Watch(watch) => {
                    rights::watch(&mut self.session, &self.shared, *watch, &mut self.out).await
                }
                Need::Mark(mark) => join::mark(&mut self.session, &self.shared, *mark, &mut self.out).await,
                Need::Close(closing) => return Err(closing.into()),
                Need::Leave(code) => return Err(End::Left(code)),
            }
        }
    }

    async fn join(&mut self, seat: Option<Seat>, join: Join) -> Result<(), End> {
        self.replay = join::join(&mut self.session, &self.shared, seat, join, &mut self.out).await?;
        if let Some(attachment) = &self.session.attachment {
            attachment.write_to(self.stream.clone());
        }
        self.decoder.allow(self.shared.limits.message_bytes_max);
        Ok(())
    }
}
