//! Who listens: each checks with every message that it is the next one, and stops at the first that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::support::events::Events;
use belfry::client::{Client, Stream, Told};

/// How long nothing may come after the last message, for it to count as the last.
const QUIET: Duration = Duration::from_millis(500);

/// Somebody who listens.
pub struct Listener {
    pub user: usize,
    pub name: String,
    heard: Arc<Heard>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    count: AtomicU64,
    more: Notify,
}

impl Heard {
    /// Takes a notification, which must be the next one.
    fn take(&self, name: &str, frame: &Value) {
        let next = self.count.load(Ordering::Acquire);
        assert_eq!(frame["title"], next.to_string(), "{name} expected message {next}: {frame}");
        self.count.store(next + 1, Ordering::Release);
        self.more.notify_one();
    }
}

impl Listener {
    /// How many messages came.
    pub fn got(&self) -> u64 {
        self.heard.count.load(Ordering::Acquire)
    }

    /// Waits until so many came. A listener that found something wrong never gets there.
    pub async fn reached(&self, wanted: u64) {
        while self.got() < wanted {
            self.heard.more.notified().await;
        }
    }

    /// Waits whether something else comes, and answers how many came in all.
    pub async fn end(listener: Listener) -> u64 {
        let Listener { heard, task, name, .. } = listener;
        tokio::time::sleep(QUIET).await;
        assert!(!task.is_finished(), "{name} has ended by itself");
        task.abort();
        heard.count.load(Ordering::Acquire)
    }
}

/// A listener over WebSocket, by the crate's own client.
pub async fn by_websocket(user: usize, name: &str, url: String, token: &str) -> Listener {
    let name = format!("user {user} over WebSocket ({name})");
    let client = Client::new(url.parse().unwrap(), None).unwrap();
    let mut stream = Stream::with_token(client, token.into());
    assert!(matches!(stream.next().await.unwrap(), Told::Greeted { gap: false, .. }));
    let heard = Arc::new(Heard::default());
    let (told, called) = (heard.clone(), name.clone());
    let task = tokio::spawn(async move {
        loop {
            match stream.next().await {
                Ok(Told::Frame { kind, text, .. }) if kind == "notification" => {
                    told.take(&called, &serde_json::from_str(&text).unwrap());
                }
                Ok(Told::Greeted { gap, .. }) => assert!(!gap, "{called} was told of a gap"),
                Ok(Told::Frame { .. } | Told::Broken { .. }) => {}
                Err(lost) => panic!("{called} gave up: {lost}"),
            }
        }
    });
    Listener { user, name, heard, task }
}

/// A listener over an event stream, which comes back by the last id that it has heard, as a browser does.
pub async fn by_events(user: usize, url: String, token: &str) -> Listener {
    let name = format!("user {user} over events");
    let (mut events, _) = Events::join(&url, token, "", None).await;
    let heard = Arc::new(Heard::default());
    let (told, called, bearer) = (heard.clone(), name.clone(), format!("Bearer {token}"));
    let task = tokio::spawn(async move {
        loop {
            while let Some(event) = events.next().await {
                match event.name.as_str() {
                    "notification" => told.take(&called, &event.data),
                    "hello" => assert_eq!(event.data["recovered"], true, "{called}"),
                    _ => {}
                }
            }
            let last = events.last_id.clone().unwrap();
            events = loop {
                let headers = [("authorization", bearer.as_str()), ("last-event-id", last.as_str())];
                match Events::open(&url, "", &headers).await {
                    Ok(mut again) => {
                        again.last_id = Some(last.clone());
                        break again;
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(30)).await,
                }
            };
        }
    });
    Listener { user, name, heard, task }
}
