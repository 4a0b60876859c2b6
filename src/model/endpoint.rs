//! Somebody else's address that is told of what happens here: an outbound webhook.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};

/// What happened to a notification, as an endpoint is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// It was accepted.
    Accepted,
    /// A channel holds it until an instant that is known.
    Deferred,
    /// A provider took it.
    Sent,
    /// It is known to have arrived.
    Delivered,
    /// A channel gave it up, or was refused for good.
    Failed,
    /// A channel leaves it out, for a reason that is known.
    Skipped,
    /// The person read it.
    Read,
    /// It was withdrawn before it left.
    Canceled,
    /// Not of a notification: another endpoint is called no more, since it was gone or failed for days.
    EndpointDisabled,
}

impl EventKind {
    /// Every kind, in the order of a notification's life.
    pub const ALL: [EventKind; 9] = [
        EventKind::Accepted,
        EventKind::Deferred,
        EventKind::Sent,
        EventKind::Delivered,
        EventKind::Failed,
        EventKind::Skipped,
        EventKind::Read,
        EventKind::Canceled,
        EventKind::EndpointDisabled,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Accepted => "notification.accepted",
            EventKind::Deferred => "notification.deferred",
            EventKind::Sent => "notification.sent",
            EventKind::Delivered => "notification.delivered",
            EventKind::Failed => "notification.failed",
            EventKind::Skipped => "notification.skipped",
            EventKind::Read => "notification.read",
            EventKind::Canceled => "notification.canceled",
            EventKind::EndpointDisabled => "endpoint.disabled",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What is told when a delivery comes to stand at `status`; nothing where it is merely on its way.
    pub const fn of(status: Status) -> Option<EventKind> {
        match status {
            Status::Pending | Status::Retrying => None,
            Status::Deferred | Status::Batched => Some(EventKind::Deferred),
            Status::Sent => Some(EventKind::Sent),
            Status::Delivered => Some(EventKind::Delivered),
            Status::Failed => Some(EventKind::Failed),
            Status::Skipped | Status::Expired => Some(EventKind::Skipped),
            Status::Canceled => Some(EventKind::Canceled),
        }
    }
}

/// Which events an endpoint is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Every kind, those that come later included.
    All,
    /// These.
    Some(Vec<EventKind>),
}

impl Interest {
    /// Whether `kind` is told.
    pub fn holds(&self, kind: EventKind) -> bool {
        match self {
            Interest::All => true,
            Interest::Some(kinds) => kinds.contains(&kind),
        }
    }
}

/// Why an endpoint is called no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DisabledBecause {
    /// Somebody with the right to do so said so.
    Operator,
    /// It answered 410: it wants nothing more.
    Gone,
    /// It has failed for days on end.
    Failing,
}

impl DisabledBecause {
    /// The name on the wire and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            DisabledBecause::Operator => "operator",
            DisabledBecause::Gone => "gone",
            DisabledBecause::Failing => "failing",
        }
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// Where it is.
    pub url: String,
    /// What it is told of.
    pub events: Interest,
    /// The person that it belongs to: it is told of their notifications alone, and the `webhook` channel leads to it.
    pub user_id: Option<String>,
    /// What its maker says of it.
    pub description: Option<String>,
    /// The secret that signs, sealed.
    pub secret: Vec<u8>,
    /// The secret before, sealed, and until when it signs as well.
    pub previous: Option<(Vec<u8>, Millis)>,
    /// Since when it is called no more, and why.
    pub disabled: Option<(Millis, DisabledBecause)>,
    /// Since when every call has failed.
    pub failing_since: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
}

/// One event on its way to one endpoint. It refers to the notification and copies nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointEvent {
    /// Its id, a UUIDv7: the same over every attempt.
    pub id: Uuid,
    /// Where it goes.
    pub endpoint: Uuid,
    /// The notification that it tells of; or the endpoint, where it tells of one.
    pub notification: Uuid,
    /// What happened.
    pub kind: EventKind,
    /// On which channel, where it concerns one.
    pub channel: Option<Channel>,
    /// Where the delivery stands since.
    pub status: Option<Status>,
    /// Why.
    pub reason: Option<Reason>,
    /// When it happened.
    pub at: Millis,
    /// When the delivery goes on, where that is known.
    pub not_before: Option<Millis>,
    /// Attempts made so far.
    pub attempts: u32,
    /// When the next attempt is due.
    pub due: Millis,
}

/// One call to an endpoint, for whoever wonders what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAttempt {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// Which endpoint was called.
    pub endpoint: Uuid,
    /// The event's `webhook-id`.
    pub webhook_id: String,
    /// The event's name on the wire.
    pub kind: String,
    /// The id of the notification that it told of, and whose that is.
    pub about: Option<(String, String)>,
    /// When.
    pub at: Millis,
    /// The answer's status code; none where there was no answer.
    pub status: Option<u16>,
    /// How long it took.
    pub latency_ms: u64,
    /// The beginning of the answer's body.
    pub answer: String,
    /// What went wrong.
    pub error: Option<String>,
    /// When it is tried again, if it is.
    pub next_at: Option<Millis>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::from_name("notification.pending"), None);
    }

    #[test]
    fn whatever_ends_a_delivery_is_told() {
        for status in Status::ALL {
            assert_eq!(
                EventKind::of(status).is_some(),
                status.is_final() || EventKind::of(status) == Some(EventKind::Deferred)
            );
        }
    }

    #[test]
    fn an_endpoint_for_some_events_is_told_of_those_and_one_for_all_of_every_one() {
        let some = Interest::Some(vec![EventKind::Sent]);
        assert!(some.holds(EventKind::Sent) && !some.holds(EventKind::Failed));
        assert!(EventKind::ALL.into_iter().all(|kind| Interest::All.holds(kind)));
    }
}
