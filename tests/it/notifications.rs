//! Claims about sending a notification and asking what became of it.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{hello, ids, with};
use crate::support::{Client, Server};

/// The wall clock's time of the day in UTC, moved by some hours.
fn clock(hours: i64) -> String {
    let minute = (crate::support::token::seconds_now() / 60 + hours * 60).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Quiet hours from two hours ago to two hours from now.
async fn silence(admin: &Client, user: &str, more: Value) {
    let window = json!({ "enabled": true, "start": clock(-2), "end": clock(2), "timezone": "UTC" });
    let preferences = json!({ "quiet_hours": with(window, more) });
    admin.patch(&format!("/v1/users/{user}/preferences"), &preferences).await.is(200);
}

fn reasons(result: &Value) -> Vec<(&str, &str)> {
    let skipped = result["channels_skipped"].as_array().unwrap().iter();
    skipped.map(|skip| (skip["channel"].as_str().unwrap(), skip["reason"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn by_default_a_notification_goes_to_the_inbox_and_by_mail() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let wait = admin.request(Method::POST, "/v1/notifications").header("prefer", "wait=10");
    let result = admin.send(wait.json(&hello("ada"))).await.is(200);
    assert_eq!(result["success"], true);
    assert_eq!(result["channels_sent"], json!(["in_app", "email"]));
    assert_eq!(result["channels_failed"], json!([]));
    assert_eq!(result["channels_pending"], json!([]));
    assert_eq!(
        reasons(&result),
        [("browser_push", "preference_channel_off"), ("sms", "preference_channel_off")]
    );
    assert_eq!(result["retry_attempts"], 0);
    assert_eq!(result["quiet_hours_overridden"], false);
    let timestamp: jiff::Timestamp = result["timestamp"].as_str().unwrap().parse().unwrap();
    assert!((timestamp.as_second() - crate::support::token::seconds_now()).abs() <= 60);
    let captured = admin.get("/v1/captured").await.is(200);
    assert_eq!(captured["data"][0]["notification_id"], result["notification_id"]);
    assert_eq!(captured["data"][0]["to"], "ada@example.org");
}

#[tokio::test]
async fn a_person_without_an_address_still_has_an_inbox() {
    let server = Server::start().await;
    let admin = server.admin();
    let result = admin.notify(&hello("nobody-knows-them")).await;
    assert_eq!(result["channels_sent"], json!(["in_app"]));
    assert!(reasons(&result).contains(&("email", "no_address")));
    let user = admin.get("/v1/users/nobody-knows-them").await.is(200);
    assert_eq!(user["id"], "nobody-knows-them");
}

#[tokio::test]
async fn preferences_decide_the_channels_and_the_result_says_which_one_did() {
    let server = Server::start_with(&[("CHANNELS__SMS__MODE", "capture")]).await;
    let admin = server.admin();
    admin
        .put("/v1/users/ada", &json!({ "email": "ada@example.org", "phone": "+491701234567" }))
        .await
        .is(201);
    let preferences = json!({
        "channels": { "email": false, "sms": true },
        "categories": { "marketing": false, "system": { "sms": false } },
    });
    admin.patch("/v1/users/ada/preferences", &preferences).await.is(200);
    let system = admin.notify(&hello("ada")).await;
    assert_eq!(system["channels_sent"], json!(["in_app"]));
    let skipped = reasons(&system);
    assert!(skipped.contains(&("email", "preference_channel_off")), "{system}");
    assert!(skipped.contains(&("sms", "preference_category_off")), "{system}");
    let security = admin.notify(&with(hello("ada"), json!({ "category": "security" }))).await;
    assert_eq!(security["channels_pending"], json!(["sms"]));
    let marketing = admin.notify(&with(hello("ada"), json!({ "category": "marketing" }))).await;
    assert_eq!(marketing["channels_sent"], json!([]));
    assert!(reasons(&marketing).iter().all(|(_, reason)| *reason == "preference_category_off"));
    let inbox = admin.get("/v1/users/ada/inbox").await.is(200);
    assert_eq!(inbox["data"].as_array().unwrap().len(), 2, "what is skipped is not in the inbox");
    let status = admin.standing(marketing["notification_id"].as_str().unwrap(), "email").await;
    assert_eq!((&status["status"], &status["attempts"]), (&json!("skipped"), &json!(0)));
}

#[tokio::test]
async fn only_the_channels_that_are_named_are_considered() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let result = admin.notify(&with(hello("ada"), json!({ "channels": ["email"] }))).await;
    assert_eq!(result["channels_pending"], json!(["email"]));
    assert_eq!((&result["channels_sent"], &result["channels_skipped"]), (&json!([]), &json!([])));
    let counts = admin.get("/v1/users/ada/inbox/counts").await.is(200);
    assert_eq!(counts["total"], 0);
}

#[tokio::test]
async fn a_channel_that_the_server_has_off_is_skipped_and_says_so() {
    let server = Server::start_with(&[("CHANNELS__EMAIL__MODE", "off")]).await;
    let admin = server.admin();
    admin.person("ada").await;
    let result = admin.notify(&hello("ada")).await;
    assert!(reasons(&result).contains(&("email", "channel_disabled")), "{result}");
}

#[tokio::test]
async fn a_notification_keeps_every_field_that_was_sent() {
    let server = Server::start().await;
    let admin = server.admin();
    let sent = json!({
        "id": "order-4711", "user_id": "ada", "type": "order_shipped", "title": "Über ✓ <b>",
        "message": "two\nlines", "priority": "high", "category": "orders",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "action": { "label": "Track", "url": "https://shop.example.org/t?a=1&b=2" },
        "metadata": { "n": 1, "deep": { "list": [1, null, "x"] } },
        "channels": ["in_app"], "expires_at": "2100-01-01T00:00:00Z",
    });
    let result = admin.notify(&sent).await;
    assert_eq!(result["notification_id"], "order-4711");
    assert_eq!(result["timestamp"], "2026-01-02T03:04:05.678Z");
    let stored = admin.get("/v1/notifications/order-4711").await.is(200);
    for (name, value) in sent.as_object().unwrap() {
        match name.as_str() {
            "expires_at" => assert_eq!(stored[name], "2100-01-01T00:00:00.000Z"),
            _ => assert_eq!(stored[name], *value, "{name}"),
        }
    }
    let inbox = admin.get("/v1/users/ada/inbox").await.is(200);
    let entry = &inbox["data"][0];
    for name in ["id", "title", "message", "priority", "category", "type", "timestamp", "action", "metadata"]
    {
        assert_eq!(entry[name], sent[name], "{name}");
    }
}

#[tokio::test]
async fn a_repeated_id_is_the_same_notification_and_other_content_a_conflict() {
    let mut server = Server::start().await;
    let first = with(hello("ada"), json!({ "id": "n-1", "metadata": { "a": 1, "b": 2 } }));
    let result = server.admin().notify(&first).await;
    assert_eq!(server.admin().notify(&first).await, result);
    server.restart().await;
    let admin = server.admin();
    // The same content in another spelling.
    let spelled = r#"{"metadata":{"b":2,"a":1},"message":"The disk is full.","title":"Disk",
        "type":"system_alert","id":"n-1","user_id":"ada"}"#;
    let again = admin.request(Method::POST, "/v1/notifications").header("content-type", "application/json");
    assert_eq!(admin.send(again.body(spelled)).await.is(202), result);
    let other = with(first, json!({ "title": "Another" }));
    admin.post("/v1/notifications", &other).await.problem(409, "conflict");
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"], 1);
    assert_eq!(admin.get("/v1/notifications/n-1").await.is(200)["title"], "Disk");
}

#[tokio::test]
async fn twenty_senders_of_one_id_at_once_make_one_notification() {
    let server = Server::start().await;
    let admin = server.admin();
    let same = with(hello("ada"), json!({ "id": "race" }));
    let sent = futures_util::future::join_all((0..20).map(|_| admin.notify(&same))).await;
    assert!(sent.iter().all(|result| *result == sent[0]));
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"], 1);
    assert_eq!(admin.all("/v1/notifications").await.len(), 1);
}

#[tokio::test]
async fn who_prefers_to_wait_is_answered_200_when_settled_and_202_when_not() {
    // Nobody listens on the discard port, and the first retry is far away.
    let server = Server::start_with(&[
        ("CHANNELS__EMAIL__HOST", "127.0.0.1"),
        ("CHANNELS__EMAIL__PORT", "9"),
        ("CHANNELS__EMAIL__TLS", "none"),
        ("RETRY__EMAIL__SCHEDULE", "[\"1h\"]"),
    ])
    .await;
    let admin = server.admin();
    admin.person("ada").await;
    let wait = |seconds: &str| {
        let request = admin.request(Method::POST, "/v1/notifications");
        request.header("prefer", format!("wait={seconds}"))
    };
    let settled = admin.send(wait("5").json(&with(hello("ada"), json!({ "channels": ["in_app"] })))).await;
    assert_eq!(settled.is(200)["channels_sent"], json!(["in_app"]));
    let begun = Instant::now();
    let pending = admin.send(wait("1").json(&hello("ada"))).await.is(202);
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&begun.elapsed()));
    assert_eq!(pending["channels_pending"], json!(["email"]));
    assert_eq!(pending["channels_sent"], json!(["in_app"]));
}

