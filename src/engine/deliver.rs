//! One delivery that is due: planned again, rendered, attempted, and what came of it recorded.

use std::sync::Arc;

use super::endpoints::announce;
use super::release::{Release, release};
use super::tally::due_at;
use super::templates::DraftError;
use super::{Engine, Rules, Shared};
use crate::clock::Millis;
use crate::model::category::Category;
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::{Outcome, Reason, Status};
use crate::model::ids::new_id;
use crate::model::message::Message;
use crate::model::notification::Accepted;
use crate::model::retry::next_delay;
use crate::model::suppression::{Source, Suppression};
use crate::model::template::Texts;
use crate::model::user::User;
use crate::render::EmailView;
use crate::store::attempts::Event;
use crate::store::captures::Capture;
use crate::store::inbox::Marks;
use crate::store::outbox::{Due, Lane, Waits};
use crate::store::{StoreError, Txn};

impl Engine {
    /// Sees to what is due on a channel: one delivery, or a group of them.
    pub(super) async fn attempt(&self, channel: Channel, due: &Due) -> Result<(), StoreError> {
        match &due.waits {
            Waits::Alone | Waits::InGroup { .. } => self.attempt_one(channel, due).await,
            Waits::AsGroup { user, group } if group.is_sealed() => {
                self.send_group(channel, due, user, *group).await
            }
            Waits::AsGroup { user, group } => self.release_group(channel, due, user, *group).await,
        }
    }

