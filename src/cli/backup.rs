//! `belfry backup`, `belfry restore` and `belfry verify`: the store copied, put back, and read from end to end.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::options::Options;
use super::progress;
use super::screen::{self, clean};
use crate::clock::Clock;
use crate::config;
use crate::store::backup::{self, Summary};
use crate::store::restore::{Restore, RestoreError, restore};
use crate::store::{OpenError, Store, verify};
use crate::supervise::Supervisor;

const BACKUP_HELP: &str = "\
Examples:
  belfry backup --to /var/backups/belfry
  belfry backup --offline --data /var/lib/belfry   the server is stopped

A running server gives it for a key with the scope admin (BELFRY_KEY).

The server goes on while the backup is made, and everything that it had
acknowledged before is in it. The file is whole and on the disk before it has
its name, and only its owner can read it: it holds the keys of the store too.";

const RESTORE_HELP: &str = "\
Examples:
  belfry restore belfry-20261125T031700000Z.backup --data /var/lib/belfry
  belfry restore FILE --force        moves the store that is there aside

The server must be stopped, and the command run as the user that runs it. The
backup is checked before anything is written. A restored store takes no more
room than it needs: this is also the way to make a store smaller.

Live clients remember how far they have read, which may be further than the
backup goes: they would miss what comes next. So a restored store has a new
epoch, and they are told to read their inbox anew. Where the backup was made
after the server had stopped, --keep-epoch spares them that.";

const VERIFY_HELP: &str = "\
Examples:
  belfry verify --data /var/lib/belfry
  belfry verify --json

The server must be stopped. It ends with 1 where a record cannot be read.";

/// Where the store is.
#[derive(Args, Clone, Debug, Default)]
pub struct Place {
    /// The configuration file that names the data directory; without it /etc/belfry/belfry.toml, if it is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// What to copy, and where to.
#[derive(Args, Debug)]
#[command(after_help = BACKUP_HELP)]
pub struct BackupArgs {
    /// The directory to write the backup into
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub to: PathBuf,
    /// Copy the store of a server that is stopped, rather than ask one that runs
    #[arg(long)]
    pub offline: bool,
    /// Where the store is, with --offline
    #[command(flatten)]
    pub place: Place,
}

/// What to put back, and where.
#[derive(Args, Debug)]
#[command(after_help = RESTORE_HELP)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Move a store that is there aside, rather than refuse
    #[arg(long)]
    pub force: bool,
    /// Let live clients go on where they were: for a backup that has everything they have seen
    #[arg(long)]
    pub keep_epoch: bool,
    /// Where to restore
    #[command(flatten)]
    pub place: Place,
}

/// What to read.
#[derive(Args, Debug)]
#[command(after_help = VERIFY_HELP)]
pub struct VerifyArgs {
    /// Where the store is
    #[command(flatten)]
    pub place: Place,
}

/// Makes a backup.
///
/// # Errors
/// When the server does not give one, or it cannot be kept.
pub async fn backup(args: BackupArgs, options: &Options) -> Result<(), Failure> {
    // What is written is for its owner only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let kept = if args.offline || args.place.data.is_some() {
        copy_offline(&args)
    } else {
        download(&args.to, options).await
    };
    let (path, summary) = kept?;
    let shown = path.display().to_string();
    if options.json {
        return screen::say(
            &json!({ "file": shown, "records": summary.records, "bytes": summary.bytes, "epoch": summary.epoch.to_string() })
                .to_string(),
        );
    }
    screen::say(&format!("{}: {} records, {} bytes", clean(&shown), summary.records, summary.bytes))
}

fn copy_offline(args: &BackupArgs) -> Result<(PathBuf, Summary), Failure> {
    let store = open(&args.place)?;
    let bar = progress::spinner("copying the store");
    let copied = store
        .begin_copy(Clock::System.now())
        .and_then(|copy| copy.write_into(&args.to, &CancellationToken::new()));
    bar.finish_and_clear();
    copied.map_err(failed)
}

