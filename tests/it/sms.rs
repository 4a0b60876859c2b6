//! Claims about text messages: how gateways are called, what their answers make of a delivery, and what they report.

use std::io::Write;
use std::process::{Command, Stdio};

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::{Client, Receiver, Server, python};

/// Where the server says that it is reached; reports are sent by hand.
const BASE: &str = "https://notify.example.org";

/// A gateway whose fate is the first word of the text.
async fn started(receiver: &Receiver, more: &[(&str, &str)]) -> Server {
    let url = receiver.url("/{{text}}");
    let mut settings = vec![
        ("SERVER__BASE_URL", BASE),
        ("CHANNELS__SMS__PROVIDER", "http"),
        ("CHANNELS__SMS__FROM", "Belfry"),
        ("CHANNELS__SMS__HTTP__URL", url.as_str()),
        ("CHANNELS__SMS__TIMEOUT", "1s"),
        ("RETRY__SMS__SCHEDULE", "[\"1h\"]"),
    ];
    settings.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    settings.extend(more);
    Server::start_with(&settings).await
}

async fn person(admin: &Client, id: &str, phone: &str) {
    admin.put(&format!("/v1/users/{id}"), &json!({ "phone": phone })).await.is(201);
    admin
        .patch(&format!("/v1/users/{id}/preferences"), &json!({ "channels": { "sms": true } }))
        .await
        .is(200);
}

/// Sends a text and answers the notification's id.
async fn text(admin: &Client, said: &str) -> String {
    let sent = admin.notify(&with(hello("ada"), json!({ "message": said, "channels": ["sms"] }))).await;
    sent["notification_id"].as_str().unwrap().to_owned()
}

fn error(standing: &Value) -> &str {
    standing["last_error"].as_str().unwrap_or("")
}

#[tokio::test]
async fn a_gateway_is_told_what_the_template_says_and_its_answer_is_the_fate() {
    let receiver = Receiver::start().await;
    let headers = ("CHANNELS__SMS__HTTP__HEADERS", "{ Authorization = \"Bearer s3cret\" }");
    let server = started(&receiver, &[headers]).await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    let id = text(&admin, "ok \"Grüße\"").await;
    admin.comes_to(&id, "sms", "sent").await;
    let story = admin.story(&id, "sms").await;
    assert_eq!(story.last().unwrap()["detail"], "taken by http, 1 segment of GSM-7");
    let got = &receiver.comes("/ok%20%22Gr%C3%BC%C3%9Fe%22", 1).await[0];
    let body = got.json();
    assert_eq!(body["to"], "+491701234567");
    assert_eq!((&body["from"], &body["text"]), (&json!("Belfry"), &json!("ok \"Grüße\"")));
    assert!(body["status_url"].as_str().unwrap().starts_with(&format!("{BASE}/in/sms/")));
    assert_eq!(got.header("authorization"), "Bearer s3cret");

    let refused = text(&admin, "410").await;
    let refused = admin.comes_to(&refused, "sms", "failed").await;
    assert_eq!((&refused["reason"], &refused["attempts"]), (&json!("provider_rejected"), &json!(1)));
    assert!(error(&refused).starts_with("http: 410"), "{refused}");
    for (fate, reason) in [
        ("500", "provider_unreachable"),
        ("hang", "provider_unreachable"),
        ("redirect", "provider_unreachable"),
        ("401", "provider_unreachable"),
        ("429", "provider_rate_limited"),
    ] {
        let id = text(&admin, fate).await;
        let standing = admin.comes_to(&id, "sms", "retrying").await;
        assert_eq!((&standing["reason"], &standing["attempts"]), (&json!(reason), &json!(1)), "{fate}");
    }
    assert!(receiver.at("/ok-redirected").is_empty());
    assert!(server.log().contains("refuses our credentials") && !server.log().contains("s3cret"));
}

#[tokio::test]
async fn a_text_of_too_many_segments_is_not_sent() {
    let receiver = Receiver::start().await;
    let server = started(&receiver, &[("CHANNELS__SMS__MAX_SEGMENTS", "2")]).await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    let id = text(&admin, &"✓".repeat(135)).await;
    let standing = admin.comes_to(&id, "sms", "failed").await;
    assert_eq!(standing["reason"], "payload_too_large");
    assert!(error(&standing).contains("3 segments of UCS-2"), "{standing}");
}

