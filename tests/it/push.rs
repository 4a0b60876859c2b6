//! Claims about Web Push: what browsers register, what their push services are sent, and what becomes of each answer.
//! That a real browser reads it is seen in `tests/browser/push.mjs`.

use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::push::PushService;
use crate::support::{Client, Server, until};

async fn started(schedule: &str) -> (PushService, Server) {
    let service = PushService::start().await;
    let server = Server::start_with(&PushService::settings(schedule)).await;
    (service, server)
}

/// A person who wants to be pushed to and has those browsers.
async fn person(admin: &Client, service: &PushService, browsers: &[&str]) {
    let wishes = json!({ "channels": { "browser_push": true } });
    admin.patch("/v1/users/ada/preferences", &wishes).await.is(200);
    for name in browsers {
        admin.post("/v1/users/ada/push-subscriptions", &service.browser(name)).await.is(201);
    }
}

async fn notify(admin: &Client, more: Value) -> String {
    let wanted = with(with(hello("ada"), json!({ "channels": ["browser_push"] })), more);
    let result = admin.notify(&wanted).await;
    result["notification_id"].as_str().unwrap().to_owned()
}

async fn browsers(admin: &Client) -> Vec<Value> {
    admin.all("/v1/users/ada/push-subscriptions").await
}

#[tokio::test]
async fn a_notification_goes_to_every_browser_of_the_person() {
    let (service, server) = started("[]").await;
    let admin = server.admin();
    person(&admin, &service, &["desk", "phone"]).await;
    let more =
        json!({ "priority": "critical", "collapse_key": "disk", "expires_at": "2999-01-01T00:00:00Z" });
    let id = notify(&admin, more).await;
    let standing = admin.comes_to(&id, "browser_push", "sent").await;
    assert_eq!(standing["attempts"], 1);
    for name in ["desk", "phone"] {
        let seen = service.seen(name);
        assert_eq!(seen.len(), 1);
        let headers = &seen[0].headers;
        assert_eq!(
            (headers["urgency"].as_str(), headers["content-encoding"].as_str()),
            ("high", "aes128gcm")
        );
        assert!(headers["topic"].len() <= 32 && headers["authorization"].starts_with("vapid t="));
        assert!(headers["authorization"].starts_with("vapid t="));
        assert!((200..4096).contains(&seen[0].body_len));
    }
    for browser in browsers(&admin).await {
        assert!(browser["last_success"].is_string(), "{browser}");
    }
}

#[tokio::test]
async fn a_browser_that_is_gone_is_forgotten_and_the_others_are_served() {
    let (service, server) = started("[]").await;
    let admin = server.admin();
    person(&admin, &service, &["desk", "gone", "lost"]).await;
    service.answers("gone", &[(410, "")]);
    service.answers("lost", &[(404, "")]);
    let id = notify(&admin, json!({})).await;
    admin.comes_to(&id, "browser_push", "sent").await;
    assert_eq!(browsers(&admin).await.len(), 1);
    service.answers("desk", &[(410, "")]);
    let id = notify(&admin, json!({})).await;
    let standing = admin.comes_to(&id, "browser_push", "failed").await;
    assert_eq!(standing["reason"], "subscription_gone");
    assert_eq!(browsers(&admin).await, Vec::<Value>::new());
    let id = notify(&admin, json!({})).await;
    let standing = admin.comes_to(&id, "browser_push", "skipped").await;
    assert_eq!(standing["reason"], "no_address");
}

#[tokio::test]
async fn a_repeat_goes_only_to_the_browsers_that_have_not_got_it() {
    let (service, server) = started("[\"200ms\", \"200ms\", \"200ms\"]").await;
    let admin = server.admin();
    person(&admin, &service, &["desk", "phone"]).await;
    service.answers("phone", &[(500, ""), (0, ""), (429, "retry-after: 1\r\n")]);
    let id = notify(&admin, json!({})).await;
    let standing = admin.comes_to(&id, "browser_push", "sent").await;
    assert_eq!(
        (&standing["attempts"], service.seen("desk").len(), service.seen("phone").len()),
        (&json!(4), 1, 4)
    );
    let story = admin.story(&id, "browser_push").await;
    let reasons: Vec<&str> = story.iter().filter_map(|moment| moment["reason"].as_str()).collect();
    assert_eq!(reasons, ["provider_unreachable", "provider_unreachable", "provider_rate_limited"]);
}

#[tokio::test]
async fn a_delivery_that_one_browser_never_took_is_sent_all_the_same() {
    let (service, server) = started("[\"100ms\"]").await;
    let admin = server.admin();
    person(&admin, &service, &["desk", "phone"]).await;
    service.answers("phone", &[(503, ""), (503, "")]);
    let id = notify(&admin, json!({})).await;
    admin.comes_to(&id, "browser_push", "sent").await;
    assert_eq!((service.seen("desk").len(), service.seen("phone").len()), (1, 2));
}

