//! How much waits to be delivered, counted as it changes: the writer sees every line come and go, so asking costs a look
//! at a number, however much waits.

use std::sync::atomic::{AtomicI64, Ordering};

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

    pub(super) fn add(&self, shift: &Shift) {
        for (count, by) in self.counts.iter().zip(shift.0).filter(|(_, by)| *by != 0) {
            count.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Counts what a store holds when it is opened.
    pub(super) fn count(tree: &sled::Tree) -> Result<Backlog, sled::Error> {
        let (backlog, mut shift) = (Backlog::default(), Shift::default());
        for space in [keys::DUE, keys::HELD, keys::GROUP, keys::ENDPOINT_WAITING] {
            for key in tree.scan_prefix([space]).keys() {
                shift.come(&key?, 1);
            }
        }
        backlog.add(&shift);
        Ok(backlog)
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
                backlog.add(&Shift::of(&group, &db).expect("a good tree"));
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
        backlog.add(&shift);
        assert_eq!((backlog.of_channel(Channel::Sms), backlog.of_channel(Channel::Email)), (3, 0));
    }
}
