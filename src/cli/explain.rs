//! `belfry explain`: every decision and attempt of a notification, when and why.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean, instant};
use super::sentences::{reason_words, sentence};
use crate::client::{Answer, Client};

/// The most pages of a timeline that are gone through.
const PAGES_MAX: usize = 100;

const EXAMPLES: &str = "\
Examples:
  belfry explain 0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11
  TZ=America/New_York belfry explain 0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11
  belfry explain 0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11 --json

It needs a key with the scope read (BELFRY_KEY). It ends with 3 where there is
no such notification.";

/// What to explain.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The notification's id, as `belfry send` prints it
    #[arg(value_name = "ID", value_parser = id)]
    pub id: String,
}

/// The notification itself, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Notification {
    id: String,
    user_id: Option<String>,
    title: String,
    #[serde(rename = "type")]
    kind: String,
    priority: String,
    category: String,
}

/// Where it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Standing {
    overall_status: String,
    channel_statuses: Vec<ChannelStanding>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChannelStanding {
    channel: String,
    status: String,
    reason: Option<String>,
    attempts: u64,
    last_error: Option<String>,
    not_before: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    at: String,
    event: String,
    channel: Option<String>,
    reason: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    #[serde(default)]
    next_cursor: Option<String>,
}

/// Asks for all that is known and tells it.
///
/// # Errors
/// When there is no such notification, or the server does not answer.
pub async fn run(args: ExplainArgs, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let notification = client.get(&["v1", "notifications", &args.id], &[]).await?;
    let standing = client.get(&["v1", "notifications", &args.id, "status"], &[]).await?;
    let timeline = timeline(&client, &args.id).await?;
    if options.json {
        return screen::say(&screen::json_line(&as_json(&notification, &standing, &timeline)));
    }
    let mut entries: Vec<Entry> =
        timeline.iter().map(|entry| serde_json::from_str(entry.get()).unwrap_or_default()).collect();
    // As the server orders them, but for one that lists the newest first.
    entries.sort_by_key(|entry| entry.at.parse::<Timestamp>().ok());
    let zone = TimeZone::system();
    screen::say(&tell(&notification.read(&client)?, &standing.read(&client)?, &entries, &zone))
}

async fn timeline(client: &Client, id: &str) -> Result<Vec<Box<RawValue>>, Failure> {
    let path = ["v1", "notifications", id, "timeline"];
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let query: Vec<(&str, &str)> =
            cursor.as_deref().map(|cursor| ("cursor", cursor)).into_iter().collect();
        let page: Page = client.get(&path, &query).await?.read(client)?;
        entries.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(entries)
}

fn as_json(notification: &Answer, standing: &Answer, timeline: &[Box<RawValue>]) -> String {
    let timeline: Vec<&str> = timeline.iter().map(|entry| entry.get()).collect();
    format!(
        "{{\"notification\":{},\"status\":{},\"timeline\":[{}]}}",
        notification.text.trim(),
        standing.text.trim(),
        timeline.join(",")
    )
}

/// The whole story, times in `zone` with UTC behind them.
pub fn tell(notification: &Notification, standing: &Standing, entries: &[Entry], zone: &TimeZone) -> String {
    let Notification { id, user_id, title, kind, priority, category } = notification;
    let mut text = format!("{}\n", clean(title));
    let mut facts = vec![vec!["  id".to_owned(), clean(id)]];
    if let Some(user_id) = user_id {
        facts.push(vec!["  for".to_owned(), clean(user_id)]);
    }
    let about = format!("{}, category {}, priority {}", clean(kind), clean(category), clean(priority));
    facts.push(vec!["  about".to_owned(), about]);
    facts.push(vec!["  status".to_owned(), clean(&standing.overall_status)]);
    text.push_str(&screen::table(&facts));

    text.push_str(&match zone.iana_name() {
        Some("UTC" | "Etc/UTC") => "\nWhat happened (UTC)\n".to_owned(),
        name => format!("\nWhat happened ({}, UTC in brackets)\n", name.unwrap_or("local time")),
    });
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| happened(entry, zone)).collect();
    text.push_str(&screen::table(&rows));

    text.push_str("\nWhere each channel stands\n");
    let rows: Vec<Vec<String>> =
        standing.channel_statuses.iter().map(|channel| stands(channel, zone)).collect();
    text.push_str(&screen::table(&rows));
    text
}