#[tokio::test]
async fn a_message_that_is_too_large_is_sent_once_more_and_smaller() {
    let (service, server) = started("[]").await;
    let admin = server.admin();
    person(&admin, &service, &["desk"]).await;
    service.answers("desk", &[(413, "")]);
    let long = json!({ "message": "grüße ".repeat(900) });
    let id = notify(&admin, long.clone()).await;
    admin.comes_to(&id, "browser_push", "sent").await;
    let lens: Vec<usize> = service.seen("desk").iter().map(|pushed| pushed.body_len).collect();
    assert!(lens[0] > 3000 && lens[0] < 4096 && lens[1] < 1200, "{lens:?}");
    service.answers("desk", &[(413, ""), (413, "")]);
    let id = notify(&admin, long).await;
    let standing = admin.comes_to(&id, "browser_push", "failed").await;
    assert_eq!(standing["reason"], "payload_too_large");
    assert_eq!(browsers(&admin).await.len(), 1, "it is not the browser's fault");
}

#[tokio::test]
async fn a_signature_that_is_refused_is_the_operators_matter_and_not_the_browsers() {
    let (service, server) = started("[\"500ms\"]").await;
    let admin = server.admin();
    person(&admin, &service, &["desk"]).await;
    service.answers("desk", &[(403, "")]);
    let id = notify(&admin, json!({})).await;
    admin.comes_to(&id, "browser_push", "retrying").await;
    let push = admin.channel("browser_push").await;
    assert_eq!((&push["state"], &push["reason"]), (&json!("degraded"), &json!("provider_rejected")));
    assert!(push["last_error"].as_str().unwrap().contains("signature is refused"), "{push}");
    assert_eq!(admin.get("/readyz").await.is(200)["status"], "degraded");
    admin.comes_to(&id, "browser_push", "sent").await;
    assert_eq!(admin.channel("browser_push").await["state"], "ok");
    assert_eq!(admin.story(&id, "browser_push").await[1]["reason"], "provider_rejected");
    server.logs("refuses this server's signature", 0).await;
    service.answers("desk", &[(400, "")]);
    let id = notify(&admin, json!({})).await;
    let standing = admin.comes_to(&id, "browser_push", "failed").await;
    assert_eq!(standing["reason"], "provider_rejected");
    assert_eq!(browsers(&admin).await.len(), 1);
}

#[tokio::test]
async fn a_push_service_that_is_away_is_left_alone_and_gets_everything_when_it_is_back() {
    let service = PushService::start().await;
    let mut settings = PushService::settings("[\"100ms\"]");
    settings.extend([("DELIVERY__CIRCUIT_FAILURES", "2"), ("DELIVERY__CIRCUIT_PROBE", "200ms")]);
    let server = Server::start_with(&settings).await;
    let admin = server.admin();
    person(&admin, &service, &["desk"]).await;
    // More than three messages have attempts.
    service.answers("desk", &[(503, ""); 12]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(notify(&admin, json!({})).await);
    }
    until("the service to be left alone", || async {
        let push = admin.channel("browser_push").await;
        (push["providers"][0]["state"] == "open" && push["state"] == "degraded").then_some(())
    })
    .await;
    assert_eq!(admin.get("/readyz").await.is(200)["status"], "ready");
    for id in &ids {
        let standing = admin.comes_to(id, "browser_push", "sent").await;
        assert!(standing["attempts"].as_u64().unwrap() <= 2, "{standing}");
    }
    assert_eq!(service.seen("desk").len(), 15);
    assert_eq!(admin.channel("browser_push").await["providers"], json!([]));
}

#[tokio::test]
async fn a_person_keeps_their_own_browsers_and_sees_no_secret_of_them() {
    let (service, server) = started("[]").await;
    let admin = server.admin();
    let own = server.with(&admin.mint("ada", &json!({})).await);
    let other = server.with(&admin.mint("bob", &json!({})).await);
    let kept = own.post("/v1/users/me/push-subscriptions", &service.browser("a-long-secret")).await.is(201);
    let again = own.post("/v1/users/ada/push-subscriptions", &service.browser("a-long-secret")).await.is(200);
    assert_eq!(kept["id"], again["id"]);
    other.get("/v1/users/ada/push-subscriptions").await.problem(403, "forbidden");
    own.anonymous().get("/v1/users/ada/push-subscriptions").await.problem(401, "unauthorized");
    let list = own.get("/v1/users/me/push-subscriptions").await;
    assert_eq!(list.is(200)["data"][0]["last_success"], Value::Null);
    assert!(!list.text.contains("a-long-secret") && !list.text.contains("BTBZMqHH6r4Tts7J_aSIgg"));
    let path = format!("/v1/users/me/push-subscriptions/{}", kept["id"].as_str().unwrap());
    other.delete(&path).await.problem(404, "not_found");
    own.delete(&path).await.is(204);
    own.delete(&path).await.problem(404, "not_found");
    own.post("/v1/users/me/push-subscriptions", &service.browser("b")).await.is(201);
    let endpoint = service.browser("b")["endpoint"].as_str().unwrap().to_owned();
    own.delete(&format!("/v1/users/me/push-subscriptions?endpoint={endpoint}")).await.is(204);
}

