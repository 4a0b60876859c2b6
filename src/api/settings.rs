//! What the operator decides about the size of requests.

use crate::settings::{settings, size, whole};

settings! {
    /// Bounds that keep one client from taking the room of all others.
    pub struct Limits {
        /// The largest body of a request.
        max_body_size: usize = 1 << 20, size(1 << 10..=64 << 20);
        /// How many notifications one batch in JSON may hold.
        max_batch_items: usize = 1_000, whole(1..=1_000);
        /// How many messages a channel in `capture` mode keeps; the oldest go first.
        max_captured: usize = 1_000, whole(1..=100_000);
    }
}
