//! One message to many people: accepted once, then a notification for each of them.
//!
//! A few people are served in the commit that accepts it, so that the answer is complete. More are worked off in the
//! background, a step in each turn of the due index's lane for jobs: the notifications of a step, its place in the list
//! and its counters are one commit, so a crash loses nobody and gives nobody a second one. Live traffic goes on between
//! the steps, and so do other sends: each step puts its send behind those that wait.

use uuid::Uuid;

use super::Engine;
use super::accept::{AcceptError, Submission, Taken, accept_one};
use crate::model::audience::Target;
use crate::model::batch::{Batch, BatchState};
use crate::model::ids::new_id;
use crate::model::notification::Notification;
use crate::store::idempotency::{Kept, Slot};
use crate::store::outbox::{Due, Lane};
use crate::store::{StoreError, Txn};

/// The most people who are served before the answer.
pub(super) const AT_ONCE_MAX: usize = 100;

/// A message to many that was accepted.
#[derive(Clone, Debug)]
pub struct Sent {
    /// How far it is.
    pub batch: Batch,
    /// What the sender calls it, or else our id for it.
    pub id: String,
    /// What became of it for each person, where they were few.
    pub each: Option<Vec<Taken>>,
}

/// Makes the answer to keep for the idempotency key of a send.
pub type KeepSent = (Slot, Box<dyn FnOnce(&Sent) -> Kept + Send>);

impl Engine {
    /// Accepts one message to many. What is answered is on disk.
    ///
    /// # Errors
    /// Where its id belongs to something else, or the store takes no writes.
    pub async fn accept_many(
        &self,
        submission: Submission,
        target: Target,
        keep: Option<KeepSent>,
    ) -> Result<Sent, AcceptError> {
        let engine = self.clone();
        self.store()
            .commit(move |txn| {
                let sent = engine.send_to(txn, submission, target, AT_ONCE_MAX)?;
                if let Some((slot, answer)) = keep {
                    txn.keep_answer(&slot, engine.now(), &answer(&sent))?;
                }
                Ok(sent)
            })
            .await
    }

    /// The same within a write. At most `at_once_max` people are served in it.
    pub(super) fn send_to(
        &self,
        txn: &mut Txn<'_>,
        submission: Submission,
        target: Target,
        at_once_max: usize,
    ) -> Result<Sent, AcceptError> {
        let Submission { mut notification, content } = submission;
        let now = self.now();
        let given = notification.given_id.take();
        if let Some(given) = &given
            && let Some(sent) = sent_before(txn, given, content)?
        {
            return Ok(sent);
        }
        let mut batch = Batch::new(new_id(now), now);
        if let Some(given) = &given {
            txn.put_given_id(given, batch.id, content);
        }
        let at_once = few(txn, &target, at_once_max)?;
        if at_once.is_none() {
            batch.expected = match &target {
                Target::Users(users) => u64::try_from(users.len()).ok(),
                Target::Topic(name) => txn.topic(name)?.map(|topic| topic.members),
                Target::Everyone => None,
            };
        }
        let each = match at_once {
            Some(users) => {
                let named = Notification { given_id: given.clone(), ..notification.clone() };
                txn.put_content(batch.id, named, now);
                notification.content = Some(batch.id);
                let each = self.give(txn, &mut batch, &notification, users)?;
                batch.end(BatchState::Completed, now);
                Some(each)
            }
            None => {
                let line = Due::new(Lane::Job, now, notification.priority, batch.id);
                txn.put_content(batch.id, Notification { given_id: given.clone(), ..notification }, now);
                txn.put_sending(batch.id, &target);
                txn.put_due(&line);
                let shared = self.shared.clone();
                txn.after(move || shared.wake.notify_one());
                None
            }
        };
        txn.put_batch(&batch)?;
        let id = given.unwrap_or_else(|| batch.id.to_string());
        Ok(Sent { batch, id, each })
    }

