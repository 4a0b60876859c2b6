//! Cron expressions, read on the wall clock of an IANA time zone.
//!
//! The clock that the expression is read on is the local one without its zone; each of its times becomes an instant
//! afterwards. So a time that the clocks skip moves forward by what they skip, a time that they repeat counts at its
//! first occurrence, a daily job runs once on every local day, and no instant ever lies before the one before it.

use std::str::FromStr;

use cron::Schedule;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::clock::Millis;

/// The longest expression.
const CRON_BYTES_MAX: usize = 256;

/// A cron expression of five fields, or one of the names such as `@daily`.
#[derive(Clone, Debug)]
pub struct Cron {
    /// It recurs where any of them does: a day of the month and a day of the week that are both restricted are two
    /// ways to be meant (POSIX, crontab).
    rules: Vec<Schedule>,
}

/// Why an expression cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It does not have five fields.
    #[error(
        "must have five fields (minute, hour, day of month, month, day of week), this has {0}; or be one of \
         @hourly, @daily, @weekly, @monthly, @yearly"
    )]
    Fields(usize),
    /// It begins with an `@` and is no name.
    #[error("must be one of @hourly, @daily, @weekly, @monthly, @yearly, or five fields")]
    Name,
    /// It is too long to mean anything.
    #[error("must be at most {CRON_BYTES_MAX} bytes")]
    TooLong,
    /// One field cannot be read.
    #[error("{field} (field {position} of 5): {detail}")]
    Field {
        /// Which.
        field: &'static str,
        /// Its place, from 1.
        position: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// No such date exists.
    #[error("day of month (field 3 of 5): no month that is named has such a day, so it would never run")]
    Never,
}

/// One field: its name, its bounds, and the words that stand for numbers in it.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    words: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", first: 0, last: 59, words: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, words: &[] };
const DAY: Field = Field { name: "day of month", first: 1, last: 31, words: &[] };
const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// Sunday is 0 and also 7.
const WEEKDAY: Field = Field {
    name: "day of week",
    first: 0,
    last: 7,
    words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};
const FIELDS: [Field; 5] = [MINUTE, HOUR, DAY, MONTH, WEEKDAY];

/// Days of each month in the longest of years.
const MONTH_DAYS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// Saying which field is wrong and why.
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        if text.len() > CRON_BYTES_MAX {
            return Err(CronError::TooLong);
        }
        let text = match text.trim() {
            name if name.starts_with('@') => named(name)?,
            fields => fields,
        };
        let given: Vec<&str> = text.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = given.as_slice() else {
            return Err(CronError::Fields(given.len()));
        };
        let mut sets = Vec::with_capacity(5);
        for (at, (field, text)) in FIELDS.iter().zip([minute, hour, day, month, weekday]).enumerate() {
            let set = field.read(text).map_err(|detail| CronError::Field {
                field: field.name,
                position: at + 1,
                detail,
            })?;
            sets.push(set);
        }
        let [minutes, hours, days, months, weekdays] = sets.as_slice() else {
            return Err(CronError::Fields(sets.len()));
        };
        let weekdays = weekdays.as_ref().map(|days| on_crates_clock(days));
        let possible = |day: &u8, month: u8| {
            MONTH_DAYS.get(usize::from(month) - 1).is_some_and(|longest| day <= longest)
        };
        let all_months: Vec<u8> = (1..=12).collect();
        let exists = |days: &Vec<u8>| {
            let months = months.as_ref().unwrap_or(&all_months);
            days.iter().any(|day| months.iter().any(|month| possible(day, *month)))
        };
        let ways: Vec<(&Option<Vec<u8>>, &Option<Vec<u8>>)> = match (days, &weekdays) {
            (Some(days_given), weekdays) if !exists(days_given) && weekdays.is_none() => {
                return Err(CronError::Never);
            }
            (Some(_), Some(_)) => vec![(days, &None), (&None, &weekdays)],
            (_, weekdays) => vec![(days, weekdays)],
        };
        let rules = ways
            .into_iter()
            .map(|(days, weekdays)| {
                let field = |set: &Option<Vec<u8>>| set.as_deref().map_or_else(|| "*".to_owned(), list);
                let parts = [field(minutes), field(hours), field(days), field(months), field(weekdays)];
                // The library counts seconds first.
                Schedule::from_str(&format!("0 {}", parts.join(" ")))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CronError::Field { field: "minute", position: 1, detail: error.to_string() })?;
        Ok(Cron { rules })
    }

    /// The first instant after `after` at which it recurs on the clocks of `zone`. `None` where it does not any more
    /// before the year 2100.
    pub fn next_after(&self, zone: &TimeZone, after: Millis) -> Option<Millis> {
        let after = Timestamp::from_millisecond(after).ok()?;
        let from = first_local(zone, after)?;
        let next = self.rules.iter().filter_map(|rule| first(rule, zone, from, after)).min()?;
        Some(next.as_millisecond())
    }

    /// The next `count` instants after `after`.
    pub fn upcoming(&self, zone: &TimeZone, after: Millis, count: usize) -> Vec<Millis> {
        std::iter::successors(self.next_after(zone, after), |last| self.next_after(zone, *last))
            .take(count)
            .collect()
    }
}

