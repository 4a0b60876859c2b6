//! The `webhook` channel: a notification itself, to the endpoints of its own person.

use futures_util::future::join_all;
use uuid::Uuid;

use super::work::{attempt, note_call};
use super::{Endpoint, Engine};
use crate::channel::webhook::{Called, Verdict, body};
use crate::clock::Millis;
use crate::engine::{Rules, Shared};
use crate::model::channel::Channel;
use crate::model::delivery::{Outcome, Reason};
use crate::model::message::Message;
use crate::model::user::User;
use crate::store::StoreError;
use crate::store::outbox::Due;
use crate::store::progress::{Done, Targets};

/// The status by which an endpoint asks to be sent less.
const TOO_MANY: u16 = 429;

/// `user` as the plan wants them: whether they have an endpoint is known here and not stored with them.
pub(in crate::engine) fn known(shared: &Shared, user: User) -> User {
    User { no_webhook: !shared.endpoints.has_own(&user.id), ..user }
}

/// What became of a message at one endpoint.
#[derive(Clone, Debug)]
enum Asked {
    /// It was called.
    Called(Called),
    /// It is left alone until then, since it does not answer.
    LeftAlone(Millis),
}

impl Engine {
    /// One attempt to send a message to every endpoint of its person that is not done with it. It has left once each of
    /// them took it or wants nothing more; or, after the last try, once one of them took it.
    pub(in crate::engine) async fn send_to_own(
        &self,
        message: &Message,
        due: &Due,
        rules: &Rules,
    ) -> Outcome {
        self.try_own(message, due, rules).await.unwrap_or_else(|error| Outcome::Retry {
            reason: Reason::ProviderUnreachable,
            error: format!("the person's endpoints cannot be looked up: {error}"),
            after: None,
        })
    }

    async fn try_own(&self, message: &Message, due: &Due, rules: &Rules) -> Result<Outcome, StoreError> {
        let before = self.shared.store.done(Targets::Endpoints, due.key).await?;
        let mut endpoints = self.shared.endpoints.of_user(&message.user_id);
        endpoints.retain(|endpoint| !before.iter().any(|(id, _)| *id == endpoint.id));
        // A message for several notifications at once stands for none of them.
        let one = self.shared.store.notification(&message.notification_id).await?;
        let (id, body) = (message_id(message), body::message(one.as_ref(), message));
        let asked = join_all(endpoints.iter().map(|endpoint| async {
            match self.shared.endpoints.agenda.may_call(endpoint.id, self.now()) {
                Ok(()) => Asked::Called(self.call_endpoint(endpoint, id.clone(), body.clone()).await),
                Err(until) => Asked::LeftAlone(until),
            }
        }));
        let asked: Vec<(Uuid, Asked)> =
            endpoints.iter().map(|endpoint| endpoint.id).zip(asked.await).collect();
        let (outcome, done) = tally(&asked, &before, rules.is_last_try(Channel::Webhook, due));
        let goes_on = matches!(outcome, Outcome::Retry { .. } | Outcome::Down { .. });
        let done = if goes_on { done } else { Done::new() };
        let about = Some((message.notification_id.clone(), message.user_id.clone()));
        let (shared, now, key) = (self.shared.clone(), self.now(), due.key);
        self.shared
            .store
            .commit(move |txn| {
                for (endpoint, asked) in &asked {
                    if let Asked::Called(called) = asked {
                        let attempt =
                            attempt(*endpoint, id.clone(), body::MESSAGE, about.clone(), called, now);
                        note_call(&shared, txn, &attempt, &called.verdict)?;
                    }
                }
                if done != before { txn.put_done(Targets::Endpoints, key, &done) } else { Ok(()) }
            })
            .await?;
        Ok(outcome)
    }
}

/// The `webhook-id` of a message: the same over every attempt, and without the full stop that the specification forbids.
fn message_id(message: &Message) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("msg_{}", message.delivery_id.chars().map(plain).collect::<String>())
}

