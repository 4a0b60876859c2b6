//! Opening the store, and refusing to where that would hide a loss.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::backlog::Backlog;
use super::codec::{Record, decode, encode};
use super::commit::{Writer, WriterFigures};
use super::error::StoreError;
use super::keys;
use super::migrate;
use super::tap::Tap;
use super::txn::Txn;
use super::view::View;
use crate::supervise::Supervisor;

/// The version of the layout of keys and records that this program writes.
const FORMAT: u32 = 2;
/// The directory under the data directory that sled has to itself.
pub(super) const SLED_DIR: &str = "store";
/// The file beside it that says that there is a store, so that an empty one in its place is noticed.
pub(super) const MARKER: &str = "store.id";
/// Reads at the same time; more would only take the writer's share of the machine.
const READERS_MAX: usize = 8;

/// Where the store is and how much memory it may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory. It is made where it is missing.
    pub path: PathBuf,
    /// Bytes of memory for pages that have been read.
    pub cache_bytes: u64,
}

/// Why the store cannot be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be made or written.
    #[error(
        "failed to prepare the data directory {path}: {source}; check that it exists and belongs to the user that runs belfry"
    )]
    Directory {
        /// The directory or file in question.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("failed to open the store in {0}: another process is using it; stop the other belfry first")]
    InUse(PathBuf),
    /// sled cannot read what is there.
    #[error(
        "failed to open the store in {path}: {source}; keep a copy of the directory, then restore a backup or move it away to start empty"
    )]
    Unreadable {
        /// The data directory.
        path: PathBuf,
        /// What sled says.
        source: sled::Error,
    },
    /// There was a store, and what opened is not it.
    #[error(
        "refusing to start: {path} had a store and {found}; its data may be damaged or gone. Keep a copy of the directory, then restore a backup; or remove {marker} to start empty on purpose"
    )]
    Lost {
        /// The data directory.
        path: PathBuf,
        /// What was found instead.
        found: String,
        /// The marker file.
        marker: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "refusing to start: the store in {path} has format {found} and this program knows format {FORMAT}; install the newer belfry again"
    )]
    Newer {
        /// The data directory.
        path: PathBuf,
        /// The format that was found.
        found: u32,
    },
    /// The writer thread cannot be started.
    #[error("failed to start the store's writer thread: {0}")]
    Thread(io::Error),
}

#[derive(serde::Serialize, serde::Deserialize)]
struct About {
    format: u32,
    epoch: [u8; 16],
}

impl Record for About {
    const VERSION: u8 = 1;
    const NAME: &'static str = "store";
}

/// The open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    tree: sled::Db,
    writer: Writer,
    readers: Arc<Semaphore>,
    supervisor: Supervisor,
    epoch: Uuid,
    path: PathBuf,
    /// How many groups the marker beside the store speaks of.
    marked: Arc<AtomicU64>,
}

/// What stands beside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker {
    epoch: Uuid,
    /// The store held so many groups of writes at some time.
    groups: u64,
}

fn groups_in(tree: &sled::Tree) -> Result<u64, sled::Error> {
    let stored = tree.get(keys::groups())?;
    Ok(stored.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0))
}

