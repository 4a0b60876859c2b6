//! Claims about what would happen: the plan at any instant, with its evidence, and nothing written.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::client::{Client, hello, with};
use crate::support::server::{ADMIN_KEY, binary};

async fn simulate(admin: &Client, body: &Value) -> Value {
    admin.post("/v1/notifications/simulate", body).await.is(200)
}

fn of<'a>(outcome: &'a Value, channel: &str) -> &'a Value {
    let plan = outcome["plan"].as_array().unwrap();
    plan.iter().find(|planned| planned["channel"] == channel).unwrap()
}

async fn quiet_in_paris(admin: &Client) {
    admin.person("ada").await;
    let quiet = json!({ "enabled": true, "start": "22:00", "end": "08:00", "timezone": "Europe/Paris" });
    admin.patch("/v1/users/ada/preferences", &json!({ "quiet_hours": quiet })).await.is(200);
}

#[tokio::test]
async fn the_night_of_the_change_of_the_clocks_is_planned_to_the_minute() {
    let server = Server::start().await;
    let admin = server.admin();
    quiet_in_paris(&admin).await;
    for (at, until) in [
        ("2026-10-24T19:59:59Z", None),
        ("2026-10-24T20:00:00Z", Some("2026-10-25T07:00:00.000Z")),
        ("2026-10-25T00:30:00Z", Some("2026-10-25T07:00:00.000Z")),
        ("2026-10-25T06:59:59.999Z", Some("2026-10-25T07:00:00.000Z")),
        ("2026-10-25T07:00:00Z", None),
        ("2026-03-29T00:30:00Z", Some("2026-03-29T06:00:00.000Z")),
    ] {
        let outcome = simulate(&admin, &with(hello("ada"), json!({ "at": at }))).await;
        let (email, in_app) = (of(&outcome, "email"), of(&outcome, "in_app"));
        assert_eq!(in_app["decision"], "send");
        match until {
            None => assert_eq!(email["decision"], "send", "{at}: {email}"),
            Some(until) => {
                let because = format!("22:00–08:00 Europe/Paris, until {}", until.replace(".000", ""));
                let expected = json!({ "channel": "email", "decision": "deferred", "until": until,
                    "reason": "quiet_hours", "because": because });
                assert_eq!(*email, expected, "{at}");
            }
        }
        assert_eq!(outcome["quiet_hours_overridden"], false);
    }
    let critical = json!({ "at": "2026-10-25T00:30:00Z", "priority": "critical" });
    let outcome = simulate(&admin, &with(hello("ada"), critical)).await;
    assert_eq!(
        (&of(&outcome, "email")["decision"], &outcome["quiet_hours_overridden"]),
        (&json!("send"), &json!(true))
    );
}

#[tokio::test]
async fn a_skip_says_which_layer_switched_it_off() {
    let server = Server::start().await;
    let admin = server.admin();
    let outcome = simulate(&admin, &hello("nobody-yet")).await;
    let expected = json!({ "channel": "sms", "decision": "skipped", "reason": "preference_channel_off",
        "because": "the system default has sms off" });
    assert_eq!(*of(&outcome, "sms"), expected);
    let expected = json!({ "channel": "email", "decision": "skipped", "reason": "no_address" });
    assert_eq!(*of(&outcome, "email"), expected);
    quiet_in_paris(&admin).await;
    let off = json!({ "categories": { "system": { "email": false } } });
    admin.patch("/v1/users/ada/preferences", &off).await.is(200);
    let outcome = simulate(&admin, &hello("ada")).await;
    assert_eq!(of(&outcome, "email")["because"], "the user turned the category system off on email");
}

