//! Claims about the links in mails: what they carry, what a look at them does, and what a click does.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::mail::header;
use crate::support::{Answer, Client, MailServer, Server};

/// A server whose mails carry links, and the path that the newest one's leads to.
async fn linked(mail: &MailServer) -> (Server, String) {
    let port = mail.port();
    let mut settings = mail.settings(&port, "[\"1h\"]");
    settings.push(("SERVER__BASE_URL", "https://notify.example.org/n"));
    let server = Server::start_with(&settings).await;
    server.admin().person("ada").await;
    let sent = notify(&server.admin(), "workflow").await;
    server.admin().comes_to(sent["notification_id"].as_str().unwrap(), "email", "sent").await;
    let link = header(&mail.mails()[0], "List-Unsubscribe").to_owned();
    let link = link.strip_prefix("<https://notify.example.org/n").unwrap().strip_suffix('>').unwrap();
    (server, link.to_owned())
}

async fn notify(admin: &Client, category: &str) -> Value {
    admin.notify(&with(hello("ada"), json!({ "category": category }))).await
}

async fn form(admin: &Client, link: &str, body: &str) -> Answer {
    let request = admin.anonymous().request(Method::POST, link);
    let kind = "application/x-www-form-urlencoded";
    admin.send(request.header("content-type", kind).body(body.to_owned())).await
}

fn skips(result: &Value, reason: &str) -> bool {
    let skipped = result["channels_skipped"].as_array().unwrap();
    skipped.contains(&json!({ "channel": "email", "reason": reason }))
}

#[tokio::test]
async fn a_mail_can_be_unsubscribed_from_with_one_click_for_its_category_and_channel() {
    let mail = MailServer::start();
    let (server, link) = linked(&mail).await;
    let admin = server.admin();
    let mails = mail.mails();
    assert_eq!(header(&mails[0], "List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    assert_eq!(header(&mails[0], "Auto-Submitted"), "auto-generated");
    for _ in 0..2 {
        let page = admin.send(admin.anonymous().request(Method::GET, &link)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(page.text.contains("Unsubscribe from workflow?"), "{}", page.text);
    }
    assert!(!skips(&notify(&admin, "workflow").await, "unsubscribed"), "looking changes nothing");
    let done = form(&admin, &link, "List-Unsubscribe=One-Click").await;
    assert!(done.status == 200 && done.text.contains("You are unsubscribed"), "{}", done.text);
    let next = notify(&admin, "workflow").await;
    assert!(skips(&next, "unsubscribed"), "{next}");
    assert_eq!(next["channels_sent"], json!(["in_app"]));
    let other = notify(&admin, "system").await;
    admin.comes_to(other["notification_id"].as_str().unwrap(), "email", "sent").await;
    let history = admin.get("/v1/users/ada/preferences/history").await.is(200);
    assert_eq!(history["data"][0]["changed_by"], "one_click", "{history}");
}

#[tokio::test]
async fn the_page_saves_what_its_form_says_and_nothing_that_it_did_not_show() {
    let mail = MailServer::start();
    let (server, link) = linked(&mail).await;
    let admin = server.admin();
    let saved = form(&admin, &link, "save=1&shown=workflow&shown=marketing&on=marketing").await;
    assert!(saved.status == 200 && saved.text.contains("Your choice is saved"), "{}", saved.text);
    assert!(skips(&notify(&admin, "workflow").await, "unsubscribed"));
    for category in ["marketing", "system"] {
        let on = notify(&admin, category).await;
        admin.comes_to(on["notification_id"].as_str().unwrap(), "email", "sent").await;
    }
    form(&admin, &link, "save=1&shown=workflow&on=workflow").await;
    let back = notify(&admin, "workflow").await;
    admin.comes_to(back["notification_id"].as_str().unwrap(), "email", "sent").await;
    let history = admin.get("/v1/users/ada/preferences/history").await.is(200);
    assert_eq!(history["data"][0]["changed_by"], "page", "{history}");
}

#[tokio::test]
async fn a_required_category_has_no_link_and_is_not_left_by_an_old_one() {
    let mail = MailServer::start();
    let (server, link) = linked(&mail).await;
    let admin = server.admin();
    admin.put("/v1/categories/workflow", &json!({ "required": true })).await.is(201);
    let refused = form(&admin, &link, "List-Unsubscribe=One-Click").await;
    assert!(refused.status == 409 && refused.text.contains("cannot be switched off"), "{}", refused.text);
    let sent = notify(&admin, "workflow").await;
    admin.comes_to(sent["notification_id"].as_str().unwrap(), "email", "sent").await;
    let source = mail.mails().last().unwrap()["source"].as_str().unwrap().to_owned();
    assert!(!source.contains("List-Unsubscribe") && !source.contains("/u/"), "{source}");
}

#[tokio::test]
async fn a_link_that_was_tampered_with_does_nothing_and_the_page_is_locked_down() {
    let mail = MailServer::start();
    let (server, link) = linked(&mail).await;
    let admin = server.admin();
    for broken in ["/u/x".to_owned(), format!("{link}A"), link.replace("/u/", "/u/A"), link[..40].to_owned()]
    {
        assert_eq!(admin.get(&broken).await.status, 404, "{broken}");
        assert_eq!(form(&admin, &broken, "List-Unsubscribe=One-Click").await.status, 404, "{broken}");
    }
    form(&admin, &link, "something=else").await.problem(400, "bad_request");
    form(&admin, &link, &"x".repeat(40_000)).await.problem(413, "payload_too_large");
    assert!(!skips(&notify(&admin, "workflow").await, "unsubscribed"));
    let page = admin.get(&link).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert!(!page.text.contains("<script"), "{}", page.text);
}
