//! Live connections as the measurements open them: tiny, and many.

use std::net::SocketAddr;
use std::rc::Rc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{Asker, Outcome, head};

const CONNECTING_MAX: usize = 64;

/// Runs a measurement on this thread alone.
pub fn one_thread<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// A person's id.
pub fn name(user: usize) -> String {
    format!("user-{user:05}")
}

/// A token for each of so many people.
pub async fn tokens(address: SocketAddr, count: usize) -> Outcome<Vec<String>> {
    let mut tokens = Vec::with_capacity(count);
    let mut asker = Asker::connect(address).await?;
    for user in 0..count {
        let path = format!("/v1/users/{}/tokens", name(user));
        let request = head("POST", &path, r#"{"expires_in":3600}"#, "");
        let (status, body) = asker.ask_for_body(request.as_bytes()).await?;
        let token = serde_json::from_str::<Value>(&body)?["token"].as_str().map(str::to_owned);
        tokens.push(token.ok_or_else(|| format!("no token, but {status}"))?);
    }
    Ok(tokens)
}

/// Opens a connection for each token and waits for its `hello`.
pub async fn connect(address: SocketAddr, tokens: &[String]) -> Outcome<Vec<TcpStream>> {
    let gate = Rc::new(Semaphore::new(CONNECTING_MAX));
    let mut opening = Vec::new();
    for token in tokens {
        let (gate, token) = (gate.clone(), token.clone());
        opening.push(tokio::task::spawn_local(async move {
            let _permit = gate.acquire().await.map_err(|error| error.to_string())?;
            open(address, &token).await.map_err(|error| error.to_string())
        }));
    }
    let mut lines = Vec::with_capacity(tokens.len());
    for line in opening {
        lines.push(line.await??);
    }
    Ok(lines)
}

/// Opens one connection and waits for its `hello`.
pub async fn open(address: SocketAddr, token: &str) -> Outcome<TcpStream> {
    Ok(greeted(address, token).await?.0)
}

/// As [`open`], and gives what the server said.
pub async fn greeted(address: SocketAddr, token: &str) -> Outcome<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(handshake("", token).as_bytes()).await?;
    let mut answer = Vec::with_capacity(1_024);
    let whole =
        |answer: &[u8]| answer.windows(7).any(|seven| seven == b"\"hello\"") && answer.ends_with(b"}");
    while !whole(&answer) {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(format!("refused: {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    Ok((stream, String::from_utf8_lossy(&answer).into_owned()))
}

/// The request that opens a connection.
pub fn handshake(query: &str, token: &str) -> String {
    format!(
        "GET /v1/ws{query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

/// Counts how often `mark` comes in what is read in pieces. `heard` keeps what may be the beginning of one.
pub fn count(heard: &mut Vec<u8>, mark: &[u8]) -> usize {
    let (mut found, mut from) = (0, 0);
    while let Some(at) = heard[from..].windows(mark.len()).position(|window| window == mark) {
        found += 1;
        from += at + mark.len();
    }
    let keep = (heard.len() - from).min(mark.len() - 1);
    heard.drain(..heard.len() - keep);
    found
}
