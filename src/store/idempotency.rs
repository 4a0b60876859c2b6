//! Answers kept for their idempotency keys, for a day.
//!
//! They stand in buckets by the hour, so that what has run out goes as one range and nothing is searched for.

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;

/// How many hours an answer is kept at least.
const HOURS_KEPT: u32 = 24;
const HOUR_MS: Millis = 3_600_000;
/// Lines removed in one write.
const SWEEP_LEN_MAX: usize = 500;

/// What a request is recognised by: a hash over who asked, where, and with which key.
pub type Slot = [u8; 16];

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// A hash of the request's body.
    pub request: [u8; 16],
    /// The status code of the answer.
    pub status: u16,
    /// Its body, sealed by whoever keeps it: an answer can carry a secret.
    pub sealed: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeptV1 {
    request: [u8; 16],
    status: u16,
    sealed: Vec<u8>,
}

impl Record for KeptV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "kept answer";
}

fn hour(at: Millis) -> u32 {
    u32::try_from(at / HOUR_MS).unwrap_or(0)
}

fn key(space: u8, hour: u32, slot: &Slot) -> Vec<u8> {
    let mut key = keys::named(space, &hour.to_be_bytes());
    key.extend_from_slice(slot);
    key
}

/// Where something about a request stands that came in at `at`.
pub(super) fn bucket(space: u8, at: Millis, slot: &Slot) -> Vec<u8> {
    key(space, hour(at), slot)
}

/// What stands in a space of buckets for `slot` that has not run out.
pub(super) fn newest<R: Record>(read: &impl Read, space: u8, slot: &Slot, now: Millis) -> Answer<Option<R>> {
    // The newest first: the usual repeat comes within seconds.
    for back in 0..=HOURS_KEPT {
        if let Some(found) = read.get(&key(space, hour(now).saturating_sub(back), slot))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

impl Store {
    /// The answer kept for `slot`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn kept_answer(&self, slot: Slot, now: Millis) -> Answer<Option<Kept>> {
        let kept = self.read(move |view| newest::<KeptV1>(view, keys::IDEMPOTENCY, &slot, now)).await?;
        Ok(kept.map(|KeptV1 { request, status, sealed }| Kept { request, status, sealed }))
    }

    /// Removes answers that have run out, a bounded number of them; answers whether there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub async fn sweep_answers(&self, now: Millis) -> Answer<bool> {
        let oldest_kept = hour(now).saturating_sub(HOURS_KEPT);
        self.commit(move |txn| {
            let mut stale = Vec::new();
            for space in [keys::IDEMPOTENCY, keys::UPLOAD] {
                let to = keys::named(space, &oldest_kept.to_be_bytes());
                txn.scan(&[space], &to, false, &mut |key, _| {
                    stale.push(key.to_vec());
                    Ok(stale.len() < SWEEP_LEN_MAX)
                })?;
            }
            for key in &stale {
                txn.remove(key)?;
            }
            Ok::<_, StoreError>(stale.len() >= SWEEP_LEN_MAX)
        })
        .await
    }
}

impl Txn<'_> {
    /// Keeps an answer. A later one for the same slot within the hour takes its place.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn keep_answer(&mut self, slot: &Slot, now: Millis, answer: &Kept) -> Result<(), StoreError> {
        let record = KeptV1 { request: answer.request, status: answer.status, sealed: answer.sealed.clone() };
        self.replace(bucket(keys::IDEMPOTENCY, now, slot), &record)
    }
}
