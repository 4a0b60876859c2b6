//! Taking what is due, as much as there is room for, and starting it.
//!
//! A delivery that is taken is leased for as long as its task lives. Leases stand in memory: only one process can have
//! the store open, so a lease that a crash forgets is one that nobody holds, and the line in the due index is still
//! there. It goes in the same commit that records the outcome.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::Engine;
use super::backup::{self, BACKUP};
use super::night::NIGHT;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::store::StoreError;
use crate::store::outbox::{Due, Lane, Wanted};

/// How long a delivery, or the loop itself, rests after the store could not be read or written.
const REST_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Every so many turns what matters least and waits goes first: however much urgent work comes, none of it starves.
const LEAST_FIRST_EVERY: u64 = 8;

/// Jobs under way at once: steps of up to 128 notifications each, and the backup. Three, so that neither that nor one
/// that cannot go on stops all.
const JOB_SLOTS: usize = 3;

/// Schedules that fire at once.
const SCHEDULE_SLOTS: usize = 8;

/// How many deliveries there may be for each slot, those that have left and are only written down included.
const WRITTEN_PER_SLOT_MAX: usize = 8;

/// What is under way, by lane and notification.
#[derive(Clone, Default)]
pub(super) struct Leases {
    held: Arc<Mutex<HashMap<(Lane, Uuid), Held>>>,
    /// Rung when one is given back.
    freed: Arc<Notify>,
}

/// How something under way is held.
#[derive(Clone, Copy)]
struct Held {
    /// Until when its lease runs.
    until: Millis,
    /// Whether it has left, so that its slot is free, and only what came of it is still to be written.
    left: bool,
}

/// A delivery that is under way. Dropping it gives it back.
struct Lease {
    leases: Leases,
    delivery: (Lane, Uuid),
    until: Millis,
}

impl Leases {
    fn take(&self, due: &Due, until: Millis) -> Lease {
        let delivery = (due.lane, due.key);
        self.held.lock().insert(delivery, Held { until, left: false });
        Lease { leases: self.clone(), delivery, until }
    }

    /// Whether the delivery is under way.
    pub(super) fn holds(&self, lane: Lane, key: Uuid) -> bool {
        self.held.lock().contains_key(&(lane, key))
    }

    pub(super) fn count(&self, lane: Lane) -> usize {
        self.held.lock().keys().filter(|(of, _)| *of == lane).count()
    }

    /// A delivery has left. Another may take its slot while what came of it is written: waiting for the disk is no reason
    /// to let a connection to a provider wait.
    pub(super) fn leaves(&self, lane: Lane, key: Uuid) {
        if let Some(held) = self.held.lock().get_mut(&(lane, key)) {
            held.left = true;
        }
        self.freed.notify_one();
    }

    /// How many more of a lane may start that has so many slots.
    fn free(&self, lane: Lane, slots: usize) -> usize {
        let held = self.held.lock();
        let of_lane = held.iter().filter(|((of, _), _)| *of == lane);
        let (all, busy) =
            of_lane.fold((0, 0), |(all, busy), (_, held)| (all + 1, busy + usize::from(!held.left)));
        slots.saturating_sub(busy).min((slots * WRITTEN_PER_SLOT_MAX).saturating_sub(all))
    }

    /// When the first of them runs out.
    pub(super) fn first_end(&self) -> Option<Millis> {
        self.held.lock().values().map(|held| held.until).min()
    }

