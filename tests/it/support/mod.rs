//! What the tests share: a server to start and kill, a client for each of its doors, a mail server, and patience.

pub mod client;
pub mod events;
pub mod fault;
pub mod mail;
pub mod push;
pub mod receiver;
pub mod server;
#[path = "../../support/sink.rs"]
pub mod sink;
pub mod socket;
pub mod token;

use std::future::Future;
use std::time::{Duration, Instant};

pub use client::{Answer, Client};
pub use mail::MailServer;
pub use receiver::Receiver;
pub use server::Server;
pub use socket::{Heard, Socket};

/// Longer than anything here takes on a busy machine: a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// The Python that has the libraries of others that the tests ask.
pub fn python() -> String {
    #[expect(clippy::disallowed_methods, reason = "the test is told which Python has the library")]
    std::env::var("BELFRY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Looks until `look` gives something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
