//! One write as its function sees it: it reads what is stored and what was changed before it, and notes what it changes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::chunks;
use super::codec::{Record, encode};
use super::error::{Answer, StoreError};
use super::heads::{Heads, Line};
use super::open::Store;
use super::rollups::Tally;
use super::view::{Read, View, last};

/// Key to new value, or to `None` for a removal.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
/// What a notification on a few channels has counted.
pub(super) const TALLIES_LEN: usize = 8;

pub(super) type After = Box<dyn FnOnce() + Send>;

/// One write as its function sees it: everything stored, everything the group has changed before, and its own changes.
pub struct Txn<'a> {
    tree: &'a sled::Tree,
    heads: &'a Heads,
    group: &'a Changes,
    own: Changes,
    after: Vec<After>,
    tallies: Vec<Tally>,
    /// What sled said when it could not read.
    trouble: RefCell<Option<StoreError>>,
}

/// What a write came to.
pub(super) struct Written {
    /// What it changes.
    pub(super) changes: Changes,
    /// What is to be run once that is durable.
    pub(super) after: Vec<After>,
    /// What it counts.
    pub(super) tallies: Vec<Tally>,
    /// What sled said when it could not read.
    pub(super) trouble: Option<StoreError>,
}

impl<'a> Txn<'a> {
    /// A write on top of what is stored and of what its group has changed before.
    pub(super) fn new(tree: &'a sled::Tree, heads: &'a Heads, group: &'a Changes) -> Txn<'a> {
        Txn {
            tree,
            heads,
            group,
            own: Changes::new(),
            after: Vec::new(),
            tallies: Vec::new(),
            trouble: RefCell::default(),
        }
    }

    /// What it came to.
    pub(super) fn end(self) -> Written {
        Written {
            changes: self.own,
            after: self.after,
            tallies: self.tallies,
            trouble: self.trouble.into_inner(),
        }
    }

    /// Runs `work` once everything in this write is durable, in the order of the writes, on the writer thread: it must
    /// be quick and must not block.
    pub fn after(&mut self, work: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(work));
    }

    /// Notes what is to be counted once the group is written.
    pub(super) fn note_tally(&mut self, tally: Tally) {
        if self.tallies.capacity() == 0 {
            self.tallies.reserve(TALLIES_LEN);
        }
        self.tallies.push(tally);
    }

    /// Notes an error of sled's: the writer must know, whatever this write's function makes of it.
    fn noting<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Unavailable(_)) = &read {
            self.trouble.borrow_mut().get_or_insert_with(|| error.clone());
        }
        read
    }

    /// Writes a record under a key that holds none yet, or none that is long.
    pub(super) fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) {
        for (key, value) in chunks::split(key, &encode(record)) {
            self.own.insert(key, Some(value));
        }
    }

    /// Writes a record over one that may be long.
    pub(super) fn replace<R: Record>(&mut self, key: Vec<u8>, record: &R) -> Result<(), StoreError> {
        self.remove(&key)?;
        self.put(key, record);
        Ok(())
    }

    /// Removes a record with all its pieces.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if let Some(stored) = self.raw(key)? {
            for number in 0..chunks::further(&stored) {
                self.own.insert(chunks::piece_key(key, number), None);
            }
            self.own.insert(key.to_vec(), None);
        }
        Ok(())
    }

    /// Removes every record with `from <= key < to`, with all its pieces. Few enough to be found at once.
    pub(super) fn remove_all(&mut self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        let mut found = Vec::new();
        self.scan(from, to, false, &mut |key, _| {
            found.push(key.to_vec());
            Ok(true)
        })?;
        found.iter().try_for_each(|key| self.remove(key))
    }

    /// Removes a record that is known to be short, without looking.
    pub(super) fn remove_short(&mut self, key: Vec<u8>) {
        self.own.insert(key, None);
    }
}

impl Store {
    /// Runs `work` as if it were to write, and lets go of what it changes: nothing of it is stored, and nothing that was
    /// to follow happens. The writer is not asked.
    ///
    /// # Errors
    /// What `work` gives.
    pub async fn imagine<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let work = move |view: &View<'_>| {
            let (heads, group) = (Heads::default(), Changes::new());
            work(&mut Txn::new(view.0, &heads, &group))
        };
        self.read(work).await
    }
}

