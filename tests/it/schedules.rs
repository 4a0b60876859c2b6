//! Claims about schedules: when they fire by a zone's own clocks, what they send, and that no kill and no change of the
//! clock loses or repeats a run.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::crash::{dice, rounds};
use crate::sends::{ended, join, to_many};
use crate::support::client::{hello, ids, with};
use crate::support::{Client, Server, until};

fn schedule(cron: &str, zone: &str, notification: Value) -> Value {
    json!({ "cron": cron, "timezone": zone, "notification": notification })
}

async fn add(client: &Client, body: &Value) -> String {
    client.post("/v1/schedules", body).await.is(201)["id"].as_str().unwrap().to_owned()
}

async fn runs(client: &Client, id: &str) -> u64 {
    client.get(&format!("/v1/schedules/{id}")).await.is(200)["runs"].as_u64().unwrap()
}

/// Lets the server look at its clock, which it does when something is due, and waits until it has.
pub async fn look(client: &Client) {
    let sent = client.notify(&with(hello("clockmaker"), json!({ "channels": ["email"] }))).await;
    client.comes_to(sent["notification_id"].as_str().unwrap(), "email", "sent").await;
}

/// Seconds from now to `instant`.
pub fn until_then(instant: &str) -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the server's clock is set by ours")]
    let now = Timestamp::now();
    instant.parse::<Timestamp>().unwrap().as_second() - now.as_second()
}

