//! Time zones: which there are, which one was meant, and which instant a wall-clock time is.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::clock::Millis;

/// The longest name of a zone that is looked up.
const NAME_BYTES_MAX: usize = 64;

/// Which instant a wall-clock time is that the clocks show twice. One that they skip is the first valid instant after
/// it, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// The first.
    First,
    /// The second.
    Second,
}

/// The IANA time zone of that name, however its letters are cased.
pub fn zone(name: &str) -> Option<TimeZone> {
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX).then(|| TimeZone::get(name).ok()).flatten()
}

/// The name of an IANA time zone as IANA spells it, or what is wrong with it.
///
/// # Errors
/// A sentence that names the nearest zone there is.
pub fn check_zone(name: &str) -> Result<String, String> {
    if let Some(zone) = zone(name) {
        return Ok(zone.iana_name().unwrap_or(name).to_owned());
    }
    let meant = nearest_zone(name).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(format!("must be an IANA time zone such as Europe/Berlin{meant}"))
}

/// The zone whose name is nearest to `name`, if one is near.
fn nearest_zone(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let plain = |text: &str| text.trim().to_lowercase().replace([' ', '-'], "_");
    let wanted = plain(name);
    // Who leaves the continent out, or takes another for it, is understood by the city.
    let city = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        let known = plain(known);
        let whole = strsim::damerau_levenshtein(&wanted, &known);
        let by_city = strsim::damerau_levenshtein(&city(&wanted), &city(&known));
        let elsewhere = usize::from(city(&known) != known);
        whole.min(by_city + elsewhere)
    };
    let near_enough = 1 + city(&wanted).chars().count() / 4;
    jiff::tz::db()
        .available()
        .map(|known| known.to_string())
        .filter(|known| known.contains('/') && !known.starts_with("posix/") && !known.starts_with("right/"))
        .map(|known| (distance(&known), known))
        .min()
        .filter(|(distance, _)| *distance <= near_enough)
        .map(|(_, known)| known)
}

/// A number that changes when the rules of any time zone do, as far as they tell of this year and the next. Reads every
/// zone there is: not for a hot path.
pub fn rules_fingerprint(now: Millis) -> u64 {
    let this_year =
        Timestamp::from_millisecond(now).map(|at| TimeZone::UTC.to_datetime(at).year()).unwrap_or(1970);
    let new_year = |year: i16| {
        let date = Date::new(year, 1, 1).ok()?;
        TimeZone::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()
    };
    let (Some(from), Some(to)) = (new_year(this_year), new_year(this_year.saturating_add(2))) else {
        return 0;
    };
    // FNV-1a: it must come out alike in every build, and nobody chooses what goes in.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    // A database of its own, so that zones that nobody lives in are not kept in memory.
    let zones = jiff::tz::TimeZoneDatabase::from_env();
    let mut names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
    names.sort_unstable();
    for name in names {
        let Ok(zone) = zones.get(&name) else { continue };
        mix(name.as_bytes());
        mix(&zone.to_offset(from).seconds().to_be_bytes());
        for change in zone.following(from).take_while(|change| change.timestamp() < to) {
            mix(&change.timestamp().as_second().to_be_bytes());
            mix(&change.offset().seconds().to_be_bytes());
        }
    }
    hash
}

/// What the clocks of a zone show at an instant, in few words; those of UTC where the zone is not known.
pub fn shown(name: Option<&str>, at: Millis) -> String {
    let zone = name.and_then(zone).unwrap_or(TimeZone::UTC);
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    zone.to_datetime(at).strftime("%b %-d, %H:%M").to_string()
}

/// The local date at `now`.
pub(super) fn date_at(zone: &TimeZone, now: Millis) -> Option<Date> {
    Some(zone.to_datetime(Timestamp::from_millisecond(now).ok()?).date())
}

/// The date so many days later, or earlier.
pub(super) fn days_after(date: Date, days: i64) -> Option<Date> {
    date.checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

/// The instant at which the clocks of `zone` show `minutes` after midnight on `date`.
pub(super) fn instant_of(
    zone: &TimeZone,
    date: Date,
    minutes: u16,
    occurrence: Occurrence,
) -> Option<Millis> {
    let time = Time::new(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0).ok()?;
    let at: DateTime = date.to_datetime(time);
    let instant = match zone.to_ambiguous_timestamp(at).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at).ok()?,
        AmbiguousOffset::Fold { before, after } => match occurrence {
            Occurrence::First => before.to_timestamp(at).ok()?,
            Occurrence::Second => after.to_timestamp(at).ok()?,
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

    #[test]
    fn a_zone_that_is_not_quite_right_is_told_which_was_meant() {
        for (wrong, meant) in [
            ("Europe/Belin", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("America/New York", "America/New_York"),
            ("new-york", "America/New_York"),
            ("Asia/Katmandoo", "Asia/Katmandu"),
            ("Europe/Zürich", "Europe/Zurich"),
        ] {
            let said = check_zone(wrong).expect_err("it does not exist");
            assert!(said.ends_with(&format!("did you mean {meant}?")), "{wrong}: {said}");
        }
        for nothing_near in ["", "Mars/Olympus", "+01:00", "../zone", "xxxxxxxxxxxxxxxxxx"] {
            let said = check_zone(nothing_near).expect_err("it does not exist");
            assert!(!said.contains("did you mean"), "{nothing_near}: {said}");
        }
    }

    #[test]
    fn a_zone_is_kept_as_it_is_spelled_by_those_who_name_them() {
        assert_eq!(check_zone("europe/paris"), Ok("Europe/Paris".to_owned()));
        assert_eq!(check_zone("UTC"), Ok("UTC".to_owned()));
    }
}
