//! REST.

pub mod settings;
