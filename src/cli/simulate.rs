//! `belfry simulate`: what would happen to a notification at any instant, and why. Nothing is sent.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean, instant};
use super::send::{Priority, channel};
use super::sentences::reason_words;
use crate::model::channel::Channel;

const EXAMPLES: &str = "\
Examples:
  belfry simulate ada
  belfry simulate ada --priority high --category billing
  belfry simulate ada --at 2026-10-25T02:30:00+02:00
  belfry simulate ada --template workflow_failed --variables '{\"id\": \"w-1\"}'
  belfry simulate ada --category ci --dedupe-key build-42
  belfry simulate ada --channel email --channel sms --json

It needs a key with the scope publish or read (BELFRY_KEY).";

/// What to imagine.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// The person's id
    #[arg(value_name = "USER", value_parser = id)]
    pub user: String,
    /// The message
    #[arg(value_name = "MESSAGE")]
    pub message: Option<String>,
    /// The title
    #[arg(long, short = 't')]
    pub title: Option<String>,
    /// What kind of notification it is, in snake_case
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// How urgent it is
    #[arg(long, short = 'p', value_enum)]
    pub priority: Option<Priority>,
    /// What it is about, in snake_case
    #[arg(long, short = 'c')]
    pub category: Option<String>,
    /// A channel to consider instead of all; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL", value_parser = channel())]
    pub channels: Vec<Channel>,
    /// A template to make it from
    #[arg(long)]
    pub template: Option<String>,
    /// The template's variables, as a JSON object
    #[arg(long, value_name = "JSON", requires = "template")]
    pub variables: Option<String>,
    /// The instant at which it comes in, instead of now (RFC 3339, with its offset from UTC)
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// What repeats: it is a duplicate of an earlier one with the same
    #[arg(long, value_name = "KEY")]
    pub dedupe_key: Option<String>,
    /// What replaces: it takes the place of an earlier one with the same
    #[arg(long, value_name = "KEY")]
    pub collapse_key: Option<String>,
    /// What belongs together in a digest
    #[arg(long, value_name = "KEY")]
    pub digest_key: Option<String>,
    /// The instant before which its sender does not want it to leave
    #[arg(long, value_name = "TIME")]
    pub send_at: Option<Timestamp>,
}

/// What would happen.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Outcome {
    at: String,
    plan: Vec<Planned>,
    quiet_hours_overridden: bool,
    supersedes: Option<Superseded>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Superseded {
    notification_id: String,
    channels: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Planned {
    channel: String,
    decision: String,
    until: Option<String>,
    reason: Option<String>,
    because: Option<String>,
}

/// Asks and tells.
///
/// # Errors
/// When the server does not answer as asked.
pub async fn run(args: SimulateArgs, options: &Options) -> Result<(), Failure> {
    let body = body(&args)?;
    let client = options.client()?;
    let answer = client.post(&["v1", "notifications", "simulate"], &body, Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    screen::say(&tell(&answer.read(&client)?, &TimeZone::system()))
}

fn body(args: &SimulateArgs) -> Result<Value, Failure> {
    let mut body = json!({ "user_id": args.user });
    let from_template = args.template.is_some();
    let or_else = |given: &Option<String>, made_up: &str| match given {
        Some(given) => Some(given.clone()),
        None => (!from_template).then(|| made_up.to_owned()),
    };
    let variables = match &args.variables {
        None => None,
        Some(text) => Some(
            serde_json::from_str::<Value>(text)
                .map_err(|error| Failure::Usage(format!("--variables is not JSON: {error}")))?,
        ),
    };
    let fields = [
        ("type", or_else(&args.kind, "message").map(Value::from)),
        ("title", or_else(&args.title, "Simulated").map(Value::from)),
        ("message", or_else(&args.message, "Nothing is sent.").map(Value::from)),
        ("priority", args.priority.map(|priority| priority.name().into())),
        ("category", args.category.clone().map(Value::from)),
        ("template", args.template.clone().map(Value::from)),
        ("variables", variables),
        ("at", args.at.map(|at| at.to_string().into())),
        ("dedupe_key", args.dedupe_key.clone().map(Value::from)),
        ("collapse_key", args.collapse_key.clone().map(Value::from)),
        ("digest_key", args.digest_key.clone().map(Value::from)),
        ("send_at", args.send_at.map(|at| at.to_string().into())),
        ("channels", (!args.channels.is_empty()).then(|| json!(args.channels))),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Ok(body)
}

/// The plan in plain words, times in `zone` with UTC behind them.
pub fn tell(outcome: &Outcome, zone: &TimeZone) -> String {
    let rows: Vec<Vec<String>> = outcome.plan.iter().map(|planned| row(planned, zone)).collect();
    let mut text = format!("If it came in at {}\n", instant(&outcome.at, zone));
    text.push_str(&screen::table(&rows));
    if outcome.quiet_hours_overridden {
        text.push_str("Quiet hours are overridden by its priority.\n");
    }
    if let Some(Superseded { notification_id, channels }) = &outcome.supersedes {
        let channels: Vec<String> = channels.iter().map(|channel| clean(channel)).collect();
        text.push_str(&format!(
            "It takes the place of {} on {}.\n",
            clean(notification_id),
            channels.join(", ")
        ));
    }
    text
}

fn row(planned: &Planned, zone: &TimeZone) -> Vec<String> {
    let mut words = clean(&planned.decision);
    if let Some(until) = &planned.until {
        words.push_str(&format!(" until {}", instant(until, zone)));
    }
    if let Some(reason) = &planned.reason {
        words.push_str(&format!(": {}", reason_words(reason)));
    }
    if let Some(because) = &planned.because {
        words.push_str(&format!(" ({})", clean(because)));
    }
    vec![format!("  {}", clean(&planned.channel)), words]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_told_with_its_evidence() {
        let outcome: Outcome = serde_json::from_value(json!({
            "at": "2026-10-25T00:30:00.000Z", "quiet_hours_overridden": false, "rendered": {},
            "supersedes": { "notification_id": "n-1", "channels": ["email", "sms"] },
            "plan": [
                {"channel": "in_app", "decision": "send", "because": "the system default has in_app on"},
                {"channel": "email", "decision": "deferred", "until": "2026-10-25T07:00:00.000Z", "reason": "quiet_hours",
                 "because": "22:00–08:00 Europe/Paris, until 2026-10-25T07:00:00Z"},
                {"channel": "sms", "decision": "skipped", "reason": "no_address"},
            ],
        }))
        .unwrap();
        assert_eq!(
            tell(&outcome, &TimeZone::UTC),
            "\
If it came in at 2026-10-25 00:30:00.000Z
  in_app  send (the system default has in_app on)
  email   deferred until 2026-10-25 07:00:00.000Z: the person's quiet hours hold it [quiet_hours] (22:00–08:00 Europe/Paris, until 2026-10-25T07:00:00Z)
  sms     skipped: the person has no address on this channel [no_address]
It takes the place of n-1 on email, sms.
"
        );
    }
}
