//! Who is connected now, and the one way to reach them.
//!
//! A publisher pushes a shared frame into the queue of each connection and wakes its task; it never waits for a
//! socket, so that a slow reader harms nobody: its queue overflows and it alone is closed. Registries are sharded by
//! name; no lock is held across an await. The hub knows no protocol: frames are bytes, and closing is a number.

mod attachment;
mod frame;
mod leave;
mod line;
mod roll;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tokio::sync::Notify;
use uuid::{ContextV7, Timestamp, Uuid};

pub use self::attachment::{Attachment, SUBSCRIPTIONS_MAX, TooMany};
pub use self::frame::Frame;
use self::leave::LeaveBook;
pub use self::leave::{Leave, Leaves};
use self::line::{Line, Pushed};
use self::roll::Rolls;
pub use self::view::{Counters, Totals, View};
use crate::clock::Millis;

/// A connection that does not read is closed with this code, and resumes from the store.
pub const CLOSE_SLOW_CONSUMER: u16 = 4008;

/// The hub's bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections at a time.
    pub connections_max: usize,
    /// The most messages that wait for a connection whose socket takes nothing.
    pub queue_len_max: usize,
    /// The most bytes that wait for such a connection.
    pub queue_bytes_max: usize,
}

/// There are as many connections as are allowed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there are as many connections as are allowed")]
pub struct Full;

/// Whoever is about to be attached.
#[derive(Clone, Debug, Default)]
pub struct Newcomer {
    /// Whose connection it is; `None` for an API key and for an anonymous listener.
    pub user_id: Option<String>,
    /// The session that the client named.
    pub session_id: Option<String>,
    /// Now.
    pub connected_at_ms: Millis,
}

/// The live connections. Clones share them.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: ArcSwap<Limits>,
    seats: AtomicUsize,
    left: Notify,
    sequence: std::sync::Mutex<ContextV7>,
    /// Every line by id: for looking up and for lists, never for publishing.
    ids: RwLock<BTreeMap<Uuid, Arc<Line>>>,
    users: Rolls,
    /// Lines without a user, on a few shelves so that they too are spread over the shards.
    strangers: Rolls,
    channels: Rolls,
    leaves: LeaveBook,
    sent: AtomicU64,
    errors: AtomicU64,
    overflows: AtomicU64,
}

/// The right to attach one connection. It is given back when dropped.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.hub.shared.seats.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.hub.shared.left.notify_waiters();
        }
    }
}

fn stranger_shelf(id: Uuid) -> &'static str {
    const SHELVES: [&str; 16] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];
    // The last bits of a version 7 id are random.
    SHELVES[usize::from(id.as_bytes()[15] & 15)]
}

impl Hub {
    /// A hub that nobody is attached to.
    pub fn new(limits: Limits) -> Hub {
        let shared = Shared {
            limits: ArcSwap::from_pointee(limits),
            seats: AtomicUsize::new(0),
            left: Notify::new(),
            sequence: std::sync::Mutex::new(ContextV7::new()),
            ids: RwLock::default(),
            users: Rolls::new(),
            strangers: Rolls::new(),
            channels: Rolls::new(),
            leaves: LeaveBook::new(),
            sent: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
        };
        Hub { shared: Arc::new(shared) }
    }

