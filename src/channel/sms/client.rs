//! Calls to the operator's own gateways: bounded in time and size, never redirected. Where they go is the operator's
//! word, so no address is out of bounds.

use std::error::Error;
use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};

use super::super::Answered;
use super::super::webhook::retry_after;
use super::super::words::tidy;

/// How long connecting may take, where the time limit of a call is not shorter.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What a gateway made of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken, under this name where it gave one.
    Taken {
        /// The gateway's own id.
        id: Option<String>,
    },
    /// Refused for good.
    Rejected(String),
    /// Refused for good, for its length.
    TooLarge(String),
    /// It wants to be sent less.
    Limited(String, Option<Duration>),
    /// It cannot now.
    Busy(String, Option<Duration>),
    /// It is not there, or does not know us: that says nothing about the text or its person.
    Down(String),
}

impl Verdict {
    /// Whether the gateway was there. One that is busy and says until when was.
    pub(super) fn answered(&self) -> Answered<'_> {
        match self {
            Verdict::Taken { .. } => Answered::Took,
            Verdict::Rejected(words)
            | Verdict::TooLarge(words)
            | Verdict::Limited(words, _)
            | Verdict::Busy(words, Some(_)) => Answered::Refused(words),
            Verdict::Busy(words, None) | Verdict::Down(words) => Answered::NotThere(words),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) after: Option<Duration>,
}

/// The client of every gateway.
pub(super) fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    super::super::install_crypto();
    let builder = || {
        Client::builder()
            .user_agent(concat!("belfry/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_WAIT.min(timeout))
            .timeout(timeout)
    };
    // A machine without certificate authorities can still call a gateway in the clear.
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

/// Makes a call; what is wrong where there is no answer.
pub(super) async fn call(request: RequestBuilder) -> Result<Answer, String> {
    let mut response = request.send().await.map_err(|error| cause(&error))?;
    let (status, after) = (response.status().as_u16(), asked(response.headers()));
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        // The status has come: an answer that breaks off in its body is an answer.
        let Ok(Some(piece)) = response.chunk().await else { break };
        body.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX - body.len())]);
    }
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), after })
}

/// The delay that an answer asks for. An instant is measured from the answer's own.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let date = text(DATE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let now = date.map_or(i64::MAX, |date| date.timestamp().as_millisecond());
    retry_after::read(text(RETRY_AFTER)?, now)
}

/// The innermost cause: those around it name the URL, which may hold a password.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    tidy(&cause.to_string())
}

impl Answer {
    /// The status and the first words of the body.
    pub(super) fn said(&self) -> String {
        tidy(&format!("{} {}", self.status, self.body))
    }

    /// What the status says, with `words` from the answer.
    pub(super) fn judge(&self, words: &str) -> Verdict {
        let said = tidy(&format!("{} {words}", self.status));
        match self.status {
            200..=299 => Verdict::Taken { id: None },
            300..=399 => Verdict::Down(format!("it answers with a redirect, which is not followed: {said}")),
            401 | 403 | 407 => Verdict::Down(format!("it refuses our credentials: {said}")),
            413 => Verdict::TooLarge(said),
            429 => Verdict::Limited(said, self.after),
            408 | 425 | 500.. => Verdict::Busy(said, self.after),
            _ => Verdict::Rejected(said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_whose_fault_it_is() {
        let judged = |status| {
            Answer { status, body: String::new(), after: Some(Duration::from_secs(7)) }.judge("no\r\nway")
        };
        assert_eq!(judged(202), Verdict::Taken { id: None });
        assert_eq!(judged(400), Verdict::Rejected("400 no way".into()));
        assert_eq!(judged(429), Verdict::Limited("429 no way".into(), Some(Duration::from_secs(7))));
        assert_eq!(judged(503), Verdict::Busy("503 no way".into(), Some(Duration::from_secs(7))));
        for ours in [302, 401, 403] {
            assert!(matches!(judged(ours), Verdict::Down(_)), "{ours}");
        }
    }
}
