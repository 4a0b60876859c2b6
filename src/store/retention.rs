//! Letting go of what is old: notifications with all that belongs to them, then batches with the content they share.
//!
//! Notifications lie in the order in which they were accepted, so what has run out is at the left edge. It goes in
//! steps, each a write of its own with the place where the next one begins.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batches;
use super::codec::Record;
use super::error::Answer;
use super::keys;
use super::records::NotificationV2;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;
use crate::model::batch::Batch;
use crate::model::notification::Accepted;

/// Records looked at in one step. Everybody else waits for it.
const STEP_LEN: usize = 128;

/// How far the nightly work is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Night {
    /// When its next step is due.
    pub next_at: Millis,
    /// What it is at.
    pub stage: Stage,
    /// Behind which record it goes on.
    pub after: Option<Uuid>,
    /// Notifications removed so far.
    pub removed: u64,
}

/// What the nightly work is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing: it waits for the night.
    #[default]
    Rest,
    /// Removing notifications.
    Notifications,
    /// Removing batches.
    Batches,
    /// Removing the seconds of analytics.
    Seconds,
}

#[derive(Serialize, Deserialize)]
struct NightV1 {
    next_at: Millis,
    stage: Stage,
    after: Option<[u8; 16]>,
    removed: u64,
}

impl Record for NightV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "nightly work";
}

/// What one step came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// Records removed.
    pub removed: u64,
    /// Behind which record the next step goes on; `None` where this was the last.
    pub next: Option<Uuid>,
}

fn night_key() -> Vec<u8> {
    keys::named(keys::META, b"night")
}

impl Txn<'_> {
    /// How far the nightly work is.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn night(&self) -> Answer<Option<Night>> {
        let stored: Option<NightV1> = self.get(&night_key())?;
        Ok(stored.map(|night| Night {
            next_at: night.next_at,
            stage: night.stage,
            after: night.after.map(Uuid::from_bytes),
            removed: night.removed,
        }))
    }

    /// Notes how far the nightly work is.
    pub fn put_night(&mut self, night: &Night) {
        let after = night.after.map(Uuid::into_bytes);
        let Night { next_at, stage, removed, .. } = *night;
        self.put(night_key(), &NightV1 { next_at, stage, after, removed });
    }

    /// Removes some of the notifications that were accepted before `until`, behind `after`, with their events, lines and
    /// ids; those that `keep` wants and those of which something is still to be delivered stay.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn trim_notifications(
        &mut self,
        after: Option<Uuid>,
        until: Millis,
        keep: impl Fn(&Accepted) -> bool,
    ) -> Answer<Trimmed> {
        let (found, next) = self.ids(keys::NOTIFICATION, after)?;
        let mut removed = 0;
        for key in found {
            let Some(record) = self.get::<NotificationV2>(&keys::notification(key))? else { continue };
            let accepted = record.into_accepted(key)?;
            if accepted.accepted_at >= until {
                return Ok(Trimmed { removed, next: None });
            }
            if keep(&accepted) || !self.due_of(&accepted)?.is_empty() {
                continue;
            }
            self.erase_notification(key)?;
            self.trim_line(&accepted.notification.user_id, accepted.offset, key)?;
            removed += 1;
        }
        Ok(Trimmed { removed, next })
    }

    /// Removes some of the batches that ended before `until`, behind `after`, with their lists and the content that their
    /// notifications shared.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn trim_batches(&mut self, after: Option<Uuid>, until: Millis) -> Answer<Trimmed> {
        let (found, next) = self.ids(keys::BATCH, after)?;
        let (mut removed, mut room) = (0, STEP_LEN);
        let mut last = after;
        for id in found {
            let Some(batch) = batches::get(self, id)? else { continue };
            if batch.created_at >= until {
                return Ok(Trimmed { removed, next: None });
            }
            if batch.finished_at.unwrap_or(batch.created_at) >= until {
                last = Some(id);
                continue;
            }
            // A long batch goes list by list, over several steps.
            let lists = usize::try_from(batch.parts).unwrap_or(usize::MAX);
            for part in (0..batch.parts).rev().take(room) {
                self.remove(&keys::part(keys::BATCH_PART, id, part))?;
            }
            if lists > room {
                let parts = batch.parts - u32::try_from(room).unwrap_or(0);
                self.put_batch(&Batch { parts, ..batch })?;
                return Ok(Trimmed { removed, next: last.or(Some(Uuid::nil())) });
            }
            room -= lists;
            self.erase_content(id)?;
            self.remove(&keys::named(keys::BATCH, id.as_bytes()))?;
            removed += 1;
            last = Some(id);
        }
        Ok(Trimmed { removed, next })
    }

    /// The next ids of a space whose keys are ids, behind `after`; and behind which to go on.
    fn ids(&self, space: u8, after: Option<Uuid>) -> Answer<(Vec<Uuid>, Option<Uuid>)> {
        let mut from = vec![space];
        if let Some(after) = after {
            from.extend_from_slice(after.as_bytes());
            from.push(0);
        }
        let mut found = Vec::new();
        self.scan(&from, &[space + 1], false, &mut |key, _| {
            found.extend(key.get(1..).and_then(|id| Uuid::from_slice(id).ok()));
            Ok(found.len() < STEP_LEN)
        })?;
        let next = if found.len() == STEP_LEN { found.last().copied() } else { None };
        Ok((found, next))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::encode;
    use super::*;

    #[test]
    fn the_nightly_work_keeps_its_bytes() {
        let night = NightV1 { next_at: 1, stage: Stage::Batches, after: None, removed: 3 };
        assert_eq!(encode(&night), [1, 2, 2, 0, 3]);
    }
}
