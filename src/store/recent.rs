//! What a person was sent lately, by key: to recognise a duplicate, to let a newer one take the place of an older, and
//! to count against a rate. One small record for each key that senders use.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;

/// Which of a person's keys.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// A `dedupe_key`.
    Dedupe(&'a str),
    /// A `collapse_key`.
    Collapse(&'a str),
    /// What is counted together against a rate: a category, and a value that tells counts apart.
    Rate(&'a str, &'a str),
}

impl Word<'_> {
    /// A kind and a hash: keys of any length cost the same, and say nothing to whoever reads the disk.
    pub(super) fn to_bytes(self) -> [u8; 17] {
        let (kind, first, second) = match self {
            Word::Dedupe(key) => (1, key, ""),
            Word::Collapse(key) => (2, key, ""),
            Word::Rate(category, value) => (3, category, value),
        };
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        hash.update(first.as_bytes());
        hash.update(&[0]);
        hash.update(second.as_bytes());
        let mut bytes = [kind; 17];
        bytes[1..].copy_from_slice(&hash.finish().as_ref()[..16]);
        bytes
    }
}

/// The latest notification of a key.
#[derive(Serialize, Deserialize)]
pub(super) struct LatestV1 {
    key: [u8; 16],
    at: Millis,
}

impl Record for LatestV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "latest of a key";
}

/// How many there were since an instant.
#[derive(Serialize, Deserialize)]
pub(super) struct CountV1 {
    since: Millis,
    count: u32,
}

impl Record for CountV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "count of a key";
}

impl Txn<'_> {
    /// The latest notification of a person's key, and when it was accepted.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn latest(&self, user: &str, word: Word<'_>) -> Answer<Option<(Uuid, Millis)>> {
        let latest: Option<LatestV1> = self.get(&keys::recent(user, word))?;
        Ok(latest.map(|latest| (Uuid::from_bytes(latest.key), latest.at)))
    }

    /// Notes the latest notification of a person's key.
    pub fn note_latest(&mut self, user: &str, word: Word<'_>, key: Uuid, at: Millis) {
        self.put(keys::recent(user, word), &LatestV1 { key: *key.as_bytes(), at });
    }

    /// Forgets a person's key, if `key` is the latest notification of it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn forget_latest(&mut self, user: &str, word: Word<'_>, key: Uuid) -> Result<(), StoreError> {
        if self.latest(user, word)?.is_some_and(|(latest, _)| latest == key) {
            self.remove_short(keys::recent(user, word));
        }
        Ok(())
    }

    /// Counts one more against a rate, in spans of `span` milliseconds that begin with the first one counted. Answers
    /// how many there were before it in this span.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn count(&mut self, user: &str, word: Word<'_>, span: Millis, now: Millis) -> Answer<u32> {
        let key = keys::recent(user, word);
        let so_far =
            self.get::<CountV1>(&key)?.filter(|c| c.since <= now && now < c.since.saturating_add(span));
        let CountV1 { since, count } = so_far.unwrap_or(CountV1 { since: now, count: 0 });
        self.put(key, &CountV1 { since, count: count.saturating_add(1) });
        Ok(count)
    }

    /// Removes all keys of a person.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_recent(&mut self, user: &str) -> Result<(), StoreError> {
        let from = keys::held_by(keys::RECENT, user, None);
        self.remove_all(&from, &keys::after(&from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::encode;

    #[test]
    fn no_two_keys_of_a_person_are_the_same_word() {
        let words = [
            Word::Dedupe("a"),
            Word::Dedupe("ab"),
            Word::Collapse("a"),
            Word::Rate("a", ""),
            Word::Rate("a", "b"),
            Word::Rate("ab", ""),
        ];
        let bytes: std::collections::BTreeSet<_> = words.iter().map(|word| word.to_bytes()).collect();
        assert_eq!(bytes.len(), words.len());
    }

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn what_is_recent_keeps_its_bytes() {
        assert_eq!(encode(&LatestV1 { key: [7; 16], at: 3 }), [vec![1], vec![7; 16], vec![6]].concat());
        assert_eq!(encode(&CountV1 { since: 3, count: 2 }), [1, 6, 2]);
    }
}
