//! Ways out.

pub mod settings;
