//! Claims about inbound hooks: who may send, what it becomes, and what is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::{Client, Server};

async fn hook(admin: &Client, name: &str, preset: &str, more: Value) -> Value {
    let body =
        crate::support::client::with(json!({ "name": name, "preset": preset, "user_id": "ada" }), more);
    admin.post("/v1/hooks", &body).await.is(201)
}

fn token(hook: &Value) -> &str {
    hook["token"].as_str().unwrap()
}

async fn inbox(admin: &Client) -> Vec<Value> {
    admin.all("/v1/users/ada/inbox").await
}

/// Sends to a hook without any key of ours.
async fn sends(server: &Server, hook: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let anyone = server.admin().anonymous();
    let mut request = anyone.request(Method::POST, &format!("/in/{hook}")).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    anyone.send(request).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

const FIRING: &str = include_str!("../../src/api/hooks/fixtures/alertmanager_firing.json");
const RESOLVED: &str = include_str!("../../src/api/hooks/fixtures/alertmanager_resolved.json");

#[tokio::test]
async fn each_alert_is_one_notification_however_often_it_is_sent() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = hook(&admin, "alerts", "alertmanager", json!({})).await;
    assert_eq!(made["path"], "/in/alerts");
    let bearer = format!("Bearer {}", token(&made));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let first = sends(&server, "alerts", &headers, FIRING).await.is(202);
    assert_eq!(
        (&first["accepted"], &first["duplicates"], &first["failed"]),
        (&json!(2), &json!(0), &json!(0))
    );
    let again = sends(&server, "alerts", &headers, FIRING).await.is(202);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2)));
    assert_eq!(again["results"][0]["notification_id"], first["results"][0]["notification_id"]);
    let over = sends(&server, made["id"].as_str().unwrap(), &headers, RESOLVED).await.is(202);
    assert_eq!(over["accepted"], 1);
    let titles: Vec<Value> = inbox(&admin).await.iter().map(|one| one["title"].clone()).collect();
    assert_eq!(titles, ["Resolved: Disk 95% full on db1", "Disk 85% full on db2", "Disk 95% full on db1"]);
    sends(&server, "alerts", &headers, "{\"alerts\":7}").await.problem(422, "validation_failed");
    sends(&server, "alerts", &headers, "{").await.problem(422, "validation_failed");
}

#[tokio::test]
async fn only_who_holds_the_token_or_a_key_for_the_hook_may_send() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = hook(&admin, "door", "raw", json!({})).await;
    let other = hook(&admin, "other", "raw", json!({})).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let basic = format!("Basic {}", STANDARD.encode(format!("belfry:{}", token(&made))));
    let key = admin.key(&["ingest:door"]).await;
    for good in [bearer(token(&made)), basic, bearer(&key)] {
        sends(&server, "door", &[("authorization", &good)], "open").await.is(202);
    }
    let publisher = admin.key(&["publish", "read"]).await;
    sends(&server, "door", &[], "open").await.problem(401, "unauthorized");
    sends(&server, "door", &[("authorization", &bearer(token(&other)))], "open")
        .await
        .problem(401, "unauthorized");
    sends(&server, "door", &[("authorization", &bearer(&publisher))], "open").await.problem(403, "forbidden");
    sends(&server, "other", &[("authorization", &bearer(&key))], "open").await.problem(403, "forbidden");
    sends(&server, "nowhere", &[], "open").await.problem(404, "not_found");
    admin.get("/in/door").await.problem(405, "method_not_allowed");
    let shown = admin.get("/v1/hooks").await.text;
    assert!(!shown.contains(token(&made)), "a token is shown once");
    admin.delete("/v1/hooks/door").await.is(204);
    sends(&server, "door", &[("authorization", &bearer(token(&made)))], "open")
        .await
        .problem(404, "not_found");
    assert_eq!(inbox(&admin).await.len(), 3);
}

