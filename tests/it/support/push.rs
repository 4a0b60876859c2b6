//! A push service on loopback that takes, refuses and drops on demand. It reads no message: it has no browser's keys.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A browser's public key that somebody published (RFC 8291, appendix A).
pub const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The path, which tells one browser from another.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// The length of its body.
    pub body_len: usize,
}

#[derive(Default)]
struct State {
    seen: Vec<Pushed>,
    answers: HashMap<String, VecDeque<(u16, &'static str)>>,
}

/// A running push service.
#[derive(Clone)]
pub struct PushService {
    url: String,
    state: Arc<Mutex<State>>,
}

impl PushService {
    /// One that takes everything until told otherwise.
    pub async fn start() -> PushService {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = PushService { url, state: Arc::default() };
        let state = service.state.clone();
        #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
                tokio::spawn(serve(stream, state.clone()));
            }
        });
        service
    }

    /// The settings by which a server may call here, retrying after those waits.
    pub fn settings(schedule: &str) -> Vec<(&'static str, &str)> {
        vec![("OUTBOUND__ALLOW_CIDRS", "[\"127.0.0.0/8\"]"), ("RETRY__BROWSER_PUSH__SCHEDULE", schedule)]
    }

    /// The `PushSubscription` of a browser here.
    pub fn browser(&self, name: &str) -> Value {
        json!({
            "endpoint": format!("{}/{name}", self.url), "expirationTime": null,
            "keys": { "p256dh": P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg" },
        })
    }

    /// What it answers to the next messages for a browser: a status, and header lines. Zero breaks the connection.
    pub fn answers(&self, name: &str, answers: &[(u16, &'static str)]) {
        self.state.lock().unwrap().answers.entry(format!("/{name}")).or_default().extend(answers);
    }

    /// What has come for a browser.
    pub fn seen(&self, name: &str) -> Vec<Pushed> {
        let path = format!("/{name}");
        self.state.lock().unwrap().seen.iter().filter(|pushed| pushed.path == path).cloned().collect()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    let head_len = loop {
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&request[..head_len]).into_owned();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body_len: usize = headers["content-length"].parse().unwrap();
    while request.len() < head_len + 4 + body_len {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let (status, more) = {
        let mut state = state.lock().unwrap();
        let answer = state.answers.get_mut(&path).and_then(VecDeque::pop_front);
        state.seen.push(Pushed { path, headers, body_len });
        answer.unwrap_or((201, ""))
    };
    if status != 0 {
        let answer =
            format!("HTTP/1.1 {status} Said\r\n{more}content-length: 4\r\nconnection: close\r\n\r\nsaid");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}
