//! `belfry doctor`: what somebody wants to know on a bad day, whether a server runs or not.
//!
//! Each file looks at one subject. What is seen is gathered at thin edges and judged by pure functions; everything that
//! is asked has a time limit, and nothing that is printed is secret.

mod data;
mod finding;
mod host;
mod reach;
mod server;
mod settings;

use clap::Args;

use self::finding::{Finding, Level, count};
use super::backup::Place;
use super::failure::Failure;
use super::options::Options;
use super::{progress, screen};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::supervise::Supervisor;

const EXAMPLES: &str = "\
Examples:
  belfry doctor
  sudo -u belfry belfry doctor --data /var/lib/belfry
  belfry doctor --json | jq '.checks[] | select(.status != \"ok\")'

It looks at the configuration, the data directory and the store, the room on
the disk, backups, the clock, open files, time zones, the mail server and text
gateways, the service, and at a running server if there is one. It sends
nothing to anybody. A server's channels are shown for a key (BELFRY_KEY).

Each check is ok, warn or fail, with what to do next. It ends with 1 where one
fails.";

/// What to look at.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Where the configuration and the store are
    #[command(flatten)]
    pub place: Place,
    /// Try to log in to the mail server too
    #[arg(long)]
    pub deep: bool,
}

/// Looks at everything and tells.
///
/// # Errors
/// When something fails.
pub async fn run(args: DoctorArgs, options: &Options) -> Result<(), Failure> {
    let bar = progress::spinner("looking");
    let findings = examine(args, options).await;
    bar.finish_and_clear();
    screen::say(&if options.json { finding::to_json(&findings) } else { finding::to_text(&findings) })?;
    match count(&findings, Level::Fail) {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of {} checks failed", findings.len()))),
    }
}

async fn examine(args: DoctorArgs, options: &Options) -> Vec<Finding> {
    let given: Vec<_> =
        args.place.data.iter().map(|path| ("storage.path", path.to_string_lossy().into_owned())).collect();
    let read = config::from_process(args.place.config.as_deref(), &given);
    let (mut findings, config) = match &read {
        Ok(config) => (settings::good(config), Some(config.clone())),
        Err(errors) => (settings::faults(errors), None),
    };
    let local = config.clone();
    let on_disk = Supervisor::new().blocking("doctor", move || on_this_machine(local.as_ref())).await;
    let (local, standing) = on_disk.unwrap_or_else(|| {
        (vec![Finding::fail("machine", "it could not be looked at", "run it again")], data::Standing::None)
    });
    findings.extend(local);
    let listen = config.as_ref().map(|config| config.server.listen);
    let asked = server::ask(options, listen, &standing);
    // They wait for different servers, so they wait together.
    let (mail, texts, asked) = match &config {
        Some(config) => tokio::join!(reach::mail(config, args.deep), reach::texts(config), asked),
        None => (Vec::new(), Vec::new(), asked.await),
    };
    findings.extend(mail.into_iter().chain(texts).chain(asked));
    findings
}

/// What needs no network. Without a configuration it is not known where to look for the store.
fn on_this_machine(config: Option<&Config>) -> (Vec<Finding>, data::Standing) {
    let now = Clock::System.now();
    let (mut findings, mut standing, mut written_at) = (Vec::new(), data::Standing::None, None);
    if let Some(config) = config {
        let path = &config.storage.path;
        // Before the store is opened, which writes the mark anew.
        written_at = data::written_at(path);
        standing = data::store(path, config.storage.cache_capacity);
        findings.push(data::directory(path));
        findings.push(standing.finding(path));
        findings.extend(data::space(path));
        findings.push(data::backups(config.backup.dir.as_deref(), now));
    }
    findings.push(host::clock(now, written_at));
    let unit = host::unit();
    let limit = unit.as_ref().and_then(|(_, limit)| *limit);
    if let Some(config) = config {
        let connections_max = config.websocket.max_connections;
        findings.push(host::descriptors(u64::try_from(connections_max).unwrap_or(u64::MAX), limit));
    }
    findings.push(host::zones());
    findings.extend(unit.map(|(finding, _)| finding));
    (findings, standing)
}
