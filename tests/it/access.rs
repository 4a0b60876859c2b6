//! Claims about who may do what: scopes, keys that end, and tokens of people.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::hello;
use crate::support::server::{ADMIN_KEY, JWT_SECRET};
use crate::support::socket::handshake;
use crate::support::token::{seconds_now, signed, unsigned};
use crate::support::{Client, Server, Socket, until};

/// What a route needs: nothing, or one of these scopes, or to be the person.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Nothing,
    Read,
    Publish,
    Admin,
    /// The scope, or being the person in the path.
    ReadOrSelf,
    AdminOrSelf,
}

fn routes() -> Vec<(Method, &'static str, Value, Needs)> {
    use Needs::{Admin, AdminOrSelf, Nothing, Publish, Read, ReadOrSelf};
    let notification = hello("ada");
    let event = json!({ "type": "workflow_update", "workflow_id": "w" });
    let broadcast = json!({ "to": "all",
        "message": { "type": "notification", "title": "t", "message": "m" } });
    vec![
        (Method::GET, "/healthz", json!(null), Nothing),
        (Method::GET, "/readyz", json!(null), Nothing),
        (Method::POST, "/v1/notifications", notification.clone(), Publish),
        (Method::POST, "/v1/notifications/batch", json!({ "notifications": [notification] }), Publish),
        (Method::POST, "/v1/workflow-events", event, Publish),
        (Method::POST, "/v1/broadcasts", broadcast, Publish),
        (Method::POST, "/v1/notifications/n/cancel", json!({}), Publish),
        (Method::GET, "/v1/notifications", json!(null), Read),
        (Method::GET, "/v1/notifications/n", json!(null), Read),
        (Method::GET, "/v1/notifications/n/status", json!(null), Read),
        (Method::GET, "/v1/notifications/n/timeline", json!(null), Read),
        (Method::GET, "/v1/users", json!(null), Read),
        (Method::GET, "/v1/templates", json!(null), Read),
        (Method::GET, "/v1/templates/workflow_failed", json!(null), Read),
        (Method::POST, "/v1/templates/workflow_completed/render", render(), Read),
        (Method::GET, "/v1/connections", json!(null), Read),
        (Method::GET, "/v1/captured", json!(null), Read),
        (Method::GET, "/v1/keys", json!(null), Admin),
        (Method::POST, "/v1/keys", json!({ "name": "k", "scopes": ["read"] }), Admin),
        (Method::PUT, "/v1/users/ada", json!({}), Admin),
        (Method::POST, "/v1/users/ada/tokens", json!({}), Admin),
        (Method::GET, "/v1/users/ada", json!(null), ReadOrSelf),
        (Method::GET, "/v1/users/ada/preferences", json!(null), ReadOrSelf),
        (Method::GET, "/v1/users/ada/inbox", json!(null), ReadOrSelf),
        (Method::GET, "/v1/users/ada/inbox/counts", json!(null), ReadOrSelf),
        (Method::PATCH, "/v1/users/ada/preferences", json!({}), AdminOrSelf),
        (Method::PUT, "/v1/users/ada/preferences", json!({}), AdminOrSelf),
        (Method::POST, "/v1/users/ada/inbox/mark", json!({ "all": true, "as": "seen" }), AdminOrSelf),
        (Method::PATCH, "/v1/users/ada", json!({ "locale": "en" }), AdminOrSelf),
    ]
}

fn render() -> Value {
    json!({ "variables": { "workflow_name": "w" } })
}

async fn ask(client: &Client, method: &Method, path: &str, body: &Value) -> crate::support::Answer {
    if body.is_null() {
        client.send(client.request(method.clone(), path)).await
    } else {
        client.call(method.clone(), path, body).await
    }
}

#[tokio::test]
async fn every_scope_reaches_as_far_as_it_says_and_no_further() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    admin.notify(&crate::support::client::with(hello("ada"), json!({ "id": "n" }))).await;
    let holders = [
        ("anonymous", admin.anonymous()),
        ("read", server.with(&admin.key(&["read"]).await)),
        ("publish", server.with(&admin.key(&["publish"]).await)),
        ("read publish", server.with(&admin.key(&["read", "publish"]).await)),
        ("ingest", server.with(&admin.key(&["ingest:alerts"]).await)),
        ("admin", server.with(&admin.key(&["admin"]).await)),
        ("ada", server.with(&admin.mint("ada", &json!({ "workflows": ["*"] })).await)),
        ("bob", server.with(&admin.mint("bob", &json!({ "workflows": ["*"] })).await)),
    ];
    for (method, path, body, needs) in routes() {
        for (who, client) in &holders {
            let answer = ask(client, &method, path, &body).await;
            let may = match needs {
                Needs::Nothing => true,
                Needs::Read => who.contains("read") || *who == "admin",
                Needs::Publish => who.contains("publish") || *who == "admin",
                Needs::Admin => *who == "admin",
                Needs::ReadOrSelf => who.contains("read") || *who == "admin" || *who == "ada",
                Needs::AdminOrSelf => *who == "admin" || *who == "ada",
            };
            match (may, *who) {
                (true, _) => assert!(
                    (200..300).contains(&answer.status),
                    "{method} {path} as {who}: {} {}",
                    answer.status,
                    answer.text
                ),
                (false, "anonymous") => {
                    answer.problem(401, "unauthorized");
                    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
                }
                (false, _) => {
                    assert_eq!(answer.status, 403, "{method} {path} as {who}: {}", answer.text);
                    answer.problem(403, "forbidden");
                }
            }
        }
    }
}

