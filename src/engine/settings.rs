//! What the operator decides about trying again, and about what is done at night.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::channel::Channel;
use crate::model::quiet_hours::{clock_time, parse_clock_time};
use crate::settings::{Kind, Unit, list, optional, parsed, path, settings, whole, within};

/// The most retries of one delivery.
const RETRIES_LEN_MAX: usize = 32;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

settings! {
    /// How long to wait before each new try of a delivery that failed for the time being. When the list is at its
    /// end the delivery has failed; an empty list means one try and no more.
    pub struct Retry {
        /// The waits before each retry of a mail.
        email as "email.schedule": Vec<Duration> =
            waits([30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 12 * HOUR]), schedule();
        /// The waits before each retry of a text message.
        sms as "sms.schedule": Vec<Duration> = waits([10, MINUTE, 5 * MINUTE, 30 * MINUTE]), schedule();
        /// The waits before each retry of a push message.
        browser_push as "browser_push.schedule": Vec<Duration> =
            waits([10, MINUTE, 5 * MINUTE, 30 * MINUTE]), schedule();
        /// The waits before each retry of a call to an endpoint.
        webhook as "webhook.schedule": Vec<Duration> = waits([
            5,
            5 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            5 * HOUR,
            10 * HOUR,
            14 * HOUR,
            20 * HOUR,
            24 * HOUR,
        ]), schedule();
    }
}

settings! {
    /// How deliveries are worked off.
    pub struct Delivery {
        /// How long a delivery is kept from a second try while its first is under way. Longer than twice
        /// `channels.email.timeout` and twice `outbound.timeout`.
        lease: Duration = Duration::from_secs(2 * MINUTE),
            within(Unit::Seconds, Duration::from_secs(1)..=Duration::from_secs(DAY));
        /// A provider of mail or texts that was not there so often in a row is left alone: what is due waits, with its
        /// attempts not counted, and one message now and then asks whether it is back.
        circuit_failures: u32 = 10, whole(1..=10_000);
        /// The longest wait between two such messages. The first goes out after a second, and each wait is twice the one
        /// before.
        circuit_probe: Duration = Duration::from_secs(30),
            within(Unit::Seconds, Duration::from_millis(100)..=Duration::from_secs(HOUR));
        /// When a delivery has been due for so long while its provider was left alone, the next message that asks in
        /// vain whether it is back is the last try of its own: it has failed. Mail servers give up after five days too.
        give_up_after: Duration = Duration::from_secs(5 * DAY),
            within(Unit::Seconds, Duration::from_secs(1)..=Duration::from_secs(90 * DAY));
    }
}

settings! {
    /// How long things are kept. What has run out is removed at night, in small steps.
    pub struct Retention {
        /// How many days notifications are kept, with their inbox lines and their story. A category can say otherwise.
        notifications_days: u32 = 90, whole(1..=36_500);
    }
}

settings! {
    /// A copy of the store every night, made while the server works.
    pub struct Backup {
        /// The directory that copies go into; it is made when it does not exist. Without it there are none. The service
        /// of the package may write below /var/lib/belfry and into /var/backups/belfry.
        dir: Option<PathBuf> = None, optional(path(), "/var/backups/belfry");
        /// How many copies are kept; older ones are removed once a newer one is whole.
        keep: usize = 7, whole(1..=10_000);
        /// When one is made, in UTC. One that was missed is made at the next start.
        at: u16 = 2 * 60 + 47,
            parsed("a time of the day as HH:MM", parse_clock_time, |minutes| clock_time(*minutes));
    }
}

impl Retry {
    /// The waits before each retry on a channel. The inbox is on this machine and never needs one.
    pub fn schedule(&self, channel: Channel) -> &[Duration] {
        match channel {
            Channel::InApp => &[],
            Channel::Email => &self.email,
            Channel::BrowserPush => &self.browser_push,
            Channel::Sms => &self.sms,
            Channel::Webhook => &self.webhook,
        }
    }
}

fn waits<const N: usize>(secs: [u64; N]) -> Vec<Duration> {
    secs.map(Duration::from_secs).to_vec()
}

fn schedule() -> Kind<Vec<Duration>> {
    list(within(Unit::Seconds, Duration::ZERO..=Duration::from_secs(7 * DAY)), RETRIES_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inbox_is_never_retried_and_every_way_out_is() {
        let retry = Retry::default();
        let lengths = Channel::ALL.map(|channel| retry.schedule(channel).len());
        assert_eq!(lengths, [0, 7, 4, 4, 9]);
    }
}
