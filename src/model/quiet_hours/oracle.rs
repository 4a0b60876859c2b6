//! Quiet hours against another time-zone library, by another way of thinking.
//!
//! What is tested finds the edges of a window and compares instants. The oracle writes down what the clocks show at each
//! minute of eight days, as chrono-tz says, looks the edges up there, colours the quiet minutes, and reads off where the
//! colour begins and ends. Windows that touch become one by themselves.

use std::collections::HashMap;
use std::str::FromStr;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::{Millis, QuietHours, Window, quiet_until};

/// With half hours and three quarters, changes at midnight, of half an hour, of two hours, against the seasons, by
/// decree, and days that were skipped.
const ZONES: [&str; 26] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Asuncion",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/London",
    "Europe/Paris",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Fakaofo",
    "Pacific/Kiritimati",
];

const CASES: usize = 100_000;
const PLACES_PER_ZONE: usize = 12;
const NIGHTS_PER_PLACE: usize = 16;
const MINUTE: Millis = 60_000;
const MINUTES_OF_DAY: i64 = 1_440;
/// What is written down to either side of the middle, in minutes.
const REACH: i64 = 4 * MINUTES_OF_DAY;

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    fn around(&mut self, reach: i64) -> i64 {
        self.roll(2 * reach as u64) as i64 - reach
    }
}

/// How far the clocks are ahead of UTC, in minutes.
fn ahead(zone: Tz, minute: i64) -> i64 {
    let at = DateTime::from_timestamp(minute * 60, 0).expect("in range").naive_utc();
    i64::from(zone.offset_from_utc_datetime(&at).fix().local_minus_utc()) / 60
}

/// The minutes at which the clocks of `zone` change, from 1975 to 2025, and by how much.
fn changes(zone: Tz) -> Vec<(i64, i64)> {
    const STEP: i64 = 12 * 60;
    let (first, last) = (5 * 365 * MINUTES_OF_DAY, 55 * 365 * MINUTES_OF_DAY);
    let mut found = Vec::new();
    for at in (first..last).step_by(STEP as usize) {
        let (before, after) = (ahead(zone, at), ahead(zone, at + STEP));
        if before != after {
            let minute = (at..=at + STEP).find(|m| ahead(zone, *m) != before).expect("it changes in here");
            found.push((minute, after - before));
        }
    }
    found
}

/// What the clocks show in a few days: the local minutes, counted from 1970 as the clocks show it.
struct Days {
    first: i64,
    shown: Vec<i64>,
    /// The first and the last minute at which the clocks show a local minute.
    when: HashMap<i64, (i64, i64)>,
}

impl Days {
    fn around(zone: Tz, middle: i64) -> Days {
        let first = middle - REACH;
        let shown: Vec<i64> = (first..middle + REACH).map(|minute| minute + ahead(zone, minute)).collect();
        let mut when = HashMap::new();
        for (minute, local) in (first..).zip(&shown) {
            when.entry(*local).or_insert((minute, minute)).1 = minute;
        }
        Days { first, shown, when }
    }

    /// When the clocks show `local` first and last, or jump over it.
    fn find(&self, local: i64) -> Option<(i64, i64)> {
        self.when.get(&local).copied().or_else(|| {
            let jump = self.shown.windows(2).position(|pair| pair[0] < local && local < pair[1])?;
            let minute = self.first + jump as i64 + 1;
            Some((minute, minute))
        })
    }

    /// For each minute, whether it is quiet.
    fn colour(&self, quiet: &QuietHours) -> Vec<bool> {
        let mut coloured = vec![false; self.shown.len()];
        let days = self.shown.iter().map(|local| local.div_euclid(MINUTES_OF_DAY));
        let (earliest, latest) = (days.clone().min().unwrap_or(0), days.max().unwrap_or(0));
        for day in earliest..=latest {
            // 1970-01-01 was a Thursday.
            if !quiet.days[(day + 3).rem_euclid(7) as usize] {
                continue;
            }
            let end_day = if quiet.end < quiet.start { day + 1 } else { day };
            let start = self.find(day * MINUTES_OF_DAY + i64::from(quiet.start));
            let end = self.find(end_day * MINUTES_OF_DAY + i64::from(quiet.end));
            let (Some((start, _)), Some((_, end))) = (start, end) else { continue };
            for minute in start..end {
                coloured[(minute - self.first) as usize] = true;
            }
        }
        coloured
    }
}

fn night(dice: &mut Dice, zone: &str) -> QuietHours {
    let (mut start, end) = (dice.roll(1_440) as u16, dice.roll(1_440) as u16);
    if dice.roll(8) == 0 {
        // All of the day but a few minutes.
        start = (end + 1 + dice.roll(30) as u16) % 1_440;
    }
    if start == end {
        start = (start + 1) % 1_440;
    }
    let days = if dice.roll(2) == 0 { [true; 7] } else { [(); 7].map(|()| dice.roll(3) > 0) };
    QuietHours { enabled: true, start, end, days, timezone: Some(zone.to_owned()), ..QuietHours::default() }
}

#[test]
fn a_hundred_thousand_cases_agree_with_another_library() {
    let mut dice = Dice(2_026);
    let nights = ZONES.len() * PLACES_PER_ZONE * NIGHTS_PER_PLACE;
    let instants = CASES.div_ceil(nights);
    let (mut cases, mut near, mut inside) = (0, 0, 0);
    for name in ZONES {
        let zone = Tz::from_str(name).expect("chrono-tz knows it");
        let all = changes(zone);
        // Days that were skipped, always; of the others, some.
        let mut places: Vec<i64> = all.iter().filter(|(_, by)| by.abs() > 720).map(|(at, _)| *at).collect();
        while places.len() < PLACES_PER_ZONE {
            places.push(match all.len() {
                0 => 5_000 * MINUTES_OF_DAY + dice.roll(20_000_000) as i64,
                some => all[dice.roll(some as u64) as usize].0,
            });
        }
        for middle in places {
            let days = Days::around(zone, middle);
            for _ in 0..NIGHTS_PER_PLACE {
                let quiet = night(&mut dice, name);
                let coloured = days.colour(&quiet);
                let daily = quiet.everywhere(None).expect("jiff knows it");
                for _ in 0..instants {
                    let off = if dice.roll(5) == 0 { dice.around(MINUTES_OF_DAY) } else { dice.around(360) };
                    let now = (middle + off) * MINUTE + dice.roll(60_000) as Millis;
                    let at = (middle + off - days.first) as usize;
                    let expected = coloured[at].then(|| {
                        let start = coloured[..at].iter().rposition(|quiet| !quiet).expect("it began") + 1;
                        let end = at + coloured[at..].iter().position(|quiet| !quiet).expect("it ends");
                        let instant = |place: usize| (days.first + place as i64) * MINUTE;
                        Window { start: instant(start), end: instant(end) }
                    });
                    assert_eq!(daily.window_at(now), expected, "{quiet:?} at {now}");
                    assert_eq!(quiet_until(&[&daily], now), expected.map(|window| window.end));
                    cases += 1;
                    near += usize::from(off.abs() <= 360 && !all.is_empty());
                    inside += usize::from(expected.is_some());
                }
            }
        }
    }
    assert!(cases >= CASES && near * 2 > cases && inside * 4 > cases, "{cases} {near} {inside}");
}
