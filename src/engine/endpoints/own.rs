//! The `webhook` channel: a notification itself, to the endpoints of its own person.

use std::time::Duration;

use futures_util::future::join_all;

use super::work::{attempt, note_call};
use super::{Endpoint, Engine};
use crate::channel::webhook::{Called, Verdict, body};
use crate::engine::Shared;
use crate::model::delivery::{Outcome, Reason};
use crate::model::message::Message;
use crate::model::user::User;
use crate::store::StoreError;

/// The status by which an endpoint asks to be sent less.
const TOO_MANY: u16 = 429;

/// `user` as the plan wants them: whether they have an endpoint is known here and not stored with them.
pub(in crate::engine) fn known(shared: &Shared, user: User) -> User {
    User { no_webhook: !shared.endpoints.has_own(&user.id), ..user }
}

impl Engine {
    /// One attempt to send a message to every endpoint of its person. It has left once one of them took it.
    pub(in crate::engine) async fn send_to_own(&self, message: &Message) -> Outcome {
        let endpoints = self.shared.endpoints.of_user(&message.user_id);
        if endpoints.is_empty() {
            return Outcome::Skipped { reason: Reason::NoAddress };
        }
        // A message for several notifications at once stands for none of them.
        let one = match self.shared.store.notification(&message.notification_id).await {
            Ok(found) => found,
            Err(error) => return unstored(&error),
        };
        let (id, body) = (message_id(message), body::message(one.as_ref(), message));
        let calls = endpoints.iter().map(|endpoint| self.call_endpoint(endpoint, id.clone(), body.clone()));
        let called: Vec<Called> = join_all(calls).await;
        let outcome = outcome(&called);
        let about = Some((message.notification_id.clone(), message.user_id.clone()));
        let noted: Vec<_> = endpoints.iter().map(|endpoint| endpoint.id).zip(called).collect();
        let (shared, now) = (self.shared.clone(), self.now());
        let written = self
            .shared
            .store
            .commit(move |txn| {
                for (endpoint, called) in &noted {
                    let attempt = attempt(*endpoint, id.clone(), body::MESSAGE, about.clone(), called, now);
                    note_call(&shared, txn, &attempt, &called.verdict)?;
                }
                Ok::<_, StoreError>(())
            })
            .await;
        if let Err(error) = written {
            tracing::error!(%error, "failed to record calls to endpoints");
        }
        outcome
    }
}

/// The `webhook-id` of a message: the same over every attempt, and without the full stop that the specification forbids.
fn message_id(message: &Message) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("msg_{}", message.delivery_id.chars().map(plain).collect::<String>())
}

fn unstored(error: &StoreError) -> Outcome {
    Outcome::Retry { reason: Reason::ProviderUnreachable, error: error.to_string(), after: None }
}

/// What all calls together make of the delivery.
fn outcome(called: &[Called]) -> Outcome {
    let taken = called.iter().filter(|called| called.verdict == Verdict::Taken).count();
    if taken > 0 {
        return Outcome::Sent { detail: format!("taken by {taken} of {} endpoints", called.len()) };
    }
    let error = called.iter().find_map(|called| called.error.clone()).unwrap_or_default();
    let asked: Vec<Option<Duration>> = called
        .iter()
        .filter_map(|called| match called.verdict {
            Verdict::Later { after } => Some(after),
            Verdict::Taken | Verdict::Gone => None,
        })
        .collect();
    if asked.is_empty() {
        return Outcome::Failed { reason: Reason::ProviderRejected, error };
    }
    let limited = called.iter().any(|called| called.status == Some(TOO_MANY));
    let reason = if limited { Reason::ProviderRateLimited } else { Reason::ProviderUnreachable };
    // The soonest of them: another endpoint's delay is no reason to wait.
    Outcome::Retry { reason, error, after: asked.into_iter().min().flatten() }
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
    use super::*;

    fn called(verdict: Verdict, status: u16) -> Called {
        let error = (verdict != Verdict::Taken).then(|| format!("the answer was {status}"));
        Called { verdict, status: Some(status), latency: Duration::ZERO, answer: String::new(), error }
    }

    #[test]
    fn a_notification_has_left_once_one_endpoint_took_it() {
        let both = [called(Verdict::Later { after: None }, 500), called(Verdict::Taken, 200)];
        assert!(matches!(outcome(&both), Outcome::Sent { .. }));
    }

    #[test]
    fn it_is_tried_again_while_one_endpoint_may_take_it_and_has_failed_when_all_are_gone() {
        let gone = called(Verdict::Gone, 410);
        let wait = Some(Duration::from_secs(9));
        let retried = outcome(&[gone.clone(), called(Verdict::Later { after: wait }, 429)]);
        assert!(
            matches!(retried, Outcome::Retry { reason: Reason::ProviderRateLimited, after, .. } if after == wait)
        );
        assert!(matches!(outcome(&[gone]), Outcome::Failed { reason: Reason::ProviderRejected, .. }));
    }
}
