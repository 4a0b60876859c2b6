//! The walks over large audiences: which are under way, and the task that takes the next step.
//!
//! Crowds take turns, so that a large one does not hold up a small one. Several tasks may share the work; a crowd is
//! with one of them at a time, which keeps its messages in order.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::crowd::Crowd;
use super::frame::Publication;
use super::{CLOSE_SLOW_CONSUMER, Hub};

/// The crowds that are being walked over, the next one first.
#[derive(Debug, Default)]
pub(super) struct FanOut {
    walks: Mutex<VecDeque<Arc<Crowd>>>,
    work: Notify,
}

impl FanOut {
    pub(super) fn publish(&self, crowd: Arc<Crowd>, publication: Publication) {
        if crowd.publish(publication) {
            self.go_on(crowd);
            self.work.notify_one();
        }
    }

    fn go_on(&self, crowd: Arc<Crowd>) {
        self.walks.lock().push_back(crowd);
    }
}

/// Puts a crowd back in the queue, after a panic too.
struct Step<'a> {
    fan_out: &'a FanOut,
    crowd: Arc<Crowd>,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.fan_out.go_on(self.crowd.clone());
    }
}

impl Hub {
    /// Carries messages to large audiences until `stopping`. At least one such task must run.
    pub async fn run_fan_out(self, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            if self.fan_out_turn() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = self.shared.fan_out.work.notified() => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    /// Takes one step in one walk. Answers false if there is none.
    pub fn fan_out_turn(&self) -> bool {
        let fan_out = &self.shared.fan_out;
        let Some(crowd) = fan_out.walks.lock().pop_front() else { return false };
        let Some(chunk) = crowd.next() else { return true };
        let _step = Step { fan_out, crowd };
        let mut round = self.round();
        chunk.each(|line, unseen| match unseen {
            Some(publications) => {
                round.deliver(line, publications);
            }
            None => {
                if line.close(CLOSE_SLOW_CONSUMER) {
                    round.overflows += 1;
                }
            }
        });
        true
    }
}
