//! Claims about what a live connection may watch, and that a right that is taken away is gone at once.

use std::time::{Duration, Instant};

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::hello;
use crate::support::token::{seconds_now, signed};
use crate::support::{Client, Heard, Server, Socket};

/// What is taken away is gone within this time.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn subscribe(socket: &mut Socket, channel: &str) -> Value {
    socket.say(&json!({ "type": "subscribe", "channel": channel })).await;
    socket.next().await
}

async fn watches(socket: &mut Socket, channel: &str) {
    let answer = subscribe(socket, channel).await;
    assert_eq!((&answer["type"], &answer["channel"]), (&json!("subscribed"), &json!(channel)), "{answer}");
}

async fn may_not(socket: &mut Socket, channel: &str) {
    let answer = subscribe(socket, channel).await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("FORBIDDEN")), "{answer}");
}

async fn members(admin: &Client, method: Method, topic: &str, users: &[&str]) {
    let path = format!("/v1/topics/{topic}/members");
    admin.call(method, &path, &json!({ "user_ids": users })).await.is(200);
}

/// How many connections a broadcast to a topic reaches.
async fn reach(admin: &Client, topic: &str) -> u64 {
    let message = json!({ "type": "notification", "title": "News", "message": "of the topic" });
    let body = json!({ "message": message, "to": { "topic": topic } });
    admin.post("/v1/broadcasts", &body).await.is(202)["connections"].as_u64().unwrap()
}

#[tokio::test]
async fn a_member_watches_a_topic_and_whoever_is_put_out_is_told_and_hears_no_more() {
    let server = Server::start().await;
    let admin = server.admin();
    members(&admin, Method::PUT, "ops", &["ada", "bob", "cleo"]).await;
    let plain = |user: &'static str| {
        let admin = &admin;
        async move { admin.mint(user, &json!({})).await }
    };
    let (mut ada, _) = Socket::join(server.url(), &plain("ada").await, "").await;
    let (mut too, _) = Socket::join(server.url(), &plain("ada").await, "").await;
    let (mut bob, _) = Socket::join(server.url(), &plain("bob").await, "").await;
    let (mut dora, _) = Socket::join(server.url(), &plain("dora").await, "").await;
    let cleos = admin.mint("cleo", &json!({ "topics": ["ops"] })).await;
    let (mut cleo, _) = Socket::join(server.url(), &cleos, "").await;
    for socket in [&mut ada, &mut too, &mut bob, &mut cleo] {
        watches(socket, "topic:ops").await;
    }
    may_not(&mut dora, "topic:ops").await;
    may_not(&mut ada, "topic:other").await;
    assert_eq!(reach(&admin, "ops").await, 4);
    for socket in [&mut ada, &mut too, &mut bob, &mut cleo] {
        assert_eq!(socket.next_of("notification").await["title"], "News");
    }
    let begun = Instant::now();
    members(&admin, Method::DELETE, "ops", &["ada", "cleo"]).await;
    for socket in [&mut ada, &mut too] {
        assert_eq!(socket.next_of("unsubscribed").await["channel"], "topic:ops");
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    // Cleo's token says so itself.
    assert_eq!(reach(&admin, "ops").await, 2);
    for socket in [&mut bob, &mut cleo] {
        socket.next_of("notification").await;
    }
    may_not(&mut ada, "topic:ops").await;
    admin.delete("/v1/topics/ops").await.is(204);
    assert_eq!(bob.next_of("unsubscribed").await["channel"], "topic:ops");
    assert_eq!(reach(&admin, "ops").await, 1);
    ada.hears_nothing().await;
}

