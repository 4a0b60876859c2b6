//! The wire forms of what both a person and a category can say: quiet hours, digests, throttles.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{Fields, kind};
use crate::model::channel::Channel;
use crate::model::digest::{DIGEST_AT, Digest, Throttle, WINDOW_SECONDS_MAX};
use crate::model::notification::Priority;
use crate::model::quiet_hours::{ChannelHours, DAYS, QuietHours, check_clock_time, check_day, clock_time};
use crate::model::zone::check_zone;

/// The modes of a digest.
const MODES: [&str; 6] = ["off", "fixed", "sliding", "hourly", "daily", "weekly"];
/// The most that a throttle lets through.
const THROTTLE_MAX: i64 = 1_000_000;
/// The longest name of what a throttle counts apart.
const KEY_CHARS_MAX: usize = 64;

/// Channels and whether they are on.
pub fn channels(channels: &BTreeMap<Channel, bool>) -> Value {
    channels.iter().map(|(channel, on)| (channel.name().to_owned(), json!(on))).collect::<Map<_, _>>().into()
}

/// Reads channels and whether they are on.
pub fn read_channels(fields: &mut Fields<'_>, known: &[Channel]) -> BTreeMap<Channel, bool> {
    let names: Vec<&str> = known.iter().map(|channel| channel.name()).collect();
    fields.only(&names);
    known.iter().filter_map(|channel| Some((*channel, fields.boolean(channel.name())?))).collect()
}

/// Quiet hours, with what was said and what holds where nothing was; the zone only where one was named.
pub fn quiet_hours(quiet: &QuietHours) -> Value {
    let days: Vec<&str> =
        DAYS.into_iter().zip(quiet.days).filter(|(_, on)| *on).map(|(day, _)| day).collect();
    let mut body = json!({
        "enabled": quiet.enabled,
        "start": clock_time(quiet.start),
        "end": clock_time(quiet.end),
        "days": days,
        "override_priorities": quiet.override_priorities.iter().map(|p| p.name()).collect::<Vec<_>>(),
    });
    if let Some(zone) = &quiet.timezone {
        body["timezone"] = json!(zone);
    }
    if !quiet.channels.is_empty() {
        let own =
            quiet.channels.iter().map(|(channel, own)| (channel.name().to_owned(), channel_hours(*own)));
        body["channels"] = own.collect::<Map<_, _>>().into();
    }
    body
}

fn channel_hours(own: ChannelHours) -> Value {
    if own == (ChannelHours { enabled: Some(false), start: None, end: None }) {
        return json!(false);
    }
    let mut body = Map::new();
    if let Some(enabled) = own.enabled {
        body.insert("enabled".to_owned(), json!(enabled));
    }
    for (name, time) in [("start", own.start), ("end", own.end)] {
        if let Some(time) = time {
            body.insert(name.to_owned(), json!(clock_time(time)));
        }
    }
    body.into()
}

/// Reads quiet hours; what is left out is as in `base`.
pub fn read_quiet_hours(fields: &mut Fields<'_>, base: QuietHours) -> QuietHours {
    fields.only(&["enabled", "start", "end", "timezone", "days", "override_priorities", "channels"]);
    let mut quiet = base;
    if let Some(enabled) = fields.boolean("enabled") {
        quiet.enabled = enabled;
    }
    if let Some(start) = read_time(fields, "start") {
        quiet.start = start;
    }
    if let Some(end) = read_time(fields, "end") {
        quiet.end = end;
    }
    if quiet.start == quiet.end {
        fields.wrong("end", SAME_TIMES);
    }
    if let Some(zone) = fields.text("timezone").map(check_zone) {
        match zone {
            Ok(zone) => quiet.timezone = Some(zone),
            Err(detail) => fields.wrong("timezone", detail),
        }
    }
    if let Some(days) = fields.texts("days", 14) {
        quiet.days = [false; 7];
        for (at, day) in days.into_iter().enumerate() {
            match check_day(day) {
                Ok(position) => quiet.days[position] = true,
                Err(detail) => fields.wrong(&format!("days[{at}]"), detail),
            }
        }
    }
    if let Some(names) = fields.texts("override_priorities", 8) {
        quiet.override_priorities = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match Priority::from_name(name) {
                Some(priority) => quiet.override_priorities.push(priority),
                None => {
                    let detail = "must be one of low, medium, high, critical";
                    fields.wrong(&format!("override_priorities[{at}]"), detail);
                }
            }
        }
    }
    let rest = (quiet.start, quiet.end);
    if let Some(own) = fields.object("channels", |inner| read_channel_hours(inner, rest)) {
        quiet.channels = own;
    }
    quiet
}

const SAME_TIMES: &str = "must differ from start; turn a channel off to silence it all day";

