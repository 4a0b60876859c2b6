//! Who takes part in a workflow: whoever its events were for. Kept so long after the last of them.
//!
//! Two keys each: one under the person, by which it is looked up and forgotten, and one under the day of the last event, by
//! which it runs out.

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;

/// How long after a workflow's last event for somebody they take part in it.
const KEPT_DAYS: u32 = 90;
const DAY_MS: Millis = 86_400_000;
/// Entries removed in one write.
const STEP_LEN: usize = 500;

#[derive(Serialize, Deserialize)]
pub(super) struct ParticipantV1 {
    /// Days since 1970-01-01 UTC.
    day: u32,
}

impl Record for ParticipantV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "participant";
}

fn day_of(now: Millis) -> u32 {
    u32::try_from(now / DAY_MS).unwrap_or(0)
}

/// The day of the last event of `workflow` that was for `user`.
fn last_day(read: &impl Read, user: &str, workflow: &str) -> Answer<Option<u32>> {
    let record: Option<ParticipantV1> = read.get(&keys::participation(user, workflow))?;
    Ok(record.map(|record| record.day))
}

impl Store {
    /// The workflows that a person takes part in, at most `limit`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn workflows_of(&self, user: &str, limit: usize) -> Answer<Vec<String>> {
        let prefix = keys::participations_of(user);
        self.read(move |view| {
            let mut end = prefix.clone();
            end.push(0xff);
            let mut found = Vec::new();
            view.scan(&prefix, &end, false, &mut |key, _| {
                let workflow = key.get(prefix.len()..).unwrap_or_default();
                found.push(String::from_utf8_lossy(workflow).into_owned());
                Ok(found.len() < limit)
            })?;
            Ok(found)
        })
        .await
    }

    /// Whether a person takes part in a workflow.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn participates(&self, user: &str, workflow: &str) -> Answer<bool> {
        let (user, workflow) = (user.to_owned(), workflow.to_owned());
        self.read(move |view| Ok(last_day(view, &user, &workflow)?.is_some())).await
    }

    /// Whether it is known since today that a person takes part in each of those workflows: then there is nothing to
    /// write.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn participates_today(&self, user: &str, workflows: &[String], now: Millis) -> Answer<bool> {
        let (user, workflows) = (user.to_owned(), workflows.to_vec());
        self.read(move |view| {
            for workflow in &workflows {
                if last_day(view, &user, workflow)? != Some(day_of(now)) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }
}

impl Txn<'_> {
    /// Notes that a person takes part in a workflow as of `now`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_participation(&mut self, user: &str, workflow: &str, now: Millis) -> Result<(), StoreError> {
        let today = day_of(now);
        let last = last_day(self, user, workflow)?;
        if let Some(last) = last.filter(|last| *last != today) {
            self.remove_short(keys::participation_day(last, user, workflow));
        }
        if last != Some(today) {
            let record = ParticipantV1 { day: today };
            self.put(keys::participation(user, workflow), &record);
            self.put(keys::participation_day(today, user, workflow), &record);
        }
        Ok(())
    }

    /// Forgets in what a person takes part, at most so many; answers whether there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_participations(&mut self, user: &str) -> Answer<bool> {
        let prefix = keys::participations_of(user);
        let mut end = prefix.clone();
        end.push(0xff);
        let mut found = Vec::new();
        self.scan(&prefix, &end, false, &mut |key, value| {
            let workflow = key.get(prefix.len()..).unwrap_or_default();
            let day = self.open_value::<ParticipantV1>(key, value)?.day;
            found.push((day, String::from_utf8_lossy(workflow).into_owned()));
            Ok(found.len() < STEP_LEN)
        })?;
        for (day, workflow) in &found {
            self.remove_short(keys::participation(user, workflow));
            self.remove_short(keys::participation_day(*day, user, workflow));
        }
        Ok(found.len() == STEP_LEN)
    }

    /// Forgets who took part in what was last heard of long before `now`; answers whether there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn sweep_participations(&mut self, now: Millis) -> Answer<bool> {
        let oldest = day_of(now).saturating_sub(KEPT_DAYS);
        let (from, to) = (keys::participations_on(0), keys::participations_on(oldest));
        let mut found = Vec::new();
        self.scan(&from, &to, false, &mut |key, _| {
            found.push(key.to_vec());
            Ok(found.len() < STEP_LEN)
        })?;
        for key in &found {
            self.remove_short(keys::participation_of_day(key));
            self.remove_short(key.clone());
        }
        Ok(found.len() == STEP_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::encode;
    use super::super::open::Options;
    use super::*;
    use crate::supervise::Supervisor;

    #[test]
    fn what_is_stored_keeps_its_bytes() {
        assert_eq!(encode(&ParticipantV1 { day: 20_780 }), [1, 251, 44, 81]);
    }

    #[tokio::test]
    async fn a_part_runs_out_so_long_after_the_last_event() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { path: dir.path().to_owned(), cache_bytes: 8 << 20 };
        let store = Store::open(&options, &Supervisor::new()).expect("a new store");
        let put = |workflow: &'static str, day: Millis| {
            store.commit(move |txn| txn.put_participation("ada", workflow, day * DAY_MS))
        };
        put("once", 1_000).await.expect("a write");
        put("again", 1_000).await.expect("a write");
        put("again", 1_001).await.expect("a write");
        assert!(store.participates("ada", "once").await.expect("a read"));
        assert!(!store.participates("bob", "once").await.expect("a read"));
        let today = |workflow: &str, day| {
            let workflows = [workflow.to_owned()];
            let store = &store;
            async move { store.participates_today("ada", &workflows, day * DAY_MS).await.expect("a read") }
        };
        assert!(today("again", 1_001).await && !today("again", 1_002).await && !today("once", 1_001).await);
        let last = Millis::from(KEPT_DAYS) + 1_001;
        let swept = store.commit(move |txn| txn.sweep_participations(last * DAY_MS)).await;
        assert!(!swept.expect("a write"));
        assert!(!store.participates("ada", "once").await.expect("a read"));
        assert!(store.participates("ada", "again").await.expect("a read"));
        assert!(!store.commit(|txn| txn.erase_participations("ada")).await.expect("a write"));
        assert!(!store.participates("ada", "again").await.expect("a read"));
        let left = store.read(|view| {
            let mut left = 0;
            view.scan(&[keys::PARTICIPATION_DAY], &[keys::PARTICIPATION_DAY + 1], false, &mut |_, _| {
                left += 1;
                Ok(true)
            })?;
            Ok(left)
        });
        assert_eq!(left.await.expect("a read"), 0);
    }
}
