//! From a copy to a store: checked first, built beside, moved into place last.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::backup::{BackupError, Held, Summary, check, read};
use super::open::{MARKER, SLED_DIR, mark_restored, renew_epoch};
use crate::clock::Millis;

/// Where a store is built before it is moved into place.
const BUILDING: &str = "restoring";
/// Pairs in one batch.
const BATCH_LEN_MAX: usize = 1_000;
/// Memory for pages while the store is built.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How to restore.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The copy.
    pub file: PathBuf,
    /// The data directory.
    pub path: PathBuf,
    /// Move a store that is there aside, rather than refuse.
    pub force: bool,
    /// Keep the copy's epoch. Otherwise the store gets a new one: a live client that saw more than the copy holds would
    /// resume behind what comes next and never know.
    pub keep_epoch: bool,
    /// Now.
    pub now: Millis,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy cannot be used.
    #[error("{}: {source}", .file.display())]
    Backup {
        /// The copy.
        file: PathBuf,
        /// What is wrong with it.
        source: BackupError,
    },
    /// There is a store, or something else in its place.
    #[error("{} has a store already; restore into another directory, or use --force to move it aside", .0.display())]
    Occupied(PathBuf),
    /// It belongs to somebody else, who could not read what we write.
    #[error("{} belongs to another user (uid {owner}); restore as that user", .path.display())]
    Foreign {
        /// The data directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// A server uses it.
    #[error("a server is using the store in {}; stop it first", .0.display())]
    InUse(PathBuf),
    /// A file cannot be written.
    #[error("failed to restore into {}: {source}", .path.display())]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Restores a copy; answers what it was, and where the store that was there is now. Blocks.
///
/// # Errors
/// See [`RestoreError`]. Until the copy is checked nothing is written, until the store is whole nothing is moved.
pub fn restore(wish: &Restore) -> Result<(Summary, Option<PathBuf>), RestoreError> {
    let failed = |source: io::Error| RestoreError::Io { path: wish.path.clone(), source };
    let unusable = |source| RestoreError::Backup { file: wish.file.clone(), source };
    let mut names = vec![SLED_DIR, MARKER];
    let occupied = names.iter().any(|name| wish.path.join(name).exists());
    if occupied && !wish.force {
        return Err(RestoreError::Occupied(wish.path.clone()));
    }
    if let Ok(about) = fs::metadata(&wish.path)
        && about.uid() != rustix::process::geteuid().as_raw()
    {
        return Err(RestoreError::Foreign { path: wish.path.clone(), owner: about.uid() });
    }
    let summary = check(&wish.file).map_err(unusable)?;
    let building = wish.path.join(BUILDING);
    if building.exists() {
        fs::remove_dir_all(&building).map_err(failed)?;
    }
    private_dir(&building).map_err(failed)?;
    names.extend(build(wish, &building).map_err(unusable)?);
    let aside = if occupied { Some(move_aside(wish, &names)?) } else { None };
    // The marker goes first: where this is cut off, a start refuses rather than begin with nothing.
    for name in names.iter().rev() {
        fs::rename(building.join(name), wish.path.join(name)).map_err(failed)?;
    }
    fs::remove_dir(&building).and_then(|()| File::open(&wish.path)?.sync_all()).map_err(failed)?;
    Ok((summary, aside))
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Builds the store and what belongs beside it; answers the names of the files beside it.
fn build(wish: &Restore, building: &Path) -> Result<Vec<&'static str>, BackupError> {
    let dir = building.join(SLED_DIR);
    private_dir(&dir)?;
    let tree = sled::Config::new().path(&dir).cache_capacity(CACHE_BYTES).open()?;
    let (mut batch, mut length, mut beside) = (sled::Batch::default(), 0, Vec::new());
    read(&wish.file, |held| {
        match held {
            Held::Put(key, value) => batch.insert(key, value),
            Held::Remove(key) => batch.remove(key),
            Held::File(name, text) => {
                let mut options = fs::OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(building.join(name))?;
                file.write_all(&text)?;
                file.sync_all()?;
                beside.push(name);
                return Ok(());
            }
        }
        length += 1;
        if length == BATCH_LEN_MAX {
            tree.apply_batch(std::mem::take(&mut batch))?;
            length = 0;
        }
        Ok(())
    })?;
    tree.apply_batch(batch)?;
    if !wish.keep_epoch {
        renew_epoch(&tree).map_err(|error| BackupError::Damaged(error.to_string()))?;
    }
    tree.flush()?;
    mark_restored(building, &tree).map_err(|error| BackupError::Damaged(error.to_string()))?;
    Ok(beside)
}

/// Moves what would be in the way into a directory beside it.
fn move_aside(wish: &Restore, names: &[&str]) -> Result<PathBuf, RestoreError> {
    let failed = |source: io::Error| RestoreError::Io { path: wish.path.clone(), source };
    let old = wish.path.join(SLED_DIR);
    if old.exists() {
        // sled's lock is the only sign of a server that uses it.
        let opened = sled::Config::new().path(&old).open();
        if let Err(sled::Error::Io(error)) = &opened
            && error.to_string().contains("lock")
        {
            return Err(RestoreError::InUse(wish.path.clone()));
        }
    }
    let aside = wish.path.join(format!("before-restore-{}", wish.now));
    private_dir(&aside).map_err(failed)?;
    for name in names {
        let from = wish.path.join(name);
        if from.exists() {
            fs::rename(from, aside.join(name)).map_err(failed)?;
        }
    }
    Ok(aside)
}