fn read_channel_hours(fields: &mut Fields<'_>, rest: (u16, u16)) -> BTreeMap<Channel, ChannelHours> {
    let known: Vec<&str> = Channel::ALL.iter().skip(1).map(|channel| channel.name()).collect();
    fields.only(&known);
    let mut channels = BTreeMap::new();
    for channel in Channel::ALL.into_iter().skip(1) {
        let name = channel.name();
        let own = match fields.raw(name) {
            None => continue,
            Some(Value::Bool(enabled)) => ChannelHours { enabled: Some(*enabled), ..ChannelHours::default() },
            Some(Value::Object(_)) => fields
                .object(name, |inner| {
                    inner.only(&["enabled", "start", "end"]);
                    let own = ChannelHours {
                        enabled: inner.boolean("enabled"),
                        start: read_time(inner, "start"),
                        end: read_time(inner, "end"),
                    };
                    if own.start.unwrap_or(rest.0) == own.end.unwrap_or(rest.1) {
                        inner.wrong(if own.end.is_some() { "end" } else { "start" }, SAME_TIMES);
                    }
                    own
                })
                .unwrap_or_default(),
            Some(other) => {
                let detail =
                    format!("must be false or an object with enabled, start, end, not {}", kind(other));
                fields.wrong(name, detail);
                continue;
            }
        };
        channels.insert(channel, own);
    }
    channels
}

fn read_time(fields: &mut Fields<'_>, name: &str) -> Option<u16> {
    match check_clock_time(fields.text(name)?) {
        Ok(minutes) => Some(minutes),
        Err(detail) => {
            fields.wrong(name, detail);
            None
        }
    }
}

/// How something gathers.
pub fn digest(policy: &Digest) -> Value {
    match *policy {
        Digest::Off => json!({ "mode": "off" }),
        Digest::Fixed { window_seconds } => json!({ "mode": "fixed", "window_seconds": window_seconds }),
        Digest::Sliding { window_seconds, max_seconds } => {
            json!({ "mode": "sliding", "window_seconds": window_seconds, "max_seconds": max_seconds })
        }
        Digest::Hourly => json!({ "mode": "hourly" }),
        Digest::Daily { at } => json!({ "mode": "daily", "at": clock_time(at) }),
        Digest::Weekly { at, weekday } => {
            json!({ "mode": "weekly", "at": clock_time(at), "weekday": DAYS[usize::from(weekday) % 7] })
        }
    }
}

/// Reads how something gathers. What belongs to another mode is not looked at: a change of the mode alone leaves it
/// behind.
pub fn read_digest(fields: &mut Fields<'_>) -> Option<Digest> {
    fields.only(&["mode", "window_seconds", "max_seconds", "at", "weekday"]);
    let mode = fields.one_of("mode", &MODES, |mode| MODES.into_iter().find(|known| *known == mode));
    let mode = fields.required("mode", mode)?;
    let seconds = |fields: &mut Fields<'_>, name: &str, least: u32| {
        let seconds = fields.integer(name, i64::from(least), i64::from(WINDOW_SECONDS_MAX))?;
        u32::try_from(seconds).ok()
    };
    let at = |fields: &mut Fields<'_>| read_time(fields, "at").unwrap_or(DIGEST_AT);
    Some(match mode {
        "off" => Digest::Off,
        "hourly" => Digest::Hourly,
        "daily" => Digest::Daily { at: at(fields) },
        "weekly" => {
            let weekday = match fields.text("weekday").map(check_day) {
                Some(Ok(day)) => u8::try_from(day).ok()?,
                Some(Err(detail)) => {
                    fields.wrong("weekday", detail);
                    return None;
                }
                None => 0,
            };
            Digest::Weekly { at: at(fields), weekday }
        }
        windowed => {
            let window = seconds(fields, "window_seconds", 1);
            let window_seconds = fields.required("window_seconds", window)?;
            if windowed == "fixed" {
                return Some(Digest::Fixed { window_seconds });
            }
            let max = seconds(fields, "max_seconds", window_seconds);
            // Four windows: long enough to gather a burst, short enough that a steady stream gets through.
            let max_seconds = max.unwrap_or(window_seconds.saturating_mul(4).min(WINDOW_SECONDS_MAX));
            Digest::Sliding { window_seconds, max_seconds }
        }
    })
}

/// How much of something one person gets.
pub fn throttle(throttle: &Throttle) -> Value {
    json!({ "max": throttle.max, "per_seconds": throttle.per_seconds, "key": throttle.key })
}

/// Reads how much of something one person gets.
pub fn read_throttle(fields: &mut Fields<'_>) -> Option<Throttle> {
    fields.only(&["max", "per_seconds", "key"]);
    let max = fields.integer("max", 1, THROTTLE_MAX);
    let max = fields.required("max", max);
    let per_seconds = fields.integer("per_seconds", 1, i64::from(WINDOW_SECONDS_MAX));
    let per_seconds = fields.required("per_seconds", per_seconds);
    let key = fields.short_text("key", KEY_CHARS_MAX).map(str::to_owned);
    Some(Throttle { max: u32::try_from(max?).ok()?, per_seconds: u32::try_from(per_seconds?).ok()?, key })
}
