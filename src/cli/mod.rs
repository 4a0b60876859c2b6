//! The command line: what can be asked, who answers it, and with which exit code it ends.
//!
//! One file per subcommand, each with its arguments on top and its `run` below. `options` gives the way to a server,
//! `screen` is the only way to the terminal, and `failure` is the only place that knows exit codes.

pub mod backup;
pub mod bench;
pub mod completions;
pub mod config;
pub mod config_cmd;
mod demo;
pub mod doctor;
pub mod dump;
pub mod endpoint;
pub mod explain;
pub mod failure;
pub mod frame;
pub mod hook;
pub mod key;
pub mod listen;
pub mod man;
pub mod options;
mod pages;
mod progress;
pub mod screen;
pub mod send;
pub mod sentences;
pub mod serve;
pub mod simulate;
pub mod template;
pub mod token;
pub mod user;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use failure::{Exit, Failure};
pub use options::Options;

const EXAMPLES: &str = "\
Try it in a minute:
  belfry dev                         a throw-away server; prints what to open
  belfry send ada \"Hello\" --wait 5   send something and see what became of it
  belfry listen ada                  watch notifications as they arrive
  belfry explain 0198c5f0-…          why a notification went where it went

Run it for good:
  belfry config init > belfry.toml
  belfry config check --config belfry.toml
  belfry serve --config belfry.toml

Environment:
  BELFRY_URL                the server that the client commands talk to
  BELFRY_KEY                the API key that they use
  SSL_CERT_FILE             certificates that they trust instead of the system's
  BELFRY_<SECTION>__<KEY>   any key of the configuration: `belfry config doc`

Something wrong?
  belfry doctor

Exit codes:
  0 ok  1 failed  2 usage  3 not found  4 not allowed  69 server unavailable";

/// Everything that was asked on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "belfry",
    version,
    about = "A notification server that a team installs on one machine and forgets about",
    after_help = EXAMPLES,
    max_term_width = 110,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What every subcommand understands.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Take the five-minute tour: a throw-away server with a demo user, from which nothing leaves the machine
    Dev(serve::DevArgs),
    /// Send a notification to one person
    Send(send::SendArgs),
    /// Watch a person's notifications as they arrive
    Listen(listen::ListenArgs),
    /// Tell what became of a notification: every decision and attempt, when and why
    Explain(explain::ExplainArgs),
    /// Tell what would happen to a notification at any instant, and why; nothing is sent
    Simulate(simulate::SimulateArgs),
    /// Measure what a running server holds on its machine
    Bench(bench::BenchArgs),
    /// Make a token with which one person can read their own notifications
    Token(token::TokenArgs),
    /// Create, list and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make inbound webhooks and try them out
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Make outbound webhooks, try them out and catch them up
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// See who there is, look at one person, and forget them
    #[command(subcommand)]
    User(user::UserCommand),
    /// Store templates, try them out and bring old versions back
    #[command(subcommand)]
    Template(template::TemplateCommand),
    /// Write, check, show and explain the server's configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Find out what is wrong: configuration, disk, clock, mail server, and the server itself
    Doctor(doctor::DoctorArgs),
    /// Copy everything that is stored into one file, while the server runs
    Backup(backup::BackupArgs),
    /// Put a backup back
    Restore(backup::RestoreArgs),
    /// Write out users, preferences, topics, templates, schedules and hooks as text, to move or to keep
    Export(dump::export::ExportArgs),
    /// Put in what an export wrote, or people from elsewhere
    Import(dump::import::ImportArgs),
    /// Read everything that is stored, to know that all of it can be read
    Verify(backup::VerifyArgs),
    /// Print the script by which a shell completes this program's command line
    Completions(completions::CompletionsArgs),
    /// Print the manual
    Man(man::ManArgs),
}

/// What a command needs from the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// It serves many at once.
    Server,
    /// It does one thing and ends.
    Client,
}

impl Command {
    /// What this command needs from the process.
    pub const fn runs(&self) -> Runs {
        match self {
            Command::Serve(_) | Command::Dev(_) => Runs::Server,
            Command::Send(_)
            | Command::Listen(_)
            | Command::Explain(_)
            | Command::Simulate(_)
            | Command::Bench(_)
            | Command::Token(_)
            | Command::Key(_)
            | Command::Hook(_)
            | Command::Endpoint(_)
            | Command::User(_)
            | Command::Template(_)
            | Command::Config(_)
            | Command::Doctor(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Export(_)
            | Command::Import(_)
            | Command::Verify(_)
            | Command::Completions(_)
            | Command::Man(_) => Runs::Client,
        }
    }
}

/// Reads the command line. Where there is nothing to run (a question for help, or a mistake) the answer has been
/// printed already and the exit code is given back.
///
/// # Errors
/// The exit code to end with: 0 after help or version, 2 after a mistake.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // What cannot be read as a whole still says how its answer is to be read.
    let json = arguments
        .iter()
        .skip(1)
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json");
    Cli::try_parse_from(arguments).map_err(|error| {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        screen::show_clap(&error, json);
        exit
    })
}

/// Does what was asked.
///
/// # Errors
/// Whatever keeps it from being done, already worded for the person at the terminal.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { options, command } = cli;
    match command {
        Command::Serve(args) => serve::serve(args).await.map_err(Failure::Failed),
        Command::Dev(args) => serve::dev(args).await.map_err(Failure::Failed),
        Command::Send(args) => send::run(args, &options).await,
        Command::Listen(args) => listen::run(args, &options).await,
        Command::Explain(args) => explain::run(args, &options).await,
        Command::Simulate(args) => simulate::run(args, &options).await,
        Command::Bench(args) => bench::run(args, &options).await,
        Command::Token(args) => token::run(args, &options).await,
        Command::Key(command) => key::run(command, &options).await,
        Command::Hook(command) => hook::run(command, &options).await,
        Command::Endpoint(command) => endpoint::run(command, &options).await,
        Command::User(command) => user::run(command, &options).await,
        Command::Template(command) => template::run(command, &options).await,
        Command::Config(command) => config::run(&command, &options),
        Command::Doctor(args) => doctor::run(args, &options).await,
        Command::Backup(args) => backup::backup(args, &options).await,
        Command::Restore(args) => backup::put_back(args, &options),
        Command::Export(args) => dump::export::run(args, &options).await,
        Command::Import(args) => dump::import::run(args, &options).await,
        Command::Verify(args) => backup::verify(&args, &options),
        Command::Completions(args) => completions::run(&args, &options),
        Command::Man(args) => man::run(&args, &options),
    }
}

/// Says what went wrong, if something did, and gives the exit code.
pub fn conclude(outcome: Result<(), Failure>, json: bool) -> Exit {
    match outcome {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            let exit = failure.exit();
            match &failure {
                Failure::PipeClosed => {}
                spoken if json => screen::note(&spoken.to_json()),
                spoken => screen::note(&format!("belfry: {spoken}")),
            }
            exit
        }
    }
}

#[cfg(test)]
mod tests;
