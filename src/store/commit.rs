//! Group commit: one thread writes; one flush and one `fdatasync` serve everyone who waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::oneshot;

use super::chunks;
use super::codec::{CodecError, Record, decode, encode};
use super::heads::{Heads, Line};
use super::keys;
use super::queue::{Receiver, Sender, queue};

/// Functions in one group. More only adds latency: the flush costs the same, the answers come later.
const GROUP_LEN_MAX: usize = 128;
/// Functions that may wait for the writer. Beyond it publishers wait at the door.
const WAITING_LEN_MAX: usize = 4_096;
/// How long a publisher waits at the door before it is told to come back.
const WAITING_MAX: Duration = Duration::from_secs(5);

/// What the outside of a commit sees when the store cannot do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// More is being written than the disk takes; try again.
    #[error("the store has more to write than it can take now")]
    Overloaded,
    /// The store takes no writes: the disk is full or broken, or the process is stopping.
    #[error("the store takes no writes: {0}")]
    Unavailable(Arc<str>),
    /// A record in it cannot be read.
    #[error("{0}")]
    Damaged(Arc<str>),
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> StoreError {
        StoreError::Damaged(error.to_string().into())
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        StoreError::Unavailable(error.to_string().into())
    }
}

/// What a write's function gives: its answer, or an error that leaves nothing written.
pub type Answer<T, E = StoreError> = Result<T, E>;

/// Key to new value, or to `None` for a removal.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
type After = Box<dyn FnOnce() + Send>;

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
fn last(read: &(impl Read + ?Sized), from: &[u8], to: &[u8]) -> Result<Option<Line>, StoreError> {
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

/// One write as its function sees it: everything stored, everything the group has changed before, and its own changes.
pub struct Txn<'a> {
    tree: &'a sled::Tree,
    heads: &'a Heads,
    group: &'a Changes,
    own: Changes,
    after: Vec<After>,
    /// What sled said when it could not read.
    trouble: RefCell<Option<StoreError>>,
}

impl Txn<'_> {
    /// Runs `work` once everything in this write is durable, in the order of the writes, on the writer thread: it must
    /// be quick and must not block.
    pub fn after(&mut self, work: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(work));
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

    /// Removes a record that is known to be short, without looking.
    pub(super) fn remove_short(&mut self, key: Vec<u8>) {
        self.own.insert(key, None);
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

/// What running a write's function came to.
enum Ran {
    /// It wants these changes.
    Changes(Changes, Vec<After>),
    /// It changed its mind.
    Nothing,
    /// sled could not read.
    Trouble(StoreError),
}

/// A write that waits for the writer.
trait Job: Send {
    /// Runs the function.
    fn run(&mut self, tree: &sled::Tree, heads: &Heads, group: &Changes) -> Ran;
    /// Answers whoever waits.
    fn finish(self: Box<Self>, written: Result<(), StoreError>);
}

struct Work<F, T, E> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Work<F, T, E>
where
    F: FnOnce(&mut Txn<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, tree: &sled::Tree, heads: &Heads, group: &Changes) -> Ran {
        let Some(work) = self.work.take() else { return Ran::Nothing };
        let trouble = RefCell::default();
        let mut txn = Txn { tree, heads, group, own: Changes::new(), after: Vec::new(), trouble };
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut txn))).unwrap_or_else(|_| {
            tracing::error!("a write's function panicked; nothing of it is written");
            Err(StoreError::Damaged("a write failed inside; see the log".into()).into())
        });
        let ran = match (txn.trouble.into_inner(), result.is_ok()) {
            (Some(trouble), _) => Ran::Trouble(trouble),
            (None, true) => Ran::Changes(txn.own, txn.after),
            (None, false) => Ran::Nothing,
        };
        self.result = Some(result);
        ran
    }

    fn finish(self: Box<Self>, written: Result<(), StoreError>) {
        let result = match (self.result, written) {
            (Some(Ok(_)), Err(error)) => Err(error.into()),
            (Some(result), _) => result,
            (None, _) => Err(StoreError::Unavailable("the write was never run".into()).into()),
        };
        // Whoever asked may have gone away; what is written stays written.
        let _ = self.answer.send(result);
    }
}

/// What the writer has done so far, for metrics.
#[derive(Debug, Default)]
pub struct WriterFigures {
    /// Groups written, that is flushes.
    pub groups: AtomicU64,
    /// Writes in them.
    pub writes: AtomicU64,
    /// Microseconds spent in flush and `fdatasync`.
    pub flush_micros: AtomicU64,
    /// Groups that are durable since the store was made.
    pub durable: AtomicU64,
}

