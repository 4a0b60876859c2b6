//! Claims about workflow events: four kinds, who is told, and what is refused.

use serde_json::{Value, json};

use crate::support::client::with;
use crate::support::{Server, Socket};

fn event(kind: &str) -> Value {
    json!({ "type": kind, "workflow_id": "nightly", "session_id": "run-7", "user_id": "ada", "project_id": "web",
        "stage": "deploy", "progress": 0.75, "message": "It waits." })
}

#[tokio::test]
async fn three_kinds_of_event_become_a_notification_from_the_template_of_that_name() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    for (kind, title, priority) in [
        ("workflow_review_required", "Review required: Nightly build", "high"),
        ("workflow_completed", "Workflow completed: Nightly build", "medium"),
        ("workflow_failed", "Workflow failed: Nightly build", "high"),
    ] {
        let sent = with(event(kind), json!({ "variables": { "workflow_name": "Nightly build" } }));
        let result = admin.post("/v1/workflow-events", &sent).await.is(202);
        assert_eq!(result["success"], true);
        assert_eq!(result["channels_sent"], json!(["in_app"]), "{result}");
        let id = result["notification_id"].as_str().unwrap();
        let stored = admin.get(&format!("/v1/notifications/{id}")).await.is(200);
        assert_eq!((&stored["type"], &stored["title"]), (&json!(kind), &json!(title)));
        assert_eq!((&stored["category"], &stored["priority"]), (&json!("workflow"), &json!(priority)));
        assert!(stored["message"].as_str().unwrap().contains("It waits."), "{stored}");
        assert_eq!(stored["metadata"]["workflow_id"], "nightly");
        admin.comes_to(id, "email", "sent").await;
    }
}

#[tokio::test]
async fn a_second_event_of_the_same_workflow_is_a_second_notification() {
    let server = Server::start().await;
    let admin = server.admin();
    let first = admin.post("/v1/workflow-events", &event("workflow_completed")).await.is(202);
    let second = admin.post("/v1/workflow-events", &event("workflow_completed")).await.is(202);
    assert_ne!(first["notification_id"], second["notification_id"]);
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["unread"], 2);
}

#[tokio::test]
async fn an_update_is_pushed_and_kept_nowhere() {
    let server = Server::start().await;
    let admin = server.admin();
    let result = admin.post("/v1/workflow-events", &event("workflow_update")).await.is(202);
    assert_eq!((&result["success"], &result["channels_sent"]), (&json!(true), &json!([])));
    assert!(result["notification_id"].is_null());
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
    assert_eq!(admin.all("/v1/users").await.len(), 0);
}

#[tokio::test]
async fn an_unknown_event_type_is_refused_by_a_code_of_its_own() {
    let server = Server::start().await;
    let admin = server.admin();
    for kind in ["workflow_exploded", "", "WORKFLOW_UPDATE"] {
        admin.post("/v1/workflow-events", &event(kind)).await.problem(422, "unknown_event_type");
    }
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
}

#[tokio::test]
async fn wrong_fields_of_an_event_are_named_and_reach_nobody() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({ "workflows": ["*"] })).await;
    let (mut watcher, _) = Socket::join(server.url(), &token, "?session_id=nightly").await;
    for (field, values) in [
        ("type", vec![json!(5), json!(null)]),
        ("workflow_id", vec![json!(null), json!(""), json!([]), json!("a b")]),
        ("user_id", vec![json!(5), json!("")]),
        ("session_id", vec![json!({}), json!("")]),
        ("progress", vec![json!(1.01), json!(-0.1), json!("half"), json!(1e300)]),
        ("status", vec![json!("exploded"), json!(1)]),
        ("stage", vec![json!(1), json!([])]),
        ("message", vec![json!(1), json!({})]),
        ("variables", vec![json!([]), json!("x"), json!(1)]),
        ("metadata", vec![json!([]), json!("x")]),
    ] {
        for value in values {
            for kind in ["workflow_update", "workflow_completed"] {
                if field == "type" && kind == "workflow_completed" {
                    continue;
                }
                let sent = with(event(kind), json!({ field: value }));
                assert_eq!(admin.post("/v1/workflow-events", &sent).await.fields(), [field], "{value}");
            }
        }
    }
    let nobody = json!({ "type": "workflow_completed", "workflow_id": "nightly" });
    assert_eq!(admin.post("/v1/workflow-events", &nobody).await.fields(), ["user_id"]);
    watcher.hears_nothing().await;
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
}

