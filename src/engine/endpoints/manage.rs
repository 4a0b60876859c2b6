//! Keeping endpoints: making, changing, rotating, trying out, catching up, and letting go.

use std::sync::Arc;

use uuid::Uuid;

use super::{ENDPOINTS_LEN_MAX, Endpoint, Engine, work};
use crate::access::vault::signing_bytes;
use crate::channel::webhook::body;
use crate::clock::Millis;
use crate::model::endpoint::{DisabledBecause, EndpointAttempt, Interest};
use crate::model::ids::new_id;
use crate::store::StoreError;

/// How long a secret that was rotated out signs as well.
pub const ROTATION_MS: Millis = 24 * 60 * 60 * 1_000;
/// Calls that are remembered of each endpoint.
const ATTEMPTS_KEPT_MAX: usize = 1_000;
/// Events that were never taken that are kept of each endpoint.
const FAILED_KEPT_MAX: usize = 10_000;

/// What somebody wants an endpoint to be.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Where it is; checked by the guard.
    pub url: String,
    /// What it is told of.
    pub events: Interest,
    /// Whose it is.
    pub user_id: Option<String>,
    /// What its maker says of it.
    pub description: Option<String>,
}

/// What is to change about an endpoint; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Where it is; checked by the guard.
    pub url: Option<String>,
    /// What it is told of.
    pub events: Option<Interest>,
    /// What its maker says of it.
    pub description: Option<String>,
    /// Whether it is called no more.
    pub disabled: Option<bool>,
}

