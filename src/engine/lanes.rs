//! How the ways out are doing: which of them are left alone for a while, how fast each may go, and what was last heard.
//! All of it stands in memory; after a start every provider is asked again.

use parking_lot::Mutex;

use super::{Engine, Rules, place};
use crate::clock::Millis;
use crate::model::breaker::{Breaker, Room};
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::{Outcome, Reason, Status};
use crate::model::rate::Bucket;
use crate::store::outbox::Lane;

use super::report::Standing;

/// The ways out, in the order of [`Channel::ALL`].
#[derive(Default)]
pub(super) struct Lanes {
    each: Mutex<[Way; 5]>,
}

#[derive(Default)]
struct Way {
    breaker: Breaker,
    bucket: Bucket,
    last_error: Option<(Millis, String)>,
    last_success_at: Option<Millis>,
}

/// How a channel is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The channel.
    pub channel: Channel,
    /// Whether it sends.
    pub mode: Mode,
    /// Who takes its messages, the first to be asked first.
    pub providers: Vec<&'static str>,
    /// Deliveries under way.
    pub in_flight: usize,
    /// Failures of the provider with no success since.
    pub failures: u32,
    /// Since when it is left alone.
    pub opened_at: Option<Millis>,
    /// What last went wrong.
    pub last_error: Option<(Millis, String)>,
    /// When a message was last taken.
    pub last_success_at: Option<Millis>,
}

impl Lanes {
    /// How many deliveries may start on a channel at `now`, `free` at most; and when to look again, where that is less.
    pub(super) fn room(
        &self,
        channel: Channel,
        rules: &Rules,
        now: Millis,
        free: usize,
    ) -> (usize, Option<Millis>) {
        if rules.modes.of(channel) != Mode::Live || channel == Channel::InApp {
            return (free, None);
        }
        let way = &mut self.each.lock()[place(channel)];
        let free = match way.breaker.room(now) {
            Room::All => free,
            Room::Probe => free.min(1),
            Room::Nothing(until) => return (0, Some(until)),
        };
        match rules.rates[place(channel)].map(|rate| way.bucket.room(rate, now)) {
            Some((room, next)) if room < free => (room, Some(next)),
            Some(_) | None => (free, None),
        }
    }

    /// A delivery starts.
    pub(super) fn starts(&self, channel: Channel, rules: &Rules, now: Millis) {
        let way = &mut self.each.lock()[place(channel)];
        way.breaker.sent(now);
        if let Some(rate) = rules.rates[place(channel)] {
            way.bucket.take(rate, 1);
        }
    }

    fn opened_at(&self, channel: Channel) -> Option<Millis> {
        self.each.lock()[place(channel)].breaker.opened_at()
    }
}

impl Engine {
    /// Takes note of what an attempt came to. One that failed while the provider is left alone is not counted.
    pub(super) fn heard(&self, channel: Channel, outcome: Outcome, rules: &Rules) -> Outcome {
        let now = self.now();
        let mut each = self.shared.lanes.each.lock();
        let way = &mut each[place(channel)];
        match outcome {
            Outcome::Down { error, .. } => {
                way.last_error = Some((now, error.clone()));
                if way.breaker.failed(now, rules.patience) {
                    tracing::error!(%channel, error, "the provider does not answer and is left alone; it is probed until it does");
                    self.shared.metrics.circuit(channel, true);
                }
                let probe_at = match way.breaker.room(now) {
                    Room::All => None,
                    Room::Probe => Some(now),
                    Room::Nothing(until) => Some(until),
                };
                return Outcome::Down { error, probe_at };
            }
            Outcome::Sent { .. } | Outcome::Delivered { .. } => way.last_success_at = Some(now),
            Outcome::Retry { ref error, .. }
            | Outcome::Failed { ref error, .. }
            | Outcome::NoSuchAddress { ref error } => {
                way.last_error = Some((now, error.clone()));
            }
            Outcome::Skipped { .. } => return outcome,
        }
        if way.breaker.answered() {
            tracing::info!(%channel, "the provider answers again");
            self.shared.metrics.circuit(channel, false);
            self.shared.wake.notify_one();
        }
        outcome
    }

    /// How every channel is doing.
    pub fn channels(&self) -> Vec<Health> {
        let (rules, ways) = (self.shared.rules.load_full(), self.shared.ways.load_full());
        let each = self.shared.lanes.each.lock();
        let health = |channel: Channel| {
            let way = &each[place(channel)];
            Health {
                channel,
                mode: rules.modes.of(channel),
                providers: match channel {
                    Channel::Sms => ways.sms.as_ref().map(|sms| sms.providers()).unwrap_or_default(),
                    Channel::Email if ways.email.is_some() => vec!["smtp"],
                    _ => Vec::new(),
                },
                in_flight: self.shared.leases.count(Lane::Channel(channel)),
                failures: way.breaker.failures(),
                opened_at: way.breaker.opened_at(),
                last_error: way.last_error.clone(),
                last_success_at: way.last_success_at,
            }
        };
        Channel::ALL.map(health).into()
    }

    /// The same standing, with what waits for a provider that is left alone saying so.
    pub fn with_circuits(&self, mut standing: Standing) -> Standing {
        for channel in &mut standing.channels {
            let waits = matches!(channel.status, Status::Pending | Status::Retrying);
            if waits && self.shared.lanes.opened_at(channel.channel).is_some() {
                channel.reason = Some(Reason::CircuitOpen);
            }
        }
        standing
    }
}
