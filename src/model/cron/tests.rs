//! Cron expressions against tables of clock changes, and against a walk over every minute.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Millis {
    text.parse::<Timestamp>().expect("an instant").as_millisecond()
}

fn next_instants(cron: &Cron, zone: &TimeZone, after: Millis, count: usize) -> Vec<Millis> {
    let next = |last: &Millis| cron.next_after(zone, *last);
    std::iter::successors(next(&after), next).take(count).collect()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone")
}

fn upcoming(text: &str, name: &str, after: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(text).expect("an expression");
    let found = next_instants(&cron, &zone(name), at(after), count);
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
        let next: Vec<Millis> = next_instants(&cron, &zone, after, 40);
        prop_assert!(next.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn nothing_that_is_typed_makes_it_panic(text in "[ -~]{0,40}") {
        if let Ok(cron) = Cron::parse(&text) {
            cron.next_after(&TimeZone::UTC, 1_700_000_000_000);
        }
    }
}
