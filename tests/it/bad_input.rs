//! Claims about bad input at the ways in and out: each is refused by the field that is wrong, and nothing of it is stored.

use serde_json::{Value, json};

use crate::support::push::PushService;
use crate::support::{Client, Server};

/// Other spellings of addresses inside, and what is no place to call at all.
const NO_PLACES: [&str; 18] = [
    "http://1.1.1.1/x",
    "https://localhost/x",
    "https://127.1/x",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://169.254.169.254/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://user:secret@1.1.1.1/",
    "javascript:alert(1)",
    "//1.1.1.1/x",
    "x",
];

/// Values of every kind that none of these fields takes.
fn wrong_kinds() -> [Value; 9] {
    [
        json!(true),
        json!(7),
        json!(""),
        json!(" "),
        json!([]),
        json!({}),
        json!("\u{0}"),
        json!("a\r\nb"),
        json!(["x"]),
    ]
}

async fn refused(admin: &Client, path: &str, body: &Value, field: &str) {
    let answer = admin.post(path, body).await;
    assert_eq!(answer.fields(), [field], "{body}");
}

#[tokio::test]
async fn a_malformed_push_subscription_is_refused_by_the_field_that_is_wrong() {
    let (service, server) = (PushService::start().await, Server::start().await);
    let (admin, path) = (server.admin(), "/v1/users/ada/push-subscriptions");
    let good = service.browser("desk");
    let changed = |field: &str, value: Value| {
        let mut body = good.clone();
        body["endpoint"] = json!("https://1.1.1.1/push/x");
        let (outer, inner) = field.split_once('.').unwrap_or((field, ""));
        if inner.is_empty() {
            body[outer] = value
        } else {
            body[outer][inner] = value
        }
        body
    };
    for place in NO_PLACES {
        refused(&admin, path, &changed("endpoint", json!(place)), "endpoint").await;
    }
    for wrong in wrong_kinds() {
        for field in ["keys.p256dh", "keys.auth", "endpoint"] {
            refused(&admin, path, &changed(field, wrong.clone()), field).await;
        }
    }
    let key = good["keys"]["p256dh"].as_str().unwrap();
    let off_the_curve = format!("B{}", "A".repeat(86));
    for wrong in [&key[..key.len() - 1], &format!("{key}A"), off_the_curve.as_str(), "AAAA"] {
        refused(&admin, path, &changed("keys.p256dh", json!(wrong)), "keys.p256dh").await;
    }
    for wrong in [json!("soon"), json!(-1), json!(1e308), json!(true)] {
        refused(&admin, path, &changed("expirationTime", wrong), "expirationTime").await;
    }
    let kept = admin.get(path).await;
    assert!(kept.status == 404 || kept.json()["data"] == json!([]), "{}", kept.text);
    admin.post(path, &changed("expirationTime", Value::Null)).await.is(201);
}

#[tokio::test]
async fn a_phone_number_that_is_none_is_refused_and_one_with_spaces_is_made_plain() {
    let server = Server::start().await;
    let admin = server.admin();
    for wrong in [
        "+4917",
        "+49170123456789012345",
        "0170123456",
        "+0123456789",
        "tel:+491701234567",
        "+4917012345x7",
        "＋491701234567",
        "+491701234567\r\nX: y",
        "+491701234567;ext=1",
        "49170123456",
        "+1",
    ] {
        let put = admin.put("/v1/users/bob", &json!({ "phone": wrong })).await;
        assert_eq!(put.fields(), ["phone"], "{wrong}");
    }
    for wrong in wrong_kinds() {
        assert_eq!(
            admin.put("/v1/users/bob", &json!({ "phone": wrong })).await.fields(),
            ["phone"],
            "{wrong}"
        );
    }
    admin.get("/v1/users/bob").await.problem(404, "not_found");
}

#[tokio::test]
async fn an_endpoint_at_no_place_to_call_is_refused_by_its_url() {
    let server = Server::start().await;
    let admin = server.admin();
    for place in NO_PLACES {
        refused(&admin, "/v1/endpoints", &json!({ "url": place, "events": ["*"] }), "url").await;
    }
    for wrong in wrong_kinds() {
        refused(&admin, "/v1/endpoints", &json!({ "url": wrong, "events": ["*"] }), "url").await;
        refused(
            &admin,
            "/v1/endpoints",
            &json!({ "url": "https://1.1.1.1/", "events": { "a": wrong } }),
            "events",
        )
        .await;
    }
    assert_eq!(admin.get("/v1/endpoints").await.is(200)["data"], json!([]));
}