    /// Gives each of `users` their notification, and counts.
    fn give(
        &self,
        txn: &mut Txn<'_>,
        batch: &mut Batch,
        notification: &Notification,
        users: Vec<String>,
    ) -> Result<Vec<Taken>, StoreError> {
        let now = self.now();
        let (mut each, mut members) = (Vec::with_capacity(users.len()), Vec::with_capacity(users.len()));
        for user_id in users {
            let notification = Notification { user_id, ..notification.clone() };
            let notification = self.in_their_words(txn, notification)?;
            match accept_one(&self.shared, txn, Submission { notification, content: [0; 16] }, now) {
                Ok(taken) => {
                    batch.took();
                    members.push(taken.accepted().key);
                    each.push(taken);
                }
                Err(AcceptError::Store(error)) => return Err(error),
                Err(error @ AcceptError::Conflict { .. }) => batch.refused(&error.to_string()),
            }
        }
        txn.put_batch_members(batch, &members);
        Ok(each)
    }

    /// Takes a send one step further.
    ///
    /// # Errors
    /// Where the store takes no writes; then the step is made again.
    pub(super) async fn expand(&self, due: &Due) -> Result<(), StoreError> {
        let (engine, due) = (self.clone(), due.clone());
        self.store().commit(move |txn| engine.expand_in(txn, &due)).await
    }

    fn expand_in(&self, txn: &mut Txn<'_>, due: &Due) -> Result<(), StoreError> {
        if !txn.is_due(due)? {
            return Ok(());
        }
        txn.remove_due(due);
        let (Some(mut batch), Some(mut notification)) = (txn.batch(due.key)?, txn.content(due.key)?) else {
            return Ok(());
        };
        let more = if batch.state == BatchState::Running {
            let Some(step) = txn.step_sending(batch.id)? else { return Ok(()) };
            (notification.content, notification.given_id) = (Some(batch.id), None);
            self.give(txn, &mut batch, &notification, step.users)?;
            if step.last {
                batch.end(BatchState::Completed, self.now());
            }
            txn.put_batch(&batch)?;
            !step.last
        } else {
            !txn.drop_sending(batch.id)?
        };
        if more {
            txn.put_due(&Due { at: self.now(), ..due.clone() });
        }
        Ok(())
    }
}

/// The people of a target, where they are at most `most`.
fn few(txn: &Txn<'_>, target: &Target, most: usize) -> Result<Option<Vec<String>>, StoreError> {
    match target {
        Target::Users(users) => Ok((users.len() <= most).then(|| users.clone())),
        Target::Topic(name) => {
            let page = txn.topic_members(name, None, most)?;
            let users = page.items.into_iter().map(|member| member.user_id).collect();
            Ok(page.next.is_none().then_some(users))
        }
        Target::Everyone => {
            let page = txn.user_ids(None, most)?;
            Ok(page.next.is_none().then_some(page.items))
        }
    }
}

/// The send that was accepted under `id` before, if it has the same content.
fn sent_before(txn: &Txn<'_>, id: &str, content: [u8; 16]) -> Result<Option<Sent>, AcceptError> {
    let conflict = || AcceptError::Conflict { id: id.to_owned() };
    let key = match txn.given_id(id)? {
        Some((_, earlier)) if earlier != content => return Err(conflict()),
        Some((key, _)) => key,
        // An id of the form that we make ourselves may already be somebody's.
        None => {
            return match Uuid::parse_str(id) {
                Ok(key) if txn.notification(key)?.is_some() || txn.batch(key)?.is_some() => Err(conflict()),
                Ok(_) | Err(_) => Ok(None),
            };
        }
    };
    let Some(batch) = txn.batch(key)? else { return Ok(None) };
    let few = batch.state == BatchState::Completed && batch.expected.is_none() && batch.parts <= 1;
    let mut each = Vec::new();
    for member in if few { txn.batch_members(key, 0)? } else { Vec::new() } {
        each.extend(txn.notification(member)?.map(|accepted| Taken::Repeat(accepted.into())));
    }
    Ok(Some(Sent { batch, id: id.to_owned(), each: few.then_some(each) }))
}