#[tokio::test]
async fn a_schedule_shows_its_next_five_times_and_can_be_read_changed_paused_and_removed() {
    let mut server = Server::start().await;
    let client = server.admin();
    let body = schedule("30 2 * * mon-fri", "Europe/Paris", hello("anna"));
    let made = client.post("/v1/schedules", &with(body, json!({ "name": "nightly" }))).await.is(201);
    let times: Vec<Timestamp> = made["next_fire_times"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(times.len(), 5);
    for time in &times {
        let local = time.in_tz("Europe/Paris").unwrap();
        assert_eq!((local.hour(), local.minute()), (2, 30), "{local}");
        assert!(local.weekday().to_monday_zero_offset() < 5, "{local}");
    }
    assert!(times.is_sorted());
    let path = format!("/v1/schedules/{}", made["id"].as_str().unwrap());
    server.restart().await;
    let client = server.admin();
    assert_eq!(client.get(&path).await.is(200)["next_fire_times"], made["next_fire_times"]);
    assert_eq!(ids(&client.all("/v1/schedules").await), [made["id"].as_str().unwrap()]);
    let paused = client.patch(&path, &json!({ "enabled": false, "name": null })).await.is(200);
    assert_eq!((&paused["next_fire_times"], &paused["name"]), (&json!([]), &json!(null)));
    assert_eq!(paused["notification"], made["notification"], "what is not named stays");
    let other = client.put(&path, &schedule("@daily", "UTC", hello("ben"))).await.is(200);
    assert_eq!((&other["enabled"], &other["notification"]["user_id"]), (&json!(true), &json!("ben")));
    client.delete(&path).await.is(204);
    client.get(&path).await.problem(404, "not_found");
    client.delete(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_could_never_fire_or_never_be_sent_is_refused_by_name() {
    let server = Server::start().await;
    let client = server.admin();
    let good = schedule("@daily", "UTC", hello("anna"));
    for (change, field) in [
        (json!({ "cron": "61 * * * *" }), "cron"),
        (json!({ "cron": "0 0 30 2 *" }), "cron"),
        (json!({ "cron": null }), "cron"),
        (json!({ "cron": 5 }), "cron"),
        (json!({ "timezone": "Europe/Pari" }), "timezone"),
        (json!({ "notification": null }), "notification"),
        (json!({ "notification": with(hello("anna"), json!({ "id": "x" })) }), "notification.id"),
        (json!({ "notification": with(hello("anna"), json!({ "priority": "x" })) }), "notification.priority"),
        (json!({ "starts_at": "tomorrow" }), "starts_at"),
        (json!({ "ends_at": "2001-01-01T00:00:00Z" }), "ends_at"),
        (json!({ "zone": "UTC" }), "zone"),
    ] {
        let answer = client.post("/v1/schedules", &with(good.clone(), change.clone())).await;
        assert_eq!(answer.fields(), [field], "{change}");
    }
    let missing = json!({ "user_id": "anna", "template": "workflow_completed", "variables": {} });
    let answer = client.post("/v1/schedules", &schedule("@daily", "UTC", missing)).await;
    answer.problem(422, "missing_variables");
    let reader = server.with(&client.key(&["read"]).await);
    reader.post("/v1/schedules", &good).await.problem(403, "forbidden");
}

#[tokio::test]
async fn one_can_be_fired_by_hand_to_a_person_or_a_topic() {
    let server = Server::start().await;
    let client = server.admin();
    let one = add(&client, &schedule("@yearly", "UTC", hello("anna"))).await;
    let sent = client.post(&format!("/v1/schedules/{one}/run"), &json!({})).await.is(202);
    assert_eq!(ids(&client.all("/v1/users/anna/inbox").await), [sent["notification_id"].as_str().unwrap()]);
    let shown = client.get(&format!("/v1/schedules/{one}")).await.is(200);
    assert_eq!(shown["last_result"]["notification_id"], sent["notification_id"]);
    assert!(shown["last_fired_at"].is_string());
    join(&client, "ops", &(0..140).map(|at| format!("p{at}")).collect::<Vec<_>>()).await;
    client.delete("/v1/users/anna").await.is(204);
    client.get(&format!("/v1/schedules/{one}")).await.problem(404, "not_found");
    let many = add(&client, &schedule("@yearly", "UTC", to_many(json!({ "topic": "ops" })))).await;
    let sent = client.post(&format!("/v1/schedules/{many}/run"), &json!({})).await.is(202);
    assert_eq!(ended(&client, &sent["batch_id"]).await["successful"], 140);
}

#[tokio::test]
async fn a_nightly_run_comes_once_in_the_night_that_has_an_hour_twice() {
    let mut server = Server::prepare(&[]);
    server.fake_clock();
    server.shift(until_then("2026-10-24T23:00:00Z"));
    server.start_again().await;
    let client = server.admin();
    client.person("clockmaker").await;
    // 02:30 summer time, and an hour later 02:30 again.
    let id = add(&client, &schedule("30 2 * * *", "Europe/Paris", hello("anna"))).await;
    server.shift(until_then("2026-10-25T00:29:00Z"));
    look(&client).await;
    assert_eq!(runs(&client, &id).await, 0);
    server.shift(until_then("2026-10-25T00:30:01Z"));
    look(&client).await;
    until("the first 02:30", || async { (runs(&client, &id).await == 1).then_some(()) }).await;
    server.shift(until_then("2026-10-25T01:30:30Z"));
    look(&client).await;
    look(&client).await;
    let shown = client.get(&format!("/v1/schedules/{id}")).await.is(200);
    assert_eq!(
        (&shown["runs"], &shown["next_fire_times"][0]),
        (&json!(1), &json!("2026-10-26T01:30:00.000Z"))
    );
    // Set back by two hours: nothing comes again.
    server.shift(until_then("2026-10-25T00:29:00Z"));
    look(&client).await;
    server.shift(until_then("2026-10-25T00:31:00Z"));
    look(&client).await;
    look(&client).await;
    assert_eq!(runs(&client, &id).await, 1);
    assert_eq!(client.all("/v1/users/anna/inbox").await.len(), 1);
}

#[tokio::test]
async fn a_kill_at_the_moment_of_a_run_neither_loses_nor_repeats_it() {
    let mut server = Server::prepare(&[]);
    server.fake_clock();
    server.start_again().await;
    let client = server.admin();
    client.person("clockmaker").await;
    let id = add(&client, &schedule("@hourly", "UTC", hello("anna"))).await;
    let rounds = rounds().div_ceil(2);
    for round in 1..=rounds {
        server.shift(i64::try_from(round).unwrap() * 3_600);
        let client = server.admin();
        let nudge = async {
            let body = with(hello("clockmaker"), json!({ "channels": ["email"] }));
            client.try_send(client.request(http::Method::POST, "/v1/notifications").json(&body)).await;
            tokio::time::sleep(Duration::from_micros(dice(8_000))).await;
        };
        nudge.await;
        server.restart().await;
        let (client, wanted) = (server.admin(), u64::try_from(round).unwrap());
        until("the run", || async { (runs(&client, &id).await == wanted).then_some(()) }).await;
    }
    let client = server.admin();
    let inbox = ids(&client.all("/v1/users/anna/inbox").await);
    assert_eq!(inbox.len(), rounds, "one for each hour");
    assert_eq!(inbox.iter().collect::<BTreeSet<_>>().len(), rounds);
}
