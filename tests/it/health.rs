//! Claims about health, readiness, metrics, and the pages that say that the server is up.

use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::{Server, Socket};

/// The value of a sample whose line starts with `start`.
fn sample(metrics: &str, start: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start} in:\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn it_is_alive_and_ready_and_says_nothing_of_its_insides() {
    let server = Server::start().await;
    let anonymous = server.admin().anonymous();
    let alive = anonymous.get("/healthz").await.is(200);
    assert_eq!(alive["status"], "ok");
    let ready = anonymous.get("/readyz").await;
    assert!(!ready.text.contains(&*server.data().to_string_lossy()));
    let ready = ready.is(200);
    assert_eq!((&ready["status"], &ready["reasons"]), (&json!("ready"), &json!([])));
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    for at in 0..3 {
        admin.notify(&with(hello("ada"), json!({ "id": format!("n-{at}") }))).await;
        admin.comes_to(&format!("n-{at}"), "email", "sent").await;
    }
    admin.get("/v1/no-such").await.is(404);
    let token = admin.mint("ada", &json!({})).await;
    let (_socket, _) = Socket::join(server.url(), &token, "").await;
    let answer = admin.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let metrics = &answer.text;
    assert!(metrics.contains("# TYPE belfry_notifications_accepted_total counter\n"), "{metrics}");
    assert_eq!(sample(metrics, "belfry_notifications_accepted_total"), 3.0);
    assert_eq!(sample(metrics, "belfry_connections"), 1.0);
    assert_eq!(sample(metrics, "belfry_store_writable"), 1.0);
    assert!(sample(metrics, "belfry_store_size_bytes") > 0.0);
    let delivered = r#"belfry_deliveries_total{channel="in_app",status="delivered",reason=""}"#;
    assert_eq!(sample(metrics, delivered), 3.0);
    let sent = r#"belfry_deliveries_total{channel="email",status="sent",reason=""}"#;
    assert_eq!(sample(metrics, sent), 3.0);
    let skipped =
        r#"belfry_deliveries_total{channel="sms",status="skipped",reason="preference_channel_off"}"#;
    assert_eq!(sample(metrics, skipped), 3.0);
    assert_eq!(sample(metrics, r#"belfry_http_requests_total{method="GET",status="404"}"#), 1.0);
    assert!(!metrics.contains("ada"), "no names in metrics");
}

#[tokio::test]
async fn the_health_of_live_connections_has_the_seeds_fields() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (_one, _) = Socket::join(server.url(), &token, "").await;
    let (_two, _) = Socket::join(server.url(), &token, "").await;
    let health = admin.get("/v1/websocket/health").await.is(200);
    assert_eq!(health["status"], "healthy");
    let connections = &health["connections"];
    assert_eq!(connections["total"], 2);
    let both = connections["active"].as_u64().unwrap() + connections["idle"].as_u64().unwrap();
    assert_eq!(both, 2);
    for name in ["messages_per_second", "average_response_time", "error_rate"] {
        assert!(health["performance"][name].is_number(), "{name}");
    }
    assert!(health["uptime"].is_number());
}

#[tokio::test]
async fn the_pages_ask_nothing_of_anybody_else() {
    let server = Server::start().await;
    let anonymous = server.admin().anonymous();
    for path in ["/", "/inbox"] {
        let page = anonymous.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") || policy.contains("default-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        for outside in ["src=\"http", "href=\"//", "src=\"//", "@import"] {
            assert!(!page.text.contains(outside), "{path} has {outside}");
        }
    }
    anonymous.get("/no-such-page").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_secret_is_never_in_the_log() {
    let server = Server::start_with(&[("LOG__LEVEL", "debug")]).await;
    let admin = server.admin();
    admin
        .put("/v1/users/ada", &json!({ "email": "ada@example.org", "phone": "+491701234567" }))
        .await
        .is(201);
    let token = admin.mint("ada", &json!({})).await;
    let key = admin.key(&["read"]).await;
    let handshake = crate::support::socket::handshake(server.url(), &format!("/v1/ws?token={token}"));
    let mut socket = Socket::open(handshake).await.unwrap();
    socket.next_of("hello").await;
    server.with(&key).get("/v1/users").await.is(200);
    let result: Value = admin.notify(&hello("ada")).await;
    admin.comes_to(result["notification_id"].as_str().unwrap(), "email", "sent").await;
    let log = server.log();
    for secret in [
        token.as_str(),
        &key,
        crate::support::server::ADMIN_KEY,
        crate::support::server::JWT_SECRET,
        "+491701234567",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
