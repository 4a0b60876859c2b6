//! `belfry send`: one notification to one person, and what became of it on each channel.

use std::io::Read;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean};
use crate::model::channel::Channel;

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How much of the message makes the title where none was given.
const TITLE_CHARS: usize = 60;

const EXAMPLES: &str = "\
Examples:
  belfry send ada \"The nightly build failed\"
  belfry send ada \"Disk almost full\" --priority critical --category system
  belfry send ada \"Standup\" --channel email --at 2026-12-01T09:00:00+01:00
  journalctl -u backup -n 20 | belfry send ada - --title \"Backup log\"
  belfry send ada \"Hello\" --wait 10    until every channel has settled, or 10 s

It needs a key with the scope publish (BELFRY_KEY). It ends with 1 where no
channel took the notification.";

/// What to send to whom.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SendArgs {
    /// The person's id
    #[arg(value_name = "USER", value_parser = id)]
    pub user: String,
    /// The message; - reads it from the standard input (at most 64 KiB)
    #[arg(value_name = "MESSAGE")]
    pub message: String,
    /// The title [default: the first 60 characters of the message]
    #[arg(long, short = 't')]
    pub title: Option<String>,
    /// What kind of notification it is, in snake_case
    #[arg(long = "type", value_name = "TYPE", default_value = "message")]
    pub kind: String,
    /// How urgent it is; critical goes through quiet hours
    #[arg(long, short = 'p', value_enum, default_value = "medium")]
    pub priority: Priority,
    /// What it is about, for the person's preferences, in snake_case
    #[arg(long, short = 'c', default_value = "system")]
    pub category: String,
    /// A channel to consider instead of all; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL", value_parser = channel())]
    pub channels: Vec<Channel>,
    /// Send at this instant instead of now (RFC 3339, with its offset from UTC)
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// An id of your own: the same notification with the same id is sent once
    #[arg(long, value_name = "ID", value_parser = id)]
    pub id: Option<String>,
    /// Wait so long for the outcome, in seconds from 1 to 30
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=30))]
    pub wait: Option<u64>,
}

/// How urgent a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Priority {
    /// Can wait.
    Low,
    /// The usual.
    Medium,
    /// Soon.
    High,
    /// At once, quiet hours or not.
    Critical,
}

impl Priority {
    /// The name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Medium => "medium",
            Priority::High => "high",
            Priority::Critical => "critical",
        }
    }
}

/// Reads the name of a channel.
pub(super) fn channel() -> impl TypedValueParser<Value = Channel> {
    PossibleValuesParser::new(Channel::ALL.map(Channel::name))
        .map(|name| Channel::from_name(&name).expect("the parser lets only names of channels through"))
}

