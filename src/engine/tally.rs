//! What is counted, in the commit that it happens in: over the notifications' own timestamps.

use super::report::waiting_for;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::model::notification::{Accepted, Verdict};
use crate::store::attempts::Event;
use crate::store::rollups::Cell;
use crate::store::{StoreError, Txn};

/// Counts a notification and what was decided for it.
pub(super) fn acceptance(txn: &mut Txn<'_>, accepted: &Accepted) {
    let (n, at) = (&accepted.notification, accepted.timestamp());
    txn.tally(at, Cell::accepted(&n.category, n.priority), 1);
    for decision in &accepted.decisions {
        let channel = decision.channel;
        let (status, reason) = match &decision.verdict {
            Verdict::Send if channel == Channel::InApp => {
                txn.tally(at, Cell::took(channel, 0), 1);
                (Status::Delivered, None)
            }
            Verdict::Send => continue,
            Verdict::Deferred { reason, .. } => (waiting_for(*reason), Some(*reason)),
            Verdict::Skipped { reason, .. } => (Status::Skipped, Some(*reason)),
        };
        txn.tally(at, Cell::reached(channel, status, reason), 1);
    }
}

/// Counts what happened to a delivery; `before` is what had happened to the notification until then.
pub(super) fn happening(txn: &mut Txn<'_>, accepted: &Accepted, before: &[Event], event: &Event) {
    let (channel, at) = (event.channel, accepted.timestamp());
    let mut earlier = before.iter().rev().filter(|earlier| earlier.channel == channel);
    let last = earlier.next();
    txn.tally(at, Cell::reached(channel, event.status, event.reason), 1);
    // Told later whether it arrived: it is one delivery all the same.
    if let Some(sent) = last.filter(|last| last.status == Status::Sent && !event.attempt) {
        txn.tally(at, Cell::reached(channel, Status::Sent, sent.reason), -1);
    }
    if event.attempt && matches!(event.status, Status::Sent | Status::Delivered) {
        txn.tally(at, Cell::took(channel, event.at - due_at(accepted, channel, before)), 1);
    }
}

/// When a delivery was first due: retries are part of what it took, what held it is not.
pub(super) fn due_at(accepted: &Accepted, channel: Channel, before: &[Event]) -> Millis {
    let held = |event: &&Event| matches!(event.status, Status::Deferred | Status::Batched | Status::Pending);
    let moved = before.iter().rev().filter(|event| event.channel == channel).find(held);
    let planned = match accepted.decision(channel).map(|decision| &decision.verdict) {
        Some(Verdict::Deferred { until, .. }) => *until,
        Some(Verdict::Send | Verdict::Skipped { .. }) | None => accepted.accepted_at,
    };
    moved.and_then(|event| event.not_before).unwrap_or(planned)
}

/// What had happened before an event that is about to be written, and the notification that it is of.
pub(super) fn context(txn: &Txn<'_>, key: uuid::Uuid) -> Result<Option<(Accepted, Vec<Event>)>, StoreError> {
    let Some(accepted) = txn.notification(key)? else { return Ok(None) };
    Ok(Some((accepted, txn.events(key)?)))
}
