//! Claims about live connections: what reaches whom, in what order, and how a lost one comes back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::{hello, ids, with};
use crate::support::socket::handshake;
use crate::support::{Heard, Server, Socket, until};

#[tokio::test]
async fn a_connection_says_hello_and_is_listed_with_its_session() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({ "workflows": ["*"] })).await;
    admin.notify(&hello("ada")).await;
    let (mut socket, hello_frame) = Socket::join(server.url(), &token, "?session_id=s-1").await;
    assert_eq!((&hello_frame["user_id"], &hello_frame["session_id"]), (&json!("ada"), &json!("s-1")));
    assert_eq!((&hello_frame["offset"], &hello_frame["unread"]), (&json!(1), &json!(1)));
    assert_eq!(hello_frame["recovered"], false);
    assert!(hello_frame["epoch"].as_str().is_some_and(|epoch| !epoch.is_empty()));
    assert_eq!(
        (&hello_frame["heartbeat_interval"], &hello_frame["connection_timeout"]),
        (&json!(30), &json!(300))
    );
    assert_eq!(hello_frame["max_message_size"], 1 << 20);
    let reconnect = &hello_frame["reconnect"];
    assert_eq!((&reconnect["max_attempts"], &reconnect["delay_ms"]), (&json!(5), &json!(1000)));
    assert!(reconnect["factor"].is_number() && reconnect["jitter"].is_number());
    let id = hello_frame["connection_id"].as_str().unwrap();
    let listed = admin.get("/v1/connections").await.is(200);
    let view = &listed["data"][0];
    assert_eq!(
        (&view["id"], &view["user_id"], &view["session_id"]),
        (&json!(id), &json!("ada"), &json!("s-1"))
    );
    assert_eq!((&view["state"], &view["subscriptions"]), (&json!("connected"), &json!(["workflow:s-1"])));
    assert!(view["connected_at"].is_string() && view["last_heartbeat"].is_string());
    assert!(view["sent"].is_number() && view["queue"].is_number());
    assert_eq!(admin.get(&format!("/v1/connections/{id}")).await.is(200)["id"], id);
    socket.hears_nothing().await;
    socket.close().await;
    until("the closed connection to be forgotten", || async {
        (admin.get(&format!("/v1/connections/{id}")).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(admin.get("/v1/connections").await.is(200)["data"], json!([]));
}

#[tokio::test]
async fn a_notification_reaches_all_connections_of_its_person_and_nobody_else() {
    let server = Server::start().await;
    let admin = server.admin();
    let (ada, bob) = (admin.mint("ada", &json!({})).await, admin.mint("bob", &json!({})).await);
    let (mut one, _) = Socket::join(server.url(), &ada, "").await;
    let by_query = handshake(server.url(), &format!("/v1/ws?token={ada}"));
    let mut two = Socket::open(by_query).await.unwrap();
    two.next_of("hello").await;
    let (mut other, _) = Socket::join(server.url(), &bob, "").await;
    let sent = with(
        hello("ada"),
        json!({ "id": "n-1", "priority": "high", "category": "orders", "metadata": { "a": [1, { "b": null }] },
            "action": { "label": "Track ✓", "url": "https://shop.example.org/t?a=1" } }),
    );
    admin.notify(&sent).await;
    for socket in [&mut one, &mut two] {
        let frame = socket.next_of("notification").await;
        for name in ["id", "user_id", "title", "message", "priority", "category", "action", "metadata"] {
            assert_eq!(frame[name], sent[name], "{name}");
        }
        assert_eq!((&frame["notification_type"], &frame["offset"]), (&sent["type"], &json!(1)));
        assert!(frame.get("replay").is_none() || frame["replay"] == false);
    }
    admin.notify(&hello("ada")).await;
    for socket in [&mut one, &mut two] {
        assert_eq!(socket.next_of("notification").await["offset"], 2);
        socket.hears_nothing().await;
    }
    other.hears_nothing().await;
}

#[tokio::test]
async fn what_the_person_does_not_want_in_the_inbox_is_not_pushed() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    admin.notify(&with(hello("ada"), json!({ "category": "marketing" }))).await;
    admin.notify(&with(hello("ada"), json!({ "channels": ["email"] }))).await;
    admin.post("/v1/notifications", &with(hello("ada"), json!({ "priority": "urgent" }))).await.is(422);
    socket.hears_nothing().await;
}

#[tokio::test]
async fn a_broadcast_reaches_all_or_a_person_or_a_topic() {
    let server = Server::start().await;
    let admin = server.admin();
    let ada = admin.mint("ada", &json!({ "topics": ["ops"] })).await;
    let bob = admin.mint("bob", &json!({})).await;
    let (mut one, _) = Socket::join(server.url(), &ada, "").await;
    let (mut two, _) = Socket::join(server.url(), &ada, "").await;
    let (mut other, _) = Socket::join(server.url(), &bob, "").await;
    two.say(&json!({ "type": "subscribe", "channel": "topic:ops" })).await;
    two.next_of("subscribed").await;
    other.say(&json!({ "type": "subscribe", "channel": "topic:ops" })).await;
    assert_eq!(other.next_of("error").await["code"], "FORBIDDEN");
    let message = json!({ "type": "notification", "title": "Maintenance", "message": "At noon." });
    let broadcast = async |to: Value| {
        let sent = admin.post("/v1/broadcasts", &json!({ "message": message, "to": to })).await.is(202);
        assert_eq!(sent["success"], true);
        sent["connections"].as_u64().unwrap()
    };
    assert_eq!(broadcast(json!("all")).await, 3);
    for socket in [&mut one, &mut two, &mut other] {
        let frame = socket.next_of("notification").await;
        assert_eq!((&frame["title"], &frame["message"]), (&json!("Maintenance"), &json!("At noon.")));
    }
    assert_eq!(broadcast(json!({ "user_id": "ada" })).await, 2);
    one.next_of("notification").await;
    two.next_of("notification").await;
    assert_eq!(broadcast(json!({ "topic": "ops" })).await, 1);
    two.next_of("notification").await;
    for wrong in [
        json!({ "message": message }),
        json!({ "message": message, "to": "everybody" }),
        json!({ "message": message, "to": { "user_id": "a", "topic": "b" } }),
        json!({ "to": "all" }),
        json!({ "message": { "type": "dance" }, "to": "all" }),
        json!({ "message": { "type": "notification", "title": "t" }, "to": "all" }),
        json!({ "message": { "type": "notification", "title": "t", "message": 5 }, "to": "all" }),
        json!({ "message": { "type": "workflow_update", "workflow_id": "w", "status": "running", "progress": 2 },
            "to": "all" }),
        json!({ "message": "text", "to": "all" }),
    ] {
        admin.post("/v1/broadcasts", &wrong).await.problem(422, "validation_failed");
    }
    let update =
        json!({ "type": "workflow_update", "workflow_id": "w", "status": "running", "progress": 0.5 });
    admin.post("/v1/broadcasts", &json!({ "message": update, "to": "all" })).await.is(202);
    for socket in [&mut one, &mut two, &mut other] {
        assert_eq!(socket.next_of("workflow_update").await["progress"], 0.5);
        socket.hears_nothing().await;
    }
}

#[tokio::test]
async fn a_bad_frame_gets_an_error_and_the_connection_lives() {
    let server = Server::start().await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    for (text, code) in [
        ("nonsense", "INVALID_MESSAGE_FORMAT"),
        ("", "INVALID_MESSAGE_FORMAT"),
        ("[]", "INVALID_MESSAGE_FORMAT"),
        ("{}", "INVALID_MESSAGE_FORMAT"),
        (r#"{"type":5}"#, "INVALID_MESSAGE_FORMAT"),
        (r#"{"type":"dance"}"#, "UNKNOWN_MESSAGE_TYPE"),
        (r#"{"type":"hello"}"#, "UNKNOWN_MESSAGE_TYPE"),
        (r#"{"type":"subscribe"}"#, "INVALID_MESSAGE_FORMAT"),
        (r#"{"type":"subscribe","channel":"user:bob"}"#, "INVALID_MESSAGE_FORMAT"),
        (r#"{"type":"subscribe","channel":"workflow:secret"}"#, "FORBIDDEN"),
        (r#"{"type":"mark","ids":[],"as":"read"}"#, "INVALID_MESSAGE_FORMAT"),
        (r#"{"type":"mark","ids":["x"],"as":"eaten"}"#, "INVALID_MESSAGE_FORMAT"),
    ] {
        socket.say_text(text).await;
        let error = socket.next_of("error").await;
        assert_eq!(error["code"], code, "{text}");
        assert!(error["error"].as_str().is_some_and(|said| !said.is_empty()), "{text}");
    }
    socket.say_bytes(vec![0, 255, 1]).await;
    assert_eq!(socket.next_of("error").await["code"], "INVALID_MESSAGE_FORMAT");
    socket.say(&json!({ "type": "ping", "id": "p-1" })).await;
    assert_eq!(socket.next_of("pong").await["id"], "p-1");
    server.admin().notify(&hello("ada")).await;
    socket.next_of("notification").await;
}

#[tokio::test]
async fn large_data_is_answered_with_its_size_up_to_the_limit_of_a_message() {
    let server = Server::start().await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (mut socket, hello_frame) = Socket::join(server.url(), &token, "").await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 900_000] {
        socket.say(&json!({ "type": "large_data", "data": "x".repeat(size), "id": size })).await;
        let answer = socket.next_of("large_data_received").await;
        assert_eq!((&answer["size"], &answer["id"]), (&json!(size), &json!(size)));
    }
    socket.say(&json!({ "type": "large_data", "data": "é✓" })).await;
    assert_eq!(socket.next_of("large_data_received").await["size"], 5);
    let most = usize::try_from(hello_frame["max_message_size"].as_u64().unwrap()).unwrap();
    let frame = |len: usize| {
        let empty = json!({ "type": "large_data", "data": "" }).to_string();
        json!({ "type": "large_data", "data": "x".repeat(len - empty.len()) }).to_string()
    };
    socket.say_text(&frame(most)).await;
    socket.next_of("large_data_received").await;
    for over in [most + 1, most * 3] {
        socket.say_text(&frame(over)).await;
        assert_eq!(socket.next_of("error").await["code"], "MESSAGE_TOO_LARGE");
    }
    socket.hears_nothing().await;
}

#[tokio::test]
async fn a_hundred_messages_arrive_in_order_within_a_second() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    let items: Vec<Value> =
        (0..100).map(|at| with(hello("ada"), json!({ "id": format!("n-{at}") }))).collect();
    admin.post("/v1/notifications/batch", &json!({ "notifications": items })).await.is(202);
    let begun = Instant::now();
    for at in 0..100u64 {
        let frame = socket.next_of("notification").await;
        assert_eq!((&frame["id"], &frame["offset"]), (&json!(format!("n-{at}")), &json!(at + 1)));
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for at in 0..100 {
        let message = json!({ "type": "notification", "title": format!("b-{at}"), "message": "m" });
        admin.post("/v1/broadcasts", &json!({ "message": message, "to": "all" })).await.is(202);
    }
    for at in 0..100 {
        assert_eq!(socket.next_of("notification").await["title"], format!("b-{at}"));
    }
}

#[tokio::test]
async fn fifty_connections_are_all_listed_and_all_served() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let joined = join_all((0..50).map(|_| Socket::join(server.url(), &token, ""))).await;
    let mut wanted: Vec<String> =
        joined.iter().map(|(_, hello)| hello["connection_id"].as_str().unwrap().to_owned()).collect();
    let mut listed = ids(&admin.all("/v1/connections").await);
    wanted.sort();
    listed.sort();
    assert_eq!(listed, wanted);
    let (mut seen, mut path) = (0, "/v1/connections?limit=20".to_owned());
    loop {
        let page = admin.get(&path).await.is(200);
        seen += page["data"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("/v1/connections?limit=20&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 50);
    let begun = Instant::now();
    admin.notify(&hello("ada")).await;
    let mut sockets: Vec<Socket> = joined.into_iter().map(|(socket, _)| socket).collect();
    join_all(sockets.iter_mut().map(|socket| socket.next_of("notification"))).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_first_frame_may_bring_the_token_the_session_and_the_subscriptions() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({ "workflows": ["w-1", "w-2"] })).await;
    let mut socket = Socket::open(handshake(server.url(), "/v1/ws")).await.unwrap();
    socket.say(&json!({ "type": "ping" })).await;
    assert_eq!(socket.next_of("error").await["code"], "AUTHENTICATION_FAILED");
    let connect = json!({ "type": "connect", "token": token, "session_id": "w-1",
        "subscribe": ["workflow:w-2", "workflow:not-mine"], "id": 7 });
    socket.say(&connect).await;
    let hello_frame = socket.next_of("hello").await;
    assert_eq!((&hello_frame["user_id"], &hello_frame["session_id"]), (&json!("ada"), &json!("w-1")));
    assert_eq!(socket.next_of("subscribed").await["channel"], "workflow:w-2");
    assert_eq!(socket.next_of("error").await["code"], "FORBIDDEN");
    for (workflow, watched) in [("w-1", true), ("w-2", true), ("not-mine", false)] {
        let event = json!({ "type": "workflow_update", "workflow_id": workflow, "progress": 0.5 });
        admin.post("/v1/workflow-events", &event).await.is(202);
        if watched {
            assert_eq!(socket.next_of("workflow_update").await["workflow_id"], workflow);
        }
    }
    socket.hears_nothing().await;
}

#[tokio::test]
async fn a_wrong_token_in_the_first_frame_is_closed_with_4500() {
    let server = Server::start().await;
    let mut socket = Socket::open(handshake(server.url(), "/v1/ws")).await.unwrap();
    socket.say(&json!({ "type": "connect", "token": "nonsense" })).await;
    assert_eq!(socket.next_of("error").await["code"], "AUTHENTICATION_FAILED");
    assert_eq!(socket.closed().await, 4500);
}

#[tokio::test]
async fn who_never_says_who_they_are_is_closed_with_4502() {
    let server = Server::start().await;
    let mut socket = Socket::open(handshake(server.url(), "/v1/ws")).await.unwrap();
    let begun = Instant::now();
    assert_eq!(socket.closed().await, 4502);
    assert!((Duration::from_secs(8)..Duration::from_secs(14)).contains(&begun.elapsed()));
}

#[tokio::test]
async fn a_kicked_connection_is_closed_with_4503_and_the_others_stay() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (mut one, hello_frame) = Socket::join(server.url(), &token, "").await;
    let (mut two, _) = Socket::join(server.url(), &token, "").await;
    let path = format!("/v1/connections/{}", hello_frame["connection_id"].as_str().unwrap());
    admin.delete(&path).await.is(204);
    assert_eq!(one.closed().await, 4503);
    two.hears_nothing().await;
    admin.delete("/v1/connections/no-such").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_token_that_ends_closes_its_connection_with_4005() {
    let server = Server::start().await;
    let token = server.admin().mint("ada", &json!({ "expires_in": 2 })).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    assert_eq!(socket.closed().await, 4005);
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_closes_with_4001_and_ends_in_order() {
    let mut server = Server::start().await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    let mut unsaid = Socket::open(handshake(server.url(), "/v1/ws")).await.unwrap();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(socket.closed().await, 4001);
    let heard = unsaid.hear().await;
    assert!(matches!(heard, Heard::Closed(4001)), "{heard:?}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_lost_connection_comes_back_after_a_kill_and_gets_everything_once_and_in_order() {
    let mut server = Server::start().await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (mut socket, hello_frame) = Socket::join(server.url(), &token, "").await;
    let epoch = hello_frame["epoch"].as_str().unwrap().to_owned();
    let mut last = hello_frame["offset"].as_u64().unwrap();
    let mut seen: Vec<String> = Vec::new();
    let mut sent: Vec<String> = Vec::new();
    for round in 0..3 {
        for at in 0..20 {
            let id = format!("r{round}-{at}");
            server.admin().notify(&with(hello("ada"), json!({ "id": id }))).await;
            sent.push(id);
            if at < 7 {
                let frame = socket.next_of("notification").await;
                let offset = frame["offset"].as_u64().unwrap();
                assert!(offset > last, "{frame}");
                last = offset;
                seen.push(frame["id"].as_str().unwrap().to_owned());
            }
            if at == 7 {
                // It is on its way and never read.
                drop(std::mem::replace(&mut socket, Socket::join(server.url(), &token, "").await.0));
            }
        }
        server.restart().await;
        let resume = format!("?epoch={epoch}&offset={last}");
        let (again, hello_frame) = Socket::join(server.url(), &token, &resume).await;
        socket = again;
        assert_eq!((&hello_frame["epoch"], &hello_frame["recovered"]), (&json!(epoch), &json!(true)));
        for _ in 7..20 {
            let frame = socket.next_of("notification").await;
            let offset = frame["offset"].as_u64().unwrap();
            assert!(offset > last && frame["replay"] == true, "{frame}");
            last = offset;
            seen.push(frame["id"].as_str().unwrap().to_owned());
        }
        socket.hears_nothing().await;
    }
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn resuming_while_more_arrives_misses_and_repeats_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (socket, hello_frame) = Socket::join(server.url(), &token, "").await;
    socket.close().await;
    let epoch = hello_frame["epoch"].as_str().unwrap();
    let items = |from: usize| -> Value {
        (from..from + 600).map(|at| with(hello("ada"), json!({ "id": format!("n-{at}") }))).collect()
    };
    admin.post("/v1/notifications/batch", &json!({ "notifications": items(0) })).await.is(202);
    let more = async {
        for at in 600..660 {
            admin.notify(&with(hello("ada"), json!({ "id": format!("n-{at}") }))).await;
        }
    };
    let resume = async {
        let (mut socket, hello_frame) =
            Socket::join(server.url(), &token, &format!("?epoch={epoch}&offset=0")).await;
        assert_eq!(hello_frame["recovered"], true);
        for at in 0..660 {
            let frame = socket.next_of("notification").await;
            assert_eq!((&frame["id"], &frame["offset"]), (&json!(format!("n-{at}")), &json!(at + 1)));
        }
        socket.hears_nothing().await;
    };
    tokio::join!(more, resume);
}

#[tokio::test]
async fn who_cannot_be_given_everything_is_told_so() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    admin.notify(&hello("ada")).await;
    let (_, hello_frame) = Socket::join(server.url(), &token, "").await;
    let epoch = hello_frame["epoch"].as_str().unwrap();
    for query in ["?epoch=another&offset=0".to_owned(), format!("?epoch={epoch}&offset=99")] {
        let (mut socket, hello_frame) = Socket::join(server.url(), &token, &query).await;
        assert_eq!(hello_frame["recovered"], false, "{query}");
        assert_eq!(hello_frame["offset"], 1);
        socket.hears_nothing().await;
    }
    let by_frame = json!({ "type": "connect", "token": token, "resume": { "epoch": epoch, "offset": 0 } });
    let mut socket = Socket::open(handshake(server.url(), "/v1/ws")).await.unwrap();
    socket.say(&by_frame).await;
    assert_eq!(socket.next_of("hello").await["recovered"], true);
    assert_eq!(socket.next_of("notification").await["offset"], 1);
}

#[tokio::test]
async fn what_a_client_has_acknowledged_is_shown_with_its_connection() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    let acked = async || admin.get("/v1/connections").await.is(200)["data"][0]["acked"].clone();
    assert_eq!(acked().await, 0);
    admin.notify(&hello("ada")).await;
    admin.notify(&hello("ada")).await;
    for offset in [2, 1] {
        socket.next_of("notification").await;
        socket.say(&json!({ "type": "ack", "offset": offset })).await;
    }
    // It is no mark, and it is not answered.
    socket.hears_nothing().await;
    assert_eq!(acked().await, 2);
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["unseen"], 2);
}
