//! Events on their way to endpoints, each endpoint with a lane of its own, so that a slow one holds up nobody else.
//!
//! What waits for an endpoint is kept by notification, in the order in which it happened, and only the first of a
//! notification has a line in the due index: the next gets its line in the commit that ends the one before. So an
//! event never overtakes an earlier one of the same notification, and a queue behind a failing one costs no attempt.

use uuid::Uuid;

use super::endpoint_records::{EndpointDueV1, EndpointEventV1};
use super::error::{Answer, StoreError};
use super::keys;
use super::notifications;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;
use crate::model::endpoint::{EndpointEvent, EventKind};
use crate::model::notification::Accepted;

/// Events put back in one write.
const RECOVERED_LEN_MAX: usize = 500;

/// Where a waiting event is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventPlace {
    /// Its endpoint.
    pub endpoint: Uuid,
    /// When it is due.
    pub due: Millis,
    /// Its notification.
    pub notification: Uuid,
    /// Its own id.
    pub id: Uuid,
}

/// What the front of one endpoint's lane looks like.
#[derive(Debug, PartialEq, Eq)]
pub struct EndpointFront {
    /// The endpoint.
    pub endpoint: Uuid,
    /// What is due, oldest first, as much as was wanted.
    pub due: Vec<EventPlace>,
    /// When the first line that is not among them is due.
    pub next: Option<Millis>,
}

/// What a due line stands for.
#[derive(Debug)]
pub enum DueEvent {
    /// Nothing any more.
    Gone,
    /// An event that must wait for an earlier one of its notification.
    Behind,
    /// An event whose notification was erased.
    Orphan(EndpointEvent),
    /// An event that tells of an endpoint.
    OfEndpoint(EndpointEvent),
    /// An event to tell.
    Ready(EndpointEvent, Box<Accepted>),
}

fn waiting(event: &EndpointEvent) -> Vec<u8> {
    waiting_key(event.endpoint, event.notification, event.id)
}

fn waiting_key(endpoint: Uuid, notification: Uuid, id: Uuid) -> Vec<u8> {
    let parts: [&[u8]; 3] = [endpoint.as_bytes(), notification.as_bytes(), id.as_bytes()];
    keys::joined(keys::ENDPOINT_WAITING, &parts)
}

fn lane(endpoint: Uuid) -> Vec<u8> {
    keys::joined(keys::ENDPOINT_DUE, &[endpoint.as_bytes()])
}

fn due_key(place: EventPlace) -> Vec<u8> {
    let at = keys::instant(place.due);
    let parts: [&[u8]; 4] =
        [place.endpoint.as_bytes(), &at, place.notification.as_bytes(), place.id.as_bytes()];
    keys::joined(keys::ENDPOINT_DUE, &parts)
}

fn read_due(key: &[u8]) -> Option<EventPlace> {
    Some(EventPlace {
        endpoint: keys::id_at(key, 1)?,
        due: keys::instant_at(key, 17)?,
        notification: keys::id_at(key, 25)?,
        id: keys::id_at(key, 41)?,
    })
}

fn failed_of(endpoint: Uuid) -> Vec<u8> {
    keys::joined(keys::ENDPOINT_FAILED, &[endpoint.as_bytes()])
}

fn failed(event: &EndpointEvent) -> Vec<u8> {
    let parts: [&[u8]; 3] = [event.endpoint.as_bytes(), event.id.as_bytes(), event.notification.as_bytes()];
    keys::joined(keys::ENDPOINT_FAILED, &parts)
}

/// The first event of a notification that waits for an endpoint.
fn first(read: &impl Read, endpoint: Uuid, notification: Uuid) -> Answer<Option<EndpointEvent>> {
    let all = keys::joined(keys::ENDPOINT_WAITING, &[endpoint.as_bytes(), notification.as_bytes()]);
    let mut found = None;
    read.scan(&all, &keys::after(&all), false, &mut |key, value| {
        let Some(id) = keys::id_at(key, 33) else { return Ok(true) };
        let record: EndpointEventV1 = read.open_value(key, value)?;
        found = Some(record.into_event(endpoint, notification, id));
        Ok(false)
    })?;
    Ok(found)
}

impl EndpointEvent {
    /// Where it is found while it waits.
    pub fn place(&self) -> EventPlace {
        EventPlace { endpoint: self.endpoint, due: self.due, notification: self.notification, id: self.id }
    }
}

