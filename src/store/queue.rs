//! What waits for the writer, and how long the writer waits for more of it.
//!
//! A flush costs the same for one write as for a hundred. So a writer that has just answered a crowd gives it a moment
//! to come back before it flushes again; whoever publishes alone is never waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

/// The writer goes ahead once nobody has come for this long: about what a flush takes, so that waiting in vain costs no
/// more than one flush more would have. On a busy core the answers need some of it to get out at all.
const GAP_MAX: Duration = Duration::from_micros(600);
/// The longest that a crowd is waited for, however steadily it comes.
const GATHER_MAX: Duration = Duration::from_millis(4);

/// There is no writer any more.
#[derive(Debug)]
pub(super) struct Closed;

/// The senders' end. When the last clone is dropped the receiver ends.
pub(super) struct Sender<T> {
    queue: Arc<Queue<T>>,
    _alive: Arc<Alive<T>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { queue: self.queue.clone(), _alive: self._alive.clone() }
    }
}

/// The writer's end. Dropping it drops whatever still waits.
pub(super) struct Receiver<T> {
    queue: Arc<Queue<T>>,
    /// How many are expected to come together: as many as were answered and waited at the last turn.
    crowd: usize,
}

struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    places: Semaphore,
}

struct State<T> {
    items: Vec<T>,
    /// The receiver sleeps until there are so many.
    wanted: usize,
    closed: bool,
}

/// Closes the queue when dropped.
struct Alive<T>(Arc<Queue<T>>);

impl<T> Drop for Alive<T> {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.arrived.notify_one();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.queue.places.close();
        let mut state = self.queue.state.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.items);
        drop(state);
        drop(left);
    }
}

/// A queue for at most `len_max` items.
pub(super) fn queue<T>(len_max: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Queue {
        state: Mutex::new(State { items: Vec::new(), wanted: 1, closed: false }),
        arrived: Condvar::new(),
        places: Semaphore::new(len_max),
    });
    let sender = Sender { queue: queue.clone(), _alive: Arc::new(Alive(queue.clone())) };
    (sender, Receiver { queue, crowd: 1 })
}

impl<T> Sender<T> {
    /// Queues an item, waiting for a place where there is none.
    pub(super) async fn send(&self, item: T) -> Result<(), Closed> {
        self.queue.places.acquire().await.map_err(|_| Closed)?.forget();
        let mut state = self.queue.state.lock();
        if state.closed {
            return Err(Closed);
        }
        state.items.push(item);
        let enough = state.items.len() == state.wanted;
        drop(state);
        if enough {
            self.queue.arrived.notify_one();
        }
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Moves what waits into `into`, at most `limit` of it; sleeps while nothing does. Answers false at the end.
    pub(super) fn receive(&mut self, into: &mut Vec<T>, limit: usize) -> bool {
        let queue = &*self.queue;
        let mut state = queue.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            state.wanted = 1;
            queue.arrived.wait(&mut state);
        }
        state.wanted = self.crowd.min(limit);
        let latest = Instant::now() + GATHER_MAX;
        while state.items.len() < state.wanted && !state.closed {
            let (seen, until) = (state.items.len(), latest.min(Instant::now() + GAP_MAX));
            let timed_out = queue.arrived.wait_until(&mut state, until).timed_out();
            if timed_out && (state.items.len() == seen || until == latest) {
                break;
            }
        }
        // Nobody needs to wake a receiver that is at work.
        state.wanted = usize::MAX;
        let taken = state.items.len().min(limit);
        into.extend(state.items.drain(..taken));
        drop(state);
        queue.places.add_permits(taken);
        true
    }

    /// Notes that `count` items are about to be answered, so that whoever sent them may come back.
    pub(super) fn answering(&mut self, count: usize) {
        self.crowd = count + self.queue.state.lock().items.len();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_waits_comes_out_in_order_and_within_the_limit() {
        let (sender, mut receiver) = queue(10);
        for item in 0..5 {
            sender.send(item).await.expect("a place");
        }
        let mut taken = Vec::new();
        assert!(receiver.receive(&mut taken, 3));
        assert_eq!(taken, [0, 1, 2]);
        assert!(receiver.receive(&mut taken, 3));
        assert_eq!(taken, [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_receiver_ends_once_every_sender_is_gone_and_the_queue_is_empty() {
        let (sender, mut receiver) = queue(10);
        sender.send(1).await.expect("a place");
        drop(sender);
        let mut taken = Vec::new();
        assert!(receiver.receive(&mut taken, 10));
        assert!(!receiver.receive(&mut taken, 10));
    }

    #[tokio::test]
    async fn a_sender_is_told_that_there_is_no_receiver() {
        let (sender, receiver) = queue(1);
        sender.send(1).await.expect("a place");
        let waits = sender.send(2);
        drop(receiver);
        assert!(waits.await.is_err());
    }

    #[tokio::test]
    async fn a_full_queue_makes_room_by_what_is_taken() {
        let (sender, mut receiver) = queue(1);
        sender.send(1).await.expect("a place");
        let mut waits = Box::pin(sender.send(2));
        assert!((&mut waits).now_or_never().is_none());
        let mut taken = Vec::new();
        assert!(receiver.receive(&mut taken, 10));
        waits.await.expect("a place");
        assert!(receiver.receive(&mut taken, 10));
        assert_eq!(taken, [1, 2]);
    }

    #[tokio::test]
    async fn a_crowd_that_does_not_come_back_is_not_waited_for_longer_than_a_gap() {
        let (sender, mut receiver) = queue(10);
        sender.send(1).await.expect("a place");
        receiver.answering(5);
        let mut taken = Vec::new();
        assert!(receiver.receive(&mut taken, 10));
        assert_eq!(taken, [1]);
    }
}
