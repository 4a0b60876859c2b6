//! WebSocket.

pub mod settings;
