//! An independent client against the accept loop, the door and the hub.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::listen;

struct Server {
    address: SocketAddr,
    house: Arc<House>,
    supervisor: Supervisor,
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn answer<B: Body>(
    door: Door<House>,
    house: Arc<House>,
    mut request: Request<B>,
) -> Result<Response<Empty<&'static [u8]>>, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let field = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let refused = |status: StatusCode| {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = status;
        Ok(response)
    };
    let principal = match field("token").map(|token| house.authenticate(&token)) {
        None => None,
        Some(Ok(principal)) => Some(principal),
        Some(Err(_)) => return refused(StatusCode::UNAUTHORIZED),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let visit = Visit {
        method: request.method(),
        headers: request.headers(),
        allowed_origins: &[],
        principal,
        session_id: field("session_id"),
        resume: field("offset")
            .map(|offset| Resume { epoch: field("epoch").unwrap(), offset: offset.parse().unwrap() }),
        upgrade,
    };
    match door.open(visit) {
        Ok(response) => Ok(response.map(|()| Empty::new())),
        Err(Refusal::Full) => refused(StatusCode::SERVICE_UNAVAILABLE),
        Err(_) => refused(StatusCode::FORBIDDEN),
    }
}

impl Server {
    async fn start(connections_max: usize, limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, supervisor) = (listener.local_addr().unwrap(), Supervisor::new());
        let house = House::new(connections_max);
        let door = Door::new(house.clone(), house.hub.clone(), limits, Clock::System, supervisor.clone());
        let behind = house.clone();
        let service = service_fn(move |request: Request<listen::Timed<Incoming>>| {
            answer(door.clone(), behind.clone(), request)
        });
        let limits = listen::Limits {
            connections_max: 1000,
            connections_per_ip_max: 1000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        };
        supervisor.spawn("fan-out", house.hub.clone().run_fan_out(supervisor.stopping()));
        let keeper = supervisor.clone();
        supervisor.spawn("accept", async move { listen::serve(&listener, service, limits, keeper).await });
        Server { address, house, supervisor }
    }

    async fn usual() -> Server {
        Server::start(100, limits()).await
    }

    async fn connect(&self, query: &str) -> Result<Client, Error> {
        connect_async(format!("ws://{}/v1/ws{query}", self.address)).await.map(|(stream, _)| Client(stream))
    }

    async fn greeted(&self, query: &str) -> Client {
        let mut client = self.connect(query).await.unwrap();
        assert_eq!(kind(&client.hear().await), "hello");
        client
    }

    async fn emptied(&self) {
        assert!(self.house.hub.emptied(Duration::from_secs(5)).await, "somebody is still attached");
    }
}

impl Client {
    async fn next(&mut self) -> Message {
        tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.unwrap().unwrap().unwrap()
    }

