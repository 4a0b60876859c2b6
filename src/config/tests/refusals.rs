//! What is wrong is refused by the name of its key, the place where it stands and what would be allowed.

use proptest::prelude::*;

use super::*;

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
            "belfry.toml:2: unknown key \"\\u{1b}\"; `belfry config doc` lists every key",
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
        .env("BELFRY_WHAT__EVER", "x");
    assert_eq!(
        sources.errors(),
        [
            "BELFRY_AUTH__ADMIN_KY_FILE: unknown variable BELFRY_AUTH__ADMIN_KY_FILE; did you mean BELFRY_AUTH__ADMIN_KEY_FILE?",
            "BELFRY_SERVER_LISTEN: unknown variable BELFRY_SERVER_LISTEN; did you mean BELFRY_SERVER__LISTEN?",
            "BELFRY_WHAT__EVER: unknown variable BELFRY_WHAT__EVER; `belfry config doc` lists every key",
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
        [
            "belfry.toml:2: delivery.lease is 2m, but must be longer than twice channels.email.timeout, which is 1m"
        ]
    );
}

#[test]
fn live_texts_want_a_provider_and_each_provider_what_it_needs() {
    assert_eq!(
        Sources::new("[channels.sms]\nmode = \"live\"\n").errors(),
        [
            "belfry.toml:2: channels.sms.provider is not set, but must be, because channels.sms.mode is \"live\""
        ]
    );
    let text = "[channels.sms]\nproviders = [\"twilio\", \"kannel\", \"http\"]\n[channels.sms.kannel]\nurl = \"http://127.0.0.1/\"\nusername = \"b\"\n";
    let unset = |key: &str, provider: &str| {
        format!(
            "belfry.toml:2: channels.sms.{key} is not set, but must be, because channels.sms.providers is \"{provider}\""
        )
    };
    let expected = [
        unset("twilio.account_sid", "twilio"),
        unset("twilio.auth_token", "twilio"),
        unset("from", "twilio"),
        unset("kannel.password", "kannel"),
        unset("http.url", "http"),
    ];
    assert_eq!(Sources::new(text).errors(), expected);
}

#[test]
fn the_call_of_a_gateway_is_held_to_the_placeholders_that_there_are() {
    let text = "[channels.sms.http]\nurl = \"https://a.example/{{two}}\"\nbody = \"{{text\"\nheaders = { \"a b\" = \"c\" }\n";
    let errors = Sources::new(text).errors();
    let keys: Vec<&str> = errors
        .iter()
        .filter_map(|error| error.split(' ').nth(1))
        .map(|key| key.trim_end_matches(':'))
        .collect();
    assert_eq!(keys, ["channels.sms.http.url", "channels.sms.http.body", "channels.sms.http.headers"]);
    let text = "[channels.sms]\nprovider = \"http\"\n[channels.sms.http]\nurl = \"https://a.example/?to={{to}}\"\n[channels.sms.http.headers]\nAuthorization = \"Bearer s3cret\"\n";
    let config = Sources::new(text).load().expect("nothing is wrong");
    assert!(!crate::config::show(&config).contains("s3cret"));
    let given = Sources::new("").env("BELFRY_CHANNELS__SMS__HTTP__HEADERS", "{ X-Key = \"k\" }").load();
    let headers = given.expect("nothing is wrong").channels.sms.http_headers.expect("it is set");
    assert_eq!(headers["X-Key"], "k");
}

#[test]
fn variables_of_somebody_else_that_begin_like_ours_are_left_alone() {
    let sources = Sources::new("").env("BELFRY_SERVICE_HOST", "10.0.0.1").env("BELFRY_BIN", "belfry");
    assert!(sources.load().is_ok());
}

#[test]
fn a_bad_public_key_is_named_by_its_entry() {
    let private = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n";
    let text = format!("[auth]\njwt_keys = ['/nowhere/keys.json', \"\"\"{private}\"\"\"]\n");
    let private = "is a private key, but must be its public half: keep the private one with whoever signs";
    assert_eq!(
        Sources::new(&text).errors(),
        [
            "belfry.toml:2: auth.jwt_keys: entry 1 (\"/nowhere/keys.json\") is a file that cannot be read: No such file or directory (os error 2)".to_owned(),
            format!("belfry.toml:2: auth.jwt_keys: entry 2 {private}"),
        ]
    );
    let errors = Sources::new("").env("BELFRY_AUTH__JWT_KEYS", "").errors();
    assert!(errors[0].starts_with("BELFRY_AUTH__JWT_KEYS: auth.jwt_keys: entry 1 is nothing of the kind"));
    let errors = Sources::new("[auth]\njwt_keys = 7\n").errors();
    assert!(errors[0].starts_with("belfry.toml:2: auth.jwt_keys is 7, but must be a list of"), "{errors:?}");
}

#[test]
fn a_public_key_that_is_for_something_else_is_passed_over_and_noticed() {
    let key = |more: &str| {
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"{more}}}"#)
    };
    let set = format!("{{\"keys\":[{},{}]}}\n", key(""), key(r#","use":"enc""#));
    let config =
        Sources::new("").pointed("BELFRY_AUTH__JWT_KEYS_FILE", &set).load().expect("nothing is wrong");
    let notices: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert!(
        notice.ends_with("auth.jwt_keys: entry 1, key 2 is for the use \"enc\"; it is passed over"),
        "{notice}"
    );
}

#[test]
fn how_long_things_are_kept_has_no_key_that_does_nothing() {
    let errors = Sources::new("[retention]\nnotifications = 30\n").errors();
    assert!(errors[0].starts_with("belfry.toml:2: unknown key retention.notifications; "), "{errors:?}");
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
    let errors = Sources::new(text).env("BELFRY_NO__THING", "").errors();
    let places: Vec<&str> =
        errors.iter().filter_map(|error| error.split_once(": ").map(|(place, _)| place)).collect();
    assert_eq!(
        places,
        ["belfry.toml:2", "belfry.toml:4", "belfry.toml:6", "belfry.toml:8", "BELFRY_NO__THING"]
    );
}

#[test]
fn no_line_break_of_a_value_breaks_a_message() {
    let errors = Sources::new("[log]\nlevel = \"a\\nb: fine\"\n").env("BELFRY_A__\nB", "").errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

proptest! {
    #[test]
    fn no_file_however_broken_makes_the_reader_panic(text in "[\\[\\]a-z.=\"'{}#0-9\n ]{0,200}") {
        let _ = Sources::new(&text).load();
    }
}
