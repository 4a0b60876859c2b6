//! The words of the field as types: what a notification, a person's preferences and a delivery *are*.
//!
//! Nothing here does I/O, reads a clock or knows a framework. Instants come in as arguments.

pub mod audience;
pub mod batch;
pub mod breaker;
pub mod category;
pub mod change;
pub mod channel;
pub mod cron;
pub mod delivery;
pub mod digest;
pub mod endpoint;
pub mod ids;
pub mod invalid;
pub mod message;
pub mod notification;
pub mod phone;
pub mod preferences;
pub mod push;

pub mod quiet_hours;
pub mod rate;
pub mod retry;
pub mod schedule;
pub mod suppression;
pub mod template;
pub mod user;
pub mod workflow;
pub mod zone;
