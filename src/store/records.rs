//! The stored shapes. Fields may only change by a new version of the record: see [`super::codec`].
//!
//! bincode needs plain shapes: no skipped, flattened or untagged fields, and free-form JSON as text.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::{CodecError, Record, decode_body};
use super::keys;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::Reason;
use crate::model::notification::{Accepted, Action, Decision, Notification, TemplateUse, Verdict};

/// A notification and what was decided for it, written once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NotificationV2<'a> {
    given_id: Option<Cow<'a, str>>,
    user_id: Cow<'a, str>,
    kind: Cow<'a, str>,
    title: Cow<'a, str>,
    message: Cow<'a, str>,
    priority: u8,
    category: Cow<'a, str>,
    timestamp: Option<Millis>,
    accepted_at: Millis,
    action: Option<(Cow<'a, str>, Cow<'a, str>)>,
    metadata: Option<Cow<'a, str>>,
    channels: Option<Cow<'a, [Channel]>>,
    send_at: Option<Millis>,
    expires_at: Option<Millis>,
    offset: u64,
    decisions: Vec<(Channel, VerdictV2)>,
    quiet_hours_overridden: bool,
    /// What few notifications have, so that the others pay one byte for it.
    extras: Option<ExtrasV2<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ExtrasV2<'a> {
    dedupe_key: Option<Cow<'a, str>>,
    collapse_key: Option<Cow<'a, str>>,
    digest_key: Option<Cow<'a, str>>,
    template: Option<TemplateV2<'a>>,
    content: Option<[u8; 16]>,
    batch: Option<[u8; 16]>,
    workflow_id: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TemplateV2<'a> {
    name: Cow<'a, str>,
    version: u32,
    variables: Cow<'a, str>,
    locale: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
enum VerdictV2 {
    Send,
    Deferred { until: Millis, reason: Reason, because: String },
    Skipped { reason: Reason, because: Option<String> },
}

impl Record for NotificationV2<'_> {
    const VERSION: u8 = 2;
    const NAME: &'static str = "notification";

    fn from_older(version: u8, body: &[u8]) -> Option<Result<Self, CodecError>> {
        (version == 1).then(|| decode_body::<NotificationV1>(Self::NAME, body).map(NotificationV2::from))
    }
}

impl<'a> From<&'a Accepted> for NotificationV2<'a> {
    fn from(accepted: &'a Accepted) -> NotificationV2<'a> {
        let n = &accepted.notification;
        let text = |text: &'a String| Cow::Borrowed(text.as_str());
        // What it shares with others is stored once, beside them.
        let own = n.content.is_none();
        NotificationV2 {
            given_id: n.given_id.as_ref().map(text),
            user_id: text(&n.user_id),
            kind: text(&n.kind),
            title: if own { text(&n.title) } else { Cow::Borrowed("") },
            message: if own { text(&n.message) } else { Cow::Borrowed("") },
            priority: keys::priority_byte(n.priority),
            category: text(&n.category),
            timestamp: n.timestamp,
            accepted_at: accepted.accepted_at,
            action: n.action.as_ref().filter(|_| own).map(|action| (text(&action.label), text(&action.url))),
            metadata: n.metadata.as_ref().filter(|_| own).map(text),
            channels: n.channels.as_deref().map(Cow::Borrowed),
            send_at: n.send_at,
            expires_at: n.expires_at,
            offset: accepted.offset,
            decisions: accepted.decisions.iter().map(|d| (d.channel, VerdictV2::from(&d.verdict))).collect(),
            quiet_hours_overridden: accepted.quiet_hours_overridden,
            extras: ExtrasV2::of(n),
        }
    }
}

