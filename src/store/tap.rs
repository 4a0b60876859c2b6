//! What is written while a copy is made: kept beside the copy, so that the copy can be brought to one instant.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use parking_lot::{Mutex, MutexGuard};

/// A pair to write.
pub(super) const PUT: u8 = b'P';
/// A key to remove.
pub(super) const REMOVE: u8 = b'R';

/// Where the writer notes its changes while a copy is made. The writer holds it from before a group is written until
/// after, so that it is put in and taken out between two groups only.
#[derive(Debug, Default)]
pub(super) struct Tap(Mutex<Option<Noted>>);

/// The changes so far.
#[derive(Debug)]
pub(super) struct Noted {
    file: BufWriter<File>,
    /// How many there are.
    pub(super) count: u64,
    failed: Option<io::Error>,
}

impl Tap {
    /// Begins to note changes in `file`; answers whether it did: one copy is made at a time.
    pub(super) fn put_in(&self, file: File) -> bool {
        let mut noted = self.0.lock();
        if noted.is_some() {
            return false;
        }
        *noted = Some(Noted { file: BufWriter::new(file), count: 0, failed: None });
        true
    }

    /// Ends it.
    pub(super) fn take_out(&self) -> Option<Noted> {
        self.0.lock().take()
    }

    /// For one group.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Noted>> {
        self.0.lock()
    }
}

impl Noted {
    /// Notes a change. A failure is the copy's, not the write's.
    pub(super) fn note(&mut self, key: &[u8], value: Option<&[u8]>) {
        if self.failed.is_none() {
            let kind = if value.is_some() { PUT } else { REMOVE };
            self.failed = write_record(&mut self.file, kind, key, value.unwrap_or_default()).err();
            self.count += 1;
        }
    }

    /// The file with all of it.
    pub(super) fn finish(self) -> io::Result<File> {
        match self.failed {
            Some(error) => Err(error),
            None => self.file.into_inner().map_err(io::IntoInnerError::into_error),
        }
    }
}

/// One record of a copy: what it is, the lengths of key and value, and both.
pub(super) fn write_record(out: &mut impl Write, kind: u8, key: &[u8], value: &[u8]) -> io::Result<()> {
    let length =
        |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::Error::other("a record is too long"));
    out.write_all(&[kind])?;
    out.write_all(&length(key)?.to_be_bytes())?;
    out.write_all(&length(value)?.to_be_bytes())?;
    out.write_all(key)?;
    out.write_all(value)
}
