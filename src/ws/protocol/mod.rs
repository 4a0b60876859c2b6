//! The wire shapes of the live protocol: flat JSON objects, always with `type` and, from the server, `timestamp`.

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use self::client::{Channel, ClientFrame, Connect, Echo, Malformed, Resume, parse};
pub use self::server::{
    Action, Counts, ErrorCode, InboxChange, NotificationFrame, WorkflowUpdate, broadcast,
};
pub(super) use self::server::{Hello, closed, error, hello, large_data_received, ping, pong, subscribed};
