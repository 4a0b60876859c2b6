//! How far uploads are that carry an idempotency key, so that one that broke off can go on where it was.
//!
//! The record moves on in the commits that take lines in. It stands in buckets by the hour like kept answers, and runs
//! out with them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::idempotency::{Slot, bucket, newest};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use crate::clock::Millis;

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The batch that it is taken in as.
    pub batch: Uuid,
    /// When that began.
    pub begun_at: Millis,
    /// Lines that were taken.
    pub lines: u64,
    /// A hash over them.
    pub print: [u8; 16],
}

#[derive(Serialize, Deserialize)]
pub(super) struct UploadV1 {
    batch: [u8; 16],
    begun_at: Millis,
    lines: u64,
    print: [u8; 16],
}

impl Record for UploadV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "upload";
}

impl Store {
    /// How far the upload of `slot` was when it broke off, if one did.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn upload(&self, slot: Slot, now: Millis) -> Answer<Option<Upload>> {
        let found = self.read(move |view| newest::<UploadV1>(view, keys::UPLOAD, &slot, now)).await?;
        Ok(found.map(|UploadV1 { batch, begun_at, lines, print }| Upload {
            batch: Uuid::from_bytes(batch),
            begun_at,
            lines,
            print,
        }))
    }
}

impl Txn<'_> {
    /// Notes how far the upload of `slot` is.
    pub fn put_upload(&mut self, slot: &Slot, upload: &Upload) {
        let Upload { batch, begun_at, lines, print } = *upload;
        let record = UploadV1 { batch: batch.into_bytes(), begun_at, lines, print };
        self.put(bucket(keys::UPLOAD, begun_at, slot), &record);
    }

    /// Forgets an upload that began at `begun_at`: it is whole.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn end_upload(&mut self, slot: &Slot, begun_at: Millis) -> Result<(), StoreError> {
        self.remove(&bucket(keys::UPLOAD, begun_at, slot))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::encode;
    use super::*;

    #[test]
    fn an_upload_keeps_its_bytes() {
        let upload = UploadV1 { batch: [7; 16], begun_at: 1, lines: 300, print: [9; 16] };
        assert_eq!(encode(&upload), [&[1][..], &[7; 16], &[2, 251, 44, 1], &[9; 16]].concat());
    }
}
