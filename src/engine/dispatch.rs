//! Taking what is due, attempting it, and recording what came of it.
//!
//! A delivery that is taken is leased for as long as its task lives. Leases stand in memory: only one process can have
//! the store open, so a lease that a crash forgets is one that nobody holds, and the line in the due index is still
//! there. It goes in the same commit that records the outcome.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::plan::{address, plan};
use super::{Engine, Rules, Shared};
use crate::clock::Millis;
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::{Outcome, Reason, Status};
use crate::model::ids::new_id;
use crate::model::message::Message;
use crate::model::notification::{Accepted, Verdict};
use crate::model::retry::next_delay;
use crate::model::user::User;
use crate::render::EmailView;
use crate::store::attempts::Event;
use crate::store::captures::Capture;
use crate::store::inbox::Marks;
use crate::store::outbox::{Due, Wanted};
use crate::store::{StoreError, Txn};

/// How long a delivery, or the loop itself, rests after the store could not be read or written.
const REST_AFTER_ERROR: Duration = Duration::from_secs(1);

/// What is under way, by channel and notification, and until when its lease runs.
#[derive(Clone, Default)]
pub(super) struct Leases {
    held: Arc<Mutex<HashMap<(Channel, Uuid), Millis>>>,
    /// Rung when one is given back.
    freed: Arc<Notify>,
}

/// A delivery that is under way. Dropping it gives it back.
struct Lease {
    leases: Leases,
    delivery: (Channel, Uuid),
    until: Millis,
}

impl Leases {
    fn take(&self, due: &Due, until: Millis) -> Lease {
        let delivery = (due.channel, due.key);
        self.held.lock().insert(delivery, until);
        Lease { leases: self.clone(), delivery, until }
    }

    pub(super) fn count(&self, channel: Channel) -> usize {
        self.held.lock().keys().filter(|(of, _)| *of == channel).count()
    }

    /// When the first of them runs out.
    fn first_end(&self) -> Option<Millis> {
        self.held.lock().values().min().copied()
    }

    /// Forgets leases that have run out: whoever held them hangs.
    fn expire(&self, now: Millis) {
        self.held.lock().retain(|(channel, key), until| {
            let holds = *until > now;
            if !holds {
                tracing::warn!(%channel, %key, "a delivery outlived its lease and is taken again");
            }
            holds
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held.lock();
        // Another may have taken it since the lease ran out.
        if held.get(&self.delivery) == Some(&self.until) {
            held.remove(&self.delivery);
        }
        drop(held);
        self.leases.freed.notify_one();
    }
}

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Deliveries taken.
    pub taken: usize,
    /// When the next one is due, as far as this turn saw.
    pub next: Option<Millis>,
}

/// What the plan says of a delivery now that it is due.
enum Release {
    Send { to: String },
    Wait { until: Millis, reason: Reason, because: String },
    Skip { status: Status, reason: Reason },
}

impl Engine {
    /// Takes and delivers what is due until the process stops. Asleep while nothing is.
    pub async fn run_dispatch(self) {
        let stopping = self.shared.supervisor.stopping();
        loop {
            // Armed before the look, so that what comes in during it is not slept over.
            let (woken, freed) = (self.shared.wake.notified(), self.shared.leases.freed.notified());
            let turn = self.turn().await.unwrap_or_else(|error| {
                tracing::error!(%error, "failed to look at what is due");
                Turn { taken: 0, next: Some(self.now() + 1_000) }
            });
            let next_due = self.shared.clock.sleep_until(turn.next.unwrap_or(Millis::MAX));
            tokio::select! {
                () = stopping.cancelled() => return,
                () = woken => {}
                () = freed => {}
                () = next_due => {}
            }
        }
    }

    /// Takes what is due now, as much as there are free slots for, and starts its delivery.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn turn(&self) -> Result<Turn, StoreError> {
        let (now, rules) = (self.now(), self.shared.rules.load_full());
        self.shared.leases.expire(now);
        let lease_ms = Millis::try_from(rules.lease.as_millis()).unwrap_or(Millis::MAX);
        let lanes = Channel::ALL.into_iter().filter_map(|channel| {
            let limit = rules.slots(channel).saturating_sub(self.shared.leases.count(channel));
            // A finished delivery wakes the loop.
            (limit > 0).then_some(Wanted { channel, limit })
        });
        let leases = self.shared.leases.clone();
        let taken = move |channel, key| leases.held.lock().contains_key(&(channel, key));
        let front = self.shared.store.due(lanes.collect(), now, taken).await?;
        let taken = front.due.len();
        for due in front.due {
            let lease = self.shared.leases.take(&due, now.saturating_add(lease_ms));
            let engine = self.clone();
            self.shared.supervisor.spawn("delivery", async move {
                engine.deliver(due).await;
                drop(lease);
            });
        }
        let next = front.next.into_iter().chain(self.shared.leases.first_end()).min();
        Ok(Turn { taken, next })
    }

