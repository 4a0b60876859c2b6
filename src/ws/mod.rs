//! The live door: RFC 6455 below the HTTP upgrade, with a connection that costs next to nothing while it is idle.
//!
//! [`Door::open`] judges the handshake and gives the 101; the connection is one task from then on. `session` decides
//! and never touches a socket, `socket` moves bytes and never decides, `join` does what must wait for the backend.

pub mod events;
pub mod frame;
pub mod handshake;
pub mod protocol;
pub mod settings;

mod flood;
mod heartbeat;
mod join;
mod out;
mod rights;
mod session;
mod socket;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

pub use self::handshake::Refusal;
use self::join::{Join, Who};
pub use self::protocol::Resume;
use self::protocol::{Channel, Connect, NotificationFrame};
use self::session::Session;
use self::socket::Socket;
use crate::access::{Principal, Scope};
use crate::clock::Clock;
use crate::hub::{Hub, Seat};
use crate::supervise::Supervisor;

/// Close codes of the contract. Below 4500 the client reconnects.
pub mod close {
    /// The server shuts down.
    pub const SHUTDOWN: u16 = 4001;
    /// The token has expired.
    pub const TOKEN_EXPIRED: u16 = 4005;
    /// The client does not read.
    pub const SLOW_CONSUMER: u16 = crate::hub::CLOSE_SLOW_CONSUMER;
    /// The client has been silent for too long.
    pub const NO_PONG: u16 = 4012;
    /// Too many frames or errors.
    pub const RATE_LIMITED: u16 = 4013;
    /// The token is not valid.
    pub const INVALID_TOKEN: u16 = 4500;
    /// No token came in time.
    pub const AUTHENTICATION_TIMEOUT: u16 = 4502;
    /// An operator closed it.
    pub const KICKED: u16 = 4503;
    /// There are as many connections as are allowed.
    pub const CONNECTION_LIMIT: u16 = 4504;
    /// The token does not allow it.
    pub const FORBIDDEN: u16 = 4507;
    /// RFC 6455, 7.4.1: something unexpected here.
    pub const INTERNAL_ERROR: u16 = 1011;
}

/// Connections that may wait at a time for their first `connect` frame: they hold no seat in the hub yet.
const WAITING_MAX: usize = 4096;

/// What the live door needs from the house.
pub trait Backend: Send + Sync + 'static {
    /// To whom a token belongs. Must not block.
    fn authenticate(&self, token: &str) -> Result<Principal, Refused>;

    /// Where a user's stream stands. Its `offset` must be that of an entry which [`Backend::missed`] can read already,
    /// and every later one must be published to the hub after this was read.
    fn head(&self, user: &str) -> impl Future<Output = Result<Head, Trouble>> + Send;

    /// A user's notifications behind `after_offset`, oldest first, at most `limit`.
    fn missed(
        &self,
        user: &str,
        after_offset: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Missed, Trouble>> + Send;

    /// Whether a user may watch a channel by being listed somewhere, whatever their token says.
    fn may_watch(&self, user: &str, channel: &Channel) -> impl Future<Output = Result<bool, Trouble>> + Send;

    /// Whether what `principal` came with is still good. Must not block.
    fn stands(&self, principal: &Principal) -> bool;

    /// Marks notifications in a user's inbox as `seen`, `read`, `unread` or `archived`. Telling the user's
    /// connections (`protocol::InboxChange`) is the backend's part.
    fn mark(
        &self,
        user: &str,
        ids: Vec<String>,
        op: &str,
    ) -> impl Future<Output = Result<(), MarkRefused>> + Send;
}

/// A token that is not good. The client is told no more than which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Unknown, revoked, forged or malformed.
    #[error("the token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
}

/// Where a user's stream of notifications stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Offsets can be compared within one epoch only.
    pub epoch: String,
    /// The offset of the last entry; 0 before the first one.
    pub offset: u64,
    /// Unread entries in the inbox.
    pub unread: u64,
}

/// A page of missed notifications.
#[derive(Clone, Debug, Default)]
pub struct Missed {
    /// Offset and notification, oldest first.
    pub entries: Vec<(u64, Arc<NotificationFrame>)>,
    /// Whether there are more behind the last entry.
    pub more: bool,
    /// Whether entries behind `after_offset` are gone (retention): the client cannot be told everything.
    pub gap: bool,
}

/// The store could not be read or written. What it says is logged, and not told to the client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

/// Why a mark was not made.
#[derive(Debug, thiserror::Error)]
pub enum MarkRefused {
    /// The client asked for something impossible; it is told what.
    #[error("{0}")]
    Invalid(String),
    /// The store is in trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// The live door's bounds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How often the server pings.
    pub heartbeat_interval: Duration,
    /// The longest silence of a client.
    pub connection_timeout: Duration,
    /// Told to the client: how often it should try to come back.
    pub reconnect_attempts_max: u32,
    /// Told to the client: how long it should wait before the first attempt.
    pub reconnect_delay: Duration,
    /// The most bytes of a client's message.
    pub message_bytes_max: usize,
    /// Whether a connection without a token is closed; otherwise it hears broadcasts.
    pub require_authentication: bool,
}

