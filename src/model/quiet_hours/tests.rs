//! Claims about quiet hours, one night at a time. The oracle beside this file has the other hundred thousand.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const DAY: Millis = 24 * 3_600_000;

fn at(text: &str) -> Millis {
    text.parse::<Timestamp>().expect("an instant").as_millisecond()
}

fn nights(zone: &str, start: &str, end: &str) -> QuietHours {
    QuietHours {
        enabled: true,
        start: parse_clock_time(start).expect("a time"),
        end: parse_clock_time(end).expect("a time"),
        timezone: Some(zone.to_owned()),
        ..QuietHours::default()
    }
}

fn daily(zone: &str, start: &str, end: &str) -> Daily {
    nights(zone, start, end).everywhere(None).expect("it is enabled")
}

fn window(zone: &str, start: &str, end: &str, now: &str) -> Option<Window> {
    daily(zone, start, end).window_at(at(now))
}

#[test]
fn the_start_is_inside_and_the_end_is_outside() {
    let quiet = daily("Europe/Paris", "22:00", "08:00");
    let night = Window { start: at("2026-11-23T21:00:00Z"), end: at("2026-11-24T07:00:00Z") };
    assert_eq!(quiet.window_at(night.start - 1), None);
    assert_eq!(quiet.window_at(night.start), Some(night));
    assert_eq!(quiet.window_at(night.end - 1), Some(night));
    assert_eq!(quiet.window_at(night.end), None);
}

#[test]
fn a_window_within_a_day_ends_the_same_day() {
    let noon = Window { start: at("2026-06-01T06:30:00Z"), end: at("2026-06-01T08:00:00Z") };
    assert_eq!(window("Asia/Kolkata", "12:00", "13:30", "2026-06-01T07:00:00Z"), Some(noon));
    assert_eq!(window("Asia/Kolkata", "12:00", "13:30", "2026-06-01T09:00:00Z"), None);
}

#[test]
fn an_edge_that_the_clocks_skip_moves_to_the_first_valid_instant() {
    // 2026-03-29 02:00 to 03:00 does not exist in Paris; the clocks jump at 01:00Z.
    let jump = at("2026-03-29T01:00:00Z");
    let ends = window("Europe/Paris", "22:00", "02:30", "2026-03-29T00:30:00Z").expect("inside");
    assert_eq!(ends.end, jump);
    let starts = window("Europe/Paris", "02:30", "05:00", "2026-03-29T01:00:00Z").expect("inside");
    assert_eq!(starts.start, jump);
}

#[test]
fn a_repeated_hour_belongs_to_the_window_whole() {
    // 2026-10-25 02:00 to 03:00 happens twice in Paris, from 00:00Z and from 01:00Z.
    let ends = window("Europe/Paris", "22:00", "02:30", "2026-10-25T00:00:00Z").expect("inside");
    assert_eq!(ends.end, at("2026-10-25T01:30:00Z"));
    let starts = window("Europe/Paris", "02:30", "05:00", "2026-10-25T00:45:00Z").expect("inside");
    assert_eq!(starts.start, at("2026-10-25T00:30:00Z"));
}

#[test]
fn a_night_goes_on_through_a_day_that_its_zone_skips() {
    // Apia went from the end of the 29th straight to the 31st of December 2011, at 10:00Z.
    let night = window("Pacific/Apia", "22:00", "08:00", "2011-12-30T09:00:00Z").expect("inside");
    assert_eq!(night, Window { start: at("2011-12-30T08:00:00Z"), end: at("2011-12-30T18:00:00Z") });
}

#[test]
fn windows_that_touch_are_one() {
    // The clocks skip the minutes between the end of one window and the start of the next.
    let all_but = window("Europe/Paris", "03:00", "02:15", "2026-03-28T12:00:00Z").expect("inside");
    assert_eq!(all_but.end, at("2026-03-30T00:15:00Z"), "two days in one");
    let rules = [daily("UTC", "22:00", "06:00"), daily("UTC", "05:00", "09:00")];
    let both = [&rules[0], &rules[1]];
    assert_eq!(quiet_until(&both, at("2026-11-24T23:00:00Z")), Some(at("2026-11-25T09:00:00Z")));
    assert_eq!(quiet_until(&both, at("2026-11-25T09:00:00Z")), None);
}

#[test]
fn two_rules_that_never_end_together_are_looked_at_again() {
    let rules = [daily("UTC", "22:00", "10:00"), daily("UTC", "10:00", "22:00")];
    let now = at("2026-11-24T23:00:00Z");
    let until = quiet_until(&[&rules[0], &rules[1]], now).expect("it is quiet");
    assert!(until > now + 7 * DAY && until < now + 100 * DAY);
}

