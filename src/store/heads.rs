//! The records and the newest inbox lines of those who were written to lately, and the records of categories.
//!
//! Each accepted notification is planned by its person's record and its category's, and continues from their newest line, and looking for
//! both in the tree is dearer than writing the next line. There is one writer, so what it wrote last is what is stored;
//! no copy can be out of date.

use std::cell::RefCell;
use std::collections::HashMap;

use super::error::StoreError;
use super::keys;
use super::txn::Changes;

/// Newest lines that are remembered at least, and twice as many at most: some hundred bytes each.
const LINES_LEN: usize = 16_384;
/// The same of values, of which a person has two.
const VALUES_LEN: usize = 2 * LINES_LEN;
/// The longest record of a person that is remembered. Most are far below: who has said nothing has some 20 bytes.
const PERSON_BYTES_MAX: usize = 256;
/// What each plan asks for: the person, whether they have a browser, and the category.
const REMEMBERED: [u8; 3] = [keys::USER, keys::PUSH_SUBSCRIPTIONS, keys::CATEGORY];
/// The last bytes of a line's key are its offset.
const OFFSET_BYTES: usize = 8;

/// A line as it is stored: key and value.
pub(super) type Line = (Vec<u8>, Vec<u8>);

/// What the writer remembers.
#[derive(Debug)]
pub(super) struct Heads {
    /// By the part of a line's key that is the same for all of a person's lines.
    lines: RefCell<Known<Option<Line>>>,
    /// Short values by their keys.
    values: RefCell<Known<Option<Vec<u8>>>>,
}

impl Default for Heads {
    fn default() -> Heads {
        Heads {
            lines: RefCell::new(Known::with_room_for(LINES_LEN)),
            values: RefCell::new(Known::with_room_for(VALUES_LEN)),
        }
    }
}

/// What was asked for lately. When there is no more room, what was not asked for since the last time is forgotten.
#[derive(Debug)]
struct Known<T> {
    len_max: usize,
    young: HashMap<Vec<u8>, T>,
    old: HashMap<Vec<u8>, T>,
}

impl<T> Known<T> {
    fn with_room_for(len_max: usize) -> Known<T> {
        Known { len_max, young: HashMap::new(), old: HashMap::new() }
    }

    fn get(&mut self, key: &[u8]) -> Option<&mut T> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    fn insert(&mut self, key: Vec<u8>, value: T) {
        if self.young.len() == self.len_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn remove(&mut self, key: &[u8]) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

impl Heads {
    /// The newest stored line under `prefix`, from memory or else from `look`.
    pub(super) fn newest(
        &self,
        prefix: &[u8],
        look: impl FnOnce() -> Result<Option<Line>, StoreError>,
    ) -> Result<Option<Line>, StoreError> {
        recall(&self.lines, prefix, look, |_| true)
    }

    /// The stored value under `key`: of what each plan asks for from memory, or else from `look`.
    pub(super) fn value(
        &self,
        key: &[u8],
        look: impl FnOnce() -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if !key.first().is_some_and(|space| REMEMBERED.contains(space)) {
            return look();
        }
        let is_short = |value: &Option<Vec<u8>>| value.as_ref().is_none_or(|v| v.len() <= PERSON_BYTES_MAX);
        recall(&self.values, key, look, is_short)
    }

    /// Follows what is being written.
    pub(super) fn follow(&self, changes: &Changes) {
        let values = &mut *self.values.borrow_mut();
        for space in REMEMBERED {
            for (key, _) in changes.range(vec![space]..vec![space + 1]) {
                values.remove(key);
            }
        }
        let known = &mut *self.lines.borrow_mut();
        for (key, value) in changes.range(vec![keys::INBOX]..vec![keys::INBOX + 1]) {
            let prefix = &key[..key.len().saturating_sub(OFFSET_BYTES)];
            let Some(head) = known.get(prefix) else { continue };
            match value {
                Some(value) if head.as_ref().is_none_or(|(newest, _)| newest <= key) => {
                    *head = Some((key.clone(), value.clone()));
                }
                Some(_) => {}
                None => {
                    known.remove(prefix);
                }
            }
        }
    }
}

/// What is known under `key`, or else what `look` finds, remembered if it `fits`.
fn recall<T: Clone>(
    known: &RefCell<Known<T>>,
    key: &[u8],
    look: impl FnOnce() -> Result<T, StoreError>,
    fits: impl FnOnce(&T) -> bool,
) -> Result<T, StoreError> {
    if let Some(known) = known.borrow_mut().get(key) {
        return Ok(known.clone());
    }
    let found = look()?;
    if fits(&found) {
        known.borrow_mut().insert(key.to_vec(), found.clone());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(offset: u64) -> Vec<u8> {
        keys::inbox_line("anna", offset)
    }

    fn newest(heads: &Heads, stored: Option<u64>) -> Option<Line> {
        let look = || Ok(stored.map(|offset| (line(offset), vec![0])));
        heads.newest(&keys::inbox_of("anna"), look).expect("a store that can be read")
    }

    #[test]
    fn a_line_that_was_just_written_is_the_newest_without_looking() {
        let heads = Heads::default();
        assert_eq!(newest(&heads, None), None);
        heads.follow(&Changes::from([(line(1), Some(vec![1])), (line(2), Some(vec![2]))]));
        assert_eq!(newest(&heads, None), Some((line(2), vec![2])));
        heads.follow(&Changes::from([(line(1), Some(vec![9]))]));
        assert_eq!(newest(&heads, None), Some((line(2), vec![2])));
    }

    #[test]
    fn a_person_that_is_written_is_read_again() {
        let heads = Heads::default();
        let anna = keys::named(keys::USER, b"anna");
        let read = |stored: &[u8]| heads.value(&anna, || Ok(Some(stored.to_vec()))).expect("a good store");
        assert_eq!(read(b"old"), Some(b"old".to_vec()));
        assert_eq!(read(b"new"), Some(b"old".to_vec()));
        heads.follow(&Changes::from([(anna.clone(), Some(b"new".to_vec()))]));
        assert_eq!(read(b"new"), Some(b"new".to_vec()));
    }

    #[test]
    fn what_is_asked_for_again_stays_and_what_is_not_goes_when_there_is_no_room() {
        let mut known = Known::with_room_for(2);
        for key in [b"a", b"b", b"c"] {
            known.insert(key.to_vec(), ());
            assert!(known.get(b"a").is_some());
        }
        known.insert(b"d".to_vec(), ());
        assert!(known.get(b"a").is_some() && known.get(b"d").is_some() && known.get(b"b").is_none());
        known.remove(b"a");
        assert!(known.get(b"a").is_none());
        assert!(known.young.len() <= 2 && known.old.len() <= 2);
    }

    #[test]
    fn after_a_removal_the_store_is_asked_again() {
        let heads = Heads::default();
        newest(&heads, Some(2));
        heads.follow(&Changes::from([(line(2), None)]));
        assert_eq!(newest(&heads, Some(1)), Some((line(1), vec![0])));
    }
}
