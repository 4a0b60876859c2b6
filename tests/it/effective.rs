//! Claims about what holds for a person: which layer decides, who changed what, and when it is quiet.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::client::{Client, hello, with};

async fn cell(client: &Client, user: &str, category: &str, channel: &str) -> Value {
    let all = client.get(&format!("/v1/users/{user}/preferences/effective")).await.is(200);
    let cells = all["data"].as_array().unwrap().clone();
    let cell = cells.into_iter().find(|cell| cell["category"] == category && cell["channel"] == channel);
    let cell = cell.unwrap_or_else(|| panic!("no cell for {category} on {channel}"));
    assert!(cell["because"].as_str().is_some_and(|because| !because.is_empty()), "{cell}");
    json!([cell["value"], cell["layer"]])
}

#[tokio::test]
async fn each_cell_says_what_holds_and_which_layer_decided() {
    let server = Server::start().await;
    let admin = server.admin();
    assert_eq!(cell(&admin, "ada", "system", "email").await, json!([true, "system"]));
    assert_eq!(cell(&admin, "ada", "system", "sms").await, json!([false, "system"]));
    assert_eq!(cell(&admin, "ada", "marketing", "in_app").await, json!([false, "system"]));
    admin.put("/v1/categories/billing", &json!({ "channels": { "sms": true } })).await.is(201);
    assert_eq!(cell(&admin, "ada", "billing", "sms").await, json!([true, "category"]));
    let body = json!({ "categories": { "billing": { "sms": false } }, "channels": { "email": false } });
    admin.patch("/v1/users/ada/preferences", &body).await.is(200);
    assert_eq!(cell(&admin, "ada", "billing", "sms").await, json!([false, "user"]));
    assert_eq!(cell(&admin, "ada", "system", "email").await, json!([false, "user"]));
    let reset = json!({ "categories": { "billing": null }, "channels": { "email": null } });
    let after = admin.patch("/v1/users/ada/preferences", &reset).await.is(200);
    assert_eq!(after["channels"]["email"], true, "the default again");
    assert_eq!(cell(&admin, "ada", "billing", "sms").await, json!([true, "category"]));
    assert_eq!(cell(&admin, "ada", "system", "email").await, json!([true, "system"]));
    let asked = admin.get("/v1/users/ada/preferences/effective?category=unheard_of").await.is(200);
    assert!(asked["data"].as_array().unwrap().iter().any(|cell| cell["category"] == "unheard_of"));
    let wrong = admin.get("/v1/users/ada/preferences/effective?category=No%20Word").await;
    assert_eq!(wrong.fields(), ["category"]);
}

#[tokio::test]
async fn what_effective_says_is_what_the_plan_does() {
    let server = Server::start_with(&[("CHANNELS__SMS__MODE", "capture")]).await;
    let admin = server.admin();
    let ada = json!({ "email": "ada@example.org", "phone": "+491701234567" });
    admin.put("/v1/users/ada", &ada).await.is(201);
    admin
        .put("/v1/categories/alarm", &json!({ "required": true, "channels": { "sms": true } }))
        .await
        .is(201);
    let body = json!({ "channels": { "sms": false, "email": true }, "categories": { "system": { "in_app": false } } });
    admin.patch("/v1/users/ada/preferences", &body).await.is(200);
    for category in ["alarm", "system", "marketing", "security"] {
        let result = admin.notify(&with(hello("ada"), json!({ "category": category }))).await;
        let skipped = result["channels_skipped"].as_array().unwrap().clone();
        for channel in ["in_app", "email", "sms"] {
            let on = cell(&admin, "ada", category, channel).await[0] == true;
            assert_eq!(
                on,
                !skipped.iter().any(|s| s["channel"] == channel),
                "{category} on {channel}: {result}"
            );
        }
    }
}

