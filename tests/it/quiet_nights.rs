//! Claims about quiet hours in the nights in which the clocks change, under a clock that the test moves: what was held
//! leaves at the right instant, neither an hour early nor an hour late.

use serde_json::{Value, json};

use crate::schedules::{look, until_then};
use crate::support::client::{hello, with};
use crate::support::{Client, Server};

/// Somebody in Paris who has quiet hours.
async fn sleeper(client: &Client, id: &str, start: &str, end: &str) {
    client.person(id).await;
    let quiet = json!({ "enabled": true, "start": start, "end": end, "timezone": "Europe/Paris" });
    client.patch(&format!("/v1/users/{id}/preferences"), &json!({ "quiet_hours": quiet })).await.is(200);
}

async fn mail(client: &Client, to: &str) -> String {
    let sent = client.notify(&with(hello(to), json!({ "channels": ["email"] }))).await;
    sent["notification_id"].as_str().unwrap().to_owned()
}

/// Moves the clock, and lets the server look at it.
async fn at(server: &Server, client: &Client, instant: &str) {
    server.shift(until_then(instant));
    look(client).await;
}

async fn is_held_until(client: &Client, id: &str, until: &str) {
    let standing = client.standing(id, "email").await;
    let expected = json!({ "status": "deferred", "reason": "quiet_hours", "not_before": until });
    for field in ["status", "reason", "not_before"] {
        assert_eq!(standing[field], expected[field], "{id}: {standing}");
    }
}

async fn server_at(instant: &str) -> Server {
    let mut server = Server::prepare(&[]);
    server.fake_clock();
    server.shift(until_then(instant));
    server.start_again().await;
    server.admin().person("clockmaker").await;
    server
}

/// When the mail left, by its own story.
async fn left_at(client: &Client, id: &str) -> String {
    let story = client.story(id, "email").await;
    let sent: Vec<&Value> = story.iter().filter(|moment| moment["event"] == "sent").collect();
    assert_eq!(sent.len(), 1, "once: {story:?}");
    sent[0]["at"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn in_the_night_that_has_an_hour_twice_what_was_held_leaves_when_the_hours_really_end() {
    let server = server_at("2026-10-24T19:59:00Z").await;
    let client = server.admin();
    sleeper(&client, "anna", "22:00", "08:00").await;
    sleeper(&client, "ben", "23:00", "02:30").await;
    let awake = mail(&client, "anna").await;
    client.comes_to(&awake, "email", "sent").await;
    at(&server, &client, "2026-10-24T21:30:00Z").await;
    let (long, short) = (mail(&client, "anna").await, mail(&client, "ben").await);
    is_held_until(&client, &long, "2026-10-25T07:00:00.000Z").await;
    is_held_until(&client, &short, "2026-10-25T01:30:00.000Z").await;
    // The first 02:30, in summer time: the hours end with the second.
    at(&server, &client, "2026-10-25T00:45:00Z").await;
    is_held_until(&client, &short, "2026-10-25T01:30:00.000Z").await;
    let late = mail(&client, "ben").await;
    is_held_until(&client, &late, "2026-10-25T01:30:00.000Z").await;
    at(&server, &client, "2026-10-25T01:29:00Z").await;
    is_held_until(&client, &short, "2026-10-25T01:30:00.000Z").await;
    at(&server, &client, "2026-10-25T01:30:01Z").await;
    for id in [&short, &late] {
        client.comes_to(id, "email", "sent").await;
        let left = left_at(&client, id).await;
        assert!(left.starts_with("2026-10-25T01:30:"), "{left}");
    }
    // 08:00 in summer time would have been here.
    at(&server, &client, "2026-10-25T06:59:00Z").await;
    is_held_until(&client, &long, "2026-10-25T07:00:00.000Z").await;
    at(&server, &client, "2026-10-25T07:00:01Z").await;
    client.comes_to(&long, "email", "sent").await;
}

#[tokio::test]
async fn in_the_night_that_lacks_an_hour_an_edge_in_it_is_where_the_clocks_go_on_even_over_a_kill() {
    let mut server = server_at("2027-03-27T23:00:00Z").await;
    let client = server.admin();
    sleeper(&client, "anna", "22:00", "02:30").await;
    sleeper(&client, "ben", "02:30", "06:00").await;
    let held = mail(&client, "anna").await;
    is_held_until(&client, &held, "2027-03-28T01:00:00.000Z").await;
    at(&server, &client, "2027-03-28T00:59:00Z").await;
    is_held_until(&client, &held, "2027-03-28T01:00:00.000Z").await;
    let awake = mail(&client, "ben").await;
    client.comes_to(&awake, "email", "sent").await;
    server.kill();
    server.shift(until_then("2027-03-28T01:00:01Z"));
    server.start_again().await;
    let client = server.admin();
    client.comes_to(&held, "email", "sent").await;
    let left = left_at(&client, &held).await;
    assert!(left.starts_with("2027-03-28T01:00:"), "{left}");
    let asleep = mail(&client, "ben").await;
    is_held_until(&client, &asleep, "2027-03-28T04:00:00.000Z").await;
    at(&server, &client, "2027-03-28T04:00:01Z").await;
    client.comes_to(&asleep, "email", "sent").await;
}
