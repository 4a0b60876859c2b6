//! Group commit: one thread writes; one flush and one `fdatasync` serve everyone who waits.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::oneshot;

use super::backlog::{Backlog, Shift};
use super::codec::encode;
use super::error::StoreError;
use super::heads::Heads;
use super::keys;
use super::queue::{Receiver, Sender, queue};
use super::rollups::Rollups;
use super::tap::Tap;
use super::txn::{Changes, TALLIES_LEN, Txn, Written};
use crate::clock::within;
use crate::supervise::Ashore;

/// Functions in one group. More only adds latency: the flush costs the same, the answers come later.
const GROUP_LEN_MAX: usize = 128;
/// Functions that may wait for the writer. Beyond it publishers wait at the door.
const WAITING_LEN_MAX: usize = 4_096;
/// How long a publisher waits at the door before it is told to come back.
const WAITING_MAX: Duration = Duration::from_secs(5);

/// What running a write's function came to.
enum Ran {
    /// It wants these changes.
    Changes(Written),
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
        let mut txn = Txn::new(tree, heads, group);
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut txn))).unwrap_or_else(|_| {
            tracing::error!("a write's function panicked; nothing of it is written");
            Err(StoreError::Damaged("a write failed inside; see the log".into()).into())
        });
        let mut written = txn.end();
        let ran = match (written.trouble.take(), result.is_ok()) {
            (Some(trouble), _) => Ran::Trouble(trouble),
            (None, true) => Ran::Changes(written),
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
    /// How much waits to be delivered.
    pub backlog: Backlog,
}

/// The way to the writer thread.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: Sender<Box<dyn Job>>,
    broken: Arc<RwLock<Option<Arc<str>>>>,
    pub(super) figures: Arc<WriterFigures>,
    /// Where changes are noted while a copy is made.
    pub(super) tap: Arc<Tap>,
}

impl Writer {
    /// The way to a writer, and the writer's own loop, to be run on a thread.
    pub(super) fn new(
        tree: sled::Tree,
        log: File,
        groups: u64,
        backlog: Backlog,
        ashore: Ashore,
    ) -> (Writer, impl FnOnce() + Send + 'static) {
        let (jobs, waiting) = queue(WAITING_LEN_MAX);
        let figures = Arc::new(WriterFigures { backlog, ..WriterFigures::default() });
        figures.durable.store(groups, Ordering::Release);
        let writer = Writer { jobs, broken: Arc::default(), figures, tap: Arc::default() };
        let (broken, figures, tap) = (writer.broken.clone(), writer.figures.clone(), writer.tap.clone());
        (writer, move || write_groups(waiting, &tree, &log, &broken, &figures, &tap, &ashore))
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
        match within(WAITING_MAX, self.jobs.send(job)).await {
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
    tap: &Tap,
    ashore: &Ashore,
) {
    let mut jobs = Vec::with_capacity(GROUP_LEN_MAX);
    let (heads, mut rollups) = (Heads::default(), Rollups::default());
    while waiting.receive(&mut jobs, GROUP_LEN_MAX) {
        let mut group = Changes::new();
        let mut after = Vec::with_capacity(jobs.len());
        let mut tallies = Vec::with_capacity(jobs.len() * TALLIES_LEN);
        for job in &mut jobs {
            match job.run(tree, &heads, &group) {
                Ran::Changes(written) => {
                    group.extend(written.changes);
                    after.extend(written.after);
                    tallies.extend(written.tallies);
                }
                Ran::Nothing => {}
                Ran::Trouble(trouble) => give_up(broken, &trouble),
            }
        }
        if let Err(trouble) = rollups.add(tree, &mut group, tallies) {
            give_up(broken, &trouble);
        }
        heads.follow(&group);
        let written = write_group(tree, log, group, broken, figures, tap);
        figures.writes.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        if written.is_ok() {
            for work in after {
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    tracing::error!("what was to follow a write panicked");
                }
            }
        }
        waiting.answering(jobs.len());
        // Answered in one go: answering one by one from here would wake the async threads, and be put aside for them,
        // over and over.
        let answered = std::mem::replace(&mut jobs, Vec::with_capacity(GROUP_LEN_MAX));
        ashore.run("store-answers", move || answered.into_iter().for_each(|job| job.finish(written.clone())));
    }
}

fn write_group(
    tree: &sled::Tree,
    log: &File,
    mut group: Changes,
    broken: &RwLock<Option<Arc<str>>>,
    figures: &WriterFigures,
    tap: &Tap,
) -> Result<(), StoreError> {
    if let Some(why) = broken.read().clone() {
        return Err(StoreError::Unavailable(why));
    }
    if group.is_empty() {
        return Ok(());
    }
    let shift = Shift::of(&group, tree).map_err(|error| {
        let error = StoreError::from(error);
        give_up(broken, &error);
        error
    })?;
    // The store knows how many groups it holds, so that one that has lost its end can be told, see `open`.
    let number = figures.durable.load(Ordering::Relaxed) + 1;
    let backlog = figures.backlog.after(&shift, number);
    group.insert(keys::groups(), Some(number.to_be_bytes().to_vec()));
    group.insert(keys::backlog(), Some(encode(&backlog)));
    let mut batch = sled::Batch::default();
    // Held until the group is written, so that a copy begins and ends between two groups.
    let mut noted = tap.lock();
    if let Some(noted) = noted.as_mut() {
        group.iter().for_each(|(key, value)| noted.note(key, value.as_deref()));
    }
    // Copied from slices: a vector with room to spare would be moved to its own length first, and then copied.
    for (key, value) in &group {
        match value {
            Some(value) => batch.insert(&**key, &**value),
            None => batch.remove(&**key),
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
        figures.backlog.become_as(&backlog);
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
