//! Claims about the running program: the real binary on a free port, driven over its sockets as a user would.
//!
//! `BELFRY_BIN` names the binary to test; without it the one that cargo has just built is taken.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![allow(missing_docs, reason = "the names of tests are their documentation")]

mod access;
mod analytics;
mod bad_input;
mod batches;
mod bench;
mod bounces;
mod categories;
mod channels;
mod cli_backup;
mod cli_dump;
mod cli_user;
mod crash;
mod dkim;
mod doctor;
mod effective;
mod email;
mod endpoints;
mod erase;
mod export;
mod faulty_gateway;
mod greylist;
mod health;
mod hooks;
mod idempotency;
mod inbox;
mod jwt_keys;
mod live;
mod live_isolation;
mod live_limits;
mod nightly_backup;
mod notifications;
mod openapi;
mod preferences;
mod problems;
mod publish;
mod push;
mod quiet_nights;
mod refusals;
mod retention;
mod rights;
mod schedules;
mod sends;
mod simulate;
mod sms;
mod sse;
mod start;
mod support;
mod suppressions;
mod templates;
mod together;
mod topics;
mod unsubscribe;
mod users;
mod workflow;
