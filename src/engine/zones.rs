//! What the rules of time zones say may change while something waits: a country decides anew when its clocks change, and
//! the system's time-zone data is updated. Whatever waits by the old rules is looked at again then.

use super::Engine;
use crate::clock::Millis;
use crate::model::user::User;
use crate::model::zone::rules_fingerprint;
use crate::store::StoreError;

/// How often it is asked whether the rules have changed.
const EVERY_MS: Millis = 24 * 60 * 60 * 1_000;
/// People looked at in one write.
const STEP_LEN: usize = 64;

impl Engine {
    /// Asks at the start and then daily whether the rules have changed, until the process stops.
    pub async fn run_zones(self) {
        let stopping = self.shared.supervisor.stopping();
        loop {
            if let Err(error) = self.keep_to_zones().await {
                tracing::warn!(%error, "failed to look whether the rules of time zones have changed; trying again in a day");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.shared.clock.sleep_until(self.now().saturating_add(EVERY_MS)) => {}
            }
        }
    }

    /// Looks again at whatever waits for somebody, if the rules are not those that it was planned by.
    ///
    /// # Errors
    /// Where the store cannot be read or written. It is done again then at the next time.
    pub async fn keep_to_zones(&self) -> Result<(), StoreError> {
        let now = self.now();
        let asked = self.shared.supervisor.blocking("time-zones", move || rules_fingerprint(now)).await;
        let Some(rules) = asked else { return Ok(()) };
        let store = &self.shared.store;
        let known = store.zone_rules().await?;
        if known == Some(rules) {
            return Ok(());
        }
        if known.is_some() {
            tracing::info!("the rules of time zones have changed; looking again at whatever waits");
            self.look_at_everybody().await?;
        }
        store
            .commit(move |txn| {
                txn.put_zone_rules(rules);
                Ok(())
            })
            .await
    }

    async fn look_at_everybody(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let people = self.shared.store.people_with_groups(after.take(), STEP_LEN).await?;
            let Some(last) = people.last().cloned() else { return Ok(()) };
            let engine = self.clone();
            self.shared
                .store
                .commit(move |txn| {
                    for id in people {
                        let user = txn.user(&id)?.unwrap_or_else(|| User::named(&id));
                        engine.preferences_changed(txn, &user)?;
                    }
                    Ok::<_, StoreError>(())
                })
                .await?;
            after = Some(last);
        }
    }
}
