//! A connection's own end of the hub. Dropping it is leaving.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use uuid::Uuid;

use super::frame::Frame;
use super::line::Line;
use super::{Hub, Seat};
use crate::clock::Millis;

/// The most channels that one connection may watch.
pub const SUBSCRIPTIONS_MAX: usize = 1000;

/// One connection watches too many channels.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a connection may watch at most {SUBSCRIPTIONS_MAX} channels")]
pub struct TooMany;

/// A place in the hub, owned by the connection's task. It detaches when dropped.
#[derive(Debug)]
pub struct Attachment {
    hub: Hub,
    line: Arc<Line>,
    _seat: Seat,
}

impl Attachment {
    pub(super) fn new(hub: Hub, line: Arc<Line>, seat: Seat) -> Attachment {
        Attachment { hub, line, _seat: seat }
    }

    /// The connection's id.
    pub fn id(&self) -> Uuid {
        self.line.id
    }

    /// Whose connection it is.
    pub fn user_id(&self) -> Option<&str> {
        self.line.user_id.as_deref()
    }

    /// The session that the client named.
    pub fn session_id(&self) -> Option<&str> {
        self.line.session_id.as_deref()
    }

    /// Watches a channel. Answers false if it was watched already.
    pub fn subscribe(&self, channel: &str) -> Result<bool, TooMany> {
        let added = self.line.with_channels(|channels| {
            if channels.iter().any(|watched| **watched == *channel) {
                return Ok(false);
            }
            if channels.len() >= SUBSCRIPTIONS_MAX {
                return Err(TooMany);
            }
            channels.push(channel.into());
            Ok(true)
        })?;
        if added {
            self.hub.shared.channels.insert(channel, &self.line, usize::MAX);
        }
        Ok(added)
    }

    /// Watches a channel no more. Answers false if it was not watched.
    pub fn unsubscribe(&self, channel: &str) -> bool {
        let removed = self.line.with_channels(|channels| {
            let place = channels.iter().position(|watched| **watched == *channel);
            place.map(|place| channels.swap_remove(place)).is_some()
        });
        if removed {
            self.hub.shared.channels.remove(channel, self.line.id);
        }
        removed
    }

    /// Lets those who publish write to the connection's socket while its task waits in [`Attachment::poll_ready`] and
    /// wants frames. Without this every frame wakes the task.
    pub fn write_to(&self, socket: Arc<TcpStream>) {
        self.line.write_to(socket);
    }

    /// Ready when the connection is to be closed or, if the caller `wants` frames, when one waits. One task only may
    /// poll: the last one is woken. Whoever wants frames must have written all that it had.
    pub fn poll_ready(&self, cx: &mut Context<'_>, wants: bool) -> Poll<()> {
        self.line.poll_ready(cx, wants)
    }

    /// Keeps all others from the socket until the next [`Attachment::poll_ready`]: for a task that has woken and may
    /// have something to write.
    pub fn claim(&self) {
        self.line.claim();
    }

    /// Every frame that waits, oldest first; what `mine` held before is dropped. The first may be the rest of one that
    /// is written in part. Answers the code if the connection is to be closed.
    pub fn take(&self, mine: &mut VecDeque<Frame>) -> Option<u16> {
        self.line.swap(mine)
    }

    /// The code that the connection is to be closed with, once somebody has decided so.
    pub fn closing(&self) -> Option<u16> {
        self.line.closing()
    }

    /// Marks the connection as closing from its own side.
    pub fn close(&self, code: u16) {
        self.line.close(code);
    }

    /// Says what the caller took but could not write yet: it counts against the bound. With `stalled` the socket has
    /// taken nothing for a while, and the tight bound holds.
    pub fn hold(&self, len: usize, bytes: usize, stalled: bool) {
        if self.line.hold(len, bytes, stalled, &self.hub.shared.limits.load()) {
            self.hub.shared.overflows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// While `replaying`, frames with an offset are left out: the caller reads them from the store.
    pub fn replaying(&self, replaying: bool) {
        self.line.replaying(replaying);
    }

    /// Leaves out notifications up to an offset: the client has them.
    pub fn floor(&self, offset: u64) {
        self.line.floor(offset);
    }

    /// Counts frames that were written.
    pub fn wrote(&self, frames: usize, now: Millis) {
        let frames = u64::try_from(frames).unwrap_or(u64::MAX);
        self.line.sent.fetch_add(frames, Ordering::Relaxed);
        self.hub.shared.sent.fetch_add(frames, Ordering::Relaxed);
        self.line.touch(now, &self.hub.shared.activity);
    }

    /// Notes that the client has everything up to an offset.
    pub fn acked(&self, offset: u64) {
        self.line.acked.fetch_max(offset, Ordering::Relaxed);
    }

    /// Notes that something came from the client.
    pub fn heard(&self, now: Millis) {
        self.line.heard_at_ms.store(now, Ordering::Relaxed);
        self.line.touch(now, &self.hub.shared.activity);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let shared = &self.hub.shared;
        shared.everyone.write().remove(self.line.id);
        shared.activity.leave(self.line.active_at_ms.load(Ordering::Relaxed));
        if let Some(user) = self.line.user_id.as_deref() {
            shared.users.remove(user, self.line.id);
        }
        for channel in self.line.with_channels(std::mem::take) {
            shared.channels.remove(&channel, self.line.id);
        }
    }
}
