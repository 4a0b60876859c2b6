//! What a workflow reports: pushed to those who watch it, and made a notification where somebody has to know.

use super::Engine;
use crate::model::workflow::Progress;
use crate::store::StoreError;

impl Engine {
    /// Pushes a workflow's progress to those who watch it. Nothing of it is kept.
    pub fn push_progress(&self, progress: &Progress) {
        self.shared.watcher.moved(progress);
    }

    /// Keeps that `user` takes part in what an event was about, so that they may watch it.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn keep_participation(&self, user: &str, progress: &Progress) -> Result<(), StoreError> {
        let (store, now) = (&self.shared.store, self.now());
        let session = progress.session_id.iter().filter(|session| **session != progress.workflow_id);
        let workflows: Vec<String> = std::iter::once(&progress.workflow_id).chain(session).cloned().collect();
        // Nearly always it is known already, and a look is cheaper than a write.
        if store.participates_today(user, &workflows, now).await? {
            return Ok(());
        }
        let user = user.to_owned();
        store
            .commit(move |txn| {
                workflows.iter().try_for_each(|workflow| txn.put_participation(&user, workflow, now))
            })
            .await
    }
}
