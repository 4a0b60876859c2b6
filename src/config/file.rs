//! The configuration file: each key with the line it stands on.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::catalogue::Catalogue;
use crate::settings::{Given, Origin, Written};

/// The largest file that is read. With every key and every comment it takes 20 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How many errors of syntax are reported. One often brings others with it.
const SYNTAX_ERRORS_LEN_MAX: usize = 10;

/// Puts what the file says into `given`, and returns the file if there was one.
pub(super) fn gather(file: Option<&Path>, catalogue: &Catalogue, given: &mut Given) -> Option<PathBuf> {
    let path = file.unwrap_or(Path::new(super::DEFAULT_FILE));
    match read_bounded(path, FILE_BYTES_MAX) {
        Ok(bytes) => gather_bytes(path, &bytes, catalogue, given),
        Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            given.tear();
            let origin = Origin::File { path: path.to_owned(), line: None };
            given.fault(origin, format!("failed to read the configuration file: {error}"));
        }
    }
    Some(path.to_owned())
}

/// The content of a file, or an error when it is longer than `bytes_max`.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {bytes_max} bytes")));
    }
    Ok(bytes)
}

fn gather_bytes(path: &Path, bytes: &[u8], catalogue: &Catalogue, given: &mut Given) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            given.tear();
            let origin = Origin::File { path: path.to_owned(), line: Some(line(bytes, error.valid_up_to())) };
            return given.fault(origin, "the configuration file is not UTF-8 text".to_owned());
        }
    };
    let mut reader = Reader { path, text, catalogue, given };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return reader.visit("", table.get_ref());
    }
    reader.given.tear();
    for error in errors.iter().take(SYNTAX_ERRORS_LEN_MAX) {
        let origin = reader.origin(error.span().map_or(0, |span| span.start));
        reader.given.fault(origin, format!("the configuration file is not TOML: {}", error.message()));
    }
}

fn line(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    catalogue: &'a Catalogue,
    given: &'a mut Given,
}

impl Reader<'_> {
    /// Takes the keys of a table and of the tables in it. TOML's own bound on nesting holds the depth, and so does
    /// the catalogue: nothing unknown is entered.
    fn visit(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = below(prefix, key.get_ref());
            let origin = self.origin(key.span().start);
            if self.catalogue.has_key(&name) {
                self.given.put(&name, Written::from_toml(value.get_ref()), origin);
            } else if !self.catalogue.has_section(&name) {
                let hint = self.catalogue.hint_for_key(&name);
                self.given.fault(origin, format!("unknown key {name}; {hint}"));
            } else if let DeValue::Table(table) = value.get_ref() {
                self.visit(&name, table);
            } else {
                self.given.fault(origin, format!("{name} has a value, but must be a section, as [{name}]"));
            }
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line: Some(line(self.text.as_bytes(), offset)) }
    }
}

/// How much of an unknown name a message repeats. No key of ours has a part this long.
const NAME_CHARS_MAX: usize = 80;

/// The full name of a key. One that TOML writes in quotes is no key of ours and must not look like one.
fn below(prefix: &str, key: &str) -> String {
    let bare =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let key: String = key.chars().take(NAME_CHARS_MAX).collect();
    let key = if bare { key } else { format!("{key:?}") };
    if prefix.is_empty() { key } else { crate::settings::join(prefix, &key) }
}
