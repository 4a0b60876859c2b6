//! What operators may rely on: where values come from, and what they are told when one is wrong.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
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

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    let text =
        "[server]\nlisten = \"127.0.0.1:1\"\nlisen = \"127.0.0.1:1\"\n\n[websockets]\nmax = 1\n[banana]\n";
    assert_eq!(
        Sources::new(text).errors(),
        [
            "belfry.toml:3: unknown key server.lisen; did you mean server.listen?",
            "belfry.toml:5: unknown key websockets; did you mean websocket?",
            "belfry.toml:7: unknown key banana; `belfry config doc` lists every key",
        ]
    );
}

#[test]
fn a_misspelt_section_below_another_is_refused_on_its_line() {
    let text = "[channels.email]\nhost = \"a\"\n\n[channels.emial]\nport = 25\n";
    assert_eq!(
        Sources::new(text).errors(),
        ["belfry.toml:4: unknown key channels.emial; did you mean channels.email?"]
    );
}

#[test]
fn a_quoted_key_with_a_dot_is_not_taken_for_a_key_of_a_section() {
    assert_eq!(
        Sources::new("\"log.level\" = \"info\"\n\"\\u001b\" = 1").errors(),
        [
            "belfry.toml:1: unknown key \"log.level\"; did you mean log.level?",
            "belfry.toml:2: unknown key \"\\\\u001B\"; `belfry config doc` lists every key",
        ]
    );
}

