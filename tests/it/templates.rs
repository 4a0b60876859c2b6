//! Claims about templates: stored in versions, in languages, with a text for each channel, and really used.

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::client::{Client, with};

fn welcome() -> Value {
    json!({
        "name": "welcome", "type": "greeting", "priority": "high", "category": "system", "variables": ["name"],
        "title_template": "Hello {{name}}", "message_template": "You have {{plural n one=\"# task\" other=\"# tasks\"}}.",
        "channels": {
            "email": { "subject": "Mail for {{name}}", "html": "<p>Dear {{name}}</p>", "text": "Dear {{name}}!" },
            "sms": { "text": "Hi {{name}}" }, "browser_push": { "title": "P {{name}}", "body": "{{n}} to do" },
        },
        "locales": {
            "pt": { "title_template": "Olá {{name}}", "channels": { "email": { "subject": "Correio: {{name}}" } } },
            "pt-BR": { "title_template": "Oi {{name}}" },
        },
    })
}

/// The mail that was kept for a notification.
async fn mail(admin: &Client, id: &str) -> Value {
    admin.comes_to(id, "email", "sent").await;
    let all = admin.all("/v1/captured?channel=email").await;
    all.into_iter().find(|mail| mail["notification_id"] == id).unwrap()
}

#[tokio::test]
async fn what_is_stored_is_what_is_shown_and_what_is_read_beside_it_is_added() {
    let server = Server::start().await;
    let admin = server.admin();
    let stored = admin.put("/v1/templates/welcome", &welcome()).await.is(201);
    let shown = admin.get("/v1/templates/welcome").await.is(200);
    assert_eq!(stored, shown);
    for (name, value) in welcome().as_object().unwrap() {
        let wanted = if name == "variables" { json!(["name", "n"]) } else { value.clone() };
        assert_eq!(shown[name], wanted, "{name}");
    }
    assert_eq!((&shown["version"], &shown["built_in"]), (&json!(1), &json!(false)));
    let names: Vec<Value> = admin.all("/v1/templates").await.iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["welcome", "workflow_completed", "workflow_failed", "workflow_review_required"]);
    assert_eq!(admin.get("/v1/templates?limit=1").await.is(200)["next_cursor"], "welcome");
}

#[tokio::test]
async fn a_template_that_does_not_compile_is_refused_with_field_line_and_column() {
    let server = Server::start().await;
    let admin = server.admin();
    let channels = json!({ "email": { "html": "ok\n {{#if a}}" }, "sms": { "text": "{{> other}}" } });
    let locales = json!({ "de": { "title_template": "{{shout name}}" } });
    let sent = with(welcome(), json!({ "title_template": "{{", "channels": channels, "locales": locales }));
    let refused = admin.put("/v1/templates/welcome", &sent).await;
    let fields = ["channels.email.html", "channels.sms.text", "locales.de.title_template", "title_template"];
    assert_eq!(refused.fields(), fields);
    let problem = refused.problem(422, "validation_failed");
    let places = ["line 1, column 3", "line 2, column 11", "line 1, column 1", "line 1, column 1"];
    for (error, place) in problem["errors"].as_array().unwrap().iter().zip(places) {
        assert!(error["detail"].as_str().unwrap().starts_with(place), "{error}");
    }
    admin.get("/v1/templates/welcome").await.problem(404, "not_found");
}

#[tokio::test]
async fn missing_variables_are_all_named_wherever_the_template_is_used() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.put("/v1/templates/welcome", &welcome()).await.is(201);
    let rendered = admin.post("/v1/templates/welcome/render", &json!({ "variables": {} })).await;
    let problem = rendered.problem(422, "missing_variables");
    let named: Vec<&Value> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(named, ["variables.name", "variables.n"]);
    let sent = admin.post("/v1/notifications", &json!({ "user_id": "ada", "template": "welcome" })).await;
    sent.problem(422, "missing_variables");
    assert_eq!(admin.all("/v1/notifications").await.len(), 0);
}

