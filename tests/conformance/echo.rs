//! Says back what it hears, over the server's own handshake and frames: what a WebSocket conformance suite talks to.
//!
//! The server itself answers in its own protocol and echoes nothing, so the suite cannot judge it directly. Usage:
//! `websocket_echo ADDRESS`.

use std::convert::Infallible;
use std::error::Error;

use belfry::ws::frame::{Decoder, Event, close_frame, pong_frame, text_frame};
use belfry::ws::handshake;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The suite's largest message.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: websocket_echo ADDRESS")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind(address).await?;
        println!("ready on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(upgrade))
                .with_upgrades();
            tokio::task::spawn_local(async move {
                // The suite breaks connections on purpose.
                let _ = connection.await;
            });
        }
    })
}

async fn upgrade(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    match handshake::accept_key(request.method(), request.headers(), &[]) {
        Ok(key) => {
            tokio::task::spawn_local(echo_after(hyper::upgrade::on(&mut request)));
            Ok(handshake::switching_protocols(&key).map(|()| Empty::new()))
        }
        Err(refusal) => {
            eprintln!("refused: {refusal}");
            let mut response = Response::new(Empty::new());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            Ok(response)
        }
    }
}

async fn echo_after(upgrade: OnUpgrade) {
    if let Ok(upgraded) = upgrade.await {
        let mut stream = TokioIo::new(upgraded);
        // A client that is gone has ended its case.
        let _ = echo(&mut stream).await;
        let _ = stream.shutdown().await;
    }
}

async fn echo(stream: &mut TokioIo<Upgraded>) -> std::io::Result<()> {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut input = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut input).await?;
        if length == 0 {
            return Ok(());
        }
        let mut used = 0;
        loop {
            let (more, event) = match decoder.next(&input[used..length]) {
                Ok(found) => found,
                Err(violation) => {
                    return stream
                        .write_all(&close_frame(violation.close_code(), "protocol violation"))
                        .await;
                }
            };
            used += more;
            match event {
                None => break,
                Some(Event::Text(text)) => {
                    let (frame, _) = text_frame(|buffer| {
                        buffer.extend_from_slice(text.as_bytes());
                        Ok::<_, Infallible>(())
                    })
                    .unwrap_or_else(|never| match never {});
                    stream.write_all(&frame).await?;
                }
                Some(Event::Ping(payload)) => stream.write_all(&pong_frame(&payload)).await?,
                Some(Event::Close(code)) => {
                    return stream.write_all(&close_frame(code.unwrap_or(1000), "")).await;
                }
                Some(Event::Pong | Event::Binary | Event::TooLarge) => {}
            }
        }
    }
}
