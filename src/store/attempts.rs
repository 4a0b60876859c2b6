//! What happened to a notification after its plan: one event each, in order, never changed.
//!
//! Where a delivery stands is not stored anywhere: it is the plan followed by these events, see
//! [`crate::engine::report`].

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};

/// One thing that happened to one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Millis,
    /// On which channel.
    pub channel: Channel,
    /// Where the delivery stands since.
    pub status: Status,
    /// Why.
    pub reason: Option<Reason>,
    /// The provider's words, or the evidence.
    pub detail: Option<String>,
    /// Whether this was an attempt, which counts.
    pub attempt: bool,
    /// When the next attempt is due, if one is.
    pub not_before: Option<Millis>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EventV1 {
    at: Millis,
    channel: Channel,
    status: Status,
    reason: Option<Reason>,
    detail: Option<String>,
    attempt: bool,
    not_before: Option<Millis>,
}

impl Record for EventV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "event";
}

impl From<&Event> for EventV1 {
    fn from(e: &Event) -> EventV1 {
        EventV1 {
            at: e.at,
            channel: e.channel,
            status: e.status,
            reason: e.reason,
            detail: e.detail.clone(),
            attempt: e.attempt,
            not_before: e.not_before,
        }
    }
}

impl From<EventV1> for Event {
    fn from(e: EventV1) -> Event {
        Event {
            at: e.at,
            channel: e.channel,
            status: e.status,
            reason: e.reason,
            detail: e.detail,
            attempt: e.attempt,
            not_before: e.not_before,
        }
    }
}

/// The key after all events of a notification.
fn end_of(key: Uuid) -> Vec<u8> {
    let mut end = keys::events_of(key);
    end.extend_from_slice(&[0xff; 3]);
    end
}

fn events(read: &impl Read, key: Uuid) -> Answer<Vec<Event>> {
    let mut events = Vec::new();
    read.scan(&keys::events_of(key), &end_of(key), false, &mut |at, value| {
        events.push(read.open_value::<EventV1>(at, value)?.into());
        Ok(true)
    })?;
    Ok(events)
}

impl Store {
    /// What happened to the notification of that key, in order.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn events(&self, key: Uuid) -> Answer<Vec<Event>> {
        self.read(move |view| events(view, key)).await
    }
}

impl Txn<'_> {
    /// What happened to the notification of that key, in order.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn events(&self, key: Uuid) -> Answer<Vec<Event>> {
        events(self, key)
    }

    /// Appends an event behind the `before` that there are. Events go all at once or not at all, so their count is the
    /// number of the next.
    pub fn push_event(&mut self, key: Uuid, before: usize, event: &Event) {
        let number = u16::try_from(before).unwrap_or(u16::MAX);
        self.put(keys::event(key, number), &EventV1::from(event));
    }

    pub(super) fn remove_events(&mut self, key: Uuid) -> Result<(), StoreError> {
        self.remove_all(&keys::events_of(key), &end_of(key))
    }
}
