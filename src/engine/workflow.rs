//! What a workflow reports: pushed to those who watch it, and made a notification where somebody has to know.

use super::Engine;
use crate::model::workflow::Progress;

impl Engine {
    /// Pushes a workflow's progress to those who watch it. Nothing of it is kept.
    pub fn push_progress(&self, progress: &Progress) {
        self.shared.watcher.moved(progress);
    }
}
