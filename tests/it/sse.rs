//! Claims about the event stream: it tells what a WebSocket tells, and comes back as well.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::events::Events;
use crate::support::{Server, Socket, until};

#[tokio::test]
async fn an_event_stream_tells_what_a_websocket_tells() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.put("/v1/topics/ops/members", &json!({ "user_ids": ["ada"] })).await.is(200);
    let token = admin.mint("ada", &json!({ "workflows": ["w"] })).await;
    let query = "?channel=workflow:w&channel=topic%3Aops&channel=topic:other&session_id=s-1";
    let (mut events, greeting) = Events::join(server.url(), &token, query, None).await;
    assert!(events.head.iter().any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")));
    assert!(events.head.iter().any(|line| line.eq_ignore_ascii_case("cache-control: no-store")));
    assert_eq!(events.retry, Some(1_000));
    assert_eq!(events.next_of("subscribed").await.data["channel"], "workflow:w");
    assert_eq!(events.next_of("subscribed").await.data["channel"], "topic:ops");
    assert_eq!(events.next_of("error").await.data["code"], "FORBIDDEN");
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    socket.say(&json!({ "type": "subscribe", "channel": "topic:ops" })).await;
    socket.next_of("subscribed").await;
    // Line ends in what a sender attached are not line ends of the stream.
    let sent =
        admin.request(http::Method::POST, "/v1/notifications").header("content-type", "application/json");
    let body = "{\"user_id\":\"ada\",\"type\":\"a\",\"title\":\"T\\n\",\"message\":\"M\\r\\nm\",\"metadata\":{\"a\":\r\n[1,\n2]}}";
    admin.send(sent.body(body)).await.is(202);
    let told = events.next_of("notification").await;
    assert_eq!(told.data, socket.next_of("notification").await);
    let epoch = greeting.data["epoch"].as_str().unwrap();
    assert_eq!(told.id, Some(format!("{epoch}:1")));
    let message = json!({ "type": "notification", "title": "News", "message": "of the topic" });
    let broadcast = json!({ "message": message, "to": { "topic": "ops" } });
    assert_eq!(admin.post("/v1/broadcasts", &broadcast).await.is(202)["connections"], 2);
    assert_eq!(events.next_of("notification").await.data, socket.next_of("notification").await);
    let update = json!({ "type": "workflow_update", "workflow_id": "w", "progress": 0.5 });
    admin.post("/v1/workflow-events", &update).await.is(202);
    assert_eq!(events.next_of("workflow_update").await.data["progress"], 0.5);
    socket.say(&json!({ "type": "mark", "ids": [told.data["id"]], "as": "read" })).await;
    assert_eq!(events.next_of("inbox").await.data, socket.next_of("inbox").await);
    admin.call(http::Method::DELETE, "/v1/topics/ops/members", &json!({ "user_ids": ["ada"] })).await.is(200);
    assert_eq!(events.next_of("unsubscribed").await.data["channel"], "topic:ops");
}