#[tokio::test]
async fn every_event_reaches_those_who_watch_the_workflow_or_the_session_and_nobody_else() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = |user: &'static str, workflows: Value| {
        let admin = admin.clone();
        async move { admin.mint(user, &json!({ "workflows": workflows })).await }
    };
    let mine = token("bob", json!(["nightly", "run-7", "other"])).await;
    let (mut by_workflow, _) = Socket::join(server.url(), &mine, "").await;
    by_workflow.say(&json!({ "type": "subscribe", "channel": "workflow:nightly", "id": 1 })).await;
    let subscribed = by_workflow.next_of("subscribed").await;
    assert_eq!((&subscribed["channel"], &subscribed["id"]), (&json!("workflow:nightly"), &json!(1)));
    let (mut by_session, hello) = Socket::join(server.url(), &mine, "?session_id=run-7").await;
    assert_eq!(hello["session_id"], "run-7");
    let (mut of_another, _) = Socket::join(server.url(), &mine, "?session_id=other").await;
    let none = token("eve", json!([])).await;
    let (mut uninvited, _) = Socket::join(server.url(), &none, "?session_id=run-7").await;
    uninvited.say(&json!({ "type": "subscribe", "channel": "workflow:nightly", "id": "x" })).await;
    let refused = uninvited.next_of("error").await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("FORBIDDEN"), &json!("x")));

    let sent = with(event("workflow_update"), json!({ "metadata": { "n": 1 } }));
    admin.post("/v1/workflow-events", &sent).await.is(202);
    for watcher in [&mut by_workflow, &mut by_session] {
        let update = watcher.next_of("workflow_update").await;
        for name in ["workflow_id", "session_id", "stage", "progress", "message", "metadata"] {
            assert_eq!(update[name], sent[name], "{name}");
        }
        assert_eq!(update["status"], "running");
    }
    for (kind, status) in [
        ("workflow_review_required", "review_required"),
        ("workflow_completed", "completed"),
        ("workflow_failed", "failed"),
    ] {
        admin.post("/v1/workflow-events", &event(kind)).await.is(202);
        assert_eq!(by_session.next_of("workflow_update").await["status"], status);
        assert_eq!(by_workflow.next_of("workflow_update").await["status"], status);
    }
    by_workflow.say(&json!({ "type": "unsubscribe", "channel": "workflow:nightly" })).await;
    by_workflow.next_of("unsubscribed").await;
    admin.post("/v1/workflow-events", &sent).await.is(202);
    by_session.next_of("workflow_update").await;
    for other in [&mut by_workflow, &mut by_session, &mut of_another, &mut uninvited] {
        other.hears_nothing().await;
    }
}

#[tokio::test]
async fn a_workflow_from_start_to_end_is_seen_live_and_kept_in_the_inbox() {
    let server = Server::start().await;
    let admin = server.admin();
    let token = admin.mint("ada", &json!({ "workflows": ["nightly"] })).await;
    let (mut ada, _) = Socket::join(server.url(), &token, "?session_id=nightly").await;
    for progress in [0.0, 0.5, 1.0] {
        let sent = with(event("workflow_update"), json!({ "progress": progress }));
        admin.post("/v1/workflow-events", &sent).await.is(202);
        assert_eq!(ada.next_of("workflow_update").await["progress"], progress);
    }
    let result = admin.post("/v1/workflow-events", &event("workflow_review_required")).await.is(202);
    let (first, second) = (ada.next().await, ada.next().await);
    let kinds = [first["type"].as_str().unwrap(), second["type"].as_str().unwrap()];
    assert_eq!(kinds, ["notification", "workflow_update"]);
    assert_eq!(first["id"], result["notification_id"]);
    assert_eq!(first["notification_type"], "workflow_review_required");
    let inbox = server.with(&token).get("/v1/users/me/inbox").await.is(200);
    assert_eq!(inbox["data"][0]["id"], result["notification_id"]);
}
