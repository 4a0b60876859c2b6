//! The WebSocket client: one live connection, what is said on it and how it ends.
//!
//! The handshake goes through the REST client, so that `ws` and `wss` follow the same rules (one TLS set-up, no
//! redirects, refusals as problems). The token travels in the first frame: never in a URL, where logs would keep it.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use reqwest::{StatusCode, Upgraded};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::rest::{Client, ClientError};
use super::words::clean;
use crate::clock::Clock;

/// The most bytes of one message: the bound of any other answer's body would do, but nothing that is shown on a line
/// needs more than this.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// After so much silence the server is asked whether it is there, and after as much again it is taken for gone. The
/// server pings every 30 s unless it is told otherwise.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long saying goodbye may take.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// A connection that is open.
#[derive(Debug)]
pub struct Live {
    socket: WebSocketStream<Upgraded>,
}

/// What came next on a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A text frame.
    Frame(String),
    /// The server closed it, with the code and the reason of RFC 6455 section 7.
    Closed {
        /// 4000 and up are the server's own; 1005 where it named none.
        code: u16,
        /// In the server's words, cleaned; may be empty.
        reason: String,
    },
    /// It broke.
    Lost(String),
}

impl Live {
    /// Opens `/v1/ws` of the client's server.
    ///
    /// # Errors
    /// When nobody answers, or the answer is another than 101 with the right accept key.
    pub async fn open(client: &Client) -> Result<Live, ClientError> {
        let key = generate_key();
        let accept = derive_accept_key(key.as_bytes());
        let headers = [
            ("connection", "Upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-version", "13".to_owned()),
            ("sec-websocket-key", key),
        ];
        let response = client.knock(&["v1", "ws"], &headers).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(client.refusal(response).await?.into());
        }
        let accepted =
            response.headers().get("sec-websocket-accept").map(reqwest::header::HeaderValue::as_bytes);
        if accepted != Some(accept.as_bytes()) {
            return Err(client.unreadable("the WebSocket handshake was answered wrongly".to_owned()));
        }
        let stream = response
            .upgrade()
            .await
            .map_err(|_| client.unreadable("the connection did not become a WebSocket".to_owned()))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        Ok(Live { socket: WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await })
    }

    /// Says something: `frame` is a flat object with a `type`, to which the time is added.
    ///
    /// # Errors
    /// How the connection broke.
    pub async fn tell(&mut self, mut frame: Value) -> Result<(), String> {
        frame["timestamp"] = json!(now());
        self.socket.send(Message::text(frame.to_string())).await.map_err(|error| broken(&error))
    }

    /// Waits for what comes next. Pings of either kind are answered on the way and not given out.
    pub async fn hear(&mut self) -> Heard {
        let mut asked = false;
        loop {
            let Ok(message) = tokio::time::timeout(SILENCE_MAX, self.socket.next()).await else {
                if asked {
                    return Heard::Lost("the server has fallen silent".to_owned());
                }
                asked = true;
                if let Err(broken) = self.tell(json!({ "type": "ping" })).await {
                    return Heard::Lost(broken);
                }
                continue;
            };
            asked = false;
            match message {
                Some(Ok(Message::Text(text))) if is_ping(&text) => {
                    if let Err(broken) = self.tell(json!({ "type": "pong" })).await {
                        return Heard::Lost(broken);
                    }
                }
                Some(Ok(Message::Text(text))) => return Heard::Frame(text.to_string()),
                Some(Ok(Message::Close(Some(close)))) => {
                    return Heard::Closed { code: close.code.into(), reason: clean(&close.reason) };
                }
                Some(Ok(Message::Close(None))) => return Heard::Closed { code: 1005, reason: String::new() },
                // The library answers protocol pings by itself; the server's language has no binary frames.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Heard::Lost(broken(&error)),
                None => return Heard::Lost("it was cut".to_owned()),
            }
        }
    }

    /// Says goodbye, as far as that is possible in a second.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSE_WAIT, self.socket.close(None)).await;
    }
}

/// How a connection broke, in words. A peer that just went away is by far the usual case, and has many names.
fn broken(error: &Error) -> String {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => "it was cut".to_owned(),
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => "it was cut".to_owned(),
        other => clean(&other.to_string()),
    }
}

fn is_ping(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, rename = "type")]
        kind: std::borrow::Cow<'a, str>,
    }
    // A notification is not worth parsing twice only to learn that it is no ping.
    text.len() < 512 && serde_json::from_str::<Kind<'_>>(text).is_ok_and(|frame| frame.kind == "ping")
}

fn now() -> String {
    Timestamp::from_millisecond(Clock::System.now()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    use super::*;

    /// Both ends of one connection.
    async fn ends() -> (Live, WebSocketStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::new(server.parse().unwrap(), None).unwrap();
        let serve = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
        let (live, served) = tokio::join!(Live::open(&client), serve);
        (live.unwrap(), served)
    }

    async fn next_type(served: &mut WebSocketStream<TcpStream>) -> String {
        let text = served.next().await.unwrap().unwrap().into_text().unwrap();
        let frame: Value = serde_json::from_str(&text).unwrap();
        assert!(frame["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{frame}");
        frame["type"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_not_given_out() {
        let (mut live, mut served) = ends().await;
        served.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
        served.send(Message::text(r#"{"type":"news"}"#)).await.unwrap();
        assert_eq!(live.hear().await, Heard::Frame(r#"{"type":"news"}"#.to_owned()));
        assert_eq!(next_type(&mut served).await, "pong");
    }

    #[tokio::test]
    async fn a_close_is_heard_with_its_code_and_a_clean_reason() {
        let (mut live, mut served) = ends().await;
        let frame = CloseFrame { code: 4503.into(), reason: "bye\u{1b}[2J".into() };
        served.close(Some(frame)).await.unwrap();
        assert_eq!(live.hear().await, Heard::Closed { code: 4503, reason: "bye[2J".to_owned() });
    }

    #[tokio::test]
    async fn a_silent_server_is_asked_once_and_then_taken_for_gone() {
        let (mut live, mut served) = ends().await;
        tokio::time::pause();
        assert_eq!(live.hear().await, Heard::Lost("the server has fallen silent".to_owned()));
        assert_eq!(next_type(&mut served).await, "ping");
    }

    #[tokio::test]
    async fn a_cut_is_heard_as_a_loss() {
        let (mut live, served) = ends().await;
        drop(served);
        assert_eq!(live.hear().await, Heard::Lost("it was cut".to_owned()));
    }
}
