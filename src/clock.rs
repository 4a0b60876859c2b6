//! The only reader of wall time. Whoever needs the time is given a [`Clock`], so that a test can hold it still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::error::Elapsed;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// An instant as RFC 3339 in UTC, with milliseconds.
pub fn rfc3339(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| format!("{at:.3}"))
}

/// What `work` gives, unless it takes longer than `longest`. What is there at once costs no timer.
///
/// # Errors
/// Where it takes longer.
pub async fn within<T>(longest: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut work = std::pin::pin!(work);
    match futures_util::poll!(work.as_mut()) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => tokio::time::timeout(longest, work).await,
    }
}

/// A source of wall time. Clones share the same source.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The operating system's clock.
    System,
    /// A clock that moves only when told to.
    Manual(Arc<Manual>),
}

/// The hand of a manual clock.
#[derive(Debug)]
pub struct Manual {
    now: AtomicI64,
    moved: Notify,
}

/// The longest that a sleep trusts its timer. A wall clock can jump while a timer runs, so a sleeper looks at the
/// clock again at least this often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

impl Clock {
    /// A clock that stands at `now` until [`Clock::advance`].
    pub fn manual(now: Millis) -> Clock {
        Clock::Manual(Arc::new(Manual { now: AtomicI64::new(now), moved: Notify::new() }))
    }

    /// The present instant.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Clock::Manual(manual) => manual.now.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock forward and wakes those who sleep on it. Does nothing to the system clock.
    pub fn advance(&self, by: Duration) {
        if let Clock::Manual(manual) = self {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            manual.now.fetch_add(by, Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Returns once the clock shows `until` or later. Safe to drop at any point.
    pub async fn sleep_until(&self, until: Millis) {
        loop {
            match self {
                Clock::System => {
                    let left = until.saturating_sub(self.now());
                    let Ok(left) = u64::try_from(left) else { return };
                    if left == 0 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(left).min(LOOK_AGAIN_AFTER)).await;
                }
                Clock::Manual(manual) => {
                    let moved = manual.moved.notified();
                    tokio::pin!(moved);
                    moved.as_mut().enable();
                    if self.now() >= until {
                        return;
                    }
                    moved.await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_on_a_manual_clock_wakes_when_its_instant_comes() {
        let clock = Clock::manual(1_000);
        let sleeper = clock.clone();
        let asleep = async move {
            sleeper.sleep_until(2_000).await;
            sleeper.now()
        };
        let (woke_at, ()) = tokio::join!(asleep, async { clock.advance(Duration::from_secs(1)) });
        assert_eq!(woke_at, 2_000);
    }
}