impl Store {
    /// The fronts of the lanes of endpoints: of each as many lines that are due at `now` as are wanted, without those
    /// that `taken` names.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn endpoint_fronts(
        &self,
        wanted: Vec<(Uuid, usize)>,
        now: Millis,
        taken: impl Fn(&EventPlace) -> bool + Send + 'static,
    ) -> Answer<Vec<EndpointFront>> {
        self.read(move |view| {
            let mut fronts = Vec::with_capacity(wanted.len());
            for (endpoint, limit) in wanted {
                let mut front = EndpointFront { endpoint, due: Vec::new(), next: None };
                let all = lane(endpoint);
                view.scan(&all, &keys::after(&all), false, &mut |key, _| {
                    let Some(place) = read_due(key) else { return Ok(true) };
                    if taken(&place) {
                        return Ok(true);
                    }
                    if place.due > now || front.due.len() == limit {
                        front.next = Some(place.due);
                        return Ok(false);
                    }
                    front.due.push(place);
                    Ok(true)
                })?;
                fronts.push(front);
            }
            Ok(fronts)
        })
        .await
    }

    /// What a due line stands for now.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn endpoint_event(&self, place: EventPlace) -> Answer<DueEvent> {
        self.read(move |view| {
            let key = waiting_key(place.endpoint, place.notification, place.id);
            let Some(record) = view.get::<EndpointEventV1>(&key)? else { return Ok(DueEvent::Gone) };
            let event = record.into_event(place.endpoint, place.notification, place.id);
            if first(view, place.endpoint, place.notification)?.is_some_and(|first| first.id != event.id) {
                return Ok(DueEvent::Behind);
            }
            if event.kind == EventKind::EndpointDisabled {
                return Ok(DueEvent::OfEndpoint(event));
            }
            Ok(match notifications::get(view, place.notification)? {
                Some(accepted) => DueEvent::Ready(event, Box::new(accepted)),
                None => DueEvent::Orphan(event),
            })
        })
        .await
    }
}

