//! Claims about clients that misbehave: each harms only itself, and takes no memory beyond its share.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::client::{hello, with};
use crate::support::socket::handshake;
use crate::support::{Server, Socket, until};

/// A connection below the WebSocket library, for what no library would send.
async fn raw(server: &Server, token: &str) -> TcpStream {
    let address = server.url().strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    // Little, so that a peer that does not read is noticed soon.
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let head = format!(
        "GET /v1/ws?token={token} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(7).any(|seven| seven == b"\"hello\"") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
    }
    stream
}

/// What comes until the server closes, as far as it can be read as text.
async fn rest(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    // A reset ends it as well.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut heard)).await.unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn bystander_is_served(server: &Server, bystander: &mut Socket) {
    let begun = Instant::now();
    server.admin().notify(&hello("bob")).await;
    bystander.next_of("notification").await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn peers_that_do_not_read_are_let_go_and_nobody_waits_for_them() {
    let server = Server::start_with(&[("WEBSOCKET__MESSAGE_QUEUE_SIZE", "10")]).await;
    let admin = server.admin();
    let (stuck, reader) = (admin.mint("ada", &json!({})).await, admin.mint("bob", &json!({})).await);
    let mut stuck_peers = Vec::new();
    for _ in 0..20 {
        stuck_peers.push(raw(&server, &stuck).await);
    }
    let (mut bystander, _) = Socket::join(server.url(), &reader, "").await;
    let message = json!({ "type": "notification", "title": "To all", "message": "x".repeat(30_000) });
    let broadcast = json!({ "message": message, "to": "all" });
    let mut left = stuck_peers.len();
    for _ in 0..1_000 {
        let begun = Instant::now();
        admin.post("/v1/broadcasts", &broadcast).await.is(202);
        bystander.next_of("notification").await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        let open = admin.get("/v1/connections?user_id=ada").await.is(200);
        left = open["data"].as_array().unwrap().iter().filter(|one| one["state"] != "closing").count();
        if left == 0 {
            break;
        }
    }
    assert_eq!(left, 0, "the peers that do not read are still there");
    bystander_is_served(&server, &mut bystander).await;
}

#[tokio::test]
async fn a_flood_of_fragments_is_closed_with_4013() {
    let server = Server::start().await;
    let admin = server.admin();
    let (token, reader) = (admin.mint("ada", &json!({})).await, admin.mint("bob", &json!({})).await);
    let (mut bystander, _) = Socket::join(server.url(), &reader, "").await;
    let mut flood = raw(&server, &token).await;
    // A text message that begins, and then goes on in empty parts without an end.
    flood.write_all(&[0x01, 0x80, 0, 0, 0, 0]).await.unwrap();
    let parts = [0x00, 0x80, 0, 0, 0, 0].repeat(50_000);
    let _ = flood.write_all(&parts).await;
    let heard = rest(&mut flood).await;
    assert!(heard.contains("RATE_LIMIT_EXCEEDED"), "{heard}");
    bystander_is_served(&server, &mut bystander).await;
}

#[tokio::test]
async fn a_flood_of_good_frames_is_closed_with_4013() {
    let server = Server::start().await;
    let token = server.admin().mint("ada", &json!({})).await;
    let mut flood = raw(&server, &token).await;
    // Pings without a payload, more than anybody has a use for.
    let _ = flood.write_all(&[0x89, 0x80, 0, 0, 0, 0].repeat(20_000)).await;
    let heard = rest(&mut flood).await;
    assert!(heard.contains("RATE_LIMIT_EXCEEDED"), "{heard}");
}

#[tokio::test]
async fn a_huge_frame_takes_no_memory_and_its_sender_is_told() {
    let server = Server::start().await;
    let admin = server.admin();
    let (token, reader) = (admin.mint("ada", &json!({})).await, admin.mint("bob", &json!({})).await);
    let (mut bystander, _) = Socket::join(server.url(), &reader, "").await;
    let mut huge = raw(&server, &token).await;
    let before = resident_kib(&server);
    // It announces a tebibyte, and sends 64 MiB of it.
    let mut head = vec![0x81, 0xff];
    head.extend_from_slice(&(1u64 << 40).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    huge.write_all(&head).await.unwrap();
    let mut told = Vec::new();
    while !told.windows(17).any(|part| part == b"MESSAGE_TOO_LARGE") {
        assert!(huge.read_buf(&mut told).await.unwrap() > 0);
    }
    let part = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        huge.write_all(&part).await.unwrap();
    }
    bystander_is_served(&server, &mut bystander).await;
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
}

#[tokio::test]
async fn a_user_over_their_own_limit_is_refused_and_others_are_not() {
    let server = Server::start_with(&[("WEBSOCKET__MAX_CONNECTIONS_PER_USER", "2")]).await;
    let admin = server.admin();
    let (ada, bob) = (admin.mint("ada", &json!({})).await, admin.mint("bob", &json!({})).await);
    let (one, _) = Socket::join(server.url(), &ada, "").await;
    let (_two, _) = Socket::join(server.url(), &ada, "").await;
    let path = format!("/v1/ws?token={ada}");
    assert_eq!(Socket::open(handshake(server.url(), &path)).await.err(), Some(503));
    let mut late = Socket::open(handshake(server.url(), "/v1/ws")).await.unwrap();
    late.say(&json!({ "type": "connect", "token": ada })).await;
    assert_eq!(late.closed().await, 4504);
    Socket::join(server.url(), &bob, "").await;
    one.close().await;
    until("the place to be free", || async {
        Socket::open(handshake(server.url(), &path)).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn a_herd_that_comes_back_at_once_is_whole_again_in_seconds() {
    const USERS: usize = 200;
    let server = Server::start().await;
    let admin = server.admin();
    let mut herd = Vec::new();
    for user in 0..USERS {
        let user = format!("user-{user}");
        let token = admin.mint(&user, &json!({})).await;
        let (socket, hello_frame) = Socket::join(server.url(), &token, "").await;
        herd.push((user, token, hello_frame["epoch"].as_str().unwrap().to_owned()));
        socket.close().await;
    }
    for (user, _, _) in &herd {
        let missed: Vec<_> =
            (0..10).map(|at| with(hello(user), json!({ "title": format!("{at}") }))).collect();
        admin.post("/v1/notifications/batch", &json!({ "notifications": missed })).await;
    }
    let (begun, url) = (Instant::now(), server.url());
    let whole = herd.iter().map(|(_, token, epoch)| async move {
        let query = format!("?epoch={epoch}&offset=0");
        let (mut socket, hello_frame) = Socket::join(url, token, &query).await;
        assert_eq!(hello_frame["recovered"], true);
        for offset in 1..=10 {
            assert_eq!(socket.next_of("notification").await["offset"], offset);
        }
    });
    futures_util::future::join_all(whole).await;
    // A release build needs a small part of this.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
