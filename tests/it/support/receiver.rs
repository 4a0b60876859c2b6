//! An endpoint that takes, refuses and misbehaves by its path, and remembers what it was sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::until;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
    pub at: Instant,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A running endpoint. It ends with the test.
///
/// | path | answer |
/// |---|---|
/// | `/ok…` | 204 |
/// | `/500…`, `/410…`, `/401…` | that |
/// | `/429…` | that, with `Retry-After: 3` |
/// | `/twice…` | 503 for the first two requests to the path, then 200 |
/// | `/later…` | 503 with `Retry-After: 3` the first time, then 200 |
/// | `/redirect…` | 302 to `/ok-redirected` |
/// | `/huge…` | 200 and ten megabytes |
/// | `/jsonN` | 200 and `{"messages":[{"status":"N"}]}` |
/// | `/hang…` | nothing |
/// | `/away…` | nothing, until it is [back](Receiver::comes_back); then 204 |
pub struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    back: Arc<AtomicBool>,
}

impl Receiver {
    #[expect(
        clippy::disallowed_methods,
        reason = "the endpoint runs beside the test, as long as the test does"
    )]
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (seen, back) = (got.clone(), Arc::new(AtomicBool::new(false)));
        let is_back = back.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), port, is_back.clone()));
            }
        });
        Receiver { port, got, back }
    }

    /// What was away answers from here on.
    pub fn comes_back(&self) {
        self.back.store(true, Ordering::Relaxed);
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What came in at `path` so far.
    pub fn at(&self, path: &str) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|got| got.path == path).cloned().collect()
    }

    /// What came in at any path that begins so.
    pub fn got_below(&self, start: &str) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|got| got.path.starts_with(start)).cloned().collect()
    }

    /// Waits until so many requests have come in at `path`.
    pub async fn comes(&self, path: &str, count: usize) -> Vec<Got> {
        until(&format!("{count} requests at {path}"), || async {
            Some(self.at(path)).filter(|got| got.len() >= count)
        })
        .await
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Got>>>, port: u16, back: Arc<AtomicBool>) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            let mut piece = [0; 8192];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&piece[..read]),
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = buffer.split_off(head_end + 4);
        while body.len() < length {
            let mut piece = [0; 8192];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => body.extend_from_slice(&piece[..read]),
            }
        }
        buffer = body.split_off(length);
        let body = String::from_utf8(body).unwrap();
        let before = {
            let mut seen = seen.lock().unwrap();
            let before = seen.iter().filter(|got| got.path == path).count();
            seen.push(Got { path: path.clone(), headers, body, at: Instant::now() });
            before
        };
        let fate = path.trim_start_matches('/').split('-').next().unwrap_or("");
        let answer = match fate {
            "500" => "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\n\r\nno \x1b!".to_owned(),
            "401" => "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_owned(),
            "429" => "HTTP/1.1 429 Slow\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "410" => "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "twice" if before < 2 => "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "later" if before == 0 => {
                "HTTP/1.1 503 Busy\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            _ if fate.starts_with("json") => {
                let status = fate.trim_start_matches("json");
                let body = serde_json::json!({ "messages": [{ "status": status }] }).to_string();
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            "redirect" => format!(
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{port}/ok-redirected\r\ncontent-length: 0\r\n\r\n"
            ),
            "huge" => {
                format!("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n{}", "x".repeat(10_000_000))
            }
            "away" if !back.load(Ordering::Relaxed) => {
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
                return;
            }
            "hang" => {
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
                return;
            }
            _ => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