    async fn hear(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            match self.next().await {
                Message::Close(Some(CloseFrame { code, .. })) => return code.into(),
                Message::Close(None) => panic!("closed without a code"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_token_with_the_request_is_greeted_and_listed() {
    let server = Server::usual().await;
    let mut client = server.connect("?token=ada&session_id=w1").await.unwrap();
    let hello = client.hear().await;
    let view = server.house.hub.get(hello["connection_id"].as_str().unwrap()).unwrap();
    assert_eq!((view.user_id.as_deref(), view.session_id.as_deref()), (Some("ada"), Some("w1")));
    client.0.close(None).await.unwrap();
    server.emptied().await;
}

#[tokio::test]
async fn a_first_frame_may_bring_the_token_and_more_may_follow_at_once() {
    let server = Server::usual().await;
    let mut client = server.connect("").await.unwrap();
    client.0.feed(Message::text(connect("ada").to_string())).await.unwrap();
    client.0.feed(Message::text(json!({"type": "ping", "id": 1}).to_string())).await.unwrap();
    client.0.feed(Message::Ping("p".into())).await.unwrap();
    client.0.flush().await.unwrap();
    assert_eq!(kind(&client.hear().await), "hello");
    assert_eq!(client.hear().await["id"], 1);
    assert_eq!(client.next().await, Message::Pong("p".into()));
}

#[tokio::test]
async fn a_refused_handshake_is_plain_http() {
    let server = Server::start(1, limits()).await;
    let status = |refused: Result<Client, Error>| match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        _ => 0,
    };
    assert_eq!(status(server.connect("?token=bad").await), 401);
    assert_eq!(status(server.connect("?token=ingest").await), 403);
    let _first = server.greeted("?token=ada").await;
    assert_eq!(status(server.connect("?token=ada").await), 503);
    let mut late = server.connect("").await.unwrap();
    late.say(connect("ada")).await;
    assert_eq!(late.close_code().await, 4504);
}

#[tokio::test]
async fn a_hundred_notifications_arrive_in_order_within_a_second() {
    let server = Server::usual().await;
    let (mut ada, mut bob) = (server.greeted("?token=ada").await, server.greeted("?token=bob").await);
    let began = Instant::now();
    (0..100).for_each(|n| assert_eq!(server.house.notify("ada", &n.to_string()), 1));
    for n in 1..=100 {
        assert_eq!(ada.hear().await["offset"], n);
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    server.house.notify("bob", "own");
    assert_eq!(bob.hear().await["title"], "own");
}

#[tokio::test]
async fn a_burst_does_not_punish_a_reader_that_reads() {
    let server = Server::usual().await;
    let mut ada = server.greeted("?token=ada").await;
    let text = "x".repeat(1000);
    (0..3000).for_each(|_| assert_eq!(server.house.notify("ada", &text), 1));
    for n in 1..=3000 {
        assert_eq!(ada.hear().await["offset"], n);
    }
}

#[tokio::test]
async fn a_cut_connection_comes_back_and_gets_what_it_missed() {
    let server = Server::usual().await;
    let mut ada = server.greeted("?token=ada").await;
    server.house.notify("ada", "heard");
    assert_eq!(ada.hear().await["offset"], 1);
    drop(ada);
    server.emptied().await;
    for _ in 0..700 {
        server.house.notify("ada", "missed");
    }
    let mut ada = server.connect("?token=ada&epoch=e1&offset=1").await.unwrap();
    assert_eq!(ada.hear().await["recovered"], true);
    server.house.notify("ada", "live");
    for n in 2..=702 {
        assert_eq!(ada.hear().await["offset"], n);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_closed_with_4008_and_harms_nobody() {
    let server = Server::usual().await;
    let (mut slow, mut quick) = (server.greeted("?token=ada").await, server.greeted("?token=ada").await);
    let text = "x".repeat(10_000);
    let began = Instant::now();
    let mut published = 0;
    while server.house.hub.counters().overflows == 0 {
        server.house.notify("ada", &text);
        published += 1;
        assert_eq!(quick.hear().await["offset"], published);
        assert!(began.elapsed() < Duration::from_secs(30), "the slow reader was never closed");
    }
    server.house.notify("ada", "last");
    assert_eq!(quick.hear().await["title"], "last");
    assert_eq!(slow.close_code().await, 4008);
    drop(quick);
    server.emptied().await;
}

#[tokio::test]
async fn a_message_over_the_bound_is_answered_and_the_connection_lives() {
    let server = Server::usual().await;
    let mut ada = server.greeted("?token=ada").await;
    ada.say(json!({"type": "large_data", "data": "x".repeat(500_000)})).await;
    assert_eq!(ada.hear().await["code"], "MESSAGE_TOO_LARGE");
    ada.say(json!({"type": "large_data", "data": "x".repeat(99_000)})).await;
    assert_eq!(ada.hear().await["size"], 99_000);
}

#[tokio::test]
async fn the_heartbeat_comes_and_silence_ends_the_connection() {
    let quick = Limits {
        heartbeat_interval: Duration::from_millis(50),
        connection_timeout: Duration::from_millis(180),
        ..limits()
    };
    let server = Server::start(10, quick).await;
    let mut ada = server.greeted("?token=ada").await;
    assert_eq!(kind(&ada.hear().await), "ping");
    assert_eq!(ada.close_code().await, 4012);
}

#[tokio::test]
async fn an_operator_can_kick_one_and_a_shutdown_closes_all() {
    let server = Server::usual().await;
    let mut ada = server.connect("?token=ada").await.unwrap();
    let id = ada.hear().await["connection_id"].as_str().unwrap().to_owned();
    let (mut bob, mut nobody) = (server.greeted("?token=bob").await, server.connect("").await.unwrap());
    assert!(server.house.hub.kick(&id, 4503));
    assert_eq!(ada.close_code().await, 4503);
    server.supervisor.stop();
    server.house.hub.close_all(close::SHUTDOWN);
    assert_eq!((bob.close_code().await, nobody.close_code().await), (4001, 4001));
    server.emptied().await;
    drop((ada, bob, nobody));
    assert!(server.supervisor.drained(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_broken_frame_is_closed_with_its_code() {
    let server = Server::usual().await;
    let mut raw = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /v1/ws?token=ada HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // The frame comes in one packet with the handshake, and is not masked.
    raw.write_all(&[request.as_bytes(), b"\x81\x00"].concat()).await.unwrap();
    let mut answer = Vec::new();
    raw.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let close = [&b"\x88\x14\x03\xea"[..], b"protocol violation"].concat();
    assert!(answer.ends_with(&close), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn fifty_connections_at_once_are_all_listed() {
    let server = Server::usual().await;
    let clients = futures_util::future::join_all((0..50).map(|_| server.greeted("?token=ada"))).await;
    assert_eq!(server.house.hub.list(None, 100, Some("ada")).0.len(), 50);
    assert_eq!(server.house.notify("ada", "x"), 50);
    for mut client in clients {
        assert_eq!(client.hear().await["title"], "x");
    }
    server.emptied().await;
}

#[tokio::test]
async fn a_stranger_may_not_make_the_server_hold_a_large_message() {
    let server = Server::usual().await;
    let mut stranger = server.connect("").await.unwrap();
    stranger.say(json!({"type": "large_data", "data": "x".repeat(90_000)})).await;
    assert_eq!(stranger.hear().await["code"], "MESSAGE_TOO_LARGE");
    stranger.say(connect("ada")).await;
    assert_eq!(kind(&stranger.hear().await), "hello");
    stranger.say(json!({"type": "large_data", "data": "x".repeat(90_000)})).await;
    assert_eq!(stranger.hear().await["size"], 90_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_over_and_over_under_load_gives_everything_once_and_in_order() {
    const ALL: u64 = 3000;
    let server = Server::usual().await;
    let house = server.house.clone();
    server.supervisor.spawn("publisher", async move {
        for _ in 0..ALL {
            house.notify("ada", "x");
            tokio::task::yield_now().await;
        }
    });
    let mut last = 0;
    while last < ALL {
        let mut ada = server.connect(&format!("?token=ada&epoch=e1&offset={last}")).await.unwrap();
        assert_eq!(ada.hear().await["recovered"], true);
        for _ in 0..40.min(ALL - last) {
            assert_eq!(ada.hear().await["offset"], last + 1);
            last += 1;
        }
    }
    server.emptied().await;
}
