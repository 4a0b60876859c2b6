//! Claims about topics: who is in them, page by page, and that a person who is forgotten is in none.

use http::Method;
use serde_json::{Value, json};

use crate::support::Server;

fn names(members: &[Value]) -> Vec<&str> {
    members.iter().map(|member| member["user_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_topic_is_made_described_listed_and_deleted_with_its_members() {
    let mut server = Server::start().await;
    let admin = server.admin();
    let made = admin.put("/v1/topics/on-call", &json!({ "description": "Who is woken" })).await.is(201);
    assert_eq!((&made["name"], &made["members"]), (&json!("on-call"), &json!(0)));
    admin.put("/v1/topics/empty", &json!({})).await.is(201);
    let joined = admin.put("/v1/topics/on-call/members", &json!({ "user_ids": ["bob", "ada", "bob"] })).await;
    assert_eq!((&joined.is(200)["added"], &joined.json()["members"]), (&json!(2), &json!(2)));
    let again = admin.put("/v1/topics/on-call", &json!({ "description": "All of us" })).await.is(200);
    assert_eq!((&again["members"], &again["description"]), (&json!(2), &json!("All of us")));
    server.restart().await;
    let admin = server.admin();
    assert_eq!(admin.get("/v1/topics/on-call").await.is(200), again);
    let listed = admin.all("/v1/topics").await;
    assert_eq!(listed.iter().map(|topic| &topic["name"]).collect::<Vec<_>>(), ["empty", "on-call"]);
    let members = admin.all("/v1/topics/on-call/members").await;
    assert_eq!(names(&members), ["ada", "bob"]);
    assert!(members[0]["since"].is_string());
    admin.delete("/v1/topics/on-call").await.is(204);
    admin.get("/v1/topics/on-call").await.problem(404, "not_found");
    admin.get("/v1/topics/on-call/members").await.problem(404, "not_found");
    admin.delete("/v1/topics/on-call").await.problem(404, "not_found");
    assert_eq!(admin.all("/v1/users/ada/topics").await, [] as [Value; 0]);
    admin.put("/v1/topics/on-call", &json!({})).await.is(201);
    assert_eq!(admin.all("/v1/topics/on-call/members").await, [] as [Value; 0]);
}

#[tokio::test]
async fn members_come_and_go_in_bulk_and_are_listed_page_by_page() {
    let server = Server::start().await;
    let admin = server.admin();
    let many: Vec<String> = (0..1_203).map(|n| format!("u{n:05}")).collect();
    let joined = admin.put("/v1/topics/all/members", &json!({ "user_ids": many })).await.is(200);
    assert_eq!((&joined["added"], &joined["members"]), (&json!(1_203), &json!(1_203)));
    admin.put("/v1/topics/al/members", &json!({ "user_ids": ["u00001", "x"] })).await.is(200);
    assert_eq!(names(&admin.all("/v1/topics/all/members").await), many);
    assert_eq!(names(&admin.all("/v1/topics/al/members").await), ["u00001", "x"]);
    let page = admin.get("/v1/topics/all/members?limit=2&cursor=u00007").await.is(200);
    assert_eq!(names(page["data"].as_array().unwrap()), ["u00008", "u00009"]);
    let gone = json!({ "user_ids": many[3..] });
    let left = admin.call(Method::DELETE, "/v1/topics/all/members", &gone).await.is(200);
    assert_eq!((&left["removed"], &left["members"]), (&json!(1_200), &json!(3)));
    let left = admin.call(Method::DELETE, "/v1/topics/all/members", &gone).await.is(200);
    assert_eq!((&left["removed"], &left["members"]), (&json!(0), &json!(3)));
    assert_eq!(names(&admin.all("/v1/topics/all/members").await), many[..3]);
    admin.call(Method::DELETE, "/v1/topics/none/members", &gone).await.problem(404, "not_found");
}

#[tokio::test]
async fn who_is_forgotten_is_a_member_of_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    for n in 0..205 {
        admin
            .put(&format!("/v1/topics/t{n:03}/members"), &json!({ "user_ids": ["ada", "bob"] }))
            .await
            .is(200);
    }
    let token = admin.mint("ada", &json!({})).await;
    let mine = server.with(&token).get("/v1/users/me/topics?limit=2").await.is(200);
    assert_eq!((&mine["data"][1]["name"], &mine["next_cursor"]), (&json!("t001"), &json!("t001")));
    admin.delete("/v1/users/ada").await.is(204);
    assert_eq!(admin.all("/v1/users/ada/topics").await, [] as [Value; 0]);
    let members = admin.all("/v1/topics/t204/members").await;
    assert_eq!(names(&members), ["bob"]);
    assert_eq!(admin.get("/v1/topics/t000").await.is(200)["members"], 1);
    admin.delete("/v1/users/ada").await.problem(404, "not_found");
}

#[tokio::test]
async fn topics_are_the_operators_and_what_is_wrong_is_named() {
    let server = Server::start().await;
    let admin = server.admin();
    let reader = server.with(&admin.key(&["read"]).await);
    let ada = server.with(&admin.mint("ada", &json!({})).await);
    admin.put("/v1/topics/ops/members", &json!({ "user_ids": ["ada"] })).await.is(200);
    reader.get("/v1/topics/ops/members").await.is(200);
    reader.put("/v1/topics/ops", &json!({})).await.problem(403, "forbidden");
    reader.put("/v1/topics/ops/members", &json!({ "user_ids": ["x"] })).await.problem(403, "forbidden");
    ada.get("/v1/topics").await.problem(403, "forbidden");
    ada.get("/v1/topics/ops/members").await.problem(403, "forbidden");
    ada.get("/v1/users/bob/topics").await.problem(403, "forbidden");
    admin.anonymous().get("/v1/topics").await.is(401);
    for (path, body, field) in [
        ("/v1/topics/ops", json!({ "name": "other" }), "name"),
        ("/v1/topics/ops", json!({ "description": 5 }), "description"),
        ("/v1/topics/a%20b", json!({}), "name"),
        ("/v1/topics/ops/members", json!({}), "user_ids"),
        ("/v1/topics/ops/members", json!({ "user_ids": "ada" }), "user_ids"),
        ("/v1/topics/ops/members", json!({ "user_ids": ["ada", "a b"] }), "user_ids[1]"),
        ("/v1/topics/ops/members", json!({ "user_ids": vec!["x"; 10_001] }), "user_ids"),
    ] {
        assert_eq!(admin.put(path, &body).await.fields(), [field], "{path} {body:.80}");
    }
    assert_eq!(names(&admin.all("/v1/topics/ops/members").await), ["ada"]);
}
