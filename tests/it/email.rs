//! Claims about mail that really goes out: over STARTTLS and a login, to a server that refuses and delays on demand.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::mail::header;
use crate::support::{Client, MailServer, Server, until};

async fn started(mail: &MailServer, schedule: &str) -> Server {
    Server::start_with(&mail.settings(&mail.port(), schedule)).await
}

/// A notification to a person at that address, by its id.
async fn notify(admin: &Client, address: &str) -> String {
    let user = address.split('@').next().unwrap();
    admin.put(&format!("/v1/users/{user}"), &json!({ "email": address })).await;
    let result = admin.notify(&hello(user)).await;
    result["notification_id"].as_str().unwrap().to_owned()
}

fn told(story: &[Value]) -> Vec<&str> {
    story.iter().map(|moment| moment["event"].as_str().unwrap()).collect()
}

fn said(moment: &Value) -> &str {
    moment["detail"].as_str().unwrap_or("")
}

#[tokio::test]
async fn a_mail_arrives_with_subject_text_html_and_an_id_of_its_own() {
    let mail = MailServer::start();
    let server = started(&mail, "[\"1s\"]").await;
    let admin = server.admin();
    admin.person("ada").await;
    let sent = with(
        hello("ada"),
        json!({ "title": "Über <b> ✓", "message": "The disk <is> full.\n.\nEnd.",
            "action": { "label": "Look", "url": "https://ops.example.org/disk?a=1&b=2" } }),
    );
    let wait = admin.request(Method::POST, "/v1/notifications").header("prefer", "wait=10");
    let result = admin.send(wait.json(&sent)).await.is(200);
    assert_eq!(result["channels_sent"], json!(["in_app", "email"]));
    let mails = mail.mails();
    assert_eq!(mails.len(), 1);
    let (one, source) = (&mails[0], mails[0]["source"].as_str().unwrap());
    assert_eq!((&one["tls"], &one["login"]), (&json!(true), &json!(true)));
    assert_eq!((&one["to"], &one["mail_from"]), (&json!(["ada@example.org"]), &json!("belfry@belfry.test")));
    assert!(header(one, "To").contains("ada@example.org"));
    assert!(header(one, "Subject").contains("=?utf-8?"), "{}", header(one, "Subject"));
    assert!(header(one, "Message-ID").starts_with('<') && header(one, "Message-ID").ends_with('>'));
    assert!(!header(one, "Date").is_empty());
    assert!(header(one, "Content-Type").starts_with("multipart/alternative"));
    for part in ["Content-Type: text/plain; charset=utf-8", "Content-Type: text/html; charset=utf-8"] {
        assert!(source.contains(part), "{source}");
    }
    let id = result["notification_id"].as_str().unwrap();
    let story = admin.story(id, "email").await;
    assert_eq!(told(&story), ["pending", "sent"]);
    assert!(said(&story[1]).contains("Stored as number 1"), "the server's words: {story:?}");
    let standing = admin.standing(id, "email").await;
    assert_eq!((&standing["status"], &standing["attempts"]), (&json!("sent"), &json!(1)));
    let other = admin.notify(&hello("ada")).await;
    admin.comes_to(other["notification_id"].as_str().unwrap(), "email", "sent").await;
    let mails = mail.mails();
    assert_ne!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
}

#[tokio::test]
async fn nothing_that_a_sender_writes_becomes_a_header() {
    let mail = MailServer::start();
    let server = started(&mail, "[\"1s\"]").await;
    let admin = server.admin();
    admin.person("ada").await;
    let evil = "Hi\r\nBcc: eve@example.com\r\n\r\nbody";
    let result = admin.notify(&with(hello("ada"), json!({ "title": evil, "message": evil }))).await;
    admin.comes_to(result["notification_id"].as_str().unwrap(), "email", "sent").await;
    let mails = mail.mails();
    let source = mails[0]["source"].as_str().unwrap();
    let head = source.split("\r\n\r\n").next().unwrap();
    assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    assert_eq!(mails[0]["to"], json!(["ada@example.org"]));
}

#[tokio::test]
async fn a_mail_refused_for_good_has_failed_with_the_servers_words_and_touches_no_other_channel() {
    let mail = MailServer::start();
    let server = started(&mail, "[\"100ms\"]").await;
    let admin = server.admin();
    admin.put("/v1/users/nobody", &json!({ "email": "nobody@example.org" })).await.is(201);
    let wait = admin.request(Method::POST, "/v1/notifications").header("prefer", "wait=10");
    let result = admin.send(wait.json(&hello("nobody"))).await.is(200);
    assert_eq!(result["channels_failed"], json!(["email"]));
    assert_eq!(result["channels_sent"], json!(["in_app"]));
    assert!(result["errors"][0].as_str().unwrap().contains("Nobody of that name"), "{result}");
    let id = result["notification_id"].as_str().unwrap();
    let standing = admin.standing(id, "email").await;
    assert_eq!((&standing["status"], &standing["reason"]), (&json!("failed"), &json!("provider_rejected")));
    let words = standing["last_error"].as_str().unwrap();
    assert!(words.contains("550") && words.contains("Nobody of that name lives here"), "{words}");
    assert_eq!(standing["attempts"], 1, "it is not tried again");
    let status = admin.get(&format!("/v1/notifications/{id}/status")).await.is(200);
    assert!(status["error_message"].as_str().unwrap().contains("550"));
    let refused = notify(&admin, "refused@example.org").await;
    assert_eq!(admin.comes_to(&refused, "email", "failed").await["reason"], "provider_rejected");
}

