//! Who stands under a name: the connections of a user or of a channel, found without a lock that all share.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use parking_lot::RwLock;
use uuid::Uuid;

use super::line::Line;

/// A power of two well above any number of cores, so that two publishers seldom meet at one lock.
const SHARDS: usize = 64;
/// Up to here a sorted list is smaller and quicker than a tree: nearly every user and workflow stays below.
const FEW_MAX: usize = 64;

/// The connections under one name, ordered by id, which is the order in which they came.
#[derive(Debug)]
pub(super) enum Roll {
    Few(Vec<Arc<Line>>),
    Many(BTreeMap<Uuid, Arc<Line>>),
}

impl Roll {
    fn with(line: Arc<Line>) -> Roll {
        Roll::Few(vec![line])
    }

    fn insert(&mut self, line: Arc<Line>) {
        match self {
            Roll::Few(lines) => {
                if let Err(place) = lines.binary_search_by_key(&line.id, |other| other.id) {
                    lines.insert(place, line);
                }
                if lines.len() > FEW_MAX {
                    *self = Roll::Many(lines.drain(..).map(|line| (line.id, line)).collect());
                }
            }
            Roll::Many(lines) => {
                lines.insert(line.id, line);
            }
        }
    }

    /// Answers whether nobody is left.
    fn remove(&mut self, id: Uuid) -> bool {
        match self {
            Roll::Few(lines) => {
                if let Ok(place) = lines.binary_search_by_key(&id, |line| line.id) {
                    lines.remove(place);
                }
                lines.is_empty()
            }
            Roll::Many(lines) => {
                lines.remove(&id);
                lines.is_empty()
            }
        }
    }

    pub(super) fn each(&self, mut visit: impl FnMut(&Arc<Line>)) {
        match self {
            Roll::Few(lines) => lines.iter().for_each(visit),
            Roll::Many(lines) => lines.values().for_each(&mut visit),
        }
    }

    /// At most `limit` lines older than `after`, the newest first.
    fn page(&self, after: Option<Uuid>, limit: usize) -> Vec<Arc<Line>> {
        match self {
            Roll::Few(lines) => {
                let end = after.map_or(lines.len(), |after| lines.partition_point(|line| line.id < after));
                lines[..end].iter().rev().take(limit).cloned().collect()
            }
            Roll::Many(lines) => page(lines, after, limit),
        }
    }
}

/// At most `limit` lines older than `after`, the newest first. The cost is that of what is returned.
pub(super) fn page(lines: &BTreeMap<Uuid, Arc<Line>>, after: Option<Uuid>, limit: usize) -> Vec<Arc<Line>> {
    match after {
        Some(after) => lines.range(..after).rev().take(limit).map(|(_, line)| line.clone()).collect(),
        None => lines.values().rev().take(limit).cloned().collect(),
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

    pub(super) fn insert(&self, name: &str, line: Arc<Line>) {
        let mut shard = self.shard(name).write();
        match shard.get_mut(name) {
            Some(roll) => roll.insert(line),
            None => {
                shard.insert(name.into(), Roll::with(line));
            }
        }
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

    pub(super) fn each(&self, name: &str, visit: impl FnMut(&Arc<Line>)) {
        if let Some(roll) = self.shard(name).read().get(name) {
            roll.each(visit);
        }
    }

    pub(super) fn page(&self, name: &str, after: Option<Uuid>, limit: usize) -> Vec<Arc<Line>> {
        self.shard(name).read().get(name).map(|roll| roll.page(after, limit)).unwrap_or_default()
    }

    /// Every line under any name, shard by shard.
    pub(super) fn each_of_all(&self, mut visit: impl FnMut(&Arc<Line>)) {
        for shard in &self.shards {
            shard.read().values().for_each(|roll| roll.each(&mut visit));
        }
    }
}
