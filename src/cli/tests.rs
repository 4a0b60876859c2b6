//! What the command line takes, what it ends with, and what it never shows.

use clap::CommandFactory;
use clap::error::ErrorKind;
use secrecy::ExposeSecret;

use super::*;
use crate::client::ClientError;
use crate::client::refusal::{FieldError, Problem};

const TOKEN: &str = "blf_0123456789abcdefABCDEF0123456789";

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn problem(status: u16) -> Failure {
    let problem = Problem {
        status,
        code: "some_code".to_owned(),
        title: "Title".to_owned(),
        detail: "what happened".to_owned(),
        errors: vec![FieldError { field: "user_id".to_owned(), detail: "is missing".to_owned() }],
        retry_after_seconds: None,
    };
    Failure::Client(ClientError::Refused(problem))
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_subcommand_has_help_with_an_example() {
    fn check(command: &clap::Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name} says nothing about itself");
        if command.has_subcommands() {
            command.get_subcommands().for_each(check);
        } else {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("belfry "), "{name} has no example");
        }
    }
    Cli::command().get_subcommands().for_each(check);
}

#[test]
fn examples_fit_a_terminal_of_eighty_columns() {
    fn check(command: &clap::Command) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in after.lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn global_options_may_stand_on_either_side() {
    for line in
        ["belfry --json --server http://h:1 explain n1", "belfry explain n1 --json --server http://h:1"]
    {
        let cli = parsed(line).unwrap();
        assert!(cli.options.json);
        assert_eq!(cli.options.server, "http://h:1");
    }
}

#[test]
fn only_the_servers_run_on_many_threads() {
    assert_eq!(parsed("belfry serve --listen 127.0.0.1:0").unwrap().command.runs(), Runs::Server);
    assert_eq!(parsed("belfry dev").unwrap().command.runs(), Runs::Server);
    assert_eq!(parsed("belfry send ada hello").unwrap().command.runs(), Runs::Client);
}

#[test]
fn scopes_are_repeated_or_separated_by_commas() {
    let Command::Key(key::KeyCommand::Create(args)) =
        parsed("belfry key create ci --scope publish,read --scope ingest:ci").unwrap().command
    else {
        panic!("that creates a key")
    };
    let scopes: Vec<String> = args.scopes.iter().map(ToString::to_string).collect();
    assert_eq!(scopes, ["publish", "read", "ingest:ci"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "belfry send ada",
        "belfry send ada hi --priority loud",
        "belfry send ada hi --channel pigeon",
        "belfry send ada hi --wait 31",
        "belfry send ada hi --at tomorrow",
        "belfry send .. hi",
        "belfry key create ci",
        "belfry key create ci --scope everything",
        "belfry token ada --expires-in 0",
        "belfry user list --limit 0",
        "belfry completions csh",
    ] {
        assert!(parsed(line).is_err_and(|error| error.use_stderr()), "{line}");
    }
}

#[test]
fn help_is_no_mistake() {
    assert_eq!(parsed("belfry send --help").unwrap_err().kind(), ErrorKind::DisplayHelp);
    assert_eq!(parse(["belfry".into(), "--version".into()]).unwrap_err(), Exit::Ok);
    assert_eq!(parse(["belfry".into(), "--no-such".into()]).unwrap_err(), Exit::Usage);
}

#[test]
fn refusals_end_with_the_exit_code_of_their_status() {
    let codes = [(404, 3), (401, 4), (403, 4), (503, 69), (502, 69), (504, 69), (422, 1), (429, 1), (500, 1)];
    for (status, exit) in codes {
        assert_eq!(problem(status).exit().code(), exit, "{status}");
    }
}

#[test]
fn other_failures_have_their_exit_codes_too() {
    let unreachable =
        ClientError::Unreachable { server: "http://h".to_owned(), cause: "connection refused".to_owned() };
    let unreadable = ClientError::Unreadable { server: "http://h".to_owned(), what: "odd".to_owned() };
    assert_eq!(Failure::Client(unreachable).exit().code(), 69);
    assert_eq!(Failure::Client(unreadable).exit().code(), 1);
    assert_eq!(Failure::Usage(String::new()).exit().code(), 2);
    assert_eq!(Failure::NotAllowed(String::new()).exit().code(), 4);
    assert_eq!(Failure::Unavailable(String::new()).exit().code(), 69);
    assert_eq!(Failure::Failed(String::new()).exit().code(), 1);
}

#[test]
fn a_reader_who_leaves_is_a_good_end() {
    assert_eq!(conclude(Err(Failure::PipeClosed), false), Exit::Ok);
}

#[test]
fn a_refusal_names_every_wrong_field() {
    assert_eq!(problem(422).to_string(), "what happened (some_code, HTTP 422)\n  user_id: is missing");
}

#[test]
fn a_failure_in_json_is_one_line_with_its_exit_code() {
    let line = problem(404).to_json();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(!line.contains('\n'));
    assert_eq!(value["status"], 404);
    assert_eq!(value["exit_code"], 3);
    assert_eq!(value["errors"][0]["field"], "user_id");
}

#[test]
fn a_key_is_never_in_a_message() {
    let cli = parsed(&format!("belfry --key {TOKEN} key list")).unwrap();
    assert!(!format!("{cli:?}").contains(TOKEN));
    assert_eq!(cli.options.token().unwrap().unwrap().expose_secret(), TOKEN);

    let misplaced = parsed(&format!("belfry listen ada {TOKEN}")).unwrap_err().to_string();
    assert!(misplaced.contains(TOKEN), "clap repeats what it does not expect");
    assert!(!screen::mask(&misplaced).contains(TOKEN));

    let options = parsed(&format!("belfry key list --key-file {TOKEN}")).unwrap().options;
    let message = options.token().unwrap_err().to_string();
    assert!(message.contains("blf_01…") && !message.contains(TOKEN), "{message}");

    let mut options = parsed("belfry key list").unwrap().options;
    options.key = Some("two\nlines".into());
    let failure = options.token().unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(!failure.to_string().contains("lines"));
}

#[test]
fn a_password_in_the_address_is_refused_and_not_repeated() {
    let options = parsed("belfry key list --server http://ada:hunter2@h:1").unwrap().options;
    let failure = options.client().unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(!failure.to_string().contains("hunter2"));
}

#[test]
fn an_address_that_is_no_http_address_is_a_mistake() {
    for server in ["localhost:8470", "ftp://h", "http://h/?q", "http://h/#f", "http://"] {
        let options = parsed(&format!("belfry key list --server {server}")).unwrap().options;
        assert_eq!(options.client().unwrap_err().exit(), Exit::Usage, "{server}");
    }
}

#[test]
fn masking_cuts_tokens_and_leaves_words_and_uuids() {
    assert_eq!(screen::mask(&format!("'{TOKEN}'!")), "'blf_01…'!");
    assert_eq!(screen::mask("an-ordinary-word-of-some-length"), "an-ordinary-word-of-some-length");
    let uuid = "0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11";
    assert_eq!(screen::mask(uuid), uuid);
}

#[test]
fn json_stays_the_same_value_and_becomes_one_harmless_line() {
    let text = "{\n  \"a\": \"x\u{9b}31m\u{202e}ü\"\n}\n";
    let line = screen::json_line(text);
    assert_eq!(line, "{   \"a\": \"x\\u009b31m\\u202eü\" }");
    let (before, after): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(text).unwrap(), serde_json::from_str(&line).unwrap());
    assert_eq!(before, after);
}
