//! What is printed for operators says what is in force, and reads back as itself.

use proptest::prelude::*;

use super::*;

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
}