#[tokio::test]
async fn a_preview_shows_every_channel_in_the_language_asked_for() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.put("/v1/templates/welcome", &welcome()).await.is(201);
    let render = |more: Value| {
        let (admin, body) = (admin.clone(), with(json!({ "variables": { "name": "<Ada>", "n": 1 } }), more));
        async move { admin.post("/v1/templates/welcome/render", &body).await.is(200) }
    };
    let all = render(json!({})).await;
    assert_eq!(
        (&all["success"], &all["title"], &all["message"]),
        (&json!(true), &json!("Hello <Ada>"), &json!("You have 1 task."))
    );
    assert_eq!((&all["priority"], &all["category"]), (&json!("high"), &json!("system")));
    assert_eq!(all["channels"]["email"]["subject"], "Mail for <Ada>");
    assert!(all["channels"]["email"]["html"].as_str().unwrap().contains("<p>Dear &lt;Ada&gt;</p>"));
    assert!(all["channels"]["email"]["text"].as_str().unwrap().contains("Dear <Ada>!"));
    assert_eq!(all["channels"]["sms"], json!({ "text": "Hi <Ada>" }));
    assert_eq!(all["channels"]["browser_push"], json!({ "title": "P <Ada>", "body": "1 to do" }));
    let sms = render(json!({ "channel": "sms", "locale": "de" })).await;
    assert_eq!(
        (&sms["message"], &sms["channel"], &sms["text"]),
        (&json!("Hi <Ada>"), &json!("sms"), &json!("Hi <Ada>"))
    );
    for (locale, title) in [("pt-BR", "Oi <Ada>"), ("pt-PT", "Olá <Ada>"), ("fr", "Hello <Ada>")] {
        assert_eq!(render(json!({ "locale": locale })).await["title"], title, "{locale}");
    }
    let wrong = json!({ "variables": [], "locale": "no locale", "channel": "fax", "timezone": "Mars" });
    let wrong = admin.post("/v1/templates/welcome/render", &wrong).await;
    assert_eq!(wrong.fields(), ["channel", "locale", "timezone", "variables"]);
}

#[tokio::test]
async fn each_channel_and_each_person_gets_their_own_words() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.put("/v1/templates/welcome", &welcome()).await.is(201);
    admin.person("ada").await;
    admin.put("/v1/users/bia", &json!({ "email": "bia@example.org", "locale": "pt-BR" })).await.is(201);
    let send = json!({ "template": "welcome", "variables": { "name": "Ada", "n": 2 } });
    let id = |sent: &Value| sent["notification_id"].as_str().unwrap().to_owned();
    let to_ada = id(&admin.notify(&with(send.clone(), json!({ "user_id": "ada" }))).await);
    let stored = admin.get(&format!("/v1/notifications/{to_ada}")).await.is(200);
    assert_eq!((&stored["title"], &stored["message"]), (&json!("Hello Ada"), &json!("You have 2 tasks.")));
    assert_eq!((&stored["type"], &stored["priority"]), (&json!("greeting"), &json!("high")));
    let ada = mail(&admin, &to_ada).await;
    assert_eq!(ada["title"], "Mail for Ada");
    assert!(ada["html"].as_str().unwrap().contains("<p>Dear Ada</p>"), "{ada}");
    assert!(ada["text"].as_str().unwrap().contains("Dear Ada!"), "{ada}");
    let to_both = admin.notify(&with(send, json!({ "to": ["ada", "bia"] }))).await;
    let results = to_both["results"].as_array().unwrap();
    let mut titles = Vec::new();
    for result in results {
        let mail = mail(&admin, &id(result)).await;
        let stored = admin.get(&format!("/v1/notifications/{}", id(result))).await.is(200);
        titles.push((stored["title"].clone(), mail["title"].clone()));
    }
    let wanted = [("Hello Ada", "Mail for Ada"), ("Oi Ada", "Correio: Ada")];
    assert_eq!(titles, wanted.map(|(title, subject)| (json!(title), json!(subject))));
}

