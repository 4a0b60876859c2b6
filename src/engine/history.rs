//! What a person was sent before, as far as it changes what becomes of a new notification: a duplicate is not sent
//! again, a rate is kept, and a newer one takes the place of an older that has not left yet.

use std::sync::Arc;

use uuid::Uuid;

use super::Shared;
use super::erase::withdraw;
use crate::clock::Millis;
use crate::model::category::Category;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::digest::Throttle;
use crate::model::notification::{Accepted, Decision, Notification, Priority, Verdict};
use crate::store::outbox::Due;
use crate::store::recent::Word;
use crate::store::{Answer, Txn};

/// How long a `dedupe_key` is remembered.
const DEDUPE_MS: Millis = 24 * 60 * 60 * 1_000;

/// Changes `decisions` where an earlier notification stands against them, and notes this one, whose key is `key`. Answers
/// whether it is more than a duplicate.
pub(super) fn weigh(
    txn: &mut Txn<'_>,
    notification: &Notification,
    key: Uuid,
    category: Option<&Category>,
    decisions: &mut [Decision],
    now: Millis,
) -> Answer<bool> {
    if let Some(first) = duplicate_of(txn, notification, key, now)? {
        for decision in decisions.iter_mut().filter(|decision| !is_skipped(decision)) {
            let because = Some(format!("the same dedupe_key as {first}"));
            decision.verdict = Verdict::Skipped { reason: Reason::Duplicate, because };
        }
        return Ok(false);
    }
    if let Some(throttle) = category.and_then(|category| category.throttle.as_ref()) {
        keep_rate(txn, notification, throttle, decisions, now)?;
    }
    Ok(true)
}

fn is_skipped(decision: &Decision) -> bool {
    matches!(decision.verdict, Verdict::Skipped { .. })
}

fn duplicate_of(
    txn: &mut Txn<'_>,
    notification: &Notification,
    key: Uuid,
    now: Millis,
) -> Answer<Option<String>> {
    let Some(word) = notification.dedupe_key.as_deref().map(Word::Dedupe) else { return Ok(None) };
    let user = &notification.user_id;
    let first = txn.latest(user, word)?.filter(|(_, at)| now.saturating_sub(*at) < DEDUPE_MS);
    match first {
        Some((first, _)) => {
            let id = txn.notification(first)?.map_or_else(|| first.to_string(), |accepted| accepted.id());
            Ok(Some(id))
        }
        None => {
            txn.note_latest(user, word, key, now);
            Ok(None)
        }
    }
}

/// What would be over the rate goes to the inbox alone.
fn keep_rate(
    txn: &mut Txn<'_>,
    notification: &Notification,
    throttle: &Throttle,
    decisions: &mut [Decision],
    now: Millis,
) -> Answer<()> {
    let leaves = |decision: &Decision| decision.channel != Channel::InApp && !is_skipped(decision);
    if notification.priority == Priority::Critical || !decisions.iter().any(leaves) {
        return Ok(());
    }
    let value = throttle.key.as_deref().and_then(|field| field_of(notification, field)).unwrap_or_default();
    let span = Millis::from(throttle.per_seconds) * 1_000;
    let so_far = txn.count(&notification.user_id, Word::Rate(&notification.category, &value), span, now)?;
    if so_far < throttle.max {
        return Ok(());
    }
    for decision in decisions.iter_mut().filter(|decision| leaves(decision)) {
        let because =
            format!("more than {} of {} in {} s", throttle.max, notification.category, throttle.per_seconds);
        decision.verdict = Verdict::Skipped { reason: Reason::Throttled, because: Some(because) };
    }
    Ok(())
}

/// A field of a notification by the name that a policy gives it, or one of the values that it was rendered with.
fn field_of(notification: &Notification, field: &str) -> Option<String> {
    match field {
        "type" => Some(notification.kind.clone()),
        "priority" => Some(notification.priority.name().to_owned()),
        "dedupe_key" => notification.dedupe_key.clone(),
        "collapse_key" => notification.collapse_key.clone(),
        "digest_key" => notification.digest_key.clone(),
        "workflow_id" => notification.workflow_id.clone(),
        variable => {
            let used = notification.template.as_ref()?;
            let values: serde_json::Value = serde_json::from_str(&used.variables).ok()?;
            values.get(variable).map(ToString::to_string)
        }
    }
}

/// Lets the notification of `key` take the place of an earlier one with its `collapse_key`, as far as that has not left.
pub(super) fn supersede(
    shared: &Arc<Shared>,
    txn: &mut Txn<'_>,
    notification: &Notification,
    key: Uuid,
    now: Millis,
) -> Answer<()> {
    let earlier = superseded_by(txn, notification)?;
    if let Some(word) = notification.collapse_key.as_deref().map(Word::Collapse) {
        txn.note_latest(&notification.user_id, word, key, now);
    }
    let Some((earlier, due)) = earlier else { return Ok(()) };
    let by = format!("by {}", notification.given_id.clone().unwrap_or_else(|| key.to_string()));
    withdraw(shared, txn, earlier.key, due, (Status::Skipped, Reason::Superseded, Some(by)), now)
}

/// The earlier notification whose place a new one takes, with what of it has not left.
pub(super) fn superseded_by(
    txn: &Txn<'_>,
    notification: &Notification,
) -> Answer<Option<(Accepted, Vec<Due>)>> {
    let Some(word) = notification.collapse_key.as_deref().map(Word::Collapse) else { return Ok(None) };
    let Some((earlier, _)) = txn.latest(&notification.user_id, word)? else { return Ok(None) };
    let Some(accepted) = txn.notification(earlier)? else { return Ok(None) };
    let due = txn.due_of(&accepted)?;
    Ok(Some((accepted, due)))
}
