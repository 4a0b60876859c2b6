//! When a person does not want to be disturbed: a wall-clock window in their own time zone.
//!
//! The start is inclusive, the end exclusive. An edge that the clocks skip moves forward to the first valid instant;
//! where the clocks repeat an hour the start is its first occurrence and the end its second, so that a window is never
//! shorter than the person meant it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::clock::Millis;
use crate::model::notification::Priority;

/// A daily window in which everything but `in_app` waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// Whether it applies at all.
    pub enabled: bool,
    /// Where the window begins, in minutes after local midnight: 0 to 1439.
    pub start: u16,
    /// Where it ends, likewise, and never equal to `start`. Before `start` means on the next day.
    pub end: u16,
    /// An IANA time zone.
    pub timezone: String,
    /// The days on which a window begins, Monday first; all of them unless said otherwise.
    pub days: [bool; 7],
    /// The priorities that go over it. `critical` always does.
    pub override_priorities: Vec<Priority>,
}

impl Default for QuietHours {
    fn default() -> QuietHours {
        QuietHours {
            enabled: false,
            start: 22 * 60,
            end: 8 * 60,
            timezone: "UTC".to_owned(),
            days: [true; 7],
            override_priorities: vec![Priority::Critical],
        }
    }
}

/// One window as instants, `start` inclusive and `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first instant.
    pub start: Millis,
    /// The first instant after it.
    pub end: Millis,
}

/// The names of the days of the week, Monday first, as the contract spells them.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl QuietHours {
    /// The window that holds `now`, if one does. `None` too where the zone is unknown: nobody is kept waiting by a
    /// zone that the system no longer has.
    pub fn window_at(&self, now: Millis) -> Option<Window> {
        if !self.enabled {
            return None;
        }
        let zone = TimeZone::get(&self.timezone).ok()?;
        let instant = Timestamp::from_millisecond(now).ok()?;
        let today = zone.to_datetime(instant).date();
        // A window that holds now began today or yesterday; one day more, for zones that once skipped a whole day.
        (-2..=0)
            .filter_map(|days| today.checked_add(jiff::Span::new().days(days)).ok())
            .filter_map(|day| self.window_on(&zone, day))
            .find(|window| window.start <= now && now < window.end)
    }

    /// Whether a notification of that priority goes over the window.
    pub fn overridden_by(&self, priority: Priority) -> bool {
        priority == Priority::Critical || self.override_priorities.contains(&priority)
    }

    /// The window in words, as evidence for a decision.
    pub fn describe(&self) -> String {
        format!("{}–{} {}", clock_time(self.start), clock_time(self.end), self.timezone)
    }

    fn window_on(&self, zone: &TimeZone, day: Date) -> Option<Window> {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        if !*self.days.get(weekday)? {
            return None;
        }
        let last_day = if self.end <= self.start { day.tomorrow().ok()? } else { day };
        let start = edge(zone, day.to_datetime(time(self.start)?), Edge::Start)?;
        let end = edge(zone, last_day.to_datetime(time(self.end)?), Edge::End)?;
        (start < end).then_some(Window { start, end })
    }
}

