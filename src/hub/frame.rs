//! A message as it goes over every socket: framed once, shared by all who get it.

use std::sync::Arc;

use bytes::Bytes;

/// Framed bytes, ready to be written to a socket. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    payload_at: u8,
    begun: bool,
    offset: Option<u64>,
}

impl Frame {
    /// A frame of `bytes` (header and payload in one buffer), whose payload begins at `payload_at`. `offset` is the
    /// notification's place in its user's stream, where it has one.
    pub fn new(bytes: Bytes, payload_at: u8, offset: Option<u64>) -> Frame {
        Frame { bytes, payload_at, begun: false, offset }
    }

    /// What is left of a frame of which so many bytes are written.
    pub(super) fn rest(&self, written: usize) -> Frame {
        Frame { bytes: self.bytes.slice(written..), begun: written > 0, ..self.clone() }
    }

    /// The bytes that go over the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The message without the header, for carriers that frame in their own way.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(usize::from(self.payload_at)..).unwrap_or_default()
    }

    /// Whether this is the rest of a frame whose beginning is on the wire already: nothing may come before it.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// The notification's place in its user's stream, where it has one.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// How many bytes go over the wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True for a frame without a byte.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A frame on its way to an audience.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) frame: Frame,
    /// Whoever watches one of these channels gets the same frame there.
    pub(super) unless_watching: Option<Arc<[Box<str>]>>,
}