/// The way to the writer thread.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: Sender<Box<dyn Job>>,
    broken: Arc<RwLock<Option<Arc<str>>>>,
    pub(super) figures: Arc<WriterFigures>,
}

impl Writer {
    /// The way to a writer, and the writer's own loop, to be run on a thread.
    pub(super) fn new(tree: sled::Tree, log: File, groups: u64) -> (Writer, impl FnOnce() + Send + 'static) {
        let (jobs, waiting) = queue(WAITING_LEN_MAX);
        let writer = Writer { jobs, broken: Arc::default(), figures: Arc::default() };
        writer.figures.durable.store(groups, Ordering::Release);
        let (broken, figures) = (writer.broken.clone(), writer.figures.clone());
        (writer, move || write_groups(waiting, &tree, &log, &broken, &figures))
    }

    /// Runs `work` in the next group and answers once the group is durable.
    pub(super) async fn commit<T, E>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if let Some(why) = self.broken() {
            return Err(StoreError::Unavailable(why).into());
        }
        let (answer, answered) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Work { work: Some(work), result: None, answer });
        match tokio::time::timeout(WAITING_MAX, self.jobs.send(job)).await {
            Err(_) => return Err(StoreError::Overloaded.into()),
            Ok(Err(_)) => return Err(StoreError::Unavailable("the writer has ended".into()).into()),
            Ok(Ok(())) => {}
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the writer has ended".into()).into()))
    }

    /// Takes no further writes, because sled could not even read.
    pub(super) fn give_up(&self, error: &StoreError) {
        give_up(&self.broken, error);
    }

    /// Why the store takes no writes, if it does not.
    pub(super) fn broken(&self) -> Option<Arc<str>> {
        self.broken.read().clone()
    }
}

fn write_groups(
    mut waiting: Receiver<Box<dyn Job>>,
    tree: &sled::Tree,
    log: &File,
    broken: &RwLock<Option<Arc<str>>>,
    figures: &WriterFigures,
) {
    let mut jobs = Vec::with_capacity(GROUP_LEN_MAX);
    let heads = Heads::default();
    while waiting.receive(&mut jobs, GROUP_LEN_MAX) {
        let mut group = Changes::new();
        let mut after = Vec::new();
        for job in &mut jobs {
            match job.run(tree, &heads, &group) {
                Ran::Changes(changes, work) => {
                    group.extend(changes);
                    after.extend(work);
                }
                Ran::Nothing => {}
                Ran::Trouble(trouble) => give_up(broken, &trouble),
            }
        }
        heads.follow(&group);
        let written = write_group(tree, log, group, broken, figures);
        figures.writes.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        if written.is_ok() {
            for work in after {
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    tracing::error!("what was to follow a write panicked");
                }
            }
        }
        waiting.answering(jobs.len());
        for job in jobs.drain(..) {
            job.finish(written.clone());
        }
    }
}

fn write_group(
    tree: &sled::Tree,
    log: &File,
    group: Changes,
    broken: &RwLock<Option<Arc<str>>>,
    figures: &WriterFigures,
) -> Result<(), StoreError> {
    if let Some(why) = broken.read().clone() {
        return Err(StoreError::Unavailable(why));
    }
    if group.is_empty() {
        return Ok(());
    }
    let mut batch = sled::Batch::default();
    // The store knows how many groups it holds, so that one that has lost its end can be told, see `open`.
    let number = figures.durable.load(Ordering::Relaxed) + 1;
    batch.insert(keys::groups(), &number.to_be_bytes());
    for (key, value) in group {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    let started = std::time::Instant::now();
    let durable = tree
        .apply_batch(batch)
        .and_then(|()| tree.flush().map(drop))
        .and_then(|()| log.sync_data().map_err(sled::Error::from));
    figures.groups.fetch_add(1, Ordering::Relaxed);
    figures
        .flush_micros
        .fetch_add(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    if durable.is_ok() {
        figures.durable.store(number, Ordering::Release);
    }
    durable.map_err(|error| {
        // After a failed flush nobody can say what reached the disk: take nothing more until the store is reopened.
        let error = StoreError::Unavailable(format!("failed to write to the disk: {error}").into());
        give_up(broken, &error);
        error
    })
}

/// Takes nothing more until the store is opened anew.
fn give_up(broken: &RwLock<Option<Arc<str>>>, error: &StoreError) {
    let mut broken = broken.write();
    if broken.is_none() {
        tracing::error!(%error, "the store takes no further writes");
        *broken = Some(match error {
            StoreError::Unavailable(why) => why.clone(),
            StoreError::Overloaded | StoreError::Damaged(_) => error.to_string().into(),
        });
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
            let trouble = RefCell::default();
            let txn = Txn { tree: &db, heads: &heads, group: &group, own, after: Vec::new(), trouble };
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
