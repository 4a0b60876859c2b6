//! A message as it goes over every socket: framed once, shared by all who get it.

use bytes::Bytes;

/// Framed bytes, ready to be written to a socket. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    payload_at: u8,
    offset: Option<u64>,
}

impl Frame {
    /// A frame of `bytes` (header and payload in one buffer), whose payload begins at `payload_at`. `offset` is the
    /// notification's place in its user's stream, where it has one.
    pub fn new(bytes: Bytes, payload_at: u8, offset: Option<u64>) -> Frame {
        Frame { bytes, payload_at, offset }
    }

    /// The bytes that go over the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The message without the header, for carriers that frame in their own way.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(usize::from(self.payload_at)..).unwrap_or_default()
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
