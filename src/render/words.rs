//! Dates, numbers and plurals as people of a language write them.
//!
//! A table of the common conventions and not a copy of CLDR: enough that a price or a time is read without a second
//! look. Where a language is not in a table it gets what cannot be misread: ISO dates, and 1,234.5.

use jiff::civil;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde_json::Value;

/// The longest pattern of a date: each of its directives can pad to 255 characters.
const PATTERN_BYTES_MAX: usize = 200;
/// Numbers from here on are milliseconds since 1970, smaller ones are seconds: the year 5138 in seconds, March 1973 in
/// milliseconds.
const MILLISECONDS_FROM: f64 = 1e11;

/// The language of a tag, and its region where it has one.
fn parts(locale: Option<&str>) -> (String, String) {
    let mut tags = locale.unwrap_or_default().split(['-', '_']);
    let language = tags.next().unwrap_or_default().to_ascii_lowercase();
    let region = tags.find(|tag| tag.len() == 2).unwrap_or_default().to_ascii_uppercase();
    (language, region)
}

/// What stands between thousands and before decimals, and from how many digits on thousands are set apart.
fn separators(locale: Option<&str>) -> (&'static str, char, usize) {
    let (language, region) = parts(locale);
    match (language.as_str(), region.as_str()) {
        ("de" | "it" | "fr", "CH" | "LI") => ("\u{2019}", '.', 4),
        ("es", "MX" | "US" | "PR" | "GT" | "HN" | "NI" | "PA" | "PE" | "SV" | "DO") => (",", '.', 4),
        ("de", "AT") => ("\u{a0}", ',', 4),
        ("es" | "ca", _) => (".", ',', 5),
        ("pt", "PT") | ("pl" | "bg", _) => ("\u{a0}", ',', 5),
        ("fr", _) => ("\u{202f}", ',', 4),
        (
            "de" | "it" | "nl" | "pt" | "id" | "tr" | "da" | "el" | "hr" | "sl" | "sr" | "bs" | "ro" | "vi"
            | "is" | "gl" | "mk",
            _,
        ) => (".", ',', 4),
        (
            "ru" | "uk" | "be" | "cs" | "sk" | "fi" | "sv" | "nb" | "nn" | "no" | "hu" | "lt" | "lv" | "et",
            _,
        ) => ("\u{a0}", ',', 4),
        _ => (",", '.', 4),
    }
}

