//! Counts by the minute and by the hour of the notifications' own timestamps, kept in the commit that changes them.
//!
//! What a group of writes counts is added up and written once for the whole group, so counting costs one or two keys a
//! flush, not one a notification. A range is read as hours in its middle and minutes at its ends: its cost follows the
//! range, whatever the store holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::chunks;
use super::codec::{Record, encode};
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::{Changes, Txn};
use super::view::{Read, View};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::notification::Priority;

/// A minute, the finest grain.
pub const MINUTE_MS: Millis = 60_000;
/// An hour, the coarse grain.
const HOUR_MS: Millis = 60 * MINUTE_MS;
/// The most different things that one record counts. Categories are an open set; what comes beyond is told as
/// [`OTHER`].
const CELLS_MAX: usize = 2_000;
/// Stands for the categories for which there was no room.
pub const OTHER: &str = "other";
/// Spans that the writer remembers. When there are more, all are forgotten.
const REMEMBERED_MAX: usize = 64;

/// One thing that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cell {
    /// A notification of that category and priority was accepted.
    Accepted(String, u8),
    /// A delivery came to that status, for that reason.
    Reached(Channel, u8, Option<Reason>),
    /// A delivery left within the span of that bucket after it was due: see [`bucket_of`].
    Took(Channel, u8),
}

impl Cell {
    /// An accepted notification.
    pub fn accepted(category: &str, priority: Priority) -> Cell {
        Cell::Accepted(category.to_owned(), keys::priority_byte(priority))
    }

    /// A delivery that came to `status`.
    pub fn reached(channel: Channel, status: Status, reason: Option<Reason>) -> Cell {
        let place = Status::ALL.iter().position(|known| *known == status).unwrap_or_default();
        Cell::Reached(channel, u8::try_from(place).unwrap_or_default(), reason)
    }

    /// A delivery that left `took` milliseconds after it was due.
    pub fn took(channel: Channel, took: Millis) -> Cell {
        Cell::Took(channel, bucket_of(took))
    }
}

/// The status that a cell's byte stands for.
pub fn status_of(byte: u8) -> Option<Status> {
    Status::ALL.get(usize::from(byte)).copied()
}

/// The priority that a cell's byte stands for.
pub fn priority_of(byte: u8) -> Option<Priority> {
    keys::priority_of(byte)
}

/// Four buckets for each doubling, so that a bucket's end is at most a fifth above what is in it.
fn bucket_of(took: Millis) -> u8 {
    let millis = took.max(0) as f64;
    // At most some 250, as long as time is counted in milliseconds.
    ((millis + 1.0).log2() * 4.0).ceil().min(255.0) as u8
}

/// The longest, in milliseconds, that what is in a bucket took.
pub fn bucket_end(bucket: u8) -> f64 {
    (f64::from(bucket) / 4.0).exp2() - 1.0
}

/// Cells and how often.
pub type Counts = BTreeMap<Cell, i64>;

#[derive(Serialize, Deserialize)]
pub(super) struct RollupV1 {
    counts: Vec<(Cell, i64)>,
}

impl Record for RollupV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "rollup";
}

/// Something to count.
pub(super) type Tally = (Millis, Cell, i64);

/// What the writer knows of the spans that it counted in lately. It is the only writer, so no copy is out of date.
#[derive(Default)]
pub(super) struct Rollups {
    known: HashMap<Vec<u8>, Counts>,
}

impl Rollups {
    /// Adds what a group of writes counted to what it writes.
    pub(super) fn add(
        &mut self,
        tree: &sled::Tree,
        group: &mut Changes,
        tallies: Vec<Tally>,
    ) -> Result<(), StoreError> {
        if self.known.len() > REMEMBERED_MAX {
            self.known.clear();
        }
        // A group counts the same few things over and over, so they are added up before any span is looked for.
        let mut sums: BTreeMap<(Millis, Cell), i64> = BTreeMap::new();
        for (at, cell, by) in tallies {
            *sums.entry((at.div_euclid(MINUTE_MS), cell)).or_default() += by;
        }
        let mut touched = BTreeSet::new();
        for ((minute, cell), by) in sums {
            let at = minute * MINUTE_MS;
            for key in [keys::minute(at), keys::hour(at)] {
                let counts = match self.known.get_mut(&key) {
                    Some(counts) => counts,
                    None => {
                        let stored = counts_at(&View(tree), &key)?;
                        self.known.entry(key.clone()).or_insert(stored)
                    }
                };
                count(counts, cell.clone(), by);
                touched.insert(key);
            }
        }
        for key in touched {
            let counts = self.known.get(&key).into_iter().flatten();
            let record = RollupV1 { counts: counts.map(|(cell, n)| (cell.clone(), *n)).collect() };
            group.extend(chunks::split(key, &encode(&record)).into_iter().map(|(k, v)| (k, Some(v))));
        }
        Ok(())
    }
}

