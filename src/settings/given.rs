//! What the sources gave for each key, and what turned out to be wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use super::kind::Kind;
use super::written::Written;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from one; `None` for the file as a whole.
        line: Option<usize>,
    },
    /// The environment variable of that name.
    Environment(String),
    /// The file that an environment variable ending in `_FILE` names.
    Pointed {
        /// The variable.
        variable: String,
        /// The file that it names.
        path: PathBuf,
    },
    /// A flag.
    CommandLine,
    /// The declaration.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => {
                write!(f, "{}", path.display().to_string().escape_debug())?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))
            }
            Origin::Environment(variable) => write!(f, "{}", variable.escape_debug()),
            Origin::Pointed { variable, path } => write!(f, "{} ({path:?})", variable.escape_debug()),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the operator should look.
    pub origin: Origin,
    /// What is wrong, with the name of the key in it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// Keys whose values are each allowed, but not together.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The keys by their full names, the one to look at first in front.
    pub keys: Vec<String>,
    /// What is wrong, with the names of the keys in it.
    pub message: String,
}

/// Everything that was given, the strongest source last. May hold secrets, so it has no `Debug`.
#[derive(Default)]
pub struct Given {
    entries: BTreeMap<String, (Written, Origin)>,
    broken: BTreeSet<String>,
    faults: Vec<Fault>,
    torn: bool,
}

impl Given {
    /// Notes a value for a key. A later one replaces an earlier one.
    pub fn put(&mut self, key: &str, value: Written, origin: Origin) {
        self.entries.insert(key.to_owned(), (value, origin));
    }

    /// Notes what is wrong about something that is not the value of a key.
    pub fn fault(&mut self, origin: Origin, message: String) {
        self.faults.push(Fault { origin, message });
    }

    /// Notes that a key was given in a way that leaves its value unknown.
    pub fn fault_in(&mut self, key: &str, origin: Origin, message: String) {
        self.broken.insert(key.to_owned());
        self.fault(origin, message);
    }

    /// Notes that a whole source could not be read: a key may be missing only for that reason, so no combination of
    /// keys is judged any more.
    pub fn tear(&mut self) {
        self.torn = true;
    }

    /// The value of a key, or `None` when it has none or a bad one; the latter is noted.
    pub fn read<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<T> {
        let (written, origin) = self.entries.get(key)?;
        let value = kind.read(written);
        if value.is_none() {
            let given =
                if kind.is_secret() { "has a value (not shown)".to_owned() } else { format!("is {written}") };
            let message = format!("{key} {given}, but must be {}", kind.allowed());
            self.fault_in(key, origin.clone(), message);
        }
        value
    }

    /// Notes a combination that is not allowed, unless one of its keys is known to be wrong by itself.
    pub fn refuse(&mut self, violation: Violation) {
        if self.torn || violation.keys.iter().any(|key| self.broken.contains(key)) {
            return;
        }
        let origin =
            violation.keys.iter().find_map(|key| self.entries.get(key).map(|(_, origin)| origin.clone()));
        self.fault(origin.unwrap_or(Origin::Default), violation.message);
    }

    /// Where each key that was given comes from, and everything that is wrong.
    pub fn finish(self) -> (BTreeMap<String, Origin>, Vec<Fault>) {
        let origins = self.entries.into_iter().map(|(key, (_, origin))| (key, origin)).collect();
        (origins, self.faults)
    }
}