impl Read for Txn<'_> {
    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.own.get(key).or_else(|| self.group.get(key)) {
            Some(changed) => Ok(changed.clone()),
            None => self.noting(self.heads.value(key, || View(self.tree).raw(key))),
        }
    }

    fn newest(&self, prefix: &[u8], to: &[u8]) -> Result<Option<Line>, StoreError> {
        let bounds = (Bound::Included(prefix), Bound::Excluded(to));
        let mut newest = self.noting(self.heads.newest(prefix, || View(self.tree).newest(prefix, to)))?;
        for (key, value) in [self.group, &self.own].into_iter().flat_map(|c| c.range::<[u8], _>(bounds)) {
            match value {
                Some(value) if newest.as_ref().is_none_or(|(newest, _)| newest <= key) => {
                    newest = Some((key.clone(), value.clone()));
                }
                Some(_) => {}
                // What is the newest without it, only a look at everything can say.
                None => return last(self, prefix, to),
            }
        }
        Ok(newest)
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let mut changed: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for changes in [self.group, &self.own] {
            for (key, value) in changes.range::<[u8], _>(bounds) {
                changed.insert(key, value.as_deref());
            }
        }
        let comes_first = |a: &[u8], b: &[u8]| if backwards { a > b } else { a < b };
        let mut go_on = true;
        let scanned = View(self.tree).scan(from, to, backwards, &mut |key, value| {
            while let Some(entry) = if backwards { changed.last_entry() } else { changed.first_entry() } {
                if !comes_first(entry.key(), key) {
                    break;
                }
                let (own_key, own_value) = entry.remove_entry();
                if let Some(own_value) = own_value {
                    go_on = visit(own_key, own_value)?;
                    if !go_on {
                        return Ok(false);
                    }
                }
            }
            go_on = match changed.remove(key) {
                None => visit(key, value)?,
                Some(None) => true,
                Some(Some(own_value)) => visit(key, own_value)?,
            };
            Ok(go_on)
        });
        self.noting(scanned)?;
        while go_on
            && let Some((key, value)) = if backwards { changed.pop_last() } else { changed.pop_first() }
        {
            if let Some(value) = value {
                go_on = visit(key, value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scanned(read: &impl Read, backwards: bool, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut seen = Vec::new();
        read.scan(b"b", b"y", backwards, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            Ok(seen.len() < limit)
        })
        .expect("a scan of a good tree");
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_write_sees_the_store_its_group_and_itself_as_one(
            stored in proptest::collection::btree_map("[a-z]", any::<u8>(), 0..12),
            group in proptest::collection::btree_map("[a-z]", any::<Option<u8>>(), 0..12),
            own in proptest::collection::btree_map("[a-z]", any::<Option<u8>>(), 0..12),
            backwards: bool,
            limit in 1usize..30,
        ) {
            let db = sled::Config::new().temporary(true).open().expect("a temporary store");
            let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for (key, value) in &stored {
                db.insert(key.as_bytes(), vec![*value]).expect("a write");
                expected.insert(key.clone().into_bytes(), vec![*value]);
            }
            let changes = |map: &BTreeMap<String, Option<u8>>| -> Changes {
                map.iter().map(|(key, value)| (key.clone().into_bytes(), value.map(|v| vec![v]))).collect()
            };
            let (group, own) = (changes(&group), changes(&own));
            for (key, value) in group.iter().chain(&own) {
                match value {
                    Some(value) => expected.insert(key.clone(), value.clone()),
                    None => expected.remove(key),
                };
            }
            let heads = Heads::default();
            let mut txn = Txn::new(&db, &heads, &group);
            txn.own = own;
            let last = txn.newest(b"b", b"y").expect("a good tree");
            prop_assert_eq!(&last, &scanned(&txn, true, 1).pop());
            prop_assert_eq!(&last, &txn.newest(b"b", b"y").expect("a good tree"));
            let mut wanted: Vec<_> =
                expected.range::<[u8], _>((Bound::Included(&b"b"[..]), Bound::Excluded(&b"y"[..])))
                    .map(|(key, value)| (key.clone(), value.clone())).collect();
            if backwards {
                wanted.reverse();
            }
            wanted.truncate(limit);
            prop_assert_eq!(scanned(&txn, backwards, limit), wanted);
        }
    }
}
