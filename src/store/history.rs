//! How a person's preferences came to be what they are: the last changes, each written once.

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;
use crate::model::change::{Change, FIELDS_LEN_MAX, FieldChange, HISTORY_LEN_MAX, Origin, Way};

#[derive(Serialize, Deserialize)]
pub(super) struct ChangeV1 {
    at: Millis,
    way: Way,
    principal: String,
    fields: Vec<(String, Option<String>, Option<String>)>,
}

impl Record for ChangeV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "change";
}

impl From<&Change> for ChangeV1 {
    fn from(change: &Change) -> ChangeV1 {
        let field = |field: &FieldChange| (field.field.clone(), field.from.clone(), field.to.clone());
        ChangeV1 {
            at: change.at,
            way: change.origin.way,
            principal: change.origin.principal.clone(),
            fields: change.fields.iter().take(FIELDS_LEN_MAX).map(field).collect(),
        }
    }
}

impl From<ChangeV1> for Change {
    fn from(stored: ChangeV1) -> Change {
        let fields = stored.fields.into_iter();
        Change {
            at: stored.at,
            origin: Origin { way: stored.way, principal: stored.principal },
            fields: fields.map(|(field, from, to)| FieldChange { field, from, to }).collect(),
        }
    }
}

impl Store {
    /// The changes of a person's preferences that are remembered, newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn history(&self, user: &str) -> Answer<Vec<Change>> {
        let (from, to) = keys::changes_of(user);
        self.read(move |view| {
            let mut changes = Vec::new();
            view.scan(&from, &to, true, &mut |key, value| {
                changes.push(view.open_value::<ChangeV1>(key, value)?.into());
                Ok(true)
            })?;
            Ok(changes)
        })
        .await
    }
}

impl Txn<'_> {
    /// Remembers a change of a person's preferences, and forgets the oldest where there are too many.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn push_change(&mut self, user: &str, change: &Change) -> Result<(), StoreError> {
        let known = self.change_keys(user)?;
        let number = known.last().and_then(|key| keys::last_u64(key)).map_or(0, |last| last + 1);
        let forgotten = (known.len() + 1).saturating_sub(HISTORY_LEN_MAX);
        for key in known.iter().take(forgotten) {
            self.remove(key)?;
        }
        self.put(keys::change(user, number), &ChangeV1::from(change));
        Ok(())
    }

    /// Forgets how a person's preferences came to be.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_history(&mut self, user: &str) -> Result<(), StoreError> {
        for key in self.change_keys(user)? {
            self.remove(&key)?;
        }
        Ok(())
    }

    fn change_keys(&self, user: &str) -> Answer<Vec<Vec<u8>>> {
        let (from, to) = keys::changes_of(user);
        let mut found = Vec::new();
        self.scan(&from, &to, false, &mut |key, _| {
            found.push(key.to_vec());
            Ok(true)
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    fn change() -> Change {
        Change {
            at: 7,
            origin: Origin { way: Way::OneClick, principal: "user:anna".into() },
            fields: vec![FieldChange { field: "channels.sms".into(), from: None, to: Some("true".into()) }],
        }
    }

    #[test]
    fn a_change_reads_back_as_it_was_written() {
        let stored = encode(&ChangeV1::from(&change()));
        assert_eq!(Change::from(decode::<ChangeV1>(&stored).expect("our own bytes")), change());
    }

    /// These bytes are on people's disks. A test that fails here wants a new version of the record, not new bytes.
    #[test]
    fn a_change_keeps_its_bytes() {
        let stored = encode(&ChangeV1::from(&change()));
        let hex: String = stored.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("golden/change.v1.hex").trim());
    }
}
