//! API keys as they are stored: a hash and rights, never the key.

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::Answer;
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;

/// An API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public id.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// SHA-256 of the token. The token has 256 random bits, so a plain hash gives nothing away.
    pub hash: [u8; 32],
    /// Its scopes as they are spelled.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends, if it does.
    pub expires_at: Option<Millis>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Millis>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeyV1 {
    name: String,
    hash: [u8; 32],
    scopes: Vec<String>,
    created_at: Millis,
    expires_at: Option<Millis>,
    last_used_at: Option<Millis>,
}

impl Record for KeyV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "API key";
}

impl Store {
    /// Every API key. There are few.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn api_keys(&self) -> Answer<Vec<KeyRecord>> {
        self.read(move |view| {
            let mut found = Vec::new();
            view.scan(&[keys::API_KEY], &[keys::API_KEY + 1], false, &mut |key, value| {
                let stored: KeyV1 = view.open_value(key, value)?;
                found.push(KeyRecord {
                    id: String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned(),
                    name: stored.name,
                    hash: stored.hash,
                    scopes: stored.scopes,
                    created_at: stored.created_at,
                    expires_at: stored.expires_at,
                    last_used_at: stored.last_used_at,
                });
                Ok(true)
            })?;
            Ok(found)
        })
        .await
    }
}

impl Txn<'_> {
    /// Writes an API key.
    pub fn put_api_key(&mut self, key: &KeyRecord) {
        let record = KeyV1 {
            name: key.name.clone(),
            hash: key.hash,
            scopes: key.scopes.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        };
        self.put(keys::named(keys::API_KEY, key.id.as_bytes()), &record);
    }

    /// Whether there is an API key of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn has_api_key(&self, id: &str) -> Answer<bool> {
        Ok(self.raw(&keys::named(keys::API_KEY, id.as_bytes()))?.is_some())
    }

    /// Removes an API key.
    pub fn remove_api_key(&mut self, id: &str) {
        self.remove_short(keys::named(keys::API_KEY, id.as_bytes()));
    }
}
