//! Who is connected now, and the one way to reach them.
//!
//! A publisher never waits for a socket. What is for a few connections it writes to their sockets itself, as far as
//! they take it at once. A large audience has a log, which a walk carries round (`crowd`, `fan_out`). Whoever does not
//! take what it is sent gets a bounded backlog, which its own task writes when the socket is free (`line`); when that
//! overflows, it alone is closed, and resumes from the store. Registries are sharded by name; no lock is held across
//! an await. Messages of one channel or user arrive in the order in which they were published; between channels there
//! is no order. The hub knows no protocol: frames are bytes, and closing is a number.

mod activity;
mod attachment;
mod crowd;
mod deliver;
mod fan_out;
#[cfg(test)]
mod fan_out_tests;
mod frame;
mod leave;
mod line;
mod log;
mod roll;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tokio::sync::Notify;
use uuid::{ContextV7, Timestamp, Uuid};

use self::activity::Activity;
pub use self::attachment::{Attachment, SUBSCRIPTIONS_MAX, TooMany};
use self::fan_out::FanOut;
pub use self::frame::Frame;
use self::frame::Publication;
use self::leave::LeaveBook;
pub use self::leave::{Leave, Leaves};
use self::line::Line;
use self::roll::{Roll, Rolls};
pub use self::view::{Counters, Totals, View};
use crate::clock::{Clock, Millis};

/// A connection that does not read is closed with this code, and resumes from the store.
pub const CLOSE_SLOW_CONSUMER: u16 = 4008;

/// The hub's bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections at a time.
    pub connections_max: usize,
    /// The most connections of one user.
    pub connections_per_user_max: usize,
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
    clock: Clock,
    limits: ArcSwap<Limits>,
    seats: AtomicUsize,
    left: Notify,
    sequence: std::sync::Mutex<ContextV7>,
    everyone: RwLock<Roll>,
    activity: Activity,
    users: Rolls,
    channels: Rolls,
    fan_out: FanOut,
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

impl Hub {
    /// A hub that nobody is attached to.
    pub fn new(limits: Limits, clock: Clock) -> Hub {
        let shared = Shared {
            clock,
            limits: ArcSwap::from_pointee(limits),
            seats: AtomicUsize::new(0),
            left: Notify::new(),
            sequence: std::sync::Mutex::new(ContextV7::new()),
            everyone: RwLock::default(),
            activity: Activity::default(),
            users: Rolls::new(),
            channels: Rolls::new(),
            fan_out: FanOut::default(),
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
        self.shared.users.len(user) > 0
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

    /// The same for a user, who may also have as many connections as one is allowed.
    pub fn reserve_for(&self, user: &str) -> Result<Seat, Full> {
        if self.shared.users.len(user) >= self.shared.limits.load().connections_per_user_max {
            return Err(Full);
        }
        self.reserve()
    }

    /// Attaches a connection: from now on it is found, listed and published to.
    pub fn attach(&self, newcomer: Newcomer) -> Result<Attachment, Full> {
        self.reserve()?.attach(newcomer)
    }

    /// Publishes to every connection of a user. Answers how many it goes to.
    pub fn to_user(&self, user: &str, frame: &Frame) -> usize {
        self.publish(self.shared.users.roll(user), frame, &[])
    }

    /// Publishes to everyone who watches a channel (`workflow:<id>`, `topic:<name>`). Answers how many it goes to.
    pub fn to_channel(&self, channel: &str, frame: &Frame) -> usize {
        self.publish(self.shared.channels.roll(channel), frame, &[])
    }

    /// Publishes once to everyone who watches at least one of the channels. Answers how many it goes to; in large
    /// audiences those who watch several count several times.
    pub fn to_channels(&self, channels: &[&str], frame: &Frame) -> usize {
        let each = channels.iter().enumerate();
        each.map(|(at, channel)| self.publish(self.shared.channels.roll(channel), frame, &channels[..at]))
            .sum()
    }

    /// Publishes to every connection. Answers how many it goes to.
    pub fn to_all(&self, frame: &Frame) -> usize {
        let everyone = self.shared.everyone.read().clone();
        self.publish(everyone, frame, &[])
    }

    fn publish(&self, roll: Roll, frame: &Frame, unless_watching: &[&str]) -> usize {
        let others: Vec<Box<str>> = unless_watching.iter().map(|&channel| channel.into()).collect();
        let unless_watching = (!others.is_empty()).then(|| others.into());
        let publication = Publication { frame: frame.clone(), unless_watching };
        match roll {
            Roll::Few(lines) => {
                let (publications, mut round) = ([publication], self.round());
                lines.iter().filter(|line| round.deliver(line, &publications)).count()
            }
            Roll::Many(crowd) => {
                let audience = crowd.len();
                self.shared.fan_out.publish(crowd, publication);
                audience
            }
        }
    }

    /// Closes a connection with `code`, once what waits for it is written. Answers false if there is none of that id
    /// or it is being closed already.
    pub fn kick(&self, id: &str, code: u16) -> bool {
        self.line(id).is_some_and(|line| line.close(code))
    }

    /// Closes every connection of a user with `code`.
    pub fn close_user(&self, user: &str, code: u16) {
        self.shared.users.roll(user).each(|line| {
            line.close(code);
        });
    }

    /// Closes every connection with `code`.
    pub fn close_all(&self, code: u16) {
        let everyone = self.shared.everyone.read().clone();
        everyone.each(|line| {
            line.close(code);
        });
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
        self.shared.everyone.read().get(id)
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
    ///
    /// # Errors
    /// Where its user has as many connections as one is allowed.
    pub fn attach(self, newcomer: Newcomer) -> Result<Attachment, Full> {
        let hub = self.hub.clone();
        let Newcomer { user_id, session_id, connected_at_ms } = newcomer;
        let id = hub.next_id(connected_at_ms);
        let line = Arc::new(Line::new(id, user_id, session_id, connected_at_ms));
        if let Some(user) = line.user_id.as_deref() {
            let max = hub.shared.limits.load().connections_per_user_max;
            if !hub.shared.users.insert(user, &line, max) {
                return Err(Full);
            }
        }
        hub.shared.activity.enter(connected_at_ms);
        hub.shared.everyone.write().insert(line.clone());
        Ok(Attachment::new(hub, line, self))
    }
}
