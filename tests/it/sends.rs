//! Claims about one message to many: a list, a topic, everybody; and that a kill in the middle loses and doubles nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::{dice, rounds};
use crate::support::client::{hello, with};
use crate::support::{Client, Server, until};

/// A notification that says something to whomever `to` names.
pub fn to_many(to: Value) -> Value {
    let mut body = hello("");
    body.as_object_mut().unwrap().remove("user_id");
    with(body, to)
}

/// Makes people members of a topic.
pub async fn join(client: &Client, topic: &str, users: &[String]) {
    let body = json!({ "user_ids": users });
    client.put(&format!("/v1/topics/{topic}/members"), &body).await.is(200);
}

fn people(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("p{at:05}")).collect()
}

/// Waits until a batch has ended.
pub async fn ended(client: &Client, id: &Value) -> Value {
    let path = format!("/v1/batches/{}", id.as_str().unwrap());
    until("the batch to end", || async {
        let batch = client.get(&path).await.is(200);
        (batch["state"] != "running").then_some(batch)
    })
    .await
}

/// How many notifications each of `users` has.
async fn totals(client: &Client, users: &[String]) -> BTreeSet<u64> {
    let mut totals = BTreeSet::new();
    for user in users {
        let counts = client.get(&format!("/v1/users/{user}/inbox/counts")).await.is(200);
        totals.insert(counts["total"].as_u64().unwrap());
    }
    totals
}