#[tokio::test]
async fn in_app_is_delivered_at_once_and_says_when() {
    let server = Server::start().await;
    let admin = server.admin();
    let result = admin.notify(&hello("ada")).await;
    let id = result["notification_id"].as_str().unwrap();
    let status = admin.get(&format!("/v1/notifications/{id}/status")).await.is(200);
    assert_eq!(status["notification_id"], id);
    assert_eq!(status["overall_status"], "delivered");
    assert!(status["delivered_at"].is_string() && status["error_message"].is_null(), "{status}");
    let in_app = &status["channel_statuses"][0];
    assert_eq!((&in_app["channel"], &in_app["status"]), (&json!("in_app"), &json!("delivered")));
    assert_eq!(in_app["delivered_at"], status["delivered_at"]);
}

#[tokio::test]
async fn the_timeline_tells_every_decision_and_attempt_in_order() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let result = admin.notify(&hello("ada")).await;
    let id = result["notification_id"].as_str().unwrap();
    admin.comes_to(id, "email", "sent").await;
    let timeline = admin.get(&format!("/v1/notifications/{id}/timeline")).await.is(200);
    let told: Vec<String> = timeline["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moment| {
            let word = |name: &str| moment[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("event"), word("channel"), word("reason"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "accepted - -",
            "delivered in_app -",
            "pending email -",
            "skipped browser_push preference_channel_off",
            "skipped sms preference_channel_off",
            "sent email -",
        ]
    );
    let instants: Vec<&str> =
        timeline["data"].as_array().unwrap().iter().map(|m| m["at"].as_str().unwrap()).collect();
    assert!(instants.is_sorted(), "{instants:?}");
}

