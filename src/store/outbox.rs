//! The due index: everything that is to happen at an instant, and the only timeline that there is.
//!
//! A lane for each way out, and one for each other kind of work, so that what is stuck holds up nobody else. Within a
//! lane the more urgent comes first, then what belongs to somebody who has little waiting, then the earlier. A line is
//! removed in the same commit that records what came of it, so a crash can repeat what is in flight and nothing more.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::holds::GroupId;
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::notification::{Accepted, Priority, Verdict};

/// What a line of the due index is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Deliveries on a channel.
    Channel(Channel),
    /// Schedules that fire.
    Schedule,
    /// Work in steps: sends to many, sweeps.
    Job,
}

impl Lane {
    /// The channel, where the lane is one's.
    pub const fn channel(self) -> Option<Channel> {
        match self {
            Lane::Channel(channel) => Some(channel),
            Lane::Schedule | Lane::Job => None,
        }
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lane::Channel(channel) => channel.fmt(f),
            Lane::Schedule => f.write_str("schedule"),
            Lane::Job => f.write_str("job"),
        }
    }
}

/// How a delivery waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Waits {
    /// By itself.
    Alone,
    /// With others, in a group that has one line for all of them: this is that line.
    AsGroup {
        /// Whose group.
        user: String,
        /// Which of their groups on the lane's channel.
        group: GroupId,
    },
    /// With others: this is one of them, and it has no line of its own.
    InGroup {
        /// Whose group.
        user: String,
        /// Which of their groups on the lane's channel.
        group: GroupId,
    },
}

/// Something that is due at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due {
    /// What it is for.
    pub lane: Lane,
    /// When.
    pub at: Millis,
    /// How much it matters.
    pub priority: Priority,
    /// Whether it belongs to somebody who has a lot waiting: then others go before it.
    pub crowded: bool,
    /// Which notification, schedule, job or event; of a group, an id of its own.
    pub key: Uuid,
    /// Attempts made so far, since it was last asked for.
    pub attempts: u32,
    /// How often it was asked for again: each time is a message of its own.
    pub resends: u8,
    /// Alone, or with others.
    pub waits: Waits,
}

impl Due {
    /// A line that waits alone, of somebody who has little waiting, with no attempt made.
    pub fn new(lane: Lane, at: Millis, priority: Priority, key: Uuid) -> Due {
        Due { lane, at, priority, crowded: false, key, attempts: 0, resends: 0, waits: Waits::Alone }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct DueV2 {
    /// Attempts in the lower bits, resends in the eight above [`ATTEMPTS_BITS`].
    attempts: u32,
    group: Option<(String, [u8; 8])>,
}

impl DueV2 {
    /// What is stored under a line's key; `None` for one that has no line.
    pub(super) fn of(due: &Due) -> Option<DueV2> {
        let group = match &due.waits {
            Waits::Alone => None,
            Waits::AsGroup { user, group } => Some((user.clone(), group.to_bytes())),
            Waits::InGroup { .. } => return None,
        };
        let attempts = due.attempts.min((1 << ATTEMPTS_BITS) - 1);
        Some(DueV2 { attempts: u32::from(due.resends) << ATTEMPTS_BITS | attempts, group })
    }

    fn attempts(&self) -> u32 {
        self.attempts & ((1 << ATTEMPTS_BITS) - 1)
    }

    fn resends(&self) -> u8 {
        self.attempts.to_be_bytes()[0]
    }
}

/// No retry schedule is anywhere near as long.
const ATTEMPTS_BITS: u32 = 24;

impl Record for DueV2 {
    const VERSION: u8 = 2;
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
    pub lane: Lane,
    /// Lines at most.
    pub limit: usize,
    /// Whether what matters least comes first this time, so that it too gets its turn.
    pub least_first: bool,
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
        taken: impl Fn(Lane, Uuid) -> bool + Send + 'static,
    ) -> Answer<Front> {
        self.read(move |view| {
            let mut front = Front::default();
            for wanted in lanes {
                let mut found = Vec::new();
                look_at(view, wanted, now, &taken, &mut found, &mut front.next)?;
                if wanted.least_first {
                    found.reverse();
                }
                found.truncate(wanted.limit);
                front.due.append(&mut found);
            }
            Ok(front)
        })
        .await
    }
}

/// Visits a lane turn by turn: the lines of one turn lie together, the earliest first, so one look at each turn's front
/// says all that is wanted, whatever lies behind it.
fn look_at(
    read: &impl Read,
    wanted: Wanted,
    now: Millis,
    taken: &impl Fn(Lane, Uuid) -> bool,
    found: &mut Vec<Due>,
    next: &mut Option<Millis>,
) -> Answer<()> {
    let mut turn = Some(0);
    while let Some(from) = turn {
        turn = None;
        let (mut current, mut of_this_turn) = (None, 0);
        let (start, end) = (keys::due_turn(wanted.lane, from), keys::due_end(wanted.lane));
        read.scan(&start, &end, false, &mut |at, _| {
            let Some(mut due) = keys::read_due(at) else { return Ok(true) };
            let on = keys::turn_of(&due);
            if *current.get_or_insert(on) != on {
                turn = Some(on);
                return Ok(false);
            }
            if due.at > now {
                *next = Some(next.map_or(due.at, |next| next.min(due.at)));
                turn = on.checked_add(1);
                return Ok(false);
            }
            // What is due and finds no free slot waits for a finished delivery, not for the clock.
            if of_this_turn == wanted.limit {
                turn = on.checked_add(1);
                return Ok(false);
            }
            if !taken(wanted.lane, due.key) {
                // Read after the question: a line that was done in between is gone by now, and is not to be done again.
                let Some(line) = read.get::<DueV2>(at)? else { return Ok(true) };
                (due.attempts, due.resends) = (line.attempts(), line.resends());
                if let Some((user, group)) = line.group {
                    due.waits = Waits::AsGroup { user, group: GroupId::from_bytes(group) };
                }
                found.push(due);
                // Those that are under way stand at the front until it is written what came of them.
                of_this_turn += 1;
            }
            turn = on.checked_add(1);
            Ok(true)
        })?;
    }
    Ok(())
}

impl Txn<'_> {
    /// Writes a line. One that waits in a group has none.
    pub fn put_due(&mut self, due: &Due) {
        if let Some(record) = DueV2::of(due) {
            self.put(keys::due(due), &record);
        }
    }

