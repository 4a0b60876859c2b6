//! Who stands under a name: the connections of a user or of a channel, found without a lock that all share.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use parking_lot::RwLock;
use uuid::Uuid;

use super::crowd::Crowd;
use super::line::Line;

/// A power of two well above any number of cores, so that two publishers seldom meet at one lock.
const SHARDS: usize = 64;
/// Up to here a sorted list is smaller and quicker than a crowd with its log, and a publisher visits all by itself:
/// nearly every user and workflow stays below.
const FEW_MAX: usize = 64;

/// The connections under one name, ordered by id, which is the order in which they came.
#[derive(Clone, Debug)]
pub(super) enum Roll {
    Few(Vec<Arc<Line>>),
    Many(Arc<Crowd>),
}

impl Default for Roll {
    fn default() -> Roll {
        Roll::Few(Vec::new())
    }
}

impl Roll {
    pub(super) fn insert(&mut self, line: Arc<Line>) {
        match self {
            Roll::Few(lines) => {
                if let Err(place) = lines.binary_search_by_key(&line.id, |other| other.id) {
                    lines.insert(place, line);
                }
                if lines.len() > FEW_MAX {
                    *self = Roll::Many(Arc::new(Crowd::of(lines.drain(..))));
                }
            }
            Roll::Many(crowd) => crowd.insert(line),
        }
    }

    /// Answers whether nobody is left.
    pub(super) fn remove(&mut self, id: Uuid) -> bool {
        let empty = match self {
            Roll::Few(lines) => {
                if let Ok(place) = lines.binary_search_by_key(&id, |line| line.id) {
                    lines.remove(place);
                }
                return lines.is_empty();
            }
            Roll::Many(crowd) => crowd.remove(id),
        };
        if empty {
            *self = Roll::default();
        }
        empty
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Roll::Few(lines) => lines.len(),
            Roll::Many(crowd) => crowd.len(),
        }
    }

    pub(super) fn get(&self, id: Uuid) -> Option<Arc<Line>> {
        match self {
            Roll::Few(lines) => {
                let place = lines.binary_search_by_key(&id, |line| line.id).ok()?;
                lines.get(place).cloned()
            }
            Roll::Many(crowd) => crowd.get(id),
        }
    }

    pub(super) fn each(&self, visit: impl FnMut(&Arc<Line>)) {
        match self {
            Roll::Few(lines) => lines.iter().for_each(visit),
            Roll::Many(crowd) => crowd.each(visit),
        }
    }

    /// At most `limit` lines older than `after`, the newest first.
    pub(super) fn page(&self, after: Option<Uuid>, limit: usize) -> Vec<Arc<Line>> {
        match self {
            Roll::Few(lines) => {
                let end = after.map_or(lines.len(), |after| lines.partition_point(|line| line.id < after));
                lines[..end].iter().rev().take(limit).cloned().collect()
            }
            Roll::Many(crowd) => crowd.page(after, limit),
        }
    }
}

type Shard = RwLock<HashMap<Box<str>, Roll>>;

/// Rolls by name, in shards that are locked one at a time and never across an await.
#[derive(Debug)]
pub(super) struct Rolls {
    hasher: RandomState,
    shards: Box<[Shard]>,
}

impl Rolls {
    pub(super) fn new() -> Rolls {
        Rolls {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::new(HashMap::new())).collect(),
        }
    }

    fn shard(&self, name: &str) -> &Shard {
        // The remainder is below SHARDS, so the cast loses nothing.
        &self.shards[(self.hasher.hash_one(name) % SHARDS as u64) as usize]
    }

    /// Answers false, and leaves the line out, if `len_max` are there already.
    pub(super) fn insert(&self, name: &str, line: &Arc<Line>, len_max: usize) -> bool {
        let mut shard = self.shard(name).write();
        match shard.get_mut(name) {
            Some(roll) if roll.len() >= len_max => return false,
            Some(roll) => roll.insert(line.clone()),
            None => {
                shard.insert(name.into(), Roll::Few(vec![line.clone()]));
            }
        }
        true
    }

    pub(super) fn remove(&self, name: &str, id: Uuid) {
        let mut shard = self.shard(name).write();
        if shard.get_mut(name).is_some_and(|roll| roll.remove(id)) {
            shard.remove(name);
            // A burst of users must not be paid for for ever.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
    }

    /// Who stands under the name now.
    pub(super) fn roll(&self, name: &str) -> Roll {
        self.shard(name).read().get(name).cloned().unwrap_or_default()
    }

    pub(super) fn len(&self, name: &str) -> usize {
        self.shard(name).read().get(name).map_or(0, Roll::len)
    }
}
