//! The providers of one channel, each with a circuit of its own: one that is not there is passed over, and the channel
//! goes on by the others.

use crate::channel::Answered;
use crate::clock::Millis;
use crate::model::breaker::{Breaker, Patience, Room};

/// The providers of a channel, in the order in which they are asked. A channel without any is always free to go.
#[derive(Debug, Default)]
pub(super) struct Providers {
    each: Vec<Provider>,
}

#[derive(Debug)]
struct Provider {
    name: &'static str,
    breaker: Breaker,
    /// A delivery was started to probe it and has not asked yet.
    granted: bool,
    last_error: Option<(Millis, String)>,
    last_success_at: Option<Millis>,
}

/// How a provider is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderHealth {
    /// Its name; of a push service, where it is.
    pub name: String,
    /// Failures with no success since.
    pub failures: u32,
    /// Since when it is left alone.
    pub opened_at: Option<Millis>,
    /// What last went wrong.
    pub last_error: Option<(Millis, String)>,
    /// When it last took a message.
    pub last_success_at: Option<Millis>,
}

/// What an answer did to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    Opened,
    Closed,
    Neither,
}

impl Providers {
    /// Holds those of these names from here on; what is known of them stays.
    pub(super) fn follow(&mut self, names: &[&'static str]) {
        let mut before = std::mem::take(&mut self.each);
        self.each = names
            .iter()
            .map(|name| match before.iter().position(|provider| provider.name == *name) {
                Some(at) => before.swap_remove(at),
                None => Provider {
                    name,
                    breaker: Breaker::default(),
                    granted: false,
                    last_error: None,
                    last_success_at: None,
                },
            })
            .collect();
    }

    /// What may go out on the channel at `now`: as much as any of its providers may be asked.
    pub(super) fn room(&self, now: Millis) -> Room {
        let mut widest: Option<Room> = None;
        for room in self.each.iter().map(|provider| provider.breaker.room(now)) {
            widest = Some(match (widest, room) {
                (Some(Room::All), _) | (_, Room::All) => Room::All,
                (Some(Room::Probe), _) | (_, Room::Probe) => Room::Probe,
                (Some(Room::Nothing(a)), Room::Nothing(b)) => Room::Nothing(a.min(b)),
                (None, Room::Nothing(until)) => Room::Nothing(until),
            });
        }
        widest.unwrap_or(Room::All)
    }

    /// A delivery starts at `now`. Where it goes out to probe, no other does until it has been heard of.
    pub(super) fn starts(&mut self, now: Millis) {
        if self.room(now) != Room::Probe {
            return;
        }
        for provider in self.each.iter_mut().filter(|provider| provider.breaker.room(now) == Room::Probe) {
            provider.breaker.sent(now);
            provider.granted = true;
        }
    }

    /// Whether a provider may be asked at `now`; it counts as asked then.
    pub(super) fn may_ask(&mut self, name: &str, now: Millis) -> bool {
        let Some(provider) = self.each.iter_mut().find(|provider| provider.name == name) else { return true };
        match provider.breaker.room(now) {
            Room::All => true,
            Room::Probe => {
                provider.breaker.sent(now);
                provider.granted = false;
                true
            }
            Room::Nothing(_) => std::mem::take(&mut provider.granted),
        }
    }

    /// Takes note of what a provider answered at `now`.
    pub(super) fn heard(
        &mut self,
        name: &str,
        answered: Answered<'_>,
        now: Millis,
        patience: Patience,
    ) -> Turned {
        let Some(provider) = self.each.iter_mut().find(|provider| provider.name == name) else {
            return Turned::Neither;
        };
        match answered {
            Answered::NotThere(error) => {
                provider.last_error = Some((now, error.to_owned()));
                let opened = provider.breaker.failed(now, patience);
                return if opened { Turned::Opened } else { Turned::Neither };
            }
            Answered::Refused(error) => provider.last_error = Some((now, error.to_owned())),
            Answered::Took => provider.last_success_at = Some(now),
        }
        provider.granted = false;
        if provider.breaker.answered() { Turned::Closed } else { Turned::Neither }
    }

    /// Since when all of them are left alone.
    pub(super) fn opened_at(&self) -> Option<Millis> {
        self.each
            .iter()
            .map(|provider| provider.breaker.opened_at())
            .try_fold(None, |latest: Option<Millis>, opened| Some(latest.max(Some(opened?))))?
    }

    /// How each is doing.
    pub(super) fn health(&self) -> Vec<ProviderHealth> {
        self.each
            .iter()
            .map(|provider| ProviderHealth {
                name: provider.name.to_owned(),
                failures: provider.breaker.failures(),
                opened_at: provider.breaker.opened_at(),
                last_error: provider.last_error.clone(),
                last_success_at: provider.last_success_at,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { failures_max: 2, wait_max_ms: 4_000 };

    fn two() -> Providers {
        let mut providers = Providers::default();
        providers.follow(&["first", "second"]);
        providers
    }

    fn fail(providers: &mut Providers, name: &str, times: usize) -> Vec<Turned> {
        (0..times).map(|_| providers.heard(name, Answered::NotThere("no"), 0, PATIENCE)).collect()
    }

    #[test]
    fn one_dead_provider_opens_its_own_circuit_and_the_channel_goes_on_by_the_other() {
        let mut providers = two();
        assert_eq!(fail(&mut providers, "first", 2), [Turned::Neither, Turned::Opened]);
        assert_eq!((providers.room(0), providers.opened_at()), (Room::All, None));
        assert!(!providers.may_ask("first", 0) && providers.may_ask("second", 0));
        assert_eq!(providers.health()[1].failures, 0);
    }

    #[test]
    fn it_is_probed_by_one_message_at_a_time_while_the_others_pass_it_over() {
        let mut providers = two();
        fail(&mut providers, "first", 2);
        assert!(providers.may_ask("first", 1_000), "a second after it opened");
        assert!(!providers.may_ask("first", 1_000));
        assert_eq!(providers.heard("first", Answered::Took, 1_001, PATIENCE), Turned::Closed);
        assert!(providers.may_ask("first", 1_001));
    }

    #[test]
    fn with_all_of_them_gone_the_channel_waits_and_the_delivery_that_probes_asks_each() {
        let mut providers = two();
        fail(&mut providers, "first", 2);
        fail(&mut providers, "second", 2);
        assert_eq!((providers.room(0), providers.opened_at()), (Room::Nothing(1_000), Some(0)));
        assert_eq!(providers.room(1_000), Room::Probe);
        providers.starts(1_000);
        assert!(matches!(providers.room(1_000), Room::Nothing(_)), "one delivery at a time");
        assert!(providers.may_ask("first", 1_000) && providers.may_ask("second", 1_000));
        assert!(!providers.may_ask("first", 1_000));
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let mut providers = two();
        fail(&mut providers, "first", 1);
        providers.heard("first", Answered::Refused("no such number"), 5, PATIENCE);
        assert_eq!(fail(&mut providers, "first", 1), [Turned::Neither]);
        assert_eq!(providers.health()[0].last_error, Some((0, "no".to_owned())));
    }

    #[test]
    fn what_is_known_of_a_provider_outlives_a_change_of_the_configuration() {
        let mut providers = two();
        fail(&mut providers, "second", 2);
        providers.follow(&["second", "third"]);
        assert!(!providers.may_ask("second", 0) && providers.may_ask("third", 0));
        assert!(providers.may_ask("first", 0), "one that is not known is not held back");
        assert_eq!(Providers::default().room(0), Room::All);
    }
}
