//! The accept loop over real sockets.

use std::convert::Infallible;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;

use super::pace::TooSlow;
use super::*;

const LIMITS: Limits = Limits {
    connections_max: 2,
    connections_per_ip_max: 2,
    header_timeout: Duration::from_millis(100),
    idle_timeout: Duration::from_millis(300),
};

async fn answer(request: Request<Timed<Incoming>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let peer = request.extensions().get::<Peer>().cloned().expect("every request carries its peer");
    let text = match request.into_body().collect().await {
        Ok(body) => format!("{} {}", peer.address.ip(), body.to_bytes().len()),
        Err(error) => error.to_string(),
    };
    Ok(Response::new(Full::new(Bytes::from(text))))
}

async fn started(limits: Limits) -> (SocketAddr, Supervisor) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, supervisor) = (listener.local_addr().unwrap(), Supervisor::new());
    let keeper = supervisor.clone();
    supervisor.spawn("accept", async move { serve(&listener, service_fn(answer), limits, keeper).await });
    (address, supervisor)
}

async fn everything(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_request_knows_its_peer_and_a_kept_connection_ends_after_its_idle_time() {
    let (address, _) = started(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    let began = Instant::now();
    assert!(everything(&mut stream).await.ends_with("127.0.0.1 2"));
    assert!(began.elapsed() >= Duration::from_millis(290), "the header time-out is shorter");
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_headers_is_closed() {
    let (address, _) = started(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
    assert!(!everything(&mut stream).await.contains("200"));
}

#[tokio::test]
async fn a_client_that_stops_within_a_body_is_answered() {
    let (address, _) = started(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhi").await.unwrap();
    assert!(everything(&mut stream).await.ends_with(&TooSlow.to_string()));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_a_later_one_is_served() {
    let (address, _) = started(Limits { header_timeout: Duration::from_secs(10), ..LIMITS }).await;
    let first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    let _ = third.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let refusal = everything(&mut third).await;
    assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("Retry-After: 1\r\n"));
    drop(first);
    for attempt in 0.. {
        let mut next = TcpStream::connect(address).await.unwrap();
        let _ = next.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        if everything(&mut next).await.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(attempt < 1000, "the place was never given back");
    }
}

#[tokio::test]
async fn stopping_lets_a_request_in_flight_finish_and_accepts_no_other() {
    let (address, supervisor) = started(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nh").await.unwrap();
    while supervisor.tasks() < 2 {
        tokio::task::yield_now().await;
    }
    supervisor.stop();
    stream.write_all(b"i").await.unwrap();
    assert!(everything(&mut stream).await.ends_with("127.0.0.1 2"));
    assert!(supervisor.drained(Duration::from_secs(5)).await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_warp_filter_is_served_and_knows_its_peer() {
    use warp::Filter;
    let filter = warp::path("who")
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::optional::<hyper::upgrade::OnUpgrade>())
        .map(|peer: Peer, upgrade: Option<_>| format!("{} {}", peer.address.ip(), upgrade.is_some()));
    let service = hyper_util::service::TowerToHyperService::new(warp::service(filter));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, supervisor) = (listener.local_addr().unwrap(), Supervisor::new());
    let keeper = supervisor.clone();
    supervisor.spawn("accept", async move { serve(&listener, service, LIMITS, keeper).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert!(everything(&mut stream).await.ends_with("127.0.0.1 true"));
}
