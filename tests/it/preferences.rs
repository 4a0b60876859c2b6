//! Claims about what people want: defaults, changes in part, and impossible wishes.

use serde_json::json;

use crate::support::Server;
use crate::support::client::with;

#[tokio::test]
async fn a_person_nobody_has_seen_has_the_defaults() {
    let server = Server::start().await;
    let admin = server.admin();
    let preferences = admin.get("/v1/users/unseen/preferences").await.is(200);
    assert_eq!(preferences["user_id"], "unseen");
    let channels = json!({ "in_app": true, "email": true, "browser_push": false, "sms": false });
    assert_eq!(preferences["channels"], channels);
    let categories = json!({ "workflow": true, "system": true, "security": true, "marketing": false });
    assert_eq!(preferences["categories"], categories);
    let quiet = &preferences["quiet_hours"];
    assert_eq!((&quiet["enabled"], &quiet["start"]), (&json!(false), &json!("22:00")));
    assert_eq!((&quiet["end"], &quiet["timezone"]), (&json!("08:00"), &json!("UTC")));
    assert!(preferences["updated_at"].is_null());
    admin.get("/v1/users/unseen").await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_changed_in_part_keeps_the_rest_and_survives_a_kill() {
    let mut server = Server::start().await;
    let admin = server.admin();
    let path = "/v1/users/ada/preferences";
    let whole = json!({
        "channels": { "in_app": true, "email": false, "browser_push": false, "sms": true },
        "categories": { "billing": { "sms": false }, "marketing": true },
        "quiet_hours": { "enabled": true, "start": "21:30", "end": "07:15", "timezone": "Asia/Kathmandu",
            "days": ["mon", "sun"], "override_priorities": ["high", "critical"] },
    });
    let stored = admin.put(path, &whole).await.is(200);
    assert_eq!((&stored["channels"], &stored["quiet_hours"]), (&whole["channels"], &whole["quiet_hours"]));
    let changed = admin.patch(path, &json!({ "quiet_hours": { "end": "06:00" } })).await.is(200);
    let wanted = with(whole["quiet_hours"].clone(), json!({ "end": "06:00" }));
    assert_eq!(changed["quiet_hours"], wanted);
    let changed =
        admin.patch(path, &json!({ "categories": { "billing": { "email": false } } })).await.is(200);
    assert_eq!(changed["categories"]["billing"], json!({ "sms": false, "email": false }));
    assert_eq!(changed["categories"]["marketing"], true);
    let changed = admin.patch(path, &json!({ "channels": { "email": true } })).await.is(200);
    assert_eq!(changed["channels"], with(whole["channels"].clone(), json!({ "email": true })));
    assert_eq!(changed["quiet_hours"], wanted);
    assert!(changed["updated_at"].is_string());
    server.restart().await;
    assert_eq!(server.admin().get(path).await.is(200), changed);
    let reset = server.admin().put(path, &json!({})).await.is(200);
    assert_eq!((&reset["channels"]["sms"], &reset["quiet_hours"]["enabled"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn what_was_read_can_be_written_back() {
    let server = Server::start().await;
    let admin = server.admin();
    let read = admin.get("/v1/users/ada/preferences").await.is(200);
    let written = admin.put("/v1/users/ada/preferences", &read).await.is(200);
    assert_eq!(written["categories"], read["categories"]);
    assert_eq!(written["quiet_hours"], read["quiet_hours"]);
}

#[tokio::test]
async fn impossible_wishes_are_refused_by_their_path_and_change_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    let path = "/v1/users/ada/preferences";
    let quiet = |name: &str, value| json!({ "quiet_hours": { "enabled": true, name: value } });
    for (body, field) in [
        (json!({ "channels": { "pigeon": true } }), "channels.pigeon"),
        (json!({ "channels": { "email": "yes" } }), "channels.email"),
        (json!({ "channels": [] }), "channels"),
        (json!({ "categories": { "Not Snake": true } }), "categories.Not Snake"),
        (json!({ "categories": { "system": 5 } }), "categories.system"),
        (json!({ "categories": { "system": { "pigeon": true } } }), "categories.system.pigeon"),
        (json!({ "categories": { "system": { "email": 1 } } }), "categories.system.email"),
        (json!({ "categories": true }), "categories"),
        (quiet("start", json!("24:00")), "quiet_hours.start"),
        (quiet("start", json!("22:60")), "quiet_hours.start"),
        (quiet("end", json!("8:00")), "quiet_hours.end"),
        (quiet("end", json!(8)), "quiet_hours.end"),
        (quiet("timezone", json!("Mars/Olympus")), "quiet_hours.timezone"),
        (quiet("timezone", json!("")), "quiet_hours.timezone"),
        (quiet("days", json!(["someday"])), "quiet_hours.days[0]"),
        (quiet("days", json!("mon")), "quiet_hours.days"),
        (quiet("override_priorities", json!(["urgent"])), "quiet_hours.override_priorities[0]"),
        (quiet("enabled", json!("on")), "quiet_hours.enabled"),
        (quiet("snooze", json!(true)), "quiet_hours.snooze"),
        (json!({ "quiet_hours": 5 }), "quiet_hours"),
        (json!({ "chanels": {} }), "chanels"),
    ] {
        assert_eq!(admin.patch(path, &body).await.fields(), [field], "{body}");
        assert_eq!(admin.put(path, &body).await.fields(), [field], "{body}");
    }
    let same = json!({ "quiet_hours": { "enabled": true, "start": "08:00", "end": "08:00" } });
    admin.put(path, &same).await.problem(422, "validation_failed");
    assert!(admin.get(path).await.is(200)["updated_at"].is_null());
}

#[tokio::test]
async fn two_changes_at_once_are_both_kept() {
    let server = Server::start().await;
    let admin = server.admin();
    let changes = (0..20).map(|at| {
        let (admin, body) = (admin.clone(), json!({ "categories": { format!("c_{at}"): false } }));
        async move { admin.patch("/v1/users/ada/preferences", &body).await.is(200) }
    });
    futures_util::future::join_all(changes).await;
    let preferences = admin.get("/v1/users/ada/preferences").await.is(200);
    for at in 0..20 {
        assert_eq!(preferences["categories"][format!("c_{at}")], false, "c_{at}");
    }
}
