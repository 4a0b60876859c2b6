//! `belfry config`: the server's configuration, written, checked, shown and explained without starting it.

use std::path::PathBuf;

use clap::Subcommand;

use super::config_cmd;
use super::failure::Failure;
use super::options::Options;
use super::screen;
use crate::config;

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
    screen::say(answer(command, options.json)?.trim_end())
}

fn answer(command: &ConfigCommand, json: bool) -> Result<String, Failure> {
    let read = |file: &Option<PathBuf>| config::from_process(file.as_deref(), &[]);
    match command {
        ConfigCommand::Init => Ok(config_cmd::init(json)),
        ConfigCommand::Doc => Ok(config_cmd::doc(json)),
        ConfigCommand::Check { config } => match read(config) {
            Ok(config) => Ok(config_cmd::check(&config, json)),
            Err(errors) => {
                Err(Failure::Failed(config_cmd::check_failed(&errors, json).trim_end().to_owned()))
            }
        },
        ConfigCommand::Show { config } => match read(config) {
            Ok(config) => Ok(config_cmd::show(&config, json)),
            Err(errors) => Err(Failure::Failed(errors.to_string())),
        },
    }
}
