//! The circuits of push services. Which there are is said by people's browsers, so they are found by their origins, and
//! only those that did not answer lately are known.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::providers::ProviderHealth;
use crate::clock::Millis;
use crate::model::breaker::{Breaker, Patience, Room};

/// The most services that are held back at once. Browsers know a handful; more than that are somebody's inventions, and
/// are called as they come.
const SERVICES_MAX: usize = 256;

/// The services that did not answer lately.
#[derive(Debug, Default)]
pub(super) struct PushServices {
    failing: Mutex<HashMap<String, Service>>,
}

#[derive(Debug, Default)]
struct Service {
    breaker: Breaker,
    last_error: Option<(Millis, String)>,
}

impl PushServices {
    /// Whether the service at `origin` may be called at `now`, which counts as called then; or when to ask again.
    pub(super) fn may_call(&self, origin: &str, now: Millis) -> Result<(), Millis> {
        let mut failing = self.failing.lock();
        let Some(service) = failing.get_mut(origin) else { return Ok(()) };
        match service.breaker.room(now) {
            Room::All => Ok(()),
            Room::Probe => {
                service.breaker.sent(now);
                Ok(())
            }
            Room::Nothing(until) => Err(until),
        }
    }

    /// The service at `origin` answered.
    pub(super) fn answered(&self, origin: &str) {
        let service = self.failing.lock().remove(origin);
        if service.is_some_and(|mut service| service.breaker.answered()) {
            tracing::info!(origin, "the push service answers again");
        }
    }

    /// The service at `origin` did not answer at `now`. Answers until when it is left alone, if it is.
    pub(super) fn failed(
        &self,
        origin: &str,
        error: &str,
        now: Millis,
        patience: Patience,
    ) -> Option<Millis> {
        let mut failing = self.failing.lock();
        if failing.len() >= SERVICES_MAX && !failing.contains_key(origin) {
            return None;
        }
        let service = failing.entry(origin.to_owned()).or_default();
        service.last_error = Some((now, error.to_owned()));
        if service.breaker.failed(now, patience) {
            tracing::error!(
                origin,
                error,
                "the push service does not answer and is left alone; it is probed until it does"
            );
        }
        match service.breaker.room(now) {
            Room::All => None,
            Room::Probe => Some(now),
            Room::Nothing(until) => Some(until),
        }
    }

    /// How those that did not answer lately are doing.
    pub(super) fn health(&self) -> Vec<ProviderHealth> {
        let failing = self.failing.lock();
        let mut all: Vec<_> = failing
            .iter()
            .map(|(origin, service)| ProviderHealth {
                name: origin.clone(),
                failures: service.breaker.failures(),
                opened_at: service.breaker.opened_at(),
                last_error: service.last_error.clone(),
                last_success_at: None,
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { failures_max: 2, wait_max_ms: 4_000 };

    #[test]
    fn one_service_that_is_away_is_left_alone_and_the_others_are_called() {
        let services = PushServices::default();
        let untils: Vec<_> =
            (0..2).map(|_| services.failed("https://a.example", "no", 0, PATIENCE)).collect();
        assert_eq!(untils, [None, Some(1_000)]);
        assert_eq!(services.may_call("https://a.example", 0), Err(1_000));
        assert_eq!(services.may_call("https://b.example", 0), Ok(()));
        assert_eq!(services.may_call("https://a.example", 1_000), Ok(()), "a probe");
        assert_eq!(services.may_call("https://a.example", 1_000), Err(2_000));
        services.answered("https://a.example");
        assert_eq!((services.may_call("https://a.example", 1_000), services.health()), (Ok(()), vec![]));
    }

    #[test]
    fn inventions_do_not_fill_the_memory() {
        let services = PushServices::default();
        for n in 0..2 * SERVICES_MAX {
            services.failed(&format!("https://{n}.example"), "no", 0, PATIENCE);
        }
        assert_eq!(services.health().len(), SERVICES_MAX);
    }
}
