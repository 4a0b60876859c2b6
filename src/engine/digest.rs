//! One message for many notifications: a sealed group is planned again, rendered, sent, and each that was in it told.

use super::deliver::{Traces, after_attempt, event, rand_unit};
use super::endpoints::announce;
use super::release::{Release, release};
use super::{Engine, Rules};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::message::Message;
use crate::model::notification::Accepted;
use crate::model::user::User;
use crate::model::zone::shown;
use crate::render::{DigestItem, DigestView};
use crate::store::StoreError;
use crate::store::attempts::Event;
use crate::store::holds::{Group, GroupId, Member};
use crate::store::outbox::Due;

/// A group as planning it again leaves it.
#[derive(Default)]
struct Sorted {
    to: String,
    send: Vec<Accepted>,
    skip: Vec<(Accepted, Event)>,
    /// Until when all of it has to wait, and what says so.
    wait: Option<Event>,
    /// Whether some of it cannot be switched off.
    required: bool,
}

impl Engine {
    /// Sends a sealed group as one message.
    pub(super) async fn send_group(
        &self,
        channel: Channel,
        due: &Due,
        user: &str,
        id: GroupId,
    ) -> Result<(), StoreError> {
        let (rules, now) = (self.shared.rules.load_full(), self.now());
        let (person, members) = self.shared.store.waiting(user, channel, id).await?;
        let mut sorted = sort(members, &person, channel, &rules, now);
        let wait = match (sorted.wait.take(), sorted.send.first()) {
            (None, Some(first)) => {
                self.waits_its_turn(channel, first.key, (&sorted.to, due.priority), &rules).await?
            }
            (wait, _) => wait,
        };
        let (outcome, traces) = match (wait, sorted.send.first()) {
            (Some(wait), _) => (Some(wait), Traces::default()),
            (None, None) => (None, Traces::default()),
            (None, Some(first)) => {
                let (event, traces) =
                    self.attempt_group(channel, due, &person, (&sorted, first), &rules).await?;
                (Some(event), traces)
            }
        };
        self.settle_group(due, (user.to_owned(), channel, id), sorted, outcome, traces).await
    }

    async fn attempt_group(
        &self,
        channel: Channel,
        due: &Due,
        person: &User,
        (sorted, first): (&Sorted, &Accepted),
        rules: &Rules,
    ) -> Result<(Event, Traces), StoreError> {
        let message = match self.compose_group(channel, due, person, sorted, rules) {
            Ok(message) => message,
            Err(error) => {
                let reason = Some(Reason::TemplateError);
                let failed = event(channel, self.now(), Status::Failed, reason, Some(error));
                return Ok((failed, Traces::default()));
            }
        };
        let (outcome, traces) = self.make_attempt(channel, message, None, due, rules).await;
        let outcome = self.given_up(first, channel, outcome, rules).await?;
        let mut event = after_attempt(channel, due.attempts, outcome, rules, self.now(), rand_unit());
        let together = format!("one message for {}", sorted.send.len());
        event.detail = Some(match event.detail {
            Some(detail) => format!("{together}: {detail}"),
            None => together,
        });
        Ok((event, traces))
    }

    fn compose_group(
        &self,
        channel: Channel,
        due: &Due,
        person: &User,
        sorted: &Sorted,
        rules: &Rules,
    ) -> Result<Message, String> {
        let items = sorted.send.iter().map(|accepted| {
            let n = &accepted.notification;
            DigestItem {
                title: &n.title,
                message: &n.message,
                category: &n.category,
                priority: n.priority.name(),
                time: shown(person.timezone.as_deref(), accepted.accepted_at),
                url: n.action.as_ref().map(|action| action.url.as_str()),
            }
        });
        // One link cannot unsubscribe from several categories.
        let mut categories = sorted.send.iter().map(|accepted| accepted.notification.category.as_str());
        let first = categories.next().unwrap_or_default();
        let fixed = sorted.required || categories.any(|category| category != first);
        let unsubscribe = self.unsubscribe_url(&person.id, (first, fixed), channel, rules);
        let view = DigestView {
            items: items.collect(),
            user_id: &person.id,
            base_url: rules.base_url.as_deref(),
            unsubscribe: unsubscribe.as_deref(),
        };
        let body = self.shared.renderer.digest(&view).map_err(|error| error.to_string())?;
        let own = format!("{}.{channel}", due.key);
        let (delivery_id, text, html) = match (channel, sorted.send.first()) {
            // A mail that comes back brings its id and nothing else of ours, and of the group nothing is left by then.
            (Channel::Email, Some(first)) => {
                (format!("{own}.{}", first.key), body.email.text, Some(body.email.html))
            }
            (Channel::Email, None) => (own, body.email.text, Some(body.email.html)),
            (Channel::InApp | Channel::BrowserPush | Channel::Sms | Channel::Webhook, _) => {
                (own, body.brief, None)
            }
        };
        Ok(Message {
            delivery_id,
            notification_id: due.key.to_string(),
            user_id: person.id.clone(),
            to: sorted.to.clone(),
            title: body.title,
            text,
            html,
            unsubscribe,
            at_ms: due.at,
        })
    }

