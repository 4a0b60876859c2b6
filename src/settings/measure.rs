//! Sizes and durations: numbers with a unit.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::kind::Kind;
use super::written::{Written, quoted};

/// The units of a size, the largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes in a range: a whole number, or one with a unit.
pub fn size<T>(range: RangeInclusive<T>) -> Kind<T>
where
    T: Copy + TryFrom<u64> + TryInto<u64> + PartialOrd + 'static,
{
    let show = |size: &T| show_size((*size).try_into().unwrap_or(u64::MAX));
    let (least, most) = (show(range.start()), show(range.end()));
    let allowed = format!("a size from {least} to {most}, as 65536 (bytes), 64KiB or 1MiB");
    let read = move |written: &Written| {
        let bytes = match written.integer() {
            Some(bytes) => u64::try_from(bytes).ok()?,
            None => read_with_unit(written.text()?, &SIZES, 1)?,
        };
        let size = T::try_from(bytes).ok()?;
        range.contains(&size).then_some(size)
    };
    Kind::new(allowed, read, move |size| quoted(&show(size)))
}

fn show_size(bytes: u64) -> String {
    show_with_unit(bytes, &SIZES)
}

/// The units of a duration in milliseconds, the largest first.
const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What a duration written as a bare number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// A duration in a range: a number with a unit, or a bare number in the unit given here.
pub fn within(unit: Unit, range: RangeInclusive<Duration>) -> Kind<Duration> {
    let (name, scale_ms) = match unit {
        Unit::Seconds => ("seconds", 1_000),
        Unit::Milliseconds => ("milliseconds", 1),
    };
    let (least, most) = (show_duration(range.start()), show_duration(range.end()));
    let allowed = format!(
        "a duration from {least} to {most}, as 500ms, 30s, 5m, 1h or 7d (a bare number is in {name})"
    );
    let read = move |written: &Written| {
        let millis = match written.integer() {
            Some(number) => u64::try_from(number).ok()?.checked_mul(scale_ms)?,
            None => read_with_unit(written.text()?, &DURATIONS, scale_ms)?,
        };
        let duration = Duration::from_millis(millis);
        range.contains(&duration).then_some(duration)
    };
    Kind::new(allowed, read, |duration| quoted(&show_duration(duration)))
}

/// A duration in the largest unit that says it exactly; milliseconds are the smallest.
pub fn show_duration(duration: &Duration) -> String {
    match u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) {
        0 => "0s".to_owned(),
        millis => show_with_unit(millis, &DURATIONS),
    }
}

fn read_with_unit(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let text = text.trim();
    let (number, name) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale = match name {
        "" => bare,
        name => units.iter().find(|(unit, _)| *unit == name)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

fn show_with_unit(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, scale)| number >= *scale && number.is_multiple_of(*scale));
    fits.map_or_else(|| number.to_string(), |(name, scale)| format!("{}{name}", number / scale))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> Written {
        Written::Raw(text.to_owned())
    }

    fn any_duration() -> Kind<Duration> {
        within(Unit::Seconds, Duration::ZERO..=Duration::MAX)
    }

    #[test]
    fn a_duration_is_read_in_each_unit() {
        let cases =
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000)];
        for (text, millis) in cases {
            assert_eq!(any_duration().read(&raw(text)), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_in_the_unit_of_its_key() {
        let millis = within(Unit::Milliseconds, Duration::ZERO..=Duration::MAX);
        assert_eq!(any_duration().read(&Written::Integer(30)), Some(Duration::from_secs(30)));
        assert_eq!(any_duration().read(&raw("30")), Some(Duration::from_secs(30)));
        assert_eq!(millis.read(&Written::Integer(30)), Some(Duration::from_millis(30)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-1s", "1.5s", "1 s", "1S", "1w", "1h30m", "99999999999999999999d", "∞"] {
            assert_eq!(any_duration().read(&raw(text)), None, "{text}");
        }
        assert_eq!(any_duration().read(&Written::Integer(-1)), None);
    }

    #[test]
    fn a_size_is_read_in_each_unit_and_held_to_its_range() {
        let kind = size(1_024_usize..=1 << 30);
        for (text, bytes) in
            [("1024", 1_024), ("2048B", 2_048), ("64KiB", 65_536), ("1MiB", 1 << 20), ("1GiB", 1 << 30)]
        {
            assert_eq!(kind.read(&raw(text)), Some(bytes), "{text}");
        }
        for text in ["1023", "0", "-1", "2GiB", "1MB", "1mib", "99999999999GiB"] {
            assert_eq!(kind.read(&raw(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_was_shown(millis in 0..=u64::MAX / 2) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(any_duration().read(&raw(&show_duration(&duration))), Some(duration));
        }

        #[test]
        fn a_size_reads_back_as_it_was_shown(bytes in any::<u64>()) {
            prop_assert_eq!(size(0..=u64::MAX).read(&raw(&show_size(bytes))), Some(bytes));
        }
    }
}
