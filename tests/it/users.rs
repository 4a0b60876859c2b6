//! Claims about people: who they are, how they are changed, and how they are forgotten.

use serde_json::json;

use crate::support::client::{hello, ids, with};
use crate::support::{Server, Socket};

#[tokio::test]
async fn a_person_is_stored_whole_changed_in_part_and_survives_a_kill() {
    let mut server = Server::start().await;
    let whole = json!({ "email": "ada@example.org", "phone": "+491701234567", "locale": "de-DE",
        "timezone": "Europe/Berlin", "attributes": { "team": "ops", "n": [1, 2] } });
    let made = server.admin().put("/v1/users/ada", &whole).await.is(201);
    assert_eq!(made["id"], "ada");
    for (name, value) in whole.as_object().unwrap() {
        assert_eq!(made[name], *value);
    }
    server.admin().put("/v1/users/ada", &whole).await.is(200);
    let changed =
        server.admin().patch("/v1/users/ada", &json!({ "locale": "en", "phone": null })).await.is(200);
    assert_eq!((&changed["locale"], &changed["email"]), (&json!("en"), &json!("ada@example.org")));
    assert!(changed["phone"].is_null());
    server.restart().await;
    assert_eq!(server.admin().get("/v1/users/ada").await.is(200), changed);
    let replaced = server.admin().put("/v1/users/ada", &json!({ "email": "a@b.example" })).await.is(200);
    assert!(replaced["locale"].is_null() && replaced["attributes"].is_null());
    server.admin().patch("/v1/users/nobody", &json!({ "locale": "en" })).await.problem(404, "not_found");
    server.admin().get("/v1/users/nobody").await.problem(404, "not_found");
}

#[tokio::test]
async fn wrong_values_of_a_person_are_named_and_not_stored() {
    let server = Server::start().await;
    let admin = server.admin();
    for (field, values) in [
        (
            "email",
            vec![
                json!("ada"),
                json!("a@b@c"),
                json!("a@x.org\r\nBcc: b@y.org"),
                json!(""),
                json!(5),
                json!([]),
            ],
        ),
        ("phone", vec![json!("0170"), json!("+0123456789"), json!("+49 170 1234567"), json!(49), json!("+")]),
        ("locale", vec![json!("x".repeat(36)), json!("de DE"), json!({}), json!("../../etc")]),
        ("timezone", vec![json!("Mars/Olympus"), json!("../zone"), json!("+01:00"), json!(1)]),
        ("attributes", vec![json!([]), json!("x"), json!({ "a": "x".repeat(40_000) })]),
        ("id", vec![json!("another"), json!(5)]),
    ] {
        for value in values {
            let answer = admin.put("/v1/users/ada", &json!({ field: value })).await;
            assert_eq!(answer.fields(), [field], "{value}");
        }
    }
    admin.get("/v1/users/ada").await.problem(404, "not_found");
    for id in ["a%20b", "a%0Ab", &"x".repeat(129)] {
        admin.put(&format!("/v1/users/{id}"), &json!({})).await.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn people_are_listed_page_by_page() {
    let server = Server::start().await;
    let admin = server.admin();
    for at in 0..7 {
        admin.person(&format!("p{at}")).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/users?limit=3".to_owned());
    loop {
        let page = admin.get(&path).await.is(200);
        seen.extend(ids(page["data"].as_array().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("/v1/users?limit=3&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
}

#[tokio::test]
async fn erasing_a_person_removes_everything_of_them_and_nothing_of_others() {
    let mut server = Server::start().await;
    let admin = server.admin();
    for user in ["ada", "bob"] {
        admin.person(user).await;
        let preferences = json!({ "channels": { "sms": true } });
        admin.patch(&format!("/v1/users/{user}/preferences"), &preferences).await.is(200);
        let id = format!("of-{user}");
        admin.notify(&with(hello(user), json!({ "id": id, "title": format!("secret of {user}") }))).await;
        admin.comes_to(&id, "email", "sent").await;
        let later =
            with(hello(user), json!({ "id": format!("held-{user}"), "send_at": "2100-01-01T00:00:00Z" }));
        admin.notify(&later).await;
    }
    admin.delete("/v1/users/ada").await.is(204);
    for round in 0..2 {
        let admin = server.admin();
        admin.get("/v1/users/ada").await.problem(404, "not_found");
        assert_eq!(admin.get("/v1/users/ada/inbox").await.is(200)["data"], json!([]));
        assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"], 0);
        let preferences = admin.get("/v1/users/ada/preferences").await.is(200);
        assert_eq!(preferences["channels"]["sms"], false, "the defaults again");
        for id in ["of-ada", "held-ada"] {
            admin.get(&format!("/v1/notifications/{id}")).await.problem(404, "not_found");
            admin.get(&format!("/v1/notifications/{id}/timeline")).await.problem(404, "not_found");
        }
        assert_eq!(ids(&admin.all("/v1/notifications").await), ["held-bob", "of-bob"]);
        assert_eq!(admin.all("/v1/notifications?user_id=ada").await.len(), 0);
        let captured = admin.get("/v1/captured").await.is(200);
        assert_eq!(captured["data"].as_array().unwrap().len(), 1);
        assert_eq!(captured["data"][0]["user_id"], "bob");
        assert_eq!(ids(&admin.all("/v1/users").await), ["bob"]);
        assert!(!server.log().contains("ada@example.org"), "no address in the log");
        if round == 0 {
            server.restart().await;
        }
    }
    server.admin().delete("/v1/users/ada").await.problem(404, "not_found");
}

#[tokio::test]
async fn an_id_of_an_erased_notification_is_free_again() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.notify(&with(hello("ada"), json!({ "id": "n-1" }))).await;
    admin.delete("/v1/users/ada").await.is(204);
    admin.notify(&with(hello("bob"), json!({ "id": "n-1", "title": "Another" }))).await;
    assert_eq!(admin.get("/v1/notifications/n-1").await.is(200)["user_id"], "bob");
}

#[tokio::test]
async fn offsets_go_on_where_an_erased_person_comes_back() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({})).await;
    admin.notify(&hello("ada")).await;
    admin.notify(&hello("ada")).await;
    let (socket, hello_frame) = Socket::join(server.url(), &token, "").await;
    let (epoch, offset) = (hello_frame["epoch"].as_str().unwrap(), hello_frame["offset"].as_u64().unwrap());
    socket.close().await;
    admin.delete("/v1/users/ada").await.is(204);
    admin.notify(&hello("ada")).await;
    let resume = format!("?epoch={epoch}&offset={offset}");
    let (mut socket, hello_frame) = Socket::join(server.url(), &token, &resume).await;
    if hello_frame["recovered"] == true {
        let missed = socket.next_of("notification").await;
        assert!(missed["offset"].as_u64().unwrap() > offset, "{missed}");
    }
}

#[tokio::test]
async fn nobody_stays_connected_as_somebody_who_is_forgotten() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.notify(&hello("ada")).await;
    let token = admin.mint("ada", &json!({})).await;
    let (mut socket, _) = Socket::join(server.url(), &token, "").await;
    admin.delete("/v1/users/ada").await.is(204);
    assert_eq!(socket.closed().await, 4503);
}