#[tokio::test]
async fn a_required_category_cannot_be_switched_off_and_says_so() {
    let server = Server::start().await;
    let admin = server.admin();
    let path = "/v1/users/ada/preferences";
    admin.person("ada").await;
    admin.patch(path, &json!({ "categories": { "alarm": { "email": false } } })).await.is(200);
    admin.put("/v1/categories/alarm", &json!({ "required": true })).await.is(201);
    assert_eq!(cell(&admin, "ada", "alarm", "email").await, json!([true, "category"]));
    let off = json!({ "categories": { "alarm": false } });
    assert_eq!(admin.patch(path, &off).await.fields(), ["categories.alarm"]);
    assert_eq!(admin.put(path, &off).await.fields(), ["categories.alarm"]);
    let off = json!({ "categories": { "alarm": { "sms": false, "in_app": true } } });
    assert_eq!(admin.put(path, &off).await.fields(), ["categories.alarm.sms"]);
    // What was off before it became required is in nobody's way.
    admin.patch(path, &json!({ "channels": { "sms": true } })).await.is(200);
    let result = admin.notify(&with(hello("ada"), json!({ "category": "alarm" }))).await;
    assert_eq!(result["channels_pending"], json!(["email"]));
}

#[tokio::test]
async fn every_change_says_who_made_it_when_and_what_it_was() {
    let mut server = Server::start().await;
    let admin = server.admin();
    let path = "/v1/users/ada/preferences";
    assert_eq!(admin.get(&format!("{path}/history")).await.is(200)["data"], json!([]));
    admin.patch(path, &json!({ "quiet_hours": { "enabled": true, "start": "23:00" } })).await.is(200);
    let ada = Client::new(server.url(), &admin.mint("ada", &json!({})).await);
    ada.patch("/v1/users/me/preferences", &json!({ "channels": { "sms": true } })).await.is(200);
    ada.patch("/v1/users/me/preferences", &json!({ "channels": { "sms": true } })).await.is(200);
    ada.patch("/v1/users/me", &json!({ "timezone": "asia/tokyo" })).await.is(200);
    server.restart().await;
    let admin = server.admin();
    let history = admin.get(&format!("{path}/history")).await.is(200)["data"].as_array().unwrap().clone();
    assert_eq!(history.len(), 3, "what changes nothing is not remembered: {history:?}");
    let changes = json!([{ "field": "timezone", "from": null, "to": "Asia/Tokyo" }]);
    assert_eq!(history[0]["changes"], changes, "newest first");
    assert_eq!((&history[1]["principal"], &history[1]["changed_by"]), (&json!("user:ada"), &json!("api")));
    assert_eq!(history[1]["changes"], json!([{ "field": "channels.sms", "from": null, "to": true }]));
    let fields: Vec<&Value> = history[2]["changes"].as_array().unwrap().iter().map(|c| &c["field"]).collect();
    assert_eq!(fields, ["quiet_hours.enabled", "quiet_hours.start"]);
    assert!(history[2]["principal"].as_str().unwrap().starts_with("key:"));
    assert!(history[0]["at"].as_str().unwrap().parse::<Timestamp>().is_ok());
    for at in 0..60 {
        admin.patch(path, &json!({ "categories": { "news": at % 2 == 0 } })).await.is(200);
    }
    let history = admin.get(&format!("{path}/history")).await.is(200);
    assert_eq!(history["data"].as_array().unwrap().len(), 50, "bounded");
    admin.delete("/v1/users/ada").await.is(204);
    assert_eq!(admin.get(&format!("{path}/history")).await.is(200)["data"], json!([]));
}

#[tokio::test]
async fn the_windows_to_come_are_shown_as_instants() {
    let server = Server::start().await;
    let admin = server.admin();
    let path = "/v1/users/ada/quiet-hours/preview";
    admin.put("/v1/users/ada", &json!({ "timezone": "Asia/Kathmandu" })).await.is(201);
    let nothing = admin.get(path).await.is(200);
    assert_eq!((&nothing["data"], &nothing["enabled"]), (&json!([]), &json!(false)));
    let quiet = json!({ "enabled": true, "start": "22:00", "end": "07:15", "channels": { "sms": { "end": "09:00" } } });
    let stored = admin.patch("/v1/users/ada/preferences", &json!({ "quiet_hours": quiet })).await.is(200);
    assert_eq!(stored["quiet_hours"]["timezone"], "Asia/Kathmandu", "the zone that they live in");
    let windows = admin.get(&format!("{path}?days=30")).await.is(200);
    assert_eq!(windows["timezone"], "Asia/Kathmandu");
    let windows = windows["data"].as_array().unwrap().clone();
    assert!((30..=31).contains(&windows.len()), "{}", windows.len());
    for window in &windows {
        // 22:00 and 07:15 at five hours and three quarters ahead.
        assert!(window["start"].as_str().unwrap().ends_with("T16:15:00.000Z"), "{window}");
        assert!(window["end"].as_str().unwrap().ends_with("T01:30:00.000Z"), "{window}");
    }
    assert!((14..=15).contains(&admin.get(path).await.is(200)["data"].as_array().unwrap().len()));
    let sms = admin.get(&format!("{path}?channel=sms&days=1")).await.is(200);
    assert!(sms["data"][0]["end"].as_str().unwrap().ends_with("T03:15:00.000Z"), "{sms}");
    assert_eq!(admin.get(&format!("{path}?channel=in_app")).await.is(200)["data"], json!([]));
    for query in ["days=0", "days=367", "days=x", "days=-1"] {
        assert_eq!(admin.get(&format!("{path}?{query}")).await.fields(), ["days"], "{query}");
    }
    assert_eq!(admin.get(&format!("{path}?channel=pigeon")).await.fields(), ["channel"]);
}