impl Txn<'_> {
    /// Puts an event behind those of the same notification that wait for the same endpoint.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_endpoint_event(&mut self, event: &EndpointEvent) -> Result<(), StoreError> {
        let is_first = first(self, event.endpoint, event.notification)?.is_none();
        self.put(waiting(event), &EndpointEventV1::from(event));
        if is_first {
            self.put(due_key(event.place()), &EndpointDueV1);
        }
        Ok(())
    }

    /// Whether an event still waits.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn endpoint_event_waits(&self, event: &EndpointEvent) -> Result<bool, StoreError> {
        Ok(self.raw(&waiting(event))?.is_some())
    }

    /// Moves an event to another instant, with the attempts that it then has.
    pub fn move_endpoint_event(&mut self, event: &EndpointEvent, attempts: u32, due: Millis) {
        self.remove_short(due_key(event.place()));
        let moved = EndpointEvent { attempts, due, ..event.clone() };
        self.put(waiting(&moved), &EndpointEventV1::from(&moved));
        self.put(due_key(moved.place()), &EndpointDueV1);
    }

    /// Ends an event: the next of its notification is due at `now`. One that was never taken can be kept, for
    /// [`Txn::recover_endpoint_events`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn end_endpoint_event(&mut self, event: &EndpointEvent, keep: bool, now: Millis) -> Answer<()> {
        self.remove_short(due_key(event.place()));
        self.remove_short(waiting(event));
        if keep {
            self.put(failed(event), &EndpointEventV1::from(event));
        }
        if let Some(next) = first(self, event.endpoint, event.notification)? {
            self.move_endpoint_event(&next, next.attempts, now);
        }
        Ok(())
    }

    /// Removes a due line that stands for nothing: its event is gone, or waits for an earlier one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn drop_endpoint_line(&mut self, place: EventPlace) -> Answer<()> {
        let head = first(self, place.endpoint, place.notification)?;
        // Between the look and this write it may have become the first.
        if head.is_none_or(|head| head.place() != place) {
            self.remove_short(due_key(place));
        }
        Ok(())
    }

    /// Puts back what an endpoint never took of what happened since `since`, a bounded number at a time; answers how
    /// many, and whether there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn recover_endpoint_events(
        &mut self,
        endpoint: Uuid,
        since: Millis,
        now: Millis,
    ) -> Answer<(usize, bool)> {
        let all = failed_of(endpoint);
        let mut found = Vec::new();
        self.scan(&all, &keys::after(&all), true, &mut |key, value| {
            let (Some(id), Some(notification)) = (keys::id_at(key, 17), keys::id_at(key, 33)) else {
                return Ok(true);
            };
            let event =
                self.open_value::<EndpointEventV1>(key, value)?.into_event(endpoint, notification, id);
            // Newest first: what is older than that is none of it either.
            if event.at < since {
                return Ok(false);
            }
            found.push(event);
            Ok(found.len() < RECOVERED_LEN_MAX)
        })?;
        for event in &found {
            self.remove_short(failed(event));
            self.move_endpoint_event(event, 0, now);
        }
        Ok((found.len(), found.len() >= RECOVERED_LEN_MAX))
    }

    /// Forgets the oldest events that an endpoint never took where there are more than `keep`; answers whether there
    /// may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn trim_failed_events(&mut self, endpoint: Uuid, keep: usize) -> Result<bool, StoreError> {
        let all = failed_of(endpoint);
        self.trim_newest(&all, keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;
    use crate::supervise::Supervisor;

    const HERE: Uuid = Uuid::from_u128(1);

    fn event(id: u128, notification: u128) -> EndpointEvent {
        EndpointEvent {
            id: Uuid::from_u128(id),
            endpoint: HERE,
            notification: Uuid::from_u128(notification),
            kind: EventKind::Sent,
            channel: None,
            status: None,
            reason: None,
            at: Millis::try_from(id).expect("a small number"),
            not_before: None,
            attempts: 0,
            due: 0,
        }
    }

    async fn store(dir: &tempfile::TempDir) -> Store {
        let options = Options { path: dir.path().to_owned(), cache_bytes: 8 << 20 };
        let store = Store::open(&options, &Supervisor::new()).expect("a new store");
        let put = store.commit(|txn| {
            [(10, 1), (11, 1), (12, 2)].iter().try_for_each(|(id, n)| txn.put_endpoint_event(&event(*id, *n)))
        });
        put.await.expect("a store that takes writes");
        store
    }

    async fn due(store: &Store, now: Millis, limit: usize) -> (Vec<u128>, Option<Millis>) {
        let fronts = store.endpoint_fronts(vec![(HERE, limit)], now, |_| false).await.expect("a good store");
        (fronts[0].due.iter().map(|place| place.id.as_u128()).collect(), fronts[0].next)
    }

    #[tokio::test]
    async fn an_event_waits_for_the_earlier_ones_of_its_notification_and_for_no_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store(&dir).await;
        assert_eq!(due(&store, 0, 9).await, (vec![10, 12], None));
        assert_eq!(due(&store, 0, 1).await, (vec![10], Some(0)));
        store
            .commit(|txn| {
                txn.move_endpoint_event(&event(10, 1), 1, 50);
                Ok::<_, StoreError>(())
            })
            .await
            .expect("written");
        assert_eq!(due(&store, 0, 9).await, (vec![12], Some(50)), "one that is retried is not overtaken");
        let moved = EndpointEvent { due: 50, attempts: 1, ..event(10, 1) };
        store.commit(move |txn| txn.end_endpoint_event(&moved, false, 60)).await.expect("written");
        assert_eq!(due(&store, 60, 9).await, (vec![12, 11], None));
    }

    #[tokio::test]
    async fn what_was_never_taken_comes_back_in_its_order_when_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store(&dir).await;
        let gave_up = |txn: &mut Txn<'_>| {
            txn.end_endpoint_event(&event(10, 1), true, 5)?;
            txn.end_endpoint_event(&EndpointEvent { due: 5, ..event(11, 1) }, true, 5)?;
            txn.end_endpoint_event(&event(12, 2), true, 5)
        };
        store.commit(gave_up).await.expect("written");
        assert_eq!(due(&store, 99, 9).await, (vec![], None));
        let recovered = store.commit(|txn| txn.recover_endpoint_events(HERE, 11, 70)).await;
        assert_eq!(recovered.expect("written"), (2, false), "10 is from before");
        let recovered = store.commit(|txn| txn.recover_endpoint_events(HERE, 0, 71)).await;
        assert_eq!(recovered.expect("written"), (1, false));
        let eleven =
            EventPlace { endpoint: HERE, due: 70, notification: Uuid::from_u128(1), id: Uuid::from_u128(11) };
        assert!(matches!(store.endpoint_event(eleven).await.expect("a good store"), DueEvent::Behind));
        store.commit(move |txn| txn.drop_endpoint_line(eleven)).await.expect("written");
        assert_eq!(due(&store, 99, 9).await, (vec![12, 10], None));
    }

    #[tokio::test]
    async fn an_endpoint_that_is_gone_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store(&dir).await;
        let more = store.commit(|txn| txn.sweep_endpoint(HERE)).await.expect("written");
        assert!(!more);
        assert_eq!(due(&store, 99, 9).await, (vec![], None));
        assert!(matches!(
            store.endpoint_event(event(10, 1).place()).await.expect("a good store"),
            DueEvent::Gone
        ));
    }
}
