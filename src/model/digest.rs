//! How much at once, and how often: the policies by which notifications gather in digests and are throttled.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock::Millis;
use crate::model::quiet_hours::{DAYS, DEFAULT_ZONE, clock_time};
use crate::model::zone::{Occurrence, date_at, days_after, instant_of, zone};

/// When what gathers for a person and a category goes out as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Nothing gathers: each goes out by itself.
    Off,
    /// So long after the first.
    Fixed {
        /// Seconds, from 1 to [`WINDOW_SECONDS_MAX`].
        window_seconds: u32,
    },
    /// So long after the latest, but not later than so long after the first.
    Sliding {
        /// Seconds after the latest, from 1 to [`WINDOW_SECONDS_MAX`].
        window_seconds: u32,
        /// Seconds after the first, not less than the window.
        max_seconds: u32,
    },
    /// When the clocks show the next full hour.
    Hourly,
    /// When the clocks next show a time of the day.
    Daily {
        /// Minutes after local midnight.
        at: u16,
    },
    /// When the clocks next show a time of the day on a day of the week.
    Weekly {
        /// Minutes after local midnight.
        at: u16,
        /// 0 for Monday.
        weekday: u8,
    },
}

impl Digest {
    /// What kind it is, in words.
    pub fn describe(&self) -> String {
        match self {
            Digest::Off => "no".to_owned(),
            Digest::Fixed { window_seconds } => format!("{window_seconds} s"),
            Digest::Sliding { window_seconds, max_seconds } => {
                format!("{window_seconds} s (at most {max_seconds} s)")
            }
            Digest::Hourly => "hourly".to_owned(),
            Digest::Daily { at } => format!("daily {}", clock_time(*at)),
            Digest::Weekly { at, weekday } => {
                let day = DAYS.get(usize::from(*weekday)).copied().unwrap_or_default();
                format!("weekly {day} {}", clock_time(*at))
            }
        }
    }
}

/// The longest window: 31 days.
pub const WINDOW_SECONDS_MAX: u32 = 31 * 24 * 3_600;
/// The time of the day of a daily or weekly digest that names none: 08:00.
pub const DIGEST_AT: u16 = 8 * 60;

/// How many notifications of a category a person gets in a span of time; what is over it is skipped as `throttled`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// So many.
    pub max: u32,
    /// In so many seconds.
    pub per_seconds: u32,
    /// Counted apart by this field of the notification, such as `digest_key` or one of its variables; all together
    /// where none is named.
    pub key: Option<String>,
}

/// When a digest closes that was opened by its first notification at `opened_at` and got its latest at `now`, for
/// somebody at home in `zone_name`. A time of the day that the clocks skip is the first valid instant after it, one that
/// they show twice is its second, so that no day has two.
pub fn digest_close(policy: &Digest, zone_name: Option<&str>, now: Millis, opened_at: Millis) -> Millis {
    let after = |instant: Millis, seconds: u32| instant.saturating_add(Millis::from(seconds) * 1_000);
    let zone = || zone_name.and_then(zone).or_else(|| zone(DEFAULT_ZONE)).unwrap_or(TimeZone::UTC);
    match *policy {
        Digest::Off => now,
        Digest::Fixed { window_seconds } => after(opened_at, window_seconds),
        Digest::Sliding { window_seconds, max_seconds } => {
            after(now, window_seconds).min(after(opened_at, max_seconds))
        }
        Digest::Hourly => next_hour(&zone(), opened_at),
        Digest::Daily { at } => next_day(&zone(), opened_at, at, None),
        Digest::Weekly { at, weekday } => next_day(&zone(), opened_at, at, Some(weekday)),
    }
}

const HOUR: Millis = 3_600_000;

/// The first instant after `from` at which the clocks show a full hour.
fn next_hour(zone: &TimeZone, from: Millis) -> Millis {
    let offset_at = |at: Millis| {
        let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX);
        Millis::from(zone.to_offset(at).seconds()) * 1_000
    };
    // The first full hour that is not before `least`, as long as the clocks go by `offset`.
    let full = |least: Millis, offset: Millis| {
        let local = least.saturating_add(offset);
        least.saturating_add((HOUR - local.rem_euclid(HOUR)).rem_euclid(HOUR))
    };
    let offset = offset_at(from);
    let next = full(from.saturating_add(1), offset);
    if offset_at(next) == offset {
        return next;
    }
    // The clocks change before that. What they show from then on counts.
    let change = Timestamp::from_millisecond(from).ok().and_then(|at| zone.following(at).next());
    change.map_or(next, |change| {
        let at = change.timestamp().as_millisecond();
        full(at, offset_at(at))
    })
}

