//! How many connections had traffic lately, without asking each of them.
//!
//! Each connection stands in the second of its latest traffic, and moves when it has some in a later one: so a busy
//! connection costs two steps a second, and counting costs a look at as many seconds as are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Millis;

/// Seconds that are kept. A power of two above any window that is asked for.
const SLOTS: usize = 64;

/// How many connections had their latest traffic in each of the last seconds. A slot holds a second's number, in the
/// upper half, and the count, in the lower: a slot of an older second is taken over by a newer one, and whoever stood
/// in it counts no more.
#[derive(Debug)]
pub(super) struct Activity {
    slots: [AtomicU64; SLOTS],
}

impl Default for Activity {
    fn default() -> Activity {
        Activity { slots: [const { AtomicU64::new(0) }; SLOTS] }
    }
}

impl Activity {
    /// Puts a connection into the second of `at`.
    pub(super) fn enter(&self, at: Millis) {
        let second = second(at);
        // It always changes something, so it never fails.
        let _ = self.slot(second).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slot| {
            Some(if slot >> 32 == second { slot + 1 } else { second << 32 | 1 })
        });
    }

    /// Takes a connection out of the second of `at`, where that is still kept.
    pub(super) fn leave(&self, at: Millis) {
        let second = second(at);
        // Where it is kept no more there is nothing to take it from.
        let _ = self.slot(second).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slot| {
            (slot >> 32 == second && slot & COUNT > 0).then(|| slot - 1)
        });
    }

    /// Moves a connection from the second of `from` into that of `to`.
    pub(super) fn turn(&self, from: Millis, to: Millis) {
        if second(from) != second(to) {
            self.leave(from);
            self.enter(to);
        }
    }

    /// How many connections had their latest traffic in the seconds from that of `since` on.
    pub(super) fn since(&self, since: Millis) -> usize {
        let since = second(since);
        let recent =
            self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|slot| slot >> 32 >= since);
        recent.map(|slot| usize::try_from(slot & COUNT).unwrap_or(usize::MAX)).sum()
    }

    fn slot(&self, second: u64) -> &AtomicU64 {
        // The remainder is below SLOTS, so the cast loses nothing.
        &self.slots[(second % SLOTS as u64) as usize]
    }
}

/// The part of a slot that is the count.
const COUNT: u64 = u32::MAX as u64;

/// The number of the second. It fits the half of a slot until the year 2106.
fn second(at: Millis) -> u64 {
    u64::try_from(at / 1_000).unwrap_or(0) & COUNT
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Traffic on a few connections, as time goes on: (connection, milliseconds later).
        #[test]
        fn it_counts_as_if_each_were_asked(traffic in proptest::collection::vec((0_u8..6, 0_i64..9_000), 1..200)) {
            let (activity, mut latest) = (Activity::default(), BTreeMap::new());
            let mut now = 1_700_000_000_000;
            for (connection, later) in traffic {
                now += later;
                match latest.insert(connection, now) {
                    Some(before) => activity.turn(before, now),
                    None => activity.enter(now),
                }
                let since = now - 60_000;
                let asked = latest.values().filter(|at| **at / 1_000 >= since / 1_000).count();
                prop_assert_eq!(activity.since(since), asked);
            }
            for at in latest.values() {
                activity.leave(*at);
            }
            prop_assert_eq!(activity.since(now - 60_000), 0);
        }
    }
}
