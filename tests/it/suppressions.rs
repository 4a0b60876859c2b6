//! Claims about addresses that nothing is sent to: how they come onto the list, what it does, and how they leave it.

use serde_json::{Value, json};

use crate::support::client::hello;
use crate::support::{MailServer, Server};

#[tokio::test]
async fn an_address_on_the_list_gets_no_mail_until_it_is_off_again() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let put = json!({ "channel": "email", "address": "ADA@example.org", "reason": "asked on the phone" });
    let made = admin.post("/v1/suppressions", &put).await.is(201);
    assert_eq!((&made["address"], &made["source"]), (&json!("ada@example.org"), &json!("api")));
    assert_eq!(admin.post("/v1/suppressions", &put).await.is(200), made);
    let result = admin.notify(&hello("ada")).await;
    let skipped = result["channels_skipped"].as_array().unwrap();
    assert!(skipped.contains(&json!({ "channel": "email", "reason": "suppressed" })), "{result}");
    let story = admin.story(result["notification_id"].as_str().unwrap(), "email").await;
    assert!(story[0]["detail"].as_str().unwrap().contains("asked on the phone"), "{story:?}");
    assert_eq!(admin.all("/v1/suppressions?channel=email").await, std::slice::from_ref(&made));
    assert_eq!(admin.all("/v1/suppressions?channel=sms").await, Vec::<Value>::new());
    admin.delete("/v1/suppressions/email:Ada@example.org").await.is(204);
    admin
        .delete(&format!("/v1/suppressions/{}", made["id"].as_str().unwrap()))
        .await
        .problem(404, "not_found");
    let result = admin.notify(&hello("ada")).await;
    admin.comes_to(result["notification_id"].as_str().unwrap(), "email", "sent").await;
}

#[tokio::test]
async fn an_address_that_is_suppressed_while_a_mail_waits_is_skipped_at_release() {
    let mail = MailServer::start();
    let schedule = format!("[{}]", vec!["\"300ms\""; 30].join(","));
    let server = Server::start_with(&mail.settings(&mail.port(), &schedule)).await;
    let admin = server.admin();
    admin.person("busy").await;
    let result = admin.notify(&hello("busy")).await;
    admin.comes_to(result["notification_id"].as_str().unwrap(), "email", "retrying").await;
    let put = json!({ "channel": "email", "address": "busy@example.org" });
    admin.post("/v1/suppressions", &put).await.is(201);
    let standing = admin.comes_to(result["notification_id"].as_str().unwrap(), "email", "skipped").await;
    assert_eq!(standing["reason"], "suppressed", "{standing}");
    assert!(mail.mails().is_empty());
}

#[tokio::test]
async fn a_recipient_that_the_mail_server_does_not_know_is_suppressed_in_its_words_and_one_it_dislikes_is_not()
 {
    let mail = MailServer::start();
    let server = Server::start_with(&mail.settings(&mail.port(), "[\"1h\"]")).await;
    let admin = server.admin();
    for name in ["nobody", "rude", "refused"] {
        admin.person(name).await;
        let result = admin.notify(&hello(name)).await;
        let standing = admin.comes_to(result["notification_id"].as_str().unwrap(), "email", "failed").await;
        assert_eq!(standing["reason"], "provider_rejected", "{standing}");
    }
    let all = admin.all("/v1/suppressions").await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["address"], "nobody@example.org");
    assert_eq!(all[0]["source"], "provider");
    assert_eq!(all[0]["reason"], "550 5.1.1 Nobody of that name lives here");
    let again = admin.notify(&hello("nobody")).await;
    assert!(again["channels_skipped"].to_string().contains("suppressed"), "{again}");
}

#[tokio::test]
async fn who_is_erased_leaves_no_suppressed_address_behind() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    admin
        .post("/v1/suppressions", &json!({ "channel": "email", "address": "ada@example.org" }))
        .await
        .is(201);
    admin.delete("/v1/users/ada").await.is(204);
    assert_eq!(admin.all("/v1/suppressions").await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_no_address_is_refused_by_name_and_the_list_needs_rights() {
    let server = Server::start().await;
    let admin = server.admin();
    for (body, wrong) in [
        (json!({}), vec!["address", "channel"]),
        (json!({ "channel": "in_app", "address": "x" }), vec!["channel"]),
        (json!({ "channel": "email", "address": "a@b\r\nBcc: c@d" }), vec!["address"]),
        (json!({ "channel": "sms", "address": "ada@example.org" }), vec!["address"]),
        (
            json!({ "channel": "email", "address": 7, "reason": "a\nb", "since": 1 }),
            vec!["address", "reason", "since"],
        ),
    ] {
        assert_eq!(admin.post("/v1/suppressions", &body).await.fields(), wrong, "{body}");
    }
    let reader = server.with(&admin.key(&["read"]).await);
    reader.get("/v1/suppressions").await.is(200);
    reader.post("/v1/suppressions", &json!({})).await.problem(403, "forbidden");
    reader.delete("/v1/suppressions/email:a@b.org").await.problem(403, "forbidden");
    let ada = server.with(&admin.mint("ada", &json!({})).await);
    ada.get("/v1/suppressions").await.problem(403, "forbidden");
}
