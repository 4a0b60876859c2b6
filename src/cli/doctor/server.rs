//! The running server, asked as anybody else would: whether it is ready, and how its channels are doing.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::super::options::{DEFAULT_SERVER, Options};
use super::data::Standing;
use super::finding::Finding;
use crate::client::{Client, ClientError};

/// How long the server may take over one question.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// The most bytes of an answer about readiness.
const READY_BYTES_MAX: usize = 64 * 1024;

/// What `/readyz` says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ready {
    status: String,
    reasons: Vec<String>,
    version: String,
}

/// One of `/v1/channels`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    channel: String,
    state: String,
    last_error: Option<String>,
}

/// Where to ask: what was named, else where the configuration listens.
pub fn address(options: &Options, listen: Option<SocketAddr>) -> String {
    match listen {
        Some(listen) if options.server == DEFAULT_SERVER && listen.port() != 0 => {
            let host = match listen.ip() {
                ip if !ip.is_unspecified() => SocketAddr::new(ip, listen.port()).to_string(),
                _ => format!("localhost:{}", listen.port()),
            };
            format!("http://{host}")
        }
        Some(_) | None => options.server.clone(),
    }
}

/// What a server says of itself, with what the store says of whether one should be there.
pub async fn ask(options: &Options, listen: Option<SocketAddr>, store: &Standing) -> Vec<Finding> {
    let options = Options { server: address(options, listen), ..options.clone() };
    let (client, has_key) = match (options.client(), options.token()) {
        (Ok(client), Ok(token)) => (client, token.is_some()),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Finding::fail("server", error.to_string(), "check --server and the key")];
        }
    };
    let ready = match timeout(ANSWER_WAIT, ready(&client)).await {
        Ok(Ok(ready)) => ready,
        Ok(Err(error)) => return vec![nobody(&error.to_string(), store)],
        Err(_) => {
            let why = format!("no answer from {} within {} s", client.server(), ANSWER_WAIT.as_secs());
            return vec![nobody(&why, store)];
        }
    };
    let mut findings = judge_ready(client.server(), ready);
    let key = timeout(ANSWER_WAIT, client.get(&["v1", "push", "vapid-public-key"], &[])).await;
    findings.push(judge_push_key(key.is_ok_and(|answer| answer.is_ok())));
    if !has_key {
        findings.push(Finding::ok("channels", "not asked for: BELFRY_KEY names no key"));
        return findings;
    }
    let channels = timeout(ANSWER_WAIT, client.get(&["v1", "channels"], &[])).await;
    findings.extend(match channels {
        Ok(answer) => judge_channels(answer.and_then(|answer| answer.read(&client))),
        Err(_) => vec![Finding::warn("channels", "no answer in time", "look at the server's log")],
    });
    findings
}

async fn ready(client: &Client) -> Result<Ready, ClientError> {
    let mut response = client.knock(&["readyz"], &[]).await?;
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        if body.len() + piece.len() > READY_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body)
        .map_err(|_| client.unreadable("/readyz says nothing that is known".to_owned()))
}

fn nobody(why: &str, store: &Standing) -> Finding {
    match store {
        Standing::Held => Finding::fail(
            "server",
            format!("the store is open in a server, and it does not answer: {why}"),
            "name its address by --server; if it hangs, systemctl restart belfry",
        ),
        _ => Finding::warn(
            "server",
            format!("none is running: {why}"),
            "systemctl start belfry, or `belfry serve`",
        ),
    }
}

fn judge_ready(server: &str, ready: Ready) -> Vec<Finding> {
    let mut findings = vec![match ready.status.as_str() {
        "ready" => Finding::ok("server", format!("{server} is ready, version {}", ready.version)),
        "degraded" => Finding::warn(
            "server",
            format!("{server} takes notifications, but {}", ready.reasons.join("; ")),
            "they are kept; mend what the reasons name",
        ),
        _ => Finding::fail(
            "server",
            format!("{server} takes no notifications: {}", ready.reasons.join("; ")),
            "mend what the reasons name; the server's log says more",
        ),
    }];
    let ours = env!("CARGO_PKG_VERSION");
    if ready.version != ours {
        let seen = format!("it runs version {}, and this program is {ours}", ready.version);
        findings.push(Finding::warn("version", seen, "restart the server after an upgrade"));
    }
    findings
}

fn judge_push_key(is_there: bool) -> Finding {
    if is_there {
        return Finding::ok("push key", "browsers can subscribe");
    }
    let next = "look at the server's log; channels.browser_push.vapid_private_key may be none";
    Finding::warn("push key", "the server gives browsers no key to subscribe with", next)
}

fn judge_channels(answer: Result<Value, ClientError>) -> Vec<Finding> {
    let listed = match answer {
        Ok(listed) => listed,
        Err(error) => {
            return vec![Finding::warn("channels", error.to_string(), "a key with the scope read may ask")];
        }
    };
    let channels: Vec<Health> = serde_json::from_value(listed["data"].clone()).unwrap_or_default();
    channels.into_iter().map(judge_channel).collect()
}

fn judge_channel(health: Health) -> Finding {
    let Health { channel, state, last_error } = health;
    let last = last_error.map_or_else(String::new, |error| format!(": {error}"));
    let test = format!("belfry explain on one of its notifications, or POST /v1/channels/{channel}/test");
    match state.as_str() {
        "ok" => Finding::ok("channel", channel),
        "disabled" => Finding::ok("channel", format!("{channel} is off")),
        "open" => Finding::fail("channel", format!("{channel}: its provider is left alone{last}"), test),
        _ => Finding::warn("channel", format!("{channel}: {state}{last}"), test),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::super::super::Cli;
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_server_is_asked_where_it_was_named_to_be_or_else_where_it_listens() {
        let options = |line: &str| Cli::try_parse_from(line.split(' ')).expect("it is sound").options;
        let unnamed = options("belfry doctor --server http://127.0.0.1:8470");
        let at = |text: &str| address(&unnamed, text.parse().ok());
        assert_eq!(at("0.0.0.0:9000"), "http://localhost:9000");
        assert_eq!(at("[::1]:9000"), "http://[::1]:9000");
        assert_eq!(at("127.0.0.1:0"), DEFAULT_SERVER);
        let named = options("belfry doctor --server https://n.example.org");
        assert_eq!(address(&named, "127.0.0.1:9000".parse().ok()), "https://n.example.org");
    }

    #[test]
    fn a_server_that_should_answer_and_does_not_is_a_failure() {
        assert_eq!(nobody("refused", &Standing::Held).level, Level::Fail);
        assert_eq!(nobody("refused", &Standing::Opens).level, Level::Warn);
    }

    #[test]
    fn a_server_is_judged_by_its_own_words() {
        let level = |status: &str| {
            let ready = json!({ "status": status, "reasons": ["x"], "version": env!("CARGO_PKG_VERSION") });
            judge_ready("s", serde_json::from_value(ready).expect("it is one"))[0].level
        };
        assert_eq!(
            (level("ready"), level("degraded"), level("not_ready")),
            (Level::Ok, Level::Warn, Level::Fail)
        );
        let channels = json!({ "data": [{ "channel": "email", "state": "open", "last_error": "refused" },
            { "channel": "sms", "state": "disabled", "last_error": null }, { "channel": "webhook", "state": "degraded" }] });
        let levels: Vec<Level> = judge_channels(Ok(channels)).iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Fail, Level::Ok, Level::Warn]);
    }
}