#[tokio::test]
async fn what_github_signs_is_taken_once_and_a_flipped_bit_is_refused() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = hook(&admin, "ci", "github", json!({ "secret": "It's a Secret to Everybody" })).await;
    assert_eq!(made["secret"], "It's a Secret to Everybody");
    let body = r#"{"action":"completed","workflow_run":{"name":"tests","html_url":"https://github.example/r/1"},
        "repository":{"full_name":"o/r"},"sender":{"login":"octo"}}"#;
    let signature = format!("sha256={}", hex(&mac(b"It's a Secret to Everybody", body.as_bytes())));
    let headers = |signature| {
        [("x-hub-signature-256", signature), ("x-github-event", "workflow_run"), ("x-github-delivery", "d-1")]
    };
    sends(&server, "ci", &headers(&signature), body).await.is(202);
    let again = sends(&server, "ci", &headers(&signature), body).await.is(202);
    assert_eq!(again["duplicates"], 1);
    let last = if signature.ends_with('0') { '1' } else { '0' };
    let flipped = format!("{}{last}", &signature[..signature.len() - 1]);
    let refused = sends(&server, "ci", &headers(&flipped), body).await.problem(401, "unauthorized");
    assert!(refused["detail"].as_str().unwrap().contains("does not fit"), "{refused}");
    let unsigned = [("x-github-event", "push")];
    sends(&server, "ci", &unsigned, body).await.problem(401, "unauthorized");
    let entries = inbox(&admin).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["title"], "o/r: workflow run completed");
    let ping = r#"{"zen":"Speak like a human."}"#;
    let signature = format!("sha256={}", hex(&mac(b"It's a Secret to Everybody", ping.as_bytes())));
    let ping_headers = [("x-hub-signature-256", signature.as_str()), ("x-github-event", "ping")];
    assert_eq!(sends(&server, "ci", &ping_headers, ping).await.is(202)["accepted"], 0);
}

#[tokio::test]
async fn a_standard_webhook_is_taken_once_and_a_replay_a_stale_and_a_future_one_are_refused() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = hook(&admin, "std", "standard-webhooks", json!({})).await;
    let secret = made["secret"].as_str().unwrap();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a sender signs with the present second")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let body = r#"{"type":"invoice.paid","timestamp":"2026-11-23T08:00:00Z","data":{"title":"Paid","message":"Thanks"}}"#;
    let send = |id: &'static str, second: u64| {
        let signature =
            format!("v1,{}", STANDARD.encode(mac(&key, format!("{id}.{second}.{body}").as_bytes())));
        let server = &server;
        async move {
            let second = second.to_string();
            let headers = [
                ("webhook-id", id),
                ("webhook-timestamp", second.as_str()),
                ("webhook-signature", signature.as_str()),
                ("content-type", "application/json"),
            ];
            sends(server, "std", &headers, body).await
        }
    };
    let first = send("msg_1", now).await.is(202);
    let replayed = send("msg_1", now).await.problem(409, "conflict");
    assert!(replayed["detail"].as_str().unwrap().contains("received before"), "{replayed}");
    let retried = send("msg_1", now + 1).await.is(202);
    assert_eq!((&retried["accepted"], &retried["duplicates"]), (&json!(0), &json!(1)));
    assert_eq!(retried["results"][0]["notification_id"], first["results"][0]["notification_id"]);
    let stale = send("msg_2", now - 400).await.problem(401, "unauthorized");
    assert!(stale["detail"].as_str().unwrap().contains("five minutes ago"), "{stale}");
    let early = send("msg_3", now + 400).await.problem(401, "unauthorized");
    assert!(early["detail"].as_str().unwrap().contains("future"), "{early}");
    assert_eq!(inbox(&admin).await.len(), 1);
}

#[tokio::test]
async fn a_cloud_event_is_one_in_every_mode_and_the_handshake_is_answered() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = hook(&admin, "events", "cloudevents", json!({})).await;
    let bearer = format!("Bearer {}", token(&made));
    let auth = ("authorization", bearer.as_str());
    let binary = [
        auth,
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/ci/42"),
        ("ce-type", "com.example.failed"),
        ("content-type", "application/json"),
    ];
    let taken = sends(&server, "events", &binary, r#"{"text":"grüße ✓"}"#).await.is(202);
    assert_eq!(taken["accepted"], 1);
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/ci/42", "type": "com.example.failed" });
    let structured = [auth, ("content-type", "application/cloudevents+json; charset=utf-8")];
    let same = sends(&server, "events", &structured, &event("1").to_string()).await.is(202);
    assert_eq!((&same["accepted"], &same["duplicates"]), (&json!(0), &json!(1)));
    let batch = [auth, ("content-type", "application/cloudevents-batch+json")];
    let many = json!([event("1"), event("2"), event("2")]).to_string();
    let many = sends(&server, "events", &batch, &many).await.is(202);
    assert_eq!((&many["accepted"], &many["duplicates"]), (&json!(1), &json!(2)));
    let lacking = sends(&server, "events", &structured, "{\"specversion\":\"0.3\"}").await;
    assert_eq!(lacking.fields(), ["id", "source", "specversion", "type"]);
    let anyone = admin.anonymous();
    let asked = anyone
        .request(Method::OPTIONS, "/in/events")
        .header("webhook-request-origin", "eventemitter.example.com");
    let allowed = anyone.send(asked).await;
    assert!(matches!(allowed.status, 200 | 204), "{}", allowed.status);
    assert_eq!(allowed.header("webhook-allowed-origin"), "eventemitter.example.com");
    assert!(allowed.header("allow").contains("POST"));
    assert!(!allowed.header("webhook-allowed-rate").is_empty());
}

