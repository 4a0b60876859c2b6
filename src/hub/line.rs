//! One connection as the hub sees it: a bounded queue that a publisher fills and the connection's own task empties.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use uuid::Uuid;

use super::frame::Frame;
use super::{CLOSE_SLOW_CONSUMER, Limits};
use crate::clock::Millis;

/// What a connection may be sent before its task has had the processor: a burst is not a slow reader.
const BURST_LEN_MAX: usize = 4096;
/// The same in bytes.
const BURST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One connection. The publisher holds its lock for a push, the owner for a swap.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: Uuid,
    pub(super) user_id: Option<Box<str>>,
    pub(super) session_id: Option<Box<str>>,
    pub(super) connected_at_ms: Millis,
    pub(super) heard_at_ms: AtomicI64,
    pub(super) active_at_ms: AtomicI64,
    pub(super) sent: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// What the owner took and could not write yet: it still counts.
    held_len: usize,
    held_bytes: usize,
    /// The socket has taken nothing for a while.
    stalled: bool,
    /// Notifications with an offset are left out, because the owner reads them from the store.
    replaying: bool,
    closing: Option<u16>,
    /// Whether the owner wants to be woken for frames, or for closing alone.
    wants: bool,
    waker: Option<Waker>,
    channels: Vec<Box<str>>,
}

/// What a push came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits to be written.
    Queued,
    /// The owner reads it from the store instead.
    LeftToReplay,
    /// The connection is being closed.
    Closing,
    /// It was one too many: the connection is closed now.
    Overflowed,
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
            state: Mutex::default(),
        }
    }

    /// Queues a frame and wakes the owner. Never waits for the socket.
    pub(super) fn push(&self, frame: &Frame, limits: &Limits) -> Pushed {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Pushed::Closing;
        }
        if state.replaying && frame.offset().is_some() {
            return Pushed::LeftToReplay;
        }
        let (len_max, bytes_max) = state.room(limits);
        let len = state.frames.len() + state.held_len + 1;
        let bytes = state.bytes + state.held_bytes + frame.len();
        let pushed = if len > len_max || bytes > bytes_max && len > 1 {
            state.overflow();
            Pushed::Overflowed
        } else {
            state.frames.push_back(frame.clone());
            state.bytes += frame.len();
            Pushed::Queued
        };
        let woken = state.wants || pushed == Pushed::Overflowed;
        let waker = if woken { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        pushed
    }

    /// Ready when the connection is to be closed or, if the owner `wants` frames, when one waits.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>, wants: bool) -> Poll<()> {
        let mut state = self.state.lock();
        if state.closing.is_some() || wants && !state.frames.is_empty() {
            return Poll::Ready(());
        }
        state.wants = wants;
        match &state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(_) | None => state.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Swaps the waiting frames for the owner's empty list, so that an empty queue holds no memory. Answers the code
    /// if the connection is to be closed.
    pub(super) fn swap(&self, mine: &mut VecDeque<Frame>) -> Option<u16> {
        let mut state = self.state.lock();
        state.bytes = 0;
        *mine = std::mem::take(&mut state.frames);
        state.closing
    }

    pub(super) fn hold(&self, len: usize, bytes: usize, stalled: bool, limits: &Limits) -> bool {
        let mut state = self.state.lock();
        (state.held_len, state.held_bytes, state.stalled) = (len, bytes, stalled);
        let (len_max, bytes_max) = state.room(limits);
        let over = state.closing.is_none()
            && stalled
            && (state.frames.len() + len > len_max || state.bytes + bytes > bytes_max);
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

    pub(super) fn replaying(&self, replaying: bool) {
        self.state.lock().replaying = replaying;
    }

    pub(super) fn queue_len(&self) -> usize {
        let state = self.state.lock();
        state.frames.len() + state.held_len
    }

    pub(super) fn channels(&self) -> Vec<String> {
        self.state.lock().channels.iter().map(|channel| channel.as_ref().to_owned()).collect()
    }

    pub(super) fn with_channels<T>(&self, change: impl FnOnce(&mut Vec<Box<str>>) -> T) -> T {
        change(&mut self.state.lock().channels)
    }

    pub(super) fn touch(&self, now: Millis) {
        self.active_at_ms.store(now, Ordering::Relaxed);
    }
}

impl State {
    fn room(&self, limits: &Limits) -> (usize, usize) {
        if self.stalled {
            (limits.queue_len_max, limits.queue_bytes_max)
        } else {
            (limits.queue_len_max.max(BURST_LEN_MAX), limits.queue_bytes_max.max(BURST_BYTES_MAX))
        }
    }

    fn overflow(&mut self) {
        self.closing = Some(CLOSE_SLOW_CONSUMER);
        self.frames = VecDeque::new();
        self.bytes = 0;
    }
}
