//! Letting go of what has run out: kept answers after a day, kept messages and calls to endpoints beyond their number.

use super::Engine;
use crate::store::StoreError;

/// How often it is looked for.
const EVERY_MS: i64 = 60_000;

impl Engine {
    /// Sweeps every minute until the process stops.
    pub async fn run_retention(self) {
        let stopping = self.shared.supervisor.stopping();
        loop {
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "failed to remove what has run out; trying again in a minute");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.shared.clock.sleep_until(self.now() + EVERY_MS) => {}
            }
        }
    }

    /// Removes what has run out by now.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        while self.shared.store.sweep_answers(self.now()).await? {}
        let now = self.now();
        while self.shared.store.commit(move |txn| txn.sweep_participations(now)).await? {}
        let keep = self.shared.rules.load().captures_max;
        while self.shared.store.commit(move |txn| txn.trim_captures(keep)).await? {}
        self.sweep_endpoints().await
    }
}
