//! `belfry config {init,check,show,doc}`: what each of them prints.

use serde_json::{Value, json};

use crate::config::{self, Config, ConfigErrors};
use crate::settings::Origin;

/// What `config init` prints: a file to start from. In JSON it is one text.
pub fn init(json: bool) -> String {
    let file = config::init_file();
    if json { pretty(&json!({ "file": file })) } else { file }
}

/// What `config doc` prints: the reference of every key.
pub fn doc(json: bool) -> String {
    if !json {
        return config::document();
    }
    let keys: Vec<Value> = Config::default()
        .keys()
        .map(|key| {
            let about: Vec<&str> = crate::settings::lines(key.about).collect();
            let variable = key.variable();
            json!({
                "key": key.name, "environment": variable, "default": key.value, "allowed": key.allowed,
                "secret": key.secret, "meaning": about.join(" "),
            })
        })
        .collect();
    pretty(&json!({ "keys": keys }))
}

/// What `config show` prints: the values in force and where each comes from. In JSON each value is the TOML text.
pub fn show(config: &Config, json: bool) -> String {
    if !json {
        return config::show(config);
    }
    let entry = |key: crate::settings::Key| {
        let origin = config.origin(&key.name).to_string();
        (key.name, json!({ "value": key.value, "secret": key.secret, "origin": origin }))
    };
    let keys: serde_json::Map<String, Value> = config.keys().map(entry).collect();
    pretty(&json!({ "file": config.source, "keys": keys }))
}

/// What `config check` prints when all is well.
pub fn check(config: &Config, json: bool) -> String {
    let set = config.keys().filter(|key| *config.origin(&key.name) != Origin::Default).count();
    let notices: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
    if json {
        return pretty(
            &json!({ "ok": true, "file": config.source, "keys_set": set, "errors": [], "notices": notices }),
        );
    }
    let file = config.source.as_ref().map_or("no configuration file".to_owned(), |path| format!("{path:?}"));
    let keys = if set == 1 { "key" } else { "keys" };
    let notices: String = notices.iter().map(|notice| format!("note: {notice}\n")).collect();
    format!("{notices}the configuration is good: {file}, {set} {keys} set\n")
}

/// What `config check` prints when something is wrong: a line for each thing.
pub fn check_failed(errors: &ConfigErrors, json: bool) -> String {
    if !json {
        return format!("{errors}\n");
    }
    let faults: Vec<Value> = errors
        .faults()
        .iter()
        .map(|fault| json!({ "origin": fault.origin.to_string(), "message": fault.message }))
        .collect();
    pretty(&json!({ "ok": false, "errors": faults }))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_key_is_in_the_reference_in_both_forms() {
        let parsed: Value = serde_json::from_str(&doc(true)).expect("JSON");
        let names: Vec<&str> =
            parsed["keys"].as_array().expect("a list").iter().filter_map(|key| key["key"].as_str()).collect();
        assert!(names.contains(&"channels.email.host"));
        for name in names {
            assert!(doc(false).contains(&format!("| `{name}` |")), "{name}");
        }
    }

    #[test]
    fn a_check_says_how_many_keys_are_set() {
        let env = [("BELFRY_LOG__LEVEL".to_owned(), "debug".to_owned())];
        let config = config::load(Some(Path::new("/dev/null")), &env, &[]).expect("good");
        assert!(check(&config, false).ends_with("1 key set\n"), "{}", check(&config, false));
    }

    #[test]
    fn a_failed_check_lists_every_fault_in_json() {
        let env = [("BELFRY_LOG__LEVEL", "loud"), ("BELFRY_LOG__FORMAT", "xml")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let errors = config::load(Some(Path::new("/dev/null")), &env, &[]).expect_err("two faults");
        let parsed: Value = serde_json::from_str(&check_failed(&errors, true)).expect("JSON");
        assert_eq!(parsed["errors"].as_array().map(Vec::len), Some(2));
        assert_eq!(parsed["ok"], false);
    }

    #[test]
    fn secrets_are_shown_as_set_and_nothing_more() {
        let env = [("BELFRY_AUTH__JWT_SECRET".to_owned(), "a-secret-of-some-length".to_owned())];
        let config = config::load(Some(Path::new("/dev/null")), &env, &[]).expect("good");
        for page in [show(&config, false), show(&config, true), format!("{config:?}")] {
            assert!(!page.contains("a-secret"), "{page}");
        }
        assert!(show(&config, false).contains("# jwt_secret = [set]  # BELFRY_AUTH__JWT_SECRET\n"));
    }
}
