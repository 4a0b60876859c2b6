//! Schedules: each has one line in the due index, for the next instant at which it fires.
//!
//! Firing accepts what is sent, notes it, and moves the line to the next instant, all in one commit: a crash makes the
//! run again or not at all. The next instant lies after the one that was due *and* after now. So a run that was missed
//! while the server was down is made up once, however many were missed; and a clock that is set back repeats nothing.

use std::pin::Pin;
use std::sync::Weak;

use uuid::Uuid;

use super::Engine;
use super::accept::AcceptError;
use super::batch::{Entry, Received};
use super::expand::AT_ONCE_MAX;
use crate::model::ids::new_id;
use crate::model::notification::Priority;
use crate::model::schedule::{Run, Schedule};
use crate::store::outbox::{Due, Lane};
use crate::store::{StoreError, Txn};

/// What a body asks for, once it is read.
pub type Composing<'a> = Pin<Box<dyn Future<Output = Result<Entry, String>> + Send + 'a>>;

/// Reads what a schedule sends: its body is in the wire's form, which the engine does not know.
pub trait Composer: Send + Sync + 'static {
    /// What `body` asks for now, or why it cannot be sent.
    fn compose<'a>(&'a self, body: &'a str) -> Composing<'a>;
}

impl Engine {
    /// From here on the bodies of schedules are read by `composer`, for as long as it is there.
    pub fn compose_by(&self, composer: Weak<dyn Composer>) {
        // A second one would be a mistake of the house's; the first stays.
        let _ = self.shared.composer.set(composer);
    }

    /// Stores a new schedule.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn add_schedule(&self, schedule: Schedule) -> Result<Schedule, StoreError> {
        let (engine, now) = (self.clone(), self.now());
        let fresh = Schedule { id: new_id(now), created_at: now, ..schedule };
        self.store().commit(move |txn| engine.save_schedule(txn, None, fresh)).await
    }

    /// Changes a schedule. `None` where there is none of that id.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn change_schedule(
        &self,
        id: Uuid,
        change: impl FnOnce(&mut Schedule) + Send + 'static,
    ) -> Result<Option<Schedule>, StoreError> {
        let engine = self.clone();
        self.store()
            .commit(move |txn| {
                let Some(mut schedule) = txn.schedule(id)? else { return Ok(None) };
                let before = schedule.clone();
                change(&mut schedule);
                engine.save_schedule(txn, Some(&before), schedule).map(Some)
            })
            .await
    }

    /// Removes a schedule; answers whether there was one.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn delete_schedule(&self, id: Uuid) -> Result<bool, StoreError> {
        self.store()
            .commit(move |txn| {
                let Some(schedule) = txn.schedule(id)? else { return Ok(false) };
                if let Some(line) = line(&schedule) {
                    txn.remove_due(&line);
                }
                txn.remove_schedule(id)?;
                Ok::<_, StoreError>(true)
            })
            .await
    }

    /// Fires a schedule now, beside its times. `None` where there is none of that id.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn run_schedule(&self, id: Uuid) -> Result<Option<Result<Received, String>>, StoreError> {
        let Some(schedule) = self.store().schedule(id).await? else { return Ok(None) };
        let (engine, entry) = (self.clone(), self.compose_body(&schedule.body).await);
        self.store()
            .commit(move |txn| {
                let Some(mut schedule) = txn.schedule(id)? else { return Ok(None) };
                let result = engine.send_for(txn, &mut schedule, entry)?;
                txn.put_schedule(&schedule)?;
                Ok(Some(result))
            })
            .await
    }

    /// Fires a schedule whose line is due.
    ///
    /// # Errors
    /// Where the store takes no writes; then it is fired again.
    pub(super) async fn fire(&self, due: &Due) -> Result<(), StoreError> {
        let seen = self.store().schedule(due.key).await?;
        let entry = match &seen {
            Some(schedule) => self.compose_body(&schedule.body).await,
            None => Err("it is gone".to_owned()),
        };
        let (engine, due) = (self.clone(), due.clone());
        self.store()
            .commit(move |txn| {
                if !txn.is_due(&due)? {
                    return Ok(());
                }
                let Some(mut schedule) = txn.schedule(due.key)? else {
                    txn.remove_due(&due);
                    return Ok(());
                };
                // Changed while it was read: its line is still due, and what it says now is sent next.
                if seen.is_none_or(|seen| seen.updated_at != schedule.updated_at) {
                    return Ok(());
                }
                txn.remove_due(&due);
                let mut entry = entry;
                if let Ok(entry) = &mut entry {
                    entry.name(schedule.run_id(due.at), *schedule.id.as_bytes());
                }
                if let Err(why) = engine.send_for(txn, &mut schedule, entry)? {
                    tracing::warn!(schedule = %schedule.id, %why, "a schedule fired and nothing could be sent");
                }
                schedule.next_at = schedule.next_after(due.at.max(engine.now()));
                engine.follow(txn, &schedule)
            })
            .await
    }

    async fn compose_body(&self, body: &str) -> Result<Entry, String> {
        match self.shared.composer.get().and_then(Weak::upgrade) {
            Some(composer) => composer.compose(body).await,
            None => Err("the server is stopping".to_owned()),
        }
    }

    /// Accepts what a schedule sends, and notes how that went.
    fn send_for(
        &self,
        txn: &mut Txn<'_>,
        schedule: &mut Schedule,
        entry: Result<Entry, String>,
    ) -> Result<Result<Received, String>, StoreError> {
        let result = match entry.map(|entry| self.receive(txn, entry, AT_ONCE_MAX)) {
            Ok(Ok(received)) => Ok(received),
            Ok(Err(AcceptError::Store(error))) => return Err(error),
            Ok(Err(error @ AcceptError::Conflict { .. })) => Err(error.to_string()),
            Err(why) => Err(why),
        };
        schedule.runs += 1;
        let told = result.as_ref().map(Received::id).map_err(Clone::clone);
        schedule.last = Some(Run { at: self.now(), result: told });
        Ok(result)
    }

    /// Writes a schedule that somebody made or changed, with its line moved to where it belongs now.
    fn save_schedule(
        &self,
        txn: &mut Txn<'_>,
        before: Option<&Schedule>,
        mut schedule: Schedule,
    ) -> Result<Schedule, StoreError> {
        // Two changes within a millisecond are still two.
        schedule.updated_at = self.now().max(schedule.updated_at + 1);
        // A run that is due already is not lost because somebody changes what is sent, or the name.
        if before.is_none_or(|before| before.when() != schedule.when()) {
            if let Some(line) = before.and_then(line) {
                txn.remove_due(&line);
            }
            schedule.next_at = schedule.next_after(self.now());
        }
        self.follow(txn, &schedule)?;
        Ok(schedule)
    }

    /// Writes a schedule and the line that its next instant wants.
    fn follow(&self, txn: &mut Txn<'_>, schedule: &Schedule) -> Result<(), StoreError> {
        txn.put_schedule(schedule)?;
        if let Some(line) = line(schedule) {
            txn.put_due(&line);
            let shared = self.shared.clone();
            txn.after(move || shared.wake.notify_one());
        }
        Ok(())
    }
}

/// The line in the due index that a schedule has.
fn line(schedule: &Schedule) -> Option<Due> {
    Some(Due::new(Lane::Schedule, schedule.next_at?, Priority::Medium, schedule.id))
}
