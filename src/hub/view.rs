//! What an operator is shown of the live connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::Hub;
use super::line::Line;
use crate::clock::Millis;

/// A connection without a frame in or out for this long counts as idle.
const ACTIVE_WITHIN_MS: Millis = 60_000;

/// One live connection, as it stood when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The connection's id.
    pub id: String,
    /// Whose it is; `None` for an API key and for an anonymous listener.
    pub user_id: Option<String>,
    /// The session that the client named.
    pub session_id: Option<String>,
    /// `connected` or `closing`.
    pub state: &'static str,
    /// When it was established.
    pub connected_at: Millis,
    /// When something last came from the client.
    pub last_heartbeat: Millis,
    /// The channels it watches.
    pub subscriptions: Vec<String>,
    /// The newest offset that the client has acknowledged; 0 before the first.
    pub acked: u64,
    /// How many frames were written to it.
    pub sent: u64,
    /// How many frames wait for its socket.
    pub queue: usize,
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// All of them.
    pub total: usize,
    /// Those with a frame in or out within the last 60 s.
    pub active: usize,
    /// The others.
    pub idle: usize,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Frames written to sockets.
    pub sent: u64,
    /// Errors told to clients.
    pub errors: u64,
    /// Connections closed because they did not read.
    pub overflows: u64,
}

impl View {
    fn of(line: &Arc<Line>) -> View {
        View {
            id: line.id.to_string(),
            user_id: line.user_id.as_deref().map(str::to_owned),
            session_id: line.session_id.as_deref().map(str::to_owned),
            state: if line.closing().is_some() { "closing" } else { "connected" },
            connected_at: line.connected_at_ms,
            last_heartbeat: line.heard_at_ms.load(Ordering::Relaxed),
            subscriptions: line.channels(),
            acked: line.acked.load(Ordering::Relaxed),
            sent: line.sent.load(Ordering::Relaxed),
            queue: line.queue_len(),
        }
    }
}

impl Hub {
    /// The connection of that id, if it is there.
    pub fn get(&self, id: &str) -> Option<View> {
        self.line(id).as_ref().map(View::of)
    }

    /// At most `limit` connections, newest first, of one `user` or of all, beginning behind the id `after`; and the
    /// id to go on behind, if there are more. An `after` that is no id gives an empty page.
    pub fn list(&self, after: Option<&str>, limit: usize, user: Option<&str>) -> (Vec<View>, Option<String>) {
        let after = match after.map(Uuid::try_parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return (Vec::new(), None),
        };
        let wanted = limit.saturating_add(1);
        let mut lines = match user {
            Some(user) => self.shared.users.roll(user).page(after, wanted),
            None => self.shared.everyone.read().page(after, wanted),
        };
        let more = lines.len() > limit;
        lines.truncate(limit);
        let next = lines.last().filter(|_| more).map(|line| line.id.to_string());
        (lines.iter().map(View::of).collect(), next)
    }

    /// How many connections there are, and how many of them had traffic within the minute before `now`.
    pub fn totals(&self, now: Millis) -> Totals {
        let total = self.shared.everyone.read().len();
        // The two are counted apart, so for a moment they may not agree.
        let active = self.shared.activity.since(now.saturating_sub(ACTIVE_WITHIN_MS)).min(total);
        Totals { total, active, idle: total - active }
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        Counters {
            sent: self.shared.sent.load(Ordering::Relaxed),
            errors: self.shared.errors.load(Ordering::Relaxed),
            overflows: self.shared.overflows.load(Ordering::Relaxed),
        }
    }
}
