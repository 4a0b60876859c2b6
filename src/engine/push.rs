//! One delivery by Web Push goes to all of a person's browsers, and a repeat only to those that are not done with it.

use futures_util::future::join_all;
use uuid::Uuid;

use super::report::instant;
use super::{Engine, Rules};
use crate::channel::push::Push;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Outcome, Reason};
use crate::model::message::Message;
use crate::model::notification::{Accepted, Priority};
use crate::model::push::{Note, Subscription};
use crate::store::StoreError;
use crate::store::outbox::Due;
use crate::store::progress::{Done, Targets};

/// How exact the instant of a browser's last success is: writing it down for every message would double the writes.
const SUCCESS_EVERY_MS: Millis = 60 * 60 * 1_000;

impl Engine {
    /// One attempt to push `message`, `about` one notification or for several together. What it did for each browser is on
    /// disk when it returns.
    pub(super) async fn push(
        &self,
        message: &Message,
        about: Option<&Accepted>,
        due: &Due,
        rules: &Rules,
    ) -> Outcome {
        self.try_push(message, about, due, rules).await.unwrap_or_else(|error| Outcome::Retry {
            reason: Reason::ProviderUnreachable,
            error: format!("the person's browsers cannot be looked up: {error}"),
            after: None,
        })
    }

    async fn try_push(
        &self,
        message: &Message,
        about: Option<&Accepted>,
        due: &Due,
        rules: &Rules,
    ) -> Result<Outcome, StoreError> {
        let ways = self.shared.ways.load_full();
        let Some(push) = &ways.push else {
            return Ok(Outcome::Skipped { reason: Reason::ChannelDisabled });
        };
        let (all, before) = self.shared.store.push_targets(&message.user_id, due.key).await?;
        let left: Vec<&Subscription> =
            all.iter().filter(|s| !before.iter().any(|(id, _)| *id == s.id)).collect();
        let (note, now) = (note(message, about), self.now());
        let outcomes = join_all(left.iter().map(|to| self.push_to(push, &note, to, rules, now))).await;
        let tried: Vec<(&Subscription, Outcome)> = left.into_iter().zip(outcomes).collect();
        let tally = Tally::of(&tried, &before, rules.is_last_try(Channel::BrowserPush, due));
        self.remember(message.user_id.clone(), due.key, &tried, before, &tally).await?;
        Ok(tally.outcome)
    }

    /// One attempt to push to one browser, unless its push service does not answer and is left alone.
    async fn push_to(
        &self,
        push: &Push,
        note: &Note,
        to: &Subscription,
        rules: &Rules,
        now: Millis,
    ) -> Outcome {
        let (services, origin) = (&self.shared.push_services, to.origin());
        if let Err(until) = services.may_call(&origin, now) {
            let error = "the push service does not answer and is left alone".to_owned();
            return Outcome::Down { error, probe_at: Some(until) };
        }
        let outcome = push.send(note, to, now).await;
        if let Outcome::Retry { reason: Reason::ProviderUnreachable, error, after: None } = &outcome {
            if let Some(until) = services.failed(&origin, error, self.now(), rules.patience) {
                return Outcome::Down { error: error.clone(), probe_at: Some(until) };
            }
        } else {
            services.answered(&origin);
        }
        outcome
    }

    /// Forgets the browsers that are gone, and notes which are done where others are to be tried again.
    async fn remember(
        &self,
        user: String,
        key: Uuid,
        tried: &[(&Subscription, Outcome)],
        before: Done,
        tally: &Tally<'_>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let stale = |s: &Subscription| s.last_success.is_none_or(|at| at + SUCCESS_EVERY_MS <= now);
        let took = tried.iter().filter(|(s, outcome)| stale(s) && matches!(outcome, Outcome::Sent { .. }));
        let took: Vec<_> = took.map(|(s, _)| s.id).collect();
        // By its endpoint too: a browser that has subscribed anew in the meantime is not gone.
        let gone: Vec<_> = tally.gone.iter().map(|s| (s.id, s.endpoint.clone())).collect();
        let again = matches!(tally.outcome, Outcome::Retry { .. } | Outcome::Down { .. });
        let had_notes = !before.is_empty();
        let done = if again { tally.done.clone() } else { Vec::new() };
        if took.is_empty() && gone.is_empty() && done == before {
            return Ok(());
        }
        self.shared
            .store
            .commit(move |txn| {
                if !gone.is_empty() {
                    let is_gone =
                        |s: &Subscription| gone.iter().any(|(id, at)| *id == s.id && *at == s.endpoint);
                    txn.remove_push_subscriptions(&user, is_gone)?;
                }
                txn.note_push_success(&user, &took, now)?;
                if had_notes || !done.is_empty() {
                    txn.put_done(Targets::Browsers, key, &done)?;
                }
                Ok(())
            })
            .await
    }
}

