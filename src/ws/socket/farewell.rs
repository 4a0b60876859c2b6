//! The end of a connection: what still goes out, the close frame, and a moment for the client to close its side.

use std::io;

use super::{End, Socket};
use crate::clock::Millis;
use crate::ws::frame::close_frame;
use crate::ws::session::Closing;
use crate::ws::{Backend, close};

/// How long a last message may take to leave.
const FAREWELL_MS: Millis = 5_000;
/// The same for a client that does not read: it holds one frame and shall have a chance to hear why.
const SLOW_FAREWELL_MS: Millis = 30_000;
/// How long the client may take to close its side after our close frame.
const LINGER_MS: Millis = 2_000;

impl<B: Backend> Socket<B> {
    /// Says goodbye as the end allows, gives the seat back, and lets the client close its side.
    pub(super) async fn part(mut self: Box<Self>, end: End) {
        if let Some(attachment) = &self.session.attachment {
            attachment.claim();
        }
        let (code, reason, patience_ms) = match end {
            End::Gone => return,
            End::Left(code) => {
                self.out.cut();
                (code, "", FAREWELL_MS)
            }
            End::Close(Closing { code: close::SLOW_CONSUMER, reason }) => {
                self.out.cut();
                (close::SLOW_CONSUMER, reason, SLOW_FAREWELL_MS)
            }
            End::Close(Closing { code, reason }) => {
                // What waits in the hub still goes out; the code is decided.
                let _ = self.take();
                (code, reason, FAREWELL_MS)
            }
        };
        if let Some(attachment) = &self.session.attachment {
            attachment.close(code);
        }
        self.out.reply_bytes(close_frame(code, reason));
        let clock = self.shared.clock.clone();
        let until = clock.now().saturating_add(patience_ms);
        let shared = self.shared.clone();
        tokio::select! {
            gone = self.flush() => if gone.is_err() { return },
            () = clock.sleep_until(until) => return,
            // A shutdown does not wait for those who do not read.
            () = shared.stopping.cancelled(), if code == close::SLOW_CONSUMER => return,
        }
        self.session.attachment = None;
        let until = clock.now().saturating_add(LINGER_MS);
        tokio::select! {
            _ = self.linger() => {}
            () = clock.sleep_until(until) => {}
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.out.write(&self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closing over unread bytes would reset the connection and could take the close frame with it.
    async fn linger(&mut self) -> io::Result<()> {
        rustix::net::shutdown(&*self.stream, rustix::net::Shutdown::Write)?;
        let mut unread = [0; 1024];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut unread) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

pub(in crate::ws) fn reason(code: u16) -> &'static str {
    match code {
        close::SHUTDOWN => "shutdown",
        close::SLOW_CONSUMER => "slow consumer",
        close::KICKED => "kicked",
        close::TOKEN_EXPIRED => "token expired",
        close::FORBIDDEN => "forbidden",
        _ => "",
    }
}
