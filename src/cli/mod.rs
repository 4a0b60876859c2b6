//! Command line.

pub mod config_cmd;
