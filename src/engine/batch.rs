//! Batches: many notifications for one request, each for itself, and what became of them all.

use uuid::Uuid;

use super::Engine;
use super::accept::{AcceptError, Submission, Taken, accept_one};
use super::expand::Sent;
use crate::model::audience::Target;
use crate::model::batch::{Batch, BatchState};
use crate::model::ids::new_id;
use crate::model::notification::Accepted;
use crate::store::idempotency::{Kept, Slot};
use crate::store::uploads::Upload;
use crate::store::{StoreError, Txn};

/// Notifications withdrawn in one write.
const CANCELED_LEN_MAX: usize = 128;

/// One item of a batch: what is to be accepted, or why it is not; and what it is called in an error.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its id or its place.
    pub name: String,
    /// What was read of it.
    pub read: Result<Entry, String>,
}

/// What an item asks for.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A notification for one person.
    One(Submission),
    /// A notification for each of many.
    Many(Submission, Target),
}

impl Entry {
    /// Gives it an id, by which a repeat of it is recognised.
    pub fn name(&mut self, id: String, content: [u8; 16]) {
        let (Entry::One(submission) | Entry::Many(submission, _)) = self;
        submission.notification.given_id = Some(id);
        submission.content = content;
    }
}

/// What was made of an item.
#[derive(Clone, Debug)]
pub enum Received {
    /// A notification.
    One(Taken),
    /// A send to many.
    Many(Sent),
}

impl Received {
    /// The notification, where it is one.
    pub fn accepted(&self) -> Option<&Accepted> {
        match self {
            Received::One(taken) => Some(taken.accepted()),
            Received::Many(_) => None,
        }
    }

    /// The id that the outside knows it by.
    pub fn id(&self) -> String {
        match self {
            Received::One(taken) => taken.accepted().id(),
            Received::Many(sent) => sent.id.clone(),
        }
    }

    /// Its key: the notification's, or the send's.
    fn key(&self) -> Uuid {
        match self {
            Received::One(taken) => taken.accepted().key,
            Received::Many(sent) => sent.batch.id,
        }
    }
}

/// What became of one item.
pub type ItemResult = Result<Received, String>;

/// Makes the answer to keep for a batch's idempotency key.
pub type KeepBatch = (Slot, Box<dyn FnOnce(&Batch, &[ItemResult]) -> Kept + Send>);
/// Makes the answer to keep for the idempotency key of a batch that came in piece by piece.
pub type KeepClosed = (Slot, Box<dyn FnOnce(&Batch) -> Kept + Send>);

impl Engine {
    /// Accepts the items of a batch, all in one commit with the batch itself.
    ///
    /// # Errors
    /// Where the store takes no writes; then none of them is accepted.
    pub async fn accept_batch(
        &self,
        items: Vec<Item>,
        keep: Option<KeepBatch>,
    ) -> Result<(Batch, Vec<ItemResult>), StoreError> {
        let (engine, now) = (self.clone(), self.now());
        self.store()
            .commit(move |txn| {
                let mut batch = Batch::new(new_id(now), now);
                let results = engine.take(txn, &mut batch, items)?;
                batch.end(BatchState::Completed, now);
                txn.put_batch(&batch)?;
                if let Some((slot, answer)) = keep {
                    txn.keep_answer(&slot, now, &answer(&batch, &results))?;
                }
                Ok((batch, results))
            })
            .await
    }

