//! Calls to endpoints, by the Standard Webhooks specification (standardwebhooks.com): signed, with one id over every
//! attempt, and taken when the answer is 2xx.

pub mod body;
pub(super) mod retry_after;
pub mod sign;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};

use crate::clock::Millis;
use crate::outbound::{Call, Outbound};

/// How much of an answer is kept, in bytes: enough to see what went wrong.
const ANSWER_BYTES_MAX: usize = 1_024;

/// What is sent where.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The endpoint's URL.
    pub url: String,
    /// The secrets that sign: one, or two while they change.
    pub secrets: Vec<Vec<u8>>,
    /// The `webhook-id`: the same over every attempt.
    pub id: String,
    /// The JSON.
    pub body: Bytes,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint took it.
    Taken,
    /// The endpoint wants nothing more.
    Gone,
    /// Not now: try again, not before `after` where the endpoint named a delay.
    Later {
        /// The delay that it asked for.
        after: Option<Duration>,
    },
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// What it came to.
    pub verdict: Verdict,
    /// The status code; none where there was no answer.
    pub status: Option<u16>,
    /// How long it took.
    pub latency: Duration,
    /// The beginning of the answer.
    pub answer: String,
    /// What went wrong.
    pub error: Option<String>,
}

impl Called {
    /// Whether the endpoint was there: a refusal is an answer, and so is a wish to be called later.
    pub fn was_there(&self) -> bool {
        match (&self.verdict, self.status) {
            (Verdict::Taken | Verdict::Gone | Verdict::Later { after: Some(_) }, _) => true,
            (Verdict::Later { after: None }, status) => status.is_some_and(|status| status < 500),
        }
    }
}

/// The way to endpoints.
#[derive(Clone, Debug)]
pub struct Webhook {
    outbound: Outbound,
}

impl Webhook {
    /// Calls through `outbound`, which says where calls may go.
    pub fn new(outbound: Outbound) -> Webhook {
        Webhook { outbound }
    }

    /// One attempt at `now`. It ends by itself within the time limit of calls.
    pub async fn call(&self, delivery: &Delivery, now: Millis) -> Called {
        let started = Instant::now();
        let failed = |error: String| Called {
            verdict: Verdict::Later { after: None },
            status: None,
            latency: started.elapsed(),
            answer: String::new(),
            error: Some(error),
        };
        let Ok(url) = delivery.url.parse() else { return failed("the URL cannot be read".to_owned()) };
        let call = Call {
            method: Method::POST,
            url,
            headers: headers(delivery, now),
            body: delivery.body.clone(),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = match self.outbound.call(call).await {
            Ok(answer) => answer,
            Err(error) => return failed(error.to_string()),
        };
        let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let verdict = judge(answer.status, asked, now);
        Called {
            error: (verdict != Verdict::Taken).then(|| format!("the answer was {}", answer.status)),
            verdict,
            status: Some(answer.status),
            latency: started.elapsed(),
            answer: printable(&answer.body),
        }
    }
}

fn judge(status: u16, asked: Option<&str>, now: Millis) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        410 => Verdict::Gone,
        _ => Verdict::Later { after: asked.and_then(|asked| retry_after::read(asked, now)) },
    }
}

fn headers(delivery: &Delivery, now: Millis) -> HeaderMap {
    let seconds = now.div_euclid(1_000);
    let signature = sign::header(&delivery.secrets, &delivery.id, seconds, &delivery.body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("belfry/", env!("CARGO_PKG_VERSION"))));
    headers.insert(sign::TIMESTAMP, HeaderValue::from(seconds));
    for (name, value) in [(sign::ID, delivery.id.as_str()), (sign::SIGNATURE, signature.as_str())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// An answer's beginning as text that can be shown anywhere: no control characters but line breaks and tabulators.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_success_410_is_the_end_and_all_else_is_tried_again() {
        for status in [200, 202, 204, 299] {
            assert_eq!(judge(status, None, 0), Verdict::Taken);
        }
        assert_eq!(judge(410, None, 0), Verdict::Gone);
        for status in [301, 302, 307, 400, 401, 404, 422, 500, 503] {
            assert_eq!(judge(status, None, 0), Verdict::Later { after: None });
        }
        assert_eq!(judge(429, Some("7"), 0), Verdict::Later { after: Some(Duration::from_secs(7)) });
    }

    #[test]
    fn what_is_shown_of_an_answer_moves_no_terminal() {
        assert_eq!(printable(b"no\x1b[31m\r\nred\xff"), "no[31m\nred\u{fffd}");
    }
}