#[tokio::test]
async fn what_would_be_sent_is_shown_as_it_would_be() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let body = with(hello("ada"), json!({ "title": "Disk <b>", "message": "full & hot" }));
    let rendered = simulate(&admin, &body).await["rendered"].clone();
    assert_eq!((&rendered["title"], &rendered["message"]), (&json!("Disk <b>"), &json!("full & hot")));
    let email = &rendered["channels"]["email"];
    assert!(email["html"].as_str().unwrap().contains("full &amp; hot"), "{email}");
    assert!(email["text"].as_str().unwrap().contains("full & hot"), "{email}");
    assert!(rendered["channels"]["sms"].is_null(), "it would not be sent");
}

#[tokio::test]
async fn nothing_is_written_and_nothing_is_sent() {
    let server = Server::start().await;
    let admin = server.admin();
    simulate(&admin, &with(hello("ada"), json!({ "id": "n-1" }))).await;
    admin.get("/v1/users/ada").await.problem(404, "not_found");
    admin.get("/v1/notifications/n-1").await.problem(404, "not_found");
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
    assert_eq!(admin.get("/v1/captured").await.is(200)["data"], json!([]));
}

fn keyed(fields: Value) -> Value {
    with(with(hello("ada"), json!({ "category": "ci" })), fields)
}

#[tokio::test]
async fn a_repeat_is_foreseen_with_what_it_repeats_and_asking_repeats_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let build = keyed(json!({ "dedupe_key": "build-42" }));
    for _ in 0..2 {
        let outcome = simulate(&admin, &build).await;
        assert_eq!(of(&outcome, "email")["decision"], "send", "what was only asked is no first");
    }
    let first = admin.notify(&with(build.clone(), json!({ "id": "first" }))).await;
    let outcome = simulate(&admin, &build).await;
    let expected = |channel: &str| json!({ "channel": channel, "decision": "skipped", "reason": "duplicate", "because": "the same dedupe_key as first" });
    for channel in ["in_app", "email"] {
        assert_eq!(*of(&outcome, channel), expected(channel));
    }
    let (before, late) = ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    for at in [before, late] {
        let outcome = simulate(&admin, &with(build.clone(), json!({ "at": at }))).await;
        assert_eq!(of(&outcome, "email")["decision"], "send", "{at}");
    }
    // What is foreseen is what happens.
    let second = admin.notify(&build).await;
    let standing = admin.standing(second["notification_id"].as_str().unwrap(), "email").await;
    assert_eq!(standing["reason"], "duplicate", "{first}");
}

#[tokio::test]
async fn a_rate_that_is_used_up_is_foreseen_and_asking_uses_none_of_it() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let throttle = json!({ "throttle": { "max": 2, "per_seconds": 3600 } });
    admin.put("/v1/categories/ci", &throttle).await.is(201);
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(of(&simulate(&admin, &keyed(json!({}))).await, "email")["decision"], "send");
        }
        admin.notify(&keyed(json!({}))).await;
    }
    let outcome = simulate(&admin, &keyed(json!({}))).await;
    let expected = json!({ "channel": "email", "decision": "skipped", "reason": "throttled",
        "because": "more than 2 of ci in 3600 s" });
    assert_eq!(*of(&outcome, "email"), expected);
    assert_eq!(of(&outcome, "in_app")["decision"], "send");
    let urgent = simulate(&admin, &keyed(json!({ "priority": "critical" }))).await;
    assert_eq!(of(&urgent, "email")["decision"], "send");
    let (said, _) = belfry(&server, &["simulate", "ada", "--category", "ci"]);
    assert!(said.contains("[throttled] (more than 2 of ci in 3600 s)"), "{said}");
}

