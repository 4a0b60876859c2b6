//! `belfry serve` and `belfry dev`: the two commands that become a server.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::demo;
use crate::app::{App, Ended, StartError};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigErrors};
use crate::store::OpenError;
use crate::{systemd, telemetry};

/// How long the store may take to be given up by what had it open before.
const REOPEN_TRIES: u32 = 50;
const REOPEN_EVERY: Duration = Duration::from_millis(100);

const SERVE_HELP: &str = "\
Examples:
  belfry serve                on 127.0.0.1:8470, storing under ./belfry-data
  belfry serve --listen 0.0.0.0:8470 --data /srv/belfry
  belfry serve --config /etc/belfry/belfry.toml

A value is taken from the flag, else from the environment, else from the file,
else it is the default.
  BELFRY_SERVER__LISTEN    as --listen
  BELFRY_STORAGE__PATH     as --data
  BELFRY_AUTH__ADMIN_KEY   an admin key of your own; without one the first start
                           makes a key and prints it once
Every key has such a variable, and a twin ending in _FILE that reads the value
from a file: `belfry config doc`.

Signals: TERM and INT stop it in order, HUP reads the configuration again.";

const DEV_HELP: &str = "\
Examples:
  belfry dev
  belfry dev --listen 127.0.0.1:0     on any free port

It stores in a temporary directory that goes when it stops, makes a demo user,
keeps and shows what the external channels would have sent, and prints the
addresses and keys to try.";

/// How to serve.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(after_help = SERVE_HELP)]
pub struct ServeArgs {
    /// The configuration file; without it /etc/belfry/belfry.toml, if it is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on, as IP:PORT
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The directory to store in
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// How to give the tour.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(after_help = DEV_HELP)]
pub struct DevArgs {
    /// The address to listen on, as IP:PORT
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// A configuration file to start from
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until it is told to stop.
///
/// # Errors
/// Why it could not start, or could not stop in order, in words for the operator.
pub async fn serve(args: ServeArgs) -> Result<(), String> {
    let data = args.data.map(|path| path.to_string_lossy().into_owned());
    let given = given(args.listen, data);
    let load = || config::from_process(args.config.as_deref(), &given);
    run(&load, &|_| Box::pin(async { Ok(()) })).await
}

/// Gives the tour until it is told to stop.
///
/// # Errors
/// Why it could not start, in words for the operator.
pub async fn dev(args: DevArgs) -> Result<(), String> {
    let data = tempfile::Builder::new().prefix("belfry-dev-").tempdir();
    let data = data.map_err(|error| format!("failed to make a temporary data directory: {error}"))?;
    let given = given(args.listen, Some(data.path().to_string_lossy().into_owned()));
    let load = || demo::load(args.config.as_deref(), &given);
    run(&load, &|app| Box::pin(demo::prepare(app))).await
}

type Prepared<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

fn given(listen: Option<String>, data: Option<String>) -> Vec<(&'static str, String)> {
    let listen = listen.map(|listen| ("server.listen", listen));
    listen.into_iter().chain(data.map(|data| ("storage.path", data))).collect()
}

/// The life of a server process: configuration, listener, store, ready, signals, end.
async fn run(
    load: &(dyn Fn() -> Result<Config, ConfigErrors> + Sync),
    prepare: &(dyn Fn(Arc<App>) -> Prepared<'static> + Sync),
) -> Result<(), String> {
    // What the store writes is for nobody else on this machine.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let config = load().map_err(|errors| errors.to_string())?;
    let volume = telemetry::init(&config.log);
    for notice in &config.notices {
        tracing::warn!(%notice, "configuration");
    }
    let mut signals = Signals::new().map_err(|error| format!("failed to listen for signals: {error}"))?;
    let listen = config.server.listen;
    let listener = bind(listen).await?;
    let mut app = start(config, &listener).await?;
    announce(&app);
    prepare(app.clone()).await?;
    systemd::ready();
    loop {
        let ended = {
            let shutdown = signals.until_stop(&app, load, &volume);
            app.clone().run(shutdown).await
        };
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::Broken => {
                return Err("a task that the server cannot do without keeps failing; see the log".to_owned());
            }
            Ended::Reopen => {
                drop(app);
                let config = load().map_err(|errors| errors.to_string())?;
                app = start(config, &listener).await?;
                tracing::info!("the store is open again");
            }
        }
    }
}

async fn bind(listen: SocketAddr) -> Result<std::net::TcpListener, String> {
    let listener = TcpListener::bind(listen).await.and_then(TcpListener::into_std);
    listener.map_err(|error| {
        format!("failed to listen on {listen}: {error}; set server.listen to an address that is free")
    })
}

/// Opens the store; where a run before this one is still letting go of it, waits for that.
async fn start(config: Config, listener: &std::net::TcpListener) -> Result<Arc<App>, String> {
    let mut tries = 0;
    loop {
        let listener =
            listener.try_clone().and_then(TcpListener::from_std).map_err(|error| error.to_string())?;
        match App::build(config.clone(), listener, Clock::System).await {
            Ok(app) => return Ok(Arc::new(app)),
            Err(StartError::Open(OpenError::InUse(_))) if tries < REOPEN_TRIES => {
                tries += 1;
                tokio::time::sleep(REOPEN_EVERY).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the address and the first key are what the command is asked for")]
fn announce(app: &App) {
    println!("belfry {} listening on http://{}", env!("CARGO_PKG_VERSION"), app.address());
    if let Some(key) = app.first_key() {
        println!("admin key: {}", key.expose_secret());
        println!(
            "This key is shown once and kept as a hash only. Give it to the command line as BELFRY_KEY."
        );
    }
}

/// What the operating system tells the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Completes when the process is told to stop; until then reloads when told to, and keeps the watchdog quiet.
    async fn until_stop(
        &mut self,
        app: &App,
        load: &(dyn Fn() -> Result<Config, ConfigErrors> + Sync),
        volume: &telemetry::Volume,
    ) {
        let watchdog = systemd::watchdog_interval();
        loop {
            let beat = async {
                match watchdog {
                    Some(interval) => tokio::time::sleep(interval).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => reload(app, load, volume).await,
                () = beat => {
                    if app.is_alive().await {
                        systemd::alive();
                    }
                }
            }
        }
        tracing::info!("stopping");
        systemd::stopping();
    }
}

async fn reload(
    app: &App,
    load: &(dyn Fn() -> Result<Config, ConfigErrors> + Sync),
    volume: &telemetry::Volume,
) {
    systemd::reloading();
    match load() {
        Ok(config) => {
            let log = config.log.clone();
            match app.reload(config).await {
                Ok(()) => {
                    volume.set(&log);
                    tracing::info!("the configuration was read again");
                }
                Err(error) => {
                    tracing::error!(%error, "the new configuration cannot be used; the old one holds")
                }
            }
        }
        Err(errors) => tracing::error!(%errors, "the new configuration is wrong; the old one holds"),
    }
    systemd::ready();
}