    /// Begins a batch that comes in piece by piece.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn open_batch(&self) -> Result<Batch, StoreError> {
        let now = self.now();
        let batch = Batch { run: Some(self.run()), ..Batch::new(new_id(now), now) };
        self.store()
            .commit(move |txn| {
                txn.put_batch(&batch)?;
                Ok(batch)
            })
            .await
    }

    /// Goes on with a batch whose upload broke off; the caller knows that no other does. `None` where it was withdrawn.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn reopen_batch(&self, id: Uuid) -> Result<Option<Batch>, StoreError> {
        let run = self.run();
        self.store()
            .commit(move |txn| {
                let goes_on = |batch: &Batch| {
                    matches!(batch.state_in(run), BatchState::Interrupted | BatchState::Running)
                };
                let Some(batch) = txn.batch(id)?.filter(goes_on) else { return Ok(None) };
                let batch = Batch { state: BatchState::Running, run: Some(run), finished_at: None, ..batch };
                txn.put_batch(&batch)?;
                Ok::<_, StoreError>(Some(batch))
            })
            .await
    }

    /// Accepts some more items of a batch that was opened, and notes how far its upload is. `None` where it was withdrawn
    /// in the meantime: then nothing of them is taken.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn extend_batch(
        &self,
        id: Uuid,
        items: Vec<Item>,
        progress: Option<(Slot, Upload)>,
    ) -> Result<Option<Vec<ItemResult>>, StoreError> {
        let engine = self.clone();
        self.store()
            .commit(move |txn| {
                let Some(mut batch) = txn.batch(id)?.filter(|batch| batch.state == BatchState::Running)
                else {
                    return Ok(None);
                };
                let results = engine.take(txn, &mut batch, items)?;
                txn.put_batch(&batch)?;
                if let Some((slot, upload)) = progress {
                    txn.put_upload(&slot, &upload);
                }
                Ok(Some(results))
            })
            .await
    }

    /// Ends a batch that was opened, if nobody else has; answers it as it stands then.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn close_batch(
        &self,
        id: Uuid,
        state: BatchState,
        keep: Option<KeepClosed>,
    ) -> Result<Option<Batch>, StoreError> {
        let now = self.now();
        self.store()
            .commit(move |txn| {
                let Some(mut batch) = txn.batch(id)? else { return Ok(None) };
                if batch.state == BatchState::Running {
                    batch.end(state, now);
                    txn.put_batch(&batch)?;
                }
                if let Some((slot, answer)) = keep {
                    txn.keep_answer(&slot, now, &answer(&batch))?;
                    txn.end_upload(&slot, batch.created_at)?;
                }
                Ok::<_, StoreError>(Some(batch))
            })
            .await
    }

    /// Withdraws a batch and what has not left yet of its notifications, step by step. `None` where there is no such
    /// batch.
    ///
    /// # Errors
    /// Where the store takes no writes. What was withdrawn by then stays withdrawn; ask again.
    pub async fn cancel_batch(&self, id: Uuid) -> Result<Option<Batch>, StoreError> {
        let mut sends = Vec::new();
        let batch = self.cancel_members(id, &mut sends).await?;
        // What a batch holds is a notification or a send, and a send holds notifications only.
        for send in sends {
            self.cancel_members(send, &mut Vec::new()).await?;
        }
        Ok(batch)
    }

    async fn cancel_members(&self, id: Uuid, sends: &mut Vec<Uuid>) -> Result<Option<Batch>, StoreError> {
        let now = self.now();
        let closed = self
            .store()
            .commit(move |txn| {
                let Some(mut batch) = txn.batch(id)? else { return Ok(None) };
                // Nothing joins a batch that does not run, so its lists are final from here.
                batch.finished_at = batch.finished_at.or(Some(now));
                batch.state = BatchState::Canceled;
                txn.put_batch(&batch)?;
                Ok::<_, StoreError>(Some(batch))
            })
            .await?;
        let Some(mut batch) = closed else { return Ok(None) };
        for part in 0..batch.parts {
            for some in self.store().batch_members(id, part).await?.chunks(CANCELED_LEN_MAX) {
                let (engine, some) = (self.clone(), some.to_vec());
                let found;
                (batch, found) = self.store().commit(move |txn| engine.cancel_some(txn, id, &some)).await?;
                sends.extend(found);
            }
        }
        Ok(Some(batch))
    }

    /// Withdraws some members of a batch; answers it, and those members that are sends.
    fn cancel_some(
        &self,
        txn: &mut Txn<'_>,
        id: Uuid,
        members: &[Uuid],
    ) -> Result<(Batch, Vec<Uuid>), StoreError> {
        let mut sends = Vec::new();
        let mut batch = txn.batch(id)?.unwrap_or_else(|| Batch::new(id, self.now()));
        for key in members {
            if self.cancel_in(txn, *key)? > 0 {
                batch.canceled += 1;
            } else if txn.batch(*key)?.is_some() {
                sends.push(*key);
            }
        }
        txn.put_batch(&batch)?;
        Ok((batch, sends))
    }

    /// Takes what can be taken of `items`, and counts.
    pub(super) fn take(
        &self,
        txn: &mut Txn<'_>,
        batch: &mut Batch,
        items: Vec<Item>,
    ) -> Result<Vec<ItemResult>, StoreError> {
        let (mut results, mut members) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for Item { name, read } in items {
            // Many people in each of many items would make a very long write.
            let result = match read.map(|entry| self.receive(txn, entry, 1)) {
                Ok(Ok(received)) => Ok(received),
                Ok(Err(AcceptError::Store(error))) => return Err(error),
                Ok(Err(error @ AcceptError::Conflict { .. })) => Err(error.to_string()),
                Err(why) => Err(why),
            };
            match &result {
                Ok(received) => {
                    batch.took();
                    members.push(received.key());
                }
                Err(why) => batch.refused(&format!("{name}: {why}")),
            }
            results.push(result);
        }
        txn.put_batch_members(batch, &members);
        Ok(results)
    }

    /// Takes one item. At most `at_once_max` people of a send to many are served in this write.
    pub(super) fn receive(
        &self,
        txn: &mut Txn<'_>,
        entry: Entry,
        at_once_max: usize,
    ) -> Result<Received, AcceptError> {
        match entry {
            Entry::One(submission) => {
                accept_one(&self.shared, txn, submission, self.now()).map(Received::One)
            }
            Entry::Many(submission, target) => {
                self.send_to(txn, submission, target, at_once_max).map(Received::Many)
            }
        }
    }
}