impl<'a> ExtrasV2<'a> {
    fn of(n: &'a Notification) -> Option<ExtrasV2<'a>> {
        let text = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        let extras = ExtrasV2 {
            dedupe_key: text(&n.dedupe_key),
            collapse_key: text(&n.collapse_key),
            digest_key: text(&n.digest_key),
            template: n.template.as_ref().filter(|_| n.content.is_none()).map(|used| TemplateV2 {
                name: Cow::Borrowed(&used.name),
                version: used.version,
                variables: Cow::Borrowed(&used.variables),
                locale: text(&used.locale),
            }),
            content: n.content.map(Uuid::into_bytes),
            batch: n.batch.map(Uuid::into_bytes),
            workflow_id: text(&n.workflow_id),
        };
        let any = extras.dedupe_key.is_some()
            || extras.collapse_key.is_some()
            || extras.digest_key.is_some()
            || extras.template.is_some()
            || extras.content.is_some()
            || extras.batch.is_some()
            || extras.workflow_id.is_some();
        any.then_some(extras)
    }

    fn into_notification(self, n: &mut Notification) {
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        n.dedupe_key = text(self.dedupe_key);
        n.collapse_key = text(self.collapse_key);
        n.digest_key = text(self.digest_key);
        n.template = self.template.map(|used| TemplateUse {
            name: used.name.into_owned(),
            version: used.version,
            variables: used.variables.into_owned(),
            locale: text(used.locale),
        });
        n.content = self.content.map(Uuid::from_bytes);
        n.batch = self.batch.map(Uuid::from_bytes);
        n.workflow_id = text(self.workflow_id);
    }
}

impl NotificationV2<'_> {
    pub(super) fn into_accepted(self, key: Uuid) -> Result<Accepted, CodecError> {
        let priority =
            keys::priority_of(self.priority).ok_or(CodecError::Incomplete { name: NotificationV2::NAME })?;
        let mut notification = Notification {
            given_id: self.given_id.map(Cow::into_owned),
            user_id: self.user_id.into_owned(),
            kind: self.kind.into_owned(),
            title: self.title.into_owned(),
            message: self.message.into_owned(),
            priority,
            category: self.category.into_owned(),
            timestamp: self.timestamp,
            action: self
                .action
                .map(|(label, url)| Action { label: label.into_owned(), url: url.into_owned() }),
            metadata: self.metadata.map(Cow::into_owned),
            channels: self.channels.map(Cow::into_owned),
            send_at: self.send_at,
            expires_at: self.expires_at,
            dedupe_key: None,
            collapse_key: None,
            digest_key: None,
            template: None,
            content: None,
            batch: None,
            workflow_id: None,
        };
        if let Some(extras) = self.extras {
            extras.into_notification(&mut notification);
        }
        let decided =
            |(channel, verdict): (Channel, VerdictV2)| Decision { channel, verdict: verdict.into() };
        Ok(Accepted {
            key,
            notification,
            accepted_at: self.accepted_at,
            offset: self.offset,
            decisions: self.decisions.into_iter().map(decided).collect(),
            quiet_hours_overridden: self.quiet_hours_overridden,
        })
    }
}

impl From<&Verdict> for VerdictV2 {
    fn from(verdict: &Verdict) -> VerdictV2 {
        match verdict.clone() {
            Verdict::Send => VerdictV2::Send,
            Verdict::Deferred { until, reason, because } => VerdictV2::Deferred { until, reason, because },
            Verdict::Skipped { reason, because } => VerdictV2::Skipped { reason, because },
        }
    }
}

impl From<VerdictV2> for Verdict {
    fn from(verdict: VerdictV2) -> Verdict {
        match verdict {
            VerdictV2::Send => Verdict::Send,
            VerdictV2::Deferred { until, reason, because } => Verdict::Deferred { until, reason, because },
            VerdictV2::Skipped { reason, because } => Verdict::Skipped { reason, because },
        }
    }
}

/// The notification as format 1 wrote it.
#[derive(Debug, Serialize, Deserialize)]
struct NotificationV1<'a> {
    given_id: Option<Cow<'a, str>>,
    user_id: Cow<'a, str>,
    kind: Cow<'a, str>,
    title: Cow<'a, str>,
    message: Cow<'a, str>,
    priority: u8,
    category: Cow<'a, str>,
    timestamp: Option<Millis>,
    accepted_at: Millis,
    action: Option<(Cow<'a, str>, Cow<'a, str>)>,
    metadata: Option<Cow<'a, str>>,
    channels: Option<Cow<'a, [Channel]>>,
    send_at: Option<Millis>,
    expires_at: Option<Millis>,
    offset: u64,
    decisions: Vec<(Channel, VerdictV1)>,
    quiet_hours_overridden: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum VerdictV1 {
    Send,
    Deferred { until: Millis, reason: Reason, because: String },
    Skipped { reason: Reason },
}