#[tokio::test]
async fn a_browser_that_somebody_else_signs_in_with_is_theirs_from_then_on() {
    let (service, server) = started("[]").await;
    let admin = server.admin();
    person(&admin, &service, &["shared"]).await;
    admin.post("/v1/users/bob/push-subscriptions", &service.browser("shared")).await.is(201);
    assert_eq!(browsers(&admin).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_browser_with_a_new_address_says_so_by_the_secret_of_the_old_one() {
    let (service, server) = started("[]").await;
    let admin = server.admin();
    person(&admin, &service, &["old"]).await;
    let browser = admin.anonymous();
    let renewal = json!({ "old": service.browser("old"), "subscription": service.browser("new") });
    let mut guessed = renewal.clone();
    guessed["old"]["keys"]["auth"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
    browser.post("/v1/push/renew", &guessed).await.problem(404, "not_found");
    browser.post("/v1/push/renew", &renewal).await.is(204);
    browser.post("/v1/push/renew", &renewal).await.problem(404, "not_found");
    assert_eq!(browser.post("/v1/push/renew", &json!({})).await.fields(), ["old"]);
    let id = notify(&admin, json!({})).await;
    admin.comes_to(&id, "browser_push", "sent").await;
    assert_eq!((service.seen("old").len(), service.seen("new").len()), (0, 1));
}

#[tokio::test]
async fn an_endpoint_inside_the_network_is_refused_by_name() {
    let server = Server::start().await;
    let admin = server.admin();
    for endpoint in [
        "http://127.0.0.1/x",
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/x",
        "https://localhost/x",
        "https://2130706433/x",
        "http://push.example.org/x",
        "ftp://push.example.org/x",
        "not a URL",
    ] {
        let browser = json!({ "endpoint": endpoint,
            "keys": { "p256dh": crate::support::push::P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg" } });
        let answer = admin.post("/v1/users/ada/push-subscriptions", &browser).await;
        assert_eq!(answer.fields(), ["endpoint"], "{endpoint}");
    }
}

#[tokio::test]
async fn the_key_that_browsers_subscribe_with_outlives_a_restart_and_a_change_strands_nobody() {
    let (service, mut server) = started("[]").await;
    let key = async |server: &Server| -> String {
        let answer = server.admin().anonymous().get("/v1/push/vapid-public-key").await.is(200);
        answer["public_key"].as_str().unwrap().to_owned()
    };
    let first = key(&server).await;
    person(&server.admin(), &service, &["desk"]).await;
    server.kill();
    server.start_again().await;
    assert_eq!(key(&server).await, first);
    server.kill();
    // The private key whose public half the example of RFC 8291 shows.
    server.set("CHANNELS__BROWSER_PUSH__VAPID_PRIVATE_KEY", "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
    server.start_again().await;
    assert_eq!(key(&server).await, crate::support::push::P256DH);
    let admin = server.admin();
    let newer =
        with(service.browser("phone"), json!({ "applicationServerKey": crate::support::push::P256DH }));
    admin.post("/v1/users/ada/push-subscriptions", &newer).await.is(201);
    let stranger = with(service.browser("x"), json!({ "applicationServerKey": "BAAA" }));
    let refused = admin.post("/v1/users/ada/push-subscriptions", &stranger).await;
    assert_eq!(refused.fields(), ["applicationServerKey"]);
    let id = notify(&admin, json!({})).await;
    admin.comes_to(&id, "browser_push", "sent").await;
    let signed_by =
        |name: &str| service.seen(name)[0].headers["authorization"].split("k=").nth(1).unwrap().to_owned();
    assert_eq!((signed_by("desk"), signed_by("phone")), (first, crate::support::push::P256DH.to_owned()));
}

#[tokio::test]
async fn nothing_is_left_of_the_browsers_of_somebody_who_is_forgotten() {
    let (service, server) = started("[]").await;
    let admin = server.admin();
    person(&admin, &service, &["desk"]).await;
    admin.delete("/v1/users/ada").await.is(204);
    assert_eq!(browsers(&admin).await, Vec::<Value>::new());
    admin.post("/v1/users/bob/push-subscriptions", &service.browser("desk")).await.is(201);
}