#[tokio::test]
async fn quiet_hours_hold_the_mail_until_their_end_and_let_the_inbox_pass() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    silence(&admin, "ada", json!({})).await;
    let result = admin.notify(&hello("ada")).await;
    assert_eq!(result["channels_sent"], json!(["in_app"]));
    let deferred = &result["channels_deferred"];
    assert_eq!(deferred[0]["channel"], "email", "{result}");
    let until = deferred[0]["until"].as_str().unwrap();
    let ends: jiff::Timestamp = until.parse().unwrap();
    let ahead = ends.as_second() - crate::support::token::seconds_now();
    assert!((7_000..=7_260).contains(&ahead), "{until} is {ahead} s ahead");
    assert_eq!(ends.as_second() % 60, 0, "to the minute");
    let id = result["notification_id"].as_str().unwrap();
    let standing = admin.standing(id, "email").await;
    assert_eq!((&standing["status"], &standing["reason"]), (&json!("deferred"), &json!("quiet_hours")));
    assert_eq!(standing["not_before"], deferred[0]["until"]);
    assert_eq!(admin.get("/v1/captured").await.is(200)["data"], json!([]));
}

#[tokio::test]
async fn critical_goes_over_quiet_hours_and_says_so() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    silence(&admin, "ada", json!({ "override_priorities": ["high"] })).await;
    for (priority, overrides) in [("critical", true), ("high", true), ("medium", false)] {
        let result = admin.notify(&with(hello("ada"), json!({ "priority": priority }))).await;
        assert_eq!(result["quiet_hours_overridden"], overrides, "{priority}");
        let pending = if overrides { json!(["email"]) } else { json!([]) };
        assert_eq!(result["channels_pending"], pending, "{priority}");
    }
}