#[tokio::test]
async fn a_report_moves_a_sent_text_once_and_a_forged_one_moves_nothing() {
    let receiver = Receiver::start().await;
    let server = started(&receiver, &[]).await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    let id = text(&admin, "ok").await;
    let address = receiver.comes("/ok", 1).await[0].json()["status_url"].as_str().unwrap().to_owned();
    let path = address.strip_prefix(BASE).unwrap();
    let anyone = admin.anonymous();
    let report = |status: &str| anyone.send(anyone.request(Method::GET, &format!("{path}?status={status}")));
    report("queued").await.is(200);
    assert_eq!(admin.comes_to(&id, "sms", "sent").await["reason"], Value::Null);
    report("delivered").await.is(200);
    admin.comes_to(&id, "sms", "delivered").await;
    for late in ["failed", "queued", "delivered"] {
        report(late).await.is(200);
    }
    let story = admin.story(&id, "sms").await;
    let told: Vec<&str> = story.iter().map(|moment| moment["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["pending", "sent", "delivered"]);

    let other = text(&admin, "ok").await;
    let address = receiver.comes("/ok", 2).await[1].json()["status_url"].as_str().unwrap().to_owned();
    let path = address.strip_prefix(BASE).unwrap();
    let mut forged = path.to_owned();
    forged.replace_range(10..11, if &path[10..11] == "A" { "B" } else { "A" });
    anyone.get(&format!("{forged}?status=delivered")).await.problem(404, "not_found");
    anyone.get("/in/sms/x?status=delivered").await.problem(404, "not_found");
    let failed = json!({ "status": "expired", "error": "30003" });
    anyone.post(path, &failed).await.is(200);
    let standing = admin.comes_to(&other, "sms", "failed").await;
    assert_eq!((&standing["reason"], error(&standing)), (&json!("provider_rejected"), "expired 30003"));
}

#[tokio::test]
async fn a_report_by_twilio_counts_only_with_its_signature() {
    let receiver = Receiver::start().await;
    let base = receiver.url("/ok-twilio");
    let server = started(
        &receiver,
        &[
            ("CHANNELS__SMS__PROVIDER", "twilio"),
            ("CHANNELS__SMS__TWILIO__ACCOUNT_SID", "AC1"),
            ("CHANNELS__SMS__TWILIO__AUTH_TOKEN", "twtoken"),
            ("CHANNELS__SMS__TWILIO__BASE_URL", &base),
        ],
    )
    .await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    let id = text(&admin, "Grüße & mehr").await;
    admin.comes_to(&id, "sms", "sent").await;
    let got = &receiver.comes("/ok-twilio/2010-04-01/Accounts/AC1/Messages.json", 1).await[0];
    let form: Vec<(String, String)> = pairs(&got.body);
    let value = |name: &str| form.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!((value("To"), value("Body")), ("+491701234567".into(), "Grüße & mehr".into()));
    let address = value("StatusCallback");
    let path = address.strip_prefix(BASE).unwrap();
    let parameters = json!({
        "ErrorCode": "30003", "MessageStatus": "undelivered", "To": "+491701234567", "Body": "Grüße & mehr",
    });
    let report = |token: &'static str, tampered: bool| {
        let case = json!({ "token": token, "url": address, "parameters": parameters });
        let signature = signed_by_twilio(&case);
        let mut form: reqwest::Url = "http://a/".parse().unwrap();
        for (name, value) in parameters.as_object().unwrap() {
            let value =
                if tampered && name == "MessageStatus" { "delivered" } else { value.as_str().unwrap() };
            form.query_pairs_mut().append_pair(name, value);
        }
        let request = admin
            .anonymous()
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-signature", signature)
            .body(form.query().unwrap().to_owned());
        admin.send(request)
    };
    report("another", false).await.problem(403, "forbidden");
    report("twtoken", true).await.problem(403, "forbidden");
    assert_eq!(admin.standing(&id, "sms").await["status"], "sent");
    report("twtoken", false).await.is(200);
    let standing = admin.comes_to(&id, "sms", "failed").await;
    assert_eq!(error(&standing), "undelivered 30003");
}

/// The signature that Twilio's own library makes.
fn signed_by_twilio(case: &Value) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sign_twilio.py");
    let mut child = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("Python does not start ({error}): run `make setup`"));
    writeln!(child.stdin.take().unwrap(), "{case}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the library is missing: run `make setup`");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The names and values of a form.
