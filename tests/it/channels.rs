//! Claims about the ways out together: a provider that is gone is left alone, costs nobody their attempts and holds up
//! nobody else; a rate holds; a test message says what happened.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::{hello, with};
use crate::support::{Client, MailServer, Receiver, Server, until};

async fn state(admin: &Client, name: &str, wanted: &str) -> Value {
    until(&format!("{name} to be {wanted}"), || async {
        Some(admin.channel(name).await).filter(|health| health["state"] == wanted)
    })
    .await
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the way to the mail server opens beside the test")]
async fn a_dead_mail_server_is_left_alone_and_everything_arrives_when_it_is_back() {
    let mail = MailServer::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = free.port().to_string();
    let mut settings = mail.settings(&port, "[\"100ms\"]");
    settings.extend([
        ("DELIVERY__CIRCUIT_FAILURES", "2"),
        ("DELIVERY__CIRCUIT_PROBE", "200ms"),
        ("CHANNELS__SMS__MODE", "capture"),
    ]);
    let server = Server::start_with(&settings).await;
    let admin = server.admin();
    admin.person("ada").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let sent = admin.notify(&with(hello("ada"), json!({ "channels": ["email"] }))).await;
        ids.push(sent["notification_id"].as_str().unwrap().to_owned());
    }
    let open = state(&admin, "email", "open").await;
    assert_eq!((&open["reason"], &open["provider"]), (&json!("circuit_open"), &json!("smtp")));
    assert!(open["opened_at"].is_string() && open["last_error"].is_string(), "{open}");
    let ready = admin.get("/readyz").await.is(200);
    assert_eq!(ready["status"], "degraded");
    assert!(ready["reasons"][0].as_str().unwrap().contains("email"), "{ready}");
    let metrics = admin.get("/metrics").await.text;
    assert!(metrics.contains("belfry_circuit_open{channel=\"email\"} 1"), "{metrics}");
    let later = admin.notify(&with(hello("ada"), json!({ "channels": ["in_app", "email"] }))).await;
    assert_eq!(later["channels_sent"], json!(["in_app"]));
    ids.push(later["notification_id"].as_str().unwrap().to_owned());
    assert_eq!(admin.channel("sms").await["state"], "ok");
    // More probes than the schedule has attempts.
    server.logs("the provider does not answer", 0).await;
    for id in &ids {
        let standing = admin.standing(id, "email").await;
        assert_eq!(standing["reason"], "circuit_open", "{standing}");
        assert!(standing["attempts"].as_u64().unwrap() < 2, "{standing}");
    }

    let listener = TcpListener::bind(free).await.unwrap();
    let target = format!("127.0.0.1:{}", mail.port());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut near, &mut far).await) });
        }
    });
    for id in &ids {
        admin.comes_to(id, "email", "sent").await;
    }
    assert_eq!(mail.mails().len(), 3);
    let well = state(&admin, "email", "ok").await;
    assert!(well["last_success_at"].is_string() && well["opened_at"].is_null(), "{well}");
    assert_eq!(admin.get("/readyz").await.is(200)["status"], "ready");
}

