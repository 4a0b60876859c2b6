//! Claims about batches: many notifications in one request, what it says of each, how far it is, and withdrawing it.

use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{hello, with};
use crate::support::server::ADMIN_KEY;
use crate::support::{Answer, Client, Server, until};

const PATH: &str = "/v1/notifications/batch";

fn lines(items: impl IntoIterator<Item = Value>) -> String {
    items.into_iter().map(|item| format!("{item}\n")).collect()
}

async fn upload(client: &Client, body: String, key: Option<&str>) -> Answer {
    let mut request = client.request(Method::POST, PATH).header("content-type", "application/x-ndjson");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    client.send(request.body(body)).await
}

async fn batch(client: &Client, id: &Value) -> Value {
    client.get(&format!("/v1/batches/{}", id.as_str().unwrap())).await.is(200)
}

/// An upload over a connection of its own, that can be left open or cut.
async fn open_upload(server: &Server) -> TcpStream {
    open_upload_as(server, "").await
}

/// The same with more headers.
async fn open_upload_as(server: &Server, headers: &str) -> TcpStream {
    let address = server.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {ADMIN_KEY}\r\n\
         content-type: application/x-ndjson\r\n{headers}transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn send_chunk(stream: &mut TcpStream, text: &str) {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.unwrap();
}

/// The only batch that there is, once `wanted` takes it.
async fn only_batch(client: &Client, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(what, || async {
        let list = client.get("/v1/batches").await.is(200);
        let batch = list["data"][0].clone();
        (batch.is_object() && wanted(&batch)).then_some(batch)
    })
    .await
}

#[tokio::test]
async fn bad_lines_fail_alone_and_are_named() {
    let server = Server::start().await;
    let client = server.admin();
    let good = (0..300).map(|at| with(hello("anna"), json!({ "id": format!("line-{at}") })));
    let mut body = lines(good);
    body.push_str("{not json\n\n");
    body.push_str(&with(hello("anna"), json!({ "id": "bad", "priority": "urgent" })).to_string());
    let answer = upload(&client, body, None).await.is(202);
    assert_eq!(
        (&answer["success"], &answer["total_sent"], &answer["successful"], &answer["failed"]),
        (&json!(false), &json!(302), &json!(300), &json!(2)),
        "{answer}"
    );
    let errors: Vec<&str> =
        answer["errors"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert!(errors[0].starts_with("300: is not valid JSON"), "{errors:?}");
    assert!(errors[1].starts_with("bad: priority"), "{errors:?}");
    assert_eq!(answer["results"].as_array().unwrap().len(), 2, "only what failed is listed");
    let batch = batch(&client, &answer["batch_id"]).await;
    assert_eq!((&batch["state"], &batch["successful"]), (&json!("completed"), &json!(300)));
    let counts = client.get("/v1/users/anna/inbox/counts").await.is(200);
    assert_eq!(counts["total"], 300);
}

#[tokio::test]
async fn what_has_come_of_an_upload_is_taken_while_the_rest_is_still_to_come() {
    let server = Server::start().await;
    let client = server.admin();
    let mut stream = open_upload(&server).await;
    send_chunk(&mut stream, &lines((0..200).map(|_| hello("anna")))).await;
    let running = only_batch(&client, "200 lines to be taken", |batch| batch["successful"] == 200).await;
    assert_eq!(running["state"], "running");
    // Half a line is no line.
    send_chunk(&mut stream, "{\"user_id\":\"anna\",").await;
    drop(stream);
    let broken = only_batch(&client, "the upload to break off", |batch| batch["state"] != "running").await;
    assert_eq!((&broken["state"], &broken["total"]), (&json!("interrupted"), &json!(200)));
}

#[tokio::test]
async fn an_upload_that_dies_with_the_server_is_interrupted_and_what_it_counts_is_there() {
    let mut server = Server::start().await;
    let mut stream = open_upload(&server).await;
    send_chunk(&mut stream, &lines((0..150).map(|_| hello("anna")))).await;
    let client = server.admin();
    only_batch(&client, "150 lines to be taken", |batch| batch["successful"] == 150).await;
    server.restart().await;
    let client = server.admin();
    let batch = only_batch(&client, "the batch", |_| true).await;
    assert_eq!((&batch["state"], &batch["successful"]), (&json!("interrupted"), &json!(150)));
    assert_eq!(client.get("/v1/users/anna/inbox/counts").await.is(200)["total"], 150);
}

#[tokio::test]
async fn a_line_beyond_the_hundred_thousandth_is_refused_and_what_came_before_is_kept() {
    let server = Server::start().await;
    let client = server.admin();
    let problem = upload(&client, "1\n".repeat(100_001), None).await;
    problem.problem(413, "payload_too_large");
    let batch = only_batch(&client, "the batch", |_| true).await;
    assert_eq!((&batch["state"], &batch["failed"]), (&json!("interrupted"), &json!(100_000)));
}

#[tokio::test]
async fn the_same_upload_with_the_same_key_is_taken_once() {
    let server = Server::start().await;
    let client = server.admin();
    let body = lines((0..5).map(|_| hello("anna")));
    let first = upload(&client, body.clone(), Some("k")).await;
    let again = upload(&client, body.clone(), Some("k")).await;
    assert_eq!(again.is(202), first.is(202));
    assert_eq!(again.header("idempotency-replayed"), "true");
    upload(&client, format!("{body}{body}"), Some("k")).await.problem(422, "idempotency_mismatch");
    assert_eq!(client.get("/v1/users/anna/inbox/counts").await.is(200)["total"], 5);
}

/// An upload with the key `k` that broke off: what came of it, and the server killed or not.
async fn broken_off(server: &mut Server, text: &str, lines: u64, killed: bool) -> Value {
    let mut stream = open_upload_as(server, "idempotency-key: k\r\n").await;
    send_chunk(&mut stream, text).await;
    let client = server.admin();
    only_batch(&client, "lines to be taken", |batch| batch["processed"] == lines).await;
    if killed {
        server.restart().await;
    }
    drop(stream);
    let client = server.admin();
    let batch = only_batch(&client, "the upload to break off", |batch| batch["state"] == "interrupted").await;
    until("the key to be free", || async {
        let nothing = upload(&client, String::new(), Some("k")).await;
        (nothing.status != 409).then_some(())
    })
    .await;
    batch
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_behind_what_was_taken_when_it_is_sent_again_with_its_key() {
    for killed in [false, true] {
        let mut server = Server::start().await;
        let all: Vec<String> =
            (0..300).map(|at| with(hello("anna"), json!({ "title": at.to_string() })).to_string()).collect();
        let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
        all.insert(7, "{not json");
        let text = all.join("\n");
        let first: String = all[..150].iter().map(|line| format!("{line}\n")).collect();
        let broken = broken_off(&mut server, &first, 150, killed).await;
        let client = server.admin();
        let answer = upload(&client, text.clone(), Some("k")).await;
        let whole = answer.is(202);
        assert_eq!(whole["batch_id"], broken["id"]);
        assert_eq!(
            (&whole["total_sent"], &whole["successful"], &whole["failed"]),
            (&json!(301), &json!(300), &json!(1))
        );
        assert_eq!(
            (&whole["results"][0]["item"], whole["errors"].as_array().unwrap().len()),
            (&json!("7"), 1)
        );
        assert_eq!(batch(&client, &whole["batch_id"]).await["state"], "completed");
        let again = upload(&client, text, Some("k")).await;
        assert_eq!((again.is(202), again.header("idempotency-replayed")), (whole, "true"));
        let inbox = client.all("/v1/users/anna/inbox").await;
        let titles: std::collections::BTreeSet<&str> =
            inbox.iter().map(|item| item["title"].as_str().unwrap()).collect();
        assert_eq!((inbox.len(), titles.len()), (300, 300), "each once");
    }
}

#[tokio::test]
async fn another_upload_with_the_key_of_one_that_broke_off_is_refused_and_changes_nothing() {
    let mut server = Server::start().await;
    let taken = lines((0..150).map(|_| hello("anna")));
    let broken = broken_off(&mut server, &taken, 150, false).await;
    let client = server.admin();
    let other = lines((0..200).map(|_| hello("ben")));
    let shorter = lines((0..100).map(|_| hello("anna")));
    for text in [other, shorter] {
        upload(&client, text, Some("k")).await.problem(422, "idempotency_mismatch");
        let after = batch(&client, &broken["id"]).await;
        assert_eq!((&after["state"], &after["total"]), (&json!("interrupted"), &json!(150)));
    }
    client.post(&format!("/v1/batches/{}/cancel", broken["id"].as_str().unwrap()), &json!({})).await.is(200);
    upload(&client, taken, Some("k")).await.problem(409, "conflict");
    assert_eq!(client.get("/v1/users/anna/inbox/counts").await.is(200)["total"], 150);
}

#[tokio::test]
async fn a_canceled_batch_takes_back_what_has_not_left() {
    let server = Server::start().await;
    let client = server.admin();
    client.person("anna").await;
    let later = with(hello("anna"), json!({ "send_at": "2099-01-01T00:00:00Z" }));
    let items = json!({ "notifications": [later, hello("anna"), later] });
    let sent = client.post(PATH, &items).await.is(202);
    let id = sent["batch_id"].as_str().unwrap();
    let shown = batch(&client, &sent["batch_id"]).await;
    assert_eq!((&shown["state"], &shown["total"]), (&json!("completed"), &json!(3)));
    let now = sent["results"][1]["notification_id"].as_str().unwrap();
    client.comes_to(now, "email", "sent").await;
    let canceled = client.post(&format!("/v1/batches/{id}/cancel"), &json!({})).await.is(200);
    assert_eq!((&canceled["state"], &canceled["canceled"]), (&json!("canceled"), &json!(2)));
    for at in [0, 2] {
        let id = sent["results"][at]["notification_id"].as_str().unwrap();
        assert_eq!(client.standing(id, "email").await["status"], "canceled");
    }
    assert_eq!(client.standing(now, "email").await["status"], "sent");
    let again = client.post(&format!("/v1/batches/{id}/cancel"), &json!({})).await.is(200);
    assert_eq!(again["canceled"], 2, "nothing is withdrawn twice");
}

#[tokio::test]
async fn an_upload_whose_batch_is_canceled_ends() {
    let server = Server::start().await;
    let client = server.admin();
    let mut stream = open_upload(&server).await;
    send_chunk(&mut stream, &lines([hello("anna")])).await;
    let running = only_batch(&client, "a line to be taken", |batch| batch["successful"] == 1).await;
    let id = running["id"].as_str().unwrap();
    client.post(&format!("/v1/batches/{id}/cancel"), &json!({})).await.is(200);
    send_chunk(&mut stream, &lines([hello("anna")])).await;
    let mut head = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut head).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&head), "HTTP/1.1 409");
    let batch = batch(&client, &running["id"]).await;
    assert_eq!((&batch["state"], &batch["total"]), (&json!("canceled"), &json!(1)));
}

#[tokio::test]
async fn batches_are_shown_to_whoever_may_read_and_withdrawn_by_whoever_may_publish() {
    let server = Server::start().await;
    let admin = server.admin();
    let sent = admin.post(PATH, &json!({ "notifications": [hello("anna")] })).await.is(202);
    let path = format!("/v1/batches/{}", sent["batch_id"].as_str().unwrap());
    let reader = server.with(&admin.key(&["read"]).await);
    let publisher = server.with(&admin.key(&["publish"]).await);
    reader.get(&path).await.is(200);
    publisher.get(&path).await.problem(403, "forbidden");
    reader.post(&format!("{path}/cancel"), &json!({})).await.problem(403, "forbidden");
    publisher.post(&format!("{path}/cancel"), &json!({})).await.is(200);
    for unknown in ["/v1/batches/nonsense", "/v1/batches/019354a0-0000-7000-8000-000000000000"] {
        reader.get(unknown).await.problem(404, "not_found");
    }
}
