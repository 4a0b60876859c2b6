//! Random cuts and kills for as long as `BELFRY_SOAK_SECONDS` says (12 where it does not): several clients of several users
//! behind a line that is cut at random, a server that is killed at random, and no message missing, doubled or out of order.
//!
//! For a long run: `BELFRY_SOAK_SECONDS=1500 BELFRY_BIN=target/release/belfry cargo test --locked --test soak -- --nocapture`
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "it spawns the listeners whose panics it waits for, and is told from outside how long to last"
)]

#[path = "soak/line.rs"]
mod line;
#[path = "soak/listeners.rs"]
mod listeners;
#[path = "it/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "what the integration tests share, of which this needs a part"
)]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Mutex;

use line::Line;
use listeners::{Listener, by_events, by_websocket};
use support::Server;

/// How long it lasts where nobody says.
const SECONDS: u64 = 12;
const USERS: usize = 4;
/// Between two messages to one user.
const PACE: Duration = Duration::from_millis(15);
/// After the last message and the last accident, everybody must be whole within this time.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// Numbers that look random and come again from the same seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn told(name: &str, otherwise: u64) -> u64 {
    let told = std::env::var(name).ok();
    told.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn through_random_cuts_and_kills_everybody_gets_everything_once_and_in_order() {
    let length = Duration::from_secs(told("BELFRY_SOAK_SECONDS", SECONDS));
    let seed = told("BELFRY_SOAK_SEED", jiff::Timestamp::now().as_microsecond().unsigned_abs() | 1);
    println!("soak for {length:?}, BELFRY_SOAK_SEED={seed}");
    let server = Server::start_with(&[
        ("WEBSOCKET__MAX_RECONNECT_ATTEMPTS", "1000"),
        ("WEBSOCKET__RECONNECT_DELAY", "20ms"),
        ("WEBSOCKET__HEARTBEAT_INTERVAL", "1s"),
        // A small queue, so that a burst after a cut is also one for slow readers.
        ("WEBSOCKET__MESSAGE_QUEUE_SIZE", "20"),
    ])
    .await;
    let line = Arc::new(Line::lay(server.url()).await);
    let mut tokens = Vec::new();
    for user in 0..USERS {
        tokens.push(server.admin().mint(&format!("user-{user}"), &json!({ "expires_in": 86_400 })).await);
    }
    let server = Arc::new(Mutex::new(server));
    let over = Arc::new(AtomicBool::new(false));
    let mut listening = Vec::new();
    for (user, token) in tokens.iter().enumerate() {
        listening.push(by_websocket(user, "one", line.url(), token).await);
        listening.push(by_websocket(user, "another", line.url(), token).await);
        listening.push(by_events(user, line.url(), token).await);
    }
    let publishers = (0..USERS).map(|user| tokio::spawn(publish(user, line.url(), over.clone())));
    let publishers: Vec<_> = publishers.collect();
    let accidents = harm(&server, &line, length, Chance(seed)).await;
    over.store(true, Ordering::Relaxed);
    let sent: Vec<u64> = join_all(publishers).await.into_iter().map(Result::unwrap).collect();
    println!("{accidents}; messages sent to each user: {sent:?}");
    let begun = Instant::now();
    for listener in &listening {
        let wanted = sent[listener.user];
        let patience = WHOLE_WITHIN.saturating_sub(begun.elapsed());
        let whole = tokio::time::timeout(patience, listener.reached(wanted)).await;
        assert!(whole.is_ok(), "{} got {} of {wanted}; seed {seed}", listener.name, listener.got());
    }
    // Whoever is told something twice is told so after the last one at the latest.
    for listener in listening {
        let (name, wanted) = (listener.name.clone(), sent[listener.user]);
        let got = Listener::end(listener).await;
        assert_eq!(got, wanted, "{name}, seed {seed}");
    }
    assert!(sent.iter().all(|count| *count > 0));
}

/// Sends numbered messages to one user, each again until it is taken: the same id is the same message.
async fn publish(user: usize, url: String, over: Arc<AtomicBool>) -> u64 {
    let client = support::Client::new(&url, support::server::ADMIN_KEY);
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let message = json!({
            "id": format!("user-{user}-{number}"), "user_id": format!("user-{user}"), "type": "custom",
            "title": number.to_string(), "message": "x".repeat(200), "channels": ["in_app"],
        });
        loop {
            let request = client.request(http::Method::POST, "/v1/notifications").json(&message);
            match client.try_send(request).await {
                Some(answer) if answer.status == 202 => break,
                Some(answer) => assert!([502, 503, 429].contains(&answer.status), "{answer:?}"),
                None => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        number += 1;
        tokio::time::sleep(PACE).await;
    }
    number
}

/// Cuts and kills until the time is over. Answers in words what there was.
async fn harm(server: &Mutex<Server>, line: &Line, length: Duration, mut chance: Chance) -> String {
    let (begun, mut cuts, mut kills, mut silences) = (Instant::now(), 0, 0, 0);
    while begun.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(50 + chance.below(450))).await;
        match chance.below(10) {
            0 => {
                let mut server = server.lock().await;
                server.kill();
                tokio::time::sleep(Duration::from_millis(chance.below(300))).await;
                server.start_again().await;
                line.lead_to(server.url());
                kills += 1;
            }
            1 => {
                line.close();
                tokio::time::sleep(Duration::from_millis(chance.below(500))).await;
                line.open();
                silences += 1;
            }
            2..=4 => {
                line.cut_all();
                cuts += 1;
            }
            _ => {
                line.cut_one(chance.below(u64::MAX));
                cuts += 1;
            }
        }
    }
    // Whatever there was, there is one restart.
    let mut server = server.lock().await;
    server.restart().await;
    line.lead_to(server.url());
    format!("{cuts} cuts, {silences} times unreachable, {} kills within {:.1?}", kills + 1, begun.elapsed())
}