    /// Goes on by other bounds. Whoever is connected already stays.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.limits.store(Arc::new(limits));
    }

    /// Whether a user has a connection at all: what a publisher asks before it makes a frame.
    pub fn has_user(&self, user: &str) -> bool {
        let mut found = false;
        self.shared.users.each(user, |_| found = true);
        found
    }

    /// Takes a seat before the connection is established, so that a full house is said over HTTP.
    pub fn reserve(&self) -> Result<Seat, Full> {
        let max = self.shared.limits.load().connections_max;
        let taken = self
            .shared
            .seats
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < max).then_some(taken + 1));
        taken.map(|_| Seat { hub: self.clone() }).map_err(|_| Full)
    }

    /// Attaches a connection: from now on it is found, listed and published to.
    pub fn attach(&self, newcomer: Newcomer) -> Result<Attachment, Full> {
        Ok(self.reserve()?.attach(newcomer))
    }

    /// Publishes to every connection of a user. Answers how many took it.
    pub fn to_user(&self, user: &str, frame: &Frame) -> usize {
        let mut reached = 0;
        self.shared.users.each(user, |line| reached += self.push(line, frame));
        reached
    }

    /// Publishes to everyone who watches a channel (`workflow:<id>`, `topic:<name>`). Answers how many took it.
    pub fn to_channel(&self, channel: &str, frame: &Frame) -> usize {
        let mut reached = 0;
        self.shared.channels.each(channel, |line| reached += self.push(line, frame));
        reached
    }

    /// Publishes once to everyone who watches at least one of the channels. Answers how many took it.
    pub fn to_channels(&self, channels: &[&str], frame: &Frame) -> usize {
        if let [channel] = channels {
            return self.to_channel(channel, frame);
        }
        let mut lines = BTreeMap::new();
        for channel in channels {
            self.shared.channels.each(channel, |line| {
                lines.insert(line.id, line.clone());
            });
        }
        lines.values().map(|line| self.push(line, frame)).sum()
    }

    /// Publishes to every connection. Answers how many took it.
    pub fn to_all(&self, frame: &Frame) -> usize {
        let mut reached = 0;
        self.shared.users.each_of_all(|line| reached += self.push(line, frame));
        self.shared.strangers.each_of_all(|line| reached += self.push(line, frame));
        reached
    }

    /// Closes a connection with `code`, once what waits for it is written. Answers false if there is none of that id
    /// or it is being closed already.
    pub fn kick(&self, id: &str, code: u16) -> bool {
        self.line(id).is_some_and(|line| line.close(code))
    }

    /// Closes every connection of a user with `code`.
    pub fn close_user(&self, user: &str, code: u16) {
        let mut lines = Vec::new();
        self.shared.users.each(user, |line| lines.push(line.clone()));
        for line in lines {
            line.close(code);
        }
    }

    /// Closes every connection with `code`.
    pub fn close_all(&self, code: u16) {
        let lines: Vec<_> = self.shared.ids.read().values().cloned().collect();
        for line in lines {
            line.close(code);
        }
    }

    /// Waits until no connection is left, at most `grace`. Answers whether that came to pass.
    pub async fn emptied(&self, grace: Duration) -> bool {
        let empty = async {
            loop {
                let left = self.shared.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                if self.shared.seats.load(Ordering::Acquire) == 0 {
                    return;
                }
                left.await;
            }
        };
        tokio::time::timeout(grace, empty).await.is_ok()
    }

    /// Counts an error that was told to a client.
    pub fn count_error(&self) {
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn line(&self, id: &str) -> Option<Arc<Line>> {
        let id = Uuid::try_parse(id).ok()?;
        self.shared.ids.read().get(&id).cloned()
    }

    fn push(&self, line: &Line, frame: &Frame) -> usize {
        match line.push(frame, &self.shared.limits.load()) {
            Pushed::Queued | Pushed::LeftToReplay => 1,
            Pushed::Closing => 0,
            Pushed::Overflowed => {
                self.shared.overflows.fetch_add(1, Ordering::Relaxed);
                0
            }
        }
    }

    /// Ids grow with time, so that the order of ids is the order of arrival.
    fn next_id(&self, now: Millis) -> Uuid {
        let now = u64::try_from(now).unwrap_or(0);
        // Below 1000 ms, so the product stays below a second.
        let nanos = (now % 1000) as u32 * 1_000_000;
        Uuid::new_v7(Timestamp::from_unix(&self.shared.sequence, now / 1000, nanos))
    }
}

impl Seat {
    /// Attaches a connection on this seat: from now on it is found, listed and published to.
    pub fn attach(self, newcomer: Newcomer) -> Attachment {
        let hub = self.hub.clone();
        let Newcomer { user_id, session_id, connected_at_ms } = newcomer;
        let id = hub.next_id(connected_at_ms);
        let line = Arc::new(Line::new(id, user_id, session_id, connected_at_ms));
        hub.shared.ids.write().insert(id, line.clone());
        match line.user_id.as_deref() {
            Some(user) => hub.shared.users.insert(user, line.clone()),
            None => hub.shared.strangers.insert(stranger_shelf(id), line.clone()),
        }
        Attachment::new(hub, line, self)
    }
}
