//! Claims about categories: what the operator says of them, and what then holds for everybody.

use serde_json::json;

use crate::support::Server;
use crate::support::client::{Client, hello, with};

#[tokio::test]
async fn a_category_is_stored_whole_and_survives_a_kill() {
    let mut server = Server::start().await;
    let admin = server.admin();
    let whole = json!({
        "description": "Invoices", "channels": { "sms": true, "email": false }, "required": true,
        "quiet_hours": { "start": "23:00", "end": "06:30", "timezone": "America/New_York", "days": ["sat", "sun"] },
        "digest": { "mode": "daily", "at": "07:30" }, "throttle": { "max": 5, "per_seconds": 3600 },
        "retention_days": 90,
    });
    admin.get("/v1/categories/billing").await.problem(404, "not_found");
    let made = admin.put("/v1/categories/billing", &whole).await.is(201);
    assert_eq!(made["name"], "billing");
    for name in ["description", "channels", "required", "digest", "retention_days"] {
        assert_eq!(made[name], whole[name], "{name}");
    }
    for name in ["start", "end", "timezone", "days"] {
        assert_eq!(made["quiet_hours"][name], whole["quiet_hours"][name], "{name}");
    }
    assert_eq!(made["throttle"]["max"], 5);
    assert_eq!(admin.put("/v1/categories/billing", &made).await.is(200)["digest"], whole["digest"]);
    server.restart().await;
    let admin = server.admin();
    assert_eq!(admin.get("/v1/categories/billing").await.is(200)["quiet_hours"], made["quiet_hours"]);
    assert_eq!(admin.get("/v1/categories").await.is(200)["data"].as_array().unwrap().len(), 1);
    let less = admin.put("/v1/categories/billing", &json!({})).await.is(200);
    assert!(less["digest"].is_null() && less["required"] == false, "{less}");
    admin.delete("/v1/categories/billing").await.is(204);
    admin.delete("/v1/categories/billing").await.problem(404, "not_found");
    assert_eq!(admin.get("/v1/categories").await.is(200)["data"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_said_of_a_category_is_named() {
    let server = Server::start().await;
    let admin = server.admin();
    for (body, field) in [
        (json!({ "name": "other" }), "name"),
        (json!({ "channels": { "pigeon": true } }), "channels.pigeon"),
        (json!({ "required": "yes" }), "required"),
        (json!({ "quiet_hours": { "start": "08:00", "end": "08:00" } }), "quiet_hours.end"),
        (json!({ "quiet_hours": { "timezone": "Mars/Olympus" } }), "quiet_hours.timezone"),
        (json!({ "digest": {} }), "digest.mode"),
        (json!({ "digest": { "mode": "fixed" } }), "digest.window_seconds"),
        (json!({ "digest": { "mode": "fixed", "window_seconds": 0 } }), "digest.window_seconds"),
        (json!({ "digest": { "mode": "daily", "at": "8:00" } }), "digest.at"),
        (json!({ "digest": { "mode": "weekly", "weekday": "someday" } }), "digest.weekday"),
        (json!({ "throttle": { "max": 0, "per_seconds": 60 } }), "throttle.max"),
        (json!({ "throttle": { "max": 5 } }), "throttle.per_seconds"),
        (json!({ "retention_days": 0 }), "retention_days"),
        (json!({ "surprise": 1 }), "surprise"),
    ] {
        assert_eq!(admin.put("/v1/categories/billing", &body).await.fields(), [field], "{body}");
    }
    assert_eq!(admin.put("/v1/categories/Not-Snake", &json!({})).await.fields(), ["name"]);
    admin.get("/v1/categories/billing").await.problem(404, "not_found");
}

#[tokio::test]
async fn who_may_send_may_not_say_what_holds_for_everybody() {
    let server = Server::start().await;
    let publisher = Client::new(server.url(), &server.admin().key(&["publish"]).await);
    publisher.put("/v1/categories/billing", &json!({})).await.problem(403, "forbidden");
    publisher.get("/v1/categories").await.problem(403, "forbidden");
    server.admin().anonymous().get("/v1/categories").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_category_decides_for_those_who_have_said_nothing() {
    let server = Server::start_with(&[("CHANNELS__SMS__MODE", "capture")]).await;
    let admin = server.admin();
    admin
        .put("/v1/users/ada", &json!({ "email": "ada@example.org", "phone": "+491701234567" }))
        .await
        .is(201);
    admin
        .put("/v1/categories/billing", &json!({ "channels": { "sms": true, "email": false } }))
        .await
        .is(201);
    let bill = with(hello("ada"), json!({ "id": "bill-1", "category": "billing" }));
    let result = admin.notify(&bill).await;
    assert_eq!(result["channels_pending"], json!(["sms"]));
    let skipped = json!([
        { "channel": "email", "reason": "preference_category_off" },
        { "channel": "browser_push", "reason": "preference_channel_off" },
    ]);
    assert_eq!(result["channels_skipped"], skipped);
    let story = admin.story("bill-1", "email").await;
    assert_eq!(story[0]["detail"], "the category billing has email off");
    let own = json!({ "categories": { "billing": { "email": true, "sms": false } } });
    admin.patch("/v1/users/ada/preferences", &own).await.is(200);
    let result = admin.notify(&with(bill, json!({ "id": "bill-2" }))).await;
    assert_eq!(result["channels_pending"], json!(["email"]));
}

#[tokio::test]
async fn a_category_can_be_quiet_for_everybody() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    // All of the day but a minute that is hours away, in whichever hour this runs.
    let minute = belfry::clock::Clock::System.now() / 60_000;
    let time = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let hours = json!({ "start": time(minute + 360), "end": time(minute + 359) });
    admin.put("/v1/categories/news", &json!({ "quiet_hours": hours })).await.is(201);
    let news = with(hello("ada"), json!({ "id": "n-1", "category": "news" }));
    let result = admin.notify(&news).await;
    assert_eq!(result["channels_deferred"][0]["channel"], "email", "{result}");
    assert_eq!(result["channels_sent"], json!(["in_app"]));
    let critical = with(news, json!({ "id": "n-2", "priority": "critical" }));
    let result = admin.notify(&critical).await;
    assert_eq!(result["quiet_hours_overridden"], true, "{result}");
    let story = admin.story("n-1", "email").await;
    assert!(story[0]["detail"].as_str().unwrap().contains(" UTC for everybody in the category, until 20"));
}
