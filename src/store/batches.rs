//! Batches: one record each, moved on in the same commits that accept what is in them, and lists of their members.
//!
//! Each commit adds one list, so a member costs the sixteen bytes of its key and a batch is found again whole, at the
//! cost of what is in it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::users::Page;
use super::view::Read;
use crate::clock::Millis;
use crate::model::batch::{Batch, BatchState};

#[derive(Serialize, Deserialize)]
pub(super) struct BatchV1 {
    state: StateV1,
    run: Option<[u8; 16]>,
    created_at: Millis,
    finished_at: Option<Millis>,
    total: u64,
    expected: Option<u64>,
    successful: u64,
    failed: u64,
    canceled: u64,
    errors: Vec<String>,
    parts: u32,
}

#[derive(Serialize, Deserialize)]
enum StateV1 {
    Running,
    Completed,
    Interrupted,
    Canceled,
}

impl Record for BatchV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "batch";
}

impl From<&Batch> for BatchV1 {
    fn from(batch: &Batch) -> BatchV1 {
        BatchV1 {
            state: match batch.state {
                BatchState::Running => StateV1::Running,
                BatchState::Completed => StateV1::Completed,
                BatchState::Interrupted => StateV1::Interrupted,
                BatchState::Canceled => StateV1::Canceled,
            },
            run: batch.run.map(Uuid::into_bytes),
            created_at: batch.created_at,
            finished_at: batch.finished_at,
            total: batch.total,
            expected: batch.expected,
            successful: batch.successful,
            failed: batch.failed,
            canceled: batch.canceled,
            errors: batch.errors.clone(),
            parts: batch.parts,
        }
    }
}

impl BatchV1 {
    fn into_batch(self, id: Uuid) -> Batch {
        Batch {
            id,
            state: match self.state {
                StateV1::Running => BatchState::Running,
                StateV1::Completed => BatchState::Completed,
                StateV1::Interrupted => BatchState::Interrupted,
                StateV1::Canceled => BatchState::Canceled,
            },
            run: self.run.map(Uuid::from_bytes),
            created_at: self.created_at,
            finished_at: self.finished_at,
            total: self.total,
            expected: self.expected,
            successful: self.successful,
            failed: self.failed,
            canceled: self.canceled,
            errors: self.errors,
            parts: self.parts,
        }
    }
}

/// The notifications that one commit took into a batch: their keys, one behind the other.
#[derive(Serialize, Deserialize)]
pub(super) struct MembersV1 {
    keys: Vec<u8>,
}

impl Record for MembersV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "members of a batch";
}

pub(super) fn get(read: &impl Read, id: Uuid) -> Answer<Option<Batch>> {
    let record: Option<BatchV1> = read.get(&keys::named(keys::BATCH, id.as_bytes()))?;
    Ok(record.map(|record| record.into_batch(id)))
}

fn members(read: &impl Read, id: Uuid, part: u32) -> Answer<Vec<Uuid>> {
    let members: Option<MembersV1> = read.get(&keys::part(keys::BATCH_PART, id, part))?;
    let keys = members.map(|members| members.keys).unwrap_or_default();
    Ok(keys.chunks_exact(16).filter_map(|key| Uuid::from_slice(key).ok()).collect())
}

impl Store {
    /// The batch of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn batch(&self, id: Uuid) -> Answer<Option<Batch>> {
        self.read(move |view| get(view, id)).await
    }

    /// The notifications that a batch got by its commit of that number, from 0.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn batch_members(&self, id: Uuid, part: u32) -> Answer<Vec<Uuid>> {
        self.read(move |view| members(view, id, part)).await
    }

    /// Batches, newest first, older than `before`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn batches(&self, before: Option<Uuid>, limit: usize) -> Answer<Page<Batch>> {
        self.read(move |view| {
            let to =
                before.map_or_else(|| vec![keys::BATCH + 1], |id| keys::named(keys::BATCH, id.as_bytes()));
            let mut items = Vec::new();
            view.scan(&[keys::BATCH], &to, true, &mut |key, value| {
                let Some(id) = key.get(1..).and_then(|id| Uuid::from_slice(id).ok()) else { return Ok(true) };
                items.push(view.open_value::<BatchV1>(key, value)?.into_batch(id));
                Ok(items.len() <= limit)
            })?;
            Ok(Page::cut(items, limit, |batch| batch.id.to_string()))
        })
        .await
    }
}

impl Txn<'_> {
    /// The batch of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn batch(&self, id: Uuid) -> Answer<Option<Batch>> {
        get(self, id)
    }

    /// The notifications that a batch got by its commit of that number, from 0.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn batch_members(&self, id: Uuid, part: u32) -> Answer<Vec<Uuid>> {
        members(self, id, part)
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_batch(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.replace(keys::named(keys::BATCH, batch.id.as_bytes()), &BatchV1::from(batch))
    }

    /// Notes that those notifications are in a batch, whose record is written after it.
    pub fn put_batch_members(&mut self, batch: &mut Batch, members: &[Uuid]) {
        if !members.is_empty() {
            let keys = members.iter().flat_map(|key| *key.as_bytes()).collect();
            self.put(keys::part(keys::BATCH_PART, batch.id, batch.parts), &MembersV1 { keys });
            batch.parts += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    #[test]
    fn a_batch_keeps_its_bytes_and_reads_back_as_it_was_written() {
        let id = Uuid::from_u128(9);
        let mut batch = Batch { run: Some(id), expected: Some(3), ..Batch::new(id, 5) };
        batch.took();
        batch.parts = 4;
        batch.refused("1: no");
        batch.end(BatchState::Interrupted, 6);
        let stored = encode(&BatchV1::from(&batch));
        let golden =
            [&[1, 2, 1][..], id.as_bytes(), &[10, 1, 12, 2, 1, 3, 1, 1, 0, 1, 5], b"1: no", &[4]].concat();
        assert_eq!(stored, golden, "a changed shape is a new version");
        let read: BatchV1 = decode(&stored).expect("our own bytes");
        assert_eq!(read.into_batch(id), batch);
    }
}
