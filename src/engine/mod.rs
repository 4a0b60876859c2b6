//! Deciding.

pub mod settings;