#[tokio::test]
async fn rights_are_judged_before_the_body_and_before_what_exists() {
    let server = Server::start().await;
    let admin = server.admin();
    let reader = server.with(&admin.key(&["read"]).await);
    for client in [admin.anonymous(), reader] {
        let request = client.request(Method::POST, "/v1/notifications").body("{");
        let status = client.send(request).await.status;
        assert!([401, 403].contains(&status), "{status}");
        let status = client.delete("/v1/users/nobody").await.status;
        assert!([401, 403].contains(&status), "{status}");
    }
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused_on_every_door() {
    let server = Server::start().await;
    let admin = server.admin();
    let now = seconds_now();
    let good = json!({ "sub": "ada", "exp": now + 600 });
    let mine = signed(&good, JWT_SECRET);
    server.with(&mine).get("/v1/users/me/inbox").await.is(200);
    let (head, signature) = mine.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    let bob = json!({ "sub": "bob", "exp": now + 600 });
    let other_claims = unsigned(&json!({ "alg": "HS256", "typ": "JWT" }), &bob);
    let hs512 = unsigned(&json!({ "alg": "HS512", "typ": "JWT" }), &good);
    let none = unsigned(&json!({ "alg": "none", "typ": "JWT" }), &good);
    let bad = [
        ("expired", signed(&json!({ "sub": "ada", "exp": now - 600 }), JWT_SECRET)),
        ("foreign", signed(&good, "another-secret-of-another-server-0123456789")),
        ("unsigned", format!("{none}.")),
        ("unsigned without a dot", none),
        ("signed by nothing", format!("{head}.")),
        ("forged", format!("{head}.{flipped}")),
        ("forged claims", format!("{other_claims}.{signature}")),
        ("another algorithm", format!("{hs512}.{signature}")),
        ("no subject", signed(&json!({ "exp": now + 600 }), JWT_SECRET)),
        ("an empty subject", signed(&json!({ "sub": "", "exp": now + 600 }), JWT_SECRET)),
        ("a subject of spaces", signed(&json!({ "sub": "a b", "exp": now + 600 }), JWT_SECRET)),
        ("no end", signed(&json!({ "sub": "ada" }), JWT_SECRET)),
        ("not begun", signed(&json!({ "sub": "ada", "exp": now + 900, "nbf": now + 800 }), JWT_SECRET)),
        ("a wrong end", signed(&json!({ "sub": "ada", "exp": "never" }), JWT_SECRET)),
        ("a long one", format!("{}.{}.{}", "a".repeat(9_000), "b".repeat(9_000), "c".repeat(9_000))),
        ("an unknown key", format!("{ADMIN_KEY}x")),
        ("half a key", ADMIN_KEY[..10].to_owned()),
        ("no token at all", "x".to_owned()),
    ];
    for (what, token) in &bad {
        let answer = server.with(token).get("/v1/users/me/inbox").await;
        assert!([401, 431].contains(&answer.status), "{what}: {} {}", answer.status, answer.text);
        if answer.status == 401 {
            answer.problem(401, "unauthorized");
        }
        assert!(!answer.text.contains(token.as_str()), "{what} is not repeated");
        let query = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
        let by_query = handshake(server.url(), &format!("/v1/ws?token={query}"));
        let status = Socket::open(by_query).await.err();
        assert!([Some(401), Some(414), Some(431)].contains(&status), "{what}: {status:?}");
    }
    let basic = admin.anonymous().request(Method::GET, "/v1/users").header("authorization", "Basic YTpi");
    admin.send(basic).await.problem(401, "unauthorized");
    for (_, token) in &bad {
        assert!(token.len() < 20 || !server.log().contains(token.as_str()), "no token in the log");
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_or_at_its_end_opens_nothing() {
    let mut server = Server::start().await;
    let admin = server.admin();
    let made = admin.post("/v1/keys", &json!({ "name": "ci", "scopes": ["read"] })).await.is(201);
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    server.with(token).get("/v1/users").await.is(200);
    let short = json!({ "name": "short", "scopes": ["read"], "expires_in": 1 });
    let short = admin.post("/v1/keys", &short).await.is(201)["token"].as_str().unwrap().to_owned();
    let long = json!({ "name": "long", "scopes": ["read"], "expires_in": 3600 });
    let long = admin.post("/v1/keys", &long).await.is(201)["token"].as_str().unwrap().to_owned();
    admin.delete(&format!("/v1/keys/{id}")).await.is(204);
    admin.delete(&format!("/v1/keys/{id}")).await.problem(404, "not_found");
    server.with(token).get("/v1/users").await.problem(401, "unauthorized");
    let ending = server.with(&short);
    until("the key to end", || async { (ending.get("/v1/users").await.status == 401).then_some(()) }).await;
    let token = token.to_owned();
    server.restart().await;
    server.with(&token).get("/v1/users").await.problem(401, "unauthorized");
    server.with(&short).get("/v1/users").await.problem(401, "unauthorized");
    server.with(&long).get("/v1/users").await.is(200);
}

#[tokio::test]
async fn a_key_is_shown_once_and_listed_with_its_last_use() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = json!({ "name": "ci", "scopes": ["read", "publish"], "expires_in": 60 });
    let made = admin.post("/v1/keys", &made).await.is(201);
    let token = made["token"].as_str().unwrap();
    let find = async || {
        let listed = admin.get("/v1/keys").await;
        assert!(!listed.text.contains(token), "a key is shown once");
        let listed = listed.is(200);
        listed["data"].as_array().unwrap().iter().find(|key| key["id"] == made["id"]).cloned().unwrap()
    };
    let listed = find().await;
    assert_eq!((&listed["name"], &listed["scopes"]), (&json!("ci"), &json!(["read", "publish"])));
    assert!(listed["last_used_at"].is_null() && listed["expires_at"].is_string(), "{listed}");
    server.with(token).get("/v1/users").await.is(200);
    until("the last use", || async { find().await["last_used_at"].is_string().then_some(()) }).await;
    let stored = std::fs::read(server.data().join("store/db")).unwrap();
    let holds = |needle: &[u8]| stored.windows(needle.len()).any(|window| window == needle);
    assert!(!holds(token.as_bytes()) && !holds(ADMIN_KEY.as_bytes()), "only hashes are stored");
    for (body, field) in [
        (json!({ "scopes": ["read"] }), "name"),
        (json!({ "name": "x" }), "scopes"),
        (json!({ "name": "x", "scopes": [] }), "scopes"),
        (json!({ "name": "x", "scopes": ["root"] }), "scopes[0]"),
        (json!({ "name": "x", "scopes": ["ingest:"] }), "scopes[0]"),
        (json!({ "name": "x", "scopes": "read" }), "scopes"),
        (json!({ "name": 5, "scopes": ["read"] }), "name"),
        (json!({ "name": "x", "scopes": ["read"], "expires_in": 0 }), "expires_in"),
        (json!({ "name": "x", "scopes": ["read"], "expires_in": -5 }), "expires_in"),
        (json!({ "name": "x", "scopes": ["read"], "expires_in": "1h" }), "expires_in"),
    ] {
        assert_eq!(admin.post("/v1/keys", &body).await.fields(), [field], "{body}");
    }
}

#[tokio::test]
async fn a_persons_token_reaches_their_own_things_only_and_ends() {
    let server = Server::start().await;
    let admin = server.admin();
    for user in ["ada", "bob"] {
        admin.notify(&hello(user)).await;
    }
    let ada = server.with(&admin.mint("ada", &json!({})).await);
    for own in ["/v1/users/me/inbox", "/v1/users/ada/inbox", "/v1/users/me/preferences", "/v1/users/me"] {
        ada.get(own).await.is(200);
    }
    let mine = ada.get("/v1/users/me/inbox").await.is(200);
    assert!(mine["data"].as_array().unwrap().iter().all(|entry| entry["user_id"] == "ada"));
    for path in
        ["/v1/users/bob/inbox", "/v1/users/bob", "/v1/users/bob/preferences", "/v1/users/nobody/inbox"]
    {
        ada.get(path).await.problem(403, "forbidden");
    }
    ada.patch("/v1/users/me", &json!({ "email": "eve@example.org" })).await.problem(403, "forbidden");
    ada.patch("/v1/users/me", &json!({ "locale": "de" })).await.is(200);
    ada.delete("/v1/users/me").await.problem(403, "forbidden");
    ada.post("/v1/users/me/tokens", &json!({ "expires_in": 9_999_999 })).await.problem(403, "forbidden");
    let brief = admin.post("/v1/users/ada/tokens", &json!({ "expires_in": 1 })).await.is(201);
    let expires: jiff::Timestamp = brief["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires.as_second() - seconds_now() <= 2);
    let brief = server.with(brief["token"].as_str().unwrap());
    until("the token to end", || async {
        (brief.get("/v1/users/me/inbox").await.status == 401).then_some(())
    })
    .await;
    for (body, field) in [
        (json!({ "expires_in": 0 }), "expires_in"),
        (json!({ "expires_in": "1h" }), "expires_in"),
        (json!({ "workflows": "*" }), "workflows"),
        (json!({ "topics": [5] }), "topics[0]"),
    ] {
        assert_eq!(admin.post("/v1/users/ada/tokens", &body).await.fields(), [field], "{body}");
    }
}
