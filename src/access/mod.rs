//! From a token to whoever it belongs to, and what they may do.

pub mod principal;
pub mod settings;

pub use principal::{Grant, Principal, Scope};