    async fn deliver(&self, due: Due) {
        let error = match AssertUnwindSafe(self.attempt(&due)).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        // The line is still there: it is taken again once the lease is given back, and not at once.
        tracing::error!(channel = %due.channel, notification = %due.key, %error, "failed to make or record a delivery");
        tokio::time::sleep(REST_AFTER_ERROR).await;
    }

    async fn attempt(&self, due: &Due) -> Result<(), StoreError> {
        let Some((accepted, user, marks)) = self.shared.store.delivery(due.key).await? else {
            let gone = due.clone();
            let forget = move |txn: &mut Txn<'_>| {
                txn.remove_due(&gone);
                Ok(())
            };
            return self.shared.store.commit(forget).await;
        };
        let rules = self.shared.rules.load_full();
        let now = self.now();
        match release(&accepted, &user, marks, due, &rules, now) {
            Release::Skip { status, reason } => {
                let event = event(due, now, status, Some(reason), None);
                self.settle(&accepted, due, event, None).await
            }
            Release::Wait { until, reason, because } => {
                let mut event = event(due, now, Status::Deferred, Some(reason), Some(because));
                event.not_before = Some(until);
                self.settle(&accepted, due, event, None).await
            }
            Release::Send { .. } if due.channel == Channel::InApp => self.arrive(accepted, due).await,
            Release::Send { to } => self.send(&accepted, due, &rules, to).await,
        }
    }

    async fn send(
        &self,
        accepted: &Accepted,
        due: &Due,
        rules: &Rules,
        to: String,
    ) -> Result<(), StoreError> {
        let message = match self.compose(accepted, due.channel, to, rules) {
            Ok(message) => message,
            Err(error) => {
                let event = event(due, self.now(), Status::Failed, Some(Reason::TemplateError), Some(error));
                return self.settle(accepted, due, event, None).await;
            }
        };
        let started = std::time::Instant::now();
        let (outcome, capture) = match rules.modes.of(due.channel) {
            Mode::Live => (self.shared.ways.load_full().send(due.channel, &message).await, None),
            Mode::Capture => {
                let now = self.now();
                let capture = Capture { id: new_id(now), at: now, channel: due.channel, message };
                (
                    Outcome::Sent { detail: "kept, not sent: the channel is in capture mode".to_owned() },
                    Some(capture),
                )
            }
            Mode::Off => (Outcome::Skipped { reason: Reason::ChannelDisabled }, None),
        };
        self.shared.metrics.attempt(due.channel, started.elapsed().as_secs_f64());
        let event = after_attempt(due, outcome, rules, self.now(), rand_unit());
        self.settle(accepted, due, event, capture).await
    }

    fn compose(
        &self,
        accepted: &Accepted,
        channel: Channel,
        to: String,
        rules: &Rules,
    ) -> Result<Message, String> {
        let n = &accepted.notification;
        let view = EmailView {
            title: &n.title,
            message: &n.message,
            action: n.action.as_ref().map(|action| (action.label.as_str(), action.url.as_str())),
            priority: n.priority.name(),
            category: &n.category,
            user_id: &n.user_id,
            base_url: rules.base_url.as_deref(),
        };
        let (text, html) = if channel == Channel::Email {
            let body = self.shared.renderer.email(&view).map_err(|error| error.to_string())?;
            (body.text, Some(body.html))
        } else {
            (n.message.clone(), None)
        };
        Ok(Message {
            delivery_id: format!("{}.{channel}", accepted.key),
            notification_id: accepted.id(),
            user_id: n.user_id.clone(),
            to,
            title: n.title.clone(),
            text,
            html,
            at_ms: accepted.accepted_at,
        })
    }

    /// Puts a notification that was held into its person's inbox.
    async fn arrive(&self, mut accepted: Accepted, due: &Due) -> Result<(), StoreError> {
        let (shared, due, now) = (self.shared.clone(), due.clone(), self.now());
        self.shared
            .store
            .commit(move |txn| {
                if !txn.is_due(&due)? {
                    return Ok(());
                }
                txn.remove_due(&due);
                let user = accepted.notification.user_id.clone();
                let head = txn.relist_line(&user, accepted.offset, accepted.key)?;
                accepted.offset = head.offset;
                txn.replace_notification(&accepted)?;
                let delivered = Event { attempt: true, ..event(&due, now, Status::Delivered, None, None) };
                txn.push_event(due.key, &delivered)?;
                txn.after(move || {
                    shared.metrics.delivery(Channel::InApp, Status::Delivered, None);
                    shared.watcher.arrived(&accepted, head.counts);
                    shared.waiting.ring(accepted.key);
                });
                Ok(())
            })
            .await
    }

    /// Records an event, moves or ends the line, and tells those who wait: one commit.
    async fn settle(
        &self,
        accepted: &Accepted,
        due: &Due,
        event: Event,
        capture: Option<Capture>,
    ) -> Result<(), StoreError> {
        if let (Some(reason), Some(error)) = (event.reason, event.detail.as_deref()) {
            tracing::info!(
                notification = %accepted.id(), channel = %due.channel, status = event.status.name(), %reason, error,
                "delivery"
            );
        }
        let (shared, due): (Arc<Shared>, Due) = (self.shared.clone(), due.clone());
        self.shared
            .store
            .commit(move |txn| {
                let there = txn.is_due(&due)?;
                // Withdrawn while it was under way: what has left has left, and that is told; the rest is moot.
                if !there && event.status != Status::Sent && event.status != Status::Delivered {
                    return Ok(());
                }
                txn.remove_due(&due);
                if let (true, Some(at)) = (there, event.not_before) {
                    txn.put_due(&Due {
                        at,
                        attempts: due.attempts + u32::from(event.attempt),
                        ..due.clone()
                    });
                }
                if let Some(capture) = &capture {
                    txn.put_capture(capture);
                }
                txn.push_event(due.key, &event)?;
                txn.after(move || {
                    shared.metrics.delivery(due.channel, event.status, event.reason);
                    shared.waiting.ring(due.key);
                    if event.not_before.is_some() {
                        shared.wake.notify_one();
                    }
                });
                Ok(())
            })
            .await
    }
}

