//! What a person does with their inbox.

use std::sync::Arc;

use super::endpoints::announce;
use super::erase::withdraw;
use super::{Engine, Shared};
use crate::clock::Millis;
use crate::model::delivery::{Reason, Status};
use crate::model::notification::{Accepted, Verdict};
use crate::store::inbox::{Counts, Mark};
use crate::store::outbox::Due;
use crate::store::{StoreError, Txn};

/// Which entries are to be marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These, by notification id.
    Ids(Vec<String>),
    /// Everything that is not put away.
    All,
}

/// What marking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Entries whose marks changed.
    pub changed: usize,
    /// The counters after it.
    pub counts: Counts,
}

impl Engine {
    /// Marks entries of `user` and tells all of their connections. Ids that are not theirs change nothing.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn mark(&self, user: &str, selection: Selection, mark: Mark) -> Result<Marked, StoreError> {
        match selection {
            Selection::Ids(ids) => {
                self.mark_some(user, Some(ids), mark, u64::MAX).await.map(|(marked, _)| marked)
            }
            Selection::All => {
                let mut total = Marked { changed: 0, counts: Counts::default() };
                let mut before = Some(u64::MAX);
                // A big inbox is marked in steps, so that nobody else waits for it.
                while let Some(step) = before {
                    let (marked, next) = self.mark_some(user, None, mark, step).await?;
                    total = Marked { changed: total.changed + marked.changed, counts: marked.counts };
                    before = next;
                }
                Ok(total)
            }
        }
    }

    async fn mark_some(
        &self,
        user: &str,
        ids: Option<Vec<String>>,
        mark: Mark,
        before: u64,
    ) -> Result<(Marked, Option<u64>), StoreError> {
        let (shared, user, now) = (self.shared.clone(), user.to_owned(), self.now());
        self.shared
            .store
            .commit(move |txn| {
                let (offsets, next) = match &ids {
                    Some(ids) => (offsets_of(txn, &user, ids)?, None),
                    None => txn.lines_to_mark(&user, mark, before)?,
                };
                let (counts, changed) = txn.mark_lines(&user, &offsets, mark)?;
                let count = changed.len();
                let mut ids = Vec::with_capacity(count);
                for offset in changed {
                    let Some(accepted) = at(txn, &user, offset)? else { continue };
                    if mark == Mark::Read {
                        announce::reading(txn, &shared, &accepted, now)?;
                        skip_elsewhere(&shared, txn, &accepted, now)?;
                    }
                    ids.push(accepted.id());
                }
                // Told even where nothing changed: whoever asked over a live connection waits for the counters.
                txn.after(move || shared.watcher.marked(&user, mark, &ids, counts));
                Ok((Marked { changed: count, counts }, next))
            })
            .await
    }
}

fn offsets_of(txn: &Txn<'_>, user: &str, ids: &[String]) -> Result<Vec<u64>, StoreError> {
    let mut offsets = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(key) = txn.notification_key(id)? else { continue };
        if let Some(accepted) = txn.notification(key)?.filter(|found| found.notification.user_id == user) {
            offsets.push(accepted.offset);
        }
    }
    Ok(offsets)
}

fn at(txn: &Txn<'_>, user: &str, offset: u64) -> Result<Option<Accepted>, StoreError> {
    match txn.line_key(user, offset)? {
        Some(key) => txn.notification(key),
        None => Ok(None),
    }
}

/// What somebody has read needs no further telling: what is still held for later on other channels is skipped at once.
/// What is on its way already goes on.
fn skip_elsewhere(
    shared: &Arc<Shared>,
    txn: &mut Txn<'_>,
    accepted: &Accepted,
    now: Millis,
) -> Result<(), StoreError> {
    let held = |due: &Due| {
        let channel = due.lane.channel();
        let deferred = accepted.decisions.iter().any(|decision| {
            Some(decision.channel) == channel && matches!(decision.verdict, Verdict::Deferred { .. })
        });
        deferred && due.at > now
    };
    if accepted.decisions.iter().all(|decision| !matches!(decision.verdict, Verdict::Deferred { .. })) {
        return Ok(());
    }
    let due: Vec<Due> = txn.due_of(accepted)?.into_iter().filter(held).collect();
    if due.is_empty() {
        return Ok(());
    }
    withdraw(shared, txn, accepted.key, due, (Status::Skipped, Reason::ReadElsewhere, None), now)
}