#[test]
fn a_value_in_the_place_of_a_section_is_refused() {
    assert_eq!(
        Sources::new("log = \"info\"\n[[server]]\n").errors(),
        [
            "belfry.toml:1: log has a value, but must be a section, as [log]",
            "belfry.toml:2: server has a value, but must be a section, as [server]",
        ]
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_what_is_allowed() {
    let text =
        "[websocket]\nrequire_authentication = \"yes\"\nmax_connections = 1.5\n[log]\nlevel = { a = 1 }\n";
    assert_eq!(
        Sources::new(text).errors(),
        [
            "belfry.toml:2: websocket.require_authentication is \"yes\", but must be true or false",
            "belfry.toml:3: websocket.max_connections is a number with a fraction, but must be a whole number from 1 to 1000000",
            "belfry.toml:5: log.level is a table, but must be error, warn, info, debug, trace or off, or directives as info,belfry::ws=debug",
        ]
    );
}

#[test]
fn zero_and_negative_values_of_live_connections_are_refused() {
    for key in Config::default().keys().filter(|key| key.name.starts_with("websocket.")) {
        if key.name.ends_with("require_authentication") {
            continue;
        }
        for value in ["0", "-1"] {
            let variable = key.variable();
            let expected = format!("{variable}: {} is \"{value}\", but must be {}", key.name, key.allowed);
            assert_eq!(Sources::new("").env(&variable, value).errors(), [expected]);
        }
    }
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_name() {
    let sources = Sources::new("")
        .env("BELFRY_SERVER_LISTEN", "x")
        .env("BELFRY_AUTH__ADMIN_KY_FILE", "x")
        .env("BELFRY_WHATEVER", "x");
    assert_eq!(
        sources.errors(),
        [
            "BELFRY_AUTH__ADMIN_KY_FILE: unknown variable BELFRY_AUTH__ADMIN_KY_FILE; did you mean BELFRY_AUTH__ADMIN_KEY_FILE?",
            "BELFRY_SERVER_LISTEN: unknown variable BELFRY_SERVER_LISTEN; did you mean BELFRY_SERVER__LISTEN?",
            "BELFRY_WHATEVER: unknown variable BELFRY_WHATEVER; `belfry config doc` lists every key",
        ]
    );
}

#[test]
fn a_bad_value_names_the_variable_or_the_flag_that_gave_it() {
    let sources =
        Sources::new("").env("BELFRY_STORAGE__CACHE_CAPACITY", "1MiB").flag("server.listen", "localhost");
    assert_eq!(
        sources.errors(),
        [
            "command line: server.listen is \"localhost\", but must be an IP address and a port, as 127.0.0.1:8470, 0.0.0.0:8470 or [::]:8470",
            "BELFRY_STORAGE__CACHE_CAPACITY: storage.cache_capacity is \"1MiB\", but must be a size from 8MiB to 16GiB, as 65536 (bytes), 64KiB or 1MiB",
        ]
    );
}

#[test]
fn a_bad_secret_is_named_and_never_shown() {
    let sources = Sources::new("[auth]\nadmin_key = \"short-key\"\n")
        .pointed("BELFRY_AUTH__JWT_SECRET_FILE", "short-secret\n")
        .env("BELFRY_CHANNELS__EMAIL__PASSWORD", "");
    let errors = sources.errors();
    assert_eq!(
        errors,
        [
            "belfry.toml:2: auth.admin_key has a value (not shown), but must be at least 16 visible ASCII characters without blanks",
            "BELFRY_AUTH__JWT_SECRET_FILE (\"BELFRY_AUTH__JWT_SECRET_FILE\"): auth.jwt_secret has a value (not shown), but must be at least 16 bytes of text in one line",
            "BELFRY_CHANNELS__EMAIL__PASSWORD: channels.email.password has a value (not shown), but must be text in one line",
        ]
    );
}

#[test]
fn a_variable_and_its_twin_together_are_refused() {
    let sources = Sources::new("").env("BELFRY_LOG__LEVEL", "info").pointed("BELFRY_LOG__LEVEL_FILE", "info");
    assert_eq!(
        sources.errors(),
        [
            "BELFRY_LOG__LEVEL_FILE: log.level is given by BELFRY_LOG__LEVEL as well, but must be by one of the two"
        ]
    );
}

#[test]
fn a_twin_whose_file_cannot_be_read_is_refused() {
    let sources = Sources::new("").env("BELFRY_LOG__LEVEL_FILE", "/nowhere/level");
    assert_eq!(
        sources.errors(),
        [
            "BELFRY_LOG__LEVEL_FILE (\"/nowhere/level\"): failed to read log.level from the file: No such file or directory (os error 2)"
        ]
    );
}

#[test]
fn a_twin_with_an_endless_file_is_refused() {
    let errors = Sources::new("").env("BELFRY_LOG__LEVEL_FILE", "/dev/zero").errors();
    assert_eq!(
        errors,
        [
            "BELFRY_LOG__LEVEL_FILE (\"/dev/zero\"): failed to read log.level from the file: longer than 65536 bytes"
        ]
    );
}

#[test]
fn a_named_file_that_is_not_there_is_refused() {
    let errors = load(Some(Path::new("/nowhere/belfry.toml")), &[], &[]).expect_err("no file");
    let expected =
        "/nowhere/belfry.toml: failed to read the configuration file: No such file or directory (os error 2)";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_the_line() {
    let errors = Sources::new("[server]\nlisten = \n").errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("belfry.toml:2: the configuration file is not TOML: "), "{errors:?}");
}

#[test]
fn a_key_given_twice_in_the_file_is_refused_with_the_second_line() {
    let errors = Sources::new("[log]\nlevel = \"info\"\nlevel = \"warn\"\n").errors();
    assert_eq!(errors, ["belfry.toml:3: the configuration file is not TOML: duplicate key"]);
}

#[test]
fn a_file_that_is_not_text_is_refused_with_the_line() {
    let sources = Sources::new("");
    std::fs::write(&sources.file, b"[log]\n\xff").expect("a file");
    assert_eq!(sources.errors(), ["belfry.toml:2: the configuration file is not UTF-8 text"]);
}

#[test]
fn a_timeout_shorter_than_the_heartbeat_is_refused() {
    let expected = "websocket.connection_timeout is 30s, but must be longer than websocket.heartbeat_interval, which is 30s";
    let errors = Sources::new("[websocket]\nconnection_timeout = \"30s\"\n").errors();
    assert_eq!(errors, [format!("belfry.toml:2: {expected}")]);
    let errors = Sources::new("").env("BELFRY_WEBSOCKET__HEARTBEAT_INTERVAL", "1h").errors();
    assert!(
        errors[0].starts_with("BELFRY_WEBSOCKET__HEARTBEAT_INTERVAL: websocket.connection_timeout is 5m")
    );
}

#[test]
fn live_mail_without_a_server_is_refused() {
    assert_eq!(
        Sources::new("[channels.email]\nmode = \"live\"\n").errors(),
        [
            "belfry.toml:2: channels.email.host is not set, but must be, because channels.email.mode is \"live\""
        ]
    );
}

#[test]
fn a_name_without_a_password_is_refused_and_so_is_the_reverse() {
    assert_eq!(
        Sources::new("[channels.email]\nusername = \"a\"\n").errors(),
        [
            "belfry.toml:2: channels.email.password is not set, but must be, because channels.email.username is"
        ]
    );
    assert_eq!(
        Sources::new("[channels.email]\npassword = \"a\"\n").errors(),
        [
            "belfry.toml:2: channels.email.username is not set, but must be, because channels.email.password is"
        ]
    );
}

#[test]
fn a_lease_that_a_send_can_outlive_is_refused() {
    assert_eq!(
        Sources::new("[channels.email]\ntimeout = \"1m\"\n").errors(),
        ["belfry.toml:2: delivery.lease is 1m, but must be longer than channels.email.timeout, which is 1m"]
    );
}

#[test]
fn a_channel_that_cannot_send_yet_says_so() {
    for channel in ["sms", "browser_push", "webhook"] {
        assert_eq!(
            Sources::new(&format!("[channels.{channel}]\nmode = \"live\"\n")).errors(),
            [format!(
                "belfry.toml:2: channels.{channel}.mode is \"live\", but must be capture or off: this version delivers this channel only in capture mode"
            )]
        );
    }
}

#[test]
fn a_combination_is_not_judged_when_one_of_its_keys_is_wrong_by_itself() {
    let text = "[websocket]\nheartbeat_interval = \"10m\"\nconnection_timeout = \"soon\"\n";
    let errors = Sources::new(text).errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let errors = Sources::new("[channels.email\n").env("BELFRY_CHANNELS__EMAIL__MODE", "live").errors();
    assert!(errors.iter().all(|error| error.contains("is not TOML")), "{errors:?}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_the_file_in_its_order_first() {
    let text = "[websocket]\nmax_connections = 0\n[log]\nformat = \"xml\"\n[limits]\nmax_batch = 1\n[server]\nlisten = 1\n";
    let errors = Sources::new(text).env("BELFRY_NOTHING", "").errors();
    let places: Vec<&str> =
        errors.iter().filter_map(|error| error.split_once(": ").map(|(place, _)| place)).collect();
    assert_eq!(
        places,
        ["belfry.toml:2", "belfry.toml:4", "belfry.toml:6", "belfry.toml:8", "BELFRY_NOTHING"]
    );
}

#[test]
fn no_line_break_of_a_value_breaks_a_message() {
    let errors = Sources::new("[log]\nlevel = \"a\\nb: fine\"\n").env("BELFRY_A\nB", "").errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn what_is_in_force_is_shown_with_where_it_comes_from() {
    let sources = Sources::new("[log]\nlevel = \"warn\"\n")
        .env("BELFRY_LIMITS__MAX_CAPTURED", "7")
        .pointed("BELFRY_CHANNELS__EMAIL__HOST_FILE", "smtp.example.org\n")
        .flag("storage.path", "/data");
    let page = show(&sources.good());
    let dir = sources.dir.path().display();
    for line in [
        format!("# Configuration file: \"{dir}/belfry.toml\""),
        "listen = \"127.0.0.1:8470\"  # default".to_owned(),
        "path = \"/data\"  # command line".to_owned(),
        "# admin_key = [not set]  # default".to_owned(),
        format!(
            "host = \"smtp.example.org\"  # BELFRY_CHANNELS__EMAIL__HOST_FILE (\"{dir}/BELFRY_CHANNELS__EMAIL__HOST_FILE\")"
        ),
        "sms.schedule = [\"10s\", \"1m\", \"5m\", \"30m\"]  # default".to_owned(),
        "max_captured = 7  # BELFRY_LIMITS__MAX_CAPTURED".to_owned(),
        format!("level = \"warn\"  # {dir}/belfry.toml:2"),
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
}

#[test]
fn what_is_shown_is_a_configuration_of_the_same_values() {
    let text =
        "[channels.email]\nhost = \"smtp.example.org\"\nfrom = \"\\\"Glocke, Turm\\\" <a@example.org>\"\n";
    let config = Sources::new(text).good();
    assert_eq!(values(&Sources::new(&show(&config)).good()), values(&config));
}

#[test]
fn the_file_to_start_from_changes_nothing() {
    let config = Sources::new(&init_file()).good();
    assert_eq!(values(&config), values(&Config::default()));
    assert!(config.keys().all(|key| *config.origin(&key.name) == Origin::Default));
}

/// The file to start from with the `#` taken from those keys that `chosen` picks by their number.
fn uncommented(chosen: impl Fn(usize) -> bool) -> String {
    let mut number = 0;
    let line = |line: &str| {
        let key = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        let Some(key) = key else { return line.to_owned() };
        number += 1;
        if chosen(number - 1) { key.to_owned() } else { line.to_owned() }
    };
    init_file().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_line_of_the_file_to_start_from_is_good_except_the_secrets_it_leaves_open() {
    let open = Config::default().keys().filter(|key| key.secret).count();
    let errors = Sources::new(&uncommented(|_| true)).errors();
    assert_eq!(
        errors.iter().filter(|error| error.contains("has a value (not shown)")).count(),
        open,
        "{errors:?}"
    );
    assert_eq!(errors.len(), open, "{errors:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_default_of_the_file_to_start_from_can_be_uncommented_and_changes_nothing(picked in any::<u64>()) {
        let keys: Vec<Key> = Config::default().keys().collect();
        let text = uncommented(|n| keys[n].value.is_some() && picked & (1 << (n % 64)) != 0);
        let config = Sources::new(&text).good();
        prop_assert_eq!(values(&config), values(&Config::default()));
        for (n, key) in keys.iter().enumerate() {
            let from_file = key.value.is_some() && picked & (1 << (n % 64)) != 0;
            prop_assert_eq!(*config.origin(&key.name) != Origin::Default, from_file);
        }
    }

    #[test]
    fn no_file_however_broken_makes_the_reader_panic(text in "[\\[\\]a-z.=\"'{}#0-9\n ]{0,200}") {
        let _ = Sources::new(&text).load();
    }
}
