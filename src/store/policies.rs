//! The stored shapes of what both a person and a category can say: quiet hours, digests, throttles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::keys;
use crate::model::channel::Channel;
use crate::model::digest::{Digest, Throttle};
use crate::model::quiet_hours::{ChannelHours, QuietHours};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QuietHoursV2 {
    enabled: bool,
    start: u16,
    end: u16,
    timezone: Option<String>,
    days: [bool; 7],
    override_priorities: Vec<u8>,
    channels: BTreeMap<Channel, ChannelHoursV1>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ChannelHoursV1 {
    enabled: Option<bool>,
    start: Option<u16>,
    end: Option<u16>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum DigestV1 {
    Off,
    Fixed { window_seconds: u32 },
    Sliding { window_seconds: u32, max_seconds: u32 },
    Hourly,
    Daily { at: u16 },
    Weekly { at: u16, weekday: u8 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ThrottleV1 {
    max: u32,
    per_seconds: u32,
    key: Option<String>,
}

impl From<QuietHours> for QuietHoursV2 {
    fn from(quiet: QuietHours) -> QuietHoursV2 {
        let hours =
            |own: ChannelHours| ChannelHoursV1 { enabled: own.enabled, start: own.start, end: own.end };
        QuietHoursV2 {
            enabled: quiet.enabled,
            start: quiet.start,
            end: quiet.end,
            timezone: quiet.timezone,
            days: quiet.days,
            override_priorities: quiet.override_priorities.into_iter().map(keys::priority_byte).collect(),
            channels: quiet.channels.into_iter().map(|(channel, own)| (channel, hours(own))).collect(),
        }
    }
}

impl From<QuietHoursV2> for QuietHours {
    fn from(stored: QuietHoursV2) -> QuietHours {
        let hours =
            |own: ChannelHoursV1| ChannelHours { enabled: own.enabled, start: own.start, end: own.end };
        let priorities = stored.override_priorities.into_iter().filter_map(keys::priority_of);
        QuietHours {
            enabled: stored.enabled,
            start: stored.start,
            end: stored.end,
            timezone: stored.timezone,
            days: stored.days,
            override_priorities: priorities.collect(),
            channels: stored.channels.into_iter().map(|(channel, own)| (channel, hours(own))).collect(),
        }
    }
}

impl From<Digest> for DigestV1 {
    fn from(digest: Digest) -> DigestV1 {
        match digest {
            Digest::Off => DigestV1::Off,
            Digest::Fixed { window_seconds } => DigestV1::Fixed { window_seconds },
            Digest::Sliding { window_seconds, max_seconds } => {
                DigestV1::Sliding { window_seconds, max_seconds }
            }
            Digest::Hourly => DigestV1::Hourly,
            Digest::Daily { at } => DigestV1::Daily { at },
            Digest::Weekly { at, weekday } => DigestV1::Weekly { at, weekday },
        }
    }
}

impl From<DigestV1> for Digest {
    fn from(stored: DigestV1) -> Digest {
        match stored {
            DigestV1::Off => Digest::Off,
            DigestV1::Fixed { window_seconds } => Digest::Fixed { window_seconds },
            DigestV1::Sliding { window_seconds, max_seconds } => {
                Digest::Sliding { window_seconds, max_seconds }
            }
            DigestV1::Hourly => Digest::Hourly,
            DigestV1::Daily { at } => Digest::Daily { at },
            DigestV1::Weekly { at, weekday } => Digest::Weekly { at, weekday },
        }
    }
}

impl From<Throttle> for ThrottleV1 {
    fn from(throttle: Throttle) -> ThrottleV1 {
        ThrottleV1 { max: throttle.max, per_seconds: throttle.per_seconds, key: throttle.key }
    }
}

impl From<ThrottleV1> for Throttle {
    fn from(stored: ThrottleV1) -> Throttle {
        Throttle { max: stored.max, per_seconds: stored.per_seconds, key: stored.key }
    }
}
