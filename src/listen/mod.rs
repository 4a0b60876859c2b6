//! The accept loop.

pub mod settings;