fn named(name: &str) -> Result<&'static str, CronError> {
    match name.to_ascii_lowercase().as_str() {
        "@hourly" => Ok("0 * * * *"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@monthly" => Ok("0 0 1 * *"),
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        _ => Err(CronError::Name),
    }
}

impl Field {
    /// The numbers that a field names, in order; `None` where it restricts nothing.
    fn read(&self, text: &str) -> Result<Option<Vec<u8>>, String> {
        let mut numbers = Vec::new();
        for part in text.split(',') {
            if part == "*" || part == "?" {
                return Ok(None);
            }
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (part, None),
            };
            let (from, to) = match range.split_once('-') {
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                None if range == "*" => (self.first, self.last.min(self.first + self.len() - 1)),
                None => {
                    let from = self.number(range)?;
                    (from, if step.is_some() { self.last } else { from })
                }
            };
            if from > to {
                return Err(format!("the range {range} ends before it begins"));
            }
            numbers.extend((from..=to).step_by(usize::from(step.unwrap_or(1))));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Some(numbers))
    }

    /// How many different numbers there are: seven days, though two of eight numbers are a Sunday.
    fn len(&self) -> u8 {
        if self.name == WEEKDAY.name { 7 } else { self.last - self.first + 1 }
    }

    fn step(&self, text: &str) -> Result<u8, String> {
        let step = text.parse::<u8>().ok().filter(|step| (1..=self.last).contains(step));
        step.ok_or_else(|| format!("the step {text:?} is not a number from 1 to {}", self.last))
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.words.iter().position(|word| *word == lower) {
            return Ok(self.first + u8::try_from(at).unwrap_or(0));
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse::<u8>().ok() } else { None };
        number.filter(|number| (self.first..=self.last).contains(number)).ok_or_else(|| {
            let words = match self.words {
                [first, .., last] => format!(" or a name from {first} to {last}"),
                [] | [_] => String::new(),
            };
            format!("{text:?} is not a number from {} to {}{words}", self.first, self.last)
        })
    }
}

/// Days of the week as the library counts them, from Sunday as 1.
fn on_crates_clock(days: &[u8]) -> Vec<u8> {
    let mut days: Vec<u8> = days.iter().map(|day| day % 7 + 1).collect();
    days.sort_unstable();
    days.dedup();
    days
}

fn list(numbers: &[u8]) -> String {
    let each: Vec<String> = numbers.iter().map(u8::to_string).collect();
    each.join(",")
}

/// Where on the local clock to begin to look for what lies after `after`. Usually what it shows then; within the
/// length of a gap after one also what the clocks skipped, since that moves to where we are now.
fn first_local(zone: &TimeZone, after: Timestamp) -> Option<DateTime> {
    let shown = zone.to_datetime(after);
    let second = jiff::SignedDuration::from_secs(1);
    let Some(jump) = zone.preceding(after.checked_add(second).ok()?).next() else { return Some(shown) };
    let before = zone.to_offset(jump.timestamp().checked_sub(second).ok()?);
    let skipped = i64::from(jump.offset().seconds()) - i64::from(before.seconds());
    let end = jump.timestamp().checked_add(jiff::SignedDuration::from_secs(skipped.max(0))).ok()?;
    if after >= end {
        return Some(shown);
    }
    Some(before.to_datetime(jump.timestamp()).checked_sub(second).ok()?.min(shown))
}

