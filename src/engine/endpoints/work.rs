//! Telling endpoints: taking what is due, calling, and recording what came of it. A turn is a function.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::{Endpoint, Engine, announce};
use crate::channel::webhook::{Called, Delivery, Verdict, body};
use crate::clock::Millis;
use crate::engine::Shared;
use crate::engine::deliver::rand_unit;
use crate::engine::dispatch::Turn;
use crate::model::channel::Channel;
use crate::model::endpoint::{DisabledBecause, EndpointAttempt, EndpointEvent};
use crate::model::ids::new_id;
use crate::model::retry::next_delay;
use crate::store::endpoint_events::{DueEvent, EventPlace};
use crate::store::{StoreError, Txn};

/// How long the loop, or one event, rests after the store could not be read or written.
const REST_AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long every call may fail before an endpoint is called no more.
const FAILING_MS_MAX: Millis = 5 * 24 * 60 * 60 * 1_000;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It was taken.
    Done,
    /// It is tried again at that instant.
    At(Millis),
    /// It was never taken, and is kept for whoever wants to send it again.
    GivenUp,
}

impl Engine {
    /// Tells endpoints what is due until the process stops. Asleep while nothing is.
    pub async fn run_endpoints(self) {
        let stopping = self.shared.supervisor.stopping();
        loop {
            // Armed before the look, so that what comes in during it is not slept over.
            let changed = self.shared.endpoints.agenda.changed.notified();
            let turn = self.endpoints_turn().await.unwrap_or_else(|error| {
                tracing::error!(%error, "failed to look at what endpoints are to be told");
                let rest = Millis::try_from(REST_AFTER_ERROR.as_millis()).unwrap_or(Millis::MAX);
                Turn { taken: 0, next: Some(self.now() + rest) }
            });
            tokio::select! {
                () = stopping.cancelled() => return,
                () = changed => {}
                () = self.shared.clock.sleep_until(turn.next.unwrap_or(Millis::MAX)) => {}
            }
        }
    }

