//! The live protocol: a house made of memory, conversations without a socket, and a real client over a real one.

mod over_sockets;
mod without_socket;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::protocol::{Counts, InboxChange, NotificationFrame};
use super::*;
use crate::access::Grant;
use crate::clock::Millis;
use crate::hub;

pub(super) const START: Millis = 1_700_000_000_000;

/// A backend that keeps its notifications in memory. Tokens are `<user>`, `<user>@<expiry>`, `key` or `ingest`.
pub(super) struct House {
    pub(super) hub: Hub,
    pub(super) stored: Mutex<HashMap<String, Vec<Arc<NotificationFrame>>>>,
    /// Entries up to here are gone.
    pub(super) forgotten: Mutex<u64>,
    /// Publishes one more notification while a page is read, as often as this says.
    pub(super) meanwhile: Mutex<usize>,
    /// No API key is good any more.
    pub(super) revoked: Mutex<bool>,
}

impl House {
    pub(super) fn new(connections_max: usize) -> Arc<House> {
        let queue_bytes_max = 1 << 20;
        let limits = hub::Limits {
            connections_max,
            connections_per_user_max: 1000,
            queue_len_max: 100,
            queue_bytes_max,
        };
        let hub = Hub::new(limits, Clock::System);
        let (stored, forgotten) = (Mutex::default(), Mutex::default());
        let (meanwhile, revoked) = (Mutex::default(), Mutex::default());
        Arc::new(House { hub, stored, forgotten, meanwhile, revoked })
    }

    /// Stores and publishes, in that order.
    pub(super) fn notify(&self, user: &str, title: &str) -> usize {
        let mut stored = self.stored.lock();
        let entries = stored.entry(user.to_owned()).or_default();
        let notification = Arc::new(NotificationFrame {
            id: format!("n{}", entries.len() + 1),
            user_id: user.to_owned(),
            title: title.to_owned(),
            message: String::new(),
            priority: "medium".to_owned(),
            category: "system".to_owned(),
            action: None,
            metadata: None,
            notification_type: "info".to_owned(),
            offset: entries.len() as u64 + 1,
            timestamp_ms: START,
            replay: false,
        });
        entries.push(notification.clone());
        drop(stored);
        self.hub.to_user(user, &notification.encode())
    }
}

impl Backend for House {
    fn authenticate(&self, token: &str) -> Result<Principal, Refused> {
        let key = |scope| Principal::Key { id: "k".to_owned(), scopes: vec![scope], expires_at: None };
        match token {
            "bad" => return Err(Refused::Invalid),
            "key" => return Ok(key(Scope::Read)),
            "ingest" => return Ok(key(Scope::Ingest("x".to_owned()))),
            _ => {}
        }
        let (user, expires_at) = match token.split_once('@') {
            Some((user, expires_at)) => (user, expires_at.parse().unwrap()),
            None => (token, Millis::MAX),
        };
        let (workflows, topics) = (Grant::Some(vec!["w1".to_owned()]), Grant::Some(vec!["t1".to_owned()]));
        Ok(Principal::User { id: user.to_owned(), workflows, topics, expires_at })
    }

    async fn head(&self, user: &str) -> Result<Head, Trouble> {
        let offset = self.stored.lock().get(user).map_or(0, Vec::len) as u64;
        Ok(Head { epoch: "e1".to_owned(), offset, unread: offset })
    }

    async fn missed(&self, user: &str, after_offset: u64, limit: usize) -> Result<Missed, Trouble> {
        let all = self.stored.lock().get(user).cloned().unwrap_or_default();
        let mut entries: Vec<_> = all.into_iter().map(|entry| (entry.offset, entry)).collect();
        entries.retain(|(offset, _)| *offset > after_offset);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let due = std::mem::take(&mut *self.meanwhile.lock());
        for _ in 0..due {
            self.notify(user, "meanwhile");
        }
        Ok(Missed { entries, more, gap: after_offset < *self.forgotten.lock() })
    }

    /// Everybody is a member of `members`, except Bob.
    async fn may_watch(&self, user: &str, channel: &Channel) -> Result<bool, Trouble> {
        Ok(user != "bob" && channel.as_str() == "topic:members")
    }

    fn stands(&self, _: &Principal) -> bool {
        !*self.revoked.lock()
    }

    async fn mark(&self, user: &str, ids: Vec<String>, op: &str) -> Result<(), MarkRefused> {
        if ids.iter().any(|id| id == "unknown") {
            return Err(MarkRefused::Invalid("there is no such notification".to_owned()));
        }
        let counts = Counts { total: 1, unread: 0, unseen: 0 };
        let change = InboxChange { op: op.to_owned(), ids, counts, timestamp_ms: START };
        self.hub.to_user(user, &change.encode());
        Ok(())
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        heartbeat_interval: Duration::from_secs(30),
        connection_timeout: Duration::from_secs(300),
        reconnect_attempts_max: 5,
        reconnect_delay: Duration::from_secs(1),
        message_bytes_max: 100_000,
        require_authentication: true,
    }
}

pub(super) fn kind(frame: &Value) -> &str {
    frame["type"].as_str().unwrap()
}

pub(super) fn connect(token: &str) -> Value {
    json!({"type": "connect", "token": token})
}
