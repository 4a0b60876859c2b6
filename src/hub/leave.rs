//! What a connection does by somebody's leave, and how it learns that the leave is withdrawn.
//!
//! A connection asks for a leave *before* it looks whether it may: a withdrawal that comes between the look and the deed
//! then still reaches it. Whoever asks for none costs nothing here.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::Hub;

/// So that those who come and go at once seldom meet at one lock.
const SHARDS: usize = 16;
/// Connections looked at under one lock when all users are sent off.
const PAGE_LEN: usize = 256;

/// A leave that can be withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Leave {
    /// To be here with the API key of this id.
    Key(String),
    /// A user's to watch a channel, because somebody lists them.
    Member {
        /// The user.
        user: String,
        /// The channel's name.
        channel: String,
    },
}

/// Who holds which leave.
#[derive(Debug)]
pub(super) struct LeaveBook {
    hasher: RandomState,
    shards: [Mutex<HashMap<Leave, BTreeMap<u64, Arc<Ear>>>>; SHARDS],
    next: AtomicU64,
}

/// Where a withdrawal is told to one connection.
#[derive(Debug, Default)]
struct Ear {
    state: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    withdrawn: Vec<Leave>,
    waker: Option<Waker>,
}

/// The leaves of one connection, owned by its task. They are given back when dropped.
#[derive(Debug)]
pub struct Leaves {
    hub: Hub,
    number: u64,
    ear: Arc<Ear>,
    held: Vec<Leave>,
}

impl LeaveBook {
    pub(super) fn new() -> LeaveBook {
        LeaveBook {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            next: AtomicU64::new(0),
        }
    }

    fn shard(&self, leave: &Leave) -> &Mutex<HashMap<Leave, BTreeMap<u64, Arc<Ear>>>> {
        // The remainder is below SHARDS.
        &self.shards[(self.hasher.hash_one(leave) % SHARDS as u64) as usize]
    }

    fn forget(&self, leave: &Leave, number: u64) {
        let mut shard = self.shard(leave).lock();
        if let Some(holders) = shard.get_mut(leave) {
            holders.remove(&number);
            if holders.is_empty() {
                shard.remove(leave);
            }
        }
    }
}

impl Hub {
    /// Withdraws a leave from every connection that holds it. Answers how many did.
    pub fn withdraw(&self, leave: &Leave) -> usize {
        let holders = self.shared.leaves.shard(leave).lock().remove(leave).unwrap_or_default();
        for ear in holders.values() {
            let mut told = ear.state.lock();
            told.withdrawn.push(leave.clone());
            let waker = told.waker.take();
            drop(told);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        holders.len()
    }
}

impl Hub {
    /// Closes the connections of every user with `code`: their tokens are good no more.
    pub fn close_users(&self, code: u16) {
        let mut after = None;
        loop {
            let (views, next) = self.list(after.as_deref(), PAGE_LEN, None);
            for view in views.iter().filter(|view| view.user_id.is_some()) {
                self.kick(&view.id, code);
            }
            match next {
                Some(next) => after = Some(next),
                None => return,
            }
        }
    }
}

impl Leaves {
    /// No leave yet.
    pub fn new(hub: &Hub) -> Leaves {
        let number = hub.shared.leaves.next.fetch_add(1, Ordering::Relaxed);
        Leaves { hub: hub.clone(), number, ear: Arc::default(), held: Vec::new() }
    }

    /// Holds a leave from now on.
    pub fn ask(&mut self, leave: Leave) {
        if self.held.contains(&leave) {
            return;
        }
        let mut shard = self.hub.shared.leaves.shard(&leave).lock();
        shard.entry(leave.clone()).or_default().insert(self.number, self.ear.clone());
        drop(shard);
        self.held.push(leave);
    }

    /// Holds a leave no more.
    pub fn give_back(&mut self, leave: &Leave) {
        if let Some(place) = self.held.iter().position(|held| held == leave) {
            self.held.swap_remove(place);
            self.hub.shared.leaves.forget(leave, self.number);
        }
    }

    /// Ready when a leave has been withdrawn. One task only may poll: the last one is woken.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut told = self.ear.state.lock();
        if !told.withdrawn.is_empty() {
            return Poll::Ready(());
        }
        match &told.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(_) | None => told.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// What has been withdrawn since this was last asked, and is held no more.
    pub fn withdrawn(&mut self) -> Vec<Leave> {
        let withdrawn = std::mem::take(&mut self.ear.state.lock().withdrawn);
        self.held.retain(|held| !withdrawn.contains(held));
        withdrawn
    }
}

impl Drop for Leaves {
    fn drop(&mut self) {
        for leave in &self.held {
            self.hub.shared.leaves.forget(leave, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::super::Limits;
    use super::*;
    use crate::clock::Clock;

    fn hub() -> Hub {
        let limits = Limits {
            connections_max: 10,
            connections_per_user_max: 10,
            queue_len_max: 10,
            queue_bytes_max: 1_000,
        };
        Hub::new(limits, Clock::manual(0))
    }

    fn member(user: &str) -> Leave {
        Leave::Member { user: user.to_owned(), channel: "topic:ops".to_owned() }
    }

    fn is_ready(leaves: &Leaves) -> bool {
        leaves.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_withdrawn_leave_is_told_to_all_who_hold_it_and_to_nobody_else() {
        let hub = hub();
        let (mut one, mut two, mut other) = (Leaves::new(&hub), Leaves::new(&hub), Leaves::new(&hub));
        one.ask(member("ada"));
        one.ask(Leave::Key("k".to_owned()));
        two.ask(member("ada"));
        other.ask(member("bob"));
        assert!(!is_ready(&one));
        assert_eq!(hub.withdraw(&member("ada")), 2);
        assert_eq!((is_ready(&one), is_ready(&two), is_ready(&other)), (true, true, false));
        assert_eq!(one.withdrawn(), [member("ada")]);
        assert!(!is_ready(&one));
        assert_eq!(hub.withdraw(&member("ada")), 0);
        one.ask(member("ada"));
        assert_eq!(hub.withdraw(&member("ada")), 1);
        assert_eq!(other.withdrawn(), []);
    }

    #[test]
    fn what_is_given_back_or_dropped_is_held_no_more() {
        let hub = hub();
        let (mut one, mut two) = (Leaves::new(&hub), Leaves::new(&hub));
        one.ask(member("ada"));
        one.ask(member("ada"));
        two.ask(member("ada"));
        one.give_back(&member("ada"));
        drop(two);
        assert_eq!(hub.withdraw(&member("ada")), 0);
        assert!(hub.shared.leaves.shards.iter().all(|shard| shard.lock().is_empty()));
    }
}
