//! Web Push in words: a browser that may be pushed to, and the little note that is pushed.

use uuid::Uuid;

use crate::clock::Millis;

/// A browser that a person allowed to show notifications: what the W3C's Push API calls a `PushSubscription`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Our id for it.
    pub id: Uuid,
    /// The push service's URL for it. Whoever knows it can send to it, so it is shown in part only.
    pub endpoint: String,
    /// The browser's public key on P-256, uncompressed: 65 bytes.
    pub p256dh: Vec<u8>,
    /// The secret that it shares with whoever sends to it.
    pub auth: [u8; 16],
    /// The public part of the server key that it was made for (`applicationServerKey`), uncompressed.
    pub server_key: Vec<u8>,
    /// When it was registered.
    pub created_at: Millis,
    /// When the browser says that it ends.
    pub expires_at: Option<Millis>,
    /// When the push service last took something for it, to the hour.
    pub last_success: Option<Millis>,
}

impl Subscription {
    /// The push service: scheme, host and port of the endpoint.
    pub fn origin(&self) -> String {
        let end = self.endpoint.match_indices('/').nth(2).map_or(self.endpoint.len(), |(at, _)| at);
        self.endpoint[..end].to_ascii_lowercase()
    }
}

/// What is pushed: little, since push services take 4 KiB at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The notification's id.
    pub id: String,
    /// The first line.
    pub title: String,
    /// The text.
    pub message: String,
    /// A button: what it says and where it leads.
    pub action: Option<(String, String)>,
    /// What it is about.
    pub category: String,
    /// How much it matters, by name.
    pub priority: &'static str,
    /// When it happened, as RFC 3339.
    pub timestamp: String,
    /// The sender's own data, as JSON text of an object.
    pub metadata: Option<String>,
    /// A newer note with the same key takes the place of an older one, at the push service and on the screen.
    pub collapse_key: Option<String>,
    /// When it is of no use any more.
    pub expires_at: Option<Millis>,
}