#[tokio::test]
async fn a_mail_delayed_once_is_sent_at_the_second_try_and_both_are_told() {
    let mail = MailServer::start();
    let server = started(&mail, "[\"100ms\",\"100ms\"]").await;
    let admin = server.admin();
    let id = notify(&admin, "once@example.org").await;
    let standing = admin.comes_to(&id, "email", "sent").await;
    assert_eq!(standing["attempts"], 2);
    let status = admin.get(&format!("/v1/notifications/{id}/status")).await.is(200);
    assert_eq!(status["retry_attempts"], 1);
    assert!(status["last_attempt"].is_string());
    let story = admin.story(&id, "email").await;
    assert_eq!(told(&story), ["pending", "retrying", "sent"]);
    assert!(said(&story[1]).contains("450") && said(&story[1]).contains("Greylisted"), "{story:?}");
    let instants: Vec<jiff::Timestamp> =
        story.iter().map(|moment| moment["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(instants[2].as_millisecond() - instants[1].as_millisecond() >= 50, "it waited: {story:?}");
    assert_eq!(mail.mails().len(), 1);
}

#[tokio::test]
async fn when_every_try_of_the_schedule_has_failed_the_mail_has_failed() {
    let mail = MailServer::start();
    let server = started(&mail, "[\"50ms\",\"50ms\"]").await;
    let admin = server.admin();
    let id = notify(&admin, "later@example.org").await;
    let standing = admin.comes_to(&id, "email", "failed").await;
    assert_eq!((&standing["reason"], &standing["attempts"]), (&json!("attempts_exhausted"), &json!(3)));
    assert!(standing["last_error"].as_str().unwrap().contains("Come back later"), "{standing}");
    let story = admin.story(&id, "email").await;
    assert_eq!(told(&story), ["pending", "retrying", "retrying", "failed"]);
    let status = admin.get(&format!("/v1/notifications/{id}/status")).await.is(200);
    assert_eq!((&status["retry_attempts"], &status["overall_status"]), (&json!(2), &json!("delivered")));
}

#[tokio::test]
async fn a_wrong_password_is_our_fault_and_burns_no_recipient() {
    let mail = MailServer::start();
    let port = mail.port();
    let schedule = format!("[{}]", vec!["\"200ms\""; 30].join(","));
    let mut settings = mail.settings(&port, &schedule);
    settings.retain(|(name, _)| *name != "CHANNELS__EMAIL__PASSWORD");
    settings.push(("CHANNELS__EMAIL__PASSWORD", "a wrong one"));
    let mut server = Server::start_with(&settings).await;
    let id = notify(&server.admin(), "ada@example.org").await;
    let standing = server.admin().comes_to(&id, "email", "retrying").await;
    assert!(standing["last_error"].as_str().unwrap().contains("535"), "{standing}");
    assert!(standing["not_before"].is_string());
    server.set("CHANNELS__EMAIL__PASSWORD", crate::support::mail::PASSWORD);
    server.restart().await;
    server.admin().comes_to(&id, "email", "sent").await;
    assert_eq!(mail.mails().len(), 1);
    assert!(!server.log().contains("a wrong one") && !server.log().contains("correct horse"));
}

#[tokio::test]
async fn while_the_mail_server_is_away_mails_wait() {
    let mail = MailServer::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let schedule = format!("[{}]", vec!["\"200ms\""; 30].join(","));
    let mut server = Server::start_with(&mail.settings(&free, &schedule)).await;
    let id = notify(&server.admin(), "ada@example.org").await;
    let standing = server.admin().comes_to(&id, "email", "retrying").await;
    assert_eq!(standing["reason"], "provider_unreachable", "{standing}");
    server.set("CHANNELS__EMAIL__PORT", &mail.port());
    server.restart().await;
    server.admin().comes_to(&id, "email", "sent").await;
    assert_eq!(mail.mails().len(), 1);
}

#[tokio::test]
async fn a_mail_server_that_hangs_holds_up_nobody_but_its_own_mails() {
    let mail = MailServer::start();
    let port = mail.port();
    let mut settings = mail.settings(&port, "[\"1h\"]");
    settings.push(("CHANNELS__EMAIL__MAX_CONNECTIONS", "4"));
    settings.push(("CHANNELS__EMAIL__TIMEOUT", "2s"));
    let server = Server::start_with(&settings).await;
    let admin = server.admin();
    let mut hanging = Vec::new();
    for at in 0..4 {
        hanging.push(notify(&admin, &format!("hang+{at}@example.org")).await);
    }
    let begun = Instant::now();
    let result = admin.notify(&hello("somebody")).await;
    assert_eq!(result["channels_sent"], json!(["in_app"]));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let next = notify(&admin, "ada@example.org").await;
    admin.comes_to(&next, "email", "sent").await;
    for id in hanging {
        let standing = admin.comes_to(&id, "email", "retrying").await;
        assert_eq!(standing["reason"], "provider_unreachable", "{standing}");
    }
}

#[tokio::test]
async fn a_mail_that_waits_for_its_retry_can_be_canceled() {
    let mail = MailServer::start();
    let server = started(&mail, "[\"1h\"]").await;
    let admin = server.admin();
    let id = notify(&admin, "busy@example.org").await;
    admin.comes_to(&id, "email", "retrying").await;
    admin.post(&format!("/v1/notifications/{id}/cancel"), &json!({})).await.is(200);
    assert_eq!(admin.comes_to(&id, "email", "canceled").await["attempts"], 1);
    let story = admin.story(&id, "email").await;
    assert_eq!(told(&story), ["pending", "retrying", "canceled"]);
}

#[tokio::test]
async fn fifty_mails_all_arrive_once() {
    let mail = MailServer::start();
    let server = started(&mail, "[\"1s\"]").await;
    let admin = server.admin();
    let items: Vec<Value> =
        (0..50).map(|at| with(hello("ada"), json!({ "id": format!("n-{at}") }))).collect();
    admin.person("ada").await;
    admin.post("/v1/notifications/batch", &json!({ "notifications": items })).await.is(202);
    until("fifty mails", || async { (mail.mails().len() >= 50).then_some(()) }).await;
    for at in 0..50 {
        admin.comes_to(&format!("n-{at}"), "email", "sent").await;
    }
    let mails = mail.mails();
    let mut ids: Vec<&str> = mails.iter().map(|one| header(one, "Message-ID")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), mails.len()), (50, 50));
}

