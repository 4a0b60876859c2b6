//! The hooks that there are, in memory with their mappings compiled, and in the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{SHA256, digest};
use uuid::Uuid;

use super::preset::Preset;
use crate::access::Vault;
use crate::render::mapping::{Mapping, Unfilled};
use crate::store::hooks::HookRecord;
use crate::store::{Store, StoreError};

/// The most hooks that there can be: all of them are held in memory.
pub const HOOKS_LEN_MAX: usize = 1_000;

/// One hook, ready to read what is sent.
#[derive(Debug)]
pub struct Hook {
    /// What is stored.
    pub record: HookRecord,
    /// Who reads what is sent.
    pub preset: Preset,
    /// What fills the fields.
    pub mapping: Mapping,
}

/// Why a hook is not made.
#[derive(Debug)]
pub enum HookError {
    /// Another one is called so.
    NameTaken,
    /// There are too many.
    TooMany,
    /// It could not be stored.
    Store(StoreError),
}

/// All hooks.
pub struct Hooks {
    store: Store,
    vault: Vault,
    held: ArcSwap<Vec<Arc<Hook>>>,
    /// Held while the list changes, so that two hooks cannot get one name.
    changing: tokio::sync::Mutex<()>,
}

impl Hook {
    /// A hook of what is stored.
    ///
    /// # Errors
    /// Every field of its mapping that does not compile.
    pub fn of(record: HookRecord, preset: Preset) -> Result<Hook, Vec<Unfilled>> {
        let fields: BTreeMap<String, String> = record.mapping.iter().cloned().collect();
        Ok(Hook { mapping: Mapping::compile(&fields)?, preset, record })
    }

    /// Whether it names that person.
    fn names(&self, user: &str) -> bool {
        let mapped = |(field, source): &(String, String)| field == "user_id" && source == user;
        self.record.user_id.as_deref() == Some(user) || self.record.mapping.iter().any(mapped)
    }

    /// Whether it is for that person, who it names, alone: no mapping finds anybody else.
    fn is_for(&self, user: &str) -> bool {
        let finds = |(field, source): &(String, String)| match field.as_str() {
            "user_id" => source != user,
            "topic" => true,
            _ => false,
        };
        !self.record.mapping.iter().any(finds)
    }

    /// Whether `token` is this hook's. Takes the same time wherever they differ.
    pub fn is_token(&self, token: &str) -> bool {
        let hash = token_hash(token);
        hash.iter().zip(self.record.token_hash).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// A token as it is stored.
pub fn token_hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

impl Hooks {
    /// Reads every hook into memory.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn load(store: Store, vault: Vault) -> Result<Hooks, StoreError> {
        let mut held = Vec::new();
        for record in store.hooks().await? {
            let id = record.id;
            let Some(preset) = Preset::from_name(&record.preset) else {
                tracing::error!(hook = %id, "a hook has a preset that this version does not know; it is not served");
                continue;
            };
            match Hook::of(record, preset) {
                Ok(hook) => held.push(Arc::new(hook)),
                Err(_) => {
                    tracing::error!(hook = %id, "a hook's mapping does not compile any more; it is not served")
                }
            }
        }
        Ok(Hooks { store, vault, held: ArcSwap::from_pointee(held), changing: tokio::sync::Mutex::default() })
    }

    /// Every hook, newest first.
    pub fn all(&self) -> Vec<Arc<Hook>> {
        let mut all: Vec<_> = self.held.load().iter().cloned().collect();
        all.sort_by_key(|hook| std::cmp::Reverse(hook.record.id));
        all
    }

    /// The hook of that id or name.
    pub fn find(&self, id: &str) -> Option<Arc<Hook>> {
        let held = self.held.load();
        let by_id = Uuid::parse_str(id).ok().and_then(|id| held.iter().find(|hook| hook.record.id == id));
        by_id.or_else(|| held.iter().find(|hook| hook.record.name == id)).cloned()
    }

    /// Keeps a new hook.
    ///
    /// # Errors
    /// See [`HookError`].
    pub async fn add(&self, hook: Hook) -> Result<(), HookError> {
        let _changing = self.changing.lock().await;
        let held = self.held.load_full();
        if held.len() >= HOOKS_LEN_MAX {
            return Err(HookError::TooMany);
        }
        if held.iter().any(|other| other.record.name == hook.record.name) {
            return Err(HookError::NameTaken);
        }
        let record = hook.record.clone();
        self.store.commit(move |txn| txn.put_hook(&record)).await.map_err(HookError::Store)?;
        self.hold(hook.record.id, Some(hook));
        Ok(())
    }

    /// Removes a hook at once.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn remove(&self, id: Uuid) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        self.store.commit(move |txn| txn.remove_hook(id)).await?;
        self.hold(id, None);
        Ok(())
    }

    /// Holds `hook`, if there is one, in the place of the one of that id.
    fn hold(&self, id: Uuid, hook: Option<Hook>) {
        let held = self.held.load_full();
        let others = held.iter().filter(|hook| hook.record.id != id).cloned();
        self.held.store(Arc::new(others.chain(hook.map(Arc::new)).collect()));
    }

    /// The hooks that name a person.
    pub fn naming(&self, user: &str) -> Vec<Arc<Hook>> {
        self.all().into_iter().filter(|hook| hook.names(user)).collect()
    }

    /// Forgets a person: their own hooks go, and those whose mapping finds somebody else too name them no more. Answers
    /// whether there were any.
    ///
    /// # Errors
    /// Where the store takes no writes. What was forgotten by then stays so.
    pub async fn forget(&self, user: &str) -> Result<bool, StoreError> {
        let theirs = self.naming(user);
        for hook in &theirs {
            if hook.is_for(user) {
                self.remove(hook.record.id).await?;
            } else {
                self.let_go(hook, user).await?;
            }
        }
        Ok(!theirs.is_empty())
    }

    /// Takes the person out of a hook that has others.
    async fn let_go(&self, hook: &Hook, user: &str) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let mut record = hook.record.clone();
        record.user_id.take_if(|named| named == user);
        record.mapping.retain(|(field, source)| field != "user_id" || source != user);
        let Ok(without) = Hook::of(record.clone(), hook.preset) else { return Ok(()) };
        self.store.commit(move |txn| txn.put_hook(&record)).await?;
        self.hold(without.record.id, Some(without));
        Ok(())
    }

    /// A secret as it is stored.
    pub fn seal(&self, secret: &[u8]) -> Vec<u8> {
        self.vault.seal(secret)
    }

    /// The secret by which a hook's sender signs, if there is one.
    pub fn secret(&self, hook: &Hook) -> Option<Vec<u8>> {
        self.vault.open(hook.record.secret.as_ref()?)
    }
}