/// A number, where the value is one or spells one.
pub(super) fn count(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

/// A number with its thousands set apart and as many decimals as asked for.
pub(super) fn number(value: &Value, decimals: Option<usize>, locale: Option<&str>) -> Result<String, String> {
    let float = count(value).ok_or("must be a number")?;
    let plain = match (value, decimals) {
        // Whole numbers beyond what a float holds keep their digits.
        (Value::Number(whole), None) if !whole.is_f64() => whole.to_string(),
        (_, Some(decimals)) => format!("{float:.decimals$}"),
        (_, None) => float.to_string(),
    };
    let negative = plain.starts_with('-') && plain.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let digits = plain.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (group, decimal, grouped_from) = separators(locale);
    let mut text = String::with_capacity(plain.len() + 8);
    if negative {
        text.push('-');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && whole.len() >= grouped_from {
            text.push_str(group);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(decimal);
        text.push_str(fraction);
    }
    Ok(text)
}

/// The plural form that a count takes, by the rules of the Unicode CLDR for the languages most written to.
pub(super) fn plural_form(count: f64, locale: Option<&str>) -> &'static str {
    let (language, region) = parts(locale);
    let count = count.abs();
    let whole = count.fract() == 0.0;
    // Far beyond it only the last digits matter, and these are beyond what a float holds.
    let n = if count < 1e15 { count as u64 } else { 0 };
    let (ten, hundred) = (n % 10, n % 100);
    let one = |is: bool| if is { "one" } else { "other" };
    match language.as_str() {
        "ja" | "zh" | "ko" | "vi" | "th" | "id" | "ms" | "lo" | "my" => "other",
        "fr" | "hy" => one(n <= 1),
        "pt" if region != "PT" => one(n <= 1),
        "fa" | "hi" | "bn" | "gu" | "kn" | "am" => one(count <= 1.0),
        _ if !whole => match language.as_str() {
            "cs" | "sk" => "many",
            "ar" | "ru" | "uk" | "be" | "pl" => "other",
            _ => "other",
        },
        "ru" | "uk" | "be" => match (ten, hundred) {
            (1, _) if hundred != 11 => "one",
            (2..=4, _) if !(12..=14).contains(&hundred) => "few",
            _ => "many",
        },
        "sr" | "hr" | "bs" => match (ten, hundred) {
            (1, _) if hundred != 11 => "one",
            (2..=4, _) if !(12..=14).contains(&hundred) => "few",
            _ => "other",
        },
        "pl" => match (n, ten) {
            (1, _) => "one",
            (_, 2..=4) if !(12..=14).contains(&hundred) => "few",
            _ => "many",
        },
        "cs" | "sk" => match n {
            1 => "one",
            2..=4 => "few",
            _ => "other",
        },
        "lt" => match ten {
            1 if !(11..=19).contains(&hundred) => "one",
            2..=9 if !(11..=19).contains(&hundred) => "few",
            _ => "other",
        },
        "lv" => match (ten, hundred) {
            (0, _) | (_, 11..=19) => "zero",
            (1, _) => "one",
            _ => "other",
        },
        "ro" => match n {
            1 => "one",
            _ if n == 0 || (1..=19).contains(&hundred) => "few",
            _ => "other",
        },
        "sl" => match hundred {
            1 => "one",
            2 => "two",
            3 | 4 => "few",
            _ => "other",
        },
        "ar" => match (n, hundred) {
            (0, _) => "zero",
            (1, _) => "one",
            (2, _) => "two",
            (_, 3..=10) => "few",
            (_, 11..=99) => "many",
            _ => "other",
        },
        "he" | "iw" => match n {
            1 => "one",
            2 => "two",
            _ => "other",
        },
        _ => one(n == 1),
    }
}

/// When something is, as far as the value says.
enum When {
    Instant(Timestamp),
    /// A wall clock's time, wherever the reader is.
    Local(civil::DateTime),
    Day(civil::Date),
}

fn when(value: &Value) -> Option<When> {
    if let Value::Number(number) = value {
        let number = number.as_f64()?;
        let millis = if number.abs() >= MILLISECONDS_FROM { number } else { number * 1_000.0 };
        return Timestamp::from_millisecond(millis as i64).ok().map(When::Instant);
    }
    let text = value.as_str()?.trim();
    if let Ok(instant) = text.parse() {
        return Some(When::Instant(instant));
    }
    // A date alone would also read as a time at midnight.
    if text.len() <= 10 {
        return text.parse().ok().map(When::Day);
    }
    text.parse().ok().map(When::Local)
}

/// A date or a time in the reader's zone. `format` is `date`, `time`, `datetime`, `iso`, or a strftime pattern.
pub(super) fn date(
    value: &Value,
    format: Option<&str>,
    zone: Option<&str>,
    locale: Option<&str>,
) -> Result<String, String> {
    let when = when(value)
        .ok_or("must be an instant such as 2026-11-23T08:00:00Z, a date, or a number of seconds")?;
    let named = zone.and_then(|zone| TimeZone::get(zone).ok());
    let known = named.is_some();
    let zone = named.unwrap_or(TimeZone::UTC);
    let beyond = |_: jiff::Error| "is beyond what a calendar holds".to_owned();
    let (zoned, day_alone, says_zone) = match when {
        When::Instant(instant) => (instant.to_zoned_datetime(zone), false, !known),
        When::Local(local) => (local.to_zoned_datetime(zone).map_err(beyond)?, false, false),
        When::Day(day) => (day.to_zoned_datetime(zone).map_err(beyond)?, true, false),
    };
    let format = format.unwrap_or(if day_alone { "date" } else { "datetime" });
    if format == "iso" {
        return if day_alone {
            strftime("%Y-%m-%d", &zoned)
        } else {
            strftime("%Y-%m-%dT%H:%M:%S%:z", &zoned)
        };
    }
    if format.contains('%') {
        return strftime(format, &zoned);
    }
    let (day, time, between) = patterns(locale);
    let pattern = match format {
        "date" | "short" => day.to_owned(),
        "time" => time.to_owned(),
        "datetime" => format!("{day}{between}{time}"),
        _ => return Err("format must be date, time, datetime, iso or a pattern such as %d.%m.%Y".to_owned()),
    };
    let mut text = strftime(&pattern, &zoned)?;
    // Whoever lives in another zone than the one shown must be able to tell.
    if says_zone && format != "date" && format != "short" {
        text.push_str(" UTC");
    }
    Ok(text)
}

fn strftime(pattern: &str, zoned: &ZonedDateTime) -> Result<String, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("format must be at most {PATTERN_BYTES_MAX} bytes"));
    }
    strtime::format(pattern, zoned).map_err(|error| format!("format is not a pattern for dates: {error}"))
}