fn pairs(body: &str) -> Vec<(String, String)> {
    let url: reqwest::Url = format!("http://a/?{body}").parse().unwrap();
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_report_on_a_digest_is_told_of_each_that_was_in_it() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/ok");
    let server = started(&receiver, &[("CHANNELS__SMS__HTTP__URL", &url)]).await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    let digest = json!({ "digest": { "mode": "fixed", "window_seconds": 1 } });
    admin.put("/v1/categories/system", &digest).await.is(201);
    for fate in ["delivered", "failed"] {
        let mut ids = Vec::new();
        let before = receiver.at("/ok").len();
        for _ in 0..4 {
            ids.push(text(&admin, "The disk is full.").await);
        }
        let address =
            receiver.comes("/ok", before + 1).await[before].json()["status_url"].as_str().unwrap().to_owned();
        for id in &ids {
            admin.comes_to(id, "sms", "sent").await;
        }
        let path = address.strip_prefix(BASE).unwrap();
        for _ in 0..2 {
            admin.anonymous().get(&format!("{path}?status={fate}")).await.is(200);
        }
        for id in &ids {
            admin.comes_to(id, "sms", fate).await;
            let story = admin.story(id, "sms").await;
            assert_eq!(story.iter().filter(|moment| moment["event"] == fate).count(), 1, "{story:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_a_yes_where_its_status_and_a_field_say_so() {
    let receiver = Receiver::start().await;
    let server = started(&receiver, &[("CHANNELS__SMS__HTTP__SUCCESS_STATUS", "[200]")]).await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    let refused = text(&admin, "ok").await;
    let standing = admin.comes_to(&refused, "sms", "failed").await;
    assert!(error(&standing).starts_with("http: 204"), "{standing}");
    let server = started(&receiver, &[("CHANNELS__SMS__HTTP__SUCCESS_FIELD", "messages.0.status=0")]).await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    for (text_is, fate) in [("json0", "sent"), ("json9", "failed"), ("ok", "failed")] {
        let id = text(&admin, text_is).await;
        admin.comes_to(&id, "sms", fate).await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_hands_a_text_to_the_next() {
    let receiver = Receiver::start().await;
    let server = started(
        &receiver,
        &[
            ("CHANNELS__SMS__PROVIDERS", "[\"kannel\", \"http\"]"),
            ("CHANNELS__SMS__KANNEL__URL", "http://127.0.0.1:1/cgi-bin/sendsms"),
            ("CHANNELS__SMS__KANNEL__USERNAME", "belfry"),
            ("CHANNELS__SMS__KANNEL__PASSWORD", "k4nnel-s3cret"),
        ],
    )
    .await;
    let admin = server.admin();
    person(&admin, "ada", "+491701234567").await;
    let id = text(&admin, "ok").await;
    admin.comes_to(&id, "sms", "sent").await;
    let story = admin.story(&id, "sms").await;
    assert_eq!(story.last().unwrap()["detail"], "taken by http, 1 segment of GSM-7");
    let both = text(&admin, "429").await;
    let standing = admin.comes_to(&both, "sms", "retrying").await;
    assert!(error(&standing).contains("kannel: ") && error(&standing).contains("http: 429"), "{standing}");
    assert!(!server.log().contains("k4nnel-s3cret"));
}

#[tokio::test]
async fn a_national_number_is_taken_where_a_country_is_configured_and_refused_elsewhere() {
    let receiver = Receiver::start().await;
    let server = started(&receiver, &[("CHANNELS__SMS__DEFAULT_COUNTRY", "DE")]).await;
    let put = server.admin().put("/v1/users/ada", &json!({ "phone": "0170 123-4567" })).await.is(201);
    assert_eq!(put["phone"], "+491701234567");
    let other = Server::start().await;
    let put = other.admin().put("/v1/users/ada", &json!({ "phone": "0170 1234567" })).await;
    assert_eq!(put.fields(), ["phone"]);
}
