//! Everything that outlives the process: one sled tree behind typed records, written by one thread.
//!
//! **What makes a write durable.** Every change is a function that runs on the writer thread ([`commit`]). The writer
//! gathers what waits, runs each function against the tree and the group's own unwritten changes, applies the whole
//! group as one atomic batch, flushes sled, calls `fdatasync` on sled's file itself (sled 0.34 never does), and only
//! then answers. Reads run on blocking threads, never on the async ones.
//!
//! Nothing outside this module spells a key or a byte of what is stored.

pub mod attempts;
pub mod backlog;
pub mod backup;
pub mod batches;
pub mod captures;
pub mod categories;
mod chunks;
mod codec;
mod commit;
mod digests;
pub mod endpoint_events;
mod endpoint_records;
pub mod endpoints;
mod error;
mod heads;
pub mod history;
pub mod holds;
pub mod hooks;
pub mod idempotency;
pub mod inbox;
pub mod keyring;
mod keys;
mod migrate;
pub mod nightly;
pub mod notifications;
mod open;
pub mod outbox;
pub mod participants;
mod policies;
pub mod progress;
pub mod push_subscriptions;
mod queue;
pub mod recent;
mod records;
pub mod restore;
pub mod retention;
pub mod rollups;
pub mod schedules;
mod seconds;
pub mod sends;
pub mod settings;
pub mod suppressions;
mod tap;
pub mod templates;
pub mod topics;
mod txn;
pub mod uploads;
mod user_record;
pub mod users;
pub mod verify;
mod view;
pub mod zone_rules;

pub use error::{Answer, StoreError};
pub use open::{OpenError, Options, Store};
pub use txn::Txn;
