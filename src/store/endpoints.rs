//! Endpoints, and the calls that were made to them: the newest so many of each.

use uuid::Uuid;

use super::endpoint_records::{EndpointAttemptV1, EndpointV1};
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::users::Page;
use super::view::Read;
use crate::model::endpoint::{Endpoint, EndpointAttempt};

/// Records removed in one write.
const REMOVED_LEN_MAX: usize = 500;

fn key_of(id: Uuid) -> Vec<u8> {
    keys::joined(keys::ENDPOINT, &[id.as_bytes()])
}

fn attempts_of(endpoint: Uuid) -> Vec<u8> {
    keys::joined(keys::ENDPOINT_ATTEMPT, &[endpoint.as_bytes()])
}

impl Store {
    /// Every endpoint. They are held in memory, so their number has a bound.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn endpoints(&self) -> Answer<Vec<Endpoint>> {
        self.read(|view| {
            let mut found = Vec::new();
            view.scan(&[keys::ENDPOINT], &[keys::ENDPOINT + 1], false, &mut |key, value| {
                let Some(id) = keys::id_at(key, 1) else { return Ok(true) };
                found.push(view.open_value::<EndpointV1>(key, value)?.into_endpoint(id));
                Ok(true)
            })?;
            Ok(found)
        })
        .await
    }

    /// The calls to an endpoint, newest first, older than `before`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn endpoint_attempts(
        &self,
        endpoint: Uuid,
        before: Option<Uuid>,
        limit: usize,
    ) -> Answer<Page<EndpointAttempt>> {
        self.read(move |view| {
            let all = attempts_of(endpoint);
            let to = before.map_or_else(
                || keys::after(&all),
                |id| keys::joined(keys::ENDPOINT_ATTEMPT, &[endpoint.as_bytes(), id.as_bytes()]),
            );
            let mut items = Vec::new();
            view.scan(&all, &to, true, &mut |key, value| {
                let Some(id) = keys::id_at(key, 17) else { return Ok(true) };
                items.push(view.open_value::<EndpointAttemptV1>(key, value)?.into_attempt(endpoint, id));
                Ok(items.len() <= limit)
            })?;
            Ok(Page::cut(items, limit, |attempt| attempt.id.to_string()))
        })
        .await
    }
}

impl Txn<'_> {
    /// The endpoint of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn endpoint(&self, id: Uuid) -> Answer<Option<Endpoint>> {
        Ok(self.get::<EndpointV1>(&key_of(id))?.map(|record| record.into_endpoint(id)))
    }

    /// Writes an endpoint.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        self.replace(key_of(endpoint.id), &EndpointV1::from(endpoint))
    }

    /// Removes an endpoint. What is stored of it beside goes by [`Txn::sweep_endpoint`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_endpoint(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.remove(&key_of(id))
    }

    /// Removes the events and the calls of an endpoint that is no more, a bounded number at a time; answers whether
    /// there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn sweep_endpoint(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let mut stale = Vec::new();
        let spaces =
            [keys::ENDPOINT_DUE, keys::ENDPOINT_WAITING, keys::ENDPOINT_FAILED, keys::ENDPOINT_ATTEMPT];
        for space in spaces {
            let all = keys::joined(space, &[id.as_bytes()]);
            self.scan(&all, &keys::after(&all), false, &mut |key, _| {
                stale.push(key.to_vec());
                Ok(stale.len() < REMOVED_LEN_MAX)
            })?;
        }
        stale.iter().try_for_each(|key| self.remove(key))?;
        Ok(stale.len() >= REMOVED_LEN_MAX)
    }

    /// Notes a call.
    pub fn put_endpoint_attempt(&mut self, attempt: &EndpointAttempt) {
        let key = keys::joined(keys::ENDPOINT_ATTEMPT, &[attempt.endpoint.as_bytes(), attempt.id.as_bytes()]);
        self.put(key, &EndpointAttemptV1::from(attempt));
    }

    /// Forgets the oldest calls to an endpoint where there are more than `keep`, a bounded number at a time; answers
    /// whether there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn trim_endpoint_attempts(&mut self, endpoint: Uuid, keep: usize) -> Result<bool, StoreError> {
        let all = attempts_of(endpoint);
        self.trim_newest(&all, keep)
    }

    /// Removes the oldest records under `prefix` but for the newest `keep`; answers whether there may be more.
    pub(super) fn trim_newest(&mut self, prefix: &[u8], keep: usize) -> Result<bool, StoreError> {
        let mut seen = 0;
        let mut stale = Vec::new();
        self.scan(prefix, &keys::after(prefix), true, &mut |key, _| {
            seen += 1;
            if seen > keep {
                stale.push(key.to_vec());
            }
            Ok(stale.len() < REMOVED_LEN_MAX)
        })?;
        stale.iter().try_for_each(|key| self.remove(key))?;
        Ok(stale.len() >= REMOVED_LEN_MAX)
    }

    /// Removes the calls that told of one person's notifications: an answer may repeat what it was told.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_endpoint_attempts(&mut self, user: &str) -> Result<(), StoreError> {
        let mut theirs = Vec::new();
        let (from, to) = ([keys::ENDPOINT_ATTEMPT], [keys::ENDPOINT_ATTEMPT + 1]);
        self.scan(&from, &to, false, &mut |key, value| {
            if self.open_value::<EndpointAttemptV1>(key, value)?.belongs_to(user) {
                theirs.push(key.to_vec());
            }
            Ok(true)
        })?;
        theirs.iter().try_for_each(|key| self.remove(key))
    }
}