    /// Records what came of a group: an event for each, and its line moved or ended. One commit.
    async fn settle_group(
        &self,
        due: &Due,
        (user, channel, id): (String, Channel, GroupId),
        sorted: Sorted,
        outcome: Option<Event>,
        traces: Traces,
    ) -> Result<(), StoreError> {
        let (shared, due) = (self.shared.clone(), due.clone());
        let told: Vec<_> = sorted.send.iter().map(|accepted| accepted.key).collect();
        self.shared
            .store
            .commit(move |txn| {
                let mut events: Vec<_> =
                    sorted.skip.into_iter().map(|(accepted, event)| (accepted.key, event)).collect();
                let mut moved_to = None;
                if let Some(event) = outcome {
                    moved_to = event.not_before.map(|at| (at, due.attempts + u32::from(event.attempt)));
                    events.extend(told.into_iter().map(|key| (key, event.clone())));
                }
                let before = txn.group(&user, channel, id)?;
                if before.is_none() && txn.user(&user)?.is_none() {
                    // Of somebody who was erased meanwhile nothing is remembered.
                    return Ok(());
                }
                match (&before, moved_to) {
                    (Some(group), Some((at, attempts))) => {
                        let moved = Group { at, attempts, ..group.clone() };
                        txn.put_group(&user, channel, id, before.as_ref(), &moved);
                    }
                    (Some(_), None) => txn.end_group(&user, channel, id)?,
                    (None, _) => {}
                }
                for (key, event) in &events {
                    // Withdrawn while it was under way: what has left has left, and that is told; the rest is moot.
                    let there = txn.group_of(&user, channel, *key)? == Some(id);
                    if !there && event.status != Status::Sent && event.status != Status::Delivered {
                        continue;
                    }
                    if event.not_before.is_none() {
                        txn.leave_group(&user, channel, *key);
                    }
                    announce::record(txn, &shared, *key, event)?;
                }
                traces.keep(txn)?;
                txn.after(move || {
                    for (key, event) in &events {
                        shared.metrics.delivery(channel, event.status, event.reason);
                        shared.waiting.ring(*key);
                    }
                    if moved_to.is_some() {
                        shared.wake.notify_one();
                    }
                });
                Ok(())
            })
            .await
    }
}

/// Plans each again: one that may not leave any more is taken out; if one has to wait, so has the message.
fn sort(members: Vec<Member>, person: &User, channel: Channel, rules: &Rules, now: Millis) -> Sorted {
    let mut sorted = Sorted::default();
    for Member { accepted, category, marks } in members {
        sorted.required |= category.as_ref().is_some_and(|category| category.required);
        match release(&accepted, (person, category.as_ref()), marks, channel, rules, now) {
            Release::Send { to } => {
                sorted.to = to;
                sorted.send.push(accepted);
            }
            Release::Skip { status, reason, because } => {
                sorted.skip.push((accepted, event(channel, now, status, Some(reason), because)));
            }
            Release::Wait { until, reason, because, .. } => {
                let mut held = event(channel, now, Status::Deferred, Some(reason), Some(because));
                held.not_before = Some(until);
                sorted.wait = Some(held);
                sorted.send.push(accepted);
            }
        }
    }
    sorted
}
