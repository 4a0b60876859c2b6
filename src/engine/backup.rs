//! The nightly backup: a copy of the store into a directory of the operator's, and the oldest of these let go of.
//!
//! It has one line in the due index, which stays where it is until a copy is whole: a copy that a crash broke off is made
//! again at the next start, and a night that the machine slept through is made up once. One that fails is loud and is
//! tried again within the hour.

use std::path::PathBuf;

use uuid::Uuid;

use super::Engine;
use crate::clock::Millis;
use crate::model::cron::Cron;
use crate::model::notification::Priority;
use crate::store::backup::{BackupError, Summary, keep_newest};
use crate::store::nightly::Backups;
use crate::store::outbox::{Due, Lane};
use crate::store::{StoreError, Txn};

/// The key of the backup among the jobs. Sends have UUIDv7, which are never so small.
pub(super) const BACKUP: Uuid = Uuid::from_u128(2);
/// How long a copy may take before another is begun. It stands in no other's way.
pub(super) const LEASE_MS: Millis = DAY_MS;
/// How long after a failure it is tried again.
const AGAIN_AFTER_MS: Millis = 3_600_000;
const DAY_MS: Millis = 86_400_000;

/// What the operator wants of nightly backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nightly {
    /// Where they go.
    pub dir: PathBuf,
    /// How many are kept.
    pub keep: usize,
    /// When one is made: minutes after midnight, UTC.
    pub at: u16,
}

impl Nightly {
    fn next_after(&self, now: Millis) -> Millis {
        let daily = Cron::parse(&format!("{} {} * * *", self.at % 60, self.at / 60)).ok();
        let next = daily.and_then(|cron| cron.next_after(&jiff::tz::TimeZone::UTC, now));
        next.unwrap_or(now.saturating_add(DAY_MS))
    }
}

fn line(at: Millis) -> Due {
    Due::new(Lane::Job, at, Priority::Low, BACKUP)
}

/// Gives the next backup its instant, and its line in place of the one that it had.
fn plan(txn: &mut Txn<'_>, backups: &mut Backups, next_at: Option<Millis>) {
    if let Some(at) = backups.next_at.filter(|at| Some(*at) != next_at) {
        txn.remove_due(&line(at));
    }
    if let Some(at) = next_at {
        txn.put_due(&line(at));
    }
    backups.next_at = next_at;
    txn.put_backups(backups);
}

impl Engine {
    /// Sees to it that the nightly backup is in the due index, at the time that the configuration says, and in it no
    /// more where none is wanted.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn plan_backups(&self) -> Result<(), StoreError> {
        let (now, wanted) = (self.now(), self.shared.rules.load().backup.clone());
        let backups = self.store().commit(move |txn| {
            let mut backups = txn.backups()?;
            if wanted.is_none() {
                backups.failed = None;
            }
            let next_at = wanted.map(|wanted| match backups.next_at {
                Some(missed) if missed <= now => missed,
                // Whoever starts the server or changes its configuration may have mended what was wrong.
                Some(_) if backups.failed.is_some() => now,
                Some(_) | None => wanted.next_after(now),
            });
            plan(txn, &mut backups, next_at);
            Ok::<_, StoreError>(backups)
        });
        self.know(backups.await?);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// How the nightly backups are doing.
    pub fn backups(&self) -> Backups {
        self.shared.backups.lock().clone()
    }

    fn know(&self, backups: Backups) {
        self.shared.metrics.backed_up(backups.last_success_at.unwrap_or(0) / 1_000);
        *self.shared.backups.lock() = backups;
    }

    /// Makes the backup that is due.
    ///
    /// # Errors
    /// Where the store takes no writes; then it is made again.
    pub(super) async fn back_up(&self, due: &Due) -> Result<(), StoreError> {
        let Some(wanted) = self.shared.rules.load().backup.clone() else { return self.plan_backups().await };
        let begun_at = self.now();
        let failed = match self.copy_into(wanted.clone(), begun_at).await {
            Ok((path, summary)) => {
                let (records, bytes) = (summary.records, summary.bytes);
                tracing::info!(file = %path.display(), records, bytes, "made the nightly backup");
                None
            }
            // It is still due, and made at the next start.
            Err(BackupError::BrokenOff) if self.shared.supervisor.stopping().is_cancelled() => return Ok(()),
            Err(error) => {
                let dir = wanted.dir.display();
                tracing::error!(%dir, %error, "failed to make the nightly backup; trying again within the hour");
                Some(error.to_string())
            }
        };
        let (now, due) = (self.now(), due.clone());
        let backups = self.store().commit(move |txn| {
            let mut backups = txn.backups()?;
            let mut next_at = wanted.next_after(now);
            match failed {
                None => (backups.last_success_at, backups.failed) = (Some(begun_at), None),
                Some(error) => {
                    backups.failed = Some((now, error));
                    next_at = next_at.min(now.saturating_add(AGAIN_AFTER_MS));
                }
            }
            txn.remove_due(&due);
            // The configuration may want none any more.
            let next_at = backups.next_at.map(|_| next_at);
            plan(txn, &mut backups, next_at);
            Ok::<_, StoreError>(backups)
        });
        self.know(backups.await?);
        Ok(())
    }

    async fn copy_into(&self, wanted: Nightly, now: Millis) -> Result<(PathBuf, Summary), BackupError> {
        let (store, stop) = (self.store().clone(), self.shared.supervisor.stopping());
        let copied = self.shared.supervisor.blocking("backup", move || {
            let copied = store.begin_copy(now)?.write_into(&wanted.dir, &stop)?;
            if let Err(error) = keep_newest(&wanted.dir, wanted.keep) {
                tracing::error!(dir = %wanted.dir.display(), %error, "failed to remove the oldest backups");
            }
            Ok(copied)
        });
        copied.await.unwrap_or(Err(BackupError::BrokenOff))
    }
}
