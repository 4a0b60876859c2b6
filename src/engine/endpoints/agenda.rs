//! Which endpoints have something due, and when: so that a turn looks at those and at no others, however many there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::Millis;
use crate::model::breaker::{Breaker, Patience, Room};
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
    /// The circuits of those that did not answer lately. One that is not here is called as it comes.
    circuits: HashMap<Uuid, Breaker>,
    /// Endpoints that were called since they were last swept.
    called: HashSet<Uuid>,
}

impl Inner {
    fn open_len(&self) -> usize {
        self.circuits.values().filter(|circuit| circuit.opened_at().is_some()).count()
    }
}

/// How many calls an endpoint may have more at `now`; or when it may be probed, where it is left alone.
fn room(
    calls: &HashMap<Uuid, Vec<EventPlace>>,
    circuits: &HashMap<Uuid, Breaker>,
    endpoint: &Uuid,
    now: Millis,
) -> Result<usize, Millis> {
    let under_way = calls.get(endpoint).map_or(0, Vec::len);
    match circuits.get(endpoint).map_or(Room::All, |circuit| circuit.room(now)) {
        Room::All => Ok(CALLS_PER_ENDPOINT_MAX.saturating_sub(under_way)),
        Room::Probe => Ok(1_usize.saturating_sub(under_way)),
        Room::Nothing(until) => Err(until),
    }
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
        let (calls, circuits) = (&inner.calls, &inner.circuits);
        inner.next.retain(|endpoint, at| {
            let free = room(calls, circuits, endpoint, now).unwrap_or(0).min(left);
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
    /// one of its calls ends, or when it is to be probed.
    pub(super) fn next(&self, now: Millis) -> Option<Millis> {
        let inner = &*self.inner.lock();
        if inner.calls_len >= CALLS_MAX {
            return None;
        }
        let when = |(endpoint, at): (&Uuid, &Millis)| match room(&inner.calls, &inner.circuits, endpoint, now)
        {
            Ok(0) => None,
            Ok(_) => Some(*at),
            Err(probe_at) => Some(probe_at.max(*at)),
        };
        inner.next.iter().filter_map(when).min()
    }

    /// Whether `endpoint` may be called at `now`, outside its agenda; when to ask again, where it is left alone.
    pub(super) fn may_call(&self, endpoint: Uuid, now: Millis) -> Result<(), Millis> {
        let inner = self.inner.lock();
        match inner.circuits.get(&endpoint).map_or(Room::All, |circuit| circuit.room(now)) {
            Room::All | Room::Probe => Ok(()),
            Room::Nothing(until) => Err(until),
        }
    }

    /// A call to `endpoint` goes out.
    pub(super) fn calls(&self, endpoint: Uuid, now: Millis) {
        if let Some(circuit) = self.inner.lock().circuits.get_mut(&endpoint) {
            circuit.sent(now);
        }
    }

    /// Takes note of whether `endpoint` was there. Answers how many are left alone now, where that changed.
    pub(super) fn heard(
        &self,
        endpoint: Uuid,
        was_there: bool,
        now: Millis,
        patience: Patience,
    ) -> Option<usize> {
        let mut inner = self.inner.lock();
        let turned = if was_there {
            inner.circuits.remove(&endpoint).is_some_and(|mut circuit| circuit.answered())
        } else {
            inner.circuits.entry(endpoint).or_default().failed(now, patience)
        };
        turned.then(|| inner.open_len())
    }

    /// Forgets the circuit of an endpoint that was removed or is to be tried afresh. Answers how many are left alone now.
    pub(super) fn forget_circuit(&self, endpoint: Uuid) -> usize {
        let mut inner = self.inner.lock();
        inner.circuits.remove(&endpoint);
        inner.open_len()
    }

    /// Since when an endpoint is left alone.
    pub(super) fn opened_at(&self, endpoint: Uuid) -> Option<Millis> {
        self.inner.lock().circuits.get(&endpoint)?.opened_at()
    }

    /// How many endpoints are left alone.
    pub(super) fn open_len(&self) -> usize {
        self.inner.lock().open_len()
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
        assert_eq!((agenda.take(1), agenda.next(0)), (vec![], None));
        held.pop();
        assert_eq!((agenda.next(0), agenda.take(1)), (Some(0), vec![(slow, 1)]));
    }

    #[test]
    fn the_earliest_instant_holds() {
        let agenda = Agenda::default();
        let endpoint = Uuid::from_u128(1);
        for at in [9, 5, 7] {
            agenda.note(endpoint, at);
        }
        assert_eq!((agenda.take(4), agenda.next(0)), (vec![], Some(5)));
        assert_eq!(agenda.take(5).len(), 1);
        assert_eq!(agenda.next(0), None);
    }

    #[test]
    fn an_endpoint_that_does_not_answer_is_left_alone_and_probed_by_one_call() {
        let (agenda, patience) = (Agenda::default(), Patience { failures_max: 2, wait_max_ms: 4_000 });
        let (dead, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        agenda.note(dead, 0);
        agenda.note(other, 0);
        assert_eq!(agenda.heard(dead, false, 0, patience), None);
        assert_eq!(agenda.heard(dead, false, 0, patience), Some(1));
        assert_eq!(agenda.take(0), [(other, CALLS_PER_ENDPOINT_MAX)]);
        assert_eq!((agenda.next(0), agenda.may_call(dead, 0)), (Some(1_000), Err(1_000)));
        assert_eq!(agenda.take(1_000), [(dead, 1)]);
        agenda.note(dead, 0);
        let probe = agenda.begin(place(dead, 1));
        agenda.calls(dead, 1_000);
        assert_eq!(agenda.take(1_500), []);
        assert_eq!(agenda.heard(dead, true, 1_500, patience), Some(0));
        drop(probe);
        assert_eq!(agenda.take(1_500), [(dead, CALLS_PER_ENDPOINT_MAX)]);
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
