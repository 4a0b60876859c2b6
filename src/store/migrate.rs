//! From the formats of earlier versions to this one's, before the store is used.
//!
//! A step moves what it finds in atomic batches and may be cut off anywhere: it is taken up again at the next start,
//! since the format is written last.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chunks;
use super::codec::{Record, decode, encode};
use super::error::StoreError;
use super::keys;
use super::outbox::{Due, DueV2, Lane};
use crate::model::channel::Channel;

/// Lines in one batch.
const BATCH_LEN_MAX: usize = 1_000;
/// The key space of the due index in format 1: channel, instant, rank, notification key.
const DUE_V1: u8 = b'd';

#[derive(Serialize, Deserialize)]
struct DueV1 {
    priority: u8,
    attempts: u32,
}

impl Record for DueV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "due";
}

/// Moves the due index of format 1 into lanes by turn.
pub(super) fn lanes_by_turn(tree: &sled::Tree) -> Result<(), StoreError> {
    loop {
        let (mut batch, mut moved) = (sled::Batch::default(), 0);
        for pair in tree.scan_prefix([DUE_V1]).take(BATCH_LEN_MAX) {
            let (key, value) = pair?;
            batch.remove(&key);
            moved += 1;
            let line: DueV1 = decode(value.get(1..).unwrap_or_default())?;
            let Some(due) = read(&key, &line) else { continue };
            let Some(record) = DueV2::of(&due) else { continue };
            for (key, value) in chunks::split(keys::due(&due), &encode(&record)) {
                batch.insert(key, value);
            }
        }
        if moved == 0 {
            return Ok(());
        }
        tree.apply_batch(batch)?;
    }
}

fn read(key: &[u8], line: &DueV1) -> Option<Due> {
    let channel = Channel::ALL
        .into_iter()
        .find(|c| keys::channel_byte(*c) == key.get(1).copied().unwrap_or(u8::MAX))?;
    let at = u64::from_be_bytes(key.get(2..10)?.try_into().ok()?);
    let id = Uuid::from_slice(key.get(11..27)?).ok()?;
    let priority = keys::priority_of(line.priority)?;
    let due = Due::new(Lane::Channel(channel), i64::try_from(at).ok()?, priority, id);
    Some(Due { attempts: line.attempts, ..due })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::notification::Priority;
    use crate::store::outbox;

    fn stored(value: &[u8]) -> Vec<u8> {
        [&[0], value].concat()
    }

    #[test]
    fn a_line_of_the_first_format_is_due_at_the_same_instant_in_its_lane() {
        let db = sled::Config::new().temporary(true).open().expect("a temporary store");
        let id = Uuid::from_u128(7);
        let old = [&[DUE_V1, 1][..], &5_000_u64.to_be_bytes(), &[1], id.as_bytes()].concat();
        db.insert(old, stored(&encode(&DueV1 { priority: 2, attempts: 3 }))).expect("a write");
        lanes_by_turn(&db).expect("a good tree");
        lanes_by_turn(&db).expect("a second time changes nothing");
        let due = Due { attempts: 3, ..Due::new(Lane::Channel(Channel::Email), 5_000, Priority::High, id) };
        let record = outbox::DueV2::of(&due).expect("it waits alone");
        let pairs: Vec<_> = db.iter().map(|pair| pair.expect("readable")).collect();
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].0, keys::due(&due));
        assert_eq!(pairs[0].1, stored(&encode(&record)));
    }
}
