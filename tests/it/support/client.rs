//! A small client for the REST door: a method, a path, a body, and an answer that can be asked what it says.

use std::sync::OnceLock;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::until;

/// A token and where to use it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The request, for messages.
    pub request: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Client {
    /// A client of the server at `url`.
    pub fn new(url: &str, token: &str) -> Client {
        static CRYPTO: OnceLock<()> = OnceLock::new();
        CRYPTO.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Client { http, url: url.to_owned(), token: token.to_owned() }
    }

    /// The same without a token.
    pub fn anonymous(&self) -> Client {
        Client { token: String::new(), ..self.clone() }
    }

    /// A request as it is, to be given headers and a body.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    /// Sends a request; `None` where the connection broke before the answer was whole.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> Option<Answer> {
        let request = request.build().unwrap();
        let shown = format!("{} {}", request.method(), request.url().path());
        let response = self.http.execute(request).await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Some(Answer { request: shown, status, headers, text: response.text().await.ok()? })
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let shown = format!("{} {}", request.method(), request.url().path());
        let response = self.http.execute(request).await;
        let response = response.unwrap_or_else(|error| panic!("{shown}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { request: shown, status, headers, text: response.text().await.unwrap() }
    }

    /// Any method with a JSON body.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(self.request(method, path).json(body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PUT, path, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Makes a person with a mail address.
    pub async fn person(&self, id: &str) {
        let email = format!("{id}@example.org");
        self.put(&format!("/v1/users/{id}"), &json!({ "email": email })).await.is(201);
    }

    /// Sends a notification and answers its result.
    pub async fn notify(&self, notification: &Value) -> Value {
        self.post("/v1/notifications", notification).await.is(202)
    }

    /// A token of a person, with everything that `grants` names.
    pub async fn mint(&self, user: &str, grants: &Value) -> String {
        let minted = self.post(&format!("/v1/users/{user}/tokens"), grants).await.is(201);
        minted["token"].as_str().unwrap().to_owned()
    }

    /// An API key with those scopes.
    pub async fn key(&self, scopes: &[&str]) -> String {
        let made = self.post("/v1/keys", &json!({ "name": "test", "scopes": scopes })).await.is(201);
        made["token"].as_str().unwrap().to_owned()
    }

    /// How a channel is doing.
    pub async fn channel(&self, name: &str) -> Value {
        let listed = self.get("/v1/channels").await.is(200);
        listed["data"].as_array().unwrap().iter().find(|one| one["channel"] == name).unwrap().clone()
    }

    /// Where a notification stands on a channel now.
    pub async fn standing(&self, id: &str, channel: &str) -> Value {
        let status = self.get(&format!("/v1/notifications/{id}/status")).await.is(200);
        let channels = status["channel_statuses"].as_array().unwrap();
        channels.iter().find(|standing| standing["channel"] == channel).cloned().unwrap_or(Value::Null)
    }

    /// Waits until a notification stands at `wanted` on a channel.
    pub async fn comes_to(&self, id: &str, channel: &str, wanted: &str) -> Value {
        until(&format!("{id} to be {wanted} on {channel}"), || async {
            let standing = self.standing(id, channel).await;
            (standing["status"] == wanted).then_some(standing)
        })
        .await
    }

    /// The events of a notification's timeline on a channel.
    pub async fn story(&self, id: &str, channel: &str) -> Vec<Value> {
        let timeline = self.get(&format!("/v1/notifications/{id}/timeline")).await.is(200);
        let all = timeline["data"].as_array().unwrap();
        all.iter().filter(|moment| moment["channel"] == channel).cloned().collect()
    }

    /// Every item of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        let mark = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{mark}limit=200{cursor}")).await.is(200);
            items.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.request, self.text))
    }

    /// The body, after checking the status.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.request, self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem, after checking that it is one with that status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.is(status);
        let kind = self.header("content-type");
        assert_eq!(kind, "application/problem+json", "{}: {}", self.request, self.text);
        assert_eq!(body["code"], code, "{}: {}", self.request, self.text);
        assert_eq!(body["status"], status, "{}", self.text);
        for field in ["type", "title", "detail"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {}", self.text);
        }
        body
    }

    /// The fields that a validation problem names.
    #[track_caller]
    pub fn fields(&self) -> Vec<String> {
        let body = self.problem(422, "validation_failed");
        let errors = body["errors"].as_array().unwrap();
        let mut fields: Vec<String> = errors
            .iter()
            .map(|error| {
                assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{error}");
                error["field"].as_str().unwrap().to_owned()
            })
            .collect();
        fields.sort();
        fields
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A notification that says something to `user`.
pub fn hello(user: &str) -> Value {
    json!({ "user_id": user, "type": "system_alert", "title": "Disk", "message": "The disk is full." })
}

/// `value` with the fields of `more`.
pub fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, more) {
        fields.extend(more);
    }
    value
}

/// The ids of items.
pub fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Sends a body that may be refused before it is whole, over a connection of its own. A client that is refused early
/// stops sending and reads; not every HTTP library does.
pub async fn pour(client: &Client, path: &str, body: &[u8]) -> Answer {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = client.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        client.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(super::PATIENCE, read).await.expect("the server ends the connection");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let mut headers = HeaderMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        let name: http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let request = format!("POST {path} ({} bytes)", body.len());
    Answer { request, status: status.unwrap(), headers, text: text.to_owned() }
}
