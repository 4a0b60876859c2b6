//! The messages of one crowd that not everybody in it has been given: a bounded ring, numbered from the beginning.

use std::collections::VecDeque;

use uuid::Uuid;

use super::frame::Publication;

/// Messages that may wait for the walk. Whoever is not reached in time falls off and resumes.
const LOG_LEN_MAX: usize = 65_536;
/// The same in bytes.
const LOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What waits, and where the walk over the crowd stands.
#[derive(Debug, Default)]
pub(super) struct Log {
    waiting: VecDeque<Publication>,
    bytes: usize,
    /// The number of the first one that waits.
    base: u64,
    /// The head when the walk last began at the first member: at the end of the round all have what was before it.
    round_head: u64,
    /// The last member that was visited; nil before the first.
    pub(super) at: Uuid,
    /// Whether somebody is walking, or about to.
    pub(super) walking: bool,
}

impl Log {
    /// The number of the next message.
    pub(super) fn head(&self) -> u64 {
        self.base + self.waiting.len() as u64
    }

    /// The number of the oldest message that is there.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, publication: Publication) {
        self.bytes += publication.frame.len();
        self.waiting.push_back(publication);
        while self.waiting.len() > LOG_LEN_MAX || self.bytes > LOG_BYTES_MAX && self.waiting.len() > 1 {
            self.drop_first();
        }
    }

    /// The messages from number `from` on, as far as they are there.
    pub(super) fn since(&self, from: u64) -> Vec<Publication> {
        let skipped = usize::try_from(from.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.waiting.iter().skip(skipped).cloned().collect()
    }

    pub(super) fn begin_round(&mut self) {
        self.round_head = self.head();
    }

    /// The last member has been visited: what waited when the round began has reached all.
    pub(super) fn end_round(&mut self) {
        self.at = Uuid::nil();
        while self.base < self.round_head && !self.waiting.is_empty() {
            self.drop_first();
        }
        if self.waiting.is_empty() {
            // A burst must not be paid for for ever.
            self.waiting = VecDeque::new();
        }
    }

    fn drop_first(&mut self) {
        if let Some(gone) = self.waiting.pop_front() {
            self.bytes -= gone.frame.len();
            self.base += 1;
        }
    }
}
