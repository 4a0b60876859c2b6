//! REST.

pub mod pages;
