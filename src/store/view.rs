//! Reading the tree: what a read from outside and the function of a write have in common.

use std::ops::Bound;

use super::chunks;
use super::codec::{CodecError, Record, decode};
use super::error::StoreError;
use super::heads::Line;

/// Reading, alike for a view from outside and from within a write.
pub(super) trait Read {
    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the pairs with `from <= key < to`, backwards if told so, until `visit` answers false.
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError>;

    /// The last pair with `prefix <= key < to`, where all keys in between begin with `prefix`.
    fn newest(&self, prefix: &[u8], to: &[u8]) -> Result<Option<Line>, StoreError> {
        last(self, prefix, to)
    }

    /// The record under `key`.
    fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        let Some(stored) = self.raw(key)? else { return Ok(None) };
        self.open_value(key, &stored).map(Some)
    }

    /// The record whose first piece, under `key`, is `stored`.
    fn open_value<R: Record>(&self, key: &[u8], stored: &[u8]) -> Result<R, StoreError> {
        if chunks::further(stored) == 0 {
            return Ok(decode(stored.get(1..).unwrap_or_default())?);
        }
        let mut failed = None;
        let value = chunks::join(key, stored, |piece| {
            self.raw(piece).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        match (value, failed) {
            (_, Some(error)) => Err(error),
            (Some(value), None) => Ok(decode(&value)?),
            (None, None) => Err(CodecError::Incomplete { name: R::NAME }.into()),
        }
    }
}

/// The last pair with `from <= key < to`.
pub(super) fn last(read: &(impl Read + ?Sized), from: &[u8], to: &[u8]) -> Result<Option<Line>, StoreError> {
    let mut found = None;
    read.scan(from, to, true, &mut |key, value| {
        found = Some((key.to_vec(), value.to_vec()));
        Ok(false)
    })?;
    Ok(found)
}

/// A view of what is stored, from a blocking thread.
pub(super) struct View<'a>(pub(super) &'a sled::Tree);

impl Read for View<'_> {
    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut range = self.0.range::<&[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        while let Some(pair) = if backwards { range.next_back() } else { range.next() } {
            let (key, value) = pair?;
            if !visit(&key, &value)? {
                break;
            }
        }
        Ok(())
    }
}