fn happened(entry: &Entry, zone: &TimeZone) -> Vec<String> {
    let mut words = sentence(&entry.event, entry.channel.as_deref(), entry.reason.as_deref());
    if let Some(detail) = entry.detail.as_deref().filter(|detail| !detail.is_empty()) {
        words.push_str(&format!(" ({})", clean(detail)));
    }
    vec![
        format!("  {}", instant(&entry.at, zone)),
        entry.channel.as_deref().map_or_else(|| "-".to_owned(), clean),
        words,
    ]
}

fn stands(standing: &ChannelStanding, zone: &TimeZone) -> Vec<String> {
    let mut words = clean(&standing.status);
    match standing.attempts {
        0 => {}
        1 => words.push_str(", 1 attempt"),
        attempts => words.push_str(&format!(", {attempts} attempts")),
    }
    if let Some(not_before) = &standing.not_before {
        words.push_str(&format!(", not before {}", instant(not_before, zone)));
    }
    if let Some(reason) = &standing.reason {
        words.push_str(&format!(": {}", reason_words(reason)));
    }
    if let Some(error) = standing.last_error.as_deref().filter(|error| !error.is_empty()) {
        words.push_str(&format!(" ({})", clean(error)));
    }
    vec![format!("  {}", clean(&standing.channel)), words]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_notification_tells_its_whole_story() {
        let notification = serde_json::from_value(json!({
            "id": "n1", "user_id": "ada", "title": "Build \u{1b}]0;owned\u{7}failed", "message": "no",
            "type": "workflow_failed", "category": "workflow", "priority": "high",
        }))
        .unwrap();
        let standing = serde_json::from_value(json!({
            "notification_id": "n1", "overall_status": "retrying", "retry_attempts": 1,
            "channel_statuses": [
                {"channel": "in_app", "status": "delivered", "attempts": 0},
                {"channel": "email", "status": "retrying", "reason": "provider_unreachable", "attempts": 1,
                 "last_error": "connection refused", "not_before": "2026-11-24T22:51:35Z"},
                {"channel": "sms", "status": "skipped", "reason": "no_address", "attempts": 0},
            ],
        }))
        .unwrap();
        let entries: Vec<Entry> = serde_json::from_value(json!([
            {"at": "2026-11-24T22:51:05.120Z", "event": "accepted"},
            {"at": "2026-11-24T22:51:05.120Z", "event": "delivered", "channel": "in_app"},
            {"at": "2026-11-24T22:51:05.120Z", "event": "skipped", "channel": "sms", "reason": "no_address"},
            {"at": "2026-11-24T22:51:05.3Z", "event": "retrying", "channel": "email",
             "reason": "provider_unreachable", "detail": "connection refused"},
        ]))
        .unwrap();
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        assert_eq!(
            tell(&notification, &standing, &entries, &zone),
            "\
Build ]0;ownedfailed
  id      n1
  for     ada
  about   workflow_failed, category workflow, priority high
  status  retrying

What happened (Europe/Zurich, UTC in brackets)
  2026-11-24 23:51:05.120 (22:51:05.120Z)  -       accepted and stored
  2026-11-24 23:51:05.120 (22:51:05.120Z)  in_app  it is in the inbox
  2026-11-24 23:51:05.120 (22:51:05.120Z)  sms     not sent: the person has no address on this channel [no_address]
  2026-11-24 23:51:05.300 (22:51:05.300Z)  email   did not get through, will be tried again: the provider did not answer [provider_unreachable] (connection refused)

Where each channel stands
  in_app  delivered
  email   retrying, 1 attempt, not before 2026-11-24 23:51:35.000 (22:51:35.000Z): the provider did not answer [provider_unreachable] (connection refused)
  sms     skipped: the person has no address on this channel [no_address]
"
        );
    }
}
