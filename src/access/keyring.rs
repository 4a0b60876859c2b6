//! Every API key in memory by its hash, and the one way in for tokens of either kind.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use ring::digest;
use secrecy::{ExposeSecret, SecretString};

use super::Refused;
use super::issuers::Issuers;
use super::jwt::{Claims, UserTokens};
use super::principal::{Principal, Scope};
use super::secret::random_text;
use crate::clock::{Clock, Millis};
use crate::model::ids::new_id;
use crate::store::keyring::KeyRecord;
use crate::store::{Store, StoreError};

/// The id of the key that the configuration sets.
pub const CONFIGURED_KEY_ID: &str = "configured";
/// How precisely the last use of a key is kept.
const LAST_USED_STEP_MS: Millis = 60_000;

type Hash = [u8; 32];

struct Held {
    record: KeyRecord,
    scopes: Vec<Scope>,
}

/// Checks tokens, and makes and revokes keys.
pub struct Access {
    store: Store,
    clock: Clock,
    users: ArcSwap<UserTokens>,
    held: RwLock<HashMap<Hash, Held>>,
}

/// A key that has just been made. This is the only time that the token is seen.
#[derive(Debug)]
pub struct MintedKey {
    /// Its record.
    pub record: KeyRecord,
    /// The token.
    pub token: SecretString,
}

