//! Which of the several targets of one delivery are done with a message, while it is tried again on the others: a person's
//! browsers, or their own endpoints.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;

/// The targets that need no further attempt, by their ids, and whether each took the message.
pub type Done = Vec<(Uuid, bool)>;

/// What a delivery has several of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// A person's browsers.
    Browsers,
    /// A person's own endpoints.
    Endpoints,
}

impl Targets {
    fn place(self, message: Uuid) -> Vec<u8> {
        let space = match self {
            Targets::Browsers => keys::PUSHED,
            Targets::Endpoints => keys::OWN_CALLS,
        };
        keys::named(space, message.as_bytes())
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct DoneV1 {
    done: Vec<([u8; 16], bool)>,
}

impl Record for DoneV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "progress of a delivery";
}

/// Which targets are done with the message of that key: of a notification, or of several together.
pub(super) fn done(read: &impl Read, targets: Targets, message: Uuid) -> Answer<Done> {
    let record: Option<DoneV1> = read.get(&targets.place(message))?;
    let done = record.map_or_else(Vec::new, |record| record.done);
    Ok(done.into_iter().map(|(id, took)| (Uuid::from_bytes(id), took)).collect())
}

impl Store {
    /// Which targets are done with the message of that key: of a notification, or of several together.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn done(&self, targets: Targets, message: Uuid) -> Answer<Done> {
        self.read(move |view| done(view, targets, message)).await
    }
}

impl Txn<'_> {
    /// Keeps which targets are done with a message; an empty list forgets it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_done(&mut self, targets: Targets, message: Uuid, done: &Done) -> Result<(), StoreError> {
        let place = targets.place(message);
        if done.is_empty() {
            self.remove_short(place);
            return Ok(());
        }
        let done = done.iter().map(|(id, took)| (id.into_bytes(), *took)).collect();
        self.replace(place, &DoneV1 { done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::encode;

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn progress_keeps_its_bytes() {
        for id in [1, 7] {
            let done = DoneV1 { done: vec![([id; 16], true)] };
            assert_eq!(encode(&done), [vec![1, 1], vec![id; 16], vec![1]].concat());
        }
    }
}
