//! Mails that came back, as events of their deliveries and as addresses that nothing is sent to any more.
//!
//! Anybody can write a report and send it to where mails come back to. What it says counts only for a mail of ours,
//! which it must name by an id that nobody but its recipient was told, and only for the address of that recipient.

use std::sync::Arc;

use super::deliver::event;
use super::receipt::{self, ReceiptError, move_to};
use super::{Engine, Shared};
use crate::channel::email::bounce::{About, Action, Recipient, Report};
use crate::channel::sms::receipt::Report as Fact;
use crate::clock::Millis;
use crate::model::change::{Change, FieldChange, Origin, Way};
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::model::ids::new_id;
use crate::model::notification::Accepted;
use crate::model::suppression::{Source, Suppression, normal};
use crate::store::{StoreError, Txn};

/// How long a story may be for reports that change nothing to be added to it.
const STORY_LEN_MAX: usize = 100;

/// What a report on one recipient changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The delivery has failed, and nothing is sent to the address any more.
    Suppressed,
    /// The delivery has failed.
    Failed,
    /// The mail is known to have arrived.
    Delivered,
    /// It is in the delivery's story and changes nothing.
    Noted,
    /// It came before.
    Duplicate,
    /// It is about no mail of ours, or about another address than that was sent to.
    Unknown,
}

impl Fate {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Suppressed => "suppressed",
            Fate::Failed => "failed",
            Fate::Delivered => "delivered",
            Fate::Noted => "noted",
            Fate::Duplicate => "duplicate",
            Fate::Unknown => "unknown",
        }
    }
}

/// What a report came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The notification that it is about, where it is about one.
    pub notification: Option<String>,
    /// One for each of its recipients.
    pub fates: Vec<Fate>,
}

impl Engine {
    /// Takes a report that `principal` handed in. The same one again changes nothing.
    ///
    /// # Errors
    /// [`ReceiptError::Busy`] where the mail is only being sent, and where the store cannot be used.
    pub async fn take_bounce(&self, report: Report, principal: String) -> Result<Taken, ReceiptError> {
        let nothing = Taken { notification: None, fates: vec![Fate::Unknown; report.recipients.len()] };
        let Some(About { delivery, notification }) = report.about else { return Ok(nothing) };
        self.attempt_ends(Channel::Email, delivery).await?;
        let (shared, now) = (self.shared.clone(), self.now());
        let taken = self.shared.store.commit(move |txn| {
            let Some(accepted) = txn.notification(notification)? else { return Ok(nothing) };
            let mut fates = Vec::with_capacity(report.recipients.len());
            for recipient in &report.recipients {
                fates.push(take(txn, &shared, &accepted, recipient, &principal, now)?);
            }
            let notification = fates.iter().any(|fate| *fate != Fate::Unknown).then(|| accepted.id());
            Ok::<_, StoreError>(Taken { notification, fates })
        });
        Ok(taken.await?)
    }
}

fn take(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    accepted: &Accepted,
    recipient: &Recipient,
    principal: &str,
    now: Millis,
) -> Result<Fate, StoreError> {
    let user = &accepted.notification.user_id;
    let Some(address) = txn.user(user)?.and_then(|user| user.email) else { return Ok(Fate::Unknown) };
    let mut named = std::iter::once(&recipient.address).chain(&recipient.original);
    if !named.any(|named| normal(named) == normal(&address)) {
        return Ok(Fate::Unknown);
    }
    let detail = told(recipient);
    let events = txn.events(accepted.key)?;
    let of_mail = || events.iter().filter(|event| event.channel == Channel::Email);
    // What was never mailed cannot come back.
    if !of_mail().any(|event| event.attempt) {
        return Ok(Fate::Unknown);
    }
    if of_mail().any(|event| event.detail.as_deref() == Some(detail.as_str())) {
        return Ok(Fate::Duplicate);
    }
    let (id, action, status) = (accepted.id(), recipient.action.name(), &recipient.status);
    tracing::info!(notification = %id, action, status, "a mail was reported on");
    let place = (Channel::Email, accepted.key);
    match recipient.action {
        Action::Failed => {
            receipt::record(txn, shared, place, &Fact::Failed(detail.clone()), now)?;
            if !recipient.nobody {
                return Ok(Fate::Failed);
            }
            suppress(txn, user, address, &recipient.words, principal, now)?;
            Ok(Fate::Suppressed)
        }
        Action::Delivered => {
            receipt::record(txn, shared, place, &Fact::Delivered, now)?;
            Ok(Fate::Delivered)
        }
        Action::Delayed | Action::Relayed | Action::Expanded => {
            let is_sent = of_mail().next_back().is_some_and(|last| last.status == Status::Sent);
            if is_sent && events.len() < STORY_LEN_MAX {
                move_to(
                    txn,
                    shared,
                    accepted.key,
                    event(Channel::Email, now, Status::Sent, None, Some(detail)),
                )?;
            }
            Ok(Fate::Noted)
        }
    }
}

/// A line of the delivery's story.
fn told(recipient: &Recipient) -> String {
    match recipient.action {
        Action::Failed => format!("the mail came back: {}", recipient.words),
        Action::Delayed => format!("a mail server on the way reports a delay: {}", recipient.words),
        Action::Delivered => format!("a mail server on the way reports that it arrived: {}", recipient.words),
        Action::Relayed | Action::Expanded => {
            format!("a mail server on the way handed it on and reports no more: {}", recipient.words)
        }
    }
}

fn suppress(
    txn: &mut Txn<'_>,
    user: &str,
    address: String,
    said: &str,
    principal: &str,
    now: Millis,
) -> Result<(), StoreError> {
    let reason = Some(said.to_owned());
    let (channel, source) = (Channel::Email, Source::Bounce);
    let (kept, fresh) =
        txn.suppress(&Suppression { id: new_id(now), channel, address, reason, source, since: now })?;
    if fresh {
        let to = kept.reason.map(|reason| serde_json::Value::from(reason).to_string());
        let field = FieldChange { field: format!("suppressed.{channel}"), from: None, to };
        let origin = Origin { way: Way::Bounce, principal: principal.to_owned() };
        txn.push_change(user, &Change { at: now, origin, fields: vec![field] })?;
    }
    Ok(())
}
