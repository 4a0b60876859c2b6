//! Topics: made, described, joined and left.
//!
//! A long list of people is taken in steps, so that nobody else waits for it. What a step has written stays written where
//! a later one fails; asked again, the rest follows.

use std::sync::Arc;

use super::{Engine, Shared};
use crate::clock::Millis;
use crate::store::topics::Topic;
use crate::store::{StoreError, Txn};

/// Memberships that change in one write.
const STEP_LEN: usize = 500;

/// What changing the members came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// How many joined or left.
    pub changed: usize,
    /// How many members there are now.
    pub members: u64,
}

impl Engine {
    /// Makes a topic or describes it anew; answers it and whether it is new.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn put_topic(
        &self,
        name: &str,
        description: Option<String>,
    ) -> Result<(Topic, bool), StoreError> {
        let (name, now) = (name.to_owned(), self.now());
        self.shared
            .store
            .commit(move |txn| {
                let known = txn.topic(&name)?;
                let fresh = known.is_none();
                let topic = Topic { description, updated_at: now, ..known.unwrap_or_else(|| new(name, now)) };
                txn.put_topic(&topic)?;
                Ok((topic, fresh))
            })
            .await
    }

    /// Makes people members of a topic, which comes into being with its first ones.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn join_topic(&self, name: &str, users: &[String]) -> Result<Changed, StoreError> {
        let now = self.now();
        let mut total = Changed { changed: 0, members: 0 };
        for step in steps(users) {
            let name = name.to_owned();
            let done = self
                .shared
                .store
                .commit(move |txn| {
                    let mut topic = txn.topic(&name)?.unwrap_or_else(|| new(name, now));
                    let added = txn.add_topic_members(&mut topic, &step, now)?;
                    Ok::<_, StoreError>(Changed { changed: added.len(), members: topic.members })
                })
                .await?;
            total = Changed { changed: total.changed + done.changed, members: done.members };
        }
        Ok(total)
    }

    /// Ends people's membership of a topic; `None` where there is no such topic.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn leave_topic(&self, name: &str, users: &[String]) -> Result<Option<Changed>, StoreError> {
        let mut total = Changed { changed: 0, members: 0 };
        for step in steps(users) {
            let (name, shared) = (name.to_owned(), self.shared.clone());
            let done = self
                .shared
                .store
                .commit(move |txn| {
                    let Some(mut topic) = txn.topic(&name)? else { return Ok(None) };
                    let removed = remove(&shared, txn, &mut topic, &step)?;
                    Ok::<_, StoreError>(Some(Changed { changed: removed, members: topic.members }))
                })
                .await?;
            let Some(done) = done else { return Ok(None) };
            total = Changed { changed: total.changed + done.changed, members: done.members };
        }
        Ok(Some(total))
    }

    /// Removes a topic with its memberships; answers whether there was one.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn delete_topic(&self, name: &str) -> Result<bool, StoreError> {
        loop {
            let (name, shared) = (name.to_owned(), self.shared.clone());
            let (known, over) = self.shared.store.commit(move |txn| delete_step(&shared, txn, &name)).await?;
            if over {
                return Ok(known);
            }
        }
    }
}

/// Removes some members and, after the last one, the topic. Answers whether there was one and whether that was all.
fn delete_step(shared: &Arc<Shared>, txn: &mut Txn<'_>, name: &str) -> Result<(bool, bool), StoreError> {
    let Some(mut topic) = txn.topic(name)? else { return Ok((false, true)) };
    let page = txn.topic_members(name, None, STEP_LEN)?;
    let users: Vec<String> = page.items.into_iter().map(|member| member.user_id).collect();
    remove(shared, txn, &mut topic, &users)?;
    let over = page.next.is_none();
    if over {
        txn.remove_topic(name)?;
    }
    Ok((true, over))
}

/// Ends memberships and tells who watches. Answers how many there were.
fn remove(
    shared: &Arc<Shared>,
    txn: &mut Txn<'_>,
    topic: &mut Topic,
    users: &[String],
) -> Result<usize, StoreError> {
    let removed = txn.remove_topic_members(topic, users)?;
    let (count, shared, name) = (removed.len(), shared.clone(), topic.name.clone());
    txn.after(move || shared.watcher.left(&name, &removed));
    Ok(count)
}

/// At least one step, so that an empty list is answered too.
fn steps(users: &[String]) -> Vec<Vec<String>> {
    if users.is_empty() { vec![Vec::new()] } else { users.chunks(STEP_LEN).map(<[String]>::to_vec).collect() }
}

fn new(name: String, now: Millis) -> Topic {
    Topic { name, description: None, members: 0, created_at: now, updated_at: now }
}
