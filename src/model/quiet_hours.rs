//! When a person does not want to be disturbed: a wall-clock window in their own time zone.
//!
//! The start is inclusive, the end exclusive. An edge that the clocks skip moves forward to the first valid instant;
//! where the clocks repeat an hour the start is its first occurrence and the end its second, so that a window is never
//! shorter than the person meant it. Windows that touch are one: its end is when it is really over.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::notification::Priority;
use crate::model::zone::{Occurrence, date_at, days_after, instant_of, zone};

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

/// A daily window in which everything but `in_app` waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// Whether it applies at all.
    pub enabled: bool,
    /// Where the window begins, in minutes after local midnight: 0 to 1439.
    pub start: u16,
    /// Where it ends, likewise, and never equal to `start`. Before `start` means on the next day.
    pub end: u16,
    /// An IANA time zone; the person's own where none is named, or else UTC.
    pub timezone: Option<String>,
    /// The days on which a window begins, Monday first; all of them unless said otherwise.
    pub days: [bool; 7],
    /// The priorities that go over it. `critical` always does.
    pub override_priorities: Vec<Priority>,
    /// Where a channel differs.
    pub channels: BTreeMap<Channel, ChannelHours>,
}

/// Where one channel differs from the rest; what is `None` is as for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelHours {
    /// Whether the window applies to the channel.
    pub enabled: Option<bool>,
    /// Where it begins.
    pub start: Option<u16>,
    /// Where it ends.
    pub end: Option<u16>,
}

/// The zone of somebody who named none.
pub const DEFAULT_ZONE: &str = "UTC";

impl Default for QuietHours {
    fn default() -> QuietHours {
        QuietHours {
            enabled: false,
            start: 22 * 60,
            end: 8 * 60,
            timezone: None,
            days: [true; 7],
            override_priorities: vec![Priority::Critical],
            channels: BTreeMap::new(),
        }
    }
}

impl QuietHours {
    /// The window that is in force on `channel` for somebody at home in the zone `home`, if one is. There is none too
    /// where the zone is unknown: nobody is kept waiting by a zone that the system no longer has.
    pub fn on(&self, channel: Channel, home: Option<&str>) -> Option<Daily> {
        let own = self.channels.get(&channel).copied().unwrap_or_default();
        // Most people have none.
        if channel == Channel::InApp || !own.enabled.unwrap_or(self.enabled) {
            return None;
        }
        self.daily(own.start.unwrap_or(self.start), own.end.unwrap_or(self.end), home)
    }

    /// The window that is in force on the channels that nothing else is said of.
    pub fn everywhere(&self, home: Option<&str>) -> Option<Daily> {
        self.enabled.then(|| self.daily(self.start, self.end, home)).flatten()
    }

    /// The zone that the window is in, for somebody at home in the zone `home`.
    pub fn zone_name<'a>(&'a self, home: Option<&'a str>) -> &'a str {
        self.timezone.as_deref().or(home).unwrap_or(DEFAULT_ZONE)
    }

    /// Whether a notification of that priority goes over the window.
    pub fn overridden_by(&self, priority: Priority) -> bool {
        priority == Priority::Critical || self.override_priorities.contains(&priority)
    }

    fn daily(&self, start: u16, end: u16, home: Option<&str>) -> Option<Daily> {
        let name = self.zone_name(home);
        Some(Daily { zone: zone(name)?, name: name.to_owned(), start, end, days: self.days })
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

/// A window that comes again each day, in a zone that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daily {
    zone: TimeZone,
    name: String,
    start: u16,
    end: u16,
    days: [bool; 7],
}

/// The most windows of different rules that are followed from one into the next: where two together never end, what is
/// held is looked at again after so many.
const CHAINED_MAX: usize = 64;

impl Daily {
    /// The window that holds `now`, if one does.
    pub fn window_at(&self, now: Millis) -> Option<Window> {
        self.windows(now, now.checked_add(1)?).into_iter().next()
    }

