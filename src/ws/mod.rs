//! WebSocket.

pub mod frame;
pub mod handshake;
