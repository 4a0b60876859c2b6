//! Claims about what one connection may take: how many, how long silent, how slow, from where.

use std::time::{Duration, Instant};

use http::HeaderValue;
use serde_json::json;

use crate::support::client::{hello, with};
use crate::support::socket::handshake;
use crate::support::{Heard, Server, Socket, until};

#[tokio::test]
async fn a_fourth_connection_over_a_limit_of_three_is_refused_until_one_leaves() {
    let server = Server::start_with(&[("WEBSOCKET__MAX_CONNECTIONS", "3")]).await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (one, _) = Socket::join(server.url(), &token, "").await;
    let (_two, _) = Socket::join(server.url(), &token, "").await;
    let (_three, _) = Socket::join(server.url(), &token, "").await;
    let path = format!("/v1/ws?token={token}");
    assert_eq!(Socket::open(handshake(server.url(), &path)).await.err(), Some(503));
    // Who has no place yet hears it after the first frame.
    let mut late = Socket::open(handshake(server.url(), "/v1/ws")).await.unwrap();
    late.say(&json!({ "type": "connect", "token": token })).await;
    assert_eq!(late.closed().await, 4504);
    one.close().await;
    until("the place to be free", || async {
        Socket::open(handshake(server.url(), &path)).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn the_heartbeat_comes_and_a_connection_that_answers_it_lives() {
    let server = Server::start_with(&[
        ("WEBSOCKET__HEARTBEAT_INTERVAL", "200ms"),
        ("WEBSOCKET__CONNECTION_TIMEOUT", "700ms"),
    ])
    .await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (mut socket, hello_frame) = Socket::join(server.url(), &token, "").await;
    assert_eq!(hello_frame["heartbeat_interval"], 0.2);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        match socket.hear().await {
            Heard::Frame(frame) if frame["type"] == "ping" => socket.say(&json!({ "type": "pong" })).await,
            other => panic!("{other:?}"),
        }
    }
    // Silent from here on.
    let begun = Instant::now();
    assert_eq!(socket.closed().await, 4012);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let connections = server.admin().get("/v1/connections").await.is(200);
    assert_eq!(connections["data"], json!([]));
}

#[tokio::test]
async fn a_page_from_elsewhere_may_not_connect_and_our_own_may() {
    let server = Server::start_with(&[("SERVER__ALLOWED_ORIGINS", "[\"https://app.example.org\"]")]).await;
    let token = server.admin().mint("ada", &json!({})).await;
    for (origin, refused) in [
        ("https://evil.example.com", Some(403)),
        ("https://app.example.org.evil.com", Some(403)),
        ("http://app.example.org", Some(403)),
        ("null", Some(403)),
        ("https://app.example.org", None),
        (server.url(), None),
    ] {
        let mut request = handshake(server.url(), &format!("/v1/ws?token={token}"));
        request.headers_mut().insert("origin", HeaderValue::from_str(origin).unwrap());
        assert_eq!(Socket::open(request).await.err(), refused, "{origin}");
    }
    let bare = Server::start().await;
    let token = bare.admin().mint("ada", &json!({})).await;
    let mut request = handshake(bare.url(), &format!("/v1/ws?token={token}"));
    request.headers_mut().insert("origin", HeaderValue::from_static("https://app.example.org"));
    assert_eq!(Socket::open(request).await.err(), Some(403));
}

#[tokio::test]
async fn a_key_without_the_right_to_read_may_not_connect() {
    let server = Server::start().await;
    let admin = server.admin();
    let publisher = admin.key(&["publish"]).await;
    let path = format!("/v1/ws?token={publisher}");
    assert_eq!(Socket::open(handshake(server.url(), &path)).await.err(), Some(403));
    let (mut reader, _) = Socket::join(server.url(), &admin.key(&["read"]).await, "").await;
    reader.say(&json!({ "type": "subscribe", "channel": "workflow:any" })).await;
    reader.next_of("subscribed").await;
}

#[tokio::test]
async fn a_slow_reader_is_closed_with_4008_and_resumes_while_others_get_everything_at_once() {
    let server = Server::start_with(&[("WEBSOCKET__MESSAGE_QUEUE_SIZE", "20")]).await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = server.url().strip_prefix("http://").unwrap().parse().unwrap();
    let narrow = socket.connect(address).await.unwrap();
    let request = handshake(server.url(), &format!("/v1/ws?token={token}"));
    let mut slow = Socket::open_over(narrow, request).await.unwrap();
    let hello_frame = slow.next_of("hello").await;
    let (mut quick, _) = Socket::join(server.url(), &token, "").await;
    let message = "x".repeat(30_000);
    const COUNT: u64 = 500;
    for at in 0..COUNT {
        let begun = Instant::now();
        admin.notify(&with(hello("ada"), json!({ "message": message }))).await;
        let frame = quick.next_of("notification").await;
        assert_eq!(frame["offset"], at + 1);
        assert!(begun.elapsed() < Duration::from_secs(1), "{at}: {:?}", begun.elapsed());
    }
    let id = hello_frame["connection_id"].as_str().unwrap();
    until("the slow one to be let go", || async {
        let view = admin.get(&format!("/v1/connections/{id}")).await;
        (view.status == 404 || view.json()["state"] == "closing").then_some(())
    })
    .await;
    let mut last = 0;
    loop {
        match slow.hear().await {
            Heard::Frame(frame) if frame["type"] == "notification" => {
                let offset = frame["offset"].as_u64().unwrap();
                assert_eq!(offset, last + 1, "what it gets is in order and without a gap");
                last = offset;
            }
            Heard::Frame(other) => panic!("{other}"),
            Heard::Closed(code) => break assert_eq!(code, 4008),
            Heard::Broken => panic!("it was not told why"),
        }
    }
    assert!(last < COUNT);
    let resume = format!("?epoch={}&offset={last}", hello_frame["epoch"].as_str().unwrap());
    let (mut again, hello_frame) = Socket::join(server.url(), &token, &resume).await;
    assert_eq!(hello_frame["recovered"], true);
    for offset in last + 1..=COUNT {
        assert_eq!(again.next_of("notification").await["offset"], offset);
    }
}

#[tokio::test]
async fn a_flood_of_bad_frames_is_closed_with_4013() {
    let server = Server::start().await;
    let token = server.admin().mint("ada", &json!({})).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    for _ in 0..50 {
        socket.say_text("nonsense").await;
    }
    assert_eq!(socket.closed().await, 4013);
    Socket::join(server.url(), &token, "").await;
}

#[tokio::test]
async fn a_broken_peer_is_forgotten_and_the_person_connects_again() {
    use tokio::io::AsyncWriteExt;
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    let address = server.url().strip_prefix("http://").unwrap();
    // Breaks the protocol, breaks off in the middle of a frame, goes without a word.
    for rubbish in [&[0x81, 0x05, b'h'][..], &[0x81, 0xfe, 0xff], &[0xff; 64], &[]] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /v1/ws?token={token} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        until("the connection to be listed", || async {
            let listed = admin.get("/v1/connections").await.is(200);
            (!listed["data"].as_array().unwrap().is_empty()).then_some(())
        })
        .await;
        stream.write_all(rubbish).await.unwrap();
        drop(stream);
        until("the broken peer to be forgotten", || async {
            let listed = admin.get("/v1/connections").await.is(200);
            listed["data"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
    }
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    admin.notify(&hello("ada")).await;
    socket.next_of("notification").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_answered_within_a_second_with_twenty_stuck_readers_among_them() {
    const STUCK: usize = 20;
    const CROWD: usize = 980;
    let server = Server::start_with(&[("WEBSOCKET__MESSAGE_QUEUE_SIZE", "20")]).await;
    let admin = server.admin();
    let stuck_token = admin.mint("stuck", &json!({})).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let address = server.url().strip_prefix("http://").unwrap().parse().unwrap();
        let narrow = socket.connect(address).await.unwrap();
        let request = handshake(server.url(), &format!("/v1/ws?token={stuck_token}"));
        stuck.push(Socket::open_over(narrow, request).await.unwrap());
    }
    let mut crowd = Vec::new();
    for _ in 0..CROWD / 98 {
        let token = admin.mint("crowd", &json!({ "topics": ["all"] })).await;
        let joining = (0..98).map(|_| async {
            let (mut socket, _) = Socket::join(server.url(), &token, "").await;
            socket.say(&json!({ "type": "subscribe", "channel": "topic:all" })).await;
            socket.next_of("subscribed").await;
            socket
        });
        crowd.extend(futures_util::future::join_all(joining).await);
    }
    assert_eq!(admin.get("/v1/websocket/health").await.is(200)["connections"]["total"], STUCK + CROWD);
    let big = with(hello("stuck"), json!({ "message": "x".repeat(30_000) }));
    let news = json!({
        "message": { "type": "notification", "title": "News", "message": "to all" }, "to": { "topic": "all" },
    });
    for at in 0..300 {
        let begun = Instant::now();
        admin.notify(&big).await;
        if at % 30 == 0 {
            assert_eq!(admin.post("/v1/broadcasts", &news).await.is(202)["connections"], CROWD);
            let heard = crowd.iter_mut().map(|socket| socket.next_of("notification"));
            futures_util::future::join_all(heard).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{at}: {:?}", begun.elapsed());
    }
    until("the stuck ones to be let go", || async {
        let left = admin.get("/v1/connections?user_id=stuck").await.is(200);
        left["data"].as_array().unwrap().iter().all(|view| view["state"] == "closing").then_some(())
    })
    .await;
    for socket in &mut crowd[..5] {
        socket.hears_nothing().await;
    }
}