    /// The windows that have an instant with `from <= instant < to`, in order, none touching the next.
    pub fn windows(&self, from: Millis, to: Millis) -> Vec<Window> {
        let mut merged: Vec<Window> = Vec::new();
        // A window began on the day before, or the day before that where a zone skips one; and the next may touch it.
        let first = date_at(&self.zone, from).and_then(|date| days_after(date, -2));
        let last = date_at(&self.zone, to).and_then(|date| days_after(date, 1));
        let (Some(mut day), Some(last)) = (first, last) else { return merged };
        loop {
            match (self.window_on(day), merged.last_mut()) {
                (Some(next), Some(window)) if next.start <= window.end => {
                    window.end = window.end.max(next.end);
                }
                (Some(next), _) => merged.push(next),
                (None, _) => {}
            }
            day = match day.tomorrow() {
                Ok(next) if next <= last => next,
                Ok(_) | Err(_) => break,
            };
        }
        merged.retain(|window| window.start < to && from < window.end);
        merged
    }

    /// The window in words, as evidence for a decision.
    pub fn describe(&self) -> String {
        format!("{}–{} {}", clock_time(self.start), clock_time(self.end), self.name)
    }

    fn window_on(&self, day: Date) -> Option<Window> {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        if !*self.days.get(weekday)? {
            return None;
        }
        let last_day = if self.end <= self.start { day.tomorrow().ok()? } else { day };
        let start = instant_of(&self.zone, day, self.start, Occurrence::First)?;
        let end = instant_of(&self.zone, last_day, self.end, Occurrence::Second)?;
        (start < end).then_some(Window { start, end })
    }
}

/// When all of `rules` together leave one alone no longer, if any of them holds `now`: a window that ends within
/// another goes on to that one's end.
pub fn quiet_until(rules: &[&Daily], now: Millis) -> Option<Millis> {
    let mut until = None;
    for _ in 0..CHAINED_MAX {
        let at = until.unwrap_or(now);
        match rules.iter().filter_map(|rule| rule.window_at(at)).map(|window| window.end).max() {
            Some(end) => until = Some(end),
            None => break,
        }
    }
    until
}

/// The names of the days of the week, Monday first, as the contract spells them.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The day of the week of that name, 0 for Monday, or what is wrong with it.
///
/// # Errors
/// A sentence that names the day that was probably meant.
pub fn check_day(name: &str) -> Result<usize, String> {
    if let Some(position) = DAYS.iter().position(|day| *day == name) {
        return Ok(position);
    }
    let start: String = name.trim().to_lowercase().chars().take(3).collect();
    let meant = DAYS.iter().find(|day| **day == start);
    let meant = meant.map_or_else(String::new, |day| format!("; did you mean {day}?"));
    Err(format!("must be one of {}{meant}", DAYS.join(", ")))
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

/// `HH:MM` as minutes after midnight, or what is wrong with it.
///
/// # Errors
/// A sentence that names the time that was probably meant.
pub fn check_clock_time(text: &str) -> Result<u16, String> {
    parse_clock_time(text).ok_or_else(|| {
        let meant = meant_time(text).map_or_else(String::new, |time| format!("; did you mean {time}?"));
        format!("must be a time of the day as HH:MM, from 00:00 to 23:59{meant}")
    })
}

/// The time that `8:00`, `8.00`, `0800`, `24:00`, `08:00:00` or `10pm` stands for.
fn meant_time(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (text, noon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(morning), _) => (morning.trim(), Some(0)),
        (_, Some(evening)) => (evening.trim(), Some(12)),
        (None, None) => (text.as_str(), None),
    };
    let parts: Vec<&str> = text.split([':', '.', 'h']).collect();
    let (hours, minutes) = match *parts.as_slice() {
        [digits] if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        [hours] => (hours, "0"),
        [hours, minutes] | [hours, minutes, _] => (hours, if minutes.is_empty() { "0" } else { minutes }),
        _ => return None,
    };
    let (mut hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    if let Some(noon) = noon {
        hours = (1..=12).contains(&hours).then_some(hours % 12 + noon)?;
    } else if hours == 24 && minutes == 0 {
        hours = 0;
    }
    (hours < 24 && minutes < 60).then(|| clock_time(hours * 60 + minutes))
}