#[tokio::test]
async fn what_is_over_a_mail_hosts_rate_waits_for_its_turn_and_other_hosts_and_what_is_critical_do_not() {
    let mail = MailServer::start();
    let port = mail.port();
    let mut settings = mail.settings(&port, "[\"1s\"]");
    settings.push(("CHANNELS__EMAIL__RATE_PER_HOST", "60/m"));
    let server = Server::start_with(&settings).await;
    let admin = server.admin();
    let mut slow = Vec::new();
    for at in 0..4 {
        slow.push(notify(&admin, &format!("a{at}@slow.example")).await);
    }
    let other = notify(&admin, "b@other.example").await;
    admin.put("/v1/users/c", &json!({ "email": "c@SLOW.example" })).await;
    let critical = admin.notify(&with(hello("c"), json!({ "priority": "critical" }))).await;
    let held = admin.comes_to(&slow[3], "email", "deferred").await;
    assert_eq!((&held["reason"], &held["attempts"]), (&json!("throttled"), &json!(0)));
    assert!(held["not_before"].is_string(), "{held}");
    for id in [&other, critical["notification_id"].as_str().unwrap()] {
        admin.comes_to(id, "email", "sent").await;
        assert_eq!(told(&admin.story(id, "email").await), ["pending", "sent"]);
    }
    for id in &slow {
        admin.comes_to(id, "email", "sent").await;
    }
    let story = admin.story(&slow[3], "email").await;
    assert_eq!(told(&story), ["pending", "deferred", "sent"]);
    assert!(said(&story[1]).contains("slow.example is sent at most 60/m"), "{story:?}");
    let instants = |id: &Value| id.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert!(instants(&story[2]["at"]) - instants(&story[0]["at"]) >= 2_900, "{story:?}");
}

#[tokio::test]
async fn a_mail_whose_server_never_comes_back_is_given_up_in_the_end() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let server = Server::start_with(&[
        ("CHANNELS__EMAIL__HOST", "127.0.0.1"),
        ("CHANNELS__EMAIL__PORT", &free),
        ("CHANNELS__EMAIL__TLS", "none"),
        ("RETRY__EMAIL__SCHEDULE", "[\"1h\"]"),
        ("DELIVERY__CIRCUIT_FAILURES", "1"),
        ("DELIVERY__CIRCUIT_PROBE", "200ms"),
        ("DELIVERY__GIVE_UP_AFTER", "2s"),
    ])
    .await;
    let admin = server.admin();
    let first = notify(&admin, "ada@example.org").await;
    let standing = admin.comes_to(&first, "email", "retrying").await;
    assert_eq!(standing["reason"], "circuit_open", "{standing}");
    let standing = admin.comes_to(&first, "email", "failed").await;
    assert_eq!((&standing["reason"], &standing["attempts"]), (&json!("attempts_exhausted"), &json!(1)));
}
