//! Counts by the minute and by the hour of the notifications' own timestamps, kept in the commit that changes them.
//!
//! What a group of writes counts is added up and written once for the whole group, so counting costs a few keys a
//! flush, not one a notification. A range is read as hours in its middle, minutes around them, and seconds
//! ([`super::seconds`]) where it cuts a minute: its cost follows the range, whatever the store holds.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::chunks;
use super::codec::{Record, encode};
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::seconds::{Second, add_within_minute, second_at};
use super::txn::{Changes, Txn};
use super::view::{Read, View};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::notification::Priority;

/// A minute.
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

impl RollupV1 {
    pub(super) fn add_to(self, total: &mut Counts) {
        for (cell, by) in self.counts {
            *total.entry(cell).or_default() += by;
        }
    }
}

/// What the writer knows of the spans that it counted in lately. It is the only writer, so no copy is out of date.
#[derive(Default)]
pub(super) struct Rollups {
    known: HashMap<Vec<u8>, Counts>,
    seconds: HashMap<Vec<u8>, Second>,
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
        if self.seconds.len() > REMEMBERED_MAX {
            self.seconds.clear();
        }
        // A group counts the same few things over and over, so they are added up before any span is looked for.
        let mut sums: BTreeMap<(Millis, Cell), i64> = BTreeMap::new();
        for (at, cell, by) in tallies {
            *sums.entry((at, cell)).or_default() += by;
        }
        let (mut touched, mut seconds) = (BTreeSet::new(), BTreeSet::new());
        let mut by_minute: BTreeMap<(Millis, Cell), i64> = BTreeMap::new();
        for ((at, cell), by) in sums {
            *by_minute.entry((at.div_euclid(MINUTE_MS), cell.clone())).or_default() += by;
            let key = keys::second(at);
            remembered(&mut self.seconds, &key, || second_at(&View(tree), &key))?.count(at, cell, by);
            seconds.insert(key);
        }
        for ((minute, cell), by) in by_minute {
            let at = minute * MINUTE_MS;
            for key in [keys::minute(at), keys::hour(at)] {
                let counts = remembered(&mut self.known, &key, || counts_at(&View(tree), &key))?;
                count(counts, cell.clone(), by);
                touched.insert(key);
            }
        }
        let mut write = |pieces: Vec<(Vec<u8>, Vec<u8>)>| {
            group.extend(pieces.into_iter().map(|(key, value)| (key, Some(value))));
        };
        for key in touched {
            let counts = self.known.get(&key).into_iter().flatten();
            let record = RollupV1 { counts: counts.map(|(cell, n)| (cell.clone(), *n)).collect() };
            write(chunks::split(key, &encode(&record)));
        }
        for key in seconds {
            let Some(second) = self.seconds.get(&key) else { continue };
            write(chunks::split(key, &encode(&second.to_record())));
        }
        Ok(())
    }
}

/// What is known under `key`, or else what `look` finds, to be changed.
fn remembered<'a, T>(
    known: &'a mut HashMap<Vec<u8>, T>,
    key: &[u8],
    look: impl FnOnce() -> Result<T, StoreError>,
) -> Result<&'a mut T, StoreError> {
    Ok(match known.entry(key.to_vec()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(room) => room.insert(look()?),
    })
}

/// Counts something, within the bound on how many different things there are.
pub(super) fn count(counts: &mut Counts, cell: Cell, by: i64) {
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

/// A range of instants, both ends included.
type Range = (Millis, Millis);

/// A range, cut at the minutes.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    /// The first and the last minute that it holds whole, by their numbers.
    minutes: Option<Range>,
    /// What it holds of others, each within one minute.
    edges: Vec<Range>,
}

fn cut(start: Millis, end: Millis) -> Cut {
    let whole = (
        start.saturating_add(MINUTE_MS - 1).div_euclid(MINUTE_MS),
        end.saturating_add(1).div_euclid(MINUTE_MS),
    );
    let (first, after) = whole;
    // Where it holds none whole it is within one minute, or on both sides of the end of one.
    let middle = if first < after {
        (first * MINUTE_MS, after * MINUTE_MS)
    } else {
        (first * MINUTE_MS, first * MINUTE_MS)
    };
    let edges = match middle {
        (from, _) if end < from => vec![(start, end)],
        (from, to) => [(start, from - 1), (to, end)].into_iter().filter(|(from, to)| from <= to).collect(),
    };
    Cut { minutes: (first < after).then_some((first, after - 1)), edges }
}

/// A part of a range that one key space answers.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Minutes(RangeInclusive<i64>),
    Hours(RangeInclusive<i64>),
}

/// The spans that the minutes from `first` to `last` are made of: hours where they hold all of one, minutes elsewhere.
fn pieces(first: i64, last: i64) -> Vec<Piece> {
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
    /// What was counted from `start` to `end`, both included.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn counted(&self, start: Millis, end: Millis) -> Answer<Counts> {
        self.read(move |view| {
            let mut total = Counts::new();
            let Cut { minutes, edges } = cut(start, end);
            for (start, end) in edges {
                add_within_minute(view, start, end, &mut total)?;
            }
            for piece in minutes.map(|(first, last)| pieces(first, last)).unwrap_or_default() {
                let (from, to) = match &piece {
                    Piece::Minutes(span) => {
                        (keys::minute_number(*span.start()), keys::minute_number(span.end() + 1))
                    }
                    Piece::Hours(span) => {
                        (keys::hour_number(*span.start()), keys::hour_number(span.end() + 1))
                    }
                };
                view.scan(&from, &to, false, &mut |key, value| {
                    view.open_value::<RollupV1>(key, value)?.add_to(&mut total);
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
            first in -10_000i64..10_000, length in 0i64..600
        ) {
            let mut minutes = Vec::new();
            for piece in pieces(first, first + length) {
                match piece {
                    Piece::Minutes(span) => minutes.extend(span),
                    Piece::Hours(span) => minutes.extend(span.flat_map(|hour| hour * 60..hour * 60 + 60)),
                }
            }
            minutes.sort_unstable();
            prop_assert_eq!(minutes, (first..=first + length).collect::<Vec<_>>());
        }

        #[test]
        fn what_is_cut_off_and_the_minutes_between_are_the_range(
            start in -200_000i64..200_000, length in 0i64..300_000
        ) {
            let end = start + length;
            let Cut { minutes, mut edges } = cut(start, end);
            for (from, to) in &edges {
                prop_assert!(from <= to && from.div_euclid(MINUTE_MS) == to.div_euclid(MINUTE_MS));
                prop_assert!(to - from < MINUTE_MS - 1, "a whole minute is no edge");
            }
            edges.extend(minutes.map(|(first, last)| (first * MINUTE_MS, (last + 1) * MINUTE_MS - 1)));
            edges.sort_unstable();
            prop_assert_eq!(edges.first().map(|edge| edge.0), Some(start));
            prop_assert_eq!(edges.last().map(|edge| edge.1), Some(end));
            prop_assert!(edges.windows(2).all(|two| two[0].1 + 1 == two[1].0), "{edges:?}");
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
