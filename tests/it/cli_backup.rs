//! `belfry backup`, `restore` and `verify`: a copy made while notifications come in holds all that was acknowledged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::client::{hello, ids, with};
use crate::support::server::{ADMIN_KEY, binary};
use crate::support::{Server, Socket, until};

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).env_clear().env("BELFRY_KEY", ADMIN_KEY).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn said(output: &Output, code: i32) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    let line = if out.trim().is_empty() { err } else { out };
    serde_json::from_str(line.trim()).unwrap_or_else(|error| panic!("{error}: {line}"))
}

async fn back_up(server: &Server, to: PathBuf) -> PathBuf {
    let mut command = tokio::process::Command::new(binary());
    command.args(["backup", "--json", "--server", server.url(), "--to", text(&to)]);
    let output = command.env_clear().env("BELFRY_KEY", ADMIN_KEY).output().await.unwrap();
    PathBuf::from(said(&output, 0)["file"].as_str().unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_began_is_in_the_store_restored_from_it() {
    let mut server = Server::start().await;
    let (admin, home) = (server.admin(), tempfile::tempdir().unwrap());
    admin.person("ada").await;
    admin.post("/v1/endpoints", &json!({ "url": "https://example.org/hook" })).await;
    for number in 0..200 {
        admin.notify(&with(hello("ada"), json!({ "id": format!("before-{number}") }))).await;
    }
    let done = AtomicBool::new(false);
    let publish = async {
        let mut number = 0;
        while !done.load(Ordering::Relaxed) {
            admin.notify(&with(hello("ada"), json!({ "id": format!("meanwhile-{number}") }))).await;
            number += 1;
        }
        number
    };
    let copy = async {
        let file = back_up(&server, home.path().join("copies")).await;
        done.store(true, Ordering::Relaxed);
        file
    };
    let (_, file) = tokio::join!(publish, copy);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    server.kill();
    // The files are kept aside, and the same data directory gets what the backup holds.
    let output = run(&["restore", text(&file), "--data", text(&server.data())]);
    assert_eq!(output.status.code(), Some(1), "a store is not overwritten");
    let restored =
        said(&run(&["restore", text(&file), "--data", text(&server.data()), "--force", "--json"]), 0);
    assert!(Path::new(restored["moved_aside"].as_str().unwrap()).join("store").exists(), "{restored}");
    let found = said(&run(&["verify", "--data", text(&server.data()), "--json"]), 0);
    assert_eq!((&found["damaged"], &found["unknown"]), (&json!(0), &json!(0)), "{found}");
    server.start_again().await;
    let admin = server.admin();
    let there = ids(&admin.all("/v1/users/ada/inbox").await);
    for number in 0..200 {
        assert!(there.contains(&format!("before-{number}")), "{number} is missing");
    }
    // The restored store goes on where it was.
    admin.notify(&with(hello("ada"), json!({ "id": "after" }))).await;
    until("the new one in the inbox", || async {
        ids(&admin.all("/v1/users/ada/inbox").await).contains(&"after".to_owned()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_saw_more_than_a_restored_backup_holds_is_told_to_begin_anew() {
    let mut server = Server::start().await;
    let (admin, home) = (server.admin(), tempfile::tempdir().unwrap());
    admin.notify(&with(hello("ada"), json!({ "id": "in-the-backup" }))).await;
    let file = back_up(&server, home.path().join("copies")).await;
    for number in 0..3 {
        admin.notify(&with(hello("ada"), json!({ "id": format!("after-{number}") }))).await;
    }
    let token = admin.mint("ada", &json!({})).await;
    let (socket, before) = Socket::join(server.url(), &token, "").await;
    drop(socket);
    server.kill();
    said(&run(&["restore", text(&file), "--data", text(&server.data()), "--force", "--json"]), 0);
    server.start_again().await;
    server.admin().notify(&hello("ada")).await;
    let resume = format!("?epoch={}&offset={}", before["epoch"].as_str().unwrap(), before["offset"]);
    let (_socket, after) = Socket::join(server.url(), &token, &resume).await;
    assert_eq!(after["recovered"], false, "{after}");
    assert_ne!(after["epoch"], before["epoch"]);
}

#[tokio::test]
async fn a_backup_needs_an_admin_key_and_a_running_server() {
    let server = Server::start().await;
    let reader = server.admin().key(&["read"]).await;
    server.with(&reader).post("/v1/backups", &json!({})).await.problem(403, "forbidden");
    let nobody = run(&["backup", "--json", "--server", "http://127.0.0.1:1", "--to", "/tmp"]);
    assert_eq!(said(&nobody, 69)["code"], "unavailable");
}

#[tokio::test]
async fn a_store_in_use_or_that_is_not_there_is_not_read() {
    let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
    let in_use = run(&["verify", "--json", "--data", text(&server.data())]);
    assert!(said(&in_use, 1)["detail"].as_str().unwrap().contains("another process is using it"));
    let nowhere = run(&["verify", "--json", "--data", text(&home.path().join("none"))]);
    assert_eq!(said(&nowhere, 3)["code"], "not_found");
    assert!(!home.path().join("none").exists());
}

#[tokio::test]
async fn a_file_that_is_no_backup_is_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let (file, data) = (home.path().join("file"), home.path().join("data"));
    fs::write(&file, "BELFRYBK and then nothing of use at all, for some length").unwrap();
    let refused = run(&["restore", "--json", text(&file), "--data", text(&data)]);
    assert!(said(&refused, 1)["detail"].as_str().unwrap().contains("not a backup that can be used"));
    assert!(!data.exists());
}

#[tokio::test]
async fn a_copy_is_not_kept_for_its_idempotency_key() {
    let server = Server::start().await;
    let admin = server.admin();
    for _ in 0..2 {
        let request = admin.request(http::Method::POST, "/v1/backups").header("idempotency-key", "nightly");
        let copy = request.send().await.unwrap();
        assert_eq!(copy.status(), 200);
        assert_eq!(copy.headers()["content-type"], "application/octet-stream");
        assert!(!copy.headers().contains_key("idempotency-replayed"));
        assert!(copy.bytes().await.unwrap().starts_with(b"BELFRYBK"));
    }
}
