//! `belfry hook`: inbound webhooks, made and tried out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean};
use crate::client::Client;

const ADD_HELP: &str = "\
Examples:
  belfry hook add alerts --preset alertmanager --topic oncall
  belfry hook add ci --preset github --user ada
  belfry hook add door --preset raw --user ada --map 'title={{sensor}} moved'

The token goes to the standard output. It, and the secret by which the sender
signs, are shown this once.

Presets: alertmanager, grafana, github, cloudevents, standard-webhooks, raw";

const TEST_HELP: &str = "\
Examples:
  belfry hook test alerts alert.json
  curl -s https://example.org/payload | belfry hook test ci -
  belfry hook test ci push.json --header 'X-GitHub-Event: push'

Nothing is sent.";

/// The most bytes of a payload: more than the server takes by default.
const PAYLOAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What to do with hooks.
#[derive(Debug, Subcommand)]
pub enum HookCommand {
    /// Make a hook and show its path, its token and its secret, once
    Add(AddArgs),
    /// Show what a payload would become
    Test(TestArgs),
}

/// What hook to make.
#[derive(Args, Debug)]
#[command(after_help = ADD_HELP)]
pub struct AddArgs {
    /// A name, which is the end of its path
    #[arg(value_name = "NAME", value_parser = id)]
    pub name: String,
    /// What knows how its senders send
    #[arg(long, value_name = "PRESET")]
    pub preset: String,
    /// The person that it notifies
    #[arg(long, value_name = "USER", value_parser = id, conflicts_with = "topic")]
    pub user: Option<String>,
    /// The topic that it notifies
    #[arg(long, value_name = "TOPIC", value_parser = id)]
    pub topic: Option<String>,
    /// A field and its template; may be repeated
    #[arg(long = "map", value_name = "FIELD=TEMPLATE", value_parser = pair::<'='>)]
    pub mapping: Vec<(String, String)>,
    /// The secret by which the sender signs [default: a new one, where the preset signs]
    #[arg(long, value_name = "SECRET")]
    pub secret: Option<String>,
}

/// What to try out.
#[derive(Args, Debug)]
#[command(after_help = TEST_HELP)]
pub struct TestArgs {
    /// The hook's id or name
    #[arg(value_name = "HOOK", value_parser = id)]
    pub hook: String,
    /// A file with what a sender would send; `-` is the standard input
    #[arg(value_name = "FILE")]
    pub payload: PathBuf,
    /// A header that the sender would send; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = pair::<':'>)]
    pub headers: Vec<(String, String)>,
}

fn pair<const MARK: char>(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(MARK).ok_or_else(|| format!("write it as NAME{MARK}VALUE"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Deserialize)]
struct Made {
    path: String,
    token: String,
    #[serde(default)]
    secret: Option<String>,
}

#[derive(Deserialize)]
struct Tried {
    success: bool,
    notifications: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    skipped: bool,
    notification: Value,
    error: Option<String>,
}

/// Does it.
///
/// # Errors
/// When the server does not do it, or a payload does not become what it should.
pub async fn run(command: HookCommand, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    match command {
        HookCommand::Add(args) => add(args, &client, options).await,
        HookCommand::Test(args) => test(args, &client, options).await,
    }
}

async fn add(args: AddArgs, client: &Client, options: &Options) -> Result<(), Failure> {
    let mut body = json!({ "name": args.name, "preset": args.preset });
    for (name, value) in [("user_id", args.user), ("topic", args.topic), ("secret", args.secret)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    for (field, template) in args.mapping {
        body["mapping"][field] = json!(template);
    }
    let answer = client.post(&["v1", "hooks"], &body, Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    let made: Made = answer.read(client)?;
    screen::note(&format!("senders post to {}{}", client.server(), clean(&made.path)));
    if let Some(secret) = &made.secret {
        screen::note(&format!("they sign with this secret, shown this once: {}", clean(secret)));
    }
    screen::note("or send this token, shown this once:");
    screen::say(&clean(&made.token))
}

async fn test(args: TestArgs, client: &Client, options: &Options) -> Result<(), Failure> {
    let text = read(&args.payload)?;
    let payload = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let headers: serde_json::Map<String, Value> =
        args.headers.into_iter().map(|(name, value)| (name, json!(value))).collect();
    let body = json!({ "payload": payload, "headers": headers });
    let answer = client.post(&["v1", "hooks", &args.hook, "test"], &body, Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    let tried: Tried = answer.read(client)?;
    screen::say(&describe(&tried))?;
    if tried.success { Ok(()) } else { Err(Failure::Failed("not all of it could be sent".to_owned())) }
}

fn describe(tried: &Tried) -> String {
    if tried.notifications.is_empty() {
        return "nothing would be sent".to_owned();
    }
    let each = tried.notifications.iter().map(|one| {
        if one.skipped {
            return "left out by the mapping".to_owned();
        }
        let mut lines: Vec<String> =
            one.error.iter().map(|error| format!("refused: {}", clean(error))).collect();
        let fields = one.notification.as_object().into_iter().flatten();
        lines.extend(fields.map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{}: {}", clean(name), clean(&value))
        }));
        lines.join("\n")
    });
    each.collect::<Vec<_>>().join("\n\n")
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(PAYLOAD_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(PAYLOAD_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Failed(format!("failed to read {}: {error}", path.display())))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_cut_at_its_first_mark() {
        assert_eq!(pair::<'='>("title={{a}}={{b}}"), Ok(("title".into(), "{{a}}={{b}}".into())));
        assert_eq!(pair::<':'>("X-A: b:c"), Ok(("X-A".into(), "b:c".into())));
        assert!(pair::<'='>("title").is_err());
    }
}
