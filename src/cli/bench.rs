//! `belfry bench`: what a running server holds on its machine, measured from outside.
//!
//! It makes users and a topic of its own, measures, and erases them again, also where it is broken off.

mod figures;
mod phases;

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use self::figures::Report;
use super::failure::Failure;
use super::options::Options;
use super::progress;
use super::screen;
use crate::client::{Client, ClientError};

/// Requests under way at once, while the bench makes and erases what it needs.
const REQUESTS_AT_ONCE: usize = 16;

const EXAMPLES: &str = "\
Examples:
  belfry bench
  belfry bench --connections 5000 --url https://belfry.example.org
  belfry bench --json > today.json

It needs a key with the scope admin (BELFRY_KEY). It makes users named
bench-… and a topic of that name, and erases them at the end; nobody else is
sent anything. The server must allow that many connections
(websocket.max_connections, server.max_connections_per_ip), and this shell
that many open files (ulimit -n).";

/// How much.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// Live connections to open
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: u32,
    /// Messages to each connection
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub messages: u32,
    /// Notifications to publish one by one
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub notifications: u32,
    /// Publishers at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub publishers: u32,
}

/// What one run works with.
struct Run {
    client: Client,
    args: BenchArgs,
    /// The name of the topic, and how the users' names begin.
    name: String,
}

impl Run {
    fn user(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }
}

/// Measures and prints.
///
/// # Errors
/// When the server does not let itself be asked, or what was made could not be erased.
pub async fn run(args: BenchArgs, options: &Options) -> Result<(), Failure> {
    let run = Run { client: options.client()?, args, name: format!("bench-{}", random_word()) };
    // Where not even this is allowed, there is nothing to erase.
    run.client.put(&["v1", "topics", &run.name], &json!({})).await?;
    let measured = tokio::select! {
        measured = phases::measure(&run) => measured,
        pressed = tokio::signal::ctrl_c() => {
            let why = pressed.map_or_else(|error| error.to_string(), |()| "it was broken off".to_owned());
            Err(Failure::Failed(why))
        }
    };
    let erased = erase(&run).await;
    let report = measured?;
    erased?;
    show(&report, options.json)
}

fn show(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        return screen::say(&report.to_json().to_string());
    }
    screen::say(&screen::table(&report.rows()))
}

/// Erases the users and the topic. What is not there was never made.
async fn erase(run: &Run) -> Result<(), Failure> {
    let bar = progress::bar("erasing what was made", u64::from(run.args.connections));
    let gone = |outcome: Result<_, ClientError>| match outcome {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(()),
        Err(error) => Err(Failure::from(error)),
    };
    let mut failed = gone(run.client.delete(&["v1", "topics", &run.name]).await).err();
    let mut erasing = futures_util::stream::iter(0..run.args.connections)
        .map(|number| async move { run.client.delete(&["v1", "users", &run.user(number)]).await })
        .buffer_unordered(REQUESTS_AT_ONCE);
    while let Some(outcome) = erasing.next().await {
        bar.inc(1);
        let lost = matches!(outcome, Err(ClientError::Unreachable { .. }));
        failed = failed.or(gone(outcome).err());
        // Asking all the others would only take long.
        if lost {
            break;
        }
    }
    bar.finish_and_clear();
    failed.map_or(Ok(()), |why| {
        screen::note(&format!("belfry: users named {}-… may be left", run.name));
        Err(why)
    })
}

/// A word that no other run has.
fn random_word() -> String {
    let mut bytes = [0_u8; 5];
    // Without randomness the name is the same as another run's without it: it is erased all the same.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The body of a notification to one of the bench's users, which touches nothing but the inbox.
fn notification(user: &str, id: &str) -> serde_json::Value {
    json!({
        "id": id, "user_id": user, "type": "custom", "title": "Bench", "message": "A message of the usual length.",
        "channels": ["in_app"], "priority": "low",
    })
}

/// How long what was sent may take to arrive.
const ARRIVAL_WAIT: Duration = Duration::from_secs(30);