#[tokio::test]
async fn a_new_version_holds_at_once_and_an_old_one_can_be_brought_back_over_a_restart() {
    let mut server = Server::start().await;
    let admin = server.admin();
    let version = |n: u32| with(welcome(), json!({ "title_template": format!("v{n} {{{{name}}}}") }));
    for n in 1..=3 {
        let stored = admin.put("/v1/templates/welcome", &version(n)).await;
        assert_eq!(stored.is(if n == 1 { 201 } else { 200 })["version"], n);
    }
    let title = |admin: Client| async move {
        let body = json!({ "variables": { "name": "x", "n": 1 } });
        admin.post("/v1/templates/welcome/render", &body).await.is(200)["title"].clone()
    };
    assert_eq!(title(admin.clone()).await, "v3 x");
    let back = admin.post("/v1/templates/welcome/rollback", &json!({ "version": 1 })).await.is(200);
    assert_eq!((&back["version"], &back["title_template"]), (&json!(1), &json!("v1 {{name}}")));
    server.restart().await;
    let admin = server.admin();
    assert_eq!(title(admin.clone()).await, "v1 x");
    assert_eq!(admin.put("/v1/templates/welcome", &version(4)).await.is(200)["version"], 4);
    let versions = admin.all("/v1/templates/welcome/versions").await;
    let listed: Vec<(u64, bool)> = versions
        .iter()
        .map(|one| (one["version"].as_u64().unwrap(), one["current"].as_bool().unwrap()))
        .collect();
    assert_eq!(listed, [(4, true), (3, false), (2, false), (1, false)]);
    admin.post("/v1/templates/welcome/rollback", &json!({ "version": 9 })).await.problem(404, "not_found");
    assert_eq!(admin.post("/v1/templates/welcome/rollback", &json!({})).await.fields(), ["version"]);
    admin.post("/v1/templates/nothing/rollback", &json!({ "version": 1 })).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_built_in_can_be_said_otherwise_and_comes_back() {
    let server = Server::start().await;
    let admin = server.admin();
    let mine = json!({ "type": "workflow_failed", "title_template": "Oh no: {{error}}", "message_template": "{{workflow_name}}" });
    admin.put("/v1/templates/workflow_failed", &mine).await.is(201);
    let event =
        json!({ "type": "workflow_failed", "workflow_id": "w", "user_id": "ada", "message": "disk full" });
    let title = |admin: Client, event: Value| async move {
        let sent = admin.post("/v1/workflow-events", &event).await.is(202);
        let path = format!("/v1/notifications/{}", sent["notification_id"].as_str().unwrap());
        admin.get(&path).await.is(200)["title"].clone()
    };
    assert_eq!(title(admin.clone(), event.clone()).await, "Oh no: disk full");
    admin.delete("/v1/templates/workflow_failed").await.is(204);
    assert_eq!(title(admin.clone(), event).await, "Workflow failed: w");
    admin.delete("/v1/templates/workflow_failed").await.problem(409, "conflict");
    admin.delete("/v1/templates/nothing").await.problem(404, "not_found");
}

#[tokio::test]
async fn only_an_admin_key_changes_templates() {
    let server = Server::start().await;
    let admin = server.admin();
    let reader = server.with(&admin.key(&["read", "publish"]).await);
    reader.put("/v1/templates/welcome", &welcome()).await.problem(403, "forbidden");
    reader.delete("/v1/templates/workflow_failed").await.problem(403, "forbidden");
    reader
        .post("/v1/templates/workflow_failed/rollback", &json!({ "version": 1 }))
        .await
        .problem(403, "forbidden");
    reader.get("/v1/templates/workflow_failed").await.is(200);
    assert_eq!(admin.put("/v1/templates/no%20name", &welcome()).await.fields(), ["name"]);
}
