//! Claims about the export of a person: all of it, theirs alone, and in one document.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::client::{Client, hello, ids, with};
use crate::support::server::{ADMIN_KEY, binary};

#[tokio::test]
async fn everything_that_is_stored_of_a_person_is_in_one_document_and_nothing_of_others() {
    let server = Server::start().await;
    let admin = server.admin();
    for user in ["ada", "bob"] {
        admin.person(user).await;
    }
    let later = with(hello("ada"), json!({ "id": "n-2", "send_at": "2100-01-01T00:00:00Z" }));
    for body in
        [with(hello("ada"), json!({ "id": "n-1" })), later, with(hello("bob"), json!({ "id": "of-bob" }))]
    {
        admin.notify(&body).await;
    }
    admin.comes_to("n-1", "email", "sent").await;
    admin.post("/v1/users/ada/inbox/mark", &json!({ "ids": ["n-1"], "as": "read" })).await.is(200);
    admin.patch("/v1/users/ada/preferences", &json!({ "channels": { "sms": true } })).await.is(200);
    admin.put("/v1/topics/ops", &json!({})).await.is(201);
    admin.put("/v1/topics/ops/members", &json!({ "user_ids": ["ada"] })).await;

    let ada = Client::new(server.url(), &admin.mint("ada", &json!({})).await);
    let all = ada.get("/v1/users/me/export").await.is(200);
    assert_eq!((&all["user"]["id"], &all["user"]["email"]), (&json!("ada"), &json!("ada@example.org")));
    assert_eq!(all["preferences"]["channels"]["sms"], true);
    assert_eq!(all["preferences_history"].as_array().unwrap().len(), 1);
    assert_eq!(all["push_subscriptions"], json!([]));
    assert_eq!(all["topics"].as_array().unwrap().len(), 1);
    let notifications = all["notifications"].as_array().unwrap();
    assert_eq!(ids(notifications), ["n-2", "n-1"]);
    assert_eq!((&notifications[1]["read"], &notifications[0]["status"]), (&json!(true), &json!("deferred")));
    let email = |channels: &Value| {
        channels.as_array().unwrap().iter().any(|c| c["channel"] == "email" && c["status"] == "sent")
    };
    assert!(email(&notifications[1]["channel_statuses"]), "{notifications:?}");
    assert!(all["next_cursor"].is_null() && !all.to_string().contains("bob"), "{all}");
    ada.get("/v1/users/bob/export").await.problem(403, "forbidden");
    admin.get("/v1/users/nobody/export").await.problem(404, "not_found");
    assert_eq!(admin.get("/v1/users/ada/export?cursor=x").await.fields(), ["cursor"]);
    let older = admin.get("/v1/users/ada/export?cursor=2").await.is(200);
    assert_eq!(ids(older["notifications"].as_array().unwrap()), ["n-1"]);

    let mut command = Command::new(binary());
    command.args(["user", "export", "ada"]).env("BELFRY_URL", server.url()).env("BELFRY_KEY", ADMIN_KEY);
    let output = command.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(said["notifications"].as_array().unwrap()), ["n-2", "n-1"]);
}
