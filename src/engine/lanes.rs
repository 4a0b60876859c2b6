//! How the ways out are doing: which of them are left alone for a while, how fast each may go, and what was last heard.
//! All of it stands in memory; after a start every provider is asked again.

use parking_lot::Mutex;

use super::providers::{ProviderHealth, Providers, Turned};
use super::report::Standing;
use super::{Engine, Rules, place};
use crate::channel::{Answered, Circuits, Ways};
use crate::clock::Millis;
use crate::model::breaker::Room;
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::{Outcome, Reason, Status};
use crate::model::message::Message;
use crate::model::rate::Bucket;
use crate::store::outbox::Lane;

/// The ways out, in the order of [`Channel::ALL`].
#[derive(Default)]
pub(super) struct Lanes {
    each: Mutex<[Way; 5]>,
}

#[derive(Default)]
struct Way {
    providers: Providers,
    bucket: Bucket,
    last_error: Option<(Millis, String)>,
    last_success_at: Option<Millis>,
    /// Whoever takes its messages does not take this server's signature, and nothing since.
    refused: bool,
}

/// How a channel is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The channel.
    pub channel: Channel,
    /// Whether it sends.
    pub mode: Mode,
    /// Who takes its messages, the first to be asked first.
    pub providers: Vec<ProviderHealth>,
    /// Deliveries that are due or wait for their time, those under way included.
    pub queued: u64,
    /// Deliveries under way.
    pub in_flight: usize,
    /// Since when all of its providers are left alone.
    pub opened_at: Option<Millis>,
    /// What last went wrong.
    pub last_error: Option<(Millis, String)>,
    /// When a message was last taken.
    pub last_success_at: Option<Millis>,
    /// Whether its messages are refused for something that only an operator can mend.
    pub refused: bool,
}

impl Lanes {
    /// Lanes over those ways.
    pub(super) fn new(ways: &Ways) -> Lanes {
        let lanes = Lanes::default();
        lanes.follow(ways);
        lanes
    }

    /// Goes on by those ways. What is known of a provider stays.
    pub(super) fn follow(&self, ways: &Ways) {
        let mut each = self.each.lock();
        for channel in Channel::ALL {
            each[place(channel)].providers.follow(&ways.providers(channel));
        }
    }

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
        let free = match way.providers.room(now) {
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
        way.providers.starts(now);
        if let Some(rate) = rules.rates[place(channel)] {
            way.bucket.take(rate, 1);
        }
    }

    fn opened_at(&self, channel: Channel) -> Option<Millis> {
        self.each.lock()[place(channel)].providers.opened_at()
    }
}

/// The circuits of a channel's providers, for one attempt.
struct Attempt<'a> {
    engine: &'a Engine,
    channel: Channel,
    rules: &'a Rules,
    /// Asks whoever is left alone too.
    insists: bool,
}

impl Circuits for Attempt<'_> {
    fn may_ask(&self, provider: &'static str) -> bool {
        let now = self.engine.now();
        let way = &mut self.engine.shared.lanes.each.lock()[place(self.channel)];
        way.providers.may_ask(provider, now) || self.insists
    }

    fn heard(&self, provider: &'static str, answered: Answered<'_>) {
        let (shared, now) = (&self.engine.shared, self.engine.now());
        let way = &mut shared.lanes.each.lock()[place(self.channel)];
        let turned = way.providers.heard(provider, answered, now, self.rules.patience);
        let (channel, opened) = (self.channel, turned == Turned::Opened);
        match (turned, answered) {
            (Turned::Neither, _) => return,
            (Turned::Opened, Answered::NotThere(error)) => {
                tracing::error!(%channel, provider, error, "the provider does not answer and is left alone; it is probed until it does");
            }
            (Turned::Opened | Turned::Closed, _) => {
                tracing::info!(%channel, provider, "the provider answers again");
                shared.wake.notify_one();
            }
        }
        shared.metrics.provider_circuit(channel, provider, opened);
        shared.metrics.circuit(channel, way.providers.opened_at().is_some());
    }
}

impl Engine {
    /// One attempt to hand `message` to the providers of its channel, passing over those that are left alone; to all of
    /// them where it `insists`.
    pub(super) async fn hand_over(
        &self,
        channel: Channel,
        message: &Message,
        rules: &Rules,
        insists: bool,
    ) -> Outcome {
        let ways = self.shared.ways.load_full();
        let circuits = Attempt { engine: self, channel, rules, insists };
        let outcome = ways.send(channel, message, &circuits).await;
        // A channel with several providers has told of each call; mail has one, and its outcome is that one's answer.
        if let (Channel::Email, Some(provider)) = (channel, ways.providers(channel).first()) {
            match &outcome {
                Outcome::Sent { .. } | Outcome::Delivered { .. } => circuits.heard(provider, Answered::Took),
                Outcome::Down { error, .. } => circuits.heard(provider, Answered::NotThere(error)),
                Outcome::Retry { error, .. }
                | Outcome::Failed { error, .. }
                | Outcome::NoSuchAddress { error } => circuits.heard(provider, Answered::Refused(error)),
                Outcome::Skipped { .. } => {}
            }
        }
        self.note(channel, outcome)
    }

    /// Takes note of what an attempt came to. One that failed while all providers are left alone is not counted.
    pub(super) fn note(&self, channel: Channel, outcome: Outcome) -> Outcome {
        let now = self.now();
        let way = &mut self.shared.lanes.each.lock()[place(channel)];
        match outcome {
            Outcome::Sent { .. } | Outcome::Delivered { .. } => {
                (way.last_success_at, way.refused) = (Some(now), false);
            }
            Outcome::Retry { ref error, reason, .. } => {
                // Refused, and yet to be tried again: once somebody has looked.
                way.refused |= reason == Reason::ProviderRejected;
                way.last_error = Some((now, error.clone()));
            }
            Outcome::Failed { ref error, .. } | Outcome::NoSuchAddress { ref error } => {
                way.last_error = Some((now, error.clone()));
            }
            Outcome::Skipped { .. } => {}
            Outcome::Down { error, probe_at } => {
                way.last_error = Some((now, error.clone()));
                let probe_at = match way.providers.room(now) {
                    Room::All => probe_at,
                    Room::Probe => Some(now),
                    Room::Nothing(until) => Some(until),
                };
                return Outcome::Down { error, probe_at };
            }
        }
        outcome
    }

    /// How every channel is doing.
    pub fn channels(&self) -> Vec<Health> {
        let rules = self.shared.rules.load_full();
        let each = self.shared.lanes.each.lock();
        let health = |channel: Channel| {
            let way = &each[place(channel)];
            Health {
                channel,
                mode: rules.modes.of(channel),
                providers: match channel {
                    Channel::BrowserPush => self.shared.push_services.health(),
                    _ => way.providers.health(),
                },
                queued: self.shared.store.backlog().of_channel(channel),
                in_flight: self.shared.leases.count(Lane::Channel(channel)),
                opened_at: way.providers.opened_at(),
                last_error: way.last_error.clone(),
                last_success_at: way.last_success_at,
                refused: way.refused,
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
