//! `belfry doctor`: what is wrong is found, with and without a running server, and no secret is shown.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::server::{ADMIN_KEY, JWT_SECRET, binary};
use crate::support::{MailServer, Server};

/// What the doctor says of a server's configuration, and the exit code.
fn examine(server: &Server, more: &[(&str, &str)]) -> (Value, i32) {
    let mut command = Command::new(binary());
    command.args(["doctor", "--json"]).env_clear().env("BELFRY_KEY", ADMIN_KEY).stdin(Stdio::null());
    command.env("BELFRY_STORAGE__PATH", server.data()).env("BELFRY_AUTH__JWT_SECRET", JWT_SECRET);
    command.env("BELFRY_CHANNELS__EMAIL__PASSWORD", "a-password-nobody-sees");
    command.env("BELFRY_CHANNELS__EMAIL__USERNAME", "belfry");
    if !server.url().is_empty() {
        command.env("BELFRY_URL", server.url());
    }
    command.envs(more.iter().map(|(name, value)| (format!("BELFRY_{name}"), (*value).to_owned())));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for secret in ["a-password-nobody-sees", JWT_SECRET, ADMIN_KEY] {
        assert!(!said.contains(secret), "{secret}");
    }
    let said = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    (said, output.status.code().unwrap())
}

/// The levels of a check, worst last.
fn levels(said: &Value, check: &str) -> Vec<String> {
    let all = said["checks"].as_array().unwrap().iter().filter(|one| one["check"] == check);
    let mut levels: Vec<String> = all.map(|one| one["status"].as_str().unwrap().to_owned()).collect();
    levels.sort_by_key(|level| ["ok", "warn", "fail"].iter().position(|known| known == level));
    levels
}

#[tokio::test]
async fn a_running_server_is_found_well_and_asked_how_its_channels_do() {
    let server = Server::start().await;
    let (said, code) = examine(&server, &[]);
    assert_eq!((code, &said["ok"]), (0, &Value::Bool(true)), "{said:#}");
    for check in ["configuration", "data directory", "store", "server"] {
        assert_eq!(levels(&said, check), ["ok"], "{check}: {said:#}");
    }
    let store = said["checks"].as_array().unwrap().iter().find(|one| one["check"] == "store").unwrap();
    assert!(store["detail"].as_str().unwrap().contains("running server"), "{store}");
    assert_eq!(levels(&said, "channel").len(), 5, "{said:#}");
}

#[tokio::test]
async fn without_a_server_the_store_is_opened_and_a_damaged_one_is_told() {
    let mut server = Server::start().await;
    server.kill();
    let (said, code) = examine(&server, &[]);
    assert_eq!(
        (code, levels(&said, "store"), levels(&said, "server")),
        (0, vec!["ok".into()], vec!["warn".into()])
    );
    std::fs::write(server.data().join("store.id"), "0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11 7\n").unwrap();
    let (said, code) = examine(&server, &[]);
    assert_eq!((code, levels(&said, "store")), (1, vec!["fail".to_owned()]), "{said:#}");
}

#[tokio::test]
async fn a_configuration_that_is_wrong_names_each_fault() {
    let server = Server::start().await;
    let (said, code) = examine(&server, &[("LOG__LEVEL", "loud"), ("SERVER__LISTEN", "nowhere")]);
    assert_eq!(
        (code, levels(&said, "configuration")),
        (1, vec!["fail".to_owned(), "fail".to_owned()]),
        "{said:#}"
    );
    assert_eq!(levels(&said, "server"), ["ok"], "the others are looked at all the same");
}

#[tokio::test]
async fn the_mail_server_is_greeted_and_one_that_is_not_there_is_a_failure() {
    let (server, mail) = (Server::start().await, MailServer::start());
    let port = mail.port();
    let settings = |port| {
        [
            ("CHANNELS__EMAIL__HOST", "127.0.0.1"),
            ("CHANNELS__EMAIL__PORT", port),
            ("CHANNELS__EMAIL__TLS", "none"),
        ]
    };
    let (said, code) = examine(&server, &settings(&port));
    assert_eq!((code, levels(&said, "mail")), (0, vec!["ok".to_owned()]), "{said:#}");
    let (said, code) = examine(&server, &settings("1"));
    assert_eq!((code, levels(&said, "mail")), (1, vec!["fail".to_owned()]), "{said:#}");
    assert_eq!(said["failed"], 1);
}

#[tokio::test]
async fn a_gateway_for_texts_that_cannot_be_reached_is_a_failure() {
    let server = Server::start().await;
    let (said, code) = examine(
        &server,
        &[
            ("CHANNELS__SMS__PROVIDER", "http"),
            ("CHANNELS__SMS__HTTP__URL", "http://127.0.0.1:1/?to={{to}}&key=k-1"),
        ],
    );
    assert_eq!((code, levels(&said, "texts")), (1, vec!["fail".to_owned()]), "{said:#}");
    assert!(!said.to_string().contains("k-1"), "a key in a URL is not shown");
}
