//! A large audience: one log that all share, and for each member a cursor into it.
//!
//! A publisher appends and is done. One walk goes round the members, a chunk at a time, and gives each all that it has
//! not seen, so that under load many messages go out in one write. Nothing is kept for a member that keeps up.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use super::frame::Publication;
use super::line::Line;
use super::log::Log;

/// Members that are visited before the walk lets others have the processor: a third of a millisecond of writes.
const CHUNK_LEN: usize = 64;

/// The members and their log. The log's lock is taken before that of the members.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    log: Mutex<Log>,
    members: RwLock<BTreeMap<Uuid, Member>>,
}

#[derive(Debug)]
struct Member {
    line: Arc<Line>,
    /// The number of the first message that it has not been given.
    cursor: AtomicU64,
}

/// Members that are to be visited now, and what for.
#[derive(Debug)]
pub(super) struct Chunk {
    publications: Vec<Publication>,
    /// The number of the first of them.
    first: u64,
    visits: Vec<(Arc<Line>, u64)>,
}

impl Crowd {
    pub(super) fn of(lines: impl Iterator<Item = Arc<Line>>) -> Crowd {
        let members = lines.map(|line| (line.id, Member { line, cursor: AtomicU64::new(0) })).collect();
        Crowd { log: Mutex::default(), members: RwLock::new(members) }
    }

    pub(super) fn insert(&self, line: Arc<Line>) {
        // What was published before is not for the newcomer.
        let cursor = AtomicU64::new(self.log.lock().head());
        self.members.write().insert(line.id, Member { line, cursor });
    }

    /// Answers whether nobody is left.
    pub(super) fn remove(&self, id: Uuid) -> bool {
        let mut members = self.members.write();
        members.remove(&id);
        members.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.members.read().len()
    }

    pub(super) fn get(&self, id: Uuid) -> Option<Arc<Line>> {
        self.members.read().get(&id).map(|member| member.line.clone())
    }

    pub(super) fn each(&self, mut visit: impl FnMut(&Arc<Line>)) {
        self.members.read().values().for_each(|member| visit(&member.line));
    }

    /// At most `limit` lines older than `after`, the newest first. The cost is that of what is returned.
    pub(super) fn page(&self, after: Option<Uuid>, limit: usize) -> Vec<Arc<Line>> {
        let end = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.members.read();
        let older = members.range((Bound::Unbounded, end)).rev();
        older.take(limit).map(|(_, member)| member.line.clone()).collect()
    }

    /// Appends to the log. Answers whether a walk is to be begun.
    pub(super) fn publish(&self, publication: Publication) -> bool {
        let mut log = self.log.lock();
        log.push(publication);
        !std::mem::replace(&mut log.walking, true)
    }

    /// The next steps of the walk, or `None` when all have everything: then the walk is over. What was answered
    /// before must have been delivered.
    pub(super) fn next(&self) -> Option<Chunk> {
        let mut log = self.log.lock();
        if log.is_empty() {
            log.walking = false;
            return None;
        }
        if log.at.is_nil() {
            log.begin_round();
        }
        let (head, mut first) = (log.head(), log.head());
        let mut visits = Vec::with_capacity(CHUNK_LEN);
        let members = self.members.read();
        let ahead = members.range((Bound::Excluded(log.at), Bound::Unbounded));
        for (id, member) in ahead.take(CHUNK_LEN) {
            let cursor = member.cursor.swap(head, Ordering::Relaxed);
            first = first.min(cursor);
            visits.push((member.line.clone(), cursor));
            log.at = *id;
        }
        drop(members);
        let (first, publications) = (first.max(log.base()), log.since(first));
        if visits.len() < CHUNK_LEN {
            log.end_round();
        }
        Some(Chunk { publications, first, visits })
    }
}

impl Chunk {
    /// Visits each member with what it has not seen, or with `None` if that is no longer in the log.
    pub(super) fn each(&self, mut visit: impl FnMut(&Line, Option<&[Publication]>)) {
        for (line, cursor) in &self.visits {
            let unseen =
                cursor.checked_sub(self.first).map(|seen| usize::try_from(seen).unwrap_or(usize::MAX));
            match unseen.map(|seen| self.publications.get(seen..).unwrap_or_default()) {
                Some([]) => {}
                unseen => visit(line, unseen),
            }
        }
    }
}
