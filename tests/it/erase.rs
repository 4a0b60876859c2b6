//! Claims about forgetting a person: after `DELETE /v1/users/{id}` nothing that the server gives out names them.

use serde_json::{Value, json};

use crate::support::client::{Client, hello, ids, with};
use crate::support::{Receiver, Server};

const PHONE: &str = "+4915112345678";

/// Every list of the API, and what hangs on its items, as one text.
async fn everything(admin: &Client) -> String {
    let mut all = String::new();
    for path in [
        "users",
        "notifications",
        "schedules",
        "hooks",
        "endpoints",
        "topics",
        "batches",
        "suppressions",
        "captured",
        "templates",
        "categories",
        "keys",
        "connections",
        "channels",
    ] {
        let items = admin.all(&format!("/v1/{path}")).await;
        all.push_str(&json!({ path: items }).to_string());
        let below: &[&str] = match path {
            "topics" => &["members"],
            "endpoints" => &["attempts"],
            _ => &[],
        };
        for (item, below) in items.iter().flat_map(|item| below.iter().map(move |below| (item, below))) {
            let id = item["id"].as_str().or(item["name"].as_str()).unwrap();
            let inner = admin.all(&format!("/v1/{path}/{id}/{below}")).await;
            all.push_str(&json!({ format!("{path}.{below}"): inner }).to_string());
        }
    }
    all
}

/// A person in everything that can name one.
async fn enrol(admin: &Client, user: &str, others: &Receiver) {
    let known =
        json!({ "email": format!("{user}@example.org"), "phone": PHONE, "timezone": "Europe/Berlin" });
    admin.put(&format!("/v1/users/{user}"), &known).await.is(201);
    admin.put("/v1/topics/ops/members", &json!({ "user_ids": [user] })).await.is(200);
    let daily = |to: Value| json!({ "cron": "0 9 * * *", "notification": with(json!({ "type": "t", "title": "T", "message": "M" }), to) });
    admin.post("/v1/schedules", &daily(json!({ "user_id": user }))).await.is(201);
    admin.post("/v1/schedules", &daily(json!({ "to": [user, "bob"] }))).await.is(201);
    for (name, mapping) in
        [("own", json!({ "title": "{{a}}" })), ("shared", json!({ "title": "{{a}}", "topic": "{{t}}" }))]
    {
        let hook = json!({ "name": name, "preset": "raw", "user_id": user, "mapping": mapping });
        admin.post("/v1/hooks", &hook).await.is(201);
    }
    let mapped =
        json!({ "name": "mapped", "preset": "raw", "mapping": { "title": "{{a}}", "user_id": user } });
    admin.post("/v1/hooks", &mapped).await.is(201);
    let own = json!({ "url": others.url("/own"), "user_id": user, "events": ["notification.accepted"] });
    admin.post("/v1/endpoints", &own).await.is(201);
    let suppression = json!({ "channel": "sms", "address": PHONE, "reason": "wrong number" });
    admin.post("/v1/suppressions", &suppression).await.is(201);
    let event =
        json!({ "type": "workflow_update", "workflow_id": "import-7", "user_id": user, "progress": 0.5 });
    admin.post("/v1/workflow-events", &event).await;
    let sent =
        with(hello(user), json!({ "id": format!("of-{user}"), "dedupe_key": "d", "collapse_key": "c" }));
    admin.notify(&sent).await;
    admin.comes_to(&format!("of-{user}"), "email", "sent").await;
    let night = json!({ "channels": { "email": true }, "quiet_hours": { "enabled": true, "start": "00:00", "end": "23:59" } });
    admin.patch(&format!("/v1/users/{user}/preferences"), &night).await.is(200);
    for held in ["held", "later"] {
        let mut one = with(hello(user), json!({ "id": format!("{held}-{user}"), "digest_key": "d" }));
        if held == "later" {
            one["send_at"] = json!("2100-01-01T00:00:00Z");
        }
        admin.notify(&one).await;
    }
    let batch = json!({ "notifications": [hello(user), { "user_id": user }] });
    admin.post("/v1/notifications/batch", &batch).await;
    let keyed = admin.request(http::Method::POST, "/v1/notifications").header("idempotency-key", "k-1");
    admin.send(keyed.json(&hello(user))).await.is(202);
}

#[tokio::test]
async fn nothing_that_the_server_gives_out_names_somebody_who_was_erased() {
    let receiver = Receiver::start().await;
    let server = Server::start_with(&[("OUTBOUND__ALLOW_CIDRS", "[\"127.0.0.0/8\"]")]).await;
    let admin = server.admin();
    let all = json!({ "url": receiver.url("/all"), "events": ["*"] });
    admin.post("/v1/endpoints", &all).await.is(201);
    admin.person("bob").await;
    enrol(&admin, "ada-l", &receiver).await;
    let export = admin.get("/v1/users/ada-l/export").await.is(200);
    for (what, count) in [
        ("schedules", 2),
        ("hooks", 3),
        ("endpoints", 1),
        ("suppressions", 1),
        ("captured", 1),
        ("topics", 1),
        ("workflows", 1),
        ("notifications", 5),
    ] {
        assert_eq!(export[what].as_array().unwrap().len(), count, "{what}: {export}");
    }
    assert!(!export.to_string().contains("bob"), "nobody else is in it");
    let before = everything(&admin).await;
    assert!(before.contains("ada-l@example.org") && before.contains(PHONE), "the list is no list of nothing");

    admin.delete("/v1/users/ada-l").await.is(204);
    let mut server = server;
    for round in 0..2 {
        let admin = server.admin();
        let after = everything(&admin).await;
        assert!(!after.contains("ada-l") && !after.contains(PHONE), "{round}: {after}");
        assert_eq!(admin.all("/v1/schedules").await[0]["notification"]["to"], json!(["bob"]));
        let hooks = admin.all("/v1/hooks").await;
        assert_eq!((hooks.len(), &hooks[0]["name"]), (1, &json!("shared")));
        assert_eq!(ids(&admin.all("/v1/users").await), ["bob"]);
        // A copy has every record of the store, those included that no list shows.
        let copy = admin.request(http::Method::POST, "/v1/backups").send().await.unwrap();
        let copy = String::from_utf8_lossy(&copy.bytes().await.unwrap()).into_owned();
        assert!(
            copy.contains("bob@example.org") && !copy.contains("ada-l") && !copy.contains(PHONE),
            "{round}"
        );
        if round == 0 {
            server.restart().await;
        }
    }
    server.admin().delete("/v1/users/ada-l").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_send_that_is_under_way_does_not_bring_somebody_back_who_was_erased() {
    let server = Server::start().await;
    let admin = server.admin();
    let mut to: Vec<String> = (0..5_000).map(|number| format!("u{number:04}")).collect();
    to.push("zoe".to_owned());
    admin.person("zoe").await;
    let sent = json!({ "to": to, "type": "t", "title": "T", "message": "M" });
    let answer = admin.post("/v1/notifications", &sent).await.is(202);
    admin.delete("/v1/users/zoe").await.is(204);
    let batch = answer["batch_id"].as_str().unwrap();
    crate::support::until("the send to end", || async {
        let batch = admin.get(&format!("/v1/batches/{batch}")).await.is(200);
        (batch["status"] == "completed" || batch["state"] == "completed").then_some(())
    })
    .await;
    admin.get("/v1/users/zoe").await.problem(404, "not_found");
}