async fn download(to: &Path, options: &Options) -> Result<(PathBuf, Summary), Failure> {
    use std::io::Write;
    let client = options.client()?;
    std::fs::create_dir_all(to).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(to).map_err(failed)?;
    let bar = progress::spinner("receiving the backup");
    let received = client
        .download(&["v1", "backups"], |piece| {
            bar.inc(piece.len() as u64);
            file.write_all(piece)
        })
        .await;
    bar.finish_and_clear();
    received?.map_err(failed)?;
    let summary = backup::check(file.path()).map_err(failed)?;
    let path = backup::keep(file, to, summary.created_at).map_err(failed)?;
    Ok((path, summary))
}

/// Puts a backup back.
///
/// # Errors
/// Where it cannot be used, or there is a store already.
pub fn put_back(args: RestoreArgs, options: &Options) -> Result<(), Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let RestoreArgs { file, force, keep_epoch, place } = args;
    let (path, _) = data_of(&place)?;
    let bar = progress::spinner("restoring");
    let wish = Restore { file, path, force, keep_epoch, now: Clock::System.now() };
    let restored = restore(&wish);
    bar.finish_and_clear();
    let (summary, aside) = restored.map_err(|error| match error {
        RestoreError::Occupied(_) => Failure::Failed(error.to_string()),
        other => failed(other),
    })?;
    let (into, aside) = (wish.path.display().to_string(), aside.map(|path| path.display().to_string()));
    if options.json {
        return screen::say(
            &json!({ "data": into, "records": summary.records, "moved_aside": aside }).to_string(),
        );
    }
    let mut text = format!("restored {} records into {}\n", summary.records, clean(&into));
    if let Some(aside) = aside {
        text.push_str(&format!("the store that was there is in {}\n", clean(&aside)));
    }
    screen::say(&text)
}

/// Reads a store from end to end.
///
/// # Errors
/// Where it cannot be opened, or a record in it cannot be read.
pub fn verify(args: &VerifyArgs, options: &Options) -> Result<(), Failure> {
    let store = open(&args.place)?;
    let bar = progress::spinner("reading");
    let findings = store.verify(|records| bar.set_position(records));
    bar.finish_and_clear();
    let findings = findings.map_err(failed)?;
    screen::say(&if options.json { as_json(&findings) } else { as_text(&findings) })?;
    match findings.damaged {
        0 => Ok(()),
        damaged => Err(Failure::Failed(format!(
            "{damaged} records cannot be read; keep a copy of the data directory and restore a backup"
        ))),
    }
}

fn as_json(findings: &verify::Findings) -> String {
    json!({
        "ok": findings.damaged == 0,
        "records": findings.records(),
        "kinds": findings.kinds,
        "unknown": findings.unknown,
        "damaged": findings.damaged,
        "errors": findings.described,
    })
    .to_string()
}

fn as_text(findings: &verify::Findings) -> String {
    let mut rows: Vec<Vec<String>> =
        findings.kinds.iter().map(|(kind, count)| vec![(*kind).to_owned(), count.to_string()]).collect();
    if findings.unknown > 0 {
        rows.push(vec!["of no known kind".to_owned(), findings.unknown.to_string()]);
    }
    rows.push(vec!["all".to_owned(), findings.records().to_string()]);
    rows.push(vec!["cannot be read".to_owned(), findings.damaged.to_string()]);
    let mut text = screen::table(&rows);
    findings.described.iter().for_each(|line| text.push_str(&format!("{}\n", clean(line))));
    text
}

/// The data directory and how much memory its store may take.
fn data_of(place: &Place) -> Result<(PathBuf, u64), Failure> {
    let given: Vec<_> =
        place.data.iter().map(|path| ("storage.path", path.to_string_lossy().into_owned())).collect();
    let config = config::from_process(place.config.as_deref(), &given).map_err(failed)?;
    Ok((config.storage.path, config.storage.cache_capacity))
}

/// The store of a server that is stopped. None is made where there is none.
fn open(place: &Place) -> Result<Store, Failure> {
    let (path, cache_bytes) = data_of(place)?;
    if !Store::is_at(&path) {
        return Err(Failure::NotFound(format!(
            "there is no store in {}",
            clean(&path.display().to_string())
        )));
    }
    let options = crate::store::Options { path, cache_bytes };
    Store::open(&options, &Supervisor::new()).map_err(|error| match error {
        OpenError::InUse(_) => Failure::Failed(format!("{error}, or make a backup without --offline")),
        other => failed(other),
    })
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
