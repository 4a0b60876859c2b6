//! `belfry config`: the server's configuration, written, checked, shown and explained without starting it.

use std::path::PathBuf;

use clap::Subcommand;

use super::failure::Failure;
use super::options::Options;
use super::screen;

const CHECK_HELP: &str = "\
Examples:
  belfry config check
  belfry config check --config belfry.toml && systemctl reload belfry

It reads file and environment as `belfry serve` would, opens nothing, and ends
with 1 where a key is unknown, a value is out of its range or a secret is
missing; the message names the key, the file and the line.";

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a configuration file with every key, its default and what it means
    #[command(after_help = "Example:\n  belfry config init > belfry.toml")]
    Init,
    /// Check a configuration without starting
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The configuration file; without it /etc/belfry/belfry.toml, if it is there
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the configuration in force, with its secrets masked and where each value comes from
    #[command(after_help = "Example:\n  BELFRY_SERVER__LISTEN=127.0.0.1:9000 belfry config show")]
    Show {
        /// The configuration file; without it /etc/belfry/belfry.toml, if it is there
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the reference of every key: its variable, type, range and default
    #[command(after_help = "Example:\n  belfry config doc | less")]
    Doc,
}

/// Answers the question.
///
/// # Errors
/// Where the configuration does not hold, with the key, the file and the line.
pub fn run(command: &ConfigCommand, options: &Options) -> Result<(), Failure> {
    let text = answer(command).map_err(Failure::Failed)?;
    if options.json {
        return screen::say(&serde_json::json!({ "text": text }).to_string());
    }
    screen::say(&text)
}

/// The one spot that knows who answers.
fn answer(command: &ConfigCommand) -> Result<String, String> {
    match command {
        ConfigCommand::Init
        | ConfigCommand::Check { .. }
        | ConfigCommand::Show { .. }
        | ConfigCommand::Doc => Err("this build has no configuration in it".to_owned()),
    }
}