    /// Takes what is due now, as much as may be called at once, and starts the calls.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn endpoints_turn(&self) -> Result<Turn, StoreError> {
        let (now, agenda) = (self.now(), &self.shared.endpoints.agenda);
        let mut wanted = agenda.take(now);
        // What waits for an endpoint that is disabled waits until it is enabled again.
        wanted.retain(|(id, _)| self.shared.endpoints.get(*id).is_some_and(|e| e.disabled.is_none()));
        let mut taken = 0;
        if !wanted.is_empty() {
            let under_way = agenda.clone();
            let again: Vec<_> = wanted.iter().map(|(id, _)| *id).collect();
            let found = self
                .shared
                .store
                .endpoint_fronts(wanted, now, move |place| under_way.is_under_way(place))
                .await;
            let fronts = found.inspect_err(|_| again.iter().for_each(|id| agenda.note(*id, now)))?;
            for front in fronts {
                if let Some(next) = front.next {
                    agenda.note(front.endpoint, next);
                }
                taken += front.due.len();
                front.due.into_iter().for_each(|place| self.start_call(place));
            }
        }
        Ok(Turn { taken, next: agenda.next(now) })
    }

    fn start_call(&self, place: EventPlace) {
        let calling = self.shared.endpoints.agenda.begin(place);
        let engine = self.clone();
        self.shared.supervisor.spawn("endpoint", async move {
            let error = match AssertUnwindSafe(engine.tell(place)).catch_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            if let Some(error) = error {
                tracing::error!(endpoint = %place.endpoint, %error, "failed to tell or record an event");
                tokio::time::sleep(REST_AFTER_ERROR).await;
                engine.shared.endpoints.agenda.note(place.endpoint, engine.now());
            }
            drop(calling);
        });
    }

    async fn tell(&self, place: EventPlace) -> Result<(), StoreError> {
        let Some(endpoint) = self.shared.endpoints.get(place.endpoint) else { return Ok(()) };
        match self.shared.store.endpoint_event(place).await? {
            DueEvent::Gone | DueEvent::Behind => {
                self.shared.store.commit(move |txn| txn.drop_endpoint_line(place)).await
            }
            DueEvent::Orphan(event) => {
                let (agenda, now) = (self.shared.endpoints.agenda.clone(), self.now());
                self.shared
                    .store
                    .commit(move |txn| {
                        txn.end_endpoint_event(&event, false, now)?;
                        txn.after(move || agenda.note(event.endpoint, now));
                        Ok(())
                    })
                    .await
            }
            DueEvent::OfEndpoint(event) => {
                let body = body::endpoint_disabled(&event);
                let called = self.call_endpoint(&endpoint, body::webhook_id(event.id), body).await;
                self.record_call(event, None, called).await
            }
            DueEvent::Ready(event, accepted) => {
                let body = body::event(&event, &accepted);
                let called = self.call_endpoint(&endpoint, body::webhook_id(event.id), body).await;
                let about = Some((accepted.id(), accepted.notification.user_id.clone()));
                self.record_call(event, about, called).await
            }
        }
    }

    /// One call to an endpoint, signed with what it has.
    pub(super) async fn call_endpoint(&self, endpoint: &Endpoint, id: String, body: Bytes) -> Called {
        let now = self.now();
        let secrets: Vec<Vec<u8>> = std::iter::once(&endpoint.secret)
            .chain(endpoint.previous.iter().filter(|(_, until)| *until > now).map(|(secret, _)| secret))
            .filter_map(|sealed| self.shared.vault.open(sealed))
            .collect();
        if secrets.is_empty() {
            return Called {
                verdict: Verdict::Later { after: None },
                status: None,
                latency: Duration::ZERO,
                answer: String::new(),
                error: Some("the secret cannot be opened with this vault.key; rotate it".to_owned()),
            };
        }
        let delivery = Delivery { url: endpoint.url.clone(), secrets, id, body };
        let agenda = &self.shared.endpoints.agenda;
        agenda.calls(endpoint.id, now);
        let called = self.shared.webhook.call(&delivery, now).await;
        let patience = self.shared.rules.load().patience;
        if let Some(open) = agenda.heard(endpoint.id, called.was_there(), self.now(), patience) {
            self.shared.metrics.endpoint_circuits(open);
            if called.was_there() {
                tracing::info!(endpoint = %endpoint.id, "the endpoint answers again");
            } else {
                let error = called.error.as_deref().unwrap_or_default();
                tracing::warn!(endpoint = %endpoint.id, error, "the endpoint does not answer and is left alone; it is probed until it does");
            }
        }
        self.shared.metrics.endpoint_call(called.verdict == Verdict::Taken, called.latency.as_secs_f64());
        called
    }

    async fn record_call(
        &self,
        event: EndpointEvent,
        about: Option<(String, String)>,
        called: Called,
    ) -> Result<(), StoreError> {
        let (shared, now) = (self.shared.clone(), self.now());
        let next = next(&called, event.attempts, self.shared.rules.load().schedule(Channel::Webhook), now);
        let mut attempt = EndpointAttempt {
            next_at: match next {
                Next::At(at) => Some(at),
                Next::Done | Next::GivenUp => None,
            },
            ..attempt(event.endpoint, body::webhook_id(event.id), event.kind.name(), about, &called, now)
        };
        self.shared
            .store
            .commit(move |txn| {
                if attempt.about.is_some() && txn.notification(event.notification)?.is_none() {
                    // Its person was erased meanwhile.
                    (attempt.about, attempt.answer) = (None, String::new());
                }
                // It may have been deleted meanwhile, with all that waits for it.
                if !note_call(&shared, txn, &attempt, &called.verdict)? {
                    return Ok(());
                }
                if txn.endpoint_event_waits(&event)? {
                    match next {
                        Next::Done => txn.end_endpoint_event(&event, false, now)?,
                        Next::GivenUp => txn.end_endpoint_event(&event, true, now)?,
                        Next::At(at) => txn.move_endpoint_event(&event, event.attempts + 1, at),
                    }
                }
                txn.after(move || {
                    let due = match next {
                        Next::Done | Next::GivenUp => now,
                        Next::At(at) => at,
                    };
                    shared.endpoints.agenda.note(event.endpoint, due);
                });
                Ok(())
            })
            .await
    }
}

/// Remembers a call, and what it makes of its endpoint; answers whether there still is one.
pub(super) fn note_call(
    shared: &Arc<Shared>,
    txn: &mut Txn<'_>,
    attempt: &EndpointAttempt,
    verdict: &Verdict,
) -> Result<bool, StoreError> {
    let Some(endpoint) = txn.endpoint(attempt.endpoint)? else { return Ok(false) };
    txn.put_endpoint_attempt(attempt);
    shared.endpoints.agenda.note_called(attempt.endpoint);
    let changed = after_call(endpoint.clone(), verdict, attempt.at);
    if changed != endpoint {
        txn.put_endpoint(&changed)?;
        if let (None, Some((at, because))) = (endpoint.disabled, changed.disabled) {
            announce::disabling(txn, shared, endpoint.id, because, at)?;
        }
        let shared = shared.clone();
        txn.after(move || shared.follow_endpoint(&endpoint, changed));
    }
    Ok(true)
}

