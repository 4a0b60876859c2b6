//! A WebSocket client that is not ours, so that both sides cannot share a mistake.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::PATIENCE;

/// One connection.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

/// What came.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// A frame.
    Frame(Value),
    /// The server has closed with that code.
    Closed(u16),
    /// The connection broke without a word.
    Broken,
}

/// The handshake for a path and query of the server at `url`.
pub fn handshake(url: &str, path: &str) -> Request<()> {
    format!("{}{path}", url.replace("http://", "ws://")).into_client_request().unwrap()
}

impl Socket {
    /// Connects, or answers with what status the handshake was refused.
    pub async fn open(request: Request<()>) -> Result<Socket, u16> {
        let address = request.uri().authority().unwrap().to_string();
        let stream = TcpStream::connect(address).await.unwrap();
        Socket::open_over(stream, request).await
    }

    /// The same over a connection that is there already.
    pub async fn open_over(stream: TcpStream, request: Request<()>) -> Result<Socket, u16> {
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(Socket { stream }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("the handshake failed: {other}"),
        }
    }

    /// Connects with a token in the header and answers the `hello` too.
    pub async fn join(url: &str, token: &str, query: &str) -> (Socket, Value) {
        let mut request = handshake(url, &format!("/v1/ws{query}"));
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
        let mut socket = Socket::open(request).await.unwrap_or_else(|status| panic!("refused: {status}"));
        let hello = socket.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        (socket, hello)
    }

    /// Sends a frame.
    pub async fn say(&mut self, frame: &Value) {
        self.say_text(&frame.to_string()).await;
    }

    /// Sends text as it is.
    pub async fn say_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Sends a binary message.
    pub async fn say_bytes(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// Closes from this side and waits for the answer.
    pub async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        while self.stream.next().await.is_some_and(|message| message.is_ok()) {}
    }

    /// What comes next within `patience`, heartbeats left out; `None` where nothing comes.
    pub async fn hear_within(&mut self, patience: Duration) -> Option<Heard> {
        let deadline = Instant::now() + patience;
        loop {
            let message = timeout_at(deadline, self.stream.next()).await.ok()?;
            return Some(match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    assert!(frame["type"].is_string() && frame["timestamp"].is_string(), "{frame}");
                    Heard::Frame(frame)
                }
                Some(Ok(Message::Close(frame))) => Heard::Closed(frame.map_or(1005, |f| f.code.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Binary(_))) => panic!("the server never sends binary messages"),
                Some(Err(tungstenite::Error::Protocol(problem))) => match problem {
                    tungstenite::error::ProtocolError::ResetWithoutClosingHandshake => Heard::Broken,
                    other => panic!("the server breaks the protocol: {other}"),
                },
                Some(Err(_)) | None => Heard::Broken,
            });
        }
    }

    /// What comes next.
    pub async fn hear(&mut self) -> Heard {
        self.hear_within(PATIENCE).await.expect("something from the server")
    }

    /// The next frame that is no heartbeat.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            loop {
                match self.hear().await {
                    Heard::Frame(frame) if frame["type"] == "ping" => {}
                    Heard::Frame(frame) => return frame,
                    other => panic!("expected a frame, got {other:?} at {caller}"),
                }
            }
        }
    }

    /// The next frame of a type; other types before it fail the test.
    #[track_caller]
    pub fn next_of(&mut self, kind: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.next().await;
            assert_eq!(frame["type"], kind, "{frame} at {caller}");
            frame
        }
    }

    /// Waits for the close, whatever comes before it, and answers its code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.hear().await {
                Heard::Frame(_) => {}
                Heard::Closed(code) => return code,
                Heard::Broken => panic!("the connection broke without a close frame"),
            }
        }
    }

    /// Checks that nothing else came: everything before the answer to a ping has been delivered.
    #[track_caller]
    pub fn hears_nothing(&mut self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            self.say(&json!({ "type": "ping", "id": "nothing-else" })).await;
            let frame = self.next().await;
            assert_eq!(frame["type"], "pong", "{frame} at {caller}");
        }
    }
}
