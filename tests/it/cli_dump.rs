//! `belfry export` and `import`: what one server means, another one means afterwards.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::server::{ADMIN_KEY, binary};

const CIDRS: (&str, &str) = ("OUTBOUND__ALLOW_CIDRS", "[\"127.0.0.0/8\"]");

fn run(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().env("BELFRY_KEY", ADMIN_KEY).env("BELFRY_URL", server.url());
    command.stdin(Stdio::null()).output().unwrap()
}

/// The lines of an export but the first, in an order of their own: lists are newest first.
fn exported(server: &Server) -> Vec<String> {
    let output = run(server, &["export"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let header: Value = serde_json::from_str(&lines.remove(0)).unwrap();
    assert_eq!((&header["kind"], &header["data"]["format"]), (&json!("belfry"), &json!(1)));
    lines.sort();
    lines
}

fn report(output: &Output, code: i32) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

async fn furnish(server: &Server) {
    let admin = server.admin();
    let night = json!({ "start": "21:00", "end": "07:00" });
    let category = json!({ "description": "Builds", "channels": { "email": false }, "quiet_hours": night });
    admin.put("/v1/categories/builds", &category).await.is(201);
    for version in 1..3 {
        let template = json!({
            "type": "shipped", "title_template": format!("Order {{{{number}}}} v{version}"), "message_template": "On its way",
            "variables": ["number"], "priority": "high", "category": "system",
            "channels": { "sms": { "text": "{{number}}" } }, "locales": { "de": { "title_template": "Bestellung {{number}}" } },
        });
        let wanted = if version == 1 { 201 } else { 200 };
        admin.put("/v1/templates/shipped", &template).await.is(wanted);
    }
    for number in 0..450 {
        let user = json!({ "email": format!("u{number}@example.org"), "attributes": { "n": number } });
        admin.put(&format!("/v1/users/u{number:03}"), &user).await.is(201);
    }
    let wishes = json!({ "channels": { "sms": true }, "categories": { "marketing": { "email": true } },
        "quiet_hours": { "enabled": true, "timezone": "Asia/Tokyo" }, "digest": { "builds": { "mode": "hourly" } } });
    admin.patch("/v1/users/u007/preferences", &wishes).await.is(200);
    admin.put("/v1/topics/ops", &json!({ "description": "On call" })).await.is(201);
    let members: Vec<String> = (0..300).map(|number| format!("u{number:03}")).collect();
    admin.put("/v1/topics/ops/members", &json!({ "user_ids": members })).await.is(200);
    let gone = json!({ "channel": "email", "address": "gone@example.org", "reason": "550 no such user" });
    admin.post("/v1/suppressions", &gone).await.is(201);
    let nightly = json!({ "name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Berlin",
        "notification": { "topic": "ops", "type": "t", "title": "T", "message": "M" } });
    admin.post("/v1/schedules", &nightly).await.is(201);
    let hook = json!({ "name": "ci", "preset": "github", "topic": "ops", "mapping": { "title": "{{action}}", "action": { "label": "See", "url": "https://example.org/{{number}}" } } });
    admin.post("/v1/hooks", &hook).await.is(201);
    admin.post("/v1/endpoints", &json!({ "url": "http://127.0.0.1:9/all", "events": ["*"] })).await.is(201);
    let own = json!({ "url": "http://127.0.0.1:9/own", "user_id": "u001", "description": "mine" });
    let made = admin.post("/v1/endpoints", &own).await.is(201);
    let id = made["id"].as_str().unwrap();
    admin.patch(&format!("/v1/endpoints/{id}"), &json!({ "disabled": true })).await.is(200);
}

#[tokio::test]
async fn what_is_exported_from_one_server_and_imported_into_another_is_exported_from_it_alike() {
    let (from, to) = (Server::start_with(&[CIDRS]).await, Server::start_with(&[CIDRS]).await);
    furnish(&from).await;
    let before = exported(&from);
    assert!(before.len() > 460, "{}", before.len());
    for secret in ["whsec_", "bh_", "secret", "token"] {
        assert!(!before.iter().any(|line| line.contains(secret)), "{secret}");
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("dump.ndjson");
    let path = file.to_str().unwrap();
    let written = report(&run(&from, &["export", "--json", "--to", path]), 0);
    assert_eq!(written["lines"], before.len() + 1);

    let tried = report(&run(&to, &["import", "--json", "--dry-run", path]), 0);
    assert_eq!(tried["done"]["user"], 450);
    assert!(to.admin().all("/v1/users").await.is_empty(), "a dry run sends nothing");
    let put = report(&run(&to, &["import", "--json", path]), 0);
    assert_eq!(
        (&put["failed"], &put["done"]["user"], &put["done"]["hook"]),
        (&json!(0), &json!(450), &json!(1))
    );
    let made = put["made"].as_array().unwrap();
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(made[0]["token"].as_str().unwrap().starts_with("bh_") && made[0]["secret"].is_string());
    assert_eq!(exported(&to), before);

    let again = report(&run(&to, &["import", "--json", path]), 0);
    assert_eq!((&again["already"]["schedule"], &again["already"]["endpoint"]), (&json!(1), &json!(2)));
    assert_eq!(again["made"], json!([]));
    assert_eq!(exported(&to), before, "asked again it changes nothing");
    let template = to.admin().get("/v1/templates/shipped").await.is(200);
    assert_eq!(template["version"], 1, "{template}");
}

fn imported(server: &Server, file: &Path, text: &str, code: i32) -> Value {
    fs::write(file, text).unwrap();
    report(&run(server, &["import", "--json", file.to_str().unwrap()]), code)
}

#[tokio::test]
async fn lines_that_fail_are_named_and_the_others_are_put_in() {
    let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
    let file = home.path().join("users.ndjson");
    let text = concat!(
        "\u{feff}{\"id\":\"ada\",\"email\":\"ada@example.org\"}\r\n",
        "{\"id\":\"bob\",\"email\":\"not an address\"}\n",
        "\n",
        "{\"id\":\"ada\",\"email\":\"later@example.org\"}\n",
        "{\"kind\":\"pigeon\",\"data\":{}}\n",
        "{\"kind\":\"preferences\",\"data\":{\"user_id\":\"ada\",\"channels\":{\"sms\":true}}}",
    );
    let said = imported(&server, &file, text, 1);
    let lines: Vec<u64> =
        said["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!((lines, &said["failed"]), (vec![2, 5], &json!(2)));
    assert!(said["errors"][0]["detail"].as_str().unwrap().contains("email"), "{said}");
    let ada = server.admin().get("/v1/users/ada").await.is(200);
    assert_eq!(ada["email"], "later@example.org", "the last line for somebody holds");
    assert_eq!(server.admin().get("/v1/users/ada/preferences").await.is(200)["channels"]["sms"], true);
}

#[tokio::test]
async fn a_dump_of_a_newer_format_or_for_a_server_that_is_not_there_is_not_begun() {
    let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
    let file = home.path().join("dump.ndjson");
    let newer = "{\"kind\":\"belfry\",\"data\":{\"format\":2}}\n{\"id\":\"ada\"}\n";
    imported(&server, &file, newer, 1);
    server.admin().get("/v1/users/ada").await.is(404);
    fs::write(&file, "{\"id\":\"ada\"}\n").unwrap();
    let path = file.to_str().unwrap();
    let nobody = run(&server, &["import", path, "--server", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(69));
    let reader = server.admin().key(&["read"]).await;
    let key = home.path().join("key");
    fs::write(&key, reader).unwrap();
    assert_eq!(run(&server, &["import", path, "--key-file", key.to_str().unwrap()]).status.code(), Some(4));
}