#[tokio::test]
async fn quiet_hours_that_end_before_now_hold_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    silence(&admin, "ada", json!({ "start": clock(-3), "end": clock(-1) })).await;
    let result = admin.notify(&hello("ada")).await;
    assert_eq!(result["channels_pending"], json!(["email"]));
    assert_eq!(result["quiet_hours_overridden"], false);
}

#[tokio::test]
async fn a_later_instant_holds_everything_and_then_releases_it() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let soon = jiff::Timestamp::from_second(crate::support::token::seconds_now() + 2).unwrap().to_string();
    let result = admin.notify(&with(hello("ada"), json!({ "send_at": soon }))).await;
    assert_eq!(result["channels_sent"], json!([]));
    let id = result["notification_id"].as_str().unwrap();
    let standing = admin.standing(id, "in_app").await;
    assert_eq!((&standing["status"], &standing["reason"]), (&json!("deferred"), &json!("send_at")));
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"], 0);
    admin.comes_to(id, "in_app", "delivered").await;
    admin.comes_to(id, "email", "sent").await;
    assert_eq!(admin.get("/v1/users/ada/inbox/counts").await.is(200)["total"], 1);
}

#[tokio::test]
async fn what_is_canceled_before_it_left_never_leaves() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    silence(&admin, "ada", json!({})).await;
    let result = admin.notify(&hello("ada")).await;
    let id = result["notification_id"].as_str().unwrap();
    let canceled = admin.post(&format!("/v1/notifications/{id}/cancel"), &json!({})).await.is(200);
    assert!(reasons(&canceled).contains(&("email", "canceled")), "{canceled}");
    let standing = admin.standing(id, "email").await;
    assert_eq!((&standing["status"], &standing["reason"]), (&json!("canceled"), &json!("canceled")));
    let story = admin.story(id, "email").await;
    assert_eq!(story.last().unwrap()["event"], "canceled");
    admin.patch("/v1/users/ada/preferences", &json!({ "quiet_hours": { "enabled": false } })).await.is(200);
    let later = admin.notify(&hello("ada")).await;
    admin.comes_to(later["notification_id"].as_str().unwrap(), "email", "sent").await;
    let captured = admin.all("/v1/captured").await;
    assert!(captured.iter().all(|mail| mail["notification_id"] != id), "{captured:?}");
    admin.post("/v1/notifications/no-such-one/cancel", &json!({})).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_batch_counts_what_it_took_and_one_bad_item_fails_alone_and_is_named() {
    let server = Server::start().await;
    let admin = server.admin();
    let batch = json!({ "notifications": [
        with(hello("ada"), json!({ "id": "b-0" })),
        with(hello("ada"), json!({ "id": "b-1", "priority": "urgent" })),
        with(hello("bob"), json!({})),
        { "user_id": "ada" },
        "not an object",
        with(hello("ada"), json!({ "id": "b-0", "title": "Another" })),
    ]});
    let result = admin.post("/v1/notifications/batch", &batch).await.is(202);
    assert_eq!(
        (&result["success"], &result["total_sent"], &result["successful"], &result["failed"]),
        (&json!(false), &json!(6), &json!(2), &json!(4))
    );
    assert!(result["batch_id"].as_str().is_some_and(|id| !id.is_empty()));
    let errors = result["errors"].as_array().unwrap();
    let starts: Vec<&str> = errors.iter().map(|e| e.as_str().unwrap().split(':').next().unwrap()).collect();
    assert_eq!(starts, ["b-1", "3", "4", "b-0"]);
    assert!(errors[0].as_str().unwrap().contains("priority"));
    let results = result["results"].as_array().unwrap();
    let took: Vec<bool> = results.iter().map(|r| r["success"].as_bool().unwrap()).collect();
    assert_eq!(took, [true, false, true, false, false, false]);
    assert_eq!(admin.all("/v1/notifications").await.len(), 2);
    assert_eq!(admin.get("/v1/users/bob/inbox/counts").await.is(200)["unread"], 1);
}

