//! Which endpoints have something due, and when: so that a turn looks at those and at no others, however many there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::Millis;
use crate::store::endpoint_events::EventPlace;

/// Calls to one endpoint at once: a slow one holds no more than these.
pub(super) const CALLS_PER_ENDPOINT_MAX: usize = 4;
/// Calls to all endpoints at once.
pub(super) const CALLS_MAX: usize = 256;

/// The agenda. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Agenda {
    inner: Arc<Mutex<Inner>>,
    /// Rung when something may have become due, or a call has ended.
    pub(super) changed: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    /// The earliest instant at which an endpoint may have something due. One that is not here has nothing.
    next: HashMap<Uuid, Millis>,
    /// What is under way.
    calls: HashMap<Uuid, Vec<EventPlace>>,
    calls_len: usize,
    /// Endpoints that were called since they were last swept.
    called: HashSet<Uuid>,
}

/// A call that is under way. Dropping it gives its place to the next.
pub(super) struct Calling {
    agenda: Agenda,
    place: EventPlace,
}

impl Agenda {
    /// Notes that `endpoint` may have something due at `at`.
    pub(super) fn note(&self, endpoint: Uuid, at: Millis) {
        let mut inner = self.inner.lock();
        let next = inner.next.entry(endpoint).or_insert(at);
        *next = at.min(*next);
        drop(inner);
        self.changed.notify_one();
    }

    /// The endpoints that may have something due at `now` and may be called, with the number of calls that each may
    /// have more. They leave the agenda: what is still to come for them is to be noted again.
    pub(super) fn take(&self, now: Millis) -> Vec<(Uuid, usize)> {
        let inner = &mut *self.inner.lock();
        let mut left = CALLS_MAX.saturating_sub(inner.calls_len);
        let mut taken = Vec::new();
        let calls = &inner.calls;
        inner.next.retain(|endpoint, at| {
            let free =
                CALLS_PER_ENDPOINT_MAX.saturating_sub(calls.get(endpoint).map_or(0, Vec::len)).min(left);
            if *at > now || free == 0 {
                return true;
            }
            left -= free;
            taken.push((*endpoint, free));
            false
        });
        taken
    }

    /// When the next endpoint that may be called has something due. One that may not be called now is looked at when
    /// one of its calls ends.
    pub(super) fn next(&self) -> Option<Millis> {
        let inner = self.inner.lock();
        if inner.calls_len >= CALLS_MAX {
            return None;
        }
        let free = |endpoint: &Uuid| inner.calls.get(endpoint).map_or(0, Vec::len) < CALLS_PER_ENDPOINT_MAX;
        inner.next.iter().filter(|(endpoint, _)| free(endpoint)).map(|(_, at)| *at).min()
    }

    /// Notes that a call to `endpoint` was remembered.
    pub(super) fn note_called(&self, endpoint: Uuid) {
        self.inner.lock().called.insert(endpoint);
    }

    /// The endpoints that were called since this was last asked.
    pub(super) fn take_called(&self) -> HashSet<Uuid> {
        std::mem::take(&mut self.inner.lock().called)
    }

    /// Whether what is at `place` is under way.
    pub(super) fn is_under_way(&self, place: &EventPlace) -> bool {
        self.inner.lock().calls.get(&place.endpoint).is_some_and(|calls| calls.contains(place))
    }

    /// Begins a call.
    pub(super) fn begin(&self, place: EventPlace) -> Calling {
        let mut inner = self.inner.lock();
        inner.calls.entry(place.endpoint).or_default().push(place);
        inner.calls_len += 1;
        drop(inner);
        Calling { agenda: self.clone(), place }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let inner = &mut *self.agenda.inner.lock();
        if let Some(calls) = inner.calls.get_mut(&self.place.endpoint) {
            calls.retain(|place| *place != self.place);
            if calls.is_empty() {
                inner.calls.remove(&self.place.endpoint);
            }
        }
        inner.calls_len = inner.calls_len.saturating_sub(1);
        self.agenda.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(endpoint: Uuid, id: u128) -> EventPlace {
        EventPlace { endpoint, due: 0, notification: Uuid::nil(), id: Uuid::from_u128(id) }
    }

    #[test]
    fn a_slow_endpoint_holds_its_own_calls_and_no_others() {
        let agenda = Agenda::default();
        let (slow, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut held: Vec<Calling> =
            (0..CALLS_PER_ENDPOINT_MAX).map(|id| agenda.begin(place(slow, id as u128))).collect();
        agenda.note(slow, 0);
        agenda.note(other, 0);
        assert_eq!(agenda.take(1), [(other, CALLS_PER_ENDPOINT_MAX)]);
        assert_eq!((agenda.take(1), agenda.next()), (vec![], None));
        held.pop();
        assert_eq!((agenda.next(), agenda.take(1)), (Some(0), vec![(slow, 1)]));
    }

    #[test]
    fn the_earliest_instant_holds() {
        let agenda = Agenda::default();
        let endpoint = Uuid::from_u128(1);
        for at in [9, 5, 7] {
            agenda.note(endpoint, at);
        }
        assert_eq!((agenda.take(4), agenda.next()), (vec![], Some(5)));
        assert_eq!(agenda.take(5).len(), 1);
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn all_endpoints_together_have_a_bound_too() {
        let agenda = Agenda::default();
        for endpoint in 0..CALLS_MAX as u128 {
            agenda.note(Uuid::from_u128(endpoint), 0);
        }
        let wanted: usize = agenda.take(0).iter().map(|(_, free)| free).sum();
        assert_eq!(wanted, CALLS_MAX);
    }
}
