//! Claims about the inbox: what is in it, in what order, and what marking does.

use serde_json::{Value, json};

use crate::support::client::{hello, ids, with};
use crate::support::token::seconds_now;
use crate::support::{Client, Server, Socket};

const INBOX: &str = "/v1/users/ada/inbox";

async fn filled(admin: &Client, count: usize) {
    for at in 0..count {
        let category = if at % 2 == 0 { "system" } else { "orders" };
        admin.notify(&with(hello("ada"), json!({ "id": format!("n-{at}"), "category": category }))).await;
    }
}

async fn counts(admin: &Client) -> Value {
    admin.get(&format!("{INBOX}/counts")).await.is(200)
}

async fn list(admin: &Client, query: &str) -> String {
    let page = admin.get(&format!("{INBOX}?{query}")).await.is(200);
    ids(page["data"].as_array().unwrap()).join(" ")
}

#[tokio::test]
async fn an_inbox_is_read_newest_first_page_by_page_without_gap_or_repeat() {
    let server = Server::start().await;
    let admin = server.admin();
    filled(&admin, 11).await;
    let (mut seen, mut path) = (Vec::new(), format!("{INBOX}?limit=4"));
    loop {
        let page = admin.get(&path).await.is(200);
        let items = page["data"].as_array().unwrap();
        assert!(items.len() <= 4);
        seen.extend(ids(items));
        // What arrives meanwhile does not shift the pages.
        admin.notify(&hello("ada")).await;
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("{INBOX}?limit=4&cursor={next}"),
            None => break,
        }
    }
    let wanted: Vec<String> = (0..11).rev().map(|at| format!("n-{at}")).collect();
    assert_eq!(seen, wanted);
    for (query, field) in
        [("limit=0", "limit"), ("cursor=x", "cursor"), ("status=gone", "status"), ("limit=-1", "limit")]
    {
        assert_eq!(admin.get(&format!("{INBOX}?{query}")).await.fields(), [field]);
    }
}

#[tokio::test]
async fn an_inbox_is_filtered_by_state_and_category() {
    let server = Server::start().await;
    let admin = server.admin();
    filled(&admin, 6).await;
    let mark = |ids: &[&str], how: &str| {
        let (admin, body) = (admin.clone(), json!({ "ids": ids, "as": how }));
        async move { admin.post(&format!("{INBOX}/mark"), &body).await.is(200) }
    };
    mark(&["n-1", "n-2"], "read").await;
    mark(&["n-4"], "archived").await;
    assert_eq!(list(&admin, "").await, "n-5 n-3 n-2 n-1 n-0");
    assert_eq!(list(&admin, "status=all").await, "n-5 n-3 n-2 n-1 n-0");
    assert_eq!(list(&admin, "status=unread").await, "n-5 n-3 n-0");
    assert_eq!(list(&admin, "status=archived").await, "n-4");
    assert_eq!(list(&admin, "category=orders").await, "n-5 n-3 n-1");
    assert_eq!(list(&admin, "category=orders&status=unread").await, "n-5 n-3");
}

#[tokio::test]
async fn marks_count_once_and_survive_a_kill() {
    let mut server = Server::start().await;
    let admin = server.admin();
    filled(&admin, 5).await;
    assert_eq!(counts(&admin).await, json!({ "total": 5, "unread": 5, "unseen": 5 }));
    let mark = async |body: Value| admin.post(&format!("{INBOX}/mark"), &body).await.is(200);
    let marked = mark(json!({ "ids": ["n-0", "n-1"], "as": "read" })).await;
    assert_eq!(marked["counts"], json!({ "total": 5, "unread": 3, "unseen": 3 }));
    let again = mark(json!({ "ids": ["n-0", "n-1", "n-1"], "as": "read" })).await;
    assert_eq!(again["counts"], marked["counts"], "marking twice is marking once");
    let seen = mark(json!({ "ids": ["n-2"], "as": "seen" })).await;
    assert_eq!(seen["counts"], json!({ "total": 5, "unread": 3, "unseen": 2 }));
    let unread = mark(json!({ "ids": ["n-0"], "as": "unread" })).await;
    assert_eq!(unread["counts"]["unread"], 4);
    let archived = mark(json!({ "ids": ["n-4"], "as": "archived" })).await;
    assert_eq!((&archived["counts"]["total"], &archived["counts"]["unread"]), (&json!(4), &json!(3)));
    let unknown = mark(json!({ "ids": ["no-such", "n-3\u{0}"], "as": "read" })).await;
    assert_eq!(unknown["counts"], archived["counts"], "an unknown id changes nothing");
    let before = (counts(&admin).await, admin.get(&format!("{INBOX}?status=unread")).await.is(200));
    server.restart().await;
    let admin = server.admin();
    assert_eq!((counts(&admin).await, admin.get(&format!("{INBOX}?status=unread")).await.is(200)), before);
}

