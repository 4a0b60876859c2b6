//! The server's no, in its own words (RFC 9457).

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use serde::Deserialize;

/// The most wrong fields that are listed.
const FIELD_ERRORS_MAX: usize = 50;

/// A refusal in the server's words (RFC 9457), cleaned for the terminal.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The kind of refusal, as `not_found`; empty where the server named none.
    pub code: String,
    /// What kind of thing happened.
    pub title: String,
    /// What happened this time; may be empty.
    pub detail: String,
    /// The fields that were wrong, if it was fields.
    pub errors: Vec<FieldError>,
    /// When to come again, in seconds, if the server said.
    pub retry_after_seconds: Option<u64>,
}

/// One field that was wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Its path in the body.
    pub field: String,
    /// What was wrong with it.
    pub detail: String,
}

impl Problem {
    /// Reads a refusing answer. `tidy` makes what the server wrote fit for the terminal. A body that is no problem
    /// leaves what the status says.
    pub fn read(
        status: StatusCode,
        headers: &HeaderMap,
        text: &str,
        tidy: impl Fn(&str) -> String,
    ) -> Problem {
        let is_json = header(headers, CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
        let said: Said =
            if is_json { serde_json::from_str(text).unwrap_or_default() } else { Said::default() };
        let detail = match header(headers, LOCATION) {
            Some(location) if status.is_redirection() => {
                format!("the server redirects to {location}; give that address with --server")
            }
            Some(_) | None => said.detail,
        };
        let title = if said.title.is_empty() { reason_phrase(status) } else { said.title };
        let fields = said.errors.iter().take(FIELD_ERRORS_MAX);
        Problem {
            status: status.as_u16(),
            code: tidy(&said.code),
            title: tidy(&title),
            detail: tidy(&detail),
            errors: fields
                .map(|error| FieldError { field: tidy(&error.field), detail: tidy(&error.detail) })
                .collect(),
            retry_after_seconds: header(headers, RETRY_AFTER).and_then(|value| value.parse().ok()),
        }
    }
}

impl std::error::Error for Problem {}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = if self.detail.is_empty() { &self.title } else { &self.detail };
        if self.code.is_empty() {
            write!(f, "{said} (HTTP {})", self.status)?;
        } else {
            write!(f, "{said} ({}, HTTP {})", self.code, self.status)?;
        }
        for error in &self.errors {
            write!(f, "\n  {}: {}", error.field, error.detail)?;
        }
        if self.status == 401 {
            f.write_str("\n  give a valid key by BELFRY_KEY or --key-file")?;
        }
        if let Some(seconds) = self.retry_after_seconds {
            write!(f, "\n  try again in {seconds} s")?;
        }
        Ok(())
    }
}

/// The parts of problem+json that are shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    code: String,
    title: String,
    detail: String,
    errors: Vec<SaidOfField>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidOfField {
    field: String,
    detail: String,
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn reason_phrase(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("refused").to_owned()
}