#[tokio::test]
async fn a_thousand_go_in_one_batch_and_one_more_does_not() {
    let server = Server::start().await;
    let admin = server.admin();
    let batch = |n: usize| {
        let items: Vec<Value> =
            (0..n).map(|i| with(hello("ada"), json!({ "id": format!("i-{i}") }))).collect();
        json!({ "notifications": items })
    };
    let fields = admin.post("/v1/notifications/batch", &batch(1_001)).await.fields();
    assert_eq!(fields, ["notifications"]);
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
    let result = admin.post("/v1/notifications/batch", &batch(1_000)).await.is(202);
    assert_eq!((&result["successful"], &result["success"]), (&json!(1_000), &json!(true)));
    let inbox = admin.all("/v1/users/ada/inbox").await;
    let wanted: Vec<String> = (0..1_000).rev().map(|i| format!("i-{i}")).collect();
    assert_eq!(ids(&inbox), wanted);
    for wrong in [json!({ "notifications": [] }), json!({ "notifications": {} }), json!({})] {
        assert_eq!(admin.post("/v1/notifications/batch", &wrong).await.fields(), ["notifications"]);
    }
}

#[tokio::test]
async fn one_body_for_several_people_is_a_notification_for_each() {
    let server = Server::start().await;
    let admin = server.admin();
    let mut many = with(hello(""), json!({ "to": ["ada", "bob", "cyd"] }));
    many.as_object_mut().unwrap().remove("user_id");
    let result = admin.notify(&many).await;
    assert_eq!(result["successful"], 3);
    for user in ["ada", "bob", "cyd"] {
        assert_eq!(admin.get(&format!("/v1/users/{user}/inbox/counts")).await.is(200)["total"], 1);
    }
    let both = with(hello("ada"), json!({ "to": ["bob"] }));
    assert_eq!(admin.post("/v1/notifications", &both).await.fields(), ["user_id"]);
}

#[tokio::test]
async fn a_template_renders_with_its_variables() {
    let server = Server::start().await;
    let admin = server.admin();
    let sent = json!({
        "user_id": "ada", "template": "workflow_review_required",
        "variables": { "workflow_name": "Nightly <build>", "stage": "final" },
    });
    let result = admin.notify(&sent).await;
    let id = result["notification_id"].as_str().unwrap();
    let stored = admin.get(&format!("/v1/notifications/{id}")).await.is(200);
    assert_eq!(stored["title"], "Review required: Nightly <build>");
    assert!(stored["message"].as_str().unwrap().contains("final"));
    assert_eq!((&stored["priority"], &stored["category"]), (&json!("high"), &json!("workflow")));
    assert_eq!(stored["type"], "workflow_review_required");
    let tried = admin.post("/v1/templates/workflow_review_required/render", &sent).await.is(200);
    assert_eq!((&tried["success"], &tried["title"]), (&json!(true), &stored["title"]));
    assert_eq!(tried["message"], stored["message"]);
}

#[tokio::test]
async fn missing_variables_are_all_named() {
    let server = Server::start().await;
    let admin = server.admin();
    let sent = json!({ "user_id": "ada", "template": "workflow_review_required", "variables": {} });
    for path in ["/v1/notifications", "/v1/templates/workflow_review_required/render"] {
        let problem = admin.post(path, &sent).await.problem(422, "missing_variables");
        let fields: Vec<&str> =
            problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["variables.workflow_name", "variables.stage"], "{path}");
    }
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
}

