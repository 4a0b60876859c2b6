//! How much waits to be delivered, counted as it changes: the writer sees every line come and go, so asking costs a look
//! at a number, however much waits. Each group of writes has the numbers as of itself, so that a start has them too.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use super::codec::{Record, decode};
use super::keys;
use super::txn::Changes;
use crate::model::channel::Channel;

/// The counters: one for each channel, in the order of [`Channel::ALL`], and one for what endpoints are to be told.
const COUNTERS: usize = Channel::ALL.len() + 1;
/// Where what endpoints are to be told is counted.
const ENDPOINTS: usize = Channel::ALL.len();

/// How much waits.
#[derive(Debug, Default)]
pub struct Backlog {
    counts: [AtomicI64; COUNTERS],
}

/// The counters as they are stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BacklogV1 {
    /// How many groups the store held with them. If it holds another number, a program wrote to it that does not count.
    groups: u64,
    counts: Vec<i64>,
}

impl Record for BacklogV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "backlog";
}

/// What a group of writes adds to the counters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shift([i64; COUNTERS]);

impl Backlog {
    /// Deliveries that wait on a channel, those that are due included.
    pub fn of_channel(&self, channel: Channel) -> u64 {
        let place = Channel::ALL.iter().position(|known| *known == channel).unwrap_or_default();
        self.read(place)
    }

    /// Events that wait for their endpoints.
    pub fn of_endpoints(&self) -> u64 {
        self.read(ENDPOINTS)
    }