/// The first instant after `after` among the local times of `rule` after `from`.
fn first(rule: &Schedule, zone: &TimeZone, from: DateTime, after: Timestamp) -> Option<Timestamp> {
    let mut found: Option<(Timestamp, DateTime)> = None;
    for local in rule.after(&local_as_utc(from)?) {
        let local = utc_as_local(local)?;
        // A time that was moved over a gap can lie after a later one; beyond what it moved to none can.
        if found.is_some_and(|(_, shown)| local > shown) {
            break;
        }
        let Ok(at) = zone.to_ambiguous_timestamp(local).compatible() else { break };
        if at > after && found.is_none_or(|(first, _)| at < first) {
            found = Some((at, zone.to_datetime(at)));
        }
    }
    found.map(|(at, _)| at)
}

fn local_as_utc(local: DateTime) -> Option<chrono::DateTime<chrono::Utc>> {
    let seconds = TimeZone::UTC.to_timestamp(local).ok()?.as_second();
    chrono::DateTime::from_timestamp(seconds, 0)
}

fn utc_as_local(utc: chrono::DateTime<chrono::Utc>) -> Option<DateTime> {
    Some(TimeZone::UTC.to_datetime(Timestamp::from_second(utc.timestamp()).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().expect("an instant").as_millisecond()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    fn upcoming(text: &str, name: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(text).expect("an expression");
        let found = cron.upcoming(&zone(name), at(after), count);
        found.into_iter().map(|at| Timestamp::from_millisecond(at).expect("in range").to_string()).collect()
    }

    #[test]
    fn through_every_change_of_the_clocks_a_daily_job_runs_once_a_day() {
        for (text, name, after, wanted) in [
            // Skipped: 02:30 becomes 03:30 summer time.
            (
                "30 2 * * *",
                "Europe/Paris",
                "2026-03-28T00:00:00Z",
                ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"],
            ),
            // Repeated: the first of the two.
            (
                "30 2 * * *",
                "Europe/Paris",
                "2026-10-24T12:00:00Z",
                ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"],
            ),
            (
                "30 2 * * *",
                "America/New_York",
                "2026-03-07T12:00:00Z",
                ["2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"],
            ),
            // Half an hour only.
            (
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T00:00:00Z",
                ["2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z", "2026-10-05T15:15:00Z"],
            ),
            // Midnight itself is skipped.
            (
                "0 0 * * *",
                "America/Asuncion",
                "2023-09-30T12:00:00Z",
                ["2023-10-01T04:00:00Z", "2023-10-02T03:00:00Z", "2023-10-03T03:00:00Z"],
            ),
            // A whole day is skipped: the job of the day that never was falls together with the next day's.
            (
                "0 9 * * *",
                "Pacific/Apia",
                "2011-12-29T18:00:00Z",
                ["2011-12-29T19:00:00Z", "2011-12-30T19:00:00Z", "2011-12-31T19:00:00Z"],
            ),
        ] {
            assert_eq!(upcoming(text, name, after, 3), wanted, "{text} in {name}");
        }
    }

    #[test]
    fn half_hours_never_go_backwards_where_the_clocks_do() {
        assert_eq!(
            upcoming("*/30 * * * *", "Europe/Paris", "2026-10-24T23:30:00Z", 4),
            ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z",]
        );
        assert_eq!(
            upcoming("*/30 * * * *", "Europe/Paris", "2026-03-29T00:30:00Z", 3),
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z",]
        );
    }

    #[test]
    fn names_numbers_steps_and_both_kinds_of_days_mean_what_crontab_means() {
        // 2026-11-24 is a Tuesday.
        let next = |text| upcoming(text, "UTC", "2026-11-24T10:07:00Z", 1).remove(0);
        assert_eq!(next("*/15 * * * *"), "2026-11-24T10:15:00Z");
        assert_eq!(next("0 9 * * MON-FRI"), "2026-11-25T09:00:00Z");
        assert_eq!(next("0 9 * * sun"), "2026-11-29T09:00:00Z");
        assert_eq!(next("0 9 * * 0"), next("0 9 * * 7"));
        assert_eq!(next("0 9 * * 6-7"), "2026-11-28T09:00:00Z");
        assert_eq!(next("0 0 1 jan ?"), "2027-01-01T00:00:00Z");
        assert_eq!(next("0 0 29 2 *"), "2028-02-29T00:00:00Z");
        assert_eq!(next("10/20 10 * * *"), "2026-11-24T10:10:00Z");
        // The 13th or any Friday.
        assert_eq!(next("0 0 13 * 5"), "2026-11-27T00:00:00Z");
        for (name, wanted) in [
            ("@hourly", "2026-11-24T11:00:00Z"),
            ("@daily", "2026-11-25T00:00:00Z"),
            ("@weekly", "2026-11-29T00:00:00Z"),
            ("@monthly", "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(next(name), wanted);
        }
    }

    #[test]
    fn nonsense_is_refused_and_the_field_is_named() {
        for (text, wanted) in [
            ("61 * * * *", "minute (field 1 of 5)"),
            ("* 24 * * *", "hour (field 2 of 5)"),
            ("* * 0 * *", "day of month (field 3 of 5)"),
            ("* * * foo *", "month (field 4 of 5)"),
            ("* * * * 8", "day of week (field 5 of 5)"),
            ("*/0 * * * *", "minute (field 1 of 5)"),
            ("30-10 * * * *", "ends before it begins"),
            ("1,,2 * * * *", "minute (field 1 of 5)"),
            ("-5 * * * *", "minute (field 1 of 5)"),
            ("* * * *", "must have five fields"),
            ("0 * * * * *", "this has 6"),
            ("", "this has 0"),
            ("@never", "@hourly"),
            ("0 0 30 2 *", "never run"),
            ("0 0 31 4,6 *", "never run"),
        ] {
            let error = Cron::parse(text).expect_err(text).to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        assert_eq!(Cron::parse(&"1,".repeat(200)).expect_err("long"), CronError::TooLong);
    }

    /// Minute by minute: the first after `after` whose local time fits, told by the minute's own first occurrence.
    fn oracle(minutes: &[u8], hours: &[u8], zone: &TimeZone, after: Millis) -> Option<Millis> {
        let start = after - after.rem_euclid(60_000);
        let fits = |local: DateTime| {
            minutes.iter().any(|m| i64::from(*m) == i64::from(local.minute()))
                && hours.iter().any(|h| i64::from(*h) == i64::from(local.hour()))
        };
        (1..4 * 24 * 60).map(|n| start + n * 60_000).find(|at| {
            let instant = Timestamp::from_millisecond(*at).expect("in range");
            // The local times that lead here: the one that is shown, and one that was skipped by up to an hour.
            let shown = zone.to_datetime(instant);
            let leads = |local: DateTime| {
                fits(local) && zone.to_ambiguous_timestamp(local).compatible().is_ok_and(|t| t == instant)
            };
            [0, 30, 60].iter().any(|back| leads(shown - jiff::SignedDuration::from_mins(*back)))
        })
    }

    proptest! {
        #[test]
        fn what_comes_next_is_what_a_walk_over_every_minute_finds(
            minute in prop_oneof![Just("*/30"), Just("30"), Just("0,20,40"), Just("15"), Just("*/7")],
            hour in prop_oneof![Just("*"), Just("2"), Just("0-3"), Just("1,23"), Just("3")],
            name in prop_oneof![
                Just("Europe/Paris"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Asia/Kolkata"),
                Just("America/St_Johns"), Just("Pacific/Chatham"), Just("Africa/Casablanca")
            ],
            change in prop_oneof![
                Just("2026-03-08T07:00:00Z"), Just("2026-03-29T01:00:00Z"), Just("2026-10-25T01:00:00Z"),
                Just("2026-11-01T06:00:00Z"), Just("2026-10-03T15:30:00Z"), Just("2026-04-04T14:00:00Z")
            ],
            minutes_off in -1_500i64..1_500,
        ) {
            let after = at(change) + minutes_off * 60_000;
            let zone = zone(name);
            let read = |field: &Field, text| {
                let all = (field.first..=field.last).collect();
                field.read(text).expect("a field").unwrap_or(all)
            };
            let wanted = oracle(&read(&MINUTE, minute), &read(&HOUR, hour), &zone, after);
            let cron = Cron::parse(&format!("{minute} {hour} * * *")).expect("an expression");
            prop_assert_eq!(cron.next_after(&zone, after), wanted);
            let next: Vec<Millis> = cron.upcoming(&zone, after, 40);
            prop_assert!(next.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn nothing_that_is_typed_makes_it_panic(text in "[ -~]{0,40}") {
            if let Ok(cron) = Cron::parse(&text) {
                cron.next_after(&TimeZone::UTC, 1_700_000_000_000);
            }
        }
    }
}
