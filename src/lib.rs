//! Belfry: a notification server that a team installs on one machine and forgets about.
//!
//! This file is the floor plan. **A module imports only from modules above it in this list**; a test reads the
//! sources and checks it, so there are no cycles and no sideways imports. ARCHITECTURE.md tells the story.

// Words: no I/O, no async, no framework.
pub mod settings;

pub mod clock;

pub mod model;

pub mod metrics;

// Foundations.
pub mod telemetry;

pub mod supervise;

pub mod listen;

pub mod outbound;

// Memory.
pub mod store;

pub mod access;

pub mod hub;

// Ways out.
pub mod render;

pub mod channel;

// Deciding.
pub mod engine;

// Doors.
pub mod ws;

pub mod api;

// The other side of the doors.
pub mod client;

// Roof.
pub mod config;

pub mod app;

pub mod systemd;

pub mod cli;