impl<'a> From<NotificationV1<'a>> for NotificationV2<'a> {
    fn from(old: NotificationV1<'a>) -> NotificationV2<'a> {
        let verdict = |verdict| match verdict {
            VerdictV1::Send => VerdictV2::Send,
            VerdictV1::Deferred { until, reason, because } => VerdictV2::Deferred { until, reason, because },
            VerdictV1::Skipped { reason } => VerdictV2::Skipped { reason, because: None },
        };
        NotificationV2 {
            given_id: old.given_id,
            user_id: old.user_id,
            kind: old.kind,
            title: old.title,
            message: old.message,
            priority: old.priority,
            category: old.category,
            timestamp: old.timestamp,
            accepted_at: old.accepted_at,
            action: old.action,
            metadata: old.metadata,
            channels: old.channels,
            send_at: old.send_at,
            expires_at: old.expires_at,
            offset: old.offset,
            decisions: old.decisions.into_iter().map(|(channel, v)| (channel, verdict(v))).collect(),
            quiet_hours_overridden: old.quiet_hours_overridden,
            extras: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;
    use crate::model::notification::Priority;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ascii"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
    }

    fn accepted() -> Accepted {
        Accepted {
            key: Uuid::from_u128(1),
            notification: Notification {
                given_id: Some("n-1".into()),
                user_id: "anna".into(),
                kind: "system_alert".into(),
                title: "Disk".into(),
                message: "full".into(),
                priority: Priority::High,
                category: "system".into(),
                timestamp: Some(1_000),
                action: Some(Action { label: "Open".into(), url: "/x".into() }),
                metadata: Some("{}".into()),
                channels: Some(vec![Channel::Email, Channel::Sms]),
                send_at: None,
                expires_at: Some(9_000),
                dedupe_key: Some("disk".into()),
                collapse_key: None,
                digest_key: Some("hosts".into()),
                template: Some(TemplateUse {
                    name: "disk_full".into(),
                    version: 3,
                    variables: "{}".into(),
                    locale: Some("de".into()),
                }),
                content: None,
                batch: Some(Uuid::from_u128(9)),
                workflow_id: None,
            },
            accepted_at: 2_000,
            offset: 7,
            decisions: vec![
                Decision { channel: Channel::Email, verdict: Verdict::Send },
                Decision {
                    channel: Channel::InApp,
                    verdict: Verdict::Deferred {
                        until: 3_000,
                        reason: Reason::QuietHours,
                        because: "night".into(),
                    },
                },
                Decision {
                    channel: Channel::Sms,
                    verdict: Verdict::Skipped { reason: Reason::AttemptsExhausted, because: None },
                },
            ],
            quiet_hours_overridden: true,
        }
    }

    #[test]
    fn a_notification_reads_back_as_it_was_written() {
        let stored = encode(&NotificationV2::from(&accepted()));
        let read = decode::<NotificationV2>(&stored).expect("our own bytes");
        assert_eq!(read.into_accepted(Uuid::from_u128(1)).expect("a known priority"), accepted());
    }

    /// These bytes are on people's disks. A test that fails here wants a new version of the record, not new bytes.
    #[test]
    fn each_record_keeps_its_bytes() {
        assert_eq!(
            hex(&encode(&NotificationV2::from(&accepted()))),
            include_str!("golden/notification.v2.hex").trim()
        );
    }

    #[test]
    fn a_notification_of_the_first_version_is_still_read() {
        let stored = bytes(include_str!("golden/notification.v1.hex").trim());
        let read = decode::<NotificationV2>(&stored).expect("an older version of ours");
        let read = read.into_accepted(Uuid::from_u128(1)).expect("a known priority");
        let mut expected = accepted();
        let n = &mut expected.notification;
        (n.dedupe_key, n.digest_key, n.template, n.batch) = (None, None, None, None);
        assert_eq!(read, expected);
    }

    #[test]
    fn a_record_of_another_version_or_with_damage_is_reported_and_not_guessed_at() {
        let mut stored = encode(&NotificationV2::from(&accepted()));
        stored[0] = 9;
        let error = decode::<NotificationV2>(&stored).map(|_| ()).expect_err("version 9 is unknown");
        assert!(error.to_string().contains("version 9"), "{error}");
        assert!(decode::<NotificationV2>(&stored[..1]).is_err() && decode::<NotificationV2>(&[]).is_err());
        stored[0] = 1;
        stored.truncate(stored.len() / 2);
        assert!(decode::<NotificationV2>(&stored).is_err());
    }
}
