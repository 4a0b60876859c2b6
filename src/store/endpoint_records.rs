//! The stored shapes of endpoints, their events and the calls to them. Frozen: see [`super::codec`].

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::endpoint::{
    DisabledBecause, Endpoint, EndpointAttempt, EndpointEvent, EventKind, Interest,
};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndpointV1 {
    url: String,
    /// None for every kind.
    events: Option<Vec<EventKind>>,
    user_id: Option<String>,
    description: Option<String>,
    secret: Vec<u8>,
    previous: Option<(Vec<u8>, Millis)>,
    disabled: Option<(Millis, DisabledBecause)>,
    failing_since: Option<Millis>,
    created_at: Millis,
    updated_at: Millis,
}

impl Record for EndpointV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "endpoint";
}

impl From<&Endpoint> for EndpointV1 {
    fn from(endpoint: &Endpoint) -> EndpointV1 {
        let endpoint = endpoint.clone();
        EndpointV1 {
            url: endpoint.url,
            events: match endpoint.events {
                Interest::All => None,
                Interest::Some(kinds) => Some(kinds),
            },
            user_id: endpoint.user_id,
            description: endpoint.description,
            secret: endpoint.secret,
            previous: endpoint.previous,
            disabled: endpoint.disabled,
            failing_since: endpoint.failing_since,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl EndpointV1 {
    pub(super) fn into_endpoint(self, id: Uuid) -> Endpoint {
        Endpoint {
            id,
            url: self.url,
            events: self.events.map_or(Interest::All, Interest::Some),
            user_id: self.user_id,
            description: self.description,
            secret: self.secret,
            previous: self.previous,
            disabled: self.disabled,
            failing_since: self.failing_since,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// An event, whose ids are in its key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndpointEventV1 {
    kind: EventKind,
    channel: Option<Channel>,
    status: Option<Status>,
    reason: Option<Reason>,
    at: Millis,
    not_before: Option<Millis>,
    attempts: u32,
    due: Millis,
}

impl Record for EndpointEventV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "endpoint event";
}

impl From<&EndpointEvent> for EndpointEventV1 {
    fn from(event: &EndpointEvent) -> EndpointEventV1 {
        EndpointEventV1 {
            kind: event.kind,
            channel: event.channel,
            status: event.status,
            reason: event.reason,
            at: event.at,
            not_before: event.not_before,
            attempts: event.attempts,
            due: event.due,
        }
    }
}

impl EndpointEventV1 {
    pub(super) fn into_event(self, endpoint: Uuid, notification: Uuid, id: Uuid) -> EndpointEvent {
        EndpointEvent {
            id,
            endpoint,
            notification,
            kind: self.kind,
            channel: self.channel,
            status: self.status,
            reason: self.reason,
            at: self.at,
            not_before: self.not_before,
            attempts: self.attempts,
            due: self.due,
        }
    }
}

/// The line of the due index has everything in its key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndpointDueV1;

impl Record for EndpointDueV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "endpoint due";
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndpointAttemptV1 {
    webhook_id: String,
    kind: String,
    about: Option<(String, String)>,
    at: Millis,
    status: Option<u16>,
    latency_ms: u64,
    answer: String,
    error: Option<String>,
    next_at: Option<Millis>,
}

impl Record for EndpointAttemptV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "endpoint attempt";
}

impl From<&EndpointAttempt> for EndpointAttemptV1 {
    fn from(attempt: &EndpointAttempt) -> EndpointAttemptV1 {
        let attempt = attempt.clone();
        EndpointAttemptV1 {
            webhook_id: attempt.webhook_id,
            kind: attempt.kind,
            about: attempt.about,
            at: attempt.at,
            status: attempt.status,
            latency_ms: attempt.latency_ms,
            answer: attempt.answer,
            error: attempt.error,
            next_at: attempt.next_at,
        }
    }
}

impl EndpointAttemptV1 {
    pub(super) fn belongs_to(&self, user: &str) -> bool {
        self.about.as_ref().is_some_and(|(_, of)| of == user)
    }

    pub(super) fn into_attempt(self, endpoint: Uuid, id: Uuid) -> EndpointAttempt {
        EndpointAttempt {
            id,
            endpoint,
            webhook_id: self.webhook_id,
            kind: self.kind,
            about: self.about,
            at: self.at,
            status: self.status,
            latency_ms: self.latency_ms,
            answer: self.answer,
            error: self.error,
            next_at: self.next_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            id: Uuid::from_u128(1),
            url: "https://a.example/in".into(),
            events: Interest::Some(vec![EventKind::Accepted, EventKind::Canceled]),
            user_id: Some("anna".into()),
            description: None,
            secret: vec![1, 2, 3],
            previous: Some((vec![4], 9)),
            disabled: Some((7, DisabledBecause::Failing)),
            failing_since: Some(6),
            created_at: 1,
            updated_at: 2,
        }
    }

    fn event() -> EndpointEvent {
        EndpointEvent {
            id: Uuid::from_u128(3),
            endpoint: Uuid::from_u128(1),
            notification: Uuid::from_u128(2),
            kind: EventKind::Skipped,
            channel: Some(Channel::Sms),
            status: Some(Status::Expired),
            reason: Some(Reason::AttemptsExhausted),
            at: 5,
            not_before: None,
            attempts: 1,
            due: 6,
        }
    }

    fn attempt() -> EndpointAttempt {
        EndpointAttempt {
            id: Uuid::from_u128(4),
            endpoint: Uuid::from_u128(1),
            webhook_id: "msg_3".into(),
            kind: "notification.sent".into(),
            about: Some(("n-1".into(), "anna".into())),
            at: 5,
            status: Some(503),
            latency_ms: 12,
            answer: "busy".into(),
            error: None,
            next_at: Some(8),
        }
    }

    #[test]
    fn each_record_reads_back_as_it_was_written() {
        let read: EndpointV1 = decode(&encode(&EndpointV1::from(&endpoint()))).expect("our own bytes");
        assert_eq!(read.into_endpoint(Uuid::from_u128(1)), endpoint());
        let read: EndpointEventV1 = decode(&encode(&EndpointEventV1::from(&event()))).expect("our own bytes");
        assert_eq!(read.into_event(Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)), event());
        let read: EndpointAttemptV1 =
            decode(&encode(&EndpointAttemptV1::from(&attempt()))).expect("our own bytes");
        assert_eq!(read.into_attempt(Uuid::from_u128(1), Uuid::from_u128(4)), attempt());
    }

    /// These bytes are on people's disks. A test that fails here wants a new version of the record, not new bytes.
    #[test]
    fn version_one_of_each_record_keeps_its_bytes() {
        assert_eq!(
            hex(&encode(&EndpointV1::from(&endpoint()))),
            "011468747470733a2f2f612e6578616d706c652f696e010200070104616e6e61000301020301010412010e02010c0204"
        );
        assert_eq!(hex(&encode(&EndpointEventV1::from(&event()))), "01050103010901160a00010c");
        assert_eq!(
            hex(&encode(&EndpointAttemptV1::from(&attempt()))),
            "01056d73675f33116e6f74696669636174696f6e2e73656e7401036e2d3104616e6e610a01fbf7010c0462757379000110"
        );
        assert_eq!(hex(&encode(&EndpointDueV1)), "01");
    }
}