/// What all calls together make of the delivery, and which endpoints are done with it. `before` is what earlier attempts
/// came to; after `last_try` there is no other.
fn tally(asked: &[(Uuid, Asked)], before: &Done, last_try: bool) -> (Outcome, Done) {
    let (mut done, mut error) = (before.clone(), None);
    let (mut later, mut left_alone, mut limited) = (Vec::new(), Vec::new(), false);
    for (endpoint, asked) in asked {
        match asked {
            Asked::LeftAlone(until) => left_alone.push(*until),
            Asked::Called(called) => {
                match called.verdict {
                    Verdict::Taken => done.push((*endpoint, true)),
                    Verdict::Gone => done.push((*endpoint, false)),
                    Verdict::Later { after } => later.push(after),
                }
                limited |= called.status == Some(TOO_MANY);
                error = error.or(called.error.clone());
            }
        }
    }
    let took = done.iter().filter(|(_, took)| *took).count();
    let all = before.len() + asked.len();
    let told = format!("taken by {took} of {all} endpoints");
    let error = match &error {
        None if !left_alone.is_empty() => {
            format!("{told}; the others are left alone, since they do not answer")
        }
        None => told.clone(),
        Some(error) if all > 1 => format!("{told}; {error}"),
        Some(error) => error.clone(),
    };
    let outcome = match (later.is_empty(), left_alone.iter().min()) {
        (true, None) if took > 0 => Outcome::Sent { detail: told },
        (true, None) if all == 0 => Outcome::Skipped { reason: Reason::NoAddress },
        (true, None) => Outcome::Failed { reason: Reason::ProviderRejected, error },
        (true, Some(until)) => Outcome::Down { error, probe_at: Some(*until) },
        (false, _) if last_try && took > 0 => Outcome::Sent { detail: error },
        (false, _) => {
            let reason = if limited { Reason::ProviderRateLimited } else { Reason::ProviderUnreachable };
            // The soonest of them: another endpoint's delay is no reason to wait.
            Outcome::Retry { reason, error, after: later.into_iter().min().flatten() }
        }
    };
    (outcome, done)
}

impl super::Endpoints {
    fn has_own(&self, user: &str) -> bool {
        let listed = self.listed.load();
        let mut theirs = listed.of_user.get(user).into_iter().flatten();
        theirs.any(|endpoint: &std::sync::Arc<Endpoint>| endpoint.disabled.is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn called(verdict: Verdict, status: u16) -> Asked {
        let error = (verdict != Verdict::Taken).then(|| format!("the answer was {status}"));
        Asked::Called(Called {
            verdict,
            status: Some(status),
            latency: Duration::ZERO,
            answer: String::new(),
            error,
        })
    }

    const LATER: Verdict = Verdict::Later { after: None };

    fn together(asked: &[Asked], before: &Done, last_try: bool) -> (Outcome, Done) {
        let asked: Vec<_> = asked
            .iter()
            .enumerate()
            .map(|(n, asked)| (Uuid::from_u128(n as u128 + 1), asked.clone()))
            .collect();
        tally(&asked, before, last_try)
    }

    #[test]
    fn it_has_left_once_every_endpoint_took_it_and_is_tried_again_on_those_that_did_not() {
        let (outcome, done) = together(&[called(LATER, 500), called(Verdict::Taken, 200)], &vec![], false);
        assert!(matches!(outcome, Outcome::Retry { reason: Reason::ProviderUnreachable, .. }), "{outcome:?}");
        assert_eq!(done, [(Uuid::from_u128(2), true)]);
        let (outcome, _) = together(&[called(Verdict::Taken, 200)], &done, false);
        assert_eq!(outcome, Outcome::Sent { detail: "taken by 2 of 2 endpoints".into() });
    }

    #[test]
    fn after_the_last_try_one_endpoint_that_took_it_is_enough() {
        let before = vec![(Uuid::from_u128(9), true)];
        let (outcome, _) = together(&[called(LATER, 500)], &before, true);
        assert_eq!(outcome, Outcome::Sent { detail: "taken by 1 of 2 endpoints; the answer was 500".into() });
        let (outcome, _) = together(&[called(LATER, 500)], &vec![], true);
        assert!(matches!(outcome, Outcome::Retry { .. }), "the engine gives it up");
    }

    #[test]
    fn it_is_tried_again_as_soon_as_one_endpoint_may_take_it_and_has_failed_when_all_are_gone() {
        let wait = Verdict::Later { after: Some(Duration::from_secs(9)) };
        let gone = called(Verdict::Gone, 410);
        let (outcome, _) = together(&[gone.clone(), called(wait, 429)], &vec![], false);
        assert!(
            matches!(outcome, Outcome::Retry { reason: Reason::ProviderRateLimited, after, .. } if after == Some(Duration::from_secs(9)))
        );
        let (outcome, _) = together(&[gone], &vec![], false);
        assert!(matches!(outcome, Outcome::Failed { reason: Reason::ProviderRejected, .. }));
        assert_eq!(together(&[], &vec![], false).0, Outcome::Skipped { reason: Reason::NoAddress });
    }

    #[test]
    fn an_endpoint_that_is_left_alone_costs_no_attempt() {
        let (outcome, done) = together(
            &[Asked::LeftAlone(70), called(Verdict::Taken, 200), Asked::LeftAlone(50)],
            &vec![],
            true,
        );
        assert!(matches!(outcome, Outcome::Down { probe_at: Some(50), .. }), "{outcome:?}");
        assert_eq!(done.len(), 1);
    }
}
