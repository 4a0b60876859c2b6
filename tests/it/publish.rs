//! Claims about publishing to a topic with one line: what headers say, who gets it, and who sees it at once.

use http::Method;
use serde_json::{Value, json};

use crate::sends::{ended, join};
use crate::support::{Answer, Client, Server, Socket};

async fn publish(client: &Client, topic: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = client.request(Method::POST, &format!("/p/{topic}")).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request).await
}

async fn first_of(client: &Client, user: &str) -> Value {
    client.all(&format!("/v1/users/{user}/inbox")).await.remove(0)
}

#[tokio::test]
async fn the_body_is_the_message_and_headers_say_the_rest() {
    let server = Server::start().await;
    let admin = server.admin();
    join(&admin, "backups", &["ada".into(), "bob".into()]).await;
    let headers = [
        ("Title", "Backup failed"),
        ("Priority", "high"),
        ("Category", "ops"),
        ("Click", "https://example.org/b"),
        ("Content-Type", "text/plain"),
    ];
    let sent = publish(&admin, "backups", "host db-3\n", &headers).await.is(202);
    assert_eq!(ended(&admin, &sent["batch_id"]).await["successful"], 2);
    let entry = first_of(&admin, "bob").await;
    for (field, wanted) in [
        ("title", json!("Backup failed")),
        ("message", json!("host db-3")),
        ("priority", json!("high")),
        ("category", json!("ops")),
    ] {
        assert_eq!(entry[field], wanted, "{field}");
    }
    assert_eq!(entry["action"]["url"], "https://example.org/b");
}

#[tokio::test]
async fn ntfys_headers_are_understood_and_a_title_is_not_needed() {
    let server = Server::start().await;
    let admin = server.admin();
    join(&admin, "doors", &["ada".into()]).await;
    let sent = publish(&admin, "doors", "", &[("X-Priority", "5")]).await.is(202);
    ended(&admin, &sent["batch_id"]).await;
    let entry = first_of(&admin, "ada").await;
    assert_eq!(
        (&entry["title"], &entry["message"], &entry["priority"]),
        (&json!("doors"), &json!("triggered"), &json!("critical"))
    );
}

#[tokio::test]
async fn a_delay_holds_it_back() {
    let server = Server::start().await;
    let admin = server.admin();
    join(&admin, "doors", &["ada".into()]).await;
    let sent = publish(&admin, "doors", "later", &[("Delay", "2h")]).await.is(202);
    assert_eq!(ended(&admin, &sent["batch_id"]).await["successful"], 1);
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"], 0);
}

#[tokio::test]
async fn whoever_watches_the_topic_sees_it_at_once_member_or_not() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({ "topics": ["doors"] })).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    socket.say(&json!({ "type": "subscribe", "channel": "topic:doors" })).await;
    socket.next_of("subscribed").await;
    publish(&admin, "doors", "open", &[]).await.is(202);
    let frame = socket.next_of("notification").await;
    assert_eq!((&frame["title"], &frame["message"]), (&json!("doors"), &json!("open")));
}

#[tokio::test]
async fn what_headers_say_wrong_is_refused_by_name() {
    let server = Server::start().await;
    let admin = server.admin();
    for (header, value, field) in [
        ("Priority", "9", "Priority"),
        ("Delay", "soon", "Delay"),
        ("Delay", "400d", "Delay"),
        ("Category", "Not A Word", "category"),
        ("Click", "javascript:alert(1)", "action.url"),
    ] {
        assert_eq!(publish(&admin, "doors", "x", &[(header, value)]).await.fields(), [field], "{header}");
    }
    publish(&admin, "doors", &"x".repeat(40_000), &[]).await.problem(413, "payload_too_large");
    let reader = server.with(&admin.key(&["read"]).await);
    publish(&reader, "doors", "x", &[]).await.problem(403, "forbidden");
    publish(&admin.anonymous(), "doors", "x", &[]).await.problem(401, "unauthorized");
}
