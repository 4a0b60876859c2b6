//! Waiting for what hardly ever comes, in a task that wakes for something else all the time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// A future that is polled only after it has woken the task itself. A select polls whatever it waits for whenever the
/// task wakes, and asking a token whether it is cancelled takes a lock that all connections share.
pub(super) struct Seldom<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
}

struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F> Seldom<F> {
    pub(super) fn new(future: F) -> Seldom<F> {
        let bell = Bell { rung: AtomicBool::new(true), task: AtomicWaker::new() };
        Seldom { future: Box::pin(future), bell: Arc::new(bell) }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Whom to wake first, then whether it has rung: it may ring in between.
        self.bell.task.register(cx.waker());
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(self.bell.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_polled_when_it_has_something_to_say_and_not_else() {
        let (token, polled) = (CancellationToken::new(), Cell::new(0));
        let mut cancelled = Box::pin(token.cancelled());
        let counted = std::future::poll_fn(|cx| {
            polled.set(polled.get() + 1);
            cancelled.as_mut().poll(cx)
        });
        let mut seldom = Seldom::new(counted);
        for _ in 0..5 {
            assert!(tokio::time::timeout(Duration::from_millis(1), &mut seldom).await.is_err());
        }
        token.cancel();
        seldom.await;
        assert_eq!(polled.get(), 2);
    }
}
