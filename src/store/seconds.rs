//! Counts by the second, to the millisecond where there is room: a range of analytics may begin and end within a minute.
//!
//! Like the coarser rollups they are written once for a group of writes. They are kept as long as notifications are;
//! ranges that cut a minute of which they have gone hold all of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::Answer;
use super::keys;
use super::rollups::{Cell, Counts, MINUTE_MS, RollupV1, count};
use super::txn::Txn;
use super::view::{Read, View};
use crate::clock::Millis;

/// A second.
const SECOND_MS: Millis = 1_000;
/// The most counts of one second that are told apart by the millisecond; a second with more counts as one.
const APART_MAX: usize = 512;
/// In the place of a millisecond, where the second counts as one.
const AS_ONE: u16 = 1_000;
/// Seconds removed in one step.
const STEP_LEN: usize = 500;

#[derive(Serialize, Deserialize)]
pub(super) struct SecondV1 {
    counts: Vec<(u16, Cell, i64)>,
}

impl Record for SecondV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "second of analytics";
}

/// What was counted in one second, by the millisecond in it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Second {
    by: BTreeMap<u16, Counts>,
    /// How many counts there are.
    len: usize,
}

impl Second {
    /// Counts something at `at`, which is in this second.
    pub(super) fn count(&mut self, at: Millis, cell: Cell, by: i64) {
        let millisecond = u16::try_from(at.rem_euclid(SECOND_MS)).unwrap_or(AS_ONE);
        let place = if self.by.contains_key(&AS_ONE) { AS_ONE } else { millisecond };
        let counts = self.by.entry(place).or_default();
        let before = counts.len();
        count(counts, cell, by);
        self.len += counts.len() - before;
        if place != AS_ONE && self.len > APART_MAX {
            let mut together = Counts::new();
            for (cell, by) in std::mem::take(&mut self.by).into_values().flatten() {
                count(&mut together, cell, by);
            }
            self.len = together.len();
            self.by.insert(AS_ONE, together);
        }
    }

    /// What was counted from the millisecond `from` to `to`, both included. Where the second counts as one, all of it.
    fn within(&self, from: u16, to: u16) -> impl Iterator<Item = (&Cell, &i64)> {
        let wanted = move |place: u16| place == AS_ONE || (from..=to).contains(&place);
        self.by.iter().filter(move |(place, _)| wanted(**place)).flat_map(|(_, counts)| counts)
    }

    pub(super) fn to_record(&self) -> SecondV1 {
        let all = self.by.iter().flat_map(|(place, counts)| counts.iter().map(move |count| (*place, count)));
        SecondV1 { counts: all.map(|(place, (cell, by))| (place, cell.clone(), *by)).collect() }
    }
}

impl From<SecondV1> for Second {
    fn from(stored: SecondV1) -> Second {
        let mut second = Second { len: stored.counts.len(), ..Second::default() };
        for (place, cell, by) in stored.counts {
            *second.by.entry(place).or_default().entry(cell).or_default() += by;
        }
        second
    }
}

pub(super) fn second_at(read: &impl Read, key: &[u8]) -> Answer<Second> {
    Ok(read.get::<SecondV1>(key)?.map(Second::from).unwrap_or_default())
}

/// Adds up what was counted from `start` to `end`, both included and within one minute.
pub(super) fn add_within_minute(
    view: &View<'_>,
    start: Millis,
    end: Millis,
    total: &mut Counts,
) -> Answer<()> {
    let minute = start.div_euclid(MINUTE_MS);
    let (first, last) = (minute * 60, minute * 60 + 59);
    let mut known = false;
    view.scan(&keys::second_number(first), &keys::second_number(last + 1), false, &mut |key, value| {
        known = true;
        let Some(number) = keys::span_of(key) else { return Ok(true) };
        let began = number * SECOND_MS;
        if began > end || began + SECOND_MS <= start {
            return Ok(true);
        }
        let millisecond =
            |at: Millis| u16::try_from((at - began).clamp(0, SECOND_MS - 1)).unwrap_or_default();
        let second = Second::from(view.open_value::<SecondV1>(key, value)?);
        for (cell, by) in second.within(millisecond(start), millisecond(end)) {
            *total.entry(cell.clone()).or_default() += by;
        }
        Ok(true)
    })?;
    if !known && let Some(whole) = view.get::<RollupV1>(&keys::minute_number(minute))? {
        whole.add_to(total);
    }
    Ok(())
}

