//! How fast mail goes to each mail host. Large ones put off whoever sends them more than they like, so what is over the
//! rate waits here, for a turn of its own, and other hosts' mail goes on.
//!
//! The turns stand in memory; what waits for one stands in the store like everything else that waits. After a start hosts
//! are sent what is due anew, beside what still waits for its turn from before.

use std::collections::HashMap;

use parking_lot::Mutex;
use uuid::Uuid;

use super::deliver::event;
use super::{Engine, Rules};
use crate::clock::Millis;
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::{Reason, Status};
use crate::model::notification::Priority;
use crate::model::rate::{Rate, Turns};
use crate::store::StoreError;
use crate::store::attempts::Event;

/// Hosts that are remembered at a time. When there are more, those that nothing waits for are forgotten.
const HOSTS_MAX: usize = 16_384;

/// The turns of each host, by its name.
#[derive(Default)]
pub(super) struct Hosts {
    turns: Mutex<HashMap<String, Turns>>,
}

impl Hosts {
    /// Takes a turn: when it is.
    fn take(&self, host: &str, rate: Rate, now: Millis) -> Millis {
        let mut hosts = self.turns.lock();
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(host) {
            hosts.retain(|_, turns| !turns.are_over(now));
            if hosts.len() >= HOSTS_MAX {
                hosts.clear();
            }
        }
        hosts.entry(host.to_owned()).or_default().take(rate, now)
    }

    /// Gives back a turn that was just taken.
    fn give_back(&self, host: &str, rate: Rate) {
        if let Some(turns) = self.turns.lock().get_mut(host) {
            turns.give_back(rate);
        }
    }
}

/// What stands after the `@`.
fn host(address: &str) -> String {
    address.rsplit_once('@').map_or(address, |(_, host)| host).to_lowercase()
}

impl Engine {
    /// What lets a message to the address `to` wait until its host's turn, if it has to: nothing where the host's rate
    /// allows it now, or where it has waited already. What is critical counts, and waits for nobody. `key` is the
    /// notification that it is about, the first where there are several.
    pub(super) async fn waits_its_turn(
        &self,
        channel: Channel,
        key: Uuid,
        (to, priority): (&str, Priority),
        rules: &Rules,
    ) -> Result<Option<Event>, StoreError> {
        let is_mail = channel == Channel::Email && rules.modes.email == Mode::Live;
        let Some(rate) = rules.rate_per_host.filter(|_| is_mail) else { return Ok(None) };
        let (host, now) = (host(to), self.now());
        let at = self.shared.hosts.take(&host, rate, now);
        if at <= now || priority == Priority::Critical {
            return Ok(None);
        }
        let events = self.shared.store.events(key).await?;
        let last = events.iter().rfind(|event| event.channel == channel);
        if last.is_some_and(|last| (last.status, last.reason) == (Status::Deferred, Some(Reason::Throttled)))
        {
            self.shared.hosts.give_back(&host, rate);
            return Ok(None);
        }
        let because = format!("{host} is sent at most {rate}");
        let waits = event(channel, now, Status::Deferred, Some(Reason::Throttled), Some(because));
        Ok(Some(Event { not_before: Some(at), ..waits }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        Rate::read(text).expect("a rate")
    }

    #[test]
    fn hosts_wait_for_themselves_and_their_names_are_told_apart_by_letters_alone() {
        let (hosts, rate) = (Hosts::default(), rate("1/s"));
        let taken: Vec<Millis> =
            ["a@X.org", "b@x.ORG", "c@x.org", "a@y.org"].map(|to| hosts.take(&host(to), rate, 5_000)).into();
        assert_eq!(taken, [5_000, 6_000, 7_000, 5_000]);
        hosts.give_back("x.org", rate);
        assert_eq!(hosts.take("x.org", rate, 5_000), 7_000);
    }

    #[test]
    fn hosts_that_nothing_waits_for_are_forgotten() {
        let (hosts, rate) = (Hosts::default(), rate("1/s"));
        for number in 0..2 * HOSTS_MAX {
            hosts.take(&number.to_string(), rate, 10_000 * number as Millis);
        }
        assert!(hosts.turns.lock().len() <= HOSTS_MAX);
    }
}