/// Why an endpoint is not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EndpointError {
    /// There are too many.
    #[error("there are {ENDPOINTS_LEN_MAX} endpoints already, and no more can be made")]
    TooMany,
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Every endpoint, newest first.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let mut all: Vec<_> = self.shared.endpoints.listed.load().by_id.values().cloned().collect();
        all.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.id));
        all
    }

    /// The endpoint of that id.
    pub fn endpoint(&self, id: Uuid) -> Option<Arc<Endpoint>> {
        self.shared.endpoints.get(id)
    }

    /// Makes an endpoint; answers it with its secret, which is shown this once.
    ///
    /// # Errors
    /// Where there are too many, or the store takes no writes.
    pub async fn add_endpoint(&self, new: NewEndpoint) -> Result<(Endpoint, Vec<u8>), EndpointError> {
        if self.shared.endpoints.listed.load().by_id.len() >= ENDPOINTS_LEN_MAX {
            return Err(EndpointError::TooMany);
        }
        let (now, secret) = (self.now(), signing_bytes());
        let endpoint = Endpoint {
            id: new_id(now),
            url: new.url,
            events: new.events,
            user_id: new.user_id,
            description: new.description,
            secret: self.shared.vault.seal(&secret),
            previous: None,
            disabled: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
        };
        let (shared, stored) = (self.shared.clone(), endpoint.clone());
        self.shared
            .store
            .commit(move |txn| {
                txn.put_endpoint(&stored)?;
                txn.after(move || shared.endpoints.follow(stored.id, Some(stored)));
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok((endpoint, secret.to_vec()))
    }

    /// Changes an endpoint; answers it as it is then, or `None` where there is none.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn change_endpoint(&self, id: Uuid, change: Change) -> Result<Option<Endpoint>, StoreError> {
        let now = self.now();
        self.edit_endpoint(id, move |endpoint| {
            endpoint.url = change.url.unwrap_or_else(|| std::mem::take(&mut endpoint.url));
            if let Some(events) = change.events {
                endpoint.events = events;
            }
            if change.description.is_some() {
                endpoint.description = change.description;
            }
            match change.disabled {
                Some(true) if endpoint.disabled.is_none() => {
                    endpoint.disabled = Some((now, DisabledBecause::Operator));
                }
                Some(false) => (endpoint.disabled, endpoint.failing_since) = (None, None),
                Some(true) | None => {}
            }
        })
        .await
    }

    /// Gives an endpoint another secret, which is shown this once. The one before signs as well for a day.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn rotate_endpoint(&self, id: Uuid) -> Result<Option<(Endpoint, Vec<u8>)>, StoreError> {
        let secret = signing_bytes();
        let (sealed, until) = (self.shared.vault.seal(&secret), self.now() + ROTATION_MS);
        let rotated = self
            .edit_endpoint(id, move |endpoint| {
                let before = std::mem::replace(&mut endpoint.secret, sealed);
                endpoint.previous = Some((before, until));
            })
            .await?;
        Ok(rotated.map(|endpoint| (endpoint, secret.to_vec())))
    }

    async fn edit_endpoint(
        &self,
        id: Uuid,
        edit: impl FnOnce(&mut Endpoint) + Send + 'static,
    ) -> Result<Option<Endpoint>, StoreError> {
        let (shared, now) = (self.shared.clone(), self.now());
        self.shared
            .store
            .commit(move |txn| {
                let Some(mut endpoint) = txn.endpoint(id)? else { return Ok(None) };
                edit(&mut endpoint);
                endpoint.updated_at = now;
                txn.put_endpoint(&endpoint)?;
                let answer = endpoint.clone();
                txn.after(move || {
                    shared.endpoints.follow(id, Some(endpoint));
                    // It may be another place now, or mended. What waited while it was disabled goes on.
                    let open = shared.endpoints.agenda.forget_circuit(id);
                    shared.metrics.endpoint_circuits(open);
                    shared.endpoints.agenda.note(id, now);
                });
                Ok(Some(answer))
            })
            .await
    }

    /// Removes an endpoint and all that waits for it; answers whether there was one.
    ///
    /// # Errors
    /// Where the store takes no writes. What was removed by then stays removed; ask again.
    pub async fn remove_endpoint(&self, id: Uuid) -> Result<bool, StoreError> {
        let shared = self.shared.clone();
        let known = self
            .shared
            .store
            .commit(move |txn| {
                let known = txn.endpoint(id)?.is_some();
                txn.remove_endpoint(id)?;
                txn.after(move || {
                    shared.endpoints.follow(id, None);
                    shared.metrics.endpoint_circuits(shared.endpoints.agenda.forget_circuit(id));
                });
                Ok::<_, StoreError>(known)
            })
            .await?;
        // Nothing is written for it any more from here on.
        while self.shared.store.commit(move |txn| txn.sweep_endpoint(id)).await? {}
        Ok(known)
    }

    /// Removes the endpoints of a person, and what is remembered of calls that told of them.
    pub(in crate::engine) async fn erase_endpoints_of(&self, user: &str) -> Result<bool, StoreError> {
        let theirs: Vec<Uuid> = {
            let listed = self.shared.endpoints.listed.load();
            listed.of_user.get(user).into_iter().flatten().map(|endpoint| endpoint.id).collect()
        };
        let mut erased = false;
        for id in theirs {
            erased |= self.remove_endpoint(id).await?;
        }
        let user = user.to_owned();
        self.shared.store.commit(move |txn| txn.erase_endpoint_attempts(&user)).await?;
        Ok(erased)
    }

    /// Sends a try to an endpoint, disabled or not, and answers what came of it.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn try_endpoint(&self, id: Uuid) -> Result<Option<EndpointAttempt>, StoreError> {
        let Some(endpoint) = self.shared.endpoints.get(id) else { return Ok(None) };
        let now = self.now();
        let webhook_id = body::webhook_id(new_id(now));
        let called = self.call_endpoint(&endpoint, webhook_id.clone(), body::test(id, now)).await;
        let attempt = work::attempt(id, webhook_id, body::TEST, None, &called, now);
        let noted = attempt.clone();
        self.shared.endpoints.agenda.note_called(id);
        self.shared
            .store
            .commit(move |txn| {
                if txn.endpoint(id)?.is_some() {
                    txn.put_endpoint_attempt(&noted);
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(Some(attempt))
    }

    /// Puts back what an endpoint never took of what happened since `since`; answers how much that was.
    ///
    /// # Errors
    /// Where the store takes no writes. What was put back by then stays so; ask again.
    pub async fn recover_endpoint(&self, id: Uuid, since: Millis) -> Result<usize, StoreError> {
        let mut total = 0;
        loop {
            let (agenda, now) = (self.shared.endpoints.agenda.clone(), self.now());
            let (count, more) = self
                .shared
                .store
                .commit(move |txn| {
                    let found = txn.recover_endpoint_events(id, since, now)?;
                    txn.after(move || agenda.note(id, now));
                    Ok::<_, StoreError>(found)
                })
                .await?;
            total += count;
            if !more {
                return Ok(total);
            }
        }
    }

    /// Lets go of the oldest calls and of the oldest events that were never taken, of the endpoints that were called.
    pub(in crate::engine) async fn sweep_endpoints(&self) -> Result<(), StoreError> {
        for id in self.shared.endpoints.agenda.take_called() {
            let trim = move |txn: &mut crate::store::Txn<'_>| {
                let attempts = txn.trim_endpoint_attempts(id, ATTEMPTS_KEPT_MAX)?;
                Ok::<_, StoreError>(attempts | txn.trim_failed_events(id, FAILED_KEPT_MAX)?)
            };
            while self.shared.store.commit(trim).await? {}
        }
        Ok(())
    }
}
