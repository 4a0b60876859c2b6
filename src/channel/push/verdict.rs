//! What a push service's answer means for the message, and for the subscription.

use std::time::Duration;

use crate::clock::Millis;
use crate::model::delivery::{ERROR_CHARS_MAX, Outcome, Reason};
use crate::outbound::{Answer, CallError};

/// What is to be done after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is an outcome.
    Settled(Outcome),
    /// The message is too large: a smaller one may pass.
    TooLarge {
        /// What the push service said.
        error: String,
    },
    /// It does not take our signature: nothing will be delivered until an operator has looked.
    Misconfigured {
        /// What the push service said.
        error: String,
    },
}

/// Reads an answer (RFC 8030, sections 5 and 7.3; RFC 8292, section 4).
pub(super) fn verdict(answer: &Answer, now: Millis) -> Verdict {
    let error = describe(answer);
    let failed = |reason| Verdict::Settled(Outcome::Failed { reason, error: error.clone() });
    let retry = |reason| {
        let after: Option<Duration> = answer.retry_after(now);
        Verdict::Settled(Outcome::Retry { reason, error: error.clone(), after })
    };
    match answer.status {
        200..=299 => {
            Verdict::Settled(Outcome::Sent { detail: format!("the push service answered {}", answer.status) })
        }
        401 | 403 => Verdict::Misconfigured { error },
        404 | 410 => failed(Reason::SubscriptionGone),
        413 => Verdict::TooLarge { error },
        429 => retry(Reason::ProviderRateLimited),
        408 | 425 | 500..=599 => retry(Reason::ProviderUnreachable),
        _ => failed(Reason::ProviderRejected),
    }
}

/// What a call without an answer means.
pub(super) fn without_answer(error: &CallError) -> Outcome {
    let said = error.to_string();
    match error {
        CallError::Refused(_) => Outcome::Failed { reason: Reason::ProviderRejected, error: said },
        CallError::Unreachable(_) | CallError::TimedOut(_) => Outcome::Retry {
            reason: Reason::ProviderUnreachable,
            error: format!("the push service cannot be reached: {said}"),
            after: None,
        },
    }
}

/// The status and the first words of the body, on one line.
fn describe(answer: &Answer) -> String {
    let words = String::from_utf8_lossy(&answer.body);
    let words: Vec<&str> =
        words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let text = format!("the push service answered {} {}", answer.status, words.join(" "));
    text.trim_end().chars().take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
            .collect();
        Answer { status, headers, body: Bytes::from_static(b"{\"errno\":\n 106}") }
    }

    #[test]
    fn each_answer_means_one_thing() {
        let meaning = |status| match verdict(&answer(status, &[]), 0) {
            Verdict::Settled(Outcome::Sent { .. }) => "sent".to_owned(),
            Verdict::Settled(Outcome::Failed { reason, .. }) => format!("failed {reason}"),
            Verdict::Settled(Outcome::Retry { reason, .. }) => format!("retry {reason}"),
            Verdict::Settled(other) => format!("{other:?}"),
            Verdict::TooLarge { .. } => "too large".to_owned(),
            Verdict::Misconfigured { .. } => "misconfigured".to_owned(),
        };
        for (status, meant) in [
            (200, "sent"),
            (201, "sent"),
            (202, "sent"),
            (301, "failed provider_rejected"),
            (400, "failed provider_rejected"),
            (401, "misconfigured"),
            (403, "misconfigured"),
            (404, "failed subscription_gone"),
            (410, "failed subscription_gone"),
            (413, "too large"),
            (429, "retry provider_rate_limited"),
            (500, "retry provider_unreachable"),
            (503, "retry provider_unreachable"),
        ] {
            assert_eq!(meaning(status), meant, "{status}");
        }
    }

    #[test]
    fn the_delay_that_the_service_asks_for_is_kept() {
        for (value, wait) in [("7", Some(7)), ("Thu, 01 Jan 1970 00:01:00 GMT", Some(60)), ("soon", None)] {
            let after = match verdict(&answer(429, &[("retry-after", value)]), 0) {
                Verdict::Settled(Outcome::Retry { after, .. }) => after,
                other => panic!("{other:?}"),
            };
            assert_eq!(after, wait.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn what_the_service_said_is_kept_on_one_line() {
        let Verdict::Settled(Outcome::Failed { error, .. }) = verdict(&answer(400, &[]), 0) else {
            panic!("a failure")
        };
        assert_eq!(error, "the push service answered 400 {\"errno\": 106}");
    }
}