/// What the outcomes for a person's browsers come to as one delivery.
struct Tally<'a> {
    outcome: Outcome,
    /// The browsers that need no further attempt.
    done: Done,
    gone: Vec<&'a Subscription>,
}

impl<'a> Tally<'a> {
    /// `before` is what earlier attempts came to; after `last_try` there is no other.
    fn of(tried: &[(&'a Subscription, Outcome)], before: &Done, last_try: bool) -> Tally<'a> {
        let (mut done, mut gone, mut failed, mut again) = (before.clone(), Vec::new(), None, None);
        let mut left_alone: Option<(Millis, String)> = None;
        for (subscription, outcome) in tried {
            match outcome {
                Outcome::Sent { .. } | Outcome::Delivered { .. } => done.push((subscription.id, true)),
                Outcome::Failed { reason, error } => {
                    if *reason == Reason::SubscriptionGone {
                        gone.push(*subscription);
                    }
                    done.push((subscription.id, false));
                    // That a browser is gone says less than why one that is there was refused.
                    if failed.is_none() || matches!(failed, Some((Reason::SubscriptionGone, _))) {
                        failed = Some((*reason, error.clone()));
                    }
                }
                // A browser has no address that another could be given.
                Outcome::Skipped { .. } | Outcome::NoSuchAddress { .. } => {
                    done.push((subscription.id, false));
                }
                Outcome::Down { error, probe_at } => {
                    let until = probe_at.unwrap_or_default();
                    let sooner = left_alone.take().filter(|(other, _)| *other <= until);
                    left_alone = sooner.or_else(|| Some((until, error.clone())));
                }
                Outcome::Retry { reason, error, after } => {
                    // All of them are tried again at once: not before the most patient one may be.
                    let longest = again.as_ref().and_then(|(_, _, after)| *after).max(*after);
                    again = Some((*reason, error.clone(), longest));
                }
            }
        }
        let took = done.iter().filter(|(_, took)| *took).count();
        let all = before.len() + tried.len();
        let told = format!("{took} of {all} browsers");
        let outcome = match (again, failed) {
            // Nothing has to wait but for a service that is left alone: that costs no attempt.
            (None, _) if left_alone.is_some() => {
                let (until, error) = left_alone.unwrap_or_default();
                Outcome::Down { error: format!("{told}; {error}"), probe_at: Some(until) }
            }
            (Some((reason, error, after)), _) if !last_try || took == 0 => {
                let error = if all > 1 { format!("{told}; {error}") } else { error };
                Outcome::Retry { reason, error, after }
            }
            (Some((_, error, _)), _) => Outcome::Sent { detail: format!("{told}; {error}") },
            (None, Some((_, error))) if took > 0 => Outcome::Sent { detail: format!("{told}; {error}") },
            (None, Some((reason, error))) => Outcome::Failed { reason, error },
            (None, None) if took > 0 => Outcome::Sent { detail: told },
            (None, None) if all == 0 => Outcome::Skipped { reason: Reason::NoAddress },
            // Only what failed before is left of it.
            (None, None) => Outcome::Failed { reason: Reason::SubscriptionGone, error: told },
        };
        Tally { outcome, done, gone }
    }
}

fn note(message: &Message, about: Option<&Accepted>) -> Note {
    let note = Note {
        id: message.notification_id.clone(),
        title: message.title.clone(),
        message: message.text.clone(),
        category: "digest".to_owned(),
        priority: Priority::Medium.name(),
        timestamp: instant(message.at_ms),
        ..Note::default()
    };
    let Some(accepted) = about else { return note };
    let n = &accepted.notification;
    Note {
        action: n.action.as_ref().map(|action| (action.label.clone(), action.url.clone())),
        category: n.category.clone(),
        priority: n.priority.name(),
        timestamp: instant(accepted.timestamp()),
        metadata: n.metadata.clone(),
        collapse_key: n.collapse_key.clone(),
        expires_at: n.expires_at,
        ..note
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn browser(id: u128) -> Subscription {
        Subscription {
            id: Uuid::from_u128(id),
            endpoint: format!("https://push.example/{id}"),
            p256dh: Vec::new(),
            auth: [0; 16],
            server_key: Vec::new(),
            created_at: 0,
            expires_at: None,
            last_success: None,
        }
    }

    fn sent() -> Outcome {
        Outcome::Sent { detail: "201".into() }
    }

    fn failed(reason: Reason) -> Outcome {
        Outcome::Failed { reason, error: "no".into() }
    }

    fn retry(seconds: u64) -> Outcome {
        let after = Some(Duration::from_secs(seconds));
        Outcome::Retry { reason: Reason::ProviderRateLimited, error: "later".into(), after }
    }

    fn tally(outcomes: &[Outcome], before: &Done, last_try: bool) -> (Outcome, usize, usize) {
        let browsers: Vec<Subscription> = (0..outcomes.len()).map(|n| browser(n as u128 + 100)).collect();
        let tried: Vec<_> = browsers.iter().zip(outcomes.iter().cloned()).collect();
        let tally = Tally::of(&tried, before, last_try);
        (tally.outcome, tally.done.len(), tally.gone.len())
    }

    #[test]
    fn one_browser_that_got_it_makes_it_sent() {
        let gone = failed(Reason::SubscriptionGone);
        let (outcome, done, gone) = tally(&[gone, sent()], &vec![], false);
        assert_eq!((done, gone), (2, 1));
        assert_eq!(outcome, Outcome::Sent { detail: "1 of 2 browsers; no".into() });
    }

    #[test]
    fn browsers_that_are_all_gone_fail_the_delivery_with_that_reason() {
        let gone = failed(Reason::SubscriptionGone);
        let (outcome, ..) = tally(&[gone.clone(), gone], &vec![], false);
        assert!(matches!(outcome, Outcome::Failed { reason: Reason::SubscriptionGone, .. }));
    }

    #[test]
    fn a_refusal_says_more_than_a_browser_that_is_gone() {
        let (outcome, ..) =
            tally(&[failed(Reason::SubscriptionGone), failed(Reason::PayloadTooLarge)], &vec![], false);
        assert!(matches!(outcome, Outcome::Failed { reason: Reason::PayloadTooLarge, .. }));
    }

    #[test]
    fn one_browser_that_has_to_wait_makes_it_wait_as_long_as_the_most_patient_one_asks() {
        let (outcome, done, _) = tally(&[sent(), retry(5), retry(60), retry(7)], &vec![], false);
        let Outcome::Retry { after, error, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((after, done), (Some(Duration::from_secs(60)), 1));
        assert!(error.starts_with("1 of 4 browsers"), "{error}");
    }

    #[test]
    fn after_the_last_try_one_browser_that_got_it_is_enough() {
        let before = vec![(Uuid::from_u128(1), true)];
        let (outcome, ..) = tally(&[retry(5)], &before, true);
        assert_eq!(outcome, Outcome::Sent { detail: "1 of 2 browsers; later".into() });
        let (outcome, ..) = tally(&[retry(5)], &vec![(Uuid::from_u128(1), false)], true);
        assert!(matches!(outcome, Outcome::Retry { .. }), "the engine gives it up");
    }

    #[test]
    fn a_browser_whose_service_is_left_alone_costs_no_attempt_and_the_others_are_done() {
        let down = |at| Outcome::Down { error: "left alone".into(), probe_at: Some(at) };
        let (outcome, done, _) = tally(&[down(70), sent(), down(50)], &vec![], true);
        assert_eq!(done, 1);
        assert_eq!(
            outcome,
            Outcome::Down { error: "1 of 3 browsers; left alone".into(), probe_at: Some(50) }
        );
        let (outcome, ..) = tally(&[down(70), retry(5)], &vec![], false);
        assert!(matches!(outcome, Outcome::Retry { .. }), "one that was tried counts: {outcome:?}");
    }

    #[test]
    fn a_person_without_browsers_has_no_address() {
        let (outcome, ..) = tally(&[], &vec![], false);
        assert_eq!(outcome, Outcome::Skipped { reason: Reason::NoAddress });
    }
}
