//! How the nightly backups are doing: when the next one is due, when the last one was made, and what went wrong since.

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::Answer;
use super::keys;
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;

/// The longest account of what went wrong that is kept, in bytes.
const ERROR_BYTES_MAX: usize = 500;

/// How the nightly backups are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backups {
    /// When the next one is due; `None` where none is wanted.
    pub next_at: Option<Millis>,
    /// When the last one that is whole was begun.
    pub last_success_at: Option<Millis>,
    /// What went wrong since then, and when.
    pub failed: Option<(Millis, String)>,
}

#[derive(Serialize, Deserialize)]
struct BackupsV1 {
    next_at: Option<Millis>,
    last_success_at: Option<Millis>,
    failed: Option<(Millis, String)>,
}

impl Record for BackupsV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "nightly backups";
}

fn backups_key() -> Vec<u8> {
    keys::named(keys::META, b"backups")
}

impl Txn<'_> {
    /// How the nightly backups are doing.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn backups(&self) -> Answer<Backups> {
        let stored: Option<BackupsV1> = self.get(&backups_key())?;
        Ok(stored.map_or_else(Backups::default, |stored| Backups {
            next_at: stored.next_at,
            last_success_at: stored.last_success_at,
            failed: stored.failed,
        }))
    }

    /// Notes how the nightly backups are doing.
    pub fn put_backups(&mut self, backups: &Backups) {
        let Backups { next_at, last_success_at, failed } = backups.clone();
        let failed = failed.map(|(at, mut error)| {
            error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
            (at, error)
        });
        self.put(backups_key(), &BackupsV1 { next_at, last_success_at, failed });
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::encode;
    use super::*;

    #[test]
    fn the_account_of_backups_keeps_its_bytes() {
        let stored =
            BackupsV1 { next_at: Some(1), last_success_at: None, failed: Some((2, "no room".to_owned())) };
        assert_eq!(encode(&stored), [&[1, 1, 2, 0, 1, 4, 7][..], b"no room"].concat());
    }
}
