//! What a check found: how bad it is, what it saw, and what to do next.

use serde_json::{Value, json};

use super::super::screen::{self, clean};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be, or not to be told from here.
    Ok,
    /// It works, and may not for long or not for everybody.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

/// What a check found. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was seen, and where.
    pub seen: String,
    /// What to do next.
    pub next: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, seen: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, seen: seen.into(), next: None }
    }

    /// It may not be well for long.
    pub fn warn(check: &'static str, seen: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { check, level: Level::Warn, seen: seen.into(), next: Some(next.into()) }
    }

    /// It is not well.
    pub fn fail(check: &'static str, seen: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { check, level: Level::Fail, seen: seen.into(), next: Some(next.into()) }
    }
}

/// How many there are of a level.
pub fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

/// All of them for a program.
pub fn to_json(findings: &[Finding]) -> String {
    let checks: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check, "status": finding.level.name(), "detail": finding.seen, "next": finding.next,
            })
        })
        .collect();
    let failed = count(findings, Level::Fail);
    let warnings = count(findings, Level::Warn);
    json!({ "ok": failed == 0, "failed": failed, "warnings": warnings, "checks": checks }).to_string()
}

/// All of them for a person: a line each, and below it what to do.
pub fn to_text(findings: &[Finding]) -> String {
    let mut rows = Vec::new();
    for finding in findings {
        let [level, check] = [finding.level.name(), finding.check].map(str::to_owned);
        rows.push(vec![level, check, clean(&finding.seen)]);
        if let Some(next) = &finding.next {
            rows.push(vec![String::new(), String::new(), format!("-> {}", clean(next))]);
        }
    }
    let (failed, warnings) = (count(findings, Level::Fail), count(findings, Level::Warn));
    format!("{}\n{} checks, {failed} failed, {warnings} to look at\n", screen::table(&rows), findings.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_and_what_to_do_stands_below_it() {
        let findings = [Finding::ok("clock", "right"), Finding::warn("base_url", "not set", "set it")];
        assert_eq!(
            to_text(&findings),
            "ok    clock     right\nwarn  base_url  not set\n                -> set it\n\n2 checks, 0 failed, 1 to look at\n"
        );
        let value: Value = serde_json::from_str(&to_json(&findings)).unwrap();
        assert_eq!((&value["ok"], &value["checks"][1]["status"]), (&json!(true), &json!("warn")));
        let failed = [Finding::fail("store", "gone", "restore")];
        assert!(to_json(&failed).contains("\"ok\":false"));
    }
}