#[tokio::test]
async fn an_event_stream_is_counted_listed_kicked_and_closed_at_a_shutdown() {
    let mut server = Server::start_with(&[("WEBSOCKET__MAX_CONNECTIONS", "2")]).await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (mut events, greeting) = Events::join(server.url(), &token, "?session_id=s-1", None).await;
    let (mut other, _) = Events::join(server.url(), &token, "", None).await;
    let bearer = format!("Bearer {token}");
    assert_eq!(Events::open(server.url(), "", &[("authorization", &bearer)]).await.err(), Some(503));
    let id = greeting.data["connection_id"].as_str().unwrap();
    let view = admin.get(&format!("/v1/connections/{id}")).await.is(200);
    assert_eq!((&view["user_id"], &view["session_id"]), (&json!("ada"), &json!("s-1")));
    assert_eq!(admin.get("/v1/websocket/health").await.is(200)["connections"]["total"], 2);
    admin.delete(&format!("/v1/connections/{id}")).await.is(204);
    assert_eq!(events.next_of("close").await.data["code"], 4503);
    assert!(events.next().await.is_none());
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(other.next_of("close").await.data["code"], 4001);
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_event_stream_wants_a_token_and_takes_it_from_the_query_too() {
    let server = Server::start().await;
    let admin = server.admin();
    for query in ["", "?token=wrong"] {
        assert_eq!(Events::open(server.url(), query, &[]).await.err(), Some(401), "{query}");
    }
    let publisher = admin.key(&["publish"]).await;
    assert_eq!(Events::open(server.url(), &format!("?token={publisher}"), &[]).await.err(), Some(403));
    let token = admin.mint("ada", &json!({ "expires_in": 2 })).await;
    for query in ["&channel=user:ada", "&offset=x&epoch=e", "&session_id=a%0Ab"] {
        let query = format!("?token={token}{query}");
        assert_eq!(Events::open(server.url(), &query, &[]).await.err(), Some(400), "{query}");
    }
    let mut events = Events::open(server.url(), &format!("?token={token}"), &[]).await.unwrap();
    events.next_of("hello").await;
    assert_eq!(events.next_of("close").await.data["code"], 4005);
    assert!(!server.log().contains(&token), "a token is not logged");
    admin.post("/v1/sse", &json!({})).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn an_event_stream_comes_back_after_a_kill_with_everything_once_and_in_order() {
    let mut server = Server::start().await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (mut events, _) = Events::join(server.url(), &token, "", None).await;
    let mut seen = 0;
    for round in 0..3 {
        for at in 0..300 {
            server.admin().notify(&hello("ada")).await;
            if at < 7 {
                seen += 1;
                assert_eq!(events.next_of("notification").await.data["offset"], seen);
            }
        }
        let last = events.last_id.clone();
        if round == 1 {
            // A page may have kept it in the address instead.
            let (epoch, offset) = last.as_deref().unwrap().split_once(':').unwrap();
            let query = format!("?epoch={epoch}&offset={offset}");
            events = Events::join(server.url(), &token, &query, None).await.0;
        } else {
            server.restart().await;
            let (again, greeting) = Events::join(server.url(), &token, "", last.as_deref()).await;
            assert_eq!(greeting.data["recovered"], true);
            assert_eq!(greeting.id, None, "the head is not what the reader has");
            events = again;
        }
        for _ in 7..300 {
            let told = events.next_of("notification").await;
            seen += 1;
            assert_eq!((&told.data["offset"], &told.data["replay"]), (&json!(seen), &json!(true)));
        }
    }
    for nonsense in ["rubbish", "other:1", "a:b", ":"] {
        let (_, greeting) = Events::join(server.url(), &token, "", Some(nonsense)).await;
        assert_eq!(greeting.data["recovered"], false, "{nonsense}");
        assert!(greeting.id.is_some(), "it begins here");
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_cut_and_comes_back_for_the_rest() {
    let server = Server::start_with(&[("WEBSOCKET__MESSAGE_QUEUE_SIZE", "20")]).await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (mut slow, greeting) = Events::join(server.url(), &token, "", None).await;
    let (mut quick, _) = Socket::join(server.url(), &token, "").await;
    let big = with(hello("ada"), json!({ "message": "x".repeat(30_000) }));
    const COUNT: u64 = 500;
    for at in 0..COUNT {
        let begun = Instant::now();
        admin.notify(&big).await;
        assert_eq!(quick.next_of("notification").await["offset"], at + 1);
        assert!(begun.elapsed() < Duration::from_secs(1), "{at}: {:?}", begun.elapsed());
    }
    let id = greeting.data["connection_id"].as_str().unwrap();
    until("the slow one to be let go", || async {
        (admin.get(&format!("/v1/connections/{id}")).await.status == 404).then_some(())
    })
    .await;
    let mut last = 0;
    while let Some(told) = slow.next().await {
        if told.name == "close" {
            assert_eq!(told.data["code"], 4008);
            continue;
        }
        last += 1;
        assert_eq!(told.data["offset"], last, "what it gets is in order and without a gap");
    }
    assert!(last < COUNT);
    let (mut again, _) = Events::join(server.url(), &token, "", slow.last_id.as_deref()).await;
    for offset in last + 1..=COUNT {
        assert_eq!(again.next_of("notification").await.data["offset"], offset);
    }
}

#[tokio::test]
async fn a_quiet_event_stream_beats_and_one_that_is_left_is_forgotten() {
    let server = Server::start_with(&[
        ("WEBSOCKET__HEARTBEAT_INTERVAL", "100ms"),
        ("WEBSOCKET__CONNECTION_TIMEOUT", "700ms"),
    ])
    .await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({ "expires_in": 2 })).await;
    let (mut events, _) = Events::join(server.url(), &token, "", None).await;
    // It lives well beyond the timeout, by beats alone.
    assert_eq!(events.next_of("close").await.data["code"], 4005);
    assert!(events.beats >= 3, "{}", events.beats);
    let (gone, _) = Events::join(server.url(), &admin.mint("bob", &json!({})).await, "", None).await;
    drop(gone);
    until("the stream that was left to be forgotten", || async {
        let listed = admin.get("/v1/connections").await.is(200);
        listed["data"].as_array().is_some_and(Vec::is_empty).then_some(Value::Null)
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_reader_that_does_not_read() {
    let mut server = Server::start_with(&[("SERVER__DRAIN_TIME", "15s")]).await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (_stuck, _) = Events::join(server.url(), &token, "", None).await;
    let big = with(hello("ada"), json!({ "message": "x".repeat(30_000) }));
    for _ in 0..250 {
        admin.notify(&big).await;
    }
    let begun = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
