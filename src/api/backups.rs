//! `POST /v1/backups`: a consistent copy of the whole store, made while it is in use.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::mpsc::{Sender, channel, error::TrySendError};
use tokio_util::sync::CancellationToken;
use warp::Reply;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use crate::access::Scope;
use crate::store::StoreError;
use crate::store::backup::BackupError;

/// Pieces that wait for the reader.
const WAITING_LEN_MAX: usize = 8;
/// How long the reader may take over one piece.
const PIECE_WAIT: Duration = Duration::from_secs(60);
/// How long the whole may take: the changes of that time are kept beside it.
const WHOLE_WAIT: Duration = Duration::from_secs(3_600);
/// How often a full line is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// `POST`: the copy is the answer's body. One that breaks off lacks its checksum.
pub async fn create(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let (store, now) = (call.api.engine.store().clone(), call.api.clock.now());
    let begun = call.api.supervisor.blocking("backup", move || store.begin_copy(now)).await;
    let copy = begun.unwrap_or(Err(BackupError::BrokenOff)).map_err(|error| match error {
        BackupError::Running => Problem::conflict(error.to_string()),
        other => StoreError::Unavailable(other.to_string().into()).into(),
    })?;
    let (sender, mut pieces) = channel(WAITING_LEN_MAX);
    let stopping = call.api.supervisor.stopping();
    let (supervisor, stop) = (call.api.supervisor.clone(), stopping.clone());
    call.api.supervisor.spawn("backup", async move {
        let body = Body { sender: sender.clone(), stopping, until: Instant::now() + WHOLE_WAIT };
        match supervisor.blocking("backup", move || copy.write(body, &stop)).await {
            Some(Ok(summary)) => {
                tracing::info!(records = summary.records, bytes = summary.bytes, "gave a backup out");
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "failed to give a backup out");
                // So that it ends as broken off rather than as whole.
                let _ = sender.send(Err(io::Error::other("broken off"))).await;
            }
            None => {}
        }
    });
    let mut response = warp::reply::stream(poll_fn(move |cx| pieces.poll_recv(cx))).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The answer's body, written from a blocking thread.
struct Body {
    sender: Sender<io::Result<Bytes>>,
    stopping: CancellationToken,
    until: Instant,
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut piece = Ok(Bytes::copy_from_slice(bytes));
        let until = self.until.min(Instant::now() + PIECE_WAIT);
        loop {
            piece = match self.sender.try_send(piece) {
                Ok(()) => return Ok(bytes.len()),
                Err(TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(TrySendError::Full(piece)) => piece,
            };
            if self.stopping.is_cancelled() || Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
