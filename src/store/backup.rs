//! Copies of the store in a format of their own: made while it is in use, checked before they are believed.
//!
//! A copy is a header (magic, format, the store's epoch, when it was made), records, an end with their number, and the
//! SHA-256 of everything before it. The tree is read from front to back while writes go on; sled's iteration is no
//! snapshot, so the writer notes every change that it makes meanwhile, and these follow what was read. Played in
//! order they bring the copy to the state after the last group that was written before it ended: consistent, with
//! everything that was acknowledged before it began, and no write waits for it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::open::Store;
use super::tap::{PUT, REMOVE, Tap, write_record};
use crate::clock::Millis;

const MAGIC: &[u8; 8] = b"BELFRYBK";
/// The version of the format of copies.
const FORMAT: u32 = 1;
/// A file that stands beside the store and belongs to it.
const FILE: u8 = b'F';
/// The end, with the number of records before it.
const END: u8 = b'E';
/// The files beside the store without which it is not whole: keys that seal what is in it, and sign what it gave out.
const BESIDE: [&str; 2] = ["vault.key", "jwt.secret"];
/// How the file of a copy that is being made begins and ends.
const UNFINISHED: (&str, &str) = (".belfry-", ".unfinished");
/// The longest key and value that are read: far above any that is written.
const PART_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Records between two looks at whether to stop.
const LOOK_EVERY: u64 = 1_000;

/// Why there is no copy, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One is being made.
    #[error("a backup is being made already; try again when it is done")]
    Running,
    /// The process stops, or whoever wanted it has gone.
    #[error("the backup was broken off")]
    BrokenOff,
    /// The store cannot be read, or takes no writes.
    #[error("the store cannot be copied: {0}")]
    Store(Arc<str>),
    /// A file cannot be read or written.
    #[error("failed to read or write a backup: {0}")]
    Io(#[from] io::Error),
    /// The file is no copy, or not a whole one.
    #[error("it is not a backup that can be used: {0}")]
    Damaged(String),
}

impl From<sled::Error> for BackupError {
    fn from(error: sled::Error) -> BackupError {
        BackupError::Store(error.to_string().into())
    }
}

/// What a copy says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The epoch of the store that it is of.
    pub epoch: Uuid,
    /// When it was begun.
    pub created_at: Millis,
    /// How many records it has.
    pub records: u64,
    /// How long it is.
    pub bytes: u64,
}

/// A copy that has begun: changes are noted from here on. Dropping it lets go of them.
pub struct Copy {
    store: Store,
    created_at: Millis,
}

impl Drop for Copy {
    fn drop(&mut self) {
        drop(self.store.tap().take_out());
    }
}

impl Store {
    /// Begins a copy: everything that is acknowledged by now will be in it. Blocks.
    ///
    /// # Errors
    /// Where one is being made, or there is no room to note changes.
    pub fn begin_copy(&self, now: Millis) -> Result<Copy, BackupError> {
        let file = tempfile::tempfile_in(self.path())?;
        let tap: &Tap = self.tap();
        if !tap.put_in(file) {
            return Err(BackupError::Running);
        }
        Ok(Copy { store: self.clone(), created_at: now })
    }
}

impl Copy {
    /// Writes the copy to `out`. Blocks for as long as it takes to read the store; `stop` breaks it off.
    ///
    /// # Errors
    /// Where the store cannot be read, `out` takes no more, or it is broken off.
    pub fn write(self, out: impl Write, stop: &CancellationToken) -> Result<Summary, BackupError> {
        let mut out = Hashed::new(BufWriter::with_capacity(64 * 1024, out));
        let epoch = self.store.epoch();
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_be_bytes())?;
        out.write_all(epoch.as_bytes())?;
        out.write_all(&self.created_at.to_be_bytes())?;
        let mut records = 0_u64;
        for pair in self.store.tree().iter() {
            if records.is_multiple_of(LOOK_EVERY) && stop.is_cancelled() {
                return Err(BackupError::BrokenOff);
            }
            let (key, value) = pair?;
            write_record(&mut out, PUT, &key, &value)?;
            records += 1;
        }
        let noted = self.store.tap().take_out().ok_or(BackupError::BrokenOff)?;
        records += noted.count;
        let mut changes = noted.finish()?;
        changes.rewind()?;
        io::copy(&mut BufReader::new(changes), &mut out)?;
        // What the writer could not make durable was noted all the same.
        if let Some(why) = self.store.broken() {
            return Err(BackupError::Store(why));
        }
        for name in BESIDE {
            match fs::read(self.store.path().join(name)) {
                Ok(text) => {
                    write_record(&mut out, FILE, name.as_bytes(), &text)?;
                    records += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        write_record(&mut out, END, &[], &records.to_be_bytes())?;
        let bytes = out.bytes + SHA256_OUTPUT_LEN as u64;
        let (mut inner, digest) = out.end();
        inner.write_all(digest.as_ref())?;
        inner.flush()?;
        Ok(Summary { epoch, created_at: self.created_at, records, bytes })
    }

    /// Writes the copy to a file of its own in `dir`, on the disk and whole before it has its name.
    ///
    /// # Errors
    /// As [`Copy::write`].
    pub fn write_into(self, dir: &Path, stop: &CancellationToken) -> Result<(PathBuf, Summary), BackupError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        remove_unfinished(dir)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED.0).suffix(UNFINISHED.1).tempfile_in(dir)?;
        let summary = self.write(&mut file, stop)?;
        Ok((keep(file, dir, summary.created_at)?, summary))
    }
}

