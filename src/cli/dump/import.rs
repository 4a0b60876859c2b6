//! `belfry import`: a dump put back, or people moved in. Asked again it changes nothing that is there as it should be.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::options::Options;
use super::super::{progress, screen};
use super::report::Report;
use super::{Kind, Line, export, line, parse};
use crate::client::{Client, ClientError};

/// The longest line, in bytes: more than the server takes by default.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Lines of one kind that are held at once, and how many of them are under way.
const CHUNK_LEN: usize = 256;
const REQUESTS_AT_ONCE: usize = 16;
/// How often a server that is busy is asked again, and how long it is waited for at most each time.
const BUSY_TRIES: u32 = 8;
const BUSY_WAIT_MAX: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  belfry import belfry.ndjson
  belfry import users.ndjson --dry-run     reads it, sends nothing
  belfry export --server http://old:8470 | belfry import -

The file is what `belfry export` writes, or a line for each person:
  {\"id\":\"ada\",\"email\":\"ada@example.org\",\"timezone\":\"Europe/Berlin\"}

What is there is made to be as the file says; nothing is removed. Hooks and
endpoints get new tokens and secrets, which are shown once. Lines that fail
are told with their numbers, the others are put in, and it ends with 1.

It needs a key with the scope admin (BELFRY_KEY).";

/// What to put in.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// The file; - reads the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Say what is wrong with the file, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A thing and the line that it stands on.
struct Thing {
    line: u64,
    data: Map<String, Value>,
}

/// An import that is under way.
struct Import<'a> {
    client: &'a Client,
    dry_run: bool,
    report: Report,
    /// The lines that would be made again, of the kinds that the server names itself.
    known: HashSet<String>,
    loaded: HashSet<Kind>,
}

/// Does it, and tells what came of it also where it had to stop.
///
/// # Errors
/// When a line failed, the server cannot be asked, or the file cannot be read.
pub async fn run(args: ImportArgs, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let (input, length) = open(&args.file)?;
    let bar = match length {
        Some(length) => progress::bar("importing (bytes)", length),
        None => progress::spinner("importing (bytes)"),
    };
    let mut import = Import {
        client: &client,
        dry_run: args.dry_run,
        report: Report::default(),
        known: HashSet::new(),
        loaded: HashSet::new(),
    };
    let ended = import.all(input, &bar).await;
    bar.finish_and_clear();
    let report = import.report;
    if options.json {
        screen::say(&report.to_json(args.dry_run))?;
    } else {
        report.failures().for_each(|line| screen::note(&line));
        screen::say(&report.to_text(args.dry_run))?;
    }
    ended?;
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of {} lines failed", report.lines))),
    }
}

fn open(file: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::new(std::io::stdin())), None));
    }
    let failed =
        |error: std::io::Error| Failure::Failed(format!("failed to read {}: {error}", file.display()));
    let open = std::fs::File::open(file).map_err(failed)?;
    let about = open.metadata().map_err(failed)?;
    let length = about.is_file().then_some(about.len());
    Ok((Box::new(BufReader::new(open)), length))
}