#[tokio::test]
async fn the_built_in_templates_are_listed_and_an_unknown_one_is_not_found() {
    let server = Server::start().await;
    let admin = server.admin();
    let listed = admin.get("/v1/templates").await.is(200);
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    for name in ["workflow_review_required", "workflow_completed", "workflow_failed"] {
        assert!(names.contains(&name), "{names:?}");
        let template = admin.get(&format!("/v1/templates/{name}")).await.is(200);
        assert_eq!((&template["name"], &template["category"]), (&json!(name), &json!("workflow")));
        assert!(template["variables"].as_array().is_some_and(|variables| !variables.is_empty()));
    }
    admin.get("/v1/templates/no_such").await.problem(404, "not_found");
    admin.post("/v1/templates/no_such/render", &json!({})).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_notification_of_an_unknown_template_is_not_found() {
    let server = Server::start().await;
    let admin = server.admin();
    let sent = json!({ "user_id": "ada", "template": "no_such", "variables": {} });
    let answer = admin.post("/v1/notifications", &sent).await;
    assert!([404, 422].contains(&answer.status), "{}", answer.text);
    assert!(answer.text.contains("template"), "{}", answer.text);
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
}

#[tokio::test]
async fn the_list_is_newest_first_paged_and_filtered() {
    let server = Server::start().await;
    let admin = server.admin();
    for at in 0..7 {
        let user = if at % 2 == 0 { "ada" } else { "bob" };
        let priority = if at < 3 { "low" } else { "high" };
        let more = json!({ "id": format!("n-{at}"), "priority": priority, "category": format!("c_{}", at % 3),
            "type": format!("t_{at}"), "timestamp": format!("2026-01-0{}T00:00:00Z", at + 1) });
        admin.notify(&with(hello(user), more)).await;
    }
    let list = async |query: &str| {
        let page = admin.get(&format!("/v1/notifications?{query}")).await.is(200);
        ids(page["data"].as_array().unwrap()).join(" ")
    };
    assert_eq!(list("").await, "n-6 n-5 n-4 n-3 n-2 n-1 n-0");
    assert_eq!(list("user_id=ada").await, "n-6 n-4 n-2 n-0");
    assert_eq!(list("user_id=bob&priority=high").await, "n-5 n-3");
    assert_eq!(list("category=c_1").await, "n-4 n-1");
    assert_eq!(list("type=t_3").await, "n-3");
    assert_eq!(list("since=2026-01-03T00:00:00Z&until=2026-01-05T00:00:00Z").await, "n-4 n-3 n-2");
    for path in ["/v1/notifications?limit=3", "/v1/notifications?limit=3&user_id=ada"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("{path}{cursor}")).await.is(200);
            let items = page["data"].as_array().unwrap();
            assert!(items.len() <= 3);
            seen.extend(ids(items));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), if path.contains("user_id") { 4 } else { 7 });
        assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=nonsense", "cursor"),
        ("since=yesterday", "since"),
        ("priority=urgent", "priority"),
    ] {
        assert_eq!(admin.get(&format!("/v1/notifications?{query}")).await.fields(), [field], "{query}");
    }
    admin.get("/v1/notifications/no-such").await.problem(404, "not_found");
    admin.get("/v1/notifications/no-such/status").await.problem(404, "not_found");
    admin.get("/v1/notifications/no-such/timeline").await.problem(404, "not_found");
}

// Fails now: the filter is refused as not available.
#[tokio::test]
async fn the_list_can_be_filtered_by_status() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.notify(&with(hello("ada"), json!({ "id": "in", "channels": ["in_app"] }))).await;
    admin.notify(&with(hello("ada"), json!({ "id": "out", "channels": ["sms"] }))).await;
    let page = admin.get("/v1/notifications?status=delivered").await.is(200);
    assert_eq!(ids(page["data"].as_array().unwrap()), ["in"]);
    let page = admin.get("/v1/notifications?status=skipped").await.is(200);
    assert_eq!(ids(page["data"].as_array().unwrap()), ["out"]);
}