#[test]
fn a_window_begins_only_on_its_days() {
    let mut quiet = nights("UTC", "22:00", "08:00");
    quiet.days = [true, true, true, true, true, false, false];
    let quiet = quiet.everywhere(None).expect("it is enabled");
    // Friday night runs into Saturday morning; Saturday night is free.
    assert!(quiet.window_at(at("2026-11-28T03:00:00Z")).is_some());
    assert_eq!(quiet.window_at(at("2026-11-28T23:00:00Z")), None);
}

#[test]
fn a_channel_can_have_hours_of_its_own_or_none() {
    let mut quiet = nights("UTC", "22:00", "08:00");
    let later = ChannelHours { end: Some(10 * 60), ..ChannelHours::default() };
    let never = ChannelHours { enabled: Some(false), ..ChannelHours::default() };
    quiet.channels = BTreeMap::from([(Channel::Sms, later), (Channel::BrowserPush, never)]);
    let nine = at("2026-11-24T09:00:00Z");
    let quiet_on = |quiet: &QuietHours, channel| {
        quiet.on(channel, None).is_some_and(|daily| daily.window_at(nine).is_some())
    };
    assert!(quiet_on(&quiet, Channel::Sms) && !quiet_on(&quiet, Channel::Email));
    let night = at("2026-11-24T23:00:00Z");
    assert!(quiet.on(Channel::Email, None).is_some_and(|daily| daily.window_at(night).is_some()));
    assert_eq!(quiet.on(Channel::BrowserPush, None), None);
    assert_eq!(quiet.on(Channel::InApp, None), None, "the inbox disturbs nobody");
    quiet.enabled = false;
    quiet.channels.insert(Channel::Sms, ChannelHours { enabled: Some(true), ..later });
    assert!(quiet_on(&quiet, Channel::Sms), "quiet on one channel alone");
    assert_eq!(quiet.on(Channel::Email, None), None);
}

#[test]
fn a_window_without_a_zone_is_in_the_persons_own() {
    let mut quiet = nights("UTC", "22:00", "08:00");
    quiet.timezone = None;
    assert_eq!(quiet.zone_name(Some("Asia/Tokyo")), "Asia/Tokyo");
    assert_eq!(quiet.zone_name(None), "UTC");
    let night = quiet.everywhere(Some("Asia/Tokyo")).and_then(|d| d.window_at(at("2026-11-24T13:00:00Z")));
    assert!(night.is_some());
    assert_eq!(quiet.everywhere(Some("Mars/Olympus")), None, "nobody waits for a zone that is gone");
}

#[test]
fn times_of_the_day_are_two_digits_and_two_digits() {
    assert_eq!(parse_clock_time("07:05"), Some(425));
    for wrong in ["24:00", "12:60", "7:05", "+7:05", "0705", "", "ab:cd", "07:05:00"] {
        assert_eq!(parse_clock_time(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_time_or_a_day_that_is_not_quite_right_is_told_which_was_meant() {
    for (wrong, meant) in [
        ("7:05", "07:05"),
        ("0705", "07:05"),
        ("24:00", "00:00"),
        ("22.30", "22:30"),
        ("10pm", "22:00"),
        ("12am", "00:00"),
        ("22:00:00", "22:00"),
        ("8", "08:00"),
    ] {
        let said = check_clock_time(wrong).expect_err("not HH:MM");
        assert!(said.ends_with(&format!("did you mean {meant}?")), "{wrong}: {said}");
    }
    for nothing_near in ["25:00", "noon", "", "-1:00", "\u{665}:00", "99999999999:00"] {
        let said = check_clock_time(nothing_near).expect_err("not HH:MM");
        assert!(!said.contains("did you mean"), "{nothing_near}: {said}");
    }
    assert_eq!(check_day("sun"), Ok(6));
    assert!(check_day("Tuesday").expect_err("not a day").ends_with("did you mean tue?"));
    assert!(!check_day("someday").expect_err("not a day").contains("did you mean"));
}

proptest! {
    #[test]
    fn windows_come_in_order_without_touching_and_hold_just_what_they_hold(
        zone in prop::sample::select(&["UTC", "Europe/Paris", "Pacific/Chatham", "America/Havana"][..]),
        start in 0u16..1440, end in 0u16..1440, days: [bool; 7],
        from in 1_700_000_000_000i64..1_900_000_000_000, span in 1i64..20,
    ) {
        prop_assume!(start != end);
        let quiet = QuietHours {
            enabled: true, start, end, days, timezone: Some(zone.to_owned()), ..QuietHours::default()
        };
        let daily = quiet.everywhere(None).expect("it is enabled");
        let to = from + span * DAY;
        let windows = daily.windows(from, to);
        for pair in windows.windows(2) {
            prop_assert!(pair[0].end < pair[1].start);
        }
        for window in &windows {
            prop_assert!(window.start < window.end && window.start < to && from < window.end);
            let middle = window.start + (window.end - window.start) / 2;
            prop_assert_eq!(daily.window_at(middle), Some(*window));
            prop_assert_eq!(daily.window_at(window.end), None);
            prop_assert_eq!(quiet_until(&[&daily], middle), Some(window.end));
        }
    }
}
