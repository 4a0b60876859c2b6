//! Which deliveries left together as one text message, so that what its provider reports of it is told of each of them.
//!
//! Kept from the moment at which they are sealed until the report that ends it. Providers report within days; what is
//! older than that goes as newer ones come.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;

/// How long a report is waited for.
const REPORTED_WITHIN_MS: Millis = 14 * 24 * 60 * 60 * 1_000;
/// How many that are older go for each that comes: more than one, so that none are left in the end.
const SWEPT_LEN: usize = 2;

#[derive(Serialize, Deserialize)]
pub(super) struct DigestV1 {
    at: Millis,
    members: Vec<[u8; 16]>,
}

impl Record for DigestV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "digest under way";
}

fn place(message: Uuid) -> Vec<u8> {
    keys::named(keys::DIGEST, message.as_bytes())
}

impl Txn<'_> {
    /// Remembers at `now` that these notifications leave as the message of that id, a UUIDv7.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_digest(&mut self, message: Uuid, members: &[Uuid], now: Millis) -> Result<(), StoreError> {
        let mut old = Vec::new();
        self.scan(&[keys::DIGEST], &[keys::DIGEST + 1], false, &mut |key, value| {
            let record: DigestV1 = self.open_value(key, value)?;
            let is_old = record.at + REPORTED_WITHIN_MS <= now;
            if is_old {
                old.push(key.to_vec());
            }
            Ok(is_old && old.len() < SWEPT_LEN)
        })?;
        for key in old {
            self.remove(&key)?;
        }
        let members = members.iter().map(|member| member.into_bytes()).collect();
        self.replace(place(message), &DigestV1 { at: now, members })
    }

    /// The notifications that left as one message; none where it is not known.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn digest(&self, message: Uuid) -> Answer<Vec<Uuid>> {
        let record: Option<DigestV1> = self.get(&place(message))?;
        Ok(record.map_or_else(Vec::new, |record| record.members.into_iter().map(Uuid::from_bytes).collect()))
    }

    /// Forgets which notifications left as one message.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_digest(&mut self, message: Uuid) -> Result<(), StoreError> {
        self.remove(&place(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::new_id;
    use crate::store::codec::encode;
    use crate::store::{Options, Store};
    use crate::supervise::Supervisor;

    #[tokio::test]
    async fn a_digest_is_remembered_until_its_report_and_no_longer_than_reports_take() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { path: dir.path().to_owned(), cache_bytes: 8 << 20 };
        let store = Store::open(&options, &Supervisor::new()).expect("a new store");
        // More than fit into one value.
        let members: Vec<Uuid> = (0..1_000).map(Uuid::from_u128).collect();
        let ids: Vec<Uuid> = (0..3).map(|n| new_id(1_000 + n)).collect();
        for id in ids.clone() {
            let members = members.clone();
            store.commit(move |txn| txn.put_digest(id, &members, 1_000)).await.expect("written");
        }
        let (first, last) = (ids[0], ids[2]);
        let read = store.commit(move |txn| txn.digest(first)).await.expect("read");
        assert_eq!(read, members);
        store.commit(move |txn| txn.remove_digest(last)).await.expect("written");
        assert!(store.commit(move |txn| txn.digest(last)).await.expect("read").is_empty());
        let later = 1_000 + REPORTED_WITHIN_MS;
        store.commit(move |txn| txn.put_digest(new_id(later), &members, later)).await.expect("written");
        for id in ids {
            assert!(store.commit(move |txn| txn.digest(id)).await.expect("read").is_empty());
        }
    }

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn a_digest_keeps_its_bytes() {
        let digest = DigestV1 { at: 3, members: vec![[7; 16]] };
        assert_eq!(encode(&digest), [vec![1, 6, 1], vec![7; 16]].concat());
    }
}
