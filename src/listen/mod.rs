//! The accept loop: HTTP/1.1 over TCP with bounds on how many, how slow and how long, and a graceful end.
//!
//! It is ours rather than the framework's, because that one has no time-out for slow headers, no limit on
//! connections, and panics on a taken port. A socket that is upgraded leaves this loop and its counts: the hub has
//! its own.

mod pace;
mod places;
mod seldom;
pub mod settings;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::pace::Pace;
pub use self::pace::Timed;
use self::places::{Place, Places};
use self::seldom::Seldom;
use crate::supervise::Supervisor;

/// What is answered where there is no place: raw, because no HTTP machine is started for it.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
    Connection: close\r\n\r\n";
/// Refused clients that are waited for at a time, so that their answer is not cut off by a reset.
const LINGERING_MAX: usize = 64;
/// How long a refused client is waited for.
const LINGER: Duration = Duration::from_secs(1);
/// After an error of accept that will not go away by itself (no file descriptor left).
const BACK_OFF: Duration = Duration::from_millis(50);
/// Enough for any header block that is allowed, and little for a client that fills it.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The loop's bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most HTTP connections at a time.
    pub connections_max: usize,
    /// The most of them from one address (an IPv6 /64 counts as one).
    pub connections_per_ip_max: usize,
    /// How long a client may take from connecting to the end of its first header block.
    pub header_timeout: Duration,
    /// How long a kept connection may take to its next complete header block, and the longest silence within a body.
    pub idle_timeout: Duration,
}

/// Who is at the other end of the connection: an extension of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address.
    pub address: SocketAddr,
    /// Once this is cancelled, the connection ends in the middle of whatever it does: for an answer that has no end by
    /// itself, and a client that does not read it.
    pub cut: CancellationToken,
}

/// How a connection is to end that would not by itself.
enum Stop {
    /// In the middle of whatever it does.
    Now,
    /// Once it has answered.
    Gracefully,
}

/// Accepts and serves until the supervisor is asked to stop, and then lets the requests in flight finish; they are
/// the supervisor's tasks, so its `drained` waits for them. A `warp::service` is passed in as
/// `TowerToHyperService::new(warp::service(filter))`.
pub async fn serve<S, Out>(listener: &TcpListener, service: S, limits: Limits, supervisor: Supervisor)
where
    S: Service<Request<Timed<Incoming>>, Response = Response<Out>> + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    Out: Body + Send + 'static,
    Out::Data: Send,
    Out::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = Arc::new(service);
    let places = Places::new(limits.connections_max, limits.connections_per_ip_max);
    let refused = Places::new(LINGERING_MAX, LINGERING_MAX);
    let stopping = supervisor.stopping();
    while let Some((stream, peer)) = accept(listener, &stopping).await {
        // Small answers must not wait for an acknowledgement; a socket that fails here fails at its first read.
        let _ = stream.set_nodelay(true);
        if let Some(place) = places.take(peer.ip()) {
            let (service, stopping) = (service.clone(), stopping.clone());
            let connection = converse(stream, peer, service, limits, stopping, place);
            supervisor.spawn("http connection", Box::pin(connection));
        } else if let Some(place) = refused.take(peer.ip()) {
            supervisor.spawn("http refusal", Box::pin(refuse(stream, place)));
        } else {
            let _ = stream.try_write(NO_PLACE);
        }
    }
}

/// The next connection, or `None` once the process stops.
async fn accept(listener: &TcpListener, stopping: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    let mut said = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, "failed to accept a connection, trying again until it works");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn concerns_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// One connection from its first byte to its last, or to its upgrade.
async fn converse<S, Out>(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<S>,
    limits: Limits,
    stopping: CancellationToken,
    _place: Place,
) where
    S: Service<Request<Timed<Incoming>>, Response = Response<Out>> + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    Out: Body + Send + 'static,
    Out::Data: Send,
    Out::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let pace = Pace::new(limits.header_timeout, limits.idle_timeout);
    let began = pace.clone();
    let cut = CancellationToken::new();
    let whom = Peer { address: peer, cut: cut.clone() };
    let service = service_fn(move |mut request: Request<Incoming>| {
        began.request_began();
        request.extensions_mut().insert(whom.clone());
        service.call(request.map(|body| Timed::new(body, limits.idle_timeout)))
    });
    let connection = http1::Builder::new()
        .timer(pace)
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let mut stop = Seldom::new(async {
        tokio::select! {
            () = cut.cancelled() => Stop::Now,
            () = stopping.cancelled() => Stop::Gracefully,
        }
    });
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        stop = &mut stop => match stop {
            Stop::Now => Ok(()),
            Stop::Gracefully => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = cut.cancelled() => Ok(()),
                }
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended badly");
    }
}

/// Says that there is no place, and waits a moment for the client to hear it: closing over unread bytes would reset
/// the connection and take the answer with it.
async fn refuse(mut stream: TcpStream, _place: Place) {
    let goodbye = async {
        use tokio::io::AsyncWriteExt;
        stream.write_all(NO_PLACE).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether the client has heard it is its own affair.
    let _ = tokio::time::timeout(LINGER, goodbye).await;
}