/// Plans a due delivery again: what held for it when it was accepted may hold no longer.
fn release(accepted: &Accepted, user: &User, marks: Marks, due: &Due, rules: &Rules, now: Millis) -> Release {
    let was_held =
        matches!(accepted.decision(due.channel), Some(d) if matches!(d.verdict, Verdict::Deferred { .. }));
    if was_held && marks.read {
        return Release::Skip { status: Status::Skipped, reason: Reason::ReadElsewhere };
    }
    let again = plan(&accepted.notification, user, &rules.modes, now);
    let verdict = again.decisions.into_iter().find(|d| d.channel == due.channel).map(|d| d.verdict);
    match (verdict, address(user, due.channel, rules.modes.of(due.channel))) {
        (Some(Verdict::Send), Some(to)) => Release::Send { to },
        (Some(Verdict::Deferred { until, reason, because }), _) => Release::Wait { until, reason, because },
        (Some(Verdict::Skipped { reason: Reason::Expired }), _) => {
            Release::Skip { status: Status::Expired, reason: Reason::Expired }
        }
        (Some(Verdict::Skipped { reason }), _) => Release::Skip { status: Status::Skipped, reason },
        (Some(Verdict::Send), None) | (None, _) => {
            Release::Skip { status: Status::Skipped, reason: Reason::NoAddress }
        }
    }
}

/// What an attempt's outcome makes of the delivery.
fn after_attempt(due: &Due, outcome: Outcome, rules: &Rules, now: Millis, dice: f64) -> Event {
    let attempted =
        |status, reason, detail| Event { attempt: true, ..event(due, now, status, reason, detail) };
    match outcome {
        Outcome::Sent { detail } => attempted(Status::Sent, None, Some(detail)),
        Outcome::Delivered { detail } => attempted(Status::Delivered, None, Some(detail)),
        Outcome::Failed { reason, error } => attempted(Status::Failed, Some(reason), Some(error)),
        Outcome::Skipped { reason } => event(due, now, Status::Skipped, Some(reason), None),
        Outcome::Retry { reason, error, after } => {
            match next_delay(rules.schedule(due.channel), due.attempts + 1, after, dice) {
                Some(delay) => {
                    let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX);
                    let mut event = attempted(Status::Retrying, Some(reason), Some(error));
                    event.not_before = Some(now.saturating_add(delay.max(1)));
                    event
                }
                None => attempted(Status::Failed, Some(Reason::AttemptsExhausted), Some(error)),
            }
        }
    }
}

fn event(due: &Due, at: Millis, status: Status, reason: Option<Reason>, detail: Option<String>) -> Event {
    Event { at, channel: due.channel, status, reason, detail, attempt: false, not_before: None }
}

/// A number in 0..=1 to spread retries by.
fn rand_unit() -> f64 {
    let mut byte = [0; 2];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte);
    if filled.is_err() { 0.5 } else { f64::from(u16::from_be_bytes(byte)) / f64::from(u16::MAX) }
}
