//! The promise that matters most: what was answered with 2xx survives a `kill -9` at any moment, is delivered, and is
//! neither doubled nor invented. `BELFRY_CRASH_ROUNDS` says how often; 20 unless told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::client::{hello, ids, with};
use crate::support::mail::header;
use crate::support::{Answer, Client, MailServer, PATIENCE, Server, until};

/// People who are sent to at the same time, one publisher for each.
const PUBLISHERS: usize = 4;
/// Questions under way at the same time while everything is checked.
const QUESTIONS_MAX: usize = 8;

pub fn rounds() -> usize {
    #[expect(clippy::disallowed_methods, reason = "the test is told how often to kill")]
    let given = std::env::var("BELFRY_CRASH_ROUNDS");
    given.map_or(20, |text| text.parse().expect("BELFRY_CRASH_ROUNDS must be a number"))
}

/// A random number below `bound`.
pub fn dice(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
    u64::from_le_bytes(bytes) % bound
}

/// One request of a publisher, which can be repeated.
#[derive(Clone)]
struct Request {
    key: String,
    body: Value,
}

impl Request {
    fn new(round: usize, publisher: usize, at: usize) -> Request {
        let key = format!("{round}-{publisher}-{at}");
        let body = with(hello(&format!("u{publisher}")), json!({ "title": format!("title {key}") }));
        // Every third has an id of its own.
        let body = if at.is_multiple_of(3) { with(body, json!({ "id": format!("id-{key}") })) } else { body };
        Request { key, body }
    }

    async fn send(&self, client: &Client) -> Option<Answer> {
        let request = client.request(Method::POST, "/v1/notifications").header("idempotency-key", &self.key);
        client.try_send(request.json(&self.body)).await
    }
}

/// What one publisher knows: requests with the id that each was answered.
#[derive(Default)]
struct Publisher {
    acknowledged: Vec<(Request, String)>,
    unanswered: Option<Request>,
}

impl Publisher {
    /// Sends until the connection breaks, at most so many.
    async fn publish(&mut self, client: &Client, round: usize, publisher: usize, most: usize) {
        for at in 0..most {
            let request = Request::new(round, publisher, at);
            match request.send(client).await {
                Some(answer) => self.acknowledged.push((request, answered(&answer))),
                None => {
                    self.unanswered = Some(request);
                    return;
                }
            }
        }
    }

    /// Sends again what was not answered, and repeats the last that was: it must be replayed.
    async fn make_sure(&mut self, client: &Client) {
        if let Some(request) = self.unanswered.take() {
            let answer = request.send(client).await.expect("the server is up");
            self.acknowledged.push((request, answered(&answer)));
        }
        if let Some((request, id)) = self.acknowledged.last() {
            let answer = request.send(client).await.expect("the server is up");
            assert_eq!(answered(&answer), *id, "{}", request.key);
            assert_eq!(answer.header("idempotency-replayed"), "true", "{}", request.key);
        }
    }
}

fn answered(answer: &Answer) -> String {
    answer.is(202)["notification_id"].as_str().unwrap().to_owned()
}

/// Lets everybody publish until a random moment, kills the server then, and starts it again.
async fn round(server: &mut Server, publishers: &mut [Publisher], round: usize, most: usize, within_ms: u64) {
    let client = server.admin();
    let publish = publishers.iter_mut().enumerate().map(|(at, one)| one.publish(&client, round, at, most));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(5 + dice(within_ms))).await;
        server.kill();
    };
    tokio::join!(join_all(publish), kill);
    server.start_again().await;
    let client = server.admin();
    join_all(publishers.iter_mut().map(|one| one.make_sure(&client))).await;
}

/// Waits until the mail of every one of `wanted` is sent.
async fn all_sent(client: &Client, wanted: &[String]) {
    futures_util::stream::iter(wanted)
        .for_each_concurrent(QUESTIONS_MAX, |id| async {
            client.comes_to(id, "email", "sent").await;
        })
        .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills_at_any_moment_and_is_delivered() {
    let rounds = rounds();
    let mut server = Server::start_with(&[("LIMITS__MAX_CAPTURED", "100000")]).await;
    for at in 0..PUBLISHERS {
        server.admin().person(&format!("u{at}")).await;
    }
    let mut publishers: Vec<Publisher> = (0..PUBLISHERS).map(|_| Publisher::default()).collect();
    for at in 0..rounds {
        round(&mut server, &mut publishers, at, usize::MAX, 120).await;
        let client = server.admin();
        for (user, publisher) in publishers.iter().enumerate() {
            let inbox = ids(&client.all(&format!("/v1/users/u{user}/inbox")).await);
            let mut wanted: Vec<&String> = publisher.acknowledged.iter().map(|(_, id)| id).collect();
            wanted.reverse();
            assert!(
                inbox.iter().eq(wanted),
                "round {at}: u{user}'s inbox is what was acknowledged, in order"
            );
        }
    }
    let client = server.admin();
    let wanted: Vec<String> =
        publishers.iter().flat_map(|one| one.acknowledged.iter().map(|(_, id)| id.clone())).collect();
    assert!(wanted.len() > rounds, "something was published");
    all_sent(&client, &wanted).await;
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for captured in client.all("/v1/captured").await {
        *copies.entry(captured["notification_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let known: BTreeSet<&String> = wanted.iter().collect();
    assert!(copies.keys().collect::<BTreeSet<_>>() == known, "a mail for each, and for nothing else");
    let total: usize = copies.values().sum();
    assert!(total <= wanted.len() + rounds, "{} mails more than notifications", total - wanted.len());
    println!("{rounds} kills, {} acknowledged, {total} mails", wanted.len());
}

#[tokio::test]
async fn every_acknowledged_mail_arrives_over_smtp_and_none_more_than_twice() {
    let mail = MailServer::start();
    let port = mail.port();
    let schedule = format!("[{}]", vec!["\"200ms\""; 30].join(","));
    let mut server = Server::start_with(&mail.settings(&port, &schedule)).await;
    for at in 0..PUBLISHERS {
        server.admin().person(&format!("u{at}")).await;
    }
    let mut publishers: Vec<Publisher> = (0..PUBLISHERS).map(|_| Publisher::default()).collect();
    let mut wanted = Vec::new();
    for at in 0..rounds().div_ceil(4) {
        round(&mut server, &mut publishers, at, 8, 250).await;
        let taken = publishers.iter_mut().flat_map(|one| one.acknowledged.drain(..));
        let fresh: Vec<String> = taken.map(|(_, id)| id).collect();
        // Before the next kill, so that each mail sees one kill at most.
        all_sent(&server.admin(), &fresh).await;
        wanted.extend(fresh);
    }
    let copies = until("every mail to be written down", || async {
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for one in mail.mails() {
            let title = header(&one, "Subject").to_owned();
            *copies.entry(title).or_default() += 1;
        }
        (copies.len() >= wanted.len()).then_some(copies)
    });
    let copies = tokio::time::timeout(PATIENCE, copies).await.unwrap();
    assert_eq!(copies.len(), wanted.len());
    assert!(copies.values().all(|count| *count <= 2), "{copies:?}");
    let message_ids: BTreeSet<String> =
        mail.mails().iter().map(|one| header(one, "Message-ID").to_owned()).collect();
    assert_eq!(message_ids.len(), wanted.len(), "a repeated mail has the same Message-ID");
}
