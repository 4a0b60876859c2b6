//! Golden answers: every kind of problem exactly as clients see it, in `tests/golden`.
//!
//! A file that is missing is written by the test, which then fails once, so that a new golden is looked at.

use std::fs;
use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{hello, pour, with};
use crate::support::{Answer, Client, Server};

/// The headers that are part of the contract.
const HEADERS: [&str; 5] =
    ["content-type", "allow", "retry-after", "www-authenticate", "idempotency-replayed"];

fn golden(name: &str, answer: &Answer) {
    let mut seen = serde_json::Map::new();
    seen.insert("status".to_owned(), json!(answer.status));
    let headers: serde_json::Map<String, Value> = HEADERS
        .into_iter()
        .filter(|header| !answer.header(header).is_empty())
        .map(|header| (header.to_owned(), json!(answer.header(header))))
        .collect();
    seen.insert("headers".to_owned(), headers.into());
    seen.insert("body".to_owned(), answer.json());
    let shown = format!("{}\n", serde_json::to_string_pretty(&Value::Object(seen)).unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let Ok(wanted) = fs::read_to_string(&file) else {
        fs::write(&file, &shown).unwrap();
        panic!("{} did not exist and is written now: look at it\n{shown}", file.display());
    };
    assert_eq!(shown, wanted, "{name}: {}", answer.request);
}

async fn send(client: &Client, method: Method, path: &str, kind: &str, body: &str) -> Answer {
    let request = client.request(method, path).header("content-type", kind);
    client.send(request.body(body.to_owned())).await
}

#[tokio::test]
async fn problems_look_as_they_always_did() {
    let server = Server::start().await;
    let admin = server.admin();
    let json_type = "application/json";
    let reader = server.with(&admin.key(&["read"]).await);
    let person = server.with(&admin.mint("ada", &json!({})).await);
    admin.notify(&with(hello("ada"), json!({ "id": "n-1" }))).await;
    let post = Method::POST;
    let path = "/v1/notifications";
    golden("400_invalid_json", &send(&admin, post.clone(), path, json_type, "{\"user_id\": }").await);
    golden("401_no_token", &admin.anonymous().get("/v1/users").await);
    golden("401_bad_token", &server.with("nonsense").get("/v1/users").await);
    golden("403_scope", &reader.post(path, &hello("ada")).await);
    golden("403_another_person", &person.get("/v1/users/bob/inbox").await);
    golden("404_path", &admin.get("/v1/no-such-path").await);
    golden("404_notification", &admin.get("/v1/notifications/no-such").await);
    golden("404_template", &admin.post("/v1/templates/no_such/render", &json!({})).await);
    golden("405_notifications", &admin.delete(path).await);
    golden("405_user", &admin.post("/v1/users/ada", &json!({})).await);
    golden("409_id", &admin.post(path, &with(hello("ada"), json!({ "id": "n-1", "title": "x" }))).await);
    golden("413_body", &pour(&admin, path, &vec![b' '; 2 << 20]).await);
    golden("415_text", &send(&admin, post.clone(), path, "text/plain", "hello").await);
    golden("422_missing", &admin.post(path, &json!({})).await);
    let wrong = with(hello("ada"), json!({ "priority": "urgent", "channels": ["pigeon"], "metadata": 5 }));
    golden("422_wrong", &admin.post(path, &wrong).await);
    golden("422_not_an_object", &send(&admin, post.clone(), path, json_type, "[1]").await);
    let template = json!({ "user_id": "ada", "template": "workflow_review_required" });
    golden("422_missing_variables", &admin.post(path, &template).await);
    let event = json!({ "type": "workflow_exploded", "workflow_id": "w" });
    golden("422_unknown_event_type", &admin.post("/v1/workflow-events", &event).await);
    let keyed = |title: &str| {
        let body = with(hello("ada"), json!({ "title": title }));
        admin.send(admin.request(Method::POST, path).header("idempotency-key", "k").json(&body))
    };
    keyed("one").await.is(202);
    golden("422_idempotency_mismatch", &keyed("two").await);
    golden("426_not_a_websocket", &admin.get("/v1/ws").await);
}

#[tokio::test]
async fn every_path_that_is_known_answers_405_with_its_methods_for_the_others() {
    let server = Server::start().await;
    let admin = server.admin();
    for (path, wrong, allowed) in [
        ("/healthz", Method::POST, "GET, HEAD"),
        ("/readyz", Method::DELETE, "GET, HEAD"),
        ("/metrics", Method::PUT, "GET, HEAD"),
        ("/", Method::POST, "GET, HEAD"),
        ("/inbox", Method::DELETE, "GET, HEAD"),
        ("/v1/notifications", Method::PUT, "GET, POST, HEAD"),
        ("/v1/notifications/batch", Method::GET, "POST"),
        ("/v1/notifications/n", Method::DELETE, "GET, HEAD"),
        ("/v1/notifications/n/cancel", Method::GET, "POST"),
        ("/v1/workflow-events", Method::GET, "POST"),
        ("/v1/broadcasts", Method::GET, "POST"),
        ("/v1/users", Method::POST, "GET, HEAD"),
        ("/v1/users/ada", Method::POST, "GET, PUT, PATCH, DELETE, HEAD"),
        ("/v1/users/ada/preferences", Method::DELETE, "GET, PUT, PATCH, HEAD"),
        ("/v1/users/ada/inbox/mark", Method::PUT, "POST"),
        ("/v1/keys", Method::PUT, "GET, POST, HEAD"),
        ("/v1/keys/k", Method::GET, "DELETE"),
        ("/v1/connections", Method::POST, "GET, HEAD"),
        ("/v1/ws", Method::POST, "GET, HEAD"),
    ] {
        let answer = admin.send(admin.request(wrong, path)).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allowed, "{path}");
        let odd = admin.request(Method::from_bytes(b"BREW").unwrap(), path);
        assert_eq!(admin.send(odd).await.status, 405, "{path}");
    }
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let server = Server::start().await;
    let admin = server.admin();
    for path in ["/healthz", "/v1/users", "/", "/metrics"] {
        let answer = admin.send(admin.request(Method::HEAD, path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
}
