//! `belfry export`: what an installation means, as text.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::options::Options;
use super::super::pages::Pages;
use super::super::progress;
use super::super::screen::{self, clean};
use super::{Kind, data, header, line};
use crate::client::Client;
use crate::clock::Clock;

const EXAMPLES: &str = "\
Examples:
  belfry export > belfry.ndjson
  belfry export --to belfry.ndjson
  belfry export | BELFRY_URL=https://new.example.org belfry import -

It writes a line of JSON for each category, template, topic, user with their
preferences, membership, suppressed address, schedule, hook and endpoint.

Not in it: notifications and inboxes, API keys, the secrets of hooks and
endpoints (the import makes new ones and shows them), and people's browsers,
which allow notifications anew. `belfry backup` copies everything.

It needs a key with the scope admin (BELFRY_KEY).";

/// Where to.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// The file to write, which only its owner can read [default: the standard output]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// Writes it.
///
/// # Errors
/// When the server does not give it, or it cannot be written.
pub async fn run(args: ExportArgs, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let bar = progress::spinner("exporting");
    let Some(file) = args.to else {
        let mut out = |text: &str| {
            bar.inc(1);
            screen::say(text)
        };
        let written = write(&client, &mut out).await;
        bar.finish_and_clear();
        return written.map(drop);
    };
    let lines = write_file(&client, &file, || bar.inc(1)).await;
    bar.finish_and_clear();
    let (lines, shown) = (lines?, file.display().to_string());
    if options.json {
        return screen::say(&json!({ "file": shown, "lines": lines }).to_string());
    }
    screen::say(&format!("{}: {lines} lines", clean(&shown)))
}

/// A file of its own beside it that takes its name when it is whole.
async fn write_file(client: &Client, file: &Path, wrote: impl Fn()) -> Result<u64, Failure> {
    let failed =
        |error: std::io::Error| Failure::Failed(format!("failed to write {}: {error}", file.display()));
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = std::io::BufWriter::new(tempfile::NamedTempFile::new_in(dir).map_err(failed)?);
    let lines = write(client, &mut |text| {
        wrote();
        writeln!(fresh, "{text}").map_err(failed)
    })
    .await?;
    let fresh = fresh.into_inner().map_err(|error| failed(error.into_error()))?;
    fresh.as_file().sync_all().map_err(failed)?;
    fresh.persist(file).map_err(|error| failed(error.error))?;
    Ok(lines)
}

/// Every line, in order; answers how many.
async fn write(client: &Client, out: &mut impl FnMut(&str) -> Result<(), Failure>) -> Result<u64, Failure> {
    let now = Timestamp::from_millisecond(Clock::System.now()).unwrap_or_default();
    out(&header(&now.to_string()))?;
    let mut lines = 1;
    let mut put = |kind: Kind, item: &Map<String, Value>| {
        lines += 1;
        out(&line(kind, item))
    };
    for kind in [Kind::Category, Kind::Template, Kind::Topic] {
        each(client, kind, &mut put).await?;
    }
    users(client, &mut put).await?;
    members(client, &mut put).await?;
    for kind in [Kind::Suppression, Kind::Schedule, Kind::Hook, Kind::Endpoint] {
        each(client, kind, &mut put).await?;
    }
    Ok(lines)
}

/// Everything of a kind that has a list of its own, as it is carried over.
pub(super) async fn each(
    client: &Client,
    kind: Kind,
    put: &mut impl FnMut(Kind, &Map<String, Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (list, query): (&str, &[(&str, &str)]) = match kind {
        Kind::Category => ("categories", &[("include", "said")]),
        Kind::Template => ("templates", &[]),
        Kind::Topic => ("topics", &[]),
        Kind::Suppression => ("suppressions", &[]),
        Kind::Schedule => ("schedules", &[]),
        Kind::Hook => ("hooks", &[]),
        Kind::Endpoint => ("endpoints", &[]),
        Kind::User | Kind::Preferences | Kind::Members => return Ok(()),
    };
    let path = ["v1", list];
    let mut pages = Pages::asking(client, &path, query);
    while let Some(page) = pages.next().await? {
        for item in page.read::<Map<String, Value>>() {
            if let Some(data) = carried(kind, &item) {
                put(kind, &data)?;
            }
        }
    }
    Ok(())
}

/// What is carried over of an item; nothing of what comes with the program.
fn carried(kind: Kind, item: &Map<String, Value>) -> Option<Map<String, Value>> {
    if kind == Kind::Template && item.get("built_in") == Some(&json!(true)) {
        return None;
    }
    let mut data = data(kind, item);
    if kind == Kind::Endpoint {
        // A person's own endpoint may be told of no events, which is said by saying nothing.
        data.retain(|name, value| name != "events" || *value != json!([]));
        data.retain(|name, value| name != "disabled" || *value == json!(true));
    }
    Some(data)
}

async fn users(
    client: &Client,
    put: &mut impl FnMut(Kind, &Map<String, Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut pages = Pages::asking(client, &["v1", "users"], &[("include", "said")]);
    while let Some(page) = pages.next().await? {
        let people = page.read::<Map<String, Value>>();
        for person in &people {
            put(Kind::User, &data(Kind::User, person))?;
        }
        for person in &people {
            if let Some(Value::Object(said)) = person.get("said") {
                let mut said = data(Kind::Preferences, said);
                said.insert("user_id".to_owned(), person.get("id").cloned().unwrap_or_default());
                put(Kind::Preferences, &said)?;
            }
        }
    }
    Ok(())
}

/// A line for each page of a topic's members.
async fn members(
    client: &Client,
    put: &mut impl FnMut(Kind, &Map<String, Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut topics = Pages::asking(client, &["v1", "topics"], &[]);
    while let Some(page) = topics.next().await? {
        for topic in page.read::<Map<String, Value>>() {
            let name = topic.get("name").and_then(Value::as_str).unwrap_or_default();
            let path = ["v1", "topics", name, "members"];
            let mut pages = Pages::asking(client, &path, &[]);
            while let Some(page) = pages.next().await? {
                let members = page.read::<Map<String, Value>>();
                let ids: Vec<&Value> = members.iter().filter_map(|member| member.get("user_id")).collect();
                if let (false, Value::Object(line)) =
                    (ids.is_empty(), json!({ "topic": name, "user_ids": ids }))
                {
                    put(Kind::Members, &line)?;
                }
            }
        }
    }
    Ok(())
}