impl Store {
    /// Opens the store, or makes one where there has never been one. Blocks; call it before the server listens.
    ///
    /// # Errors
    /// See [`OpenError`]: above all, it refuses where a marker says that there was a store and none is found.
    pub fn open(options: &Options, supervisor: &Supervisor) -> Result<Store, OpenError> {
        let dir = options.path.join(SLED_DIR);
        let marker = options.path.join(MARKER);
        prepare(&options.path, &dir)?;
        let unreadable = |source| OpenError::Unreadable { path: options.path.clone(), source };
        let tree = sled::Config::new()
            .path(&dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(Some(10_000))
            .open()
            .map_err(|source| match &source {
                sled::Error::Io(error) if error.to_string().contains("lock") => {
                    OpenError::InUse(options.path.clone())
                }
                _ => unreadable(source),
            })?;
        let lost =
            |found: String| OpenError::Lost { path: options.path.clone(), found, marker: marker.clone() };
        let known = read_marker(&marker)?;
        let about_key = keys::named(keys::META, b"about");
        let about: Option<About> = match tree.get(&about_key).map_err(unreadable)? {
            Some(bytes) => Some(decode(&bytes).map_err(|error| lost(error.to_string()))?),
            None => None,
        };
        let groups = groups_in(&tree).map_err(unreadable)?;
        let older = about.as_ref().map(|about| about.format).filter(|format| *format < FORMAT);
        let epoch = match (known, about) {
            (Some(_), None) => return Err(lost("an empty one opened".to_owned())),
            (Some(known), Some(about)) if known.epoch != Uuid::from_bytes(about.epoch) => {
                return Err(lost("a different one opened".to_owned()));
            }
            (Some(known), _) if known.groups > groups => {
                let missing = known.groups - groups;
                return Err(lost(format!("what opened lacks its last {missing} groups of writes, or more")));
            }
            (_, Some(about)) if about.format > FORMAT => {
                return Err(OpenError::Newer { path: options.path.clone(), found: about.format });
            }
            (_, Some(about)) => Uuid::from_bytes(about.epoch),
            (None, None) => {
                let epoch = fresh_epoch();
                let about = About { format: FORMAT, epoch: *epoch.as_bytes() };
                tree.insert(&about_key, encode(&about)).map_err(unreadable)?;
                epoch
            }
        };
        if older.is_some() {
            migrate::lanes_by_turn(&tree).map_err(|error| lost(error.to_string()))?;
            let about = About { format: FORMAT, epoch: *epoch.as_bytes() };
            tree.insert(&about_key, encode(&about)).map_err(unreadable)?;
        }
        tree.flush().map_err(unreadable)?;
        let log = settle(&options.path, &dir)?;
        let marked = Marker { epoch, groups };
        if known != Some(marked) {
            write_marker(&options.path, marked)?;
        }
        let backlog = Backlog::of(&tree, groups).map_err(unreadable)?;
        let (writer, run) = Writer::new((*tree).clone(), log, groups, backlog, supervisor.ashore());
        supervisor.thread("store-writer", run).map_err(OpenError::Thread)?;
        Ok(Store {
            tree,
            writer,
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            supervisor: supervisor.clone(),
            epoch,
            path: options.path.clone(),
            marked: Arc::new(AtomicU64::new(groups)),
        })
    }

    /// Whether there is a store in a data directory, or a sign that there was one.
    pub fn is_at(path: &Path) -> bool {
        path.join(SLED_DIR).exists() || path.join(MARKER).exists()
    }

    /// When the store in a data directory was last written, as far as what lies beside it tells: some seconds early.
    ///
    /// # Errors
    /// Where it may not be looked at.
    pub fn written_at(path: &Path) -> io::Result<SystemTime> {
        fs::metadata(path.join(MARKER))?.modified()
    }

    /// Whether a process has the store in a data directory open. It is not opened for that.
    ///
    /// # Errors
    /// Where it may not be looked at.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        use rustix::fs::{FlockOperation, flock};
        let file = match File::open(path.join(SLED_DIR).join("db")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        // The lock that sled holds for as long as it has the file open; ours goes with the file.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes beside the store how much it holds by now, so that a later start can tell if its end is missing. Does
    /// nothing where nothing was written since.
    ///
    /// # Errors
    /// Where the note cannot be written; the store itself is not touched by that.
    pub async fn note_progress(&self) -> Result<(), OpenError> {
        let groups = self.writer.figures.durable.load(Ordering::Acquire);
        if self.marked.swap(groups, Ordering::AcqRel) == groups {
            return Ok(());
        }
        let (path, epoch) = (self.path.clone(), self.epoch);
        let write = move || write_marker(&path, Marker { epoch, groups });
        self.supervisor.blocking("store-marker", write).await.unwrap_or(Ok(()))
    }

    /// Runs `work` on the writer thread and answers once what it wrote is durable. An error from `work` leaves nothing
    /// written. `work` must neither wait nor send.
    ///
    /// # Errors
    /// What `work` gives, or a [`StoreError`] where the store is overloaded or takes no writes.
    pub async fn commit<T, E>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.commit(work).await
    }

    /// Runs a read on a blocking thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".into());
        let _reader = self.readers.acquire().await.map_err(|_| closed())?;
        let tree = self.tree.clone();
        let read = self
            .supervisor
            .blocking("store-read", move || work(&View(&tree)))
            .await
            .unwrap_or_else(|| Err(StoreError::Damaged("a read failed inside; see the log".into())));
        if let Err(error @ StoreError::Unavailable(_)) = &read {
            self.writer.give_up(error);
        }
        read
    }

    /// The store's own id: what it was made as. Offsets are comparable within one epoch only.
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that is stored, for a copy of it.
    pub(super) fn tree(&self) -> &sled::Tree {
        &self.tree
    }

