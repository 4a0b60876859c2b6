//! Deliveries that are still to be made: the due index, the only timeline that there is.
//!
//! Each channel has a lane of its own, so that a channel that is stuck holds up nobody else. A line is removed in the
//! same commit that records what the attempt came to, so a crash can repeat the attempt in flight and nothing more.

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
use crate::model::notification::{Accepted, Priority, Verdict};

/// A delivery that is due at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due {
    /// The channel.
    pub channel: Channel,
    /// When.
    pub at: Millis,
    /// How much it matters.
    pub priority: Priority,
    /// Which notification.
    pub key: Uuid,
    /// Attempts made so far.
    pub attempts: u32,
}

#[derive(Serialize, Deserialize)]
struct DueV1 {
    priority: u8,
    attempts: u32,
}

impl Record for DueV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "due";
}

/// What the fronts of the lanes look like.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Lines that are due, lane by lane, in each the most urgent first.
    pub due: Vec<Due>,
    /// When the first line that is not due yet will be.
    pub next: Option<Millis>,
}

/// How much of a lane is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The lane.
    pub channel: Channel,
    /// Lines at most.
    pub limit: usize,
}

fn lane_end(channel: Channel) -> Vec<u8> {
    let mut end = keys::due_lane(channel);
    end.extend_from_slice(&[0xff; 26]);
    end
}

impl Store {
    /// The lines that are due at `now` in the lanes that are wanted, without those that `taken` names. One visit to the
    /// store whatever the number of lanes.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn due(
        &self,
        lanes: Vec<Wanted>,
        now: Millis,
        taken: impl Fn(Channel, Uuid) -> bool + Send + 'static,
    ) -> Answer<Front> {
        self.read(move |view| {
            let mut front = Front::default();
            for lane in lanes {
                look_at(view, lane, now, &taken, &mut front)?;
            }
            Ok(front)
        })
        .await
    }
}

fn look_at(
    read: &impl Read,
    lane: Wanted,
    now: Millis,
    taken: &impl Fn(Channel, Uuid) -> bool,
    front: &mut Front,
) -> Answer<()> {
    let channel = lane.channel;
    let mut found = 0;
    read.scan(&keys::due_lane(channel), &lane_end(channel), false, &mut |at, value| {
        let Some((instant, key)) = keys::read_due(at) else { return Ok(true) };
        if instant > now {
            front.next = Some(front.next.map_or(instant, |next| next.min(instant)));
            return Ok(false);
        }
        // What is due and finds no free slot waits for a finished delivery, not for the clock.
        if found == lane.limit {
            return Ok(false);
        }
        if !taken(channel, key) {
            let line: DueV1 = read.open_value(at, value)?;
            let priority = keys::priority_of(line.priority).unwrap_or_default();
            front.due.push(Due { channel, at: instant, priority, key, attempts: line.attempts });
            found += 1;
        }
        Ok(true)
    })
}

impl Txn<'_> {
    /// Writes a line.
    pub fn put_due(&mut self, due: &Due) {
        let line = DueV1 { priority: keys::priority_byte(due.priority), attempts: due.attempts };
        self.put(keys::due(due.channel, due.at, due.priority, due.key), &line);
    }

    /// Removes a line.
    pub fn remove_due(&mut self, due: &Due) {
        self.remove_short(keys::due(due.channel, due.at, due.priority, due.key));
    }

    /// Whether a line is still there: it is gone once it has been delivered or withdrawn.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn is_due(&self, due: &Due) -> Result<bool, StoreError> {
        Ok(self.raw(&keys::due(due.channel, due.at, due.priority, due.key))?.is_some())
    }

    /// What of a notification is still to be delivered. Where each line stands follows from its plan and events.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn due_of(&self, accepted: &Accepted) -> Answer<Vec<Due>> {
        let events = self.events(accepted.key)?;
        let mut lines = Vec::new();
        for decision in &accepted.decisions {
            let planned = match &decision.verdict {
                Verdict::Send => accepted.accepted_at,
                Verdict::Deferred { until, .. } => *until,
                Verdict::Skipped { .. } => continue,
            };
            let moved = events.iter().rev().find(|event| event.channel == decision.channel);
            let due = Due {
                channel: decision.channel,
                at: moved.and_then(|event| event.not_before).unwrap_or(planned),
                priority: accepted.notification.priority,
                key: accepted.key,
                attempts: 0,
            };
            if self.is_due(&due)? {
                lines.push(due);
            }
        }
        Ok(lines)
    }
}