/// Minutes after midnight as `HH:MM`.
pub fn clock_time(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `HH:MM` as minutes after midnight.
pub fn parse_clock_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str, below: u16| {
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse::<u16>().ok())
            .flatten()
            .filter(|n| *n < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// Whether the system knows an IANA time zone of that name.
pub fn zone_exists(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && TimeZone::get(name).is_ok()
}

enum Edge {
    Start,
    End,
}

fn time(minutes: u16) -> Option<Time> {
    let (hours, minutes) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
    Time::new(hours, minutes, 0, 0).ok()
}

fn edge(zone: &TimeZone, at: DateTime, edge: Edge) -> Option<Millis> {
    let ambiguous = zone.to_ambiguous_timestamp(at);
    let instant = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at).ok()?,
        AmbiguousOffset::Fold { before, after } => match edge {
            Edge::Start => before.to_timestamp(at).ok()?,
            Edge::End => after.to_timestamp(at).ok()?,
        },
        // Read with the later offset the skipped time lies before the jump, so the jump is the next transition.
        AmbiguousOffset::Gap { after, .. } => {
            zone.following(after.to_timestamp(at).ok()?).next()?.timestamp()
        }
    };
    Some(instant.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().expect("an instant").as_millisecond()
    }

    fn nights(zone: &str, start: &str, end: &str) -> QuietHours {
        QuietHours {
            enabled: true,
            start: parse_clock_time(start).expect("a time"),
            end: parse_clock_time(end).expect("a time"),
            timezone: zone.to_owned(),
            ..QuietHours::default()
        }
    }

    #[test]
    fn the_start_is_inside_and_the_end_is_outside() {
        let quiet = nights("Europe/Paris", "22:00", "08:00");
        let night = Window { start: at("2026-11-23T21:00:00Z"), end: at("2026-11-24T07:00:00Z") };
        assert_eq!(quiet.window_at(night.start - 1), None);
        assert_eq!(quiet.window_at(night.start), Some(night));
        assert_eq!(quiet.window_at(night.end - 1), Some(night));
        assert_eq!(quiet.window_at(night.end), None);
    }

    #[test]
    fn a_window_within_a_day_ends_the_same_day() {
        let quiet = nights("Asia/Kolkata", "12:00", "13:30");
        let noon = Window { start: at("2026-06-01T06:30:00Z"), end: at("2026-06-01T08:00:00Z") };
        assert_eq!(quiet.window_at(at("2026-06-01T07:00:00Z")), Some(noon));
        assert_eq!(quiet.window_at(at("2026-06-01T09:00:00Z")), None);
    }

    #[test]
    fn an_edge_that_the_clocks_skip_moves_to_the_first_valid_instant() {
        // 2026-03-29 02:00 to 03:00 does not exist in Paris; the clocks jump at 01:00Z.
        let quiet = nights("Europe/Paris", "22:00", "02:30");
        let window = quiet.window_at(at("2026-03-29T00:30:00Z")).expect("inside");
        assert_eq!(window.end, at("2026-03-29T01:00:00Z"));
        let quiet = nights("Europe/Paris", "02:30", "05:00");
        assert_eq!(
            quiet.window_at(at("2026-03-29T01:00:00Z")).expect("inside").start,
            at("2026-03-29T01:00:00Z")
        );
    }

    #[test]
    fn a_repeated_hour_belongs_to_the_window_whole() {
        // 2026-10-25 02:00 to 03:00 happens twice in Paris, from 00:00Z and from 01:00Z.
        let ends =
            nights("Europe/Paris", "22:00", "02:30").window_at(at("2026-10-25T00:00:00Z")).expect("inside");
        assert_eq!(ends.end, at("2026-10-25T01:30:00Z"));
        let starts =
            nights("Europe/Paris", "02:30", "05:00").window_at(at("2026-10-25T00:45:00Z")).expect("inside");
        assert_eq!(starts.start, at("2026-10-25T00:30:00Z"));
    }

    #[test]
    fn a_window_begins_only_on_its_days() {
        let mut quiet = nights("UTC", "22:00", "08:00");
        quiet.days = [true, true, true, true, true, false, false];
        // Friday night runs into Saturday morning; Saturday night is free.
        assert!(quiet.window_at(at("2026-11-28T03:00:00Z")).is_some());
        assert_eq!(quiet.window_at(at("2026-11-28T23:00:00Z")), None);
    }

    #[test]
    fn times_of_the_day_are_two_digits_and_two_digits() {
        assert_eq!(parse_clock_time("07:05"), Some(425));
        for wrong in ["24:00", "12:60", "7:05", "+7:05", "0705", "", "ab:cd", "07:05:00"] {
            assert_eq!(parse_clock_time(wrong), None, "{wrong:?}");
        }
    }
}
