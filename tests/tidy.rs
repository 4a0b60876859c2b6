//! The house rules that a reader of the source can check: floors, first lines, and what must not be there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The module names in the order of `lib.rs`: the floor plan.
fn floors() -> BTreeMap<String, usize> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.enumerate().map(|(floor, name)| (name.to_owned(), floor)).collect()
}

/// The lines of code of a file: comments and what follows `#[cfg(test)] mod tests` left out.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("a readable source");
    let mut lines = Vec::new();
    let mut after_cfg_test = false;
    for (at, line) in text.lines().enumerate() {
        if after_cfg_test && line.starts_with("mod ") && line.ends_with('{') {
            break;
        }
        after_cfg_test = line == "#[cfg(test)]";
        let bare = line.split("//").next().unwrap_or("");
        lines.push((at + 1, bare.to_owned()));
    }
    lines
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name == "tests" || name == "tests.rs" || name.ends_with("_tests.rs")
    })
}

#[test]
fn a_module_imports_only_from_modules_above_it_in_lib_rs() {
    let floors = floors();
    let mut wrong = Vec::new();
    for path in sources() {
        let inner = path.strip_prefix(root().join("src")).expect("below src");
        let first = inner.components().next().expect("a name").as_os_str().to_string_lossy();
        let own = first.trim_end_matches(".rs");
        let Some(own_floor) = floors.get(own) else {
            assert!(matches!(own, "lib" | "main"), "{own} has no place in lib.rs");
            continue;
        };
        for (at, line) in code(&path) {
            for used in line.split("crate::").skip(1) {
                // Either one path, or the list in `use crate::{a, b::C}`.
                let names =
                    used.strip_prefix('{').map_or_else(|| vec![used], |list| list.split(',').collect());
                for name in names {
                    let is_word = |c: char| c.is_alphanumeric() || c == '_';
                    let name: String = name.trim().chars().take_while(|c| is_word(*c)).collect();
                    if floors.get(&name).is_some_and(|floor| floor > own_floor) {
                        wrong.push(format!("{}:{at} imports {name}, which is below it", inner.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports go down:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_on_its_first_line() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|path| !fs::read_to_string(path).expect("a readable source").starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn nothing_that_input_disk_or_network_decides_is_unwrapped() {
    let mut wrong = Vec::new();
    for path in sources().into_iter().filter(|path| !is_test_file(path)) {
        for (at, line) in code(&path) {
            if [".unwrap()", "todo!(", "unimplemented!(", "dbg!("].iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{at} {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_store_names_sled_and_only_its_codec_names_bincode() {
    let mut wrong = Vec::new();
    for path in sources() {
        let inner = path.strip_prefix(root().join("src")).expect("below src").to_string_lossy().into_owned();
        for (at, line) in code(&path) {
            let sled_outside = line.contains("sled::") && !inner.starts_with("store/");
            let bincode_outside = line.contains("bincode::") && inner != "store/codec.rs";
            if sled_outside || bincode_outside {
                wrong.push(format!("{inner}:{at} {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_channels_do_not_know_the_store_and_status_codes_stay_in_the_door() {
    let mut wrong = Vec::new();
    for path in sources() {
        let inner = path.strip_prefix(root().join("src")).expect("below src").to_string_lossy().into_owned();
        for (at, line) in code(&path) {
            let store_in_channel = inner.starts_with("channel/") && line.contains("crate::store");
            let door = ["api/", "listen/", "ws/handshake", "ws/mod.rs", "ws/tests", "client/", "cli/"];
            let code_elsewhere =
                line.contains("StatusCode") && !door.iter().any(|room| inner.starts_with(room));
            if store_in_channel || code_elsewhere {
                wrong.push(format!("{inner}:{at} {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