/// A request that wants to become a WebSocket, as the HTTP layer sees it.
pub struct Visit<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// `server.allowed_origins`.
    pub allowed_origins: &'a [String],
    /// Who asks, if a token came with the request and was found good.
    pub principal: Option<Principal>,
    /// The query's `session_id`, of 1 to 256 bytes.
    pub session_id: Option<String>,
    /// The query's `epoch` and `offset`.
    pub resume: Option<Resume>,
    /// From the request's extensions.
    pub upgrade: OnUpgrade,
}

/// The live door. Clones are the same door.
#[derive(Debug)]
pub struct Door<B> {
    shared: Arc<Shared<B>>,
    supervisor: Supervisor,
}

impl<B> Clone for Door<B> {
    fn clone(&self) -> Door<B> {
        Door { shared: self.shared.clone(), supervisor: self.supervisor.clone() }
    }
}

#[derive(Debug)]
struct Shared<B> {
    backend: Arc<B>,
    hub: Hub,
    limits: Limits,
    clock: Clock,
    stopping: CancellationToken,
    waiting: AtomicUsize,
}

/// A connection that has not said who it is. It is counted until dropped.
struct Waiting<B> {
    shared: Arc<Shared<B>>,
}

impl<B> Waiting<B> {
    fn begin(shared: &Arc<Shared<B>>) -> Option<Waiting<B>> {
        let room = |waiting: usize| (waiting < WAITING_MAX).then_some(waiting + 1);
        shared.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(Waiting { shared: shared.clone() })
    }
}

impl<B> Drop for Waiting<B> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a connection holds until it has joined the hub.
enum Entry<B> {
    /// A seat and who will sit on it.
    Seated(Seat, Box<Join>),
    /// Nothing yet: it has to say who it is.
    Waiting(Waiting<B>),
}

impl<B: Backend> Door<B> {
    /// A door into `hub`. For new limits make a new door: connections keep those that they began with.
    pub fn new(backend: Arc<B>, hub: Hub, limits: Limits, clock: Clock, supervisor: Supervisor) -> Door<B> {
        let stopping = supervisor.stopping();
        let shared = Shared { backend, hub, limits, clock, stopping, waiting: AtomicUsize::new(0) };
        Door { shared: Arc::new(shared), supervisor }
    }

    /// The same door with other limits, for connections to come: those that are open keep theirs.
    pub fn with_limits(&self, limits: Limits) -> Door<B> {
        let shared = &self.shared;
        let (backend, hub, clock) = (shared.backend.clone(), shared.hub.clone(), shared.clock.clone());
        Door::new(backend, hub, limits, clock, self.supervisor.clone())
    }

    /// Judges a handshake. Answers the 101 to send, after which the connection lives as a task of its own.
    ///
    /// # Errors
    /// A [`Refusal`], which the HTTP layer turns into an answer; the house is full in the sense of the hub, or too many
    /// connections have not said yet who they are.
    pub fn open(&self, visit: Visit<'_>) -> Result<Response<()>, Refusal> {
        let accept_key = handshake::accept_key(visit.method, visit.headers, visit.allowed_origins)?;
        let entry = self.entry(visit.principal, visit.session_id, visit.resume)?;
        let connection = live(self.shared.clone(), visit.upgrade, entry);
        self.supervisor.spawn("websocket", Box::pin(connection));
        Ok(handshake::switching_protocols(&accept_key))
    }

    fn entry(
        &self,
        principal: Option<Principal>,
        session_id: Option<String>,
        resume: Option<Resume>,
    ) -> Result<Entry<B>, Refusal> {
        if principal.as_ref().is_some_and(|principal| !may_connect(principal)) {
            return Err(Refusal::Forbidden);
        }
        if principal.is_none() && self.shared.limits.require_authentication {
            return Waiting::begin(&self.shared).map(Entry::Waiting).ok_or(Refusal::Full);
        }
        let seat = match &principal {
            Some(Principal::User { id, .. }) => self.shared.hub.reserve_for(id),
            Some(Principal::Key { .. }) | None => self.shared.hub.reserve(),
        };
        let seat = seat.map_err(|_| Refusal::Full)?;
        let connect = Connect { token: None, session_id, resume, subscribe: Vec::new() };
        let join = Join { who: Who::New(principal), connect, id: None };
        Ok(Entry::Seated(seat, Box::new(join)))
    }
}

/// A person may; an API key must be allowed to read.
fn may_connect(principal: &Principal) -> bool {
    match principal {
        Principal::User { .. } => true,
        Principal::Key { .. } => principal.has(&Scope::Read),
    }
}

/// Waits for the upgrade and then lives as a socket. Two steps, so that the memory of the first is given back.
async fn live<B: Backend>(shared: Arc<Shared<B>>, upgrade: OnUpgrade, entry: Entry<B>) {
    if let Some(socket) = Box::pin(upgraded(shared, upgrade, entry)).await {
        socket.run().await;
    }
}

async fn upgraded<B: Backend>(
    shared: Arc<Shared<B>>,
    upgrade: OnUpgrade,
    entry: Entry<B>,
) -> Option<Box<Socket<B>>> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "failed to upgrade a connection");
            return None;
        }
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let now = shared.clock.now();
            let session = Session::new(&shared.limits, shared.hub.clone(), now);
            Some(Socket::new(parts.io.into_inner(), parts.read_buf, shared, session, entry))
        }
        Err(_) => {
            tracing::error!("an upgraded connection is not plain TCP, closing it");
            None
        }
    }
}