impl Shared {
    /// Follows what a call made of an endpoint, and says where it is called no more.
    fn follow_endpoint(self: &Arc<Self>, before: &Endpoint, after: Endpoint) {
        if let (None, Some((_, because))) = (before.disabled, after.disabled) {
            tracing::warn!(endpoint = %after.id, because = because.name(), "an endpoint is called no more");
            self.metrics.endpoint_disabled(because.name());
        }
        self.endpoints.follow(after.id, Some(after));
    }
}

/// A call as it is remembered.
pub(super) fn attempt(
    endpoint: uuid::Uuid,
    webhook_id: String,
    kind: &str,
    about: Option<(String, String)>,
    called: &Called,
    now: Millis,
) -> EndpointAttempt {
    EndpointAttempt {
        id: new_id(now),
        endpoint,
        webhook_id,
        kind: kind.to_owned(),
        about,
        at: now,
        status: called.status,
        latency_ms: u64::try_from(called.latency.as_millis()).unwrap_or(u64::MAX),
        answer: called.answer.clone(),
        error: called.error.clone(),
        next_at: None,
    }
}

fn next(called: &Called, attempts: u32, schedule: &[Duration], now: Millis) -> Next {
    match called.verdict {
        Verdict::Taken => Next::Done,
        Verdict::Gone => Next::GivenUp,
        Verdict::Later { after } => match next_delay(schedule, attempts + 1, after, rand_unit()) {
            Some(delay) => {
                let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX);
                Next::At(now.saturating_add(delay.max(1)))
            }
            None => Next::GivenUp,
        },
    }
}

/// What a call makes of an endpoint: a success clears its record, days of failure or a 410 end it.
fn after_call(mut endpoint: Endpoint, verdict: &Verdict, now: Millis) -> Endpoint {
    match verdict {
        Verdict::Taken => endpoint.failing_since = None,
        Verdict::Gone if endpoint.disabled.is_none() => {
            endpoint.disabled = Some((now, DisabledBecause::Gone));
        }
        Verdict::Later { .. } => {
            let since = *endpoint.failing_since.get_or_insert(now);
            if endpoint.disabled.is_none() && now - since >= FAILING_MS_MAX {
                endpoint.disabled = Some((now, DisabledBecause::Failing));
            }
        }
        Verdict::Gone => {}
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = 24 * 60 * 60 * 1_000;

    fn endpoint() -> Endpoint {
        Endpoint {
            id: uuid::Uuid::from_u128(1),
            url: "https://a.example/".into(),
            events: crate::model::endpoint::Interest::All,
            user_id: None,
            description: None,
            secret: Vec::new(),
            previous: None,
            disabled: None,
            failing_since: None,
            created_at: 0,
            updated_at: 0,
        }
    }

    const LATER: Verdict = Verdict::Later { after: None };

    #[test]
    fn five_days_of_nothing_but_failure_disable_an_endpoint_and_one_success_between_does_not() {
        let failing = after_call(endpoint(), &LATER, 0);
        assert_eq!(after_call(failing.clone(), &LATER, 5 * DAY - 1).disabled, None);
        let ended = after_call(failing.clone(), &LATER, 5 * DAY);
        assert_eq!(ended.disabled, Some((5 * DAY, DisabledBecause::Failing)));
        let recovered = after_call(failing, &Verdict::Taken, 3 * DAY);
        assert_eq!(after_call(recovered, &LATER, 6 * DAY).disabled, None);
    }

    #[test]
    fn a_410_disables_at_once_and_what_the_operator_disabled_stays_so() {
        let gone = after_call(endpoint(), &Verdict::Gone, 7);
        assert_eq!(gone.disabled, Some((7, DisabledBecause::Gone)));
        let off = Endpoint { disabled: Some((1, DisabledBecause::Operator)), ..endpoint() };
        assert_eq!(after_call(off.clone(), &Verdict::Gone, 7), off);
    }

    #[test]
    fn a_retry_keeps_to_the_schedule_and_to_what_the_endpoint_asked_for() {
        let called = |verdict| Called {
            verdict,
            status: Some(503),
            latency: Duration::ZERO,
            answer: String::new(),
            error: None,
        };
        let schedule = [Duration::from_secs(10)];
        let asked = Verdict::Later { after: Some(Duration::from_secs(60)) };
        assert_eq!(next(&called(asked), 0, &schedule, 1_000), Next::At(61_000));
        assert!(matches!(next(&called(LATER), 0, &schedule, 0), Next::At(8_000..=12_000)));
        assert_eq!(next(&called(LATER), 1, &schedule, 0), Next::GivenUp);
    }
}
