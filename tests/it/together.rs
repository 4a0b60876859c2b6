//! What waits together leaves as one message, and what a sender's keys and a category's rates do, from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::crash::{dice, rounds};
use crate::support::client::{hello, with};
use crate::support::{Client, PATIENCE, Server, until};

const PEOPLE: usize = 4;
/// How many each gets at once: with more than one a digest is one message.
const EACH: usize = 5;

async fn category(client: &Client, rules: Value) {
    client.put("/v1/categories/system", &rules).await.is(201);
}

fn keyed(field: &str) -> Value {
    with(hello("anna"), json!({ "category": "system", field: "disk-3" }))
}

async fn reason(client: &Client, id: &Value, channel: &str) -> Value {
    client.standing(id.as_str().unwrap(), channel).await["reason"].clone()
}

#[tokio::test]
async fn a_second_with_the_same_dedupe_key_is_taken_and_reaches_nobody() {
    let server = Server::start().await;
    let client = server.admin();
    client.person("anna").await;
    let first = client.notify(&keyed("dedupe_key")).await;
    let second = client.notify(&keyed("dedupe_key")).await;
    assert_ne!(first["notification_id"], second["notification_id"]);
    for channel in ["in_app", "email"] {
        assert_eq!(reason(&client, &second["notification_id"], channel).await, "duplicate");
    }
    let counts = client.get("/v1/users/anna/inbox/counts").await.is(200);
    assert_eq!(counts["total"], 1);
}

#[tokio::test]
async fn over_a_categorys_rate_only_the_inbox_gets_it() {
    let server = Server::start().await;
    let client = server.admin();
    client.person("anna").await;
    category(&client, json!({ "throttle": { "max": 1, "per_seconds": 3600 } })).await;
    client.notify(&keyed("digest_key")).await;
    let second = client.notify(&keyed("digest_key")).await;
    assert_eq!(reason(&client, &second["notification_id"], "email").await, "throttled");
    assert_eq!(second["channels_sent"], json!(["in_app"]));
}

#[tokio::test]
async fn a_newer_one_with_the_same_collapse_key_takes_the_place_of_one_that_waits() {
    let server = Server::start().await;
    let client = server.admin();
    client.person("anna").await;
    category(&client, json!({ "digest": { "mode": "fixed", "window_seconds": 3600 } })).await;
    let older = client.notify(&keyed("collapse_key")).await;
    client.notify(&keyed("collapse_key")).await;
    assert_eq!(reason(&client, &older["notification_id"], "email").await, "superseded");
}

#[tokio::test]
async fn a_key_that_is_empty_or_too_long_is_refused_by_name() {
    let server = Server::start().await;
    for (field, value) in [("dedupe_key", ""), ("collapse_key", " "), ("digest_key", &"x".repeat(257))] {
        let body = with(hello("anna"), json!({ field: value }));
        let refused = server.admin().post("/v1/notifications", &body).await.is(422);
        assert_eq!(refused["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_notification_is_sent_again_on_the_channels_that_are_named() {
    let server = Server::start().await;
    let client = server.admin();
    client.person("anna").await;
    let sent = client.notify(&hello("anna")).await;
    let id = sent["notification_id"].as_str().unwrap();
    client.comes_to(id, "email", "sent").await;
    let path = format!("/v1/notifications/{id}/resend");
    let refused = client.post(&path, &json!({ "channels": ["in_app"] })).await.is(422);
    assert_eq!(refused["errors"][0]["field"], "channels");
    client.post(&path, &json!({})).await.is(422);
    let queued = client.post(&path, &json!({ "channels": ["email"] })).await.is(202);
    assert_eq!(queued["notification_id"], id);
    let twice =
        until("the second mail", || async { (messages(&client).await.get(id) == Some(&2)).then_some(()) });
    tokio::time::timeout(PATIENCE, twice).await.unwrap();
    assert_eq!(client.standing(id, "email").await["attempts"], 2);
    client.post("/v1/notifications/nothing/resend", &json!({ "channels": ["email"] })).await.is(404);
}

/// Everything that was captured, by the message that it was in.
async fn messages(client: &Client) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for captured in client.all("/v1/captured").await {
        *copies.entry(captured["notification_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    copies
}

#[tokio::test]
async fn kills_while_digests_close_lose_nothing_and_double_none() {
    let rounds = rounds().div_ceil(2);
    let mut server = Server::start_with(&[("LIMITS__MAX_CAPTURED", "100000")]).await;
    category(&server.admin(), json!({ "digest": { "mode": "fixed", "window_seconds": 1 } })).await;
    for at in 0..PEOPLE {
        server.admin().person(&format!("u{at}")).await;
    }
    let mut sent: Vec<String> = Vec::new();
    for _ in 0..rounds {
        let client = server.admin();
        let one = |n: usize| {
            let client = client.clone();
            async move { client.notify(&hello(&format!("u{}", n % PEOPLE))).await["notification_id"].clone() }
        };
        let ids = join_all((0..PEOPLE * EACH).map(one)).await;
        sent.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
        // The window closes a second after the first: the kill falls somewhere around that.
        tokio::time::sleep(Duration::from_millis(900 + dice(250))).await;
        server.kill();
        server.start_again().await;
    }
    let client = server.admin();
    let settled = until("every digest to be sent", || async {
        for id in &sent {
            if client.standing(id, "email").await["status"] != "sent" {
                return None;
            }
        }
        Some(())
    });
    tokio::time::timeout(PATIENCE * 3, settled).await.unwrap();
    let messages = messages(&client).await;
    assert!(messages.values().all(|copies| *copies == 1), "a message is kept once: {messages:?}");
    let told: BTreeSet<&String> = sent.iter().collect();
    let digests = messages.keys().filter(|id| !told.contains(id)).count();
    let alone = messages.len() - digests;
    assert!(digests > 0 && alone < sent.len() / 2, "{digests} digests, {alone} alone");
    println!("{rounds} kills, {} notifications, {digests} digests, {alone} alone", sent.len());
}
