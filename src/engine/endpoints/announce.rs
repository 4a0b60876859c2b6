//! Writing down what endpoints are to be told, in the commit that changes what it tells of. Where there is no endpoint
//! it costs a look at an empty list.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Millis;
use crate::engine::Shared;
use crate::engine::report::waiting_for;
use crate::engine::tally;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::endpoint::{DisabledBecause, Endpoint, EndpointEvent, EventKind};
use crate::model::ids::new_id;
use crate::model::notification::{Accepted, Verdict};
use crate::store::attempts::Event;
use crate::store::{StoreError, Txn};

/// Something to tell.
#[derive(Clone, Copy)]
struct News {
    kind: EventKind,
    channel: Option<Channel>,
    status: Option<Status>,
    reason: Option<Reason>,
    at: Millis,
    not_before: Option<Millis>,
}

/// Tells that a notification was accepted, and what was decided for it.
pub(in crate::engine) fn acceptance(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    accepted: &Accepted,
) -> Result<(), StoreError> {
    if nobody_listens(shared) {
        return Ok(());
    }
    let at = accepted.accepted_at;
    let blank =
        News { kind: EventKind::Accepted, channel: None, status: None, reason: None, at, not_before: None };
    tell(txn, shared, accepted, blank)?;
    for decision in &accepted.decisions {
        let (status, reason, not_before) = match (&decision.verdict, decision.channel) {
            (Verdict::Send, Channel::InApp) => (Status::Delivered, None, None),
            (Verdict::Send, _) => continue,
            (Verdict::Deferred { until, reason, .. }, _) => {
                (waiting_for(*reason), Some(*reason), Some(*until))
            }
            (Verdict::Skipped { reason, .. }, _) => (Status::Skipped, Some(*reason), None),
        };
        let Some(kind) = EventKind::of(status) else { continue };
        let channel = Some(decision.channel);
        tell(txn, shared, accepted, News { kind, channel, status: Some(status), reason, at, not_before })?;
    }
    Ok(())
}

/// Writes what happened to a delivery of the notification `key`, counts it, and notes what endpoints are to be told of it.
/// Nothing is left of a notification that was erased meanwhile.
pub(in crate::engine) fn record(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    key: Uuid,
    event: &Event,
) -> Result<(), StoreError> {
    let Some((accepted, before)) = tally::context(txn, key)? else { return Ok(()) };
    tally::happening(txn, &accepted, &before, event);
    txn.push_event(key, before.len(), event);
    let last = before.iter().rfind(|earlier| earlier.channel == event.channel);
    // A line of the story on the way: it was sent, and that is known.
    let is_news =
        event.attempt || event.status != Status::Sent || last.is_none_or(|last| last.status != Status::Sent);
    let Some(kind) = EventKind::of(event.status).filter(|_| is_news && !nobody_listens(shared)) else {
        return Ok(());
    };
    let news = News {
        kind,
        channel: Some(event.channel),
        status: Some(event.status),
        reason: event.reason,
        at: event.at,
        not_before: event.not_before,
    };
    tell(txn, shared, &accepted, news)
}

/// Tells that a person read a notification.
pub(in crate::engine) fn reading(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    accepted: &Accepted,
    at: Millis,
) -> Result<(), StoreError> {
    let news = News {
        kind: EventKind::Read,
        channel: Some(Channel::InApp),
        status: None,
        reason: None,
        at,
        not_before: None,
    };
    tell(txn, shared, accepted, news)
}

/// Tells the operator's endpoints that another is called no more.
pub(super) fn disabling(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    disabled: Uuid,
    because: DisabledBecause,
    at: Millis,
) -> Result<(), StoreError> {
    let listed = shared.endpoints.listed.load();
    let reason = match because {
        DisabledBecause::Gone => Some(Reason::SubscriptionGone),
        DisabledBecause::Failing => Some(Reason::AttemptsExhausted),
        DisabledBecause::Operator => None,
    };
    let kind = EventKind::EndpointDisabled;
    let news = News { kind, channel: None, status: None, reason, at, not_before: None };
    for endpoint in listed.of_all.iter().filter(|endpoint| endpoint.id != disabled) {
        tell_one(txn, shared, endpoint, disabled, news)?;
    }
    Ok(())
}

fn nobody_listens(shared: &Shared) -> bool {
    shared.endpoints.listed.load().by_id.is_empty()
}

fn tell(txn: &mut Txn<'_>, shared: &Arc<Shared>, accepted: &Accepted, news: News) -> Result<(), StoreError> {
    if nobody_listens(shared) {
        return Ok(());
    }
    let listed = shared.endpoints.listed.load();
    for endpoint in listed.hearing_of(&accepted.notification.user_id) {
        tell_one(txn, shared, endpoint, accepted.key, news)?;
    }
    Ok(())
}

/// Tells one endpoint, where it wants to know. What belongs to one `subject` is told in its order.
fn tell_one(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    endpoint: &Endpoint,
    subject: Uuid,
    news: News,
) -> Result<(), StoreError> {
    if endpoint.disabled.is_some() || !endpoint.events.holds(news.kind) {
        return Ok(());
    }
    let event = EndpointEvent {
        id: new_id(news.at),
        endpoint: endpoint.id,
        notification: subject,
        kind: news.kind,
        channel: news.channel,
        status: news.status,
        reason: news.reason,
        at: news.at,
        not_before: news.not_before,
        attempts: 0,
        due: news.at,
    };
    txn.put_endpoint_event(&event)?;
    let shared = shared.clone();
    txn.after(move || shared.endpoints.agenda.note(event.endpoint, event.due));
    Ok(())
}
