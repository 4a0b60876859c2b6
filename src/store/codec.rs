//! Records to bytes and back: a version byte, then bincode. The only place that names the crate.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A shape that is stored. Its bytes outlive the program, so a changed shape is a new version with an answer for the
/// old one.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The version of this shape.
    const VERSION: u8;
    /// What it is called in an error.
    const NAME: &'static str;

    /// The record from bytes that an earlier version of it wrote, where this program still reads that version.
    fn from_older(_version: u8, _body: &[u8]) -> Option<Result<Self, CodecError>> {
        None
    }
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Its version is not one that this program knows.
    #[error("failed to read a {name} record: it has version {found} and this program knows version {known}")]
    Version {
        /// What was read.
        name: &'static str,
        /// The version in the bytes.
        found: u8,
        /// The version that this program writes.
        known: u8,
    },
    /// Its bytes are not of that shape.
    #[error("failed to read a {name} record: {source}")]
    Damaged {
        /// What was read.
        name: &'static str,
        /// What does not fit.
        source: bincode::error::DecodeError,
    },
    /// It has no bytes at all, or pieces of it are missing.
    #[error("failed to read a {name} record: it is incomplete")]
    Incomplete {
        /// What was read.
        name: &'static str,
    },
}

/// The most bytes that a record may decode to: far above any bound at the doors, far below what would hurt.
const DECODED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Room for most records, so that they need not be moved while they grow.
const RECORD_BYTES: usize = 384;

pub(super) fn encode<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    bytes.push(R::VERSION);
    bincode::serde::encode_into_std_write(record, &mut bytes, bincode::config::standard())
        .expect("a record of plain fields always encodes into memory");
    bytes
}

pub(super) fn decode<R: Record>(bytes: &[u8]) -> Result<R, CodecError> {
    let (version, body) = bytes.split_first().ok_or(CodecError::Incomplete { name: R::NAME })?;
    if *version != R::VERSION {
        let unknown = CodecError::Version { name: R::NAME, found: *version, known: R::VERSION };
        return R::from_older(*version, body).unwrap_or(Err(unknown));
    }
    decode_body(R::NAME, body)
}

/// A shape from its bytes, the version byte left out. `name` is what it is called in an error.
pub(super) fn decode_body<T: DeserializeOwned>(name: &'static str, body: &[u8]) -> Result<T, CodecError> {
    let config = bincode::config::standard().with_limit::<DECODED_BYTES_MAX>();
    bincode::serde::decode_from_slice(body, config)
        .map(|(record, _)| record)
        .map_err(|source| CodecError::Damaged { name, source })
}
