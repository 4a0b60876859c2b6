//! Reading everything that is stored, to know that all of it can be read.

use std::collections::BTreeMap;

use super::codec::Record;
use super::digests::DigestV1;
use super::endpoint_records::{EndpointAttemptV1, EndpointDueV1, EndpointEventV1, EndpointV1};
use super::error::StoreError;
use super::outbox::DueV2;
use super::progress::DoneV1;
use super::records::NotificationV2;
use super::user_record::UserV2;
use super::view::{Read, View};
use super::{
    attempts, batches, captures, categories, history, holds, hooks, idempotency, inbox, keyring, keys,
    notifications, participants, push_subscriptions, recent, rollups, schedules, seconds, sends,
    suppressions, templates, topics, uploads,
};
use crate::store::Store;

/// Records that cannot be read that are described one by one; how many there are is counted beyond it.
const DESCRIBED_MAX: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many records there are of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Records of kinds that this program does not know.
    pub unknown: u64,
    /// How many cannot be read.
    pub damaged: u64,
    /// The first of those: where they are, and what is wrong.
    pub described: Vec<String>,
}

impl Findings {
    /// How many records were looked at.
    pub fn records(&self) -> u64 {
        self.kinds.values().sum::<u64>() + self.unknown
    }
}

impl Store {
    /// Reads every record. Blocks for as long as that takes; `seen` is told how many there were so far.
    ///
    /// # Errors
    /// Where the store cannot be read at all.
    pub fn verify(&self, mut seen: impl FnMut(u64)) -> Result<Findings, StoreError> {
        let (view, mut findings) = (View(self.tree()), Findings::default());
        let mut records = 0;
        for pair in self.tree().iter() {
            let (key, stored) = pair?;
            records += 1;
            seen(records);
            let Some((kind, readable)) = check(&view, &key, &stored) else {
                findings.unknown += 1;
                continue;
            };
            *findings.kinds.entry(kind).or_default() += 1;
            if let Err(error) = readable {
                findings.damaged += 1;
                if findings.described.len() < DESCRIBED_MAX {
                    findings.described.push(format!("{kind} at {}: {error}", key.escape_ascii()));
                }
            }
        }
        Ok(findings)
    }
}

type Checked = (&'static str, Result<(), StoreError>);

/// What kind of record that is, and whether it can be read; `None` for a kind that is not known.
fn check(view: &View<'_>, key: &[u8], stored: &[u8]) -> Option<Checked> {
    fn as_one<R: Record>(view: &View<'_>, key: &[u8], stored: &[u8]) -> Result<(), StoreError> {
        view.open_value::<R>(key, stored).map(drop)
    }
    // Pieces are read with the record that they are of, and facts of the store when it is opened.
    let fine: fn(&View<'_>, &[u8], &[u8]) -> Result<(), StoreError> = |_, _, _| Ok(());
    let (kind, read) = match *key.first()? {
        keys::META => ("fact of the store", fine),
        keys::PIECE => ("piece of a long record", fine),
        keys::USER => ("user", as_one::<UserV2> as _),
        keys::NOTIFICATION => ("notification", as_one::<NotificationV2<'static>> as _),
        keys::INBOX => ("inbox line", as_one::<inbox::LineV1> as _),
        keys::DUE => ("due delivery", as_one::<DueV2> as _),
        keys::GROUP => ("digest group", as_one::<holds::GroupV1> as _),
        keys::HELD => ("held delivery", as_one::<holds::MemberV1> as _),
        keys::DIGEST => ("digest under way", as_one::<DigestV1> as _),
        keys::RECENT => {
            let either = as_one::<recent::LatestV1>(view, key, stored)
                .or_else(|_| as_one::<recent::CountV1>(view, key, stored));
            return Some(("recent key", either));
        }
        keys::EVENT => ("event", as_one::<attempts::EventV1> as _),
        keys::GIVEN_ID => ("given id", as_one::<notifications::GivenIdV1> as _),
        keys::IDEMPOTENCY => ("kept answer", as_one::<idempotency::KeptV1> as _),
        keys::UPLOAD => ("upload", as_one::<uploads::UploadV1> as _),
        keys::API_KEY => ("API key", as_one::<keyring::KeyV1> as _),
        keys::CAPTURE => ("captured message", as_one::<captures::CaptureV1> as _),
        keys::CATEGORY => ("category", as_one::<categories::CategoryV1> as _),
        keys::CHANGE => ("preference change", as_one::<history::ChangeV1> as _),
        keys::TOPIC => ("topic", as_one::<topics::TopicV1> as _),
        keys::MEMBER => ("topic member", as_one::<topics::MemberV1> as _),
        keys::MEMBERSHIP => ("topic of a user", as_one::<topics::MemberV1> as _),
        keys::BATCH => ("batch", as_one::<batches::BatchV1> as _),
        keys::BATCH_PART => ("part of a batch", as_one::<batches::MembersV1> as _),
        keys::PARTICIPATION => ("workflow participant", as_one::<participants::ParticipantV1> as _),
        keys::PARTICIPATION_DAY => ("day of a participant", as_one::<participants::ParticipantV1> as _),
        keys::CONTENT => ("shared content", as_one::<NotificationV2<'static>> as _),
        keys::SENDING => ("send to many", as_one::<sends::SendingV1> as _),
        keys::SENDING_PART => ("part of a send", as_one::<sends::UsersV1> as _),
        keys::SCHEDULE => ("schedule", as_one::<schedules::ScheduleV1> as _),
        keys::TEMPLATE => ("template", as_one::<templates::HeadV1> as _),
        keys::TEMPLATE_VERSION => ("template version", as_one::<templates::TemplateV1> as _),
        keys::TRIMMED => ("trimmed inbox", as_one::<inbox::TrimmedV1> as _),
        keys::OFFSET_FLOOR => ("offset of somebody erased", as_one::<inbox::FloorV1> as _),
        keys::PUSH_SUBSCRIPTIONS => {
            ("push subscriptions", as_one::<push_subscriptions::SubscriptionsV1> as _)
        }
        keys::PUSH_ENDPOINT => ("push endpoint", as_one::<push_subscriptions::OwnerV1> as _),
        keys::PUSHED => ("push under way", as_one::<DoneV1> as _),
        keys::OWN_CALLS => ("call under way to own endpoints", as_one::<DoneV1> as _),
        keys::HOOK => ("hook", as_one::<hooks::HookV1> as _),
        keys::ENDPOINT => ("endpoint", as_one::<EndpointV1> as _),
        keys::ENDPOINT_WAITING => ("waiting event of an endpoint", as_one::<EndpointEventV1> as _),
        keys::ENDPOINT_DUE => ("due event of an endpoint", as_one::<EndpointDueV1> as _),
        keys::ENDPOINT_FAILED => ("failed event of an endpoint", as_one::<EndpointEventV1> as _),
        keys::ENDPOINT_ATTEMPT => ("call to an endpoint", as_one::<EndpointAttemptV1> as _),
        keys::SUPPRESSION => ("suppressed address", as_one::<suppressions::SuppressionV1> as _),
        keys::SUPPRESSED_ADDRESS => ("place of a suppressed address", as_one::<suppressions::PlaceV1> as _),
        keys::MINUTE => ("minute of analytics", as_one::<rollups::RollupV1> as _),
        keys::SECOND => ("second of analytics", as_one::<seconds::SecondV1> as _),
        keys::HOUR => ("hour of analytics", as_one::<rollups::RollupV1> as _),
        _ => return None,
    };
    Some((kind, read(view, key, stored)))
}
