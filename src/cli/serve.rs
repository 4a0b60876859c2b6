//! `belfry serve` and `belfry dev`: the two commands that become a server.

use std::path::PathBuf;

use clap::Args;

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
    let ServeArgs { .. } = args;
    Err("this build has no server in it".to_owned())
}

/// Gives the tour until it is told to stop.
///
/// # Errors
/// Why it could not start, in words for the operator.
pub async fn dev(args: DevArgs) -> Result<(), String> {
    let DevArgs { .. } = args;
    Err("this build has no server in it".to_owned())
}