#[tokio::test]
async fn what_is_nearly_right_is_answered_with_what_was_meant() {
    let server = Server::start().await;
    let admin = server.admin();
    for (field, value, meant) in [
        ("timezone", json!("Europe/Belin"), "Europe/Berlin"),
        ("timezone", json!("New York"), "America/New_York"),
        ("start", json!("7:30"), "07:30"),
        ("end", json!("24:00"), "00:00"),
        ("days", json!(["Monday"]), "mon"),
    ] {
        let body = json!({ "quiet_hours": { field: value } });
        let problem = admin.patch("/v1/users/ada/preferences", &body).await.problem(422, "validation_failed");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.ends_with(&format!("did you mean {meant}?")), "{detail}");
    }
    let problem = admin.put("/v1/users/ada", &json!({ "timezone": "Europe/Pari" })).await;
    assert!(problem.text.contains("did you mean Europe/Paris?"), "{}", problem.text);
}

#[tokio::test]
async fn a_channel_can_have_quiet_hours_of_its_own() {
    let server = Server::start_with(&[("CHANNELS__SMS__MODE", "capture")]).await;
    let admin = server.admin();
    let ada = json!({ "email": "ada@example.org", "phone": "+491701234567" });
    admin.put("/v1/users/ada", &ada).await.is(201);
    let minute = belfry::clock::Clock::System.now() / 60_000;
    let time = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let quiet = json!({ "enabled": true, "timezone": "UTC", "start": time(minute + 360), "end": time(minute + 359),
        "channels": { "sms": false } });
    let body = json!({ "channels": { "sms": true }, "quiet_hours": quiet });
    let stored = admin.patch("/v1/users/ada/preferences", &body).await.is(200);
    assert_eq!(stored["quiet_hours"]["channels"], json!({ "sms": false }));
    let result = admin.notify(&hello("ada")).await;
    assert_eq!(result["channels_deferred"][0]["channel"], "email", "{result}");
    assert_eq!(result["channels_pending"], json!(["sms"]), "{result}");
    let reset = json!({ "quiet_hours": { "channels": null } });
    admin.patch("/v1/users/ada/preferences", &reset).await.is(200);
    let result = admin.notify(&hello("ada")).await;
    assert_eq!(result["channels_deferred"].as_array().unwrap().len(), 2, "{result}");
}

#[tokio::test]
async fn who_left_by_a_link_stays_away_until_they_turn_it_on_again() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.person("ada").await;
    let path = "/v1/users/ada/preferences";
    admin.patch(path, &json!({ "unsubscribed": { "news": ["email"] } })).await.is(200);
    let news = with(hello("ada"), json!({ "id": "n-1", "category": "news" }));
    let result = admin.notify(&news).await;
    assert!(
        result["channels_skipped"].to_string().contains(r#"{"channel":"email","reason":"unsubscribed"}"#)
    );
    assert_eq!(cell(&admin, "ada", "news", "in_app").await, json!([true, "system"]));
    let read = admin.get(path).await.is(200);
    assert_eq!(admin.put(path, &read).await.is(200)["unsubscribed"], json!({ "news": ["email"] }));
    let again = admin.patch(path, &json!({ "categories": { "news": true } })).await.is(200);
    assert_eq!(again["unsubscribed"], json!({}));
    let result = admin.notify(&with(news, json!({ "id": "n-2" }))).await;
    assert_eq!(result["channels_pending"], json!(["email"]));
}