    /// Where the writer notes its changes while a copy is made.
    pub(super) fn tap(&self) -> &Tap {
        &self.writer.tap
    }

    /// Why the store takes no writes, if it does not.
    pub fn broken(&self) -> Option<Arc<str>> {
        self.writer.broken()
    }

    /// What the writer has done so far.
    pub fn figures(&self) -> &WriterFigures {
        &self.writer.figures
    }

    /// How much waits to be delivered.
    pub fn backlog(&self) -> &Backlog {
        &self.writer.figures.backlog
    }

    /// The bytes that it takes on the disk. Looks at the files: not for a hot path.
    pub async fn bytes_on_disk(&self) -> u64 {
        let tree = self.tree.clone();
        self.supervisor.blocking("store-size", move || tree.size_on_disk().unwrap_or(0)).await.unwrap_or(0)
    }
}

fn fresh_epoch() -> Uuid {
    let mut bytes = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .expect("the operating system has random bytes");
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Gives a store that is not open to anybody a new epoch.
pub(super) fn renew_epoch(tree: &sled::Tree) -> Result<(), StoreError> {
    let key = keys::named(keys::META, b"about");
    let Some(bytes) = tree.get(&key)? else { return Ok(()) };
    let about: About = decode(&bytes)?;
    tree.insert(&key, encode(&About { epoch: *fresh_epoch().as_bytes(), ..about }))?;
    Ok(())
}

/// Makes a store that was restored under `path` survive a power cut, and marks it as one.
pub(super) fn mark_restored(path: &Path, tree: &sled::Tree) -> Result<(), OpenError> {
    let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
    let stored = tree.get(keys::named(keys::META, b"about")).map_err(unreadable)?;
    let about: Option<About> = stored.and_then(|bytes| decode(&bytes).ok());
    let about = about.ok_or_else(|| OpenError::Lost {
        path: path.to_owned(),
        found: "the backup is not of a store".to_owned(),
        marker: path.join(MARKER),
    })?;
    let groups = groups_in(tree).map_err(unreadable)?;
    settle(path, &path.join(SLED_DIR))?;
    write_marker(path, Marker { epoch: Uuid::from_bytes(about.epoch), groups })
}

fn prepare(path: &Path, dir: &Path) -> Result<(), OpenError> {
    let directory = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Directory { path, source }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(directory(dir))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(directory(path))?;
    // A snapshot that was being written when the power went is garbage that sled would read.
    for entry in fs::read_dir(dir).map_err(directory(dir))? {
        let file = entry.map_err(directory(dir))?.path();
        if file.extension().is_some_and(|end| end == "generating") {
            fs::remove_file(&file).map_err(directory(&file))?;
        }
    }
    Ok(())
}

/// Makes what sled has just created survive a power cut, and gives the handle of its log to sync from now on.
fn settle(path: &Path, dir: &Path) -> Result<File, OpenError> {
    let directory = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Directory { path, source }
    };
    let mut log = None;
    for name in ["conf", "db"] {
        let file = dir.join(name);
        let open = File::open(&file).map_err(directory(&file))?;
        open.set_permissions(fs::Permissions::from_mode(0o600)).map_err(directory(&file))?;
        open.sync_all().map_err(directory(&file))?;
        log = Some(open);
    }
    let parent = path.canonicalize().ok().and_then(|full| full.parent().map(Path::to_owned));
    for dir in [Some(dir.to_owned()), Some(path.to_owned()), parent].into_iter().flatten() {
        // A parent that may not be opened is not ours to sync.
        if let Ok(open) = File::open(&dir) {
            open.sync_all().map_err(directory(&dir))?;
        }
    }
    log.ok_or_else(|| directory(dir)(io::Error::other("sled made no log")))
}

