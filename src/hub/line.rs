//! One connection as the hub sees it: whether a publisher may write to its socket, and what waits if not.
//!
//! While its task sleeps with nothing to write, whoever delivers writes to the socket itself, and nothing is kept
//! here. What the socket does not take, or what comes while the task is at work, waits in a bounded backlog.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::activity::Activity;
use super::frame::{Frame, Publication};
use super::{CLOSE_SLOW_CONSUMER, Limits};
use crate::clock::Millis;

/// What may wait for a connection before its task has had the processor: a burst is not a slow reader.
const BURST_LEN_MAX: usize = 4096;
/// The same in bytes.
const BURST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One connection. Whoever delivers holds its lock for a write, the owner for a swap.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: Uuid,
    pub(super) user_id: Option<Box<str>>,
    pub(super) session_id: Option<Box<str>>,
    pub(super) connected_at_ms: Millis,
    pub(super) heard_at_ms: AtomicI64,
    pub(super) active_at_ms: AtomicI64,
    pub(super) sent: AtomicU64,
    /// The newest offset that the client says it has.
    pub(super) acked: AtomicU64,
    pub(super) state: Mutex<State>,
}

/// What changes.
#[derive(Debug, Default)]
pub(super) struct State {
    backlog: VecDeque<Frame>,
    bytes: usize,
    /// What the owner took and could not write yet: it still counts.
    held_len: usize,
    held_bytes: usize,
    /// The socket has taken nothing for a while.
    stalled: bool,
    /// Notifications with an offset are left out, because the owner reads them from the store.
    pub(super) replaying: bool,
    /// Notifications up to this offset are left out: the client has them.
    floor: u64,
    pub(super) closing: Option<u16>,
    /// The owner sleeps, has nothing to write, and wants to be woken for frames; otherwise for closing alone.
    idle: bool,
    /// Where to write while the owner is idle.
    socket: Option<Arc<TcpStream>>,
    waker: Option<Waker>,
    channels: Vec<Box<str>>,
}

impl Line {
    pub(super) fn new(id: Uuid, user_id: Option<String>, session_id: Option<String>, now: Millis) -> Line {
        Line {
            id,
            user_id: user_id.map(String::into_boxed_str),
            session_id: session_id.map(String::into_boxed_str),
            connected_at_ms: now,
            heard_at_ms: AtomicI64::new(now),
            active_at_ms: AtomicI64::new(now),
            sent: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// Ready when the connection is to be closed or, if the owner `wants` frames, when one waits. An owner that wants
    /// frames has nothing to write: until it wakes, others write to its socket.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>, wants: bool) -> Poll<()> {
        let mut state = self.state.lock();
        state.idle = false;
        if state.closing.is_some() || wants && !state.backlog.is_empty() {
            return Poll::Ready(());
        }
        state.idle = wants;
        match &state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(_) | None => state.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The owner is awake: from now on it alone writes.
    pub(super) fn claim(&self) {
        self.state.lock().idle = false;
    }

    /// Swaps what waits for the owner's empty list, so that an empty backlog holds no memory. Answers the code if the
    /// connection is to be closed.
    pub(super) fn swap(&self, mine: &mut VecDeque<Frame>) -> Option<u16> {
        let mut state = self.state.lock();
        state.idle = false;
        state.bytes = 0;
        *mine = std::mem::take(&mut state.backlog);
        let floor = state.floor;
        if floor > 0 {
            mine.retain(|frame| frame.offset().is_none_or(|offset| offset > floor || frame.is_begun()));
        }
        state.closing
    }

    /// Answers whether the connection is closed by this.
    pub(super) fn hold(&self, len: usize, bytes: usize, stalled: bool, limits: &Limits) -> bool {
        let mut state = self.state.lock();
        (state.held_len, state.held_bytes, state.stalled) = (len, bytes, stalled);
        let (len_max, bytes_max) = state.room(limits);
        let over = state.closing.is_none()
            && stalled
            && (state.backlog.len() + len > len_max || state.bytes + bytes > bytes_max);
        if over {
            state.overflow();
        }
        over
    }

    /// Answers false if the connection was being closed already.
    pub(super) fn close(&self, code: u16) -> bool {
        let mut state = self.state.lock();
        let first = state.closing.is_none();
        state.closing.get_or_insert(code);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        first
    }

    pub(super) fn closing(&self) -> Option<u16> {
        self.state.lock().closing
    }

    pub(super) fn write_to(&self, socket: Arc<TcpStream>) {
        self.state.lock().socket = Some(socket);
    }

    pub(super) fn replaying(&self, replaying: bool) {
        self.state.lock().replaying = replaying;
    }

    pub(super) fn floor(&self, offset: u64) {
        self.state.lock().floor = offset;
    }

    pub(super) fn queue_len(&self) -> usize {
        let state = self.state.lock();
        state.backlog.len() + state.held_len
    }

    pub(super) fn channels(&self) -> Vec<String> {
        self.state.lock().channels.iter().map(|channel| channel.as_ref().to_owned()).collect()
    }

    pub(super) fn with_channels<T>(&self, change: impl FnOnce(&mut Vec<Box<str>>) -> T) -> T {
        change(&mut self.state.lock().channels)
    }

    /// Notes that there was traffic.
    pub(super) fn touch(&self, now: Millis, activity: &Activity) {
        activity.turn(self.active_at_ms.swap(now, Ordering::Relaxed), now);
    }
}

impl State {
    /// Whether the connection is to be sent this.
    pub(super) fn is_due(&self, publication: &Publication) -> bool {
        let news = publication.frame.offset().is_none_or(|offset| !self.replaying && offset > self.floor);
        let elsewhere = publication.unless_watching.as_deref().is_some_and(|others| self.watches_any(others));
        news && !elsewhere
    }

    fn watches_any(&self, channels: &[Box<str>]) -> bool {
        self.channels.iter().any(|watched| channels.contains(watched))
    }

    /// The socket, if whoever delivers may write to it.
    pub(super) fn open_socket(&self) -> Option<&Arc<TcpStream>> {
        if self.idle && self.backlog.is_empty() { self.socket.as_ref() } else { None }
    }

    /// Keeps a frame for the owner. Answers false, and closes, if it is one too many.
    pub(super) fn keep(&mut self, frame: Frame, limits: &Limits) -> bool {
        let (len_max, bytes_max) = self.room(limits);
        let len = self.backlog.len() + self.held_len + 1;
        let bytes = self.bytes + self.held_bytes + frame.len();
        if len > len_max || bytes > bytes_max && len > 1 {
            self.overflow();
            return false;
        }
        self.bytes += frame.len();
        self.backlog.push_back(frame);
        true
    }

    /// Whom to wake, if the owner waits for what has just come. From then on it alone writes.
    pub(super) fn rouse(&mut self) -> Option<Waker> {
        let wanted = std::mem::take(&mut self.idle) || self.closing.is_some();
        if wanted { self.waker.take() } else { None }
    }

    fn room(&self, limits: &Limits) -> (usize, usize) {
        if self.stalled {
            (limits.queue_len_max, limits.queue_bytes_max)
        } else {
            (limits.queue_len_max.max(BURST_LEN_MAX), limits.queue_bytes_max.max(BURST_BYTES_MAX))
        }
    }

    fn overflow(&mut self) {
        self.closing = Some(CLOSE_SLOW_CONSUMER);
        // A frame that is begun must be ended, or the client would not understand the close frame.
        self.backlog.truncate(usize::from(self.backlog.front().is_some_and(Frame::is_begun)));
        self.backlog.shrink_to_fit();
        self.bytes = self.backlog.iter().map(Frame::len).sum();
    }
}
