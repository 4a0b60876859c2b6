//! The REST door: from a request to the model, to the engine, to an answer.
//!
//! Filters match, they never judge: one warp filter puts every request into a [`call::Call`], [`route`] finds its
//! handler by path and method, and handlers answer `Result<Response, Problem>`.

mod analytics;
mod backups;
mod batch;
mod batches;
mod bounces;
mod broadcasts;
mod call;
mod captured;
mod categories;
mod channels;
mod connections;
mod cors;
mod endpoints;
mod export;
mod fields;
mod forget;
mod health;
mod hooks;
pub mod idempotent;
mod inbox;
mod keys;
pub mod live;
mod ndjson;
mod notifications;
mod openapi;
mod ordinary;
mod pages;
mod policies;
mod preferences;
mod problem;
mod publish;
mod push;
mod quiet_hours;
mod receipts;
mod recipients;
mod route;
mod schedules;
mod seal;
mod sends;
pub mod settings;
mod shapes;
mod simulate;
mod submission;
mod suppressions;
mod templates;
mod topics;
mod unsubscribe;
mod users;
mod watch;
mod wishes;
mod workflow_events;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;

use crate::access::Access;
use crate::clock::{Clock, Millis};
use crate::engine::Engine;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::model::phone::CallingCode;
use crate::outbound::Outbound;
use crate::supervise::Supervisor;
use crate::ws;

pub use hooks::Hooks;
pub use route::{admit, routes};
pub use watch::HubWatcher;

/// Bounds at this door.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// The most notifications in one batch.
    pub batch_len_max: usize,
    /// The country of phone numbers that come without one.
    pub calling_code: Option<CallingCode>,
}

/// What every request shares.
pub struct Api {
    /// Decides and stores.
    pub engine: Engine,
    /// Knows tokens.
    pub access: Arc<Access>,
    /// Knows who is connected.
    pub hub: Hub,
    /// The live door.
    pub live: ArcSwap<ws::Door<live::Backend>>,
    /// The origins whose pages may connect, besides our own.
    pub allowed_origins: ArcSwap<Vec<String>>,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Who runs tasks.
    pub supervisor: Supervisor,
    /// Calls URLs that users give, and says which it would not.
    pub outbound: Outbound,
    /// The bounds.
    pub limits: ArcSwap<Limits>,
    /// When the process started.
    pub started_at: Millis,
    /// The inbound hooks.
    pub hooks: hooks::Hooks,
    /// How requests have gone so far.
    pub figures: Figures,
    /// Requests with an idempotency key that are under way.
    pub running: idempotent::Running,
}

/// How requests have gone so far.
#[derive(Debug, Default)]
pub struct Figures {
    requests: AtomicU64,
    failures: AtomicU64,
    micros: AtomicU64,
    rate: parking_lot::Mutex<(Millis, u64, f64)>,
}
