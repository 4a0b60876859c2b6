//! What operators read: the reference of all keys, a file to start from, and the values in force.

use std::fmt::Write;

use super::Config;
use crate::settings::{Key, Section, lines};

/// The reference of every key, in Markdown.
pub fn document() -> String {
    let mut page = String::from(DOCUMENT_HEAD);
    for section in Config::default().sections() {
        let _ = write!(page, "\n## `[{}]`\n\n{}\n\n", section.name, prose(section.about, " "));
        page.push_str("| key | default | allowed | meaning |\n|---|---|---|---|\n");
        for key in &section.keys {
            let default = key.value.as_ref().map_or("not set".to_owned(), |value| format!("`{value}`"));
            let secret = if key.secret { " Secret: never shown and never logged." } else { "" };
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {}{secret} |",
                key.name,
                cell(&default),
                cell(&key.allowed),
                cell(&prose(key.about, " ")),
            );
        }
    }
    page
}

const DOCUMENT_HEAD: &str = "# Configuration

Every key can be set, from the strongest to the weakest, by a flag where there is one, by the environment, and in
the file that `--config` names (else `/etc/belfry/belfry.toml` if that exists).

The environment variable of a key is `BELFRY_`, the section, two underscores and the key, all in capitals, with two
underscores between all levels: `server.listen` is `BELFRY_SERVER__LISTEN`, `channels.email.host` is
`BELFRY_CHANNELS__EMAIL__HOST`. Its value is plain text without quotes; lists are TOML arrays, as
`[\"30s\", \"2m\"]`. With `_FILE` at the end, as `BELFRY_AUTH__JWT_SECRET_FILE`, the variable names a file that
holds the value; one line break at the end of the file is not part of it.

An unknown key or a value that is not allowed stops the start with a message that names the key and where it stands.
";

/// A file to start from: every key with its default, commented out.
pub fn init_file() -> String {
    let mut file = String::from(INIT_HEAD);
    for section in Config::default().sections() {
        let _ = write!(file, "\n\n[{}]\n# {}\n", section.name, prose(section.about, "\n# "));
        for key in &section.keys {
            init_key(&mut file, &section, key);
        }
    }
    file
}

const INIT_HEAD: &str = "# The configuration of Belfry.
#
# Every key stands here with its default. To set one, remove the # in front of it and change the value.
# Each can be set by the environment as well, which is stronger than this file: BELFRY_, the section, two
# underscores and the key, as BELFRY_SERVER__LISTEN; with _FILE at the end it names a file that holds the value.
# `belfry config check` says whether all is well, `belfry config show` what is in force and why.";

fn init_key(file: &mut String, section: &Section, key: &Key) {
    let unset = if key.value.is_none() { " Not set by default." } else { "" };
    let value = key.value.as_ref().or(key.example.as_ref()).map_or("", String::as_str);
    let _ = write!(
        file,
        "\n# {}\n# Must be {}.{unset}\n#{} = {value}\n",
        prose(key.about, "\n# "),
        key.allowed,
        key.name_in(&section.name),
    );
}

/// The values in force as TOML, each with where it comes from. Secrets and keys that are not set are comments.
pub fn show(config: &Config) -> String {
    let mut page = match &config.source {
        Some(path) => format!("# Configuration file: {path:?}\n"),
        None => "# No configuration file\n".to_owned(),
    };
    for section in config.sections() {
        let _ = write!(page, "\n[{}]\n", section.name);
        for key in &section.keys {
            let name = key.name_in(&section.name);
            let origin = config.origin(&key.name);
            let _ = match &key.value {
                Some(value) if key.secret => writeln!(page, "# {name} = {value}  # {origin}"),
                Some(value) => writeln!(page, "{name} = {value}  # {origin}"),
                None => writeln!(page, "# {name} = [not set]  # {origin}"),
            };
        }
    }
    page
}

fn prose(about: &str, between: &str) -> String {
    lines(about).collect::<Vec<_>>().join(between)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
