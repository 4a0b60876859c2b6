//! Endpoints: who is told of what happens, and seeing that they are.
//!
//! [`announce`] writes what is to be told in the very commit that changes what it tells of, [`work`] takes what is due
//! and calls, [`manage`] is for those who keep endpoints.

mod agenda;
pub(super) mod announce;
pub mod manage;
pub(super) mod own;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use uuid::Uuid;

use super::Engine;
use crate::clock::Millis;
use crate::model::endpoint::Endpoint;
use crate::store::StoreError;
use agenda::Agenda;

/// The most endpoints that there can be: all of them are held in memory.
pub const ENDPOINTS_LEN_MAX: usize = 10_000;

/// Every endpoint, and when which of them has something to be told.
#[derive(Default)]
pub(super) struct Endpoints {
    listed: ArcSwap<Listed>,
    agenda: Agenda,
}

/// Every endpoint, found by what is asked for. Replaced whole: changes are rare.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    by_id: HashMap<Uuid, Arc<Endpoint>>,
    /// Those that are told of everybody's notifications.
    of_all: Vec<Arc<Endpoint>>,
    of_user: HashMap<String, Vec<Arc<Endpoint>>>,
}

impl Listed {
    fn of(endpoints: impl Iterator<Item = Arc<Endpoint>>) -> Listed {
        let mut listed = Listed::default();
        for endpoint in endpoints {
            match &endpoint.user_id {
                None => listed.of_all.push(endpoint.clone()),
                Some(user) => listed.of_user.entry(user.clone()).or_default().push(endpoint.clone()),
            }
            listed.by_id.insert(endpoint.id, endpoint);
        }
        listed
    }

    /// Those that hear of `user`'s notifications.
    fn hearing_of(&self, user: &str) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.of_all.iter().chain(self.of_user.get(user).into_iter().flatten())
    }
}

impl Endpoints {
    /// Follows a change that is durable.
    fn follow(&self, id: Uuid, now: Option<Endpoint>) {
        let listed = self.listed.load();
        let others = listed.by_id.values().filter(|endpoint| endpoint.id != id).cloned();
        self.listed.store(Arc::new(Listed::of(others.chain(now.map(Arc::new)))));
    }

    fn get(&self, id: Uuid) -> Option<Arc<Endpoint>> {
        self.listed.load().by_id.get(&id).cloned()
    }

    /// The endpoints of `user`'s own that may be called.
    fn of_user(&self, user: &str) -> Vec<Arc<Endpoint>> {
        let listed = self.listed.load();
        let theirs = listed.of_user.get(user).into_iter().flatten();
        theirs.filter(|endpoint| endpoint.disabled.is_none()).cloned().collect()
    }
}

/// How endpoints are doing together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointFigures {
    /// How many there are.
    pub total: usize,
    /// How many are called no more.
    pub disabled: usize,
    /// How many do not answer and are left alone for a while.
    pub open: usize,
    /// Events that wait for them.
    pub queued: u64,
}

impl Engine {
    /// How endpoints are doing together.
    pub fn endpoint_figures(&self) -> EndpointFigures {
        let listed = self.shared.endpoints.listed.load();
        let disabled = listed.by_id.values().filter(|endpoint| endpoint.disabled.is_some()).count();
        EndpointFigures {
            total: listed.by_id.len(),
            disabled,
            open: self.shared.endpoints.agenda.open_len(),
            queued: self.shared.store.backlog().of_endpoints(),
        }
    }

    /// Since when an endpoint does not answer and is left alone.
    pub fn endpoint_opened_at(&self, id: Uuid) -> Option<Millis> {
        self.shared.endpoints.agenda.opened_at(id)
    }

    /// Reads every endpoint into memory, before anything is accepted or sent.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn load_endpoints(&self) -> Result<(), StoreError> {
        let stored = self.shared.store.endpoints().await?;
        let endpoints = &self.shared.endpoints;
        for endpoint in &stored {
            endpoints.agenda.note(endpoint.id, 0);
        }
        endpoints.listed.store(Arc::new(Listed::of(stored.into_iter().map(Arc::new))));
        Ok(())
    }
}