#[tokio::test]
async fn whoever_a_workflows_events_are_for_may_watch_it_also_after_a_restart() {
    let mut server = Server::start().await;
    let admin = server.admin();
    let event = |kind: &str, user: &str| json!({ "type": kind, "workflow_id": "w-1", "session_id": "s-1", "user_id": user });
    admin.post("/v1/workflow-events", &event("workflow_completed", "ada")).await.is(202);
    admin.post("/v1/workflow-events", &event("workflow_update", "bob")).await.is(202);
    server.restart().await;
    let admin = server.admin();
    for user in ["ada", "bob"] {
        let token = admin.mint(user, &json!({})).await;
        let (mut socket, _) = Socket::join(server.url(), &token, "?session_id=s-1").await;
        watches(&mut socket, "workflow:w-1").await;
        may_not(&mut socket, "workflow:w-2").await;
        admin.post("/v1/workflow-events", &event("workflow_update", "bob")).await.is(202);
        assert_eq!(socket.next_of("workflow_update").await["workflow_id"], "w-1");
        let view = admin.get(&format!("/v1/connections?user_id={user}")).await.is(200);
        assert_eq!(view["data"][0]["subscriptions"], json!(["workflow:s-1", "workflow:w-1"]));
    }
    admin.delete("/v1/users/ada").await.is(204);
    let (mut ada, _) = Socket::join(server.url(), &admin.mint("ada", &json!({})).await, "").await;
    may_not(&mut ada, "workflow:w-1").await;
}

#[tokio::test]
async fn a_revoked_key_and_a_deleted_user_are_off_within_a_second() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = admin.post("/v1/keys", &json!({ "name": "wall", "scopes": ["read"] })).await.is(201);
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let (mut by_key, _) = Socket::join(server.url(), token, "").await;
    let (mut other, _) = Socket::join(server.url(), &admin.key(&["read"]).await, "").await;
    watches(&mut by_key, "topic:any").await;
    admin.notify(&hello("ada")).await;
    let (mut ada, _) = Socket::join(server.url(), &admin.mint("ada", &json!({})).await, "").await;
    let begun = Instant::now();
    admin.delete(&format!("/v1/keys/{id}")).await.is(204);
    assert_eq!(by_key.closed().await, 4500);
    admin.delete("/v1/users/ada").await.is(204);
    assert_eq!(ada.closed().await, 4503);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    other.hears_nothing().await;
}

#[tokio::test]
async fn a_fresh_token_that_allows_less_takes_subscriptions_away() {
    let server = Server::start().await;
    let admin = server.admin();
    members(&admin, Method::PUT, "mine", &["ada"]).await;
    let wide = admin.mint("ada", &json!({ "topics": ["ops"], "workflows": ["*"] })).await;
    let (mut socket, _) = Socket::join(server.url(), &wide, "").await;
    for channel in ["topic:ops", "workflow:w", "topic:mine"] {
        watches(&mut socket, channel).await;
    }
    let narrow = admin.mint("ada", &json!({ "workflows": ["w"] })).await;
    socket.say(&json!({ "type": "connect", "token": narrow })).await;
    assert_eq!(socket.next_of("unsubscribed").await["channel"], "topic:ops");
    socket.next_of("hello").await;
    let view = admin.get("/v1/connections?user_id=ada").await.is(200);
    assert_eq!(view["data"][0]["subscriptions"], json!(["topic:mine", "workflow:w"]));
}

#[tokio::test]
async fn a_new_signing_secret_ends_the_connections_of_tokens_signed_with_the_old_one() {
    let before = "the secret of before, long enough";
    let settings = |secret: &str| format!("[auth]\njwt_secret = \"{secret}\"\n");
    let mut server = Server::start_with_file(&settings(before)).await;
    server.kill();
    server.unset("AUTH__JWT_SECRET");
    server.start_again().await;
    let token = signed(&json!({ "sub": "ada", "exp": seconds_now() + 600 }), before);
    let (mut ada, _) = Socket::join(server.url(), &token, "").await;
    let (mut key, _) = Socket::join(server.url(), &server.admin().key(&["read"]).await, "").await;
    std::fs::write(server.config(), settings("the secret of now, as long again")).unwrap();
    server.signal(Signal::HUP);
    assert_eq!(ada.hear().await, Heard::Closed(4500));
    key.hears_nothing().await;
}
