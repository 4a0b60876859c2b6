//! Many notifications that belong together: how far they are, and what went wrong.

use uuid::Uuid;

use crate::clock::Millis;

/// The most reasons that a batch remembers; how many failed is counted beyond it. A batch in one body never has more.
pub const ERRORS_LEN_MAX: usize = 1_000;
/// The most characters of one reason.
pub const ERROR_CHARS_MAX: usize = 500;

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// More of it is on its way in.
    Running,
    /// All of it was looked at.
    Completed,
    /// It broke off: what was taken stays taken, the rest never came.
    Interrupted,
    /// It was withdrawn.
    Canceled,
}

impl BatchState {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            BatchState::Running => "running",
            BatchState::Completed => "completed",
            BatchState::Interrupted => "interrupted",
            BatchState::Canceled => "canceled",
        }
    }
}

/// A batch, or one message that is being sent to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id (UUIDv7).
    pub id: Uuid,
    /// Where it stands.
    pub state: BatchState,
    /// The run of the program that takes it in, where it is taken in by one request: it dies with it.
    pub run: Option<Uuid>,
    /// When it began.
    pub created_at: Millis,
    /// When it ended, if it has.
    pub finished_at: Option<Millis>,
    /// Notifications looked at so far.
    pub total: u64,
    /// How many there will be, where that is known.
    pub expected: Option<u64>,
    /// Notifications accepted.
    pub successful: u64,
    /// Notifications that were not.
    pub failed: u64,
    /// Notifications of which something was withdrawn with the batch.
    pub canceled: u64,
    /// Why, of the first [`ERRORS_LEN_MAX`] that failed.
    pub errors: Vec<String>,
    /// How many lists of its notifications there are: one for each commit that took some of them.
    pub parts: u32,
}

impl Batch {
    /// One that begins now.
    pub fn new(id: Uuid, now: Millis) -> Batch {
        Batch {
            id,
            state: BatchState::Running,
            run: None,
            created_at: now,
            finished_at: None,
            total: 0,
            expected: None,
            successful: 0,
            failed: 0,
            canceled: 0,
            errors: Vec::new(),
            parts: 0,
        }
    }

    /// Where it stands for the program's run `run`: what another run was taking in has broken off.
    pub fn state_in(&self, run: Uuid) -> BatchState {
        match (self.state, self.run) {
            (BatchState::Running, Some(taker)) if taker != run => BatchState::Interrupted,
            (state, _) => state,
        }
    }

    /// Counts a notification that was accepted.
    pub fn took(&mut self) {
        self.total += 1;
        self.successful += 1;
    }

    /// Counts one that was refused.
    pub fn refused(&mut self, why: &str) {
        self.total += 1;
        self.failed += 1;
        if self.errors.len() < ERRORS_LEN_MAX {
            self.errors.push(why.chars().take(ERROR_CHARS_MAX).collect());
        }
    }

    /// Ends it.
    pub fn end(&mut self, state: BatchState, now: Millis) {
        self.state = state;
        self.finished_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_run_was_taking_in_has_broken_off() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut batch = Batch { run: Some(one), ..Batch::new(Uuid::from_u128(9), 0) };
        assert_eq!(batch.state_in(one), BatchState::Running);
        assert_eq!(batch.state_in(other), BatchState::Interrupted);
        batch.end(BatchState::Completed, 1);
        assert_eq!(batch.state_in(other), BatchState::Completed);
    }

    #[test]
    fn reasons_are_remembered_within_bounds_and_counted_beyond() {
        let mut batch = Batch::new(Uuid::from_u128(9), 0);
        (0..ERRORS_LEN_MAX + 5).for_each(|_| batch.refused(&"x".repeat(1_000)));
        assert_eq!((batch.failed as usize, batch.errors.len()), (ERRORS_LEN_MAX + 5, ERRORS_LEN_MAX));
        assert!(batch.errors.iter().all(|error| error.len() == ERROR_CHARS_MAX));
    }
}
