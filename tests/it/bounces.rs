//! Claims about mails that come back: as Postfix writes them, handed in at `/in/bounce`.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, hello, with};
use crate::support::mail::header;
use crate::support::{Client, MailServer, Server};

const BOUNCED: &str = include_str!("../support/bounced.eml");
const DELAYED: &str = include_str!("../support/delayed.eml");

fn filled(mail: &str, address: &str, message_id: &str) -> String {
    mail.replace("ADDRESS", address).replace("MESSAGE_ID", message_id)
}

async fn hand_in(client: &Client, mail: &str) -> Answer {
    client.send(client.request(Method::POST, "/in/bounce").body(mail.to_owned())).await
}

fn outcomes(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

/// Sends `ada` a mail; its notification and its `Message-ID`.
async fn mailed(mail: &MailServer, admin: &Client) -> (String, String) {
    admin.person("ada").await;
    let result = admin.notify(&hello("ada")).await;
    let id = result["notification_id"].as_str().unwrap().to_owned();
    admin.comes_to(&id, "email", "sent").await;
    (id, header(&mail.mails()[0], "Message-ID").to_owned())
}

#[tokio::test]
async fn a_mail_that_comes_back_for_good_has_failed_and_its_address_gets_no_more() {
    let mail = MailServer::start();
    let server = Server::start_with(&mail.settings(&mail.port(), "[\"1h\"]")).await;
    let admin = server.admin();
    let (id, message_id) = mailed(&mail, &admin).await;
    let pipe = server.with(&admin.key(&["ingest:bounce"]).await);
    let bounced = filled(BOUNCED, "ADA@example.org", &message_id);
    let answer = hand_in(&pipe, &bounced).await.is(202);
    assert_eq!((&answer["notification_id"], outcomes(&answer)), (&json!(id), vec!["suppressed"]));
    let standing = admin.standing(&id, "email").await;
    assert_eq!((&standing["status"], &standing["reason"]), (&json!("failed"), &json!("provider_rejected")));
    let words = "550 5.1.1 <ADA@example.org>: Recipient address rejected: Nobody of that name lives here";
    assert_eq!(standing["last_error"], format!("the mail came back: {words}"));
    let all = admin.all("/v1/suppressions").await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((&all[0]["address"], &all[0]["source"]), (&json!("ada@example.org"), &json!("bounce")));
    assert_eq!(all[0]["reason"], words);
    let history = admin.all("/v1/users/ada/preferences/history").await;
    assert!(history[0].to_string().contains("\"bounce\""), "{history:?}");
    let next = admin.notify(&hello("ada")).await;
    assert!(next["channels_skipped"].to_string().contains("suppressed"), "{next}");

    let again = hand_in(&pipe, &bounced).await.is(202);
    assert_eq!(outcomes(&again), ["duplicate"]);
    let events: Vec<Value> = admin.story(&id, "email").await.iter().map(|one| one["event"].clone()).collect();
    assert_eq!(events, ["pending", "sent", "failed"]);
    assert_eq!(admin.all("/v1/users/ada/preferences/history").await.len(), history.len());
}

#[tokio::test]
async fn a_delay_is_told_and_changes_nothing_and_what_failed_for_another_reason_suppresses_nobody() {
    let mail = MailServer::start();
    let server = Server::start_with(&mail.settings(&mail.port(), "[\"1h\"]")).await;
    let admin = server.admin();
    let (id, message_id) = mailed(&mail, &admin).await;
    let before = admin.standing(&id, "email").await;
    let delayed = filled(DELAYED, "ada@example.org", &message_id);
    assert_eq!(outcomes(&hand_in(&admin, &delayed).await.is(202)), ["noted"]);
    assert_eq!(outcomes(&hand_in(&admin, &delayed).await.is(202)), ["duplicate"]);
    assert_eq!(admin.standing(&id, "email").await, before);
    let story = admin.story(&id, "email").await;
    assert!(story[2]["detail"].as_str().unwrap().contains("Connection refused"), "{story:?}");
    let full = filled(BOUNCED, "ada@example.org", &message_id).replace("5.1.1", "5.2.2");
    assert_eq!(outcomes(&hand_in(&admin, &full).await.is(202)), ["failed"]);
    assert_eq!(admin.standing(&id, "email").await["status"], "failed");
    assert_eq!(admin.all("/v1/suppressions").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_stranger_suppresses_nobody() {
    let mail = MailServer::start();
    let server = Server::start_with(&mail.settings(&mail.port(), "[\"1h\"]")).await;
    let admin = server.admin();
    let (id, message_id) = mailed(&mail, &admin).await;
    admin.person("bob").await;
    let of_ada = filled(BOUNCED, "ada@example.org", &message_id);
    hand_in(&admin.anonymous(), &of_ada).await.problem(401, "unauthorized");
    for scopes in [&["publish", "read"][..], &["ingest:other"]] {
        let other = server.with(&admin.key(scopes).await);
        hand_in(&other, &of_ada).await.problem(403, "forbidden");
    }
    // Who has one of our mails can name it, and cannot turn it against somebody else.
    for (address, named) in [
        ("bob@example.org", message_id.as_str()),
        ("ada@example.org", "<01a210aa-1db6-76d3-8411-e74cac127b4e.email@belfry.test>"),
        ("ada@example.org", "<somebody@example.org>"),
    ] {
        let answer = hand_in(&admin, &filled(BOUNCED, address, named)).await.is(202);
        assert_eq!(
            (&answer["notification_id"], outcomes(&answer)),
            (&Value::Null, vec!["unknown"]),
            "{named}"
        );
    }
    let quiet = admin.notify(&with(hello("ada"), json!({ "channels": ["in_app"] }))).await;
    let named = format!("<{}.email@belfry.test>", quiet["notification_id"].as_str().unwrap());
    let answer = hand_in(&admin, &filled(BOUNCED, "ada@example.org", &named)).await.is(202);
    assert_eq!(outcomes(&answer), ["unknown"], "nothing of it was mailed");
    assert_eq!(admin.standing(&id, "email").await["status"], "sent");
    assert_eq!(admin.all("/v1/suppressions").await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_no_report_is_refused_with_what_is_wrong_and_no_hook_takes_its_place() {
    let server = Server::start().await;
    let admin = server.admin();
    hand_in(&admin, "").await.problem(400, "bad_request");
    let answer = hand_in(&admin, "Subject: On holiday\r\n\r\nUntil Monday.").await;
    assert_eq!(answer.fields(), ["message/delivery-status"]);
    let report = filled(BOUNCED, "ada@example.org", "<x@y>");
    assert_eq!(hand_in(&admin, &report.replace("Status: 5.1.1", "Status: bad")).await.fields(), ["Status"]);
    let large = format!("{report}{}", "x".repeat(4 << 20));
    hand_in(&admin, &large).await.problem(413, "payload_too_large");
    let hook = json!({ "name": "bounce", "preset": "raw", "user_id": "ada" });
    assert_eq!(admin.post("/v1/hooks", &hook).await.fields(), ["name"]);
    admin.get("/in/bounce").await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_digest_that_comes_back_suppresses_its_address_as_well() {
    let mail = MailServer::start();
    let server = Server::start_with(&mail.settings(&mail.port(), "[\"1h\"]")).await;
    let admin = server.admin();
    admin.person("ada").await;
    let category = json!({ "digest": { "mode": "fixed", "window_seconds": 2 } });
    let put = admin.put("/v1/categories/news", &category).await;
    assert!(put.status < 300, "{put:?}");
    let mut ids = Vec::new();
    for title in ["one", "two", "three"] {
        let note = with(hello("ada"), json!({ "title": title, "category": "news" }));
        ids.push(admin.notify(&note).await["notification_id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        admin.comes_to(id, "email", "sent").await;
    }
    assert_eq!(mail.mails().len(), 1);
    let message_id = header(&mail.mails()[0], "Message-ID").to_owned();
    let answer = hand_in(&admin, &filled(BOUNCED, "ada@example.org", &message_id)).await.is(202);
    assert_eq!(outcomes(&answer), ["suppressed"]);
    assert_eq!(answer["notification_id"], ids[0]);
}