impl Import<'_> {
    async fn all(&mut self, mut input: impl BufRead, bar: &ProgressBar) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("failed to read the file: {error}"));
        let (mut text, mut chunk, mut kind) = (Vec::new(), Vec::new(), Kind::User);
        let mut named = HashSet::new();
        loop {
            text.clear();
            let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(failed)?;
            if read == 0 {
                return self.put_in(kind, chunk).await;
            }
            bar.inc(read as u64);
            self.report.lines += 1;
            let line = self.report.lines;
            if read as u64 == LINE_BYTES_MAX && !text.ends_with(b"\n") {
                return Err(Failure::Failed(format!("line {line} is longer than {LINE_BYTES_MAX} bytes")));
            }
            // Spreadsheets and some editors begin a file with a mark.
            let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).trim_ascii();
            if text.is_empty() {
                continue;
            }
            let said = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned()).and_then(parse);
            match said {
                // Nothing that follows could be trusted to mean what it says.
                Err(why) if line == 1 && why.contains("format") => {
                    return Err(Failure::Failed(format!("the file {why}")));
                }
                Err(why) => self.report.failed(line, &why),
                Ok(Line::Header) => {}
                Ok(Line::Thing(next, data)) => {
                    // Two lines for the same thing are put in one after the other: the last one holds.
                    let again = !named.insert(next.identity(&data).to_owned());
                    if next != kind || again || chunk.len() == CHUNK_LEN {
                        self.put_in(kind, std::mem::take(&mut chunk)).await?;
                        named.clear();
                        named.insert(next.identity(&data).to_owned());
                        kind = next;
                    }
                    chunk.push(Thing { line, data });
                }
            }
        }
    }

    /// Puts things of one kind in, some at once.
    async fn put_in(&mut self, kind: Kind, things: Vec<Thing>) -> Result<(), Failure> {
        if self.dry_run {
            things.iter().for_each(|_| self.report.done(kind));
            return Ok(());
        }
        let things = self.unknown(kind, things).await?;
        let client = self.client;
        let mut under_way = futures_util::stream::iter(things)
            .map(|thing| async move { (thing.line, patiently(client, kind, &thing.data).await) })
            .buffered(REQUESTS_AT_ONCE);
        while let Some((line, outcome)) = under_way.next().await {
            match outcome {
                Ok(answer) => {
                    self.report.done(kind);
                    if matches!(kind, Kind::Hook | Kind::Endpoint) {
                        self.report.made(kind, &answer);
                    }
                }
                Err(ClientError::Refused(problem)) if !matches!(problem.status, 401 | 403 | 503) => {
                    let fields =
                        problem.errors.iter().map(|error| format!("{}: {}", error.field, error.detail));
                    let why: Vec<String> = [problem.detail.clone()].into_iter().chain(fields).collect();
                    self.report.failed(line, &format!("{}: {}", kind.name(), why.join("; ")));
                }
                // Every other line would fail alike.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Those that are not there as they are, of the kinds that would be made a second time.
    async fn unknown(&mut self, kind: Kind, things: Vec<Thing>) -> Result<Vec<Thing>, Failure> {
        if !matches!(kind, Kind::Template | Kind::Schedule | Kind::Hook | Kind::Endpoint) {
            return Ok(things);
        }
        if self.loaded.insert(kind) {
            let known = &mut self.known;
            export::each(self.client, kind, &mut |kind, data| {
                known.insert(line(kind, data));
                Ok(())
            })
            .await?;
        }
        let (fresh, already): (Vec<Thing>, Vec<Thing>) =
            things.into_iter().partition(|thing| self.known.insert(line(kind, &thing.data)));
        already.iter().for_each(|_| self.report.already(kind));
        Ok(fresh)
    }
}

/// Puts a thing in; waits for a server that says it is busy.
async fn patiently(
    client: &Client,
    kind: Kind,
    data: &Map<String, Value>,
) -> Result<Map<String, Value>, ClientError> {
    let mut tries = 0;
    loop {
        match put(client, kind, data).await {
            Err(ClientError::Refused(problem))
                if matches!(problem.status, 429 | 503) && tries < BUSY_TRIES =>
            {
                tries += 1;
                let asked = Duration::from_secs(problem.retry_after_seconds.unwrap_or(1));
                tokio::time::sleep(asked.min(BUSY_WAIT_MAX)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn put(
    client: &Client,
    kind: Kind,
    data: &Map<String, Value>,
) -> Result<Map<String, Value>, ClientError> {
    let (id, body) = (kind.identity(data), Value::Object(data.clone()));
    let answer = match kind {
        Kind::Category => client.put(&["v1", "categories", id], &body).await,
        Kind::Template => client.put(&["v1", "templates", id], &body).await,
        Kind::Topic => client.put(&["v1", "topics", id], &body).await,
        Kind::User => client.put(&["v1", "users", id], &body).await,
        Kind::Preferences => client.put(&["v1", "users", id, "preferences"], &body).await,
        Kind::Members => {
            let users = json!({ "user_ids": data.get("user_ids") });
            client.put(&["v1", "topics", id, "members"], &users).await
        }
        Kind::Suppression => client.post(&["v1", "suppressions"], &body, Duration::ZERO).await,
        Kind::Schedule => client.post(&["v1", "schedules"], &body, Duration::ZERO).await,
        Kind::Hook => client.post(&["v1", "hooks"], &body, Duration::ZERO).await,
        Kind::Endpoint => return make_endpoint(client, data).await,
    };
    answer?.read(client)
}

/// One that was told nothing any more is told nothing at its new place either.
async fn make_endpoint(
    client: &Client,
    data: &Map<String, Value>,
) -> Result<Map<String, Value>, ClientError> {
    let mut body = data.clone();
    let disabled = body.remove("disabled") == Some(json!(true));
    let made = client.post(&["v1", "endpoints"], &Value::Object(body), Duration::ZERO).await?;
    let made: Map<String, Value> = made.read(client)?;
    if let (true, Some(id)) = (disabled, made.get("id").and_then(Value::as_str)) {
        client.patch(&["v1", "endpoints", id], &json!({ "disabled": true })).await?;
    }
    Ok(made)
}