#[tokio::test]
async fn a_mapping_says_what_a_payload_becomes_and_a_test_shows_it_and_sends_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    let mapping = json!({
        "title": "{{sensor.name}} is {{state}}",
        "message": "{{#each readings}}{{this}} {{/each}}",
        "priority": "{{#if urgent}}critical{{else}}low{{/if}}",
        "user_id": "{{owner}}",
        "action": { "label": "Look", "url": "https://sensors.example/{{sensor.id}}" },
        "id": "{{sensor.id}}-{{state}}",
    });
    let new = json!({ "name": "sensors", "preset": "raw", "mapping": mapping });
    let made = admin.post("/v1/hooks", &new).await.is(201);
    let payload = json!({ "sensor": { "name": "Door", "id": 7 }, "state": "open", "readings": [1, 2],
        "urgent": true, "owner": "ada" });
    let shown = admin.post("/v1/hooks/sensors/test", &payload).await.is(200);
    let wrapped =
        admin.post("/v1/hooks/sensors/test", &json!({ "payload": payload, "headers": {} })).await.is(200);
    assert_eq!((&shown["success"], &shown), (&json!(true), &wrapped));
    let one = &shown["notifications"][0]["notification"];
    assert_eq!(
        (&one["title"], &one["message"], &one["priority"], &one["user_id"]),
        (&json!("Door is open"), &json!("1 2"), &json!("critical"), &json!("ada"))
    );
    assert_eq!(one["action"], json!({ "label": "Look", "url": "https://sensors.example/7" }));
    assert!(admin.get("/v1/notifications").await.is(200)["data"].as_array().unwrap().is_empty());
    let sender = server.with(token(&made));
    sender.post("/in/sensors", &payload).await.is(202);
    assert_eq!(sender.post("/in/sensors", &payload).await.is(202)["duplicates"], 1);
    assert_eq!(inbox(&admin).await[0]["title"], "Door is open");
    let nobody = admin.post("/v1/hooks/sensors/test", &json!({ "state": "open" })).await.is(200);
    assert_eq!(nobody["success"], false, "{nobody}");
    sender.post("/in/sensors", &json!({ "state": "open" })).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn a_hook_notifies_the_members_of_a_topic() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.put("/v1/topics/oncall", &json!({})).await;
    let members = json!({ "user_ids": ["ada", "bob"] });
    let added = admin.put("/v1/topics/oncall/members", &members).await;
    assert!(added.status < 300, "{}", added.text);
    let made =
        admin.post("/v1/hooks", &json!({ "name": "a", "preset": "alertmanager", "topic": "oncall" })).await;
    let sender = server.with(token(&made.is(201)));
    let firing: Value = serde_json::from_str(FIRING).unwrap();
    sender.post("/in/a", &firing).await.is(202);
    assert_eq!(sender.post("/in/a", &firing).await.is(202)["duplicates"], 2);
    for user in ["ada", "bob"] {
        crate::support::until(&format!("two alerts for {user}"), || async {
            (admin.all(&format!("/v1/users/{user}/inbox")).await.len() == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_hook_that_cannot_be_is_refused_with_every_reason() {
    let server = Server::start().await;
    let admin = server.admin();
    let post = |body: Value| {
        let admin = admin.clone();
        async move { admin.post("/v1/hooks", &body).await }
    };
    assert_eq!(post(json!({})).await.fields(), ["name", "preset", "user_id"]);
    let wrong = json!({ "name": "a/b", "preset": "odd", "user_id": "ada", "topic": "t", "more": 1 });
    assert_eq!(post(wrong).await.fields(), ["more", "name", "preset", "topic"]);
    let templates =
        json!({ "title": "{{#if}", "message": "{{> x}}", "colour": "red", "action": { "url": 7 } });
    let mapped = json!({ "name": "a", "preset": "raw", "user_id": "ada", "mapping": templates });
    assert_eq!(post(mapped).await.fields(), ["mapping.action.url", "mapping.colour"]);
    let templates = json!({ "title": "{{#if}", "message": "{{> x}}" });
    let mapped = json!({ "name": "a", "preset": "raw", "user_id": "ada", "mapping": templates });
    assert_eq!(post(mapped).await.fields(), ["mapping.message", "mapping.title"]);
    let short =
        json!({ "name": "a", "preset": "standard-webhooks", "user_id": "ada", "secret": "whsec_AAAA" });
    assert_eq!(post(short).await.fields(), ["secret"]);
    hook(&admin, "a", "raw", json!({})).await;
    post(json!({ "name": "a", "preset": "raw", "user_id": "ada" })).await.problem(409, "conflict");
    let reader = server.with(&admin.key(&["read", "publish"]).await);
    reader.get("/v1/hooks").await.problem(403, "forbidden");
    admin.get("/v1/hooks/nothing").await.problem(404, "not_found");
}
