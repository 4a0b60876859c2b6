//! Claims about endpoints: who is told of what, signed how, in which order, and what becomes of those that fail.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::receiver::Got;
use crate::support::{Client, Receiver, Server, python, until};

async fn started(schedule: &str) -> Server {
    Server::start_with(&[
        ("OUTBOUND__ALLOW_CIDRS", "[\"127.0.0.0/8\"]"),
        ("RETRY__WEBHOOK__SCHEDULE", schedule),
        ("OUTBOUND__TIMEOUT", "1s"),
    ])
    .await
}

async fn endpoint(admin: &Client, url: &str, events: Value) -> Value {
    admin.post("/v1/endpoints", &json!({ "url": url, "events": events })).await.is(201)
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

async fn attempts(admin: &Client, endpoint: &Value) -> Vec<Value> {
    admin.all(&format!("/v1/endpoints/{}/attempts", id(endpoint))).await
}

/// Asks a verifier in another language whether it takes each of these; answers what it says, one line for each.
fn verified(program: &str, script: &str, cases: &[(String, &Got)]) -> Vec<String> {
    let script = format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(program)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` does not start ({error}): run `make setup`"));
    let mut input = child.stdin.take().unwrap();
    for (secret, got) in cases {
        let case = json!({ "secret": secret, "headers": got.headers, "body": got.body });
        writeln!(input, "{case}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} failed: run `make setup`");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_specifications_own_libraries_take_our_signatures_and_two_of_them_while_a_secret_changes() {
    let (receiver, server) = (Receiver::start().await, started("[\"1s\"]").await);
    let admin = server.admin();
    let made = endpoint(&admin, &receiver.url("/ok"), json!(["notification.accepted"])).await;
    let first = made["secret"].as_str().unwrap().to_owned();
    assert!(first.starts_with("whsec_"));
    assert_eq!(made["disabled"], false);
    admin.notify(&with(hello("ada"), json!({ "title": "Grüße ✓" }))).await;
    receiver.comes("/ok", 1).await;
    let rotated = admin.post(&format!("/v1/endpoints/{}/rotate", id(&made)), &json!({})).await.is(200);
    let second = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    admin.notify(&hello("ada")).await;
    let got = receiver.comes("/ok", 2).await;
    assert_eq!(got[1].header("webhook-signature").split(' ').count(), 2);
    let mut tampered = got[0].clone();
    tampered.body = tampered.body.replace("ada", "eve");
    let cases = [
        (first.clone(), &got[0]),
        (second.clone(), &got[0]),
        (first.clone(), &got[1]),
        (second, &got[1]),
        (first, &tampered),
    ];
    let expected = ["notification.accepted", "no", "notification.accepted", "notification.accepted", "no"];
    assert_eq!(verified(&python(), "support/verify_webhook.py", &cases), expected);
    assert_eq!(verified("node", "support/verify_webhook.cjs", &cases), expected);
    let shown = admin.get(&format!("/v1/endpoints/{}", id(&made))).await;
    assert!(!shown.text.contains("whsec_"), "{}", shown.text);
    let listed = admin.get("/v1/endpoints").await;
    assert!(!listed.text.contains("whsec_") && listed.json()["data"].as_array().unwrap().len() == 1);
}

#[tokio::test]
async fn the_life_of_a_notification_is_told_in_its_order() {
    let (receiver, server) = (Receiver::start().await, started("[\"1s\"]").await);
    let admin = server.admin();
    endpoint(&admin, &receiver.url("/ok"), json!(["*"])).await;
    admin.person("ada").await;
    let sent = admin.notify(&with(hello("ada"), json!({ "channels": ["in_app", "email", "sms"] }))).await;
    let notification = sent["notification_id"].as_str().unwrap().to_owned();
    receiver.comes("/ok", 4).await;
    let mark = json!({ "ids": [notification], "as": "read" });
    admin.post("/v1/users/ada/inbox/mark", &mark).await.is(200);
    let got = receiver.comes("/ok", 5).await;
    let told: Vec<(String, Value, Value)> = got
        .iter()
        .map(|got| (got.kind(), got.json()["data"]["channel"].clone(), got.json()["data"]["reason"].clone()))
        .collect();
    let event = |kind: &str, channel: Value, reason: Value| (format!("notification.{kind}"), channel, reason);
    assert_eq!(
        told,
        [
            event("accepted", Value::Null, Value::Null),
            event("delivered", json!("in_app"), Value::Null),
            event("skipped", json!("sms"), json!("preference_channel_off")),
            event("sent", json!("email"), Value::Null),
            event("read", json!("in_app"), Value::Null),
        ]
    );
    for got in &got {
        let body = got.json();
        assert_eq!(
            (&body["data"]["notification_id"], &body["data"]["user_id"]),
            (&json!(notification), &json!("ada"))
        );
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(got.header("content-type"), "application/json");
    }
    let later = with(hello("ada"), json!({ "channels": ["email"], "send_at": "2099-01-01T00:00:00Z" }));
    let held = admin.notify(&later).await;
    let held = held["notification_id"].as_str().unwrap();
    admin.post(&format!("/v1/notifications/{held}/cancel"), &json!({})).await.is(200);
    let got = receiver.comes("/ok", 8).await;
    let kinds: Vec<String> = got[5..].iter().map(Got::kind).collect();
    assert_eq!(kinds, ["notification.accepted", "notification.deferred", "notification.canceled"]);
    assert_eq!(got[6].json()["data"]["not_before"], "2099-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn an_endpoint_is_told_of_what_it_asked_for_and_a_persons_own_of_nobody_else() {
    let (receiver, server) = (Receiver::start().await, started("[\"1s\"]").await);
    let admin = server.admin();
    endpoint(&admin, &receiver.url("/ok-canceled"), json!(["notification.canceled"])).await;
    let own =
        json!({ "url": receiver.url("/ok-bob"), "events": ["notification.accepted"], "user_id": "bob" });
    admin.post("/v1/endpoints", &own).await.is(201);
    endpoint(&admin, &receiver.url("/ok-all"), json!(["notification.accepted"])).await;
    admin.notify(&hello("ada")).await;
    admin.notify(&hello("bob")).await;
    receiver.comes("/ok-all", 2).await;
    let told = receiver.comes("/ok-bob", 1).await;
    assert_eq!(told[0].json()["data"]["user_id"], "bob");
    assert_eq!((receiver.at("/ok-bob").len(), receiver.at("/ok-canceled").len()), (1, 0));
}

#[tokio::test]
async fn a_retry_has_the_same_id_and_body_and_nothing_of_the_same_notification_overtakes_it() {
    let (receiver, server) = (Receiver::start().await, started("[\"200ms\",\"200ms\",\"200ms\"]").await);
    let admin = server.admin();
    let made = endpoint(&admin, &receiver.url("/twice"), json!(["*"])).await;
    admin.notify(&with(hello("ada"), json!({ "channels": ["in_app"] }))).await;
    let got = receiver.comes("/twice", 4).await;
    let kinds: Vec<String> = got.iter().map(Got::kind).collect();
    let accepted = "notification.accepted".to_owned();
    assert_eq!(kinds, [accepted.clone(), accepted.clone(), accepted, "notification.delivered".to_owned()]);
    let first = got[0].header("webhook-id");
    assert!(got[..3].iter().all(|each| each.header("webhook-id") == first && each.body == got[0].body));
    assert_ne!(got[3].header("webhook-id"), first);
    let noted = until("four attempts", || async {
        Some(attempts(&admin, &made).await).filter(|attempts| attempts.len() == 4)
    })
    .await;
    let statuses: Vec<&Value> = noted.iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(statuses, [&json!(204), &json!(204), &json!(503), &json!(503)], "newest first");
    assert_eq!(noted[3]["success"], false);
    assert!(noted[3]["next_attempt_at"].is_string() && noted[0]["next_attempt_at"].is_null());
}

#[tokio::test]
async fn what_an_endpoint_asks_to_wait_is_waited() {
    let (receiver, server) = (Receiver::start().await, started("[\"100ms\"]").await);
    let admin = server.admin();
    endpoint(&admin, &receiver.url("/later"), json!(["notification.accepted"])).await;
    admin.notify(&hello("ada")).await;
    let got = receiver.comes("/later", 2).await;
    let waited = got[1].at - got[0].at;
    assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_goes_on_when_it_is_enabled_and_recovered() {
    let (receiver, server) = (Receiver::start().await, started("[\"100ms\"]").await);
    let admin = server.admin();
    let made = endpoint(&admin, &receiver.url("/410"), json!(["notification.accepted"])).await;
    let path = format!("/v1/endpoints/{}", id(&made));
    admin.notify(&hello("ada")).await;
    let shown = until("the endpoint to be disabled", || async {
        Some(admin.get(&path).await.is(200)).filter(|shown| shown["disabled"] == true)
    })
    .await;
    assert_eq!(shown["disabled_reason"], "gone");
    server.logs("an endpoint is called no more", 0).await;
    let metrics = admin.get("/metrics").await.text;
    assert!(metrics.contains("belfry_endpoints_disabled_total{reason=\"gone\"} 1"), "{metrics}");
    admin.notify(&hello("ada")).await;
    let change = json!({ "url": receiver.url("/ok"), "disabled": false });
    let enabled = admin.patch(&path, &change).await.is(200);
    assert_eq!((&enabled["disabled"], &enabled["disabled_reason"]), (&json!(false), &Value::Null));
    let since = json!({ "since": made["created_at"] });
    let recovered = admin.post(&format!("{path}/recover"), &since).await.is(200);
    assert_eq!(recovered["requeued"], 1);
    let got = receiver.comes("/ok", 1).await;
    assert_eq!(got[0].header("webhook-id"), receiver.at("/410")[0].header("webhook-id"));
    assert_eq!(receiver.at("/410").len(), 1, "one that is disabled is not called");
    let again = admin.post(&format!("{path}/recover"), &since).await.is(200);
    assert_eq!(again["requeued"], 0);
}

#[tokio::test]
async fn five_days_of_failure_disable_an_endpoint_and_the_others_hear_of_it() {
    const DAY: i64 = 86_400;
    let receiver = Receiver::start().await;
    let mut server = Server::prepare(&[
        ("OUTBOUND__ALLOW_CIDRS", "[\"127.0.0.0/8\"]"),
        ("RETRY__WEBHOOK__SCHEDULE", "[]"),
    ]);
    server.fake_clock();
    server.start_again().await;
    let admin = server.admin();
    let failing = endpoint(&admin, &receiver.url("/500-always"), json!(["notification.accepted"])).await;
    let mending = endpoint(&admin, &receiver.url("/twice"), json!(["notification.accepted"])).await;
    endpoint(&admin, &receiver.url("/ok-operator"), json!(["endpoint.disabled"])).await;
    endpoint(&admin, &receiver.url("/ok-other"), json!(["notification.sent"])).await;
    let show = |made: &Value| {
        let (admin, path) = (admin.clone(), format!("/v1/endpoints/{}", id(made)));
        async move { admin.get(&path).await.is(200) }
    };
    // Both fail on the first two days, and one of them goes on failing.
    for (day, calls) in [(0, 1), (1, 2), (2, 3), (4, 4)] {
        server.shift(day * DAY);
        admin.notify(&hello("ada")).await;
        receiver.comes("/500-always", calls).await;
        receiver.comes("/twice", calls).await;
        until("the calls to be noted", || async {
            let noted = attempts(&admin, &failing).await.len() + attempts(&admin, &mending).await.len();
            (noted == 2 * calls).then_some(())
        })
        .await;
        assert_eq!(show(&failing).await["disabled"], false, "day {day}");
    }
    server.shift(5 * DAY + 60);
    admin.notify(&hello("ada")).await;
    let shown = until("the endpoint to be disabled", || async {
        Some(show(&failing).await).filter(|shown| shown["disabled"] == true)
    })
    .await;
    assert_eq!((&shown["disabled_reason"], &shown["state"]), (&json!("failing"), &json!("disabled")));
    let told = receiver.comes("/ok-operator", 1).await;
    assert_eq!(told[0].kind(), "endpoint.disabled");
    assert_eq!(told[0].json()["data"], json!({ "endpoint_id": id(&failing), "reason": "failing" }));
    assert_eq!(told[0].json()["timestamp"], shown["disabled_at"]);
    server.logs("an endpoint is called no more", 0).await;
    assert!(admin.get("/metrics").await.text.contains("endpoints_disabled_total{reason=\"failing\"} 1"));
    assert_eq!(show(&mending).await["disabled"], false, "one success between clears the record");
    assert_eq!(receiver.at("/ok-other").len(), 0);
}

#[tokio::test]
async fn an_event_that_was_never_taken_is_given_up_and_can_be_sent_again() {
    let (receiver, server) = (Receiver::start().await, started("[\"50ms\"]").await);
    let admin = server.admin();
    let made = endpoint(&admin, &receiver.url("/500"), json!(["notification.accepted"])).await;
    let path = format!("/v1/endpoints/{}", id(&made));
    admin.notify(&hello("ada")).await;
    let noted = until("the last attempt", || async {
        Some(attempts(&admin, &made).await).filter(|attempts| attempts.len() == 2)
    })
    .await;
    assert_eq!((&noted[0]["status"], &noted[0]["response"]), (&json!(500), &json!("no !")));
    assert_eq!(noted[0]["next_attempt_at"], Value::Null);
    let failing = admin.get(&path).await.is(200);
    assert!(failing["failing_since"].is_string() && failing["disabled"] == false);
    admin.patch(&path, &json!({ "url": receiver.url("/ok") })).await.is(200);
    admin.post(&format!("{path}/recover"), &json!({ "since": made["created_at"] })).await.is(200);
    receiver.comes("/ok", 1).await;
    until("its record to be clear", || async {
        Some(())
            .filter(|()| true)
            .and(admin.get(&path).await.is(200)["failing_since"].is_null().then_some(()))
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_huge_answer_is_cut() {
    let (receiver, server) = (Receiver::start().await, started("[]").await);
    let admin = server.admin();
    let redirecting = endpoint(&admin, &receiver.url("/redirect"), json!(["notification.sent"])).await;
    let tried = admin.post(&format!("/v1/endpoints/{}/test", id(&redirecting)), &json!({})).await.is(200);
    assert_eq!((&tried["success"], &tried["status"]), (&json!(false), &json!(302)));
    assert!(receiver.at("/ok-redirected").is_empty());
    let huge = endpoint(&admin, &receiver.url("/huge"), json!(["notification.sent"])).await;
    let tried = admin.post(&format!("/v1/endpoints/{}/test", id(&huge)), &json!({})).await.is(200);
    assert_eq!((&tried["success"], &tried["type"]), (&json!(true), &json!("endpoint.test")));
    assert!(tried["response"].as_str().unwrap().len() <= 1_024);
    let nowhere = endpoint(&admin, "http://127.0.0.1:1/", json!(["notification.sent"])).await;
    let tried = admin.post(&format!("/v1/endpoints/{}/test", id(&nowhere)), &json!({})).await.is(200);
    assert_eq!((&tried["success"], &tried["status"]), (&json!(false), &Value::Null));
    assert!(!tried["error"].as_str().unwrap().is_empty());
    assert_eq!(attempts(&admin, &huge).await.len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_hangs_holds_up_no_other() {
    let (receiver, server) = (Receiver::start().await, started("[\"5m\"]").await);
    let admin = server.admin();
    for slow in 0..3 {
        let url = receiver.url(&format!("/hang-{slow}"));
        endpoint(&admin, &url, json!(["notification.accepted"])).await;
    }
    for _ in 0..20 {
        admin.notify(&hello("ada")).await;
    }
    endpoint(&admin, &receiver.url("/ok"), json!(["notification.accepted"])).await;
    let begun = Instant::now();
    admin.notify(&hello("ada")).await;
    receiver.comes("/ok", 1).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_left_alone_and_is_told_everything_when_it_is_back() {
    let receiver = Receiver::start().await;
    let server = Server::start_with(&[
        ("OUTBOUND__ALLOW_CIDRS", "[\"127.0.0.0/8\"]"),
        ("OUTBOUND__TIMEOUT", "1s"),
        ("RETRY__WEBHOOK__SCHEDULE", "[\"100ms\",\"100ms\",\"100ms\",\"100ms\",\"100ms\",\"100ms\"]"),
        ("DELIVERY__CIRCUIT_FAILURES", "4"),
        ("DELIVERY__CIRCUIT_PROBE", "500ms"),
    ])
    .await;
    let admin = server.admin();
    let made = endpoint(&admin, &receiver.url("/away"), json!(["notification.accepted"])).await;
    assert_eq!(made["state"], "ok");
    let path = format!("/v1/endpoints/{}", id(&made));
    for _ in 0..12 {
        admin.notify(&hello("ada")).await;
    }
    let shown = until("its circuit to open", || async {
        Some(admin.get(&path).await.is(200)).filter(|shown| shown["state"] == "open")
    })
    .await;
    assert!(shown["opened_at"].is_string(), "{shown}");
    let figures = &admin.get("/v1/channels").await.is(200)["endpoints"];
    assert_eq!(
        (&figures["total"], &figures["open"], &figures["queued"]),
        (&json!(1), &json!(1), &json!(12)),
        "{figures}"
    );
    assert!(admin.get("/metrics").await.text.contains("belfry_endpoint_circuits_open 1"));
    // Four opened it; a probe at a time takes a second, and each is waited for.
    let begun = Instant::now();
    let called = receiver.at("/away").len();
    assert!(called <= 8, "{called} calls");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let probes = receiver.at("/away").len() - called;
    assert!(probes as u64 <= begun.elapsed().as_secs() + 1, "{probes} calls in {:?}", begun.elapsed());
    receiver.comes_back();
    let told = until("all twelve to be taken", || async {
        let taken = attempts(&admin, &made).await.into_iter().filter(|attempt| attempt["success"] == true);
        Some(taken.count()).filter(|taken| *taken == 12)
    });
    told.await;
    assert_eq!(admin.get(&path).await.is(200)["state"], "ok");
    assert!(admin.get("/metrics").await.text.contains("belfry_endpoint_circuits_open 0"));
}

#[tokio::test]
async fn what_was_to_be_told_survives_a_kill() {
    let receiver = Receiver::start().await;
    let mut server = started("[\"300ms\",\"300ms\",\"300ms\",\"300ms\",\"300ms\"]").await;
    let admin = server.admin();
    endpoint(&admin, &receiver.url("/twice"), json!(["*"])).await;
    admin.notify(&with(hello("ada"), json!({ "channels": ["in_app"] }))).await;
    receiver.comes("/twice", 1).await;
    server.restart().await;
    let got = receiver.comes("/twice", 4).await;
    let last = got.last().unwrap();
    assert_eq!(last.kind(), "notification.delivered");
    let sent = server.admin();
    assert_eq!(sent.get("/v1/endpoints").await.is(200)["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_webhook_channel_leads_to_the_persons_own_endpoint() {
    let (receiver, server) = (Receiver::start().await, started("[\"100ms\",\"100ms\"]").await);
    let admin = server.admin();
    let wanted = with(hello("ada"), json!({ "channels": ["webhook"], "metadata": { "disk": 7 } }));
    let without = admin.notify(&wanted).await;
    assert_eq!(without["channels_skipped"], json!([{ "channel": "webhook", "reason": "no_address" }]));
    let own = admin.post("/v1/endpoints", &json!({ "url": receiver.url("/twice"), "user_id": "ada" })).await;
    let own = own.is(201);
    assert_eq!(own["events"], json!([]));
    let sent = admin.notify(&wanted).await;
    let notification = sent["notification_id"].as_str().unwrap();
    assert_eq!(sent["channels_pending"], json!(["webhook"]));
    let standing = admin.comes_to(notification, "webhook", "sent").await;
    assert_eq!(standing["attempts"], 3);
    let got = receiver.at("/twice");
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|each| each.header("webhook-id") == got[0].header("webhook-id")));
    let body = got[2].json();
    assert_eq!(body["type"], "notification.message");
    let data = &body["data"];
    assert_eq!(
        (&data["notification_id"], &data["title"], &data["message"], &data["metadata"]["disk"]),
        (&json!(notification), &json!("Disk"), &json!("The disk is full."), &json!(7))
    );
    admin.delete("/v1/users/ada").await;
    admin.get(&format!("/v1/endpoints/{}", id(&own))).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_person_with_two_endpoints_gets_it_at_both_and_a_repeat_goes_only_where_it_was_not_taken() {
    let (receiver, server) = (Receiver::start().await, started("[\"100ms\",\"100ms\",\"100ms\"]").await);
    let admin = server.admin();
    for path in ["/twice", "/ok"] {
        let own = json!({ "url": receiver.url(path), "user_id": "ada" });
        admin.post("/v1/endpoints", &own).await.is(201);
    }
    let sent = admin.notify(&with(hello("ada"), json!({ "channels": ["webhook"] }))).await;
    let notification = sent["notification_id"].as_str().unwrap();
    let standing = admin.comes_to(notification, "webhook", "sent").await;
    assert_eq!(standing["attempts"], 3);
    assert_eq!((receiver.at("/twice").len(), receiver.at("/ok").len()), (3, 1));
    let story = admin.story(notification, "webhook").await;
    assert_eq!(story.last().unwrap()["detail"], "taken by 2 of 2 endpoints");
    assert!(story[1]["detail"].as_str().unwrap().starts_with("taken by 1 of 2 endpoints"), "{story:?}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_is_refused_with_every_reason() {
    let server = Server::start().await;
    let admin = server.admin();
    let post = |body: Value| {
        let admin = admin.clone();
        async move { admin.post("/v1/endpoints", &body).await }
    };
    assert_eq!(post(json!({})).await.fields(), ["events", "url"]);
    let wrong = json!({ "url": "http://127.0.0.1/", "events": ["notification.born"], "secret": 7 });
    assert_eq!(post(wrong).await.fields(), ["events[0]", "secret", "url"]);
    for url in [
        "ftp://a.example/",
        "https://localhost/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/",
        "https://a:b@a.example/",
        "x",
        "",
    ] {
        assert_eq!(post(json!({ "url": url, "events": ["*"] })).await.fields(), ["url"], "{url}");
    }
    assert_eq!(post(json!({ "url": "https://1.1.1.1/", "events": [] })).await.fields(), ["events"]);
    let made = post(json!({ "url": "https://1.1.1.1/x", "events": ["*"] })).await.is(201);
    let path = format!("/v1/endpoints/{}", id(&made));
    assert_eq!(
        admin.patch(&path, &json!({ "url": "https://127.0.0.1/", "disabled": 3 })).await.fields(),
        ["disabled", "url"]
    );
    assert_eq!(admin.post(&format!("{path}/recover"), &json!({})).await.fields(), ["since"]);
    let off = admin.patch(&path, &json!({ "disabled": true })).await.is(200);
    assert_eq!(off["disabled_reason"], "operator");
    let reader = server.with(&admin.key(&["read", "publish"]).await);
    reader.get("/v1/endpoints").await.problem(403, "forbidden");
    reader.delete(&path).await.problem(403, "forbidden");
    admin.delete(&path).await.is(204);
    admin.get(&path).await.problem(404, "not_found");
    admin.get("/v1/endpoints/nothing").await.problem(404, "not_found");
}
