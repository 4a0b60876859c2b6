//! `belfry endpoint`: outbound webhooks, made, tried out and caught up.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean};
use crate::client::Client;

const ADD_HELP: &str = "\
Examples:
  belfry endpoint add https://ops.example.org/belfry
  belfry endpoint add https://ops.example.org/belfry --event notification.failed
  belfry endpoint add https://ada.example.org/in --user ada

The secret goes to the standard output, and is shown this once: what is sent is
signed with it, by the Standard Webhooks specification.";

const RECOVER_HELP: &str = "\
Example:
  belfry endpoint recover 0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11 \\
    --since 2026-11-23T08:00:00Z";

/// What to do with endpoints.
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    /// Make an endpoint and show its secret, once
    Add(AddArgs),
    /// Send a test to an endpoint and show what it answers
    #[command(after_help = "Example:\n  belfry endpoint test 0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11")]
    Test {
        /// The endpoint's id
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// Send again what an endpoint never took
    Recover(RecoverArgs),
}

/// What endpoint to make.
#[derive(Args, Debug)]
#[command(after_help = ADD_HELP)]
pub struct AddArgs {
    /// Where it is
    #[arg(value_name = "URL")]
    pub url: String,
    /// What it is told of; may be repeated, or separated by commas [default: everything, or nothing with --user]
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',')]
    pub events: Vec<String>,
    /// The person that it belongs to: the webhook channel leads to it
    #[arg(long, value_name = "USER", value_parser = id)]
    pub user: Option<String>,
    /// What to say of it in lists
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// What to send again.
#[derive(Args, Debug)]
#[command(after_help = RECOVER_HELP)]
pub struct RecoverArgs {
    /// The endpoint's id
    #[arg(value_name = "ID", value_parser = id)]
    pub id: String,
    /// What happened since then, an instant in RFC 3339
    #[arg(long, value_name = "INSTANT")]
    pub since: String,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    secret: String,
}

#[derive(Deserialize)]
struct Tried {
    success: bool,
    status: Option<u16>,
    latency_ms: u64,
    response: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Recovered {
    requeued: u64,
}

/// Does it.
///
/// # Errors
/// When the server does not do it, or an endpoint does not take a test.
pub async fn run(command: EndpointCommand, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    match command {
        EndpointCommand::Add(args) => add(args, &client, options).await,
        EndpointCommand::Test { id } => test(&id, &client, options).await,
        EndpointCommand::Recover(args) => recover(args, &client, options).await,
    }
}

async fn add(args: AddArgs, client: &Client, options: &Options) -> Result<(), Failure> {
    let mut body = json!({ "url": args.url });
    if !args.events.is_empty() {
        body["events"] = json!(args.events);
    } else if args.user.is_none() {
        body["events"] = json!(["*"]);
    }
    for (name, value) in [("user_id", args.user), ("description", args.description)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    let answer = client.post(&["v1", "endpoints"], &body, Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    let made: Made = answer.read(client)?;
    screen::note(&format!("endpoint {} was made; this is its secret, shown this once:", clean(&made.id)));
    screen::say(&clean(&made.secret))
}

async fn test(id: &str, client: &Client, options: &Options) -> Result<(), Failure> {
    let answer = client.post(&["v1", "endpoints", id, "test"], &json!({}), Duration::ZERO).await?;
    let tried: Tried = answer.read(client)?;
    if options.json {
        screen::say(&screen::json_line(&answer.text))?;
    } else {
        let status =
            tried.status.map_or_else(|| "no answer".to_owned(), |status| format!("answered {status}"));
        screen::say(&format!("{status} after {} ms", tried.latency_ms))?;
        if !tried.response.is_empty() {
            screen::say(&clean(&tried.response))?;
        }
    }
    if tried.success {
        return Ok(());
    }
    Err(Failure::Failed(clean(&tried.error.unwrap_or_else(|| "it was not taken".to_owned()))))
}

async fn recover(args: RecoverArgs, client: &Client, options: &Options) -> Result<(), Failure> {
    let body = json!({ "since": args.since });
    let answer = client.post(&["v1", "endpoints", &args.id, "recover"], &body, Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    let recovered: Recovered = answer.read(client)?;
    screen::say(&format!("{} events are sent again", recovered.requeued))
}