fn count(counts: &mut Counts, cell: Cell, by: i64) {
    let cell = match cell {
        Cell::Accepted(_, priority) if counts.len() >= CELLS_MAX && !counts.contains_key(&cell) => {
            Cell::Accepted(OTHER.to_owned(), priority)
        }
        cell => cell,
    };
    *counts.entry(cell).or_default() += by;
}

fn counts_at(read: &impl Read, key: &[u8]) -> Answer<Counts> {
    let stored: Option<RollupV1> = read.get(key)?;
    Ok(stored.map(|stored| stored.counts.into_iter().collect()).unwrap_or_default())
}

/// A part of a range that one key space answers.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Minutes(RangeInclusive<Millis>),
    Hours(RangeInclusive<Millis>),
}

/// The spans that a range is made of: hours where it holds all of one, minutes elsewhere. Both ends are instants within
/// the first and the last minute, and both are included.
fn pieces(start: Millis, end: Millis) -> Vec<Piece> {
    let (first, last) = (start.div_euclid(MINUTE_MS), end.div_euclid(MINUTE_MS));
    if last < first {
        return Vec::new();
    }
    let minutes = HOUR_MS / MINUTE_MS;
    // The first hour that is in it whole, and the one after the last.
    let (from, to) = (
        first.div_euclid(minutes) + i64::from(first.rem_euclid(minutes) > 0),
        (last + 1).div_euclid(minutes),
    );
    if to <= from {
        return vec![Piece::Minutes(first..=last)];
    }
    let mut pieces = vec![Piece::Hours(from..=to - 1)];
    if first < from * minutes {
        pieces.push(Piece::Minutes(first..=from * minutes - 1));
    }
    if to * minutes <= last {
        pieces.push(Piece::Minutes(to * minutes..=last));
    }
    pieces
}

impl Store {
    /// What was counted from the minute of `start` to the minute of `end`, both included.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn counted(&self, start: Millis, end: Millis) -> Answer<Counts> {
        self.read(move |view| {
            let mut total = Counts::new();
            for piece in pieces(start, end) {
                let (from, to) = match &piece {
                    Piece::Minutes(span) => {
                        (keys::minute_number(*span.start()), keys::minute_number(span.end() + 1))
                    }
                    Piece::Hours(span) => {
                        (keys::hour_number(*span.start()), keys::hour_number(span.end() + 1))
                    }
                };
                view.scan(&from, &to, false, &mut |key, value| {
                    let stored: RollupV1 = view.open_value(key, value)?;
                    for (cell, by) in stored.counts {
                        *total.entry(cell).or_default() += by;
                    }
                    Ok(true)
                })?;
            }
            Ok(total)
        })
        .await
    }
}

impl Txn<'_> {
    /// Counts something in the minute of `at`. It is written with the group that this write is in.
    pub fn tally(&mut self, at: Millis, cell: Cell, by: i64) {
        self.note_tally((at, cell, by));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_is_cut_into_spans_that_hold_each_of_its_minutes_once(
            start in -10_000_000i64..10_000_000, length in 0i64..40_000_000
        ) {
            let end = start + length;
            let mut minutes = Vec::new();
            for piece in pieces(start, end) {
                match piece {
                    Piece::Minutes(span) => minutes.extend(span),
                    Piece::Hours(span) => minutes.extend(span.flat_map(|hour| hour * 60..hour * 60 + 60)),
                }
            }
            minutes.sort_unstable();
            let wanted: Vec<Millis> = (start.div_euclid(MINUTE_MS)..=end.div_euclid(MINUTE_MS)).collect();
            prop_assert_eq!(minutes, wanted);
        }

        #[test]
        fn a_bucket_ends_little_above_what_is_in_it(took in 0i64..1_000_000_000) {
            let end = bucket_end(bucket_of(took));
            prop_assert!(end >= took as f64 * 0.999_999 && end <= (took + 1) as f64 * 1.2, "{took}: {end}");
        }
    }

    #[test]
    fn more_categories_than_there_is_room_for_are_counted_together() {
        let mut counts = Counts::new();
        for n in 0..CELLS_MAX + 5 {
            count(&mut counts, Cell::accepted(&n.to_string(), Priority::Low), 1);
        }
        assert_eq!(counts.get(&Cell::accepted(OTHER, Priority::Low)), Some(&5));
        assert_eq!(counts.len(), CELLS_MAX + 1);
    }

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn a_rollup_keeps_its_bytes() {
        let counts = vec![
            (Cell::accepted("a", Priority::High), 2),
            (Cell::reached(Channel::Email, Status::Skipped, Some(Reason::NoAddress)), 1),
            (Cell::took(Channel::Sms, 3), 1),
        ];
        assert_eq!(encode(&RollupV1 { counts }), [1, 3, 0, 1, b'a', 2, 4, 1, 1, 7, 1, 4, 2, 2, 3, 8, 2]);
    }
}