/// What the server made of a notification.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Outcome {
    success: bool,
    notification_id: String,
    channels_sent: Vec<String>,
    channels_failed: Vec<String>,
    channels_pending: Vec<String>,
    channels_deferred: Vec<Deferred>,
    channels_skipped: Vec<Skipped>,
    quiet_hours_overridden: bool,
    errors: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Deferred {
    channel: String,
    until: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Skipped {
    channel: String,
    reason: Option<String>,
}

/// Sends it and says what became of it.
///
/// # Errors
/// When it was not accepted, or no channel took it.
pub async fn run(args: SendArgs, options: &Options) -> Result<(), Failure> {
    let message = message(&args.message, &mut std::io::stdin().lock())?;
    let client = options.client()?;
    let wait = Duration::from_secs(args.wait.unwrap_or(0));
    let answer = client.post(&["v1", "notifications"], &body(&args, &message), wait).await?;
    let outcome: Outcome = answer.read(&client)?;
    screen::say(&if options.json { screen::json_line(&answer.text) } else { describe(&outcome) })?;
    if outcome.success {
        return Ok(());
    }
    Err(Failure::Failed(format!("no channel took the notification {}", clean(&outcome.notification_id))))
}

fn message(argument: &str, input: &mut impl Read) -> Result<String, Failure> {
    let mut text = argument.to_owned();
    if argument == "-" {
        text.clear();
        // One byte more than allowed tells a message that fits from one that was cut.
        let bytes_max = u64::try_from(MESSAGE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        input
            .take(bytes_max)
            .read_to_string(&mut text)
            .map_err(|error| Failure::Usage(format!("failed to read the message: {error}")))?;
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
    }
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(Failure::Usage(format!("a message has at most {MESSAGE_BYTES_MAX} bytes")));
    }
    if text.trim().is_empty() {
        return Err(Failure::Usage("the message is empty".to_owned()));
    }
    Ok(text)
}

fn body(args: &SendArgs, message: &str) -> Value {
    let title = args.title.clone().unwrap_or_else(|| title_of(message));
    let mut body = json!({
        "user_id": args.user,
        "type": args.kind,
        "title": title,
        "message": message,
        "priority": args.priority.name(),
        "category": args.category,
    });
    if let Some(id) = &args.id {
        body["id"] = json!(id);
    }
    if let Some(at) = args.at {
        body["send_at"] = json!(at.to_string());
    }
    if !args.channels.is_empty() {
        body["channels"] = json!(args.channels);
    }
    body
}

/// The first 60 characters, on one line: a title is a mail's subject as well.
fn title_of(message: &str) -> String {
    clean(message).trim().chars().take(TITLE_CHARS).collect::<String>().trim_end().to_owned()
}

/// The outcome in plain words, a line for each channel.
pub fn describe(outcome: &Outcome) -> String {
    let mut lines = vec![format!("notification {}", clean(&outcome.notification_id))];
    for channel in &outcome.channels_sent {
        // The inbox is the whole of that channel: there is no way left to go.
        let status = if channel == Channel::InApp.name() { "delivered" } else { "sent" };
        lines.push(format!("{} {status}", clean(channel)));
    }
    lines.extend(outcome.channels_pending.iter().map(|channel| format!("{} pending", clean(channel))));
    for Deferred { channel, until } in &outcome.channels_deferred {
        let until = until.as_deref().map(|until| format!(" until {}", clean(until))).unwrap_or_default();
        lines.push(format!("{} deferred{until}", clean(channel)));
    }
    for Skipped { channel, reason } in &outcome.channels_skipped {
        let reason = reason.as_deref().map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
        lines.push(format!("{} skipped{reason}", clean(channel)));
    }
    lines.extend(outcome.channels_failed.iter().map(|channel| format!("{} failed", clean(channel))));
    if outcome.quiet_hours_overridden {
        lines.push("quiet hours were overridden".to_owned());
    }
    for error in &outcome.errors {
        let said = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        lines.push(format!("error: {}", clean(&said)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_gets_a_line_in_plain_words() {
        let outcome: Outcome = serde_json::from_value(json!({
            "success": true,
            "notification_id": "n1",
            "channels_sent": ["in_app", "webhook"],
            "channels_pending": ["email"],
            "channels_deferred": [{"channel": "browser_push", "until": "2026-11-24T07:00:00Z"}],
            "channels_skipped": [{"channel": "sms", "reason": "preference_channel_off"}],
            "quiet_hours_overridden": false,
            "errors": ["x\u{1b}[31m"],
        }))
        .unwrap();
        assert_eq!(
            describe(&outcome),
            "notification n1\nin_app delivered\nwebhook sent\nemail pending\n\
             browser_push deferred until 2026-11-24T07:00:00Z\nsms skipped: preference_channel_off\nerror: x[31m"
        );
    }

    #[test]
    fn the_title_is_the_first_sixty_characters_on_one_line() {
        let title = title_of(&format!("ä\n{}", "ö".repeat(100)));
        assert_eq!(title.chars().count(), 60);
        assert!(title.starts_with("ä ö"));
    }

    #[test]
    fn a_dash_reads_the_message_from_the_input() {
        assert_eq!(message("-", &mut "two\nlines\n".as_bytes()).unwrap(), "two\nlines");
    }

    #[test]
    fn a_message_of_more_than_64_kib_is_a_mistake() {
        let fits = "x".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(message("-", &mut fits.as_bytes()).unwrap(), fits);
        let long = fits + "y";
        assert!(matches!(message("-", &mut long.as_bytes()), Err(Failure::Usage(_))));
        assert!(matches!(message(&long, &mut "".as_bytes()), Err(Failure::Usage(_))));
    }

    #[test]
    fn an_empty_message_is_a_mistake() {
        assert!(matches!(message(" ", &mut "".as_bytes()), Err(Failure::Usage(_))));
        assert!(matches!(message("-", &mut "\n".as_bytes()), Err(Failure::Usage(_))));
    }
}
