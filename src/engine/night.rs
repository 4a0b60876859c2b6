//! What is done at night: letting go of what is older than the operator wants to keep.
//!
//! It is a job like a send to many: one line in the due index, one step in each turn, so that live traffic goes on in
//! between and a crash goes on where it was.

use uuid::Uuid;

use super::Engine;
use crate::clock::Millis;
use crate::model::cron::Cron;
use crate::model::notification::{Accepted, Priority};
use crate::store::outbox::{Due, Lane};
use crate::store::retention::{Night, Stage};
use crate::store::{StoreError, Txn};

/// The key of the nightly work among the jobs. Sends have UUIDv7, which are never so small.
pub(super) const NIGHT: Uuid = Uuid::from_u128(1);
/// When it begins, in UTC. Few sit at a minute that is not a round one.
const AT: &str = "17 3 * * *";
const DAY_MS: Millis = 86_400_000;

fn line(night: &Night) -> Due {
    Due::new(Lane::Job, night.next_at, Priority::Low, NIGHT)
}

/// The next time that it begins.
fn next_night(now: Millis) -> Millis {
    let next = Cron::parse(AT).ok().and_then(|cron| cron.next_after(&jiff::tz::TimeZone::UTC, now));
    next.unwrap_or(now.saturating_add(DAY_MS))
}

/// How long each category is kept, in days.
struct Kept {
    days: u32,
    categories: Vec<(String, u32)>,
}

impl Kept {
    fn days_of(&self, accepted: &Accepted) -> u32 {
        let own = self.categories.iter().find(|(name, _)| *name == accepted.notification.category);
        own.map_or(self.days, |(_, days)| *days)
    }

    fn shortest(&self) -> u32 {
        self.categories.iter().map(|(_, days)| *days).fold(self.days, u32::min)
    }

    fn longest(&self) -> u32 {
        self.categories.iter().map(|(_, days)| *days).fold(self.days, u32::max)
    }
}

fn days_before(now: Millis, days: u32) -> Millis {
    now.saturating_sub(Millis::from(days) * DAY_MS)
}

impl Engine {
    /// Sees to it that the nightly work is in the due index.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn plan_night(&self) -> Result<(), StoreError> {
        let now = self.now();
        self.store()
            .commit(move |txn| {
                let night = match txn.night()? {
                    Some(night) => night,
                    None => Night { next_at: next_night(now), ..Night::default() },
                };
                txn.put_night(&night);
                txn.put_due(&line(&night));
                Ok(())
            })
            .await
    }

    /// One step of the nightly work.
    ///
    /// # Errors
    /// Where the store takes no writes; then the step is made again.
    pub(super) async fn night(&self, due: &Due) -> Result<(), StoreError> {
        let (now, days, due) = (self.now(), self.shared.rules.load().retention_days, due.clone());
        self.store()
            .commit(move |txn| {
                if txn.is_due(&due)? {
                    txn.remove_due(&due);
                    let night = step(txn, now, days)?;
                    txn.put_night(&night);
                    txn.put_due(&line(&night));
                }
                Ok(())
            })
            .await
    }
}

fn step(txn: &mut Txn<'_>, now: Millis, days: u32) -> Result<Night, StoreError> {
    let mut night = txn.night()?.unwrap_or_default();
    let categories =
        txn.categories()?.into_iter().filter_map(|c| Some((c.name, c.retention_days?))).collect();
    let kept = Kept { days, categories };
    night.next_at = now;
    let done = match night.stage {
        Stage::Rest => {
            (night.after, night.removed) = (None, 0);
            true
        }
        Stage::Notifications => {
            let keep = |accepted: &Accepted| accepted.accepted_at >= days_before(now, kept.days_of(accepted));
            let trimmed = txn.trim_notifications(night.after, days_before(now, kept.shortest()), keep)?;
            night.removed += trimmed.removed;
            night.after = trimmed.next;
            trimmed.next.is_none()
        }
        Stage::Batches => {
            // Content is shared by notifications of one category, which may be kept longer than others.
            let trimmed = txn.trim_batches(night.after, days_before(now, kept.longest()))?;
            night.after = trimmed.next;
            trimmed.next.is_none()
        }
        // Coarser counts stay: a range that cuts a minute that old holds all of it.
        Stage::Seconds => !txn.trim_seconds(days_before(now, kept.longest()))?,
    };
    if done {
        night.stage = match night.stage {
            Stage::Rest => Stage::Notifications,
            Stage::Notifications => Stage::Batches,
            Stage::Batches => Stage::Seconds,
            Stage::Seconds => {
                night.next_at = next_night(now);
                tracing::info!(
                    removed = night.removed,
                    "let go of old notifications; the store uses their space again"
                );
                Stage::Rest
            }
        };
    }
    Ok(night)
}