fn read_marker(marker: &Path) -> Result<Option<Marker>, OpenError> {
    match fs::read_to_string(marker) {
        Ok(text) => {
            let mut words = text.split_whitespace();
            // A marker that cannot be read still says that there was a store: of no epoch that any store has.
            let epoch = words.next().and_then(|word| Uuid::parse_str(word).ok()).unwrap_or(Uuid::nil());
            let groups = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            Ok(Some(Marker { epoch, groups }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Directory { path: marker.to_owned(), source }),
    }
}

fn write_marker(path: &Path, marker: Marker) -> Result<(), OpenError> {
    let name = path.join(MARKER);
    let write = || -> io::Result<()> {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new_in(path)?;
        writeln!(file, "{} {}", marker.epoch, marker.groups)?;
        file.as_file().sync_all()?;
        file.persist(&name).map_err(|error| error.error)?;
        File::open(path)?.sync_all()
    };
    write().map_err(|source| OpenError::Directory { path: name.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &tempfile::TempDir) -> Options {
        Options { path: dir.path().join("data"), cache_bytes: 8 * 1024 * 1024 }
    }

    /// Opens, and lets go again: the writer's thread gives the store up a moment after its last handle is gone.
    fn open(options: &Options) -> Result<Store, OpenError> {
        for _ in 0..200 {
            match Store::open(options, &Supervisor::new()) {
                Err(OpenError::InUse(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
                opened => return opened,
            }
        }
        Err(OpenError::InUse(options.path.clone()))
    }

    #[test]
    fn a_store_keeps_its_epoch_when_it_is_opened_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = open(&options(&dir)).expect("a new store").epoch();
        assert_eq!(open(&options(&dir)).expect("the same store").epoch(), first);
    }

    #[test]
    fn a_store_in_use_is_not_opened_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let _held = open(&options(&dir)).expect("a new store");
        let second = Store::open(&options(&dir), &Supervisor::new());
        assert!(matches!(second, Err(OpenError::InUse(_))));
        assert!(Store::is_held(&options(&dir).path).expect("it is ours"));
        assert!(!Store::is_held(&dir.path().join("none")).expect("there is none"));
    }

    #[test]
    fn an_empty_store_where_there_was_one_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(open(&options(&dir)).expect("a new store"));
        fs::remove_dir_all(options(&dir).path.join(SLED_DIR)).expect("it is there");
        assert!(matches!(open(&options(&dir)), Err(OpenError::Lost { .. })));
    }

    #[tokio::test]
    async fn a_store_that_lost_its_end_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, copy) = (options(&dir).path.join(SLED_DIR).join("db"), dir.path().join("db.before"));
        let write = |store: Store, count: u32| async move {
            for number in 0..count {
                let user = crate::model::user::User { id: format!("user-{number}"), ..Default::default() };
                store.commit(move |txn| txn.put_user(&user)).await.expect("a good store");
            }
            store.note_progress().await.expect("a directory that can be written");
        };
        write(open(&options(&dir)).expect("a new store"), 10).await;
        let store = open(&options(&dir)).expect("the same store");
        fs::copy(&log, &copy).expect("it is there");
        write(store, 10).await;
        drop(open(&options(&dir)).expect("with all of its writes it opens"));
        while matches!(Store::open(&options(&dir), &Supervisor::new()), Err(OpenError::InUse(_))) {}
        fs::copy(&copy, &log).expect("it is there");
        // A snapshot that is newer than the log would give it away to sled itself.
        for entry in fs::read_dir(options(&dir).path.join(SLED_DIR)).expect("it is there") {
            let file = entry.expect("readable").path();
            if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap")) {
                fs::remove_file(file).expect("it is there");
            }
        }
        let error = open(&options(&dir)).err().expect("a refusal");
        assert!(
            matches!(&error, OpenError::Lost { found, .. } if found.contains("lacks its last")),
            "{error}"
        );
    }

    #[test]
    fn another_store_in_the_place_of_ours_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(open(&options(&dir)).expect("a new store"));
        fs::write(options(&dir).path.join(MARKER), fresh_epoch().to_string()).expect("it is writable");
        assert!(matches!(open(&options(&dir)), Err(OpenError::Lost { .. })));
    }

    #[test]
    fn a_newer_format_is_refused_with_both_numbers() {
        let dir = tempfile::tempdir().expect("a directory");
        let epoch = {
            let store = open(&options(&dir)).expect("a new store");
            let about = About { format: FORMAT + 1, epoch: *store.epoch().as_bytes() };
            store.tree.insert(keys::named(keys::META, b"about"), encode(&about)).expect("a write");
            store.tree.flush().expect("a flush");
            store.epoch()
        };
        let error = open(&options(&dir)).err().expect("a refusal");
        assert!(matches!(error, OpenError::Newer { found, .. } if found == FORMAT + 1), "{error} {epoch}");
    }

    #[test]
    fn what_is_stored_is_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let _store = open(&options(&dir)).expect("a new store");
        let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(options(&dir).path), 0o700);
        assert_eq!(mode(options(&dir).path.join(SLED_DIR).join("db")), 0o600);
    }
}
