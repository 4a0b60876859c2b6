//! The environment: one variable for each key, and a twin that names a file with the value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::catalogue::Catalogue;
use super::file::read_bounded;
use crate::settings::{Fault, Given, Origin, Written};

/// What all our variables start with.
const PREFIX: &str = "BELFRY_";

/// The end of the name of a variable whose value is the path of a file.
const TWIN: &str = "_FILE";

/// Variables that belong to the command line's client and not to the configuration.
const RESERVED: [&str; 4] = ["BELFRY_URL", "BELFRY_KEY", "BELFRY_TOKEN", "BELFRY_CONFIG"];

/// The longest value that a file may hold, in bytes.
const VALUE_BYTES_MAX: u64 = 64 << 10;

/// Our variables of an environment.
///
/// # Errors
///
/// Each of them that is not UTF-8. The value is not shown: it may be a secret.
pub(super) fn decode(
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, Vec<Fault>> {
    let (mut ours, mut faults) = (Vec::new(), Vec::new());
    for (name, value) in env {
        let shown = name.to_string_lossy().into_owned();
        if !shown.starts_with(PREFIX) {
            continue;
        }
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => ours.push((name, value)),
            (Err(_), _) | (_, Err(_)) => {
                let message = "the variable is not UTF-8 text".to_owned();
                faults.push(Fault { origin: Origin::Environment(shown), message });
            }
        }
    }
    if faults.is_empty() { Ok(ours) } else { Err(faults) }
}

/// Puts what the environment says into `given`.
pub(super) fn gather(env: &[(String, String)], catalogue: &Catalogue, given: &mut Given) {
    let ours: BTreeMap<&str, &str> = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| name.starts_with(PREFIX) && !RESERVED.contains(name))
        .collect();
    for (name, value) in &ours {
        let pointed = name.strip_suffix(TWIN).and_then(|stem| Some((stem, catalogue.key_of(stem)?)));
        if let Some(key) = catalogue.key_of(name) {
            given.put(key, Written::Raw((*value).to_owned()), Origin::Environment((*name).to_owned()));
        } else if let Some((stem, key)) = pointed {
            if ours.contains_key(stem) {
                let origin = Origin::Environment((*name).to_owned());
                given.fault_in(
                    key,
                    origin,
                    format!("{key} is given by {stem} as well, but must be by one of the two"),
                );
            } else {
                follow(name, Path::new(value), key, given);
            }
        } else if catalogue.is_meant(name) {
            let hint = catalogue.hint_for_variable(name);
            let origin = Origin::Environment((*name).to_owned());
            given.fault(origin, format!("unknown variable {}; {hint}", name.escape_debug()));
        }
    }
}

/// Takes the value of a key from the file that a variable names.
fn follow(variable: &str, path: &Path, key: &str, given: &mut Given) {
    let origin = Origin::Pointed { variable: variable.to_owned(), path: PathBuf::from(path) };
    let text = match read_bounded(path, VALUE_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    match text {
        Ok(text) => given.put(key, Written::Raw(without_newline(&text).to_owned()), origin),
        Err(reason) => given.fault_in(key, origin, format!("failed to read {key} from the file: {reason}")),
    }
}

/// The text without one line break at its end, which editors and `echo` leave there.
fn without_newline(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_not_part_of_the_value() {
        for (text, value) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a \n", "a ")] {
            assert_eq!(without_newline(text), value, "{text:?}");
        }
    }

    #[test]
    fn a_variable_that_is_not_text_is_named_and_its_value_is_not_shown() {
        let broken = (OsString::from("BELFRY_AUTH__JWT_SECRET"), OsString::from_vec(vec![b's', 0xff]));
        let foreign = (OsString::from("HOME"), OsString::from_vec(vec![0xff]));
        let faults = decode([broken, foreign].into_iter()).expect_err("not text");
        let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
        assert_eq!(lines, ["BELFRY_AUTH__JWT_SECRET: the variable is not UTF-8 text"]);
    }
}