    fn read(&self, place: usize) -> u64 {
        u64::try_from(self.counts[place].load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// What a store holds that is opened with so many groups of writes: by its last group or, where that does not tell, by
    /// a look at all that waits.
    pub(super) fn of(tree: &sled::Tree, groups: u64) -> Result<Backlog, sled::Error> {
        let stored = tree.get(keys::backlog())?.and_then(|bytes| decode::<BacklogV1>(&bytes).ok());
        match stored.filter(|stored| stored.groups == groups && stored.counts.len() == COUNTERS) {
            Some(stored) => {
                let backlog = Backlog::default();
                backlog.become_as(&stored);
                Ok(backlog)
            }
            None => Backlog::count(tree),
        }
    }

    /// The counters after the group of that number, which adds `shift`.
    pub(super) fn after(&self, shift: &Shift, groups: u64) -> BacklogV1 {
        let counts = self.counts.iter().zip(shift.0).map(|(count, by)| count.load(Ordering::Relaxed) + by);
        BacklogV1 { groups, counts: counts.collect() }
    }

    /// Takes over counters that are durable.
    pub(super) fn become_as(&self, durable: &BacklogV1) {
        for (count, value) in self.counts.iter().zip(&durable.counts) {
            count.store(*value, Ordering::Relaxed);
        }
    }

    fn count(tree: &sled::Tree) -> Result<Backlog, sled::Error> {
        let mut shift = Shift::default();
        for space in [keys::DUE, keys::HELD, keys::GROUP, keys::ENDPOINT_WAITING] {
            for key in tree.scan_prefix([space]).keys() {
                shift.come(&key?, 1);
            }
        }
        Ok(Backlog { counts: shift.0.map(AtomicI64::new) })
    }
}

impl Shift {
    /// What a group of writes will add: only a line that was not there before comes, only one that was there goes.
    pub(super) fn of(group: &Changes, tree: &sled::Tree) -> Result<Shift, sled::Error> {
        let mut shift = Shift::default();
        for (key, value) in group.iter().filter(|(key, _)| counts_on(key).is_some()) {
            match (value.is_some(), tree.contains_key(key)?) {
                (true, false) => shift.come(key, 1),
                (false, true) => shift.come(key, -1),
                (true, true) | (false, false) => {}
            }
        }
        Ok(shift)
    }

    fn come(&mut self, key: &[u8], by: i64) {
        if let Some((place, sign)) = counts_on(key) {
            self.0[place] += sign * by;
        }
    }
}

/// On which counter a line counts, and how. A group has one line in the due index, which is no delivery, and what waits
/// in it has none.
fn counts_on(key: &[u8]) -> Option<(usize, i64)> {
    let channel = |at: usize| {
        let byte = key.get(at)?;
        Channel::ALL.iter().position(|channel| keys::channel_byte(*channel) == *byte)
    };
    match *key.first()? {
        keys::DUE => Some((channel(1)?, 1)),
        keys::HELD => Some((channel(key.len().checked_sub(17)?)?, 1)),
        keys::GROUP => Some((channel(key.len().checked_sub(9)?)?, -1)),
        keys::ENDPOINT_WAITING => Some((ENDPOINTS, 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::codec::encode;
    use super::super::holds::GroupId;
    use super::super::outbox::{Due, Lane};
    use super::*;
    use crate::model::notification::Priority;

    fn key(kind: u8, n: u8) -> Vec<u8> {
        let (channel, id) = (Channel::ALL[usize::from(n % 5)], Uuid::from_u128(n.into()));
        match kind % 5 {
            0 => keys::due(&Due::new(Lane::Channel(channel), n.into(), Priority::Low, id)),
            1 => keys::due(&Due::new(Lane::Job, n.into(), Priority::Low, id)),
            2 => keys::held("ada", channel, id),
            3 => keys::group("ada", channel, GroupId::from_bytes([n; 8])),
            _ => keys::joined(keys::ENDPOINT_WAITING, &[id.as_bytes(), id.as_bytes(), id.as_bytes()]),
        }
    }

    fn figures(backlog: &Backlog) -> Vec<i64> {
        backlog.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    proptest! {
        #[test]
        fn what_is_counted_as_it_changes_is_what_a_look_at_everything_counts(
            groups in prop::collection::vec(prop::collection::vec((any::<u8>(), 0u8..12, any::<bool>()), 0..12), 0..8)
        ) {
            let db = sled::Config::new().temporary(true).open().expect("a temporary store");
            let backlog = Backlog::default();
            for group in groups {
                let group: Changes =
                    group.into_iter().map(|(kind, n, put)| (key(kind, n), put.then(|| vec![1]))).collect();
                let after = backlog.after(&Shift::of(&group, &db).expect("a good tree"), 1);
                backlog.become_as(&after);
                for (key, value) in group {
                    match value {
                        Some(value) => db.insert(key, value).map(drop),
                        None => db.remove(key).map(drop),
                    }
                    .expect("a write");
                }
            }
            prop_assert_eq!(figures(&backlog), figures(&Backlog::count(&db).expect("a good tree")));
        }
    }

    #[test]
    fn what_waits_in_a_group_counts_and_the_groups_own_line_does_not() {
        let (group, id) = (GroupId::until(7), Uuid::from_u128(7));
        let line = Due::new(Lane::Channel(Channel::Sms), 7, Priority::Low, id);
        let mut shift = Shift::default();
        let members = [1, 2, 3].map(|n| keys::held("ada", Channel::Sms, Uuid::from_u128(n)));
        for key in members.into_iter().chain([keys::due(&line), keys::group("ada", Channel::Sms, group)]) {
            shift.come(&key, 1);
        }
        let backlog = Backlog::default();
        backlog.become_as(&backlog.after(&shift, 1));
        assert_eq!((backlog.of_channel(Channel::Sms), backlog.of_channel(Channel::Email)), (3, 0));
    }

    #[test]
    fn a_start_goes_by_the_last_group_and_counts_where_that_does_not_tell() {
        let db = sled::Config::new().temporary(true).open().expect("a temporary store");
        db.insert(key(2, 0), vec![1]).expect("a write");
        let counts = vec![9; COUNTERS];
        db.insert(keys::backlog(), encode(&BacklogV1 { groups: 7, counts: counts.clone() }))
            .expect("a write");
        assert_eq!(figures(&Backlog::of(&db, 7).expect("a good tree")), counts);
        let looked = figures(&Backlog::of(&db, 8).expect("a good tree"));
        assert_eq!(looked.iter().sum::<i64>(), 1, "{looked:?}");
    }

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn a_backlog_keeps_its_bytes() {
        assert_eq!(encode(&BacklogV1 { groups: 300, counts: vec![1, 0, -1] }), [1, 251, 44, 1, 3, 2, 0, 1]);
    }
}
