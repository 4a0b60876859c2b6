//! When a socket takes nothing: busy at first, stalled after a while, and then bound tightly.

use super::Socket;
use crate::clock::Millis;
use crate::ws::Backend;

/// A socket that has taken nothing for so long is stalled, and not merely busy.
const STALLED_AFTER_MS: Millis = 250;

impl<B: Backend> Socket<B> {
    /// The socket took nothing: what is held here counts against the connection's bound.
    pub(super) fn block(&mut self) {
        if self.blocked.is_none() {
            self.blocked = Some((self.shared.clock.now(), false));
            if let Some(attachment) = &self.session.attachment {
                attachment.hold(self.out.len(), self.out.bytes(), false);
            }
        }
    }

    pub(super) fn unblock(&mut self) {
        if self.blocked.take().is_some()
            && let Some(attachment) = &self.session.attachment
        {
            attachment.hold(0, 0, false);
        }
    }

    pub(super) fn note_stall(&mut self, now: Millis) {
        if let Some((since, false)) = self.blocked
            && now >= since.saturating_add(STALLED_AFTER_MS)
        {
            self.blocked = Some((since, true));
            if let Some(attachment) = &self.session.attachment {
                attachment.hold(self.out.len(), self.out.bytes(), true);
            }
        }
    }

    pub(super) fn next_due(&self) -> Millis {
        match self.blocked {
            Some((since, false)) => self.session.next_due().min(since.saturating_add(STALLED_AFTER_MS)),
            Some((_, true)) | None => self.session.next_due(),
        }
    }
}
