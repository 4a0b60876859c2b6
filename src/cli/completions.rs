//! `belfry completions`: the script by which a shell completes the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use super::Cli;
use super::failure::Failure;
use super::options::Options;
use super::screen;

const EXAMPLES: &str = "\
Examples:
  belfry completions bash > ~/.local/share/bash-completion/completions/belfry
  belfry completions zsh > ~/.zfunc/_belfry
  belfry completions fish > ~/.config/fish/completions/belfry.fish

The Debian package has installed those of bash, zsh and fish already.";

/// For which shell.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints it.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &CompletionsArgs, options: &Options) -> Result<(), Failure> {
    let script = script(args.shell);
    if options.json {
        return screen::say(&json!({ "shell": args.shell.to_string(), "script": script }).to_string());
    }
    screen::say(&script)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "belfry", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_is_told_of_every_subcommand() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
