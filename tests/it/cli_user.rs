//! `belfry user`, `completions` and `man`: who there is, forgetting them, and what a shell and a reader are told.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::Server;
use crate::support::server::{ADMIN_KEY, binary};

fn run(server: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().env("BELFRY_KEY", ADMIN_KEY).env("BELFRY_URL", server);
    command.stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[tokio::test]
async fn people_are_listed_and_erased_from_the_command_line() {
    let server = Server::start().await;
    for user in ["ada", "bob"] {
        server.admin().person(user).await;
    }
    let listed = String::from_utf8(run(server.url(), &["user", "list"]).stdout).unwrap();
    assert!(listed.lines().nth(2).unwrap().starts_with("bob  bob@example.org"), "{listed}");
    let listed: Value =
        serde_json::from_slice(&run(server.url(), &["user", "list", "--json", "--limit", "1"]).stdout)
            .unwrap();
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["id"]), (1, &"ada".into()));

    let unasked = run(server.url(), &["user", "erase", "ada"]);
    assert_eq!(code(&unasked), Some(2), "nobody is there to be asked");
    server.admin().get("/v1/users/ada").await.is(200);
    let erased = run(server.url(), &["user", "erase", "ada", "--yes", "--json"]);
    assert_eq!(code(&erased), Some(0));
    assert_eq!(serde_json::from_slice::<Value>(&erased.stdout).unwrap()["erased"], true);
    server.admin().get("/v1/users/ada").await.is(404);
    assert_eq!(code(&run(server.url(), &["user", "erase", "ada", "--yes"])), Some(3));
    assert_eq!(code(&run("http://127.0.0.1:1", &["user", "list"])), Some(69));
    let mistaken = run(server.url(), &["user", "lose", "--json"]);
    let said: Value = serde_json::from_slice(&mistaken.stderr).expect("a mistake is told in JSON too");
    assert_eq!((code(&mistaken), &said["code"]), (Some(2), &"usage".into()));
    let reader = server.admin().key(&["publish"]).await;
    assert_eq!(code(&run(server.url(), &["user", "list", "--key-file", "/dev/null"])), Some(2));
    let mut forbidden = Command::new(binary());
    forbidden.args(["user", "list"]).env_clear().env("BELFRY_KEY", reader).env("BELFRY_URL", server.url());
    assert_eq!(code(&forbidden.output().unwrap()), Some(4));
}

#[test]
fn the_manual_has_a_page_for_every_subcommand_and_shells_complete_them() {
    let dir = tempfile::tempdir().unwrap();
    let written = run("", &["man", "--json", "--dir", dir.path().to_str().unwrap()]);
    let written: Value = serde_json::from_slice(&written.stdout).unwrap();
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(written["files"].as_array().unwrap().len() > 30, "{written}");
    assert!(page("belfry-user-erase.1").contains("belfry user erase ada"));
    let printed = run("", &["man", "user", "erase"]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), page("belfry-user-erase.1"));
    assert_eq!(code(&run("", &["man", "nothing"])), Some(3));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run("", &["completions", shell]);
        assert!(String::from_utf8(script.stdout).unwrap().contains("rollback"), "{shell}");
    }
}
