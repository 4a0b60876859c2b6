//! The client against servers that answer with bytes of our choosing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const KEY: &str = "blf_0123456789abcdef";

fn client_of(server: String) -> Client {
    Client::new(server.parse().unwrap(), Some(KEY.into())).unwrap()
}

/// Asks a server that answers once with `answer`. Gives the outcome, and the request's head as the server saw it.
async fn asked(answer: &[u8]) -> (Result<Answer, ClientError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_of(format!("http://{}/base/", listener.local_addr().unwrap()));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap();
        // The client may hang up before it has read everything.
        let _ = stream.write_all(answer).await;
        String::from_utf8(head[..length].to_vec()).unwrap()
    };
    tokio::join!(client.get(&["v1", "users", "a/b?c%2e"], &[]), serve)
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path_and_the_key_travels_as_a_header() {
    let (answer, head) = asked(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(answer.unwrap().text, "{}");
    assert!(head.starts_with("GET /base/v1/users/a%2Fb%3Fc%252e HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {KEY}\r\n")), "{head}");
}

#[tokio::test]
async fn a_refusal_is_repeated_without_the_key_and_without_control_characters() {
    let body = format!(r#"{{"code":"unauthorized","title":"No","detail":"{KEY} is\u001b[2J bad"}}"#);
    let head = "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\nretry-after: 7\r\n";
    let (answer, _) = asked(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    let Err(ClientError::Refused(problem)) = answer else { panic!("a 401 is a refusal") };
    assert_eq!(problem.detail, "[the key] is[2J bad");
    assert_eq!((problem.status, problem.retry_after_seconds), (401, Some(7)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let answer =
        b"HTTP/1.1 308 Permanent Redirect\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n";
    let (answer, _) = asked(answer).await;
    let Err(ClientError::Refused(problem)) = answer else { panic!("a redirect is a refusal") };
    assert!(problem.detail.contains("http://elsewhere/"), "{}", problem.detail);
}

#[tokio::test]
async fn an_endless_answer_is_given_up() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(BODY_BYTES_MAX + 1_000, b' ');
    let (answer, _) = asked(&answer).await;
    assert!(matches!(answer, Err(ClientError::Unreadable { .. })));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = client_of(format!("http://127.0.0.1:{port}")).get(&["healthz"], &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_of(format!("http://{}", listener.local_addr().unwrap()));
    let error = client.get(&["healthz"], &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_of_another_shape_is_named_as_such() {
    let (answer, _) = asked(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
    let client = client_of("http://127.0.0.1:1".to_owned());
    let read = answer.unwrap().read::<std::collections::BTreeMap<String, String>>(&client);
    assert!(matches!(read, Err(ClientError::Unreadable { .. })));
}