impl Txn<'_> {
    /// Removes some of the seconds before `until`; answers whether there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn trim_seconds(&mut self, until: Millis) -> Answer<bool> {
        let mut found = Vec::new();
        let to = keys::second_number(until.div_euclid(SECOND_MS));
        self.scan(&[keys::SECOND], &to, false, &mut |key, _| {
            found.push(key.to_vec());
            Ok(found.len() < STEP_LEN)
        })?;
        found.iter().try_for_each(|key| self.remove(key))?;
        Ok(found.len() == STEP_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::encode;
    use super::super::open::{Options, Store};
    use super::*;
    use crate::model::notification::Priority;
    use crate::store::StoreError;
    use crate::supervise::Supervisor;

    fn cell(name: &str) -> Cell {
        Cell::accepted(name, Priority::Low)
    }

    fn total(second: &Second, from: u16, to: u16) -> i64 {
        second.within(from, to).map(|(_, by)| by).sum()
    }

    #[test]
    fn a_second_with_room_is_told_apart_by_the_millisecond() {
        let mut second = Second::default();
        for at in [5_000, 5_400, 5_400, 5_999] {
            second.count(at, cell("a"), 1);
        }
        assert_eq!(
            [(0, 999), (0, 399), (400, 400), (401, 999)].map(|(from, to)| total(&second, from, to)),
            [4, 1, 2, 1]
        );
        assert_eq!(Second::from(second.to_record()), second);
    }

    #[test]
    fn a_second_with_very_much_in_it_counts_as_one_and_loses_nothing() {
        let mut second = Second::default();
        for n in 0..APART_MAX as i64 + 88 {
            second.count(n % 900, cell(if n % 2 == 0 { "a" } else { "b" }), 1);
        }
        assert_eq!((total(&second, 0, 999), total(&second, 950, 999)), (600, 600));
        assert_eq!(second.to_record().counts.len(), 2);
        let mut again = Second::from(second.to_record());
        again.count(3, cell("a"), 1);
        assert_eq!(total(&again, 5, 5), 601);
    }

    #[tokio::test]
    async fn what_is_kept_by_the_second_cuts_a_minute_and_what_is_not_is_told_by_the_minute() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { path: dir.path().to_owned(), cache_bytes: 8 << 20 };
        let store = Store::open(&options, &Supervisor::new()).expect("a new store");
        for at in [60_000, 70_000, 80_000, 3_700_000, 3_800_500] {
            let tally = store.commit(move |txn| {
                txn.tally(at, cell("a"), 1);
                Ok::<_, StoreError>(())
            });
            tally.await.expect("the store takes it");
        }
        let total = async |start, end| {
            let counts = store.counted(start, end).await.expect("a readable store");
            counts.values().sum::<i64>()
        };
        assert_eq!((total(60_001, 79_999).await, total(70_000, 80_000).await), (1, 2));
        assert_eq!((total(60_001, 3_800_499).await, total(0, 3_800_500).await), (3, 5));
        let more = store.commit(|txn| txn.trim_seconds(3_600_000)).await.expect("the store takes it");
        assert!(!more);
        assert_eq!(total(60_001, 79_999).await, 3, "all of the minute");
        assert_eq!(total(3_650_000, 3_700_000).await, 1);
        assert_eq!(total(3_660_000, 3_699_999).await, 0);
    }

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn a_second_keeps_its_bytes() {
        assert_eq!(encode(&SecondV1 { counts: vec![(7, cell("a"), 2)] }), [1, 1, 7, 0, 1, b'a', 0, 4]);
    }
}
