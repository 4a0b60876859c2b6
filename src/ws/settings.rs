//! What the operator decides about live connections.

use std::time::Duration;

use crate::settings::{Unit, Violation, optional, settings, show_duration, size, whole, within, yes_or_no};

/// A heartbeat faster than this is load and nothing else.
const SHORTEST_BEAT: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

settings! {
    /// Live connections over WebSocket.
    pub struct Websocket {
        /// How many live connections may be open at once. Any number that the limit on open files allows is good.
        max_connections: usize = 1_000, whole(1..=1_000_000);
        /// How many of them one user may hold. As many as `max_connections` if it is not set.
        max_connections_per_user: Option<usize> = None, optional(whole(1..=1_000_000), "20");
        /// How often the server pings each connection.
        heartbeat_interval: Duration = Duration::from_secs(30), within(Unit::Seconds, SHORTEST_BEAT..=HOUR);
        /// After how long without any frame from the client a connection is closed. Longer than
        /// `heartbeat_interval`.
        connection_timeout: Duration = Duration::from_secs(300), within(Unit::Seconds, SHORTEST_BEAT..=DAY);
        /// How often clients are told to try again before they give up.
        max_reconnect_attempts: u32 = 5, whole(1..=1_000_000);
        /// How long clients are told to wait before they try again; they double it each time.
        reconnect_delay: Duration = Duration::from_secs(1),
            within(Unit::Milliseconds, Duration::from_millis(1)..=HOUR);
        /// The largest message that a client may send.
        max_message_size: usize = 1 << 20, size(1 << 10..=64 << 20);
        /// How many messages may wait for one slow connection before it is closed (code 4008) and has to resume.
        message_queue_size: usize = 100, whole(1..=1_000_000);
        /// Whether a connection needs a token.
        require_authentication: bool = true, yes_or_no();
    }
    check outlives_the_heartbeat;
}

fn outlives_the_heartbeat(settings: &Websocket, name: &dyn Fn(&str) -> String) -> Vec<Violation> {
    if settings.connection_timeout > settings.heartbeat_interval {
        return Vec::new();
    }
    let (timeout, heartbeat) = (name("connection_timeout"), name("heartbeat_interval"));
    let message = format!(
        "{timeout} is {}, but must be longer than {heartbeat}, which is {}",
        show_duration(&settings.connection_timeout),
        show_duration(&settings.heartbeat_interval),
    );
    vec![Violation { keys: vec![timeout, heartbeat], message }]
}