#[tokio::test]
async fn a_provider_that_hangs_is_passed_over_while_texts_go_out_by_the_next() {
    let receiver = Receiver::start().await;
    let (kannel, http) = (receiver.url("/hang-kannel"), receiver.url("/ok"));
    let server = Server::start_with(&[
        ("CHANNELS__SMS__PROVIDERS", "[\"kannel\", \"http\"]"),
        ("CHANNELS__SMS__KANNEL__URL", &kannel),
        ("CHANNELS__SMS__KANNEL__USERNAME", "belfry"),
        ("CHANNELS__SMS__KANNEL__PASSWORD", "secret"),
        ("CHANNELS__SMS__HTTP__URL", &http),
        ("CHANNELS__SMS__TIMEOUT", "500ms"),
        ("DELIVERY__CIRCUIT_FAILURES", "2"),
    ])
    .await;
    let admin = server.admin();
    reachable(&admin, "ada").await;
    text(&admin, "ada").await;
    text(&admin, "ada").await;
    receiver.comes("/ok", 2).await;
    for _ in 0..20 {
        let id = text(&admin, "ada").await;
        admin.comes_to(&id, "sms", "sent").await;
    }
    let asked = receiver.got_below("/hang-kannel").len();
    // Two opened the circuit; since then one now and then has asked whether it is back.
    assert!((2..10).contains(&asked), "it was asked {asked} times for 22 texts");
    let sms = admin.channel("sms").await;
    assert_eq!((&sms["state"], &sms["opened_at"]), (&json!("degraded"), &Value::Null), "{sms}");
    let states: Vec<(&Value, &Value)> =
        sms["providers"].as_array().unwrap().iter().map(|one| (&one["name"], &one["state"])).collect();
    assert_eq!(states, [(&json!("kannel"), &json!("open")), (&json!("http"), &json!("ok"))]);
    assert_eq!(sms["providers"][0]["last_error"], "no answer in time");
    let ready = admin.get("/readyz").await.is(200);
    assert_eq!(ready["status"], "degraded");
    assert!(ready["reasons"][0].as_str().unwrap().contains("kannel"), "{ready}");
    let metrics = admin.get("/metrics").await.text;
    assert!(
        metrics.contains("belfry_provider_circuit_open{channel=\"sms\",provider=\"kannel\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("belfry_circuit_open{channel=\"sms\"} 0"), "{metrics}");
}

#[tokio::test]
async fn what_waits_on_a_channel_is_counted_and_a_restart_counts_alike() {
    let mut server = Server::start_with(&[("CHANNELS__EMAIL__MODE", "capture")]).await;
    let admin = server.admin();
    admin.person("ada").await;
    let later = json!({ "channels": ["email"], "send_at": "2099-01-01T00:00:00Z" });
    let mut ids = Vec::new();
    for _ in 0..5 {
        let held = admin.notify(&with(hello("ada"), later.clone())).await;
        ids.push(held["notification_id"].as_str().unwrap().to_owned());
    }
    let gone = admin.notify(&with(hello("ada"), json!({ "channels": ["email"] }))).await;
    admin.comes_to(gone["notification_id"].as_str().unwrap(), "email", "sent").await;
    queued(&admin, "email", 5).await;
    admin.post(&format!("/v1/notifications/{}/cancel", ids[0]), &json!({})).await.is(200);
    queued(&admin, "email", 4).await;
    assert_eq!(admin.channel("sms").await["queued"], 0);
    server.restart().await;
    let admin = server.admin();
    assert_eq!(admin.channel("email").await["queued"], 4);
    assert!(admin.get("/metrics").await.text.contains("belfry_queued{channel=\"email\"} 4"));
}

async fn queued(admin: &Client, name: &str, wanted: u64) {
    until(&format!("{wanted} to be queued"), || async {
        (admin.channel(name).await["queued"] == wanted).then_some(())
    })
    .await;
}

async fn reachable(admin: &Client, user: &str) {
    admin.put(&format!("/v1/users/{user}"), &json!({ "phone": "+491701234567" })).await.is(201);
    let wanted = json!({ "channels": { "sms": true } });
    admin.patch(&format!("/v1/users/{user}/preferences"), &wanted).await.is(200);
}

async fn text(admin: &Client, user: &str) -> String {
    let sent = admin.notify(&with(hello(user), json!({ "channels": ["sms"] }))).await;
    sent["notification_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_more_texts_go_out_than_the_rate_allows() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/ok");
    let server = Server::start_with(&[
        ("CHANNELS__SMS__PROVIDER", "http"),
        ("CHANNELS__SMS__HTTP__URL", &url),
        ("CHANNELS__SMS__RATE", "2/s"),
    ])
    .await;
    let admin = server.admin();
    reachable(&admin, "ada").await;
    let begun = Instant::now();
    for _ in 0..6 {
        text(&admin, "ada").await;
    }
    receiver.comes("/ok", 6).await;
    // Two at once, and four more at half a second each.
    assert!(begun.elapsed() >= Duration::from_millis(1_800), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_test_message_says_step_by_step_what_happened() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/{{from}}");
    let server = Server::start_with(&[
        ("CHANNELS__SMS__PROVIDER", "http"),
        ("CHANNELS__SMS__FROM", "410"),
        ("CHANNELS__SMS__HTTP__URL", &url),
    ])
    .await;
    let admin = server.admin();
    let tried = admin.post("/v1/channels/sms/test", &json!({ "to": "+491701234567" })).await.is(200);
    assert_eq!((&tried["success"], &tried["reason"]), (&json!(false), &json!("provider_rejected")));
    let steps: Vec<&str> =
        tried["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["composed", "handed to the provider", "refused"]);
    assert!(tried["steps"][2]["detail"].as_str().unwrap().contains("410"), "{tried}");
    let captured = admin.post("/v1/channels/email/test", &json!({ "to": "a@example.org" })).await.is(200);
    assert_eq!((&captured["success"], &captured["mode"]), (&json!(true), &json!("capture")));
    for (path, body) in [("sms", json!({ "to": "12" })), ("email", json!({})), ("email", json!({ "to": 5 }))]
    {
        assert_eq!(admin.post(&format!("/v1/channels/{path}/test"), &body).await.fields(), ["to"]);
    }
    admin.post("/v1/channels/fax/test", &json!({ "to": "x" })).await.problem(404, "not_found");
    admin.post("/v1/channels/webhook/test", &json!({ "to": "x" })).await.problem(409, "conflict");
    let reader = server.with(&admin.key(&["read"]).await);
    reader.post("/v1/channels/sms/test", &json!({ "to": "+491701234567" })).await.problem(403, "forbidden");
    reader.get("/v1/channels").await.is(200);
    admin.anonymous().get("/v1/channels").await.problem(401, "unauthorized");
}
