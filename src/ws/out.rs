//! What waits to be written to one socket, and the write that carries as much of it as the socket takes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::hub::{Attachment, Frame};

/// Frames in one write. Their slices are on the stack for the time of the call.
const SLICES_MAX: usize = 128;
/// A client whose answers wait in this number is not read from until it has taken them.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// Frames on their way to a socket. Holds no memory while empty.
#[derive(Debug, Default)]
pub(super) struct Out {
    frames: VecDeque<Frame>,
    /// How much of the first frame is written already.
    written: usize,
    bytes: usize,
    reply_bytes: usize,
}

impl Out {
    /// Queues the session's own answer.
    pub(super) fn reply(&mut self, frame: Frame) {
        self.reply_bytes += frame.len();
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(super) fn reply_bytes(&mut self, bytes: Bytes) {
        self.reply(Frame::new(bytes, 0, None));
    }

    /// Takes what the hub holds for this connection, once everything before is written. Answers the code if the
    /// connection is to be closed.
    pub(super) fn take(&mut self, attachment: &Attachment) -> Option<u16> {
        if !self.frames.is_empty() {
            return attachment.closing();
        }
        let closing = attachment.take(&mut self.frames);
        self.bytes = self.frames.iter().map(Frame::len).sum();
        closing
    }

    /// The next frame, whole, for a carrier that frames in its own way.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        if self.frames.is_empty() {
            *self = Out::default();
        }
        Some(frame)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the client may go on asking.
    pub(super) fn has_room_for_replies(&self) -> bool {
        self.reply_bytes < REPLY_BYTES_MAX
    }

    #[cfg(test)]
    pub(super) fn drain(&mut self) -> Vec<Frame> {
        std::mem::take(self).frames.into()
    }

    /// Drops everything but a frame that is written in part.
    pub(super) fn cut(&mut self) {
        let begun = self.written > 0 || self.frames.front().is_some_and(Frame::is_begun);
        self.frames.truncate(usize::from(begun));
        self.bytes = self.frames.iter().map(Frame::len).sum::<usize>() - self.written;
    }

    /// One write of what waits. Answers how many frames were completed.
    pub(super) fn write(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let taken = match self.frames.front() {
            None => 0,
            Some(only) if self.frames.len() == 1 => stream.try_write(&only.bytes()[self.written..])?,
            Some(_) => self.write_many(stream)?,
        };
        Ok(self.advance(taken))
    }

    fn write_many(&self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame.bytes()[from..]);
            count += 1;
        }
        stream.try_write_vectored(&slices[..count])
    }

    fn advance(&mut self, taken: usize) -> usize {
        self.bytes -= taken;
        self.written += taken;
        let mut completed = 0;
        while self.frames.front().is_some_and(|frame| self.written >= frame.len()) {
            if let Some(frame) = self.frames.pop_front() {
                self.written -= frame.len();
                completed += 1;
            }
        }
        if self.frames.is_empty() {
            *self = Out::default();
        }
        completed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(texts: &[&'static str]) -> Out {
        let mut out = Out::default();
        for text in texts {
            out.reply_bytes(Bytes::from_static(text.as_bytes()));
        }
        out
    }

    #[test]
    fn a_write_may_end_anywhere() {
        let mut out = out(&["abc", "de", "f"]);
        assert_eq!((out.advance(4), out.len(), out.bytes()), (1, 2, 2));
        assert_eq!((out.advance(1), out.len(), out.bytes()), (1, 1, 1));
        assert_eq!(out.advance(1), 1);
        assert_eq!((out.is_empty(), out.frames.capacity()), (true, 0));
    }

    #[test]
    fn a_frame_that_is_begun_survives_the_cut() {
        let mut begun = out(&["abc", "de"]);
        begun.advance(1);
        begun.cut();
        assert_eq!((begun.len(), begun.bytes()), (1, 2));
        let mut whole = out(&["abc", "de"]);
        whole.cut();
        assert_eq!((whole.len(), whole.bytes()), (0, 0));
    }

    #[test]
    fn a_client_that_does_not_read_its_answers_is_not_asked_for_more() {
        let mut out = Out::default();
        out.reply_bytes(Bytes::from(vec![0; REPLY_BYTES_MAX - 1]));
        assert!(out.has_room_for_replies());
        out.reply_bytes(Bytes::from_static(b"x"));
        assert!(!out.has_room_for_replies());
    }
}
