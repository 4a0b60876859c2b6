//! Inbound hooks as they are stored: the hash of the token, the secret sealed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;

/// A hook, without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRecord {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// What its maker called it; no other hook is called so.
    pub name: String,
    /// The name of the preset that reads what is sent.
    pub preset: String,
    /// The person that it notifies.
    pub user_id: Option<String>,
    /// The topic that it notifies.
    pub topic: Option<String>,
    /// Templates by the fields that they fill.
    pub mapping: Vec<(String, String)>,
    /// SHA-256 of the token. The token has 256 random bits, so a plain hash gives nothing away.
    pub token_hash: [u8; 32],
    /// The secret by which a sender signs, sealed.
    pub secret: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: Millis,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HookV1 {
    name: String,
    preset: String,
    user_id: Option<String>,
    topic: Option<String>,
    mapping: Vec<(String, String)>,
    token_hash: [u8; 32],
    secret: Option<Vec<u8>>,
    created_at: Millis,
}

impl Record for HookV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "hook";
}

impl From<&HookRecord> for HookV1 {
    fn from(hook: &HookRecord) -> HookV1 {
        let hook = hook.clone();
        HookV1 {
            name: hook.name,
            preset: hook.preset,
            user_id: hook.user_id,
            topic: hook.topic,
            mapping: hook.mapping,
            token_hash: hook.token_hash,
            secret: hook.secret,
            created_at: hook.created_at,
        }
    }
}

impl HookV1 {
    fn into_hook(self, id: Uuid) -> HookRecord {
        HookRecord {
            id,
            name: self.name,
            preset: self.preset,
            user_id: self.user_id,
            topic: self.topic,
            mapping: self.mapping,
            token_hash: self.token_hash,
            secret: self.secret,
            created_at: self.created_at,
        }
    }
}

fn key_of(id: Uuid) -> Vec<u8> {
    keys::joined(keys::HOOK, &[id.as_bytes()])
}

impl Store {
    /// Every hook. They are held in memory, so their number has a bound.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn hooks(&self) -> Answer<Vec<HookRecord>> {
        self.read(|view| {
            let mut found = Vec::new();
            view.scan(&[keys::HOOK], &[keys::HOOK + 1], false, &mut |key, value| {
                let Some(id) = keys::id_at(key, 1) else { return Ok(true) };
                found.push(view.open_value::<HookV1>(key, value)?.into_hook(id));
                Ok(true)
            })?;
            Ok(found)
        })
        .await
    }
}

impl Txn<'_> {
    /// Writes a hook.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_hook(&mut self, hook: &HookRecord) -> Result<(), StoreError> {
        self.replace(key_of(hook.id), &HookV1::from(hook))
    }

    /// Removes a hook.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_hook(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.remove(&key_of(id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    /// These bytes are on people's disks. A test that fails here wants a new version of the record, not new bytes.
    #[test]
    fn version_one_keeps_its_bytes_and_reads_back() {
        let hook = HookRecord {
            id: Uuid::from_u128(1),
            name: "ci".into(),
            preset: "github".into(),
            user_id: Some("anna".into()),
            topic: None,
            mapping: vec![("title".into(), "{{a}}".into())],
            token_hash: [7; 32],
            secret: Some(vec![1, 2]),
            created_at: 3,
        };
        let stored = encode(&HookV1::from(&hook));
        let expected = [
            &[1, 2][..],
            b"ci",
            &[6],
            b"github",
            &[1, 4],
            b"anna",
            &[0, 1, 5],
            b"title",
            &[5],
            b"{{a}}",
            &[7; 32],
            &[1, 2, 1, 2, 6],
        ];
        assert_eq!(stored, expected.concat());
        let read: HookV1 = decode(&stored).expect("our own bytes");
        assert_eq!(read.into_hook(hook.id), hook);
    }
}