#[tokio::test]
async fn all_is_marked_at_once() {
    let server = Server::start().await;
    let admin = server.admin();
    filled(&admin, 30).await;
    let marked = admin.post(&format!("{INBOX}/mark"), &json!({ "all": true, "as": "read" })).await.is(200);
    assert_eq!(marked["counts"], json!({ "total": 30, "unread": 0, "unseen": 0 }));
    assert_eq!(list(&admin, "status=unread").await, "");
    admin.notify(&hello("ada")).await;
    assert_eq!(counts(&admin).await["unread"], 1);
}

#[tokio::test]
async fn a_mark_that_makes_no_sense_is_refused_by_field() {
    let server = Server::start().await;
    let admin = server.admin();
    filled(&admin, 1).await;
    for (body, field) in [
        (json!({ "ids": ["n-0"] }), "as"),
        (json!({ "ids": ["n-0"], "as": "eaten" }), "as"),
        (json!({ "as": "read" }), "ids"),
        (json!({ "ids": ["n-0"], "all": true, "as": "read" }), "ids"),
        (json!({ "ids": "n-0", "as": "read" }), "ids"),
        (json!({ "ids": [5], "as": "read" }), "ids[0]"),
        (json!({ "all": "yes", "as": "read" }), "all"),
    ] {
        let fields = admin.post(&format!("{INBOX}/mark"), &body).await.fields();
        assert!(fields.contains(&field.to_owned()), "{body}: {fields:?}");
    }
    assert_eq!(counts(&admin).await["unread"], 1);
}

#[tokio::test]
async fn a_mark_does_not_reach_into_somebody_elses_inbox() {
    let server = Server::start().await;
    let admin = server.admin();
    filled(&admin, 1).await;
    admin.notify(&hello("bob")).await;
    let bob = server.with(&admin.mint("bob", &json!({})).await);
    bob.post("/v1/users/me/inbox/mark", &json!({ "ids": ["n-0"], "as": "read" })).await.is(200);
    assert_eq!(counts(&admin).await["unread"], 1);
}

#[tokio::test]
async fn a_mark_is_told_to_all_connections_of_its_person() {
    let server = Server::start().await;
    let admin = server.admin();
    filled(&admin, 3).await;
    let token = admin.mint("ada", &json!({})).await;
    let (mut one, hello_frame) = Socket::join(server.url(), &token, "").await;
    assert_eq!(hello_frame["unread"], 3);
    let (mut two, _) = Socket::join(server.url(), &token, "").await;
    one.say(&json!({ "type": "mark", "ids": ["n-0"], "as": "read" })).await;
    for socket in [&mut one, &mut two] {
        let change = socket.next_of("inbox").await;
        assert_eq!((&change["op"], &change["ids"]), (&json!("read"), &json!(["n-0"])));
        assert_eq!(change["counts"], json!({ "total": 3, "unread": 2, "unseen": 2 }));
    }
    admin.post(&format!("{INBOX}/mark"), &json!({ "ids": ["n-1"], "as": "archived" })).await.is(200);
    for socket in [&mut one, &mut two] {
        assert_eq!(socket.next_of("inbox").await["op"], "archived");
    }
}

#[tokio::test]
async fn what_is_read_on_one_device_is_read_on_all_and_is_mailed_no_more() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let hour = seconds_now() / 3_600 % 24;
    let (start, end) = (format!("{:02}:00", (hour + 23) % 24), format!("{:02}:00", (hour + 2) % 24));
    let quiet = json!({ "quiet_hours": { "enabled": true, "start": start, "end": end, "timezone": "UTC" } });
    admin.patch("/v1/users/ada/preferences", &quiet).await.is(200);
    let token = admin.mint("ada", &json!({})).await;
    let (mut phone, _) = Socket::join(server.url(), &token, "").await;
    let (mut laptop, _) = Socket::join(server.url(), &token, "").await;
    let mine = server.with(&token);
    for (id, by_socket) in [("n-1", true), ("n-2", false)] {
        let sent = admin.notify(&with(hello("ada"), json!({ "id": id }))).await;
        assert_eq!(sent["channels_deferred"][0]["channel"], "email", "{sent}");
        for socket in [&mut phone, &mut laptop] {
            socket.next_of("notification").await;
        }
        if by_socket {
            phone.say(&json!({ "type": "mark", "ids": [id], "as": "read" })).await;
        } else {
            mine.post("/v1/users/me/inbox/mark", &json!({ "ids": [id], "as": "read" })).await.is(200);
        }
        for socket in [&mut phone, &mut laptop] {
            let told = socket.next_of("inbox").await;
            assert_eq!((&told["op"], &told["ids"]), (&json!("read"), &json!([id])));
            assert_eq!(told["counts"]["unread"], 0);
        }
        let mail = admin.standing(id, "email").await;
        assert_eq!((&mail["status"], &mail["reason"]), (&json!("skipped"), &json!("read_elsewhere")));
    }
    for socket in [&mut phone, &mut laptop] {
        socket.hears_nothing().await;
    }
}