    /// Forgets leases that have run out: whoever held them hangs.
    fn expire(&self, now: Millis) {
        self.held.lock().retain(|(lane, key), held| {
            let holds = held.until > now;
            if !holds {
                tracing::warn!(%lane, %key, "a delivery outlived its lease and is taken again");
            }
            holds
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held.lock();
        // Another may have taken it since the lease ran out.
        if held.get(&self.delivery).is_some_and(|held| held.until == self.until) {
            held.remove(&self.delivery);
        }
        drop(held);
        self.leases.freed.notify_one();
    }
}

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Deliveries taken.
    pub taken: usize,
    /// When the next one is due, as far as this turn saw.
    pub next: Option<Millis>,
}

fn is_backup(due: &Due) -> bool {
    due.lane == Lane::Job && due.key == BACKUP
}

impl Engine {
    /// Takes and delivers what is due until the process stops. Asleep while nothing is.
    pub async fn run_dispatch(self) {
        let stopping = self.shared.supervisor.stopping();
        if let Err(error) = self.plan_night().await {
            tracing::warn!(%error, "failed to plan the nightly work");
        }
        if let Err(error) = self.plan_backups().await {
            tracing::error!(%error, "failed to plan the nightly backup");
        }
        loop {
            // Armed before the look, so that what comes in during it is not slept over.
            let (woken, freed) = (self.shared.wake.notified(), self.shared.leases.freed.notified());
            let turn = self.turn().await.unwrap_or_else(|error| {
                tracing::error!(%error, "failed to look at what is due");
                Turn { taken: 0, next: Some(self.now() + 1_000) }
            });
            let next_due = self.shared.clock.sleep_until(turn.next.unwrap_or(Millis::MAX));
            tokio::select! {
                () = stopping.cancelled() => return,
                () = woken => {}
                () = freed => {}
                () = next_due => {}
            }
        }
    }

    /// Takes what is due now, as much as there are free slots for, and starts its delivery.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn turn(&self) -> Result<Turn, StoreError> {
        let (now, rules) = (self.now(), self.shared.rules.load_full());
        self.shared.leases.expire(now);
        let lease_ms = Millis::try_from(rules.lease.as_millis()).unwrap_or(Millis::MAX);
        let least_first = self.shared.turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(LEAST_FIRST_EVERY);
        let channels = Channel::ALL.into_iter().map(|c| (Lane::Channel(c), rules.slots(c)));
        let mut look_again = None;
        let lanes: Vec<Wanted> = channels
            .chain([(Lane::Schedule, SCHEDULE_SLOTS), (Lane::Job, JOB_SLOTS)])
            .filter_map(|(lane, slots)| {
                let free = self.shared.leases.free(lane, slots);
                let (limit, until) = match lane {
                    Lane::Channel(channel) => self.shared.lanes.room(channel, &rules, now, free),
                    Lane::Schedule | Lane::Job => (free, None),
                };
                look_again = look_again.into_iter().chain(until).min();
                // A finished delivery wakes the loop.
                (limit > 0).then_some(Wanted { lane, limit, least_first })
            })
            .collect();
        let leases = self.shared.leases.clone();
        let taken = move |lane, key| leases.holds(lane, key);
        let front = self.shared.store.due(lanes, now, taken).await?;
        let taken = front.due.len();
        for due in front.due {
            let lease_ms = if is_backup(&due) { backup::LEASE_MS } else { lease_ms };
            let lease = self.shared.leases.take(&due, now.saturating_add(lease_ms));
            if let Lane::Channel(channel) = due.lane {
                self.shared.lanes.starts(channel, &rules, now);
            }
            let (engine, key) = (self.clone(), due.key);
            self.shared.supervisor.spawn("delivery", async move {
                engine.deliver(due).await;
                drop(lease);
                // Those who wait for the attempt to end look at the lease.
                engine.shared.waiting.ring(key);
            });
        }
        let next = front.next.into_iter().chain(self.shared.leases.first_end()).chain(look_again).min();
        Ok(Turn { taken, next })
    }

    async fn deliver(&self, due: Due) {
        let work = async {
            match due.lane {
                Lane::Channel(channel) => self.attempt(channel, &due).await,
                Lane::Job if is_backup(&due) => self.back_up(&due).await,
                Lane::Job if due.key == NIGHT => self.night(&due).await,
                Lane::Job => self.expand(&due).await,
                Lane::Schedule => self.fire(&due).await,
            }
        };
        let error = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        // The line is still there: it is taken again once the lease is given back, and not at once.
        tracing::error!(lane = %due.lane, key = %due.key, %error, "failed to make or record what was due");
        tokio::time::sleep(REST_AFTER_ERROR).await;
    }
}
