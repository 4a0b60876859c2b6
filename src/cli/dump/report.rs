//! What an import came to: what was put back, what was there, what failed and where, and the secrets that were made.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::screen::{self, clean};
use super::Kind;

/// The most failures that are told one by one; how many there are is counted beyond it.
const TOLD_MAX: usize = 1_000;

/// What happened so far.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    done: BTreeMap<Kind, u64>,
    already: BTreeMap<Kind, u64>,
    /// How many lines failed.
    pub failed: u64,
    told: Vec<(u64, String)>,
    made: Vec<Value>,
}

impl Report {
    /// A thing was put back.
    pub fn done(&mut self, kind: Kind) {
        *self.done.entry(kind).or_default() += 1;
    }

    /// A thing was there already.
    pub fn already(&mut self, kind: Kind) {
        *self.already.entry(kind).or_default() += 1;
    }

    /// A line failed.
    pub fn failed(&mut self, line: u64, why: &str) {
        self.failed += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push((line, why.to_owned()));
        }
    }

    /// Secrets were made, which are shown this once.
    pub fn made(&mut self, kind: Kind, answer: &Map<String, Value>) {
        let mut made = json!({ "kind": kind.name() });
        for name in ["id", "name", "path", "url", "token", "secret"] {
            if let Some(value) = answer.get(name) {
                made[name] = value.clone();
            }
        }
        self.made.push(made);
    }

    /// The whole of it in JSON.
    pub fn to_json(&self, dry_run: bool) -> String {
        let counts = |counts: &BTreeMap<Kind, u64>| -> Map<String, Value> {
            counts.iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect()
        };
        let errors: Vec<Value> =
            self.told.iter().map(|(line, why)| json!({ "line": line, "detail": why })).collect();
        json!({
            "lines": self.lines, "dry_run": dry_run, "done": counts(&self.done), "already": counts(&self.already),
            "failed": self.failed, "errors": errors, "made": self.made,
        })
        .to_string()
    }

    /// The same for a person.
    pub fn to_text(&self, dry_run: bool) -> String {
        let mut text = String::new();
        for made in &self.made {
            let shown = made.as_object().into_iter().flatten().filter(|(name, _)| *name != "id");
            let shown =
                shown.map(|(name, value)| format!("{name} {}", clean(value.as_str().unwrap_or_default())));
            text.push_str(&format!("{}\n", shown.collect::<Vec<_>>().join(", ")));
        }
        if !self.made.is_empty() {
            text.push_str(
                "These tokens and secrets are shown this once: give them to the senders and receivers.\n\n",
            );
        }
        let first = if dry_run { "GOOD" } else { "DONE" };
        let mut rows = vec![["KIND", first, "THERE ALREADY"].map(str::to_owned).to_vec()];
        let count = |counts: &BTreeMap<Kind, u64>, kind| counts.get(&kind).copied().unwrap_or(0);
        rows.extend(Kind::ALL.into_iter().filter_map(|kind| {
            let (done, already) = (count(&self.done, kind), count(&self.already, kind));
            (done + already > 0).then(|| vec![kind.name().to_owned(), done.to_string(), already.to_string()])
        }));
        text.push_str(&screen::table(&rows));
        text
    }

    /// A line for each failure that is told.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.told.iter().map(|(line, why)| format!("line {line}: {}", clean(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_by_kind_and_shows_secrets_and_failures() {
        let mut report = Report::default();
        report.done(Kind::User);
        report.done(Kind::User);
        report.already(Kind::Hook);
        report.failed(7, "email\u{1b}[31m is wrong");
        let answer = json!({ "name": "ci", "token": "bh_x", "created_at": "…" });
        report.made(Kind::Hook, answer.as_object().unwrap());
        let text = report.to_text(false);
        assert!(
            text.contains("bh_x") && text.contains("user  2     0") && text.contains("hook  0     1"),
            "{text}"
        );
        assert_eq!(report.failures().collect::<Vec<_>>(), ["line 7: email[31m is wrong"]);
        let value: Value = serde_json::from_str(&report.to_json(true)).unwrap();
        assert_eq!((&value["done"]["user"], &value["errors"][0]["line"]), (&json!(2), &json!(7)));
    }
}
