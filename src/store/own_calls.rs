//! Which of a person's own endpoints are done with a message, while it is tried again on others.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;

/// The endpoints that need no further attempt, and whether each took the message.
pub type OwnCalls = Vec<(Uuid, bool)>;

#[derive(Serialize, Deserialize)]
pub(super) struct OwnCallsV1 {
    done: Vec<([u8; 16], bool)>,
}

impl Record for OwnCallsV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "calls to own endpoints";
}

fn place(message: Uuid) -> Vec<u8> {
    keys::named(keys::OWN_CALLS, message.as_bytes())
}

impl Store {
    /// Which endpoints are done with the message of that key: of a notification, or of several together.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn own_calls(&self, message: Uuid) -> Answer<OwnCalls> {
        self.read(move |view| {
            let record: Option<OwnCallsV1> = view.get(&place(message))?;
            let done = record.map_or_else(Vec::new, |record| record.done);
            Ok(done.into_iter().map(|(id, took)| (Uuid::from_bytes(id), took)).collect())
        })
        .await
    }
}

impl Txn<'_> {
    /// Keeps which endpoints are done with a message; an empty list forgets it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_own_calls(&mut self, message: Uuid, done: &OwnCalls) -> Result<(), StoreError> {
        if done.is_empty() {
            self.remove_short(place(message));
            return Ok(());
        }
        let done = done.iter().map(|(id, took)| (id.into_bytes(), *took)).collect();
        self.replace(place(message), &OwnCallsV1 { done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::encode;

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn calls_to_own_endpoints_keep_their_bytes() {
        let calls = OwnCallsV1 { done: vec![([7; 16], true)] };
        assert_eq!(encode(&calls), [vec![1, 1], vec![7; 16], vec![1]].concat());
    }
}
