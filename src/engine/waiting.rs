//! Requests that wait for a notification to settle.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use uuid::Uuid;

type Bells = Arc<Mutex<HashMap<Uuid, (Arc<Notify>, usize)>>>;

/// Who waits for which notification. Empty, and free, while nobody does.
#[derive(Default)]
pub(super) struct Waiting {
    bells: Bells,
}

/// One that waits; it is forgotten when dropped.
pub(super) struct Wait {
    bells: Bells,
    bell: Arc<Notify>,
    key: Uuid,
}

impl Waiting {
    pub(super) fn join(&self, key: Uuid) -> Wait {
        let mut bells = self.bells.lock();
        let (bell, waiting) = bells.entry(key).or_default();
        *waiting += 1;
        Wait { bells: self.bells.clone(), bell: bell.clone(), key }
    }

    /// Tells those who wait for `key` to look again.
    pub(super) fn ring(&self, key: Uuid) {
        if let Some((bell, _)) = self.bells.lock().get(&key) {
            bell.notify_waiters();
        }
    }
}

impl Wait {
    pub(super) fn changed(&self) -> Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut bells = self.bells.lock();
        if let Some((_, waiting)) = bells.get_mut(&self.key) {
            *waiting -= 1;
            if *waiting == 0 {
                bells.remove(&self.key);
            }
        }
    }
}
