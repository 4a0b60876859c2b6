//! How slow a client may be: with its headers, between its requests and within its bodies.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::{Sleep, Timer};

/// A timer for one connection. Hyper knows one time-out for header blocks, and it also ends a kept connection that
/// waits for its next request; the first block is to be quick, the wait for another one may be longer.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    header_timeout: Duration,
    idle_timeout: Duration,
    served: Arc<AtomicBool>,
}

impl Pace {
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Pace {
        Pace { header_timeout, idle_timeout, served: Arc::default() }
    }

    /// When to give up, where hyper would at `deadline`: the header time-out from now.
    fn patient(&self, deadline: Instant) -> Instant {
        let now = deadline.checked_sub(self.header_timeout).unwrap_or(deadline);
        if self.served.load(Ordering::Relaxed) { now + self.idle_timeout } else { deadline }
    }

    pub(super) fn request_began(&self) {
        self.served.store(true, Ordering::Relaxed);
    }
}

impl Timer for Pace {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait::until(Instant::now() + duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait::until(self.patient(deadline)))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Wait>() {
            Some(wait) => wait.get_mut().move_to(self.patient(new_deadline)),
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// A wait whose end moves on with each request. Moving it on only notes the new end: the runtime's timer is set again
/// when it goes off too early, which is once in a time-out and not once in a request.
struct Wait {
    end: Instant,
    timer: Pin<Box<tokio::time::Sleep>>,
}

impl Wait {
    fn until(end: Instant) -> Wait {
        Wait { end, timer: Box::pin(tokio::time::sleep_until(end.into())) }
    }

    fn move_to(&mut self, end: Instant) {
        self.end = end;
        if end < self.timer.deadline().into_std() {
            self.timer.as_mut().reset(end.into());
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let wait = self.get_mut();
        ready!(wait.timer.as_mut().poll(cx));
        while wait.timer.deadline().into_std() < wait.end {
            wait.timer.as_mut().reset(wait.end.into());
            ready!(wait.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}

impl Sleep for Wait {}

/// A request's body in which no pause may be longer than a bound.
#[derive(Debug)]
pub struct Timed<B> {
    body: B,
    pause_max: Duration,
    patience: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// The client stopped sending in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("the client stopped sending in the middle of a body")]
pub struct TooSlow;

impl<B> Timed<B> {
    pub(super) fn new(body: B, pause_max: Duration) -> Timed<B> {
        Timed { body, pause_max, patience: None }
    }
}

impl<B> Body for Timed<B>
where
    B: Body + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let timed = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut timed.body).poll_frame(cx) {
            timed.patience = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let pause_max = timed.pause_max;
        let patience = timed.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause_max)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_moved_ends_at_its_new_end_and_not_at_the_old_one() {
        let began = tokio::time::Instant::now();
        let at = |seconds| (began + SECOND * seconds).into_std();
        let mut wait = Wait::until(at(10));
        wait.move_to(at(30));
        (&mut wait).await;
        assert_eq!(began.elapsed().as_secs(), 30);
        wait.move_to(at(50));
        wait.move_to(at(40));
        (&mut wait).await;
        assert_eq!(began.elapsed().as_secs(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_shortened_ends_earlier() {
        let began = tokio::time::Instant::now();
        let mut wait = Wait::until((began + SECOND * 10).into_std());
        wait.move_to((began + SECOND * 3).into_std());
        wait.await;
        assert_eq!(began.elapsed().as_secs(), 3);
    }
}
