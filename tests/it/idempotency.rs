//! Claims about `Idempotency-Key`: the same request again is the first answer again.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::{Answer, Client, Server};

async fn keyed(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    client.send(client.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

#[tokio::test]
async fn the_same_key_and_body_replay_the_first_answer_even_after_a_kill() {
    let mut server = Server::start().await;
    let event = json!({ "type": "workflow_completed", "workflow_id": "w", "user_id": "ada" });
    let batch = json!({ "notifications": [hello("ada"), { "user_id": "bad" }] });
    let broadcast =
        json!({ "to": "all", "message": { "type": "notification", "title": "t", "message": "m" } });
    let posts = [
        ("/v1/notifications", hello("ada")),
        ("/v1/notifications/batch", batch),
        ("/v1/workflow-events", event),
        ("/v1/broadcasts", broadcast),
        ("/v1/users/ada/inbox/mark", json!({ "all": true, "as": "read" })),
    ];
    let mut firsts = Vec::new();
    for (path, body) in &posts {
        let first = keyed(&server.admin(), path, "key-1", body).await;
        assert!((200..300).contains(&first.status) && !replayed(&first), "{path}: {}", first.text);
        let again = keyed(&server.admin(), path, "key-1", body).await;
        assert!(replayed(&again), "{path}");
        assert_eq!((again.status, again.json()), (first.status, first.json()), "{path}");
        firsts.push(first);
    }
    server.restart().await;
    for ((path, body), first) in posts.iter().zip(&firsts) {
        let again = keyed(&server.admin(), path, "key-1", body).await;
        assert!(replayed(&again), "{path}");
        assert_eq!((again.status, again.json()), (first.status, first.json()), "{path}");
    }
    let counts = server.admin().get("/v1/users/ada/inbox/counts").await.is(200);
    assert_eq!(counts["total"], 3, "one each by notification, batch and event");
}

#[tokio::test]
async fn the_same_key_with_another_body_is_a_mismatch() {
    let mut server = Server::start().await;
    keyed(&server.admin(), "/v1/notifications", "k", &hello("ada")).await.is(202);
    let other = with(hello("ada"), json!({ "title": "Another" }));
    for _ in 0..2 {
        let answer = keyed(&server.admin(), "/v1/notifications", "k", &other).await;
        answer.problem(422, "idempotency_mismatch");
        server.restart().await;
    }
    assert_eq!(server.admin().get("/v1/users/ada/inbox/counts").await.is(200)["total"], 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_its_path() {
    let server = Server::start().await;
    let admin = server.admin();
    let other = server.with(&admin.key(&["publish"]).await);
    let first = keyed(&admin, "/v1/notifications", "k", &hello("ada")).await;
    let second = keyed(&other, "/v1/notifications", "k", &hello("ada")).await;
    assert!(!replayed(&second));
    assert_ne!(first.json()["notification_id"], second.json()["notification_id"]);
    let elsewhere =
        keyed(&admin, "/v1/users/ada/inbox/mark", "k", &json!({ "all": true, "as": "read" })).await;
    assert!(!replayed(&elsewhere));
    elsewhere.is(200);
}

#[tokio::test]
async fn a_refused_request_may_be_put_right_under_its_key() {
    let server = Server::start().await;
    let admin = server.admin();
    let wrong = with(hello("ada"), json!({ "priority": "urgent" }));
    keyed(&admin, "/v1/notifications", "k", &wrong).await.problem(422, "validation_failed");
    assert!(!replayed(&keyed(&admin, "/v1/notifications", "k", &hello("ada")).await));
}

#[tokio::test]
async fn many_at_once_with_one_key_make_one_notification() {
    let server = Server::start().await;
    let admin = server.admin();
    let body = hello("ada");
    let sent = (0..30).map(|_| keyed(&admin, "/v1/notifications", "k", &body));
    let mut ids = Vec::new();
    for answer in futures_util::future::join_all(sent).await {
        match answer.status {
            202 => ids.push(answer.json()["notification_id"].clone()),
            _ => drop(answer.problem(409, "conflict")),
        }
    }
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"], 1);
}

#[tokio::test]
async fn while_the_first_is_still_running_the_second_is_a_conflict() {
    // The first waits for a mail that cannot leave.
    let server = Server::start_with(&[
        ("CHANNELS__EMAIL__HOST", "127.0.0.1"),
        ("CHANNELS__EMAIL__PORT", "9"),
        ("CHANNELS__EMAIL__TLS", "none"),
        ("RETRY__EMAIL__SCHEDULE", "[\"1h\"]"),
    ])
    .await;
    let admin = server.admin();
    admin.person("ada").await;
    let body = hello("ada");
    let waiting = admin.request(Method::POST, "/v1/notifications").header("idempotency-key", "k");
    let first = admin.send(waiting.header("prefer", "wait=2").json(&body));
    let second = async {
        crate::support::until("the first to be taken", || async {
            (admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"] == 1).then_some(())
        })
        .await;
        keyed(&admin, "/v1/notifications", "k", &body).await
    };
    let (first, second) = tokio::join!(first, second);
    first.is(202);
    second.problem(409, "conflict");
    assert!(replayed(&keyed(&admin, "/v1/notifications", "k", &body).await));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let server = Server::start().await;
    let admin = server.admin();
    for key in [String::new(), "x".repeat(256)] {
        let answer = keyed(&admin, "/v1/notifications", &key, &hello("ada")).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    assert!(!replayed(&keyed(&admin, "/v1/notifications", &"x".repeat(255), &hello("ada")).await));
    let anonymous = keyed(&admin.anonymous(), "/v1/notifications", "k", &hello("ada")).await;
    anonymous.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_token_that_is_shown_once_is_nowhere_on_the_disk_though_its_answer_is_kept() {
    let server = Server::start().await;
    let body = json!({ "name": "ci", "scopes": ["publish"] });
    let first = keyed(&server.admin(), "/v1/keys", "k", &body).await;
    let token = first.json()["token"].as_str().expect("a token").to_owned();
    let again = keyed(&server.admin(), "/v1/keys", "k", &body).await;
    assert!(replayed(&again));
    assert_eq!(again.json()["token"], token.as_str());
    let user = keyed(&server.admin(), "/v1/users/ada/tokens", "k", &json!({})).await;
    let user_token = user.json()["token"].as_str().expect("a token").to_owned();
    let log = std::fs::read(server.data().join("store").join("db")).expect("the store's log");
    for secret in [&token, &user_token] {
        assert!(!log.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test]
async fn a_refusal_of_the_body_is_kept_too() {
    let server = Server::start().await;
    let bad = with(hello("ada"), json!({ "priority": "enormous" }));
    keyed(&server.admin(), "/v1/notifications", "k", &bad).await.problem(422, "validation_failed");
    let again = keyed(&server.admin(), "/v1/notifications", "k", &bad).await;
    assert!(replayed(&again));
    again.problem(422, "validation_failed");
    keyed(&server.admin(), "/v1/notifications", "k", &hello("ada"))
        .await
        .problem(422, "idempotency_mismatch");
}
