//! Cron expressions, read on the wall clock of an IANA time zone.
//!
//! The clock that the expression is read on is the local one without its zone; each of its times becomes an instant
//! afterwards. So a time that the clocks skip moves forward by what they skip, a time that they repeat counts at its
//! first occurrence, a daily job runs once on every local day, and no instant ever lies before the one before it.

#[cfg(test)]
mod tests;

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