/// How a day and a time are written, and what stands between them.
fn patterns(locale: Option<&str>) -> (&'static str, &'static str, &'static str) {
    let (language, region) = parts(locale);
    match (language.as_str(), region.as_str()) {
        ("en", "" | "US" | "PH") => ("%-m/%-d/%Y", "%-I:%M %p", ", "),
        ("en", "CA") => ("%Y-%m-%d", "%-I:%M %p", ", "),
        ("en", "ZA") => ("%Y/%m/%d", "%H:%M", ", "),
        ("en", _) => ("%d/%m/%Y", "%H:%M", ", "),
        ("fr", "CA") | ("sv" | "lt", _) => ("%Y-%m-%d", "%H:%M", " "),
        ("fr" | "es" | "it" | "pt" | "ca" | "el" | "vi" | "id" | "gl", _) => ("%d/%m/%Y", "%H:%M", ", "),
        ("nl", _) => ("%d-%m-%Y", "%H:%M", ", "),
        (
            "de" | "ru" | "uk" | "be" | "cs" | "sk" | "pl" | "tr" | "fi" | "nb" | "nn" | "no" | "da" | "et"
            | "lv" | "ro" | "bg" | "hr" | "sr" | "sl" | "bs" | "is" | "mk",
            _,
        ) => ("%d.%m.%Y", "%H:%M", ", "),
        ("ja" | "zh", _) => ("%Y/%m/%d", "%H:%M", " "),
        ("ko" | "hu", _) => ("%Y. %m. %d.", "%H:%M", " "),
        _ => ("%Y-%m-%d", "%H:%M", " "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_people_of_the_language_write_them() {
        let of = |value: Value, decimals, locale| number(&value, decimals, Some(locale)).unwrap();
        assert_eq!(of(json!(1234567.891), Some(2), "en"), "1,234,567.89");
        assert_eq!(of(json!(1234567.891), Some(2), "de-DE"), "1.234.567,89");
        assert_eq!(of(json!(1234.5), None, "fr"), "1\u{202f}234,5");
        assert_eq!(of(json!(1234), None, "es"), "1234");
        assert_eq!(of(json!(12345), None, "es"), "12.345");
        assert_eq!(of(json!(1234), None, "es-MX"), "1,234");
        assert_eq!(of(json!(999), Some(0), "pt-BR"), "999");
        assert_eq!(of(json!(-0.001), Some(2), "en"), "0.00");
        assert_eq!(of(json!(-1234.5), None, "xx"), "-1,234.5");
        assert_eq!(of(json!("42"), None, ""), "42");
        assert_eq!(of(json!(u64::MAX), None, "en"), "18,446,744,073,709,551,615");
        assert!(number(&json!("many"), None, None).is_err() && number(&json!("inf"), None, None).is_err());
    }

    #[test]
    fn plurals_follow_the_rules_of_the_language() {
        let forms = |locale: &str, counts: &[f64]| {
            counts.iter().map(|count| plural_form(*count, Some(locale))).collect::<Vec<_>>()
        };
        assert_eq!(forms("en", &[0.0, 1.0, 2.0, 1.5]), ["other", "one", "other", "other"]);
        assert_eq!(forms("fr", &[0.0, 1.0, 1.5, 2.0]), ["one", "one", "one", "other"]);
        assert_eq!(forms("pt-BR", &[0.0, 1.0, 2.0]), ["one", "one", "other"]);
        assert_eq!(
            forms("ru", &[1.0, 2.0, 5.0, 11.0, 21.0, 22.0]),
            ["one", "few", "many", "many", "one", "few"]
        );
        assert_eq!(
            forms("pl", &[1.0, 2.0, 5.0, 12.0, 21.0, 22.0]),
            ["one", "few", "many", "many", "many", "few"]
        );
        assert_eq!(forms("cs", &[1.0, 3.0, 5.0, 1.5]), ["one", "few", "other", "many"]);
        assert_eq!(
            forms("ar", &[0.0, 1.0, 2.0, 3.0, 11.0, 100.0]),
            ["zero", "one", "two", "few", "many", "other"]
        );
        assert_eq!(forms("ja", &[1.0, 2.0]), ["other", "other"]);
        assert_eq!(plural_form(1.0, None), "one");
    }

    #[test]
    fn a_date_is_shown_in_the_readers_zone_and_manner() {
        let value = json!("2026-11-24T23:30:00Z");
        let of = |format, zone, locale| date(&value, format, zone, locale).unwrap();
        assert_eq!(of(None, Some("Europe/Berlin"), Some("de")), "25.11.2026, 00:30");
        assert_eq!(of(None, Some("America/New_York"), Some("en-US")), "11/24/2026, 6:30 PM");
        assert_eq!(of(Some("date"), Some("Asia/Tokyo"), Some("en-GB")), "25/11/2026");
        assert_eq!(of(Some("time"), Some("Asia/Tokyo"), None), "08:30");
        assert_eq!(of(None, None, None), "2026-11-24 23:30 UTC");
        assert_eq!(of(Some("iso"), Some("Asia/Tokyo"), None), "2026-11-25T08:30:00+09:00");
        assert_eq!(of(Some("%A %-d %B %Y, %H:%M"), Some("UTC"), None), "Tuesday 24 November 2026, 23:30");
    }

    #[test]
    fn a_date_comes_as_an_instant_a_number_a_wall_clocks_time_or_a_day() {
        let of = |value: Value| date(&value, None, Some("Europe/Berlin"), None);
        assert_eq!(of(json!(1_764_025_200)).unwrap(), "2025-11-25 00:00");
        assert_eq!(of(json!(1_764_025_200_000_i64)).unwrap(), "2025-11-25 00:00");
        assert_eq!(of(json!("2026-11-24")).unwrap(), "2026-11-24");
        assert_eq!(of(json!("2026-11-24T08:15")).unwrap(), "2026-11-24 08:15");
        for wrong in [json!("soon"), json!(null), json!({}), json!(1e300), json!("2026-13-01"), json!("")] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(date(&json!(0), Some("%"), None, None).is_err());
        assert!(date(&json!(0), Some(&"%Y".repeat(200)), None, None).is_err());
        assert!(date(&json!(0), Some("long"), None, None).is_err());
    }
}
