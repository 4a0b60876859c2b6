//! Giving messages to one connection: straight to its socket where that is free, otherwise to its backlog.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;
use tokio::net::TcpStream;

use super::frame::{Frame, Publication};
use super::line::Line;
use super::{Hub, Limits, Shared};
use crate::clock::Millis;

/// Frames in one write. Their slices are on the stack for the time of the call.
const SLICES_MAX: usize = 64;

/// Some visits at one moment. What they come to is counted when it is dropped.
pub(super) struct Round<'a> {
    shared: &'a Shared,
    limits: Guard<Arc<Limits>>,
    now: Millis,
    sent: u64,
    pub(super) overflows: u64,
}

impl Hub {
    pub(super) fn round(&self) -> Round<'_> {
        let shared = &*self.shared;
        Round { shared, limits: shared.limits.load(), now: shared.clock.now(), sent: 0, overflows: 0 }
    }
}

impl Round<'_> {
    /// Gives a connection what of this is for it. Never waits for the socket. Answers whether it gets any.
    pub(super) fn deliver(&mut self, line: &Line, publications: &[Publication]) -> bool {
        let mut state = line.state.lock();
        if state.closing.is_some() {
            return false;
        }
        // One at a time is the ordinary case, and needs no list.
        let (one, many);
        let due: &[&Frame] = match publications {
            [only] if state.is_due(only) => {
                one = [&only.frame];
                &one
            }
            [_] => &[],
            several => {
                let due = several.iter().filter(|one| state.is_due(one)).map(|one| &one.frame);
                many = due.collect::<Vec<_>>();
                &many
            }
        };
        if due.is_empty() {
            // Who replays reads it from the store.
            return state.replaying;
        }
        let (whole, begun) = state.open_socket().map_or((0, 0), |socket| write(socket, due));
        if whole > 0 {
            self.sent += whole as u64;
            line.sent.fetch_add(whole as u64, Ordering::Relaxed);
            line.touch(self.now, &self.shared.activity);
        }
        let mut written = begun;
        let kept = due[whole..].iter().all(|frame| {
            let rest = frame.rest(std::mem::take(&mut written));
            state.keep(rest, &self.limits)
        });
        if !kept {
            self.overflows += 1;
        }
        let waker = if whole < due.len() { state.rouse() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        kept
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.shared.sent.fetch_add(self.sent, Ordering::Relaxed);
        self.shared.overflows.fetch_add(self.overflows, Ordering::Relaxed);
    }
}

/// Writes as far as the socket takes it. Answers how many frames are through, and how many bytes of the next one.
fn write(socket: &TcpStream, frames: &[&Frame]) -> (usize, usize) {
    let mut whole = 0;
    while whole < frames.len() {
        let some = &frames[whole..frames.len().min(whole + SLICES_MAX)];
        // The owner meets an error as well, and knows what to do about it.
        let mut taken = write_some(socket, some).unwrap_or(0);
        let count = some.iter().take_while(|frame| {
            let through = frame.len() <= taken;
            taken -= if through { frame.len() } else { 0 };
            through
        });
        let count = count.count();
        whole += count;
        if count < some.len() {
            return (whole, taken);
        }
    }
    (whole, 0)
}

fn write_some(socket: &TcpStream, frames: &[&Frame]) -> io::Result<usize> {
    if let [frame] = frames {
        return socket.try_write(frame.bytes());
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    for (slice, frame) in slices.iter_mut().zip(frames) {
        *slice = IoSlice::new(frame.bytes());
    }
    socket.try_write_vectored(&slices[..frames.len()])
}