/// The first instant after `from` at which the clocks show `at`, on that day of the week where one is named.
fn next_day(zone: &TimeZone, from: Millis, at: u16, weekday: Option<u8>) -> Millis {
    let found = date_at(zone, from).and_then(|today| {
        // Yesterday's, because a zone may skip a day; and a week and a day ahead, because this week's may be past.
        (-1..=9).filter_map(|days| days_after(today, days)).find_map(|day| {
            let is_day = weekday.is_none_or(|wanted| day.weekday().to_monday_zero_offset() == wanted as i8);
            let instant = instant_of(zone, day, at, Occurrence::Second)?;
            (is_day && instant > from).then_some(instant)
        })
    });
    // At the end of time there is no next day.
    found.unwrap_or_else(|| from.saturating_add(24 * HOUR))
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;
    use proptest::prelude::*;

    use super::*;

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Paris",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Chatham",
        "America/St_Johns",
        "America/Havana",
    ];

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().expect("an instant").as_millisecond()
    }

    fn shown(zone_name: &str, at: Millis) -> DateTime {
        let zone = zone(zone_name).expect("a zone");
        zone.to_datetime(Timestamp::from_millisecond(at).expect("in range"))
    }

    #[test]
    fn a_fixed_window_counts_from_the_first_and_a_sliding_one_from_the_latest() {
        let (opened, now) = (at("2026-11-24T10:00:00Z"), at("2026-11-24T10:04:00Z"));
        let fixed = Digest::Fixed { window_seconds: 300 };
        assert_eq!(digest_close(&fixed, None, now, opened), at("2026-11-24T10:05:00Z"));
        let sliding = Digest::Sliding { window_seconds: 300, max_seconds: 600 };
        assert_eq!(digest_close(&sliding, None, now, opened), at("2026-11-24T10:09:00Z"));
        let late = at("2026-11-24T10:08:00Z");
        assert_eq!(digest_close(&sliding, None, late, opened), at("2026-11-24T10:10:00Z"));
        assert_eq!(digest_close(&Digest::Off, None, now, opened), now);
    }

    #[test]
    fn a_daily_digest_comes_at_its_local_time_through_the_changes_of_the_clocks() {
        let close = |at_minutes, opened: &str| {
            digest_close(&Digest::Daily { at: at_minutes }, Some("Europe/Paris"), 0, at(opened))
        };
        assert_eq!(close(480, "2026-11-24T06:59:59Z"), at("2026-11-24T07:00:00Z"));
        assert_eq!(close(480, "2026-11-24T07:00:00Z"), at("2026-11-25T07:00:00Z"), "the next, not this one");
        // 02:30 does not exist on 2026-03-29 and is shown twice on 2026-10-25.
        assert_eq!(close(150, "2026-03-28T12:00:00Z"), at("2026-03-29T01:00:00Z"));
        assert_eq!(close(150, "2026-10-24T12:00:00Z"), at("2026-10-25T01:30:00Z"));
        assert_eq!(close(150, "2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        let monday = Digest::Weekly { at: 480, weekday: 0 };
        let close = digest_close(&monday, Some("Europe/Paris"), 0, at("2026-11-24T10:00:00Z"));
        assert_eq!(close, at("2026-11-30T07:00:00Z"));
    }

    #[test]
    fn an_hourly_digest_comes_when_the_clocks_show_a_full_hour() {
        let close = |zone, opened: &str| digest_close(&Digest::Hourly, Some(zone), 0, at(opened));
        assert_eq!(close("Asia/Kathmandu", "2026-11-24T10:20:00Z"), at("2026-11-24T11:15:00Z"));
        // Lord Howe goes back half an hour at 2026-04-04T15:00Z, from 02:00 to 01:30.
        assert_eq!(close("Australia/Lord_Howe", "2026-04-04T14:30:00Z"), at("2026-04-04T15:30:00Z"));
    }

    #[test]
    fn a_zone_that_nobody_knows_is_utc() {
        let daily = Digest::Daily { at: 480 };
        let close = digest_close(&daily, Some("Mars/Olympus"), 0, at("2026-11-24T10:00:00Z"));
        assert_eq!(close, at("2026-11-25T08:00:00Z"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_first_full_hour_is_found_in_any_zone(
            zone_name in prop::sample::select(&ZONES[..]), opened in 1_700_000_000_000i64..1_900_000_000_000
        ) {
            let close = digest_close(&Digest::Hourly, Some(zone_name), opened, opened);
            // Every zone here changes its clocks on whole minutes of UTC.
            let minute = 60_000;
            let first = (opened / minute + 1..).map(|n| n * minute)
                .find(|instant| shown(zone_name, *instant).minute() == 0);
            prop_assert_eq!(Some(close), first);
        }

        #[test]
        fn a_daily_digest_comes_once_a_day_and_after_it_was_opened(
            zone_name in prop::sample::select(&ZONES[..]), at in 0u16..1440, opened in 1_700_000_000_000i64..1_900_000_000_000
        ) {
            let daily = Digest::Daily { at };
            let close = digest_close(&daily, Some(zone_name), opened, opened);
            prop_assert!(close > opened && close - opened <= 25 * HOUR);
            let next = digest_close(&daily, Some(zone_name), close, close);
            let days = shown(zone_name, close).date().until(shown(zone_name, next).date()).expect("dates").get_days();
            prop_assert_eq!(days, 1);
            prop_assert_eq!(digest_close(&daily, Some(zone_name), opened, close - 1), close);
        }

        #[test]
        fn a_weekly_digest_comes_on_its_day(
            zone_name in prop::sample::select(&ZONES[..]), at in 0u16..1440, weekday in 0u8..7,
            opened in 1_700_000_000_000i64..1_900_000_000_000
        ) {
            let close = digest_close(&Digest::Weekly { at, weekday }, Some(zone_name), opened, opened);
            prop_assert!(close > opened && close - opened <= 7 * 24 * HOUR + HOUR);
            prop_assert_eq!(shown(zone_name, close).weekday().to_monday_zero_offset() as u8, weekday);
        }
    }
}
