//! What operators may rely on: where values come from, what they are told when one is wrong, and what is printed.

mod print;
mod refusals;

use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::model::channel::{Channel, Mode};

/// A directory with a configuration file, and what else a load takes.
struct Sources {
    dir: TempDir,
    file: PathBuf,
    env: Vec<(String, String)>,
    flags: Vec<(&'static str, String)>,
}

impl Sources {
    fn new(text: &str) -> Sources {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("belfry.toml");
        std::fs::write(&file, text).expect("a file");
        Sources { dir, file, env: Vec::new(), flags: Vec::new() }
    }

    fn env(mut self, name: &str, value: &str) -> Sources {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &'static str, value: &str) -> Sources {
        self.flags.push((key, value.to_owned()));
        self
    }

    /// A variable whose value is the path of a file with that content.
    fn pointed(self, name: &str, content: &str) -> Sources {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("a file");
        let path = path.to_str().expect("UTF-8").to_owned();
        self.env(name, &path)
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        load(Some(&self.file), &self.env, &self.flags)
    }

    fn good(&self) -> Config {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The lines of the refusal, with the directory left out.
    fn errors(&self) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        let errors = self.load().expect_err("a refusal").to_string();
        errors.lines().map(|line| line.replace(&dir, "")).collect()
    }
}

fn values(config: &Config) -> Vec<(String, Option<String>)> {
    config.keys().map(|key| (key.name, key.value)).collect()
}

#[test]
fn without_any_source_everything_has_its_default() {
    let config = Sources::new("").good();
    assert_eq!(values(&config), values(&Config::default()));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8470");
    assert_eq!(config.websocket.reconnect_delay, Duration::from_secs(1));
}

#[test]
fn the_file_is_stronger_than_the_default_the_environment_than_the_file_and_a_flag_than_all() {
    let sources = Sources::new("[limits]\nmax_captured = 2\n");
    assert_eq!(sources.good().limits.max_captured, 2);
    let sources = sources.env("BELFRY_LIMITS__MAX_CAPTURED", "3");
    assert_eq!(sources.good().limits.max_captured, 3);
    let sources = sources.flag("limits.max_captured", "4");
    assert_eq!(sources.good().limits.max_captured, 4);
}

#[test]
fn every_key_with_a_default_can_be_set_by_its_variable() {
    for key in Config::default().keys().filter(|key| !key.secret) {
        let Some(value) = &key.value else { continue };
        let text = value.parse::<toml::Value>().expect("TOML");
        let text = text.as_str().map_or(value.clone(), str::to_owned);
        let config = Sources::new("").env(&key.variable(), &text).good();
        assert_eq!(*config.origin(&key.name), Origin::Environment(key.variable()));
        assert_eq!(values(&config), values(&Config::default()), "{}", key.name);
    }
}

#[test]
fn keys_of_three_levels_are_set_by_environment_and_lists_are_toml() {
    let config = Sources::new("")
        .env("BELFRY_CHANNELS__EMAIL__HOST", "smtp.example.org")
        .env("BELFRY_CHANNELS__SMS__MODE", "capture")
        .env("BELFRY_RETRY__EMAIL__SCHEDULE", r#"["500ms", "1h", 90]"#)
        .env("BELFRY_RETRY__WEBHOOK__SCHEDULE", "[]")
        .good();
    assert_eq!(config.channels.mode(Channel::Email), Mode::Live);
    assert_eq!(config.channels.mode(Channel::Sms), Mode::Capture);
    let waits = [Duration::from_millis(500), Duration::from_secs(3600), Duration::from_secs(90)];
    assert_eq!(config.retry.schedule(Channel::Email), waits);
    assert_eq!(config.retry.schedule(Channel::Webhook), []);
}

#[test]
fn the_file_may_use_headings_dotted_keys_and_inline_tables() {
    let text = "channels.email.host = \"a\"\n[channels]\nsms = { mode = \"capture\" }\n[retry.sms]\nschedule = [\"1s\"]";
    // TOML forbids a heading for a table that dotted keys have made, so each form stands alone.
    let errors = Sources::new(text).errors();
    assert!(errors[0].starts_with("belfry.toml:2: the configuration file is not TOML: "), "{errors:?}");
    let config = Sources::new(
        "channels = { sms = { mode = \"capture\" } }\nretry.sms.schedule = [\"1s\"]\n[log]\nlevel = \"off\"",
    )
    .good();
    assert_eq!(config.channels.mode(Channel::Sms), Mode::Capture);
    assert_eq!(config.retry.schedule(Channel::Sms), [Duration::from_secs(1)]);
    assert_eq!(config.log.level, "off");
}

#[test]
fn a_twin_reads_the_value_from_a_file_without_the_last_line_break() {
    let config = Sources::new("").pointed("BELFRY_AUTH__JWT_SECRET_FILE", "0123456789abcdef\n").good();
    let secret = config.auth.jwt_secret.as_ref().expect("set");
    assert_eq!(secret.expose_secret(), "0123456789abcdef");
}

#[test]
fn a_key_whose_name_ends_in_file_has_a_variable_and_a_twin_as_well() {
    let config = Sources::new("").env("BELFRY_CHANNELS__EMAIL__CA_FILE", "/ca.pem").good();
    assert_eq!(config.channels.email.ca_file, Some(PathBuf::from("/ca.pem")));
    let config = Sources::new("").pointed("BELFRY_CHANNELS__EMAIL__CA_FILE_FILE", "/other.pem").good();
    assert_eq!(config.channels.email.ca_file, Some(PathBuf::from("/other.pem")));
}

#[test]
fn variables_of_the_client_and_of_others_are_left_alone() {
    let sources = Sources::new("").env("BELFRY_URL", "x").env("BELFRY_KEY", "x").env("BELFRY_TOKEN", "x");
    let config = sources.env("BELFRY_CONFIG", "x").env("HOME", "/root").good();
    assert_eq!(values(&config), values(&Config::default()));
}