#[tokio::test]
async fn a_digest_that_gathers_and_what_would_be_replaced_are_foreseen() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let digest = json!({ "digest": { "mode": "fixed", "window_seconds": 3600 } });
    admin.put("/v1/categories/ci", &digest).await.is(201);
    let build = keyed(json!({ "collapse_key": "build" }));
    let older = admin.notify(&with(build.clone(), json!({ "id": "older" }))).await;
    let closes = older["channels_pending"].as_array().unwrap();
    assert_eq!(*closes, [json!("email")], "{older}");
    let opened = admin.standing("older", "email").await["not_before"].clone();
    let outcome = simulate(&admin, &build).await;
    let email = of(&outcome, "email");
    assert_eq!((&email["reason"], &email["until"]), (&json!("batched"), &opened), "{email}");
    assert_eq!(outcome["supersedes"], json!({ "notification_id": "older", "channels": ["email"] }));
    // By then it has left, and another digest begins.
    let outcome = simulate(&admin, &with(build, json!({ "at": "2099-01-01T00:00:00Z" }))).await;
    assert_eq!(of(&outcome, "email")["until"], "2099-01-01T01:00:00.000Z");
    assert_eq!(outcome["supersedes"], Value::Null);
    assert_eq!(admin.standing("older", "email").await["status"], "batched");
}

#[tokio::test]
async fn what_cannot_be_imagined_is_named() {
    let server = Server::start().await;
    let admin = server.admin();
    for (body, field) in [
        (with(hello("ada"), json!({ "at": "tomorrow" })), "at"),
        (with(hello("ada"), json!({ "at": 5 })), "at"),
        (with(hello("ada"), json!({ "priority": "urgent" })), "priority"),
        (
            with(hello("ada"), json!({ "at": "2030-01-01T00:00:00Z", "expires_at": "2029-01-01T00:00:00Z" })),
            "expires_at",
        ),
        (with(hello("ada"), json!({ "user_id": null, "topic": "ops" })), "topic"),
        (with(hello("ada"), json!({ "user_id": null, "to": ["ada", "bob"] })), "to"),
    ] {
        assert_eq!(admin.post("/v1/notifications/simulate", &body).await.fields(), [field], "{body}");
    }
    let reader = Client::new(server.url(), &admin.key(&["read"]).await);
    simulate(&reader, &hello("ada")).await;
    let ada = Client::new(server.url(), &admin.mint("ada", &json!({})).await);
    ada.post("/v1/notifications/simulate", &hello("ada")).await.problem(403, "forbidden");
    admin.anonymous().post("/v1/notifications/simulate", &hello("ada")).await.problem(401, "unauthorized");
}

/// What the command line says, and the code that it ends with.
fn belfry(server: &Server, arguments: &[&str]) -> (String, i32) {
    let output = Command::new(binary())
        .args(arguments)
        .env("BELFRY_URL", server.url())
        .env("BELFRY_KEY", ADMIN_KEY)
        .env("TZ", "Europe/Paris")
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[tokio::test]
async fn the_command_line_tells_the_plan_and_the_story_with_their_evidence() {
    let server = Server::start().await;
    let admin = server.admin();
    quiet_in_paris(&admin).await;
    let (said, code) = belfry(&server, &["simulate", "ada", "--at", "2026-10-25T02:30:00+02:00"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("email         deferred until 2026-10-25 08:00:00.000 (07:00:00.000Z)"), "{said}");
    assert!(said.contains("(22:00–08:00 Europe/Paris, until 2026-10-25T07:00:00Z)"), "{said}");
    let (json, code) = belfry(&server, &["simulate", "ada", "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&json).unwrap()["user_id"].clone()), (0, json!("ada")));
    let (_, code) = belfry(&server, &["simulate", "ada", "--variables", "{"]);
    assert_eq!(code, 2);

    let off = json!({ "channels": { "email": false } });
    admin.patch("/v1/users/ada/preferences", &off).await.is(200);
    admin.notify(&with(hello("ada"), json!({ "id": "n-1" }))).await;
    let (story, code) = belfry(&server, &["explain", "n-1"]);
    assert_eq!(code, 0, "{story}");
    assert!(
        story
            .contains("the person has this channel off [preference_channel_off] (the user turned email off)"),
        "{story}"
    );
    assert!(story.contains("(off by the system default)"), "{story}");
}
