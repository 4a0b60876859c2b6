//! How slow a client may be: with its headers, between its requests and within its bodies.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;

/// A timer for one connection. Hyper knows one time-out for header blocks, and it also ends a kept connection that
/// waits for its next request; the first block is to be quick, the wait for another one may be longer.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    timer: TokioTimer,
    idle_timeout: Duration,
    served: Arc<AtomicBool>,
}

impl Pace {
    pub(super) fn new(idle_timeout: Duration) -> Pace {
        Pace { timer: TokioTimer::new(), idle_timeout, served: Arc::default() }
    }

    pub(super) fn request_began(&self) {
        self.served.store(true, Ordering::Relaxed);
    }
}

impl Timer for Pace {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.timer.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        if self.served.load(Ordering::Relaxed) {
            self.timer.sleep(self.idle_timeout)
        } else {
            self.timer.sleep_until(deadline)
        }
    }

    fn now(&self) -> Instant {
        self.timer.now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, new_deadline: Instant) {
        *sleep = self.sleep_until(new_deadline);
    }
}

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