/// Gives a copy that is written its name in `dir`: when it was begun, so that names sort by age.
///
/// # Errors
/// Where the disk does not take it, or there is one of that name.
pub fn keep(file: tempfile::NamedTempFile, dir: &Path, created_at: Millis) -> io::Result<PathBuf> {
    let at = jiff::Timestamp::from_millisecond(created_at).map_err(io::Error::other)?;
    let path = dir.join(format!("belfry-{}.backup", at.strftime("%Y%m%dT%H%M%S%3fZ")));
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(&path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()?;
    Ok(path)
}

/// Removes what a copy left that a crash broke off. A store makes one copy at a time.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The copies in `dir`, the oldest first.
///
/// # Errors
/// Where the directory cannot be read.
pub fn copies(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut copies = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("belfry-") && name.ends_with(".backup") {
            copies.push(path);
        }
    }
    copies.sort();
    Ok(copies)
}

/// Removes the oldest copies in `dir` but the newest `count`.
///
/// # Errors
/// Where the directory cannot be read or changed.
pub fn keep_newest(dir: &Path, count: usize) -> io::Result<usize> {
    let copies = copies(dir)?;
    let old = copies.len().saturating_sub(count);
    copies.iter().take(old).try_for_each(fs::remove_file)?;
    Ok(old)
}

/// Something that a copy holds.
#[derive(Debug)]
pub(super) enum Held {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    File(&'static str, Vec<u8>),
}

/// Reads a copy from front to back and gives `take` what it holds. Only at the end is it known to be whole: what is to
/// act on it reads it twice.
pub(super) fn read(
    file: &Path,
    mut take: impl FnMut(Held) -> Result<(), BackupError>,
) -> Result<Summary, BackupError> {
    let damaged = |why: &str| BackupError::Damaged(why.to_owned());
    let mut input = Hashed::new(BufReader::with_capacity(64 * 1024, File::open(file)?));
    if &input.take::<8>()? != MAGIC {
        return Err(damaged("it does not begin as one"));
    }
    let format = u32::from_be_bytes(input.take()?);
    if format != FORMAT {
        return Err(BackupError::Damaged(format!(
            "it has format {format} and this program knows format {FORMAT}"
        )));
    }
    let epoch = Uuid::from_bytes(input.take()?);
    let created_at = Millis::from_be_bytes(input.take()?);
    let mut records = 0_u64;
    loop {
        let [kind] = input.take()?;
        let (key, value) = (u32::from_be_bytes(input.take()?), u32::from_be_bytes(input.take()?));
        let (key, value) = (input.part(key)?, input.part(value)?);
        match kind {
            PUT => take(Held::Put(key, value))?,
            REMOVE => take(Held::Remove(key))?,
            FILE => {
                let name = BESIDE.into_iter().find(|name| name.as_bytes() == key);
                take(Held::File(
                    name.ok_or_else(|| damaged("it holds a file that is none of ours"))?,
                    value,
                ))?;
            }
            END if value == records.to_be_bytes() => break,
            END => return Err(damaged("records are missing")),
            _ => return Err(damaged("a record is of no known kind")),
        }
        records += 1;
    }
    let bytes = input.bytes + SHA256_OUTPUT_LEN as u64;
    let (mut inner, digest) = input.end();
    let mut rest = Vec::new();
    inner.by_ref().take(SHA256_OUTPUT_LEN as u64 + 1).read_to_end(&mut rest)?;
    if rest != digest.as_ref() {
        return Err(damaged("its checksum does not fit: it was changed or cut off"));
    }
    Ok(Summary { epoch, created_at, records, bytes })
}

/// Whether a copy is whole, and what it says of itself.
///
/// # Errors
/// Where it is not.
pub fn check(file: &Path) -> Result<Summary, BackupError> {
    read(file, |_| Ok(()))
}

/// A stream that is hashed and counted on its way.
struct Hashed<S> {
    inner: S,
    hash: Context,
    bytes: u64,
}

impl<S> Hashed<S> {
    fn new(inner: S) -> Hashed<S> {
        Hashed { inner, hash: Context::new(&SHA256), bytes: 0 }
    }

    fn end(self) -> (S, ring::digest::Digest) {
        (self.inner, self.hash.finish())
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<S: Write> Write for Hashed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.saw(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<S: Read> Hashed<S> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.inner.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::Damaged("it is cut off".to_owned()),
            _ => error.into(),
        })?;
        self.saw(bytes);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn part(&mut self, length: u32) -> Result<Vec<u8>, BackupError> {
        if length > PART_BYTES_MAX {
            return Err(BackupError::Damaged("a record is longer than any that is written".to_owned()));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