    async fn attempt_one(&self, channel: Channel, due: &Due) -> Result<(), StoreError> {
        let Some((accepted, user, category, marks)) = self.shared.store.delivery(due.key).await? else {
            let gone = due.clone();
            let forget = move |txn: &mut Txn<'_>| {
                txn.remove_due(&gone);
                Ok(())
            };
            return self.shared.store.commit(forget).await;
        };
        let rules = self.shared.rules.load_full();
        let now = self.now();
        // Whoever asks for it again knows that it may have been read.
        let marks = if due.resends > 0 { Marks::default() } else { marks };
        match release(&accepted, (&user, category.as_ref()), marks, channel, &rules, now) {
            Release::Skip { status, reason, because } => {
                let event = event(channel, now, status, Some(reason), because);
                self.settle(&accepted, due, event, Traces::default()).await
            }
            Release::Wait { until, reason, because } => {
                self.hold_one(accepted, channel, due, until, (reason, because)).await
            }
            Release::Send { .. } if channel == Channel::InApp => self.arrive(accepted, due).await,
            Release::Send { to } => {
                self.send(&accepted, (&user, category.as_ref()), channel, due, &rules, to).await
            }
        }
    }

    async fn send(
        &self,
        accepted: &Accepted,
        (user, category): (&User, Option<&Category>),
        channel: Channel,
        due: &Due,
        rules: &Rules,
        to: String,
    ) -> Result<(), StoreError> {
        if let Some(wait) = self.waits_its_turn(channel, accepted.key, (&to, due.priority), rules).await? {
            return self.settle(accepted, due, wait, Traces::default()).await;
        }
        let message = match self.message(accepted, (user, category), channel, to, rules).await? {
            Ok(message) => again(message, due.resends),
            Err(error) => {
                let reason = Some(Reason::TemplateError);
                let event = event(channel, self.now(), Status::Failed, reason, Some(error));
                return self.settle(accepted, due, event, Traces::default()).await;
            }
        };
        let (outcome, traces) = self.make_attempt(channel, message, Some(accepted), due, rules).await;
        let outcome = self.given_up(accepted, channel, outcome, rules).await?;
        let event = after_attempt(channel, due.attempts, outcome, rules, self.now(), rand_unit());
        self.settle(accepted, due, event, traces).await
    }

    /// What an attempt comes to whose provider is left alone: such attempts do not count, so without an end of their own
    /// there would be none.
    pub(super) async fn given_up(
        &self,
        accepted: &Accepted,
        channel: Channel,
        outcome: Outcome,
        rules: &Rules,
    ) -> Result<Outcome, StoreError> {
        let Outcome::Down { error, probe_at: Some(probe_at) } = outcome else { return Ok(outcome) };
        let events = self.shared.store.events(accepted.key).await?;
        let waited = self.now().saturating_sub(due_at(accepted, channel, &events));
        if u128::try_from(waited).is_ok_and(|waited| waited >= rules.give_up_after.as_millis()) {
            return Ok(Outcome::Failed { reason: Reason::AttemptsExhausted, error });
        }
        Ok(Outcome::Down { error, probe_at: Some(probe_at) })
    }

    /// Hands a message to its channel: one `about` a notification, or one for several together. Answers what came of it,
    /// and what is to be remembered beside it.
    pub(super) async fn make_attempt(
        &self,
        channel: Channel,
        message: Message,
        about: Option<&Accepted>,
        due: &Due,
        rules: &Rules,
    ) -> (Outcome, Traces) {
        let started = std::time::Instant::now();
        let to = message.to.clone();
        let (outcome, capture) = match rules.modes.of(channel) {
            Mode::Live if channel == Channel::Webhook => {
                let outcome = self.send_to_own(&message, due, rules).await;
                (self.note(channel, apart(outcome, rules)), None)
            }
            Mode::Live if channel == Channel::BrowserPush => {
                let outcome = self.push(&message, about, due, rules).await;
                (self.note(channel, apart(outcome, rules)), None)
            }
            Mode::Live => (self.hand_over(channel, &message, rules, false).await, None),
            Mode::Capture => {
                let now = self.now();
                let capture = Capture { id: new_id(now), at: now, channel, message };
                let detail = "kept, not sent: the channel is in capture mode".to_owned();
                (Outcome::Sent { detail }, Some(capture))
            }
            Mode::Off => (Outcome::Skipped { reason: Reason::ChannelDisabled }, None),
        };
        self.shared.metrics.attempt(channel, started.elapsed().as_secs_f64());
        self.shared.leases.leaves(Lane::Channel(channel), due.key);
        let suppression = match &outcome {
            Outcome::NoSuchAddress { error } => Some(suppressed(channel, to, error, self.now())),
            _ => None,
        };
        (outcome, Traces { capture, suppression })
    }

    /// What `channel` sends to the address `to`, or why it cannot be rendered.
    pub(super) async fn message(
        &self,
        accepted: &Accepted,
        (user, category): (&User, Option<&Category>),
        channel: Channel,
        to: String,
        rules: &Rules,
    ) -> Result<Result<Message, String>, StoreError> {
        match self.own_texts(&accepted.notification, user, channel).await {
            Ok(own) => {
                let n = &accepted.notification;
                let required = category.is_some_and(|category| category.required);
                let leave = self.unsubscribe_url(&n.user_id, (&n.category, required), channel, rules);
                Ok(self.compose(accepted, (channel, to), rules, own, leave))
            }
            Err(DraftError::Render(error)) => Ok(Err(error.to_string())),
            Err(DraftError::Store(error)) => Err(error),
        }
    }

    fn compose(
        &self,
        accepted: &Accepted,
        (channel, to): (Channel, String),
        rules: &Rules,
        own: Texts,
        unsubscribe: Option<String>,
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
            unsubscribe: unsubscribe.as_deref(),
        };
        let said = self.shared.renderer.compose(channel, &view, own).map_err(|error| error.to_string())?;
        Ok(Message {
            delivery_id: format!("{}.{channel}", accepted.key),
            notification_id: accepted.id(),
            user_id: n.user_id.clone(),
            to,
            title: said.title,
            text: said.text,
            html: said.html,
            unsubscribe,
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
                let delivered =
                    Event { attempt: true, ..event(Channel::InApp, now, Status::Delivered, None, None) };
                announce::record(txn, &shared, due.key, &delivered)?;
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
        traces: Traces,
    ) -> Result<(), StoreError> {
        if let (Some(reason), Some(error)) = (event.reason, event.detail.as_deref()) {
            tracing::info!(
                notification = %accepted.id(), channel = %event.channel, status = event.status.name(), %reason, error,
                "delivery"
            );
        }
        let (shared, due): (Arc<Shared>, Due) = (self.shared.clone(), due.clone());
        self.shared
            .store
            .commit(move |txn| {
                let there = txn.is_due(&due)?;
                // Withdrawn while it was under way: what has left has left, and that is told; the rest is moot.
                let left = event.status == Status::Sent || event.status == Status::Delivered;
                // Of somebody who was erased meanwhile nothing is remembered.
                if !there && (!left || txn.notification(due.key)?.is_none()) {
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
                traces.keep(txn)?;
                announce::record(txn, &shared, due.key, &event)?;
                txn.after(move || {
                    shared.metrics.delivery(event.channel, event.status, event.reason);
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

/// What is to be remembered of an attempt beside its event.
#[derive(Default)]
pub(super) struct Traces {
    /// The message, where nothing leaves.
    capture: Option<Capture>,
    /// The address, where there turned out to be none such.
    suppression: Option<Suppression>,
}

impl Traces {
    /// Remembers it.
    pub(super) fn keep(&self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        if let Some(capture) = &self.capture {
            txn.put_capture(capture);
        }
        if let Some(suppression) = &self.suppression {
            txn.suppress(suppression)?;
        }
        Ok(())
    }
}

fn suppressed(channel: Channel, address: String, said: &str, now: Millis) -> Suppression {
    let reason = Some(said.to_owned());
    Suppression { id: new_id(now), channel, address, reason, source: Source::Provider, since: now }
}

/// A message that was asked for again is another message: with the same id it would be taken for a repeat and dropped.
fn again(message: Message, resends: u8) -> Message {
    match resends {
        0 => message,
        times => Message { delivery_id: format!("{}.r{times}", message.delivery_id), ..message },
    }
}

/// What an attempt's outcome makes of the delivery.
pub(super) fn after_attempt(
    channel: Channel,
    attempts: u32,
    outcome: Outcome,
    rules: &Rules,
    now: Millis,
    dice: f64,
) -> Event {
    let attempted =
        |status, reason, detail| Event { attempt: true, ..event(channel, now, status, reason, detail) };
    match outcome {
        Outcome::Sent { detail } => attempted(Status::Sent, None, Some(detail)),
        Outcome::Delivered { detail } => attempted(Status::Delivered, None, Some(detail)),
        Outcome::Failed { reason, error } => attempted(Status::Failed, Some(reason), Some(error)),
        Outcome::NoSuchAddress { error } => {
            attempted(Status::Failed, Some(Reason::ProviderRejected), Some(error))
        }
        Outcome::Skipped { reason } => event(channel, now, Status::Skipped, Some(reason), None),
        // The provider is left alone: that is nothing that this delivery has failed at.
        Outcome::Down { error, probe_at: Some(at) } => {
            let reason = Some(Reason::CircuitOpen);
            let held = event(channel, now, Status::Retrying, reason, Some(error));
            Event { not_before: Some(at.max(now.saturating_add(1))), ..held }
        }
        Outcome::Down { error, probe_at: None } => {
            let reason = Reason::ProviderUnreachable;
            after_attempt(channel, attempts, Outcome::Retry { reason, error, after: None }, rules, now, dice)
        }
        Outcome::Retry { reason, error, after } => {
            match next_delay(rules.schedule(channel), attempts + 1, after, dice) {
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

pub(super) fn event(
    channel: Channel,
    at: Millis,
    status: Status,
    reason: Option<Reason>,
    detail: Option<String>,
) -> Event {
    Event { at, channel, status, reason, detail, attempt: false, not_before: None }
}

/// The same outcome, where what waits for somebody who is left alone does not ask again at the same instant as all else
/// that waits for them.
fn apart(outcome: Outcome, rules: &Rules) -> Outcome {
    let Outcome::Down { error, probe_at: Some(at) } = outcome else { return outcome };
    let later = (rand_unit() * rules.patience.wait_max_ms as f64) as Millis;
    Outcome::Down { error, probe_at: Some(at + later) }
}

/// A number in 0..=1 to spread retries by.
pub(super) fn rand_unit() -> f64 {
    let mut byte = [0; 2];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte);
    if filled.is_err() { 0.5 } else { f64::from(u16::from_be_bytes(byte)) / f64::from(u16::MAX) }
}