#[tokio::test]
async fn a_few_people_are_served_before_the_answer_which_names_each_notification() {
    let server = Server::start().await;
    let client = server.admin();
    let body = to_many(json!({ "to": ["anna", "ben", "anna"], "id": "news", "metadata": { "n": 1 } }));
    let sent = client.notify(&body).await;
    assert_eq!(sent["notification_id"], "news");
    assert_eq!((&sent["successful"], &sent["channels_sent"]), (&json!(2), &json!(["in_app"])));
    for (at, user) in ["anna", "ben"].into_iter().enumerate() {
        let id = sent["results"][at]["notification_id"].as_str().unwrap();
        let shown = client.get(&format!("/v1/notifications/{id}")).await.is(200);
        assert_eq!(
            (&shown["user_id"], &shown["message"], &shown["metadata"]),
            (&json!(user), &json!("The disk is full."), &json!({ "n": 1 }))
        );
        let listed = client.all(&format!("/v1/users/{user}/inbox")).await;
        assert_eq!((listed.len(), &listed[0]["title"]), (1, &json!("Disk")));
    }
    assert_eq!(client.notify(&body).await, sent, "the same id with the same content is the same");
    assert_eq!(totals(&client, &["anna".into(), "ben".into()]).await, BTreeSet::from([1]));
    let other = with(body, json!({ "title": "Other" }));
    client.post("/v1/notifications", &other).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_topic_is_served_in_the_background_and_its_batch_says_how_far_it_is() {
    let server = Server::start().await;
    let client = server.admin();
    let members = people(300);
    join(&client, "ops", &members).await;
    let body = to_many(json!({ "topic": "ops", "id": "t-1" }));
    let sent = client.notify(&body).await;
    assert_eq!((&sent["notification_id"], &sent["total_sent"]), (&json!("t-1"), &json!(300)));
    let done = ended(&client, &sent["batch_id"]).await;
    assert_eq!(
        (&done["state"], &done["total"], &done["successful"]),
        (&json!("completed"), &json!(300), &json!(300))
    );
    assert_eq!(client.notify(&body).await["batch_id"], sent["batch_id"]);
    assert_eq!(totals(&client, &members).await, BTreeSet::from([1]));
    let shown = client.get("/v1/notifications/t-1").await.is(200);
    assert_eq!((&shown["title"], &shown["batch"]["successful"]), (&json!("Disk"), &json!(300)));
    let one = client.all(&format!("/v1/users/{}/inbox", members[299])).await;
    assert_eq!(one[0]["message"], "The disk is full.");
}

#[tokio::test]
async fn a_send_says_where_it_stands_for_all_of_its_people_and_each_has_a_story_of_its_own() {
    let server = Server::start().await;
    let client = server.admin();
    client.person("anna").await;
    for (to, id, people) in [(json!(["anna", "ben"]), "few", 2), (json!(people(150)), "many", 150)] {
        let sent = client.notify(&to_many(json!({ "to": to, "id": id }))).await;
        ended(&client, &sent["batch_id"]).await;
        let status = until("what is under way to end", || async {
            let status = client.get(&format!("/v1/notifications/{id}/status")).await.is(200);
            (status["overall_status"] == "delivered").then_some(status)
        })
        .await;
        assert_eq!((&status["notification_id"], &status["counted"]), (&json!(id), &json!(people)));
        assert_eq!(status["batch"]["id"], sent["batch_id"]);
        let channels = status["channel_statuses"].as_array().unwrap();
        let of = |name: &str| channels.iter().find(|channel| channel["channel"] == name).unwrap();
        assert_eq!(of("in_app")["counts"], json!({ "delivered": people }));
        let email =
            if id == "few" { json!({ "sent": 1, "skipped": 1 }) } else { json!({ "skipped": people }) };
        assert_eq!(of("email")["counts"], email);
        let story = client.get(&format!("/v1/notifications/{id}/timeline")).await.is(200);
        let events: Vec<&str> = story["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|moment| moment["event"].as_str().unwrap())
            .collect();
        assert_eq!(events, ["accepted", "completed"]);
        let resend = client.post(&format!("/v1/notifications/{id}/resend"), &json!({})).await;
        resend.problem(409, "conflict");
    }
    for path in ["/v1/notifications/none/status", "/v1/notifications/none/timeline"] {
        client.get(path).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_small_topic_is_served_before_the_answer_too() {
    let server = Server::start().await;
    let client = server.admin();
    join(&client, "ops", &["anna".into(), "ben".into()]).await;
    let sent = client.notify(&to_many(json!({ "topic": "ops", "id": "small" }))).await;
    assert_eq!((&sent["successful"], sent["results"].as_array().unwrap().len()), (&json!(2), 2));
    assert_eq!(totals(&client, &["anna".into(), "ben".into()]).await, BTreeSet::from([1]));
    assert_eq!(client.notify(&to_many(json!({ "topic": "ops", "id": "small" }))).await, sent);
}

#[tokio::test]
async fn everybody_and_long_lists_are_served_too() {
    let server = Server::start().await;
    let client = server.admin();
    let named = people(150);
    let sent = client.notify(&to_many(json!({ "to": named }))).await;
    assert_eq!(ended(&client, &sent["batch_id"]).await["successful"], 150);
    let sent = client.notify(&to_many(json!({ "to": "all" }))).await;
    assert_eq!(ended(&client, &sent["batch_id"]).await["successful"], 150);
    assert_eq!(totals(&client, &named).await, BTreeSet::from([2]));
}

#[tokio::test]
async fn a_batch_may_hold_messages_to_many_and_takes_them_back_whole() {
    let server = Server::start().await;
    let client = server.admin();
    let members = people(200);
    join(&client, "ops", &members).await;
    let later = json!({ "topic": "ops", "send_at": "2099-01-01T00:00:00Z" });
    let items = json!({ "notifications": [to_many(later), hello("anna")] });
    let sent = client.post("/v1/notifications/batch", &items).await.is(202);
    let inner = &sent["results"][0]["batch_id"];
    assert_eq!(ended(&client, inner).await["successful"], 200);
    let other = to_many(json!({ "to": ["x", "y"], "send_at": "2099-01-01T00:00:00Z" }));
    let other = client.notify(&other).await;
    let path = format!("/v1/notifications/{}/cancel", other["notification_id"].as_str().unwrap());
    assert_eq!(client.post(&path, &json!({})).await.is(200)["canceled"], 2);
    let path = format!("/v1/batches/{}/cancel", sent["batch_id"].as_str().unwrap());
    client.post(&path, &json!({})).await.is(200);
    let inner = ended(&client, inner).await;
    assert_eq!((&inner["state"], &inner["canceled"]), (&json!("canceled"), &json!(200)));
}

#[tokio::test]
async fn whom_it_is_for_is_said_once_and_exists() {
    let server = Server::start().await;
    let client = server.admin();
    for (to, field) in [
        (json!({ "to": [] }), "to"),
        (json!({ "to": "some" }), "to"),
        (json!({ "to": ["a", "b c"] }), "to[1]"),
        (json!({ "to": ["a"], "topic": "x" }), "topic"),
        (json!({ "to": ["a"], "user_id": "x" }), "user_id"),
        (json!({ "topic": "nobody-made-it" }), "topic"),
        (json!({}), "user_id"),
    ] {
        let answer = client.post("/v1/notifications", &to_many(to.clone())).await;
        assert_eq!(answer.fields(), [field], "{to}");
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_topic_loses_nobody_and_gives_nobody_two() {
    let mut server = Server::start().await;
    let members = people(1_500);
    join(&server.admin(), "ops", &members).await;
    let rounds = rounds().div_ceil(5);
    for round in 0..rounds {
        let client = server.admin();
        let body = to_many(json!({ "topic": "ops", "id": format!("round-{round}") }));
        let sent = client.notify(&body).await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(dice(60))).await;
            server.restart().await;
        }
        let done = ended(&server.admin(), &sent["batch_id"]).await;
        assert_eq!((&done["state"], &done["successful"]), (&json!("completed"), &json!(1_500)), "{round}");
    }
    let wanted = BTreeSet::from([u64::try_from(rounds).unwrap()]);
    assert_eq!(totals(&server.admin(), &members).await, wanted, "one for each round, for everybody");
}