    /// Removes a line; of one that waits in a group, its place there.
    pub fn remove_due(&mut self, due: &Due) {
        match (&due.waits, due.lane) {
            (Waits::InGroup { user, .. }, Lane::Channel(channel)) => self.leave_group(user, channel, due.key),
            (Waits::Alone | Waits::AsGroup { .. } | Waits::InGroup { .. }, _) => {
                self.remove_short(keys::due(due));
            }
        }
    }

    /// Whether a line is still there: it is gone once it has been delivered or withdrawn.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn is_due(&self, due: &Due) -> Result<bool, StoreError> {
        Ok(self.raw(&keys::due(due))?.is_some())
    }

    /// What of a notification is still to be delivered. Where each line stands follows from its plan and events.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn due_of(&self, accepted: &Accepted) -> Answer<Vec<Due>> {
        let events = self.events(accepted.key)?;
        let (mut lines, user) = (Vec::new(), &accepted.notification.user_id);
        for channel in Channel::ALL {
            let planned = match accepted.decision(channel).map(|decision| &decision.verdict) {
                Some(Verdict::Send) => Some(accepted.accepted_at),
                Some(Verdict::Deferred { until, .. }) => Some(*until),
                Some(Verdict::Skipped { .. }) | None => None,
            };
            let moved = events.iter().rev().find(|event| event.channel == channel);
            let Some(at) = moved.and_then(|event| event.not_before).or(planned) else { continue };
            let due = Due::new(Lane::Channel(channel), at, accepted.notification.priority, accepted.key);
            if let Some(group) = self.group_of(user, channel, accepted.key)? {
                lines.push(Due { waits: Waits::InGroup { user: user.clone(), group }, ..due });
                continue;
            }
            for crowded in [false, true] {
                let due = Due { crowded, ..due.clone() };
                if self.is_due(&due)? {
                    lines.push(due);
                }
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::encode;

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn a_due_line_keeps_its_bytes() {
        let alone = Due::new(Lane::Job, 1, Priority::Low, Uuid::nil());
        let waits = Waits::AsGroup { user: "a".into(), group: GroupId::from_bytes([7; 8]) };
        let bytes = |due: &Due| encode(&DueV2::of(due).expect("it has a line"));
        assert_eq!(bytes(&Due { attempts: 3, ..alone.clone() }), [2, 3, 0]);
        let again = DueV2::of(&Due { attempts: 3, resends: 2, ..alone.clone() }).expect("it has a line");
        assert_eq!((again.attempts(), again.resends()), (3, 2));
        assert_eq!(bytes(&Due { waits, ..alone }), [vec![2, 0, 1, 1, b'a'], vec![7; 8]].concat());
    }
}