fn hash(token: &str) -> Hash {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Access {
    /// Reads the keys that are stored. User tokens are signed with the secret; those of others are checked as the issuers say.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open(
        store: Store,
        clock: Clock,
        signing_secret: &[u8],
        issuers: Issuers,
    ) -> Result<Access, StoreError> {
        let held = store.api_keys().await?.into_iter().map(|record| (record.hash, held(record))).collect();
        Ok(Access {
            store,
            clock,
            users: ArcSwap::from_pointee(UserTokens::new(signing_secret, issuers)),
            held: RwLock::new(held),
        })
    }

    /// Makes the configured admin key the one that holds, in place of an earlier one; without one, and without any
    /// other admin key, makes a key and gives it for printing.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn bootstrap(
        &self,
        configured: Option<&SecretString>,
    ) -> Result<Option<SecretString>, StoreError> {
        let now = self.clock.now();
        let old =
            self.held.read().values().find(|held| held.record.id == CONFIGURED_KEY_ID).map(|h| h.record.hash);
        match configured {
            Some(token) if old == Some(hash(token.expose_secret())) => return Ok(None),
            Some(token) => {
                let record =
                    record(CONFIGURED_KEY_ID.to_owned(), "auth.admin_key", hash(token.expose_secret()), now);
                self.keep(record).await?;
            }
            None if old.is_some() => {
                self.revoke(CONFIGURED_KEY_ID).await?;
            }
            None => {}
        }
        let is_admin = |held: &Held| held.scopes.contains(&Scope::Admin);
        if self.held.read().values().any(is_admin) {
            return Ok(None);
        }
        let minted = self.create("first start", &[Scope::Admin], None).await?;
        Ok(Some(minted.token))
    }

    /// Signs user tokens with that secret from here on, and takes those signed with it or by those issuers and no others.
    pub fn sign_with(&self, secret: &[u8], issuers: Issuers) {
        self.users.store(std::sync::Arc::new(UserTokens::new(secret, issuers)));
    }

    /// Whoever `token` belongs to.
    ///
    /// # Errors
    /// Where it belongs to nobody, or no longer.
    pub fn authenticate(&self, token: &str) -> Result<Principal, Refused> {
        let now = self.clock.now();
        if let Some(held) = self.held.read().get(&hash(token)) {
            if held.record.expires_at.is_some_and(|at| at <= now) {
                return Err(Refused::Expired);
            }
            return Ok(Principal::Key {
                id: held.record.id.clone(),
                scopes: held.scopes.clone(),
                expires_at: held.record.expires_at,
            });
        }
        self.users.load().check(token, now)
    }

    /// Whether what a principal came with has not been revoked since.
    pub fn stands(&self, principal: &Principal) -> bool {
        match principal {
            Principal::Key { id, .. } => self.held.read().values().any(|held| held.record.id == *id),
            Principal::User { .. } => true,
        }
    }

    /// Makes a key with those rights.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        expires_at: Option<Millis>,
    ) -> Result<MintedKey, StoreError> {
        let now = self.clock.now();
        let token = format!("bk_{}", random_text::<32>());
        let mut record = record(new_id(now).to_string(), name, hash(&token), now);
        record.scopes = scopes.iter().map(Scope::to_string).collect();
        record.expires_at = expires_at;
        self.keep(record.clone()).await?;
        Ok(MintedKey { record, token: token.into() })
    }

    /// Every key, newest first.
    pub fn keys(&self) -> Vec<KeyRecord> {
        let mut keys: Vec<KeyRecord> = self.held.read().values().map(|held| held.record.clone()).collect();
        keys.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        keys
    }

    /// Revokes a key at once; answers whether there was one.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        let Some(hash) = self.held.read().values().find(|held| held.record.id == id).map(|h| h.record.hash)
        else {
            return Ok(false);
        };
        let id = id.to_owned();
        self.store
            .commit(move |txn| {
                txn.remove_api_key(&id);
                Ok::<_, StoreError>(())
            })
            .await?;
        self.held.write().remove(&hash);
        Ok(true)
    }

    /// A token for a person, good for `seconds`.
    pub fn mint_user_token(
        &self,
        user: &str,
        seconds: u32,
        workflows: Option<Vec<String>>,
        topics: Option<Vec<String>>,
    ) -> Option<(SecretString, Millis)> {
        let expires_at = self.clock.now() / 1_000 + Millis::from(seconds);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double exactly")]
        let claims = Claims { sub: user.to_owned(), exp: expires_at as f64, nbf: None, workflows, topics };
        Some((self.users.load().mint(&claims)?.into(), expires_at * 1_000))
    }

    /// Notes that a key was used, to the minute. Cheap: it is written with the next [`Access::flush_last_used`].
    pub fn note_use(&self, id: &str) {
        let now = self.clock.now();
        let stale = |held: &Held| {
            held.record.id == id && held.record.last_used_at.is_none_or(|at| now - at >= LAST_USED_STEP_MS)
        };
        if self.held.read().values().any(stale)
            && let Some(held) = self.held.write().values_mut().find(|held| stale(held))
        {
            held.record.last_used_at = Some(now);
        }
    }

    /// Writes when keys were last used.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn flush_last_used(&self) -> Result<(), StoreError> {
        let stored: HashMap<String, Option<Millis>> =
            self.store.api_keys().await?.into_iter().map(|key| (key.id, key.last_used_at)).collect();
        let used: Vec<KeyRecord> = self
            .keys()
            .into_iter()
            .filter(|key| stored.get(&key.id).is_some_and(|at| *at != key.last_used_at))
            .collect();
        if used.is_empty() {
            return Ok(());
        }
        self.store
            .commit(move |txn| {
                for key in &used {
                    // One that was revoked meanwhile must not come back.
                    if txn.has_api_key(&key.id)? {
                        txn.put_api_key(key);
                    }
                }
                Ok(())
            })
            .await
    }

    async fn keep(&self, record: KeyRecord) -> Result<(), StoreError> {
        let stored = record.clone();
        self.store
            .commit(move |txn| {
                txn.put_api_key(&stored);
                Ok::<_, StoreError>(())
            })
            .await?;
        let mut all = self.held.write();
        all.retain(|_, held| held.record.id != record.id);
        all.insert(record.hash, held(record));
        Ok(())
    }
}

fn held(record: KeyRecord) -> Held {
    let scopes = record.scopes.iter().filter_map(|scope| Scope::parse(scope)).collect();
    Held { record, scopes }
}

fn record(id: String, name: &str, hash: Hash, now: Millis) -> KeyRecord {
    KeyRecord {
        id,
        name: name.to_owned(),
        hash,
        scopes: vec![Scope::Admin.to_string()],
        created_at: now,
        expires_at: None,
        last_used_at: None,
    }
}
