//! Web Push (RFC 8030): a note, encrypted for one browser (RFC 8291), handed to the push service of its maker, which
//! knows us by our signature (RFC 8292).

mod payload;
pub mod seal;
pub mod settings;
pub mod vapid;
mod verdict;

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};

use self::payload::{BYTES_MAX, BYTES_MAX_SMALL, payload, topic};
use self::vapid::Signer;
use self::verdict::{Verdict, verdict, without_answer};
use crate::clock::Millis;
use crate::model::delivery::{Outcome, Reason};
use crate::model::push::{Note, Subscription};
use crate::outbound::{Call, Outbound};

/// How much of a push service's answer is read.
const ANSWER_BYTES_MAX: usize = 2048;

/// The channel.
#[derive(Debug)]
pub struct Push {
    outbound: Outbound,
    signer: Signer,
    ttl: Duration,
}

impl Push {
    /// A channel that calls by `outbound` and signs by `signer`. A push service keeps a message for `ttl`.
    pub fn new(outbound: Outbound, signer: Signer, ttl: Duration) -> Push {
        Push { outbound, signer, ttl }
    }

    /// Our keys.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// One attempt to push `note` to one browser. It ends by itself within twice the time limit of a call.
    ///
    /// A browser whose subscription is at its end is answered with [`Reason::SubscriptionGone`].
    pub async fn send(&self, note: &Note, to: &Subscription, now: Millis) -> Outcome {
        if to.expires_at.is_some_and(|at| at <= now) {
            let error = "the browser's subscription has expired".to_owned();
            return Outcome::Failed { reason: Reason::SubscriptionGone, error };
        }
        match self.post(note, to, now, BYTES_MAX).await {
            Verdict::TooLarge { .. } => match self.post(note, to, now, BYTES_MAX_SMALL).await {
                Verdict::TooLarge { error } => Outcome::Failed { reason: Reason::PayloadTooLarge, error },
                other => settled(other),
            },
            other => settled(other),
        }
    }

    async fn post(&self, note: &Note, to: &Subscription, now: Millis, bytes_max: usize) -> Verdict {
        let call = match self.call(note, to, now, bytes_max) {
            Ok(call) => call,
            Err(error) => {
                return Verdict::Settled(Outcome::Failed { reason: Reason::ProviderRejected, error });
            }
        };
        match self.outbound.call(call).await {
            Ok(answer) => verdict(&answer, now),
            Err(error) => Verdict::Settled(without_answer(&error)),
        }
    }

    fn call(&self, note: &Note, to: &Subscription, now: Millis, bytes_max: usize) -> Result<Call, String> {
        let url: reqwest::Url =
            to.endpoint.parse().map_err(|_| "the subscription's endpoint is no URL".to_owned())?;
        let origin = url.origin().ascii_serialization();
        let signed = self.signer.header(&to.server_key, &origin, now).ok_or_else(|| {
            "the browser subscribed under a key that this server does not have any more".to_owned()
        })?;
        let body = seal::seal(&payload(note, bytes_max), &to.p256dh, &to.auth).map_err(|e| e.to_string())?;
        let mut headers = HeaderMap::new();
        let mut authorization = HeaderValue::try_from(signed).map_err(|e| e.to_string())?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert(HeaderName::from_static("ttl"), HeaderValue::from(self.seconds_to_live(note, now)));
        headers.insert(HeaderName::from_static("urgency"), HeaderValue::from_static(urgency(note.priority)));
        if let Some(key) = &note.collapse_key {
            let topic = HeaderValue::try_from(topic(key)).map_err(|e| e.to_string())?;
            headers.insert(HeaderName::from_static("topic"), topic);
        }
        Ok(Call {
            method: Method::POST,
            url,
            headers,
            body: Bytes::from(body),
            answer_bytes_max: ANSWER_BYTES_MAX,
        })
    }

    /// How long the push service is to keep the message: not longer than it is of use.
    fn seconds_to_live(&self, note: &Note, now: Millis) -> u64 {
        let left = note.expires_at.map_or(u64::MAX, |at| u64::try_from((at - now) / 1_000).unwrap_or(0));
        self.ttl.as_secs().min(left)
    }
}

/// How soon the browser is to be woken (RFC 8030, section 5.3), by the priority's name.
fn urgency(priority: &str) -> &'static str {
    match priority {
        "low" => "low",
        "high" | "critical" => "high",
        _ => "normal",
    }
}

fn settled(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Settled(outcome) => outcome,
        Verdict::TooLarge { error } => Outcome::Failed { reason: Reason::PayloadTooLarge, error },
        Verdict::Misconfigured { error } => {
            tracing::error!(
                error,
                "a push service refuses this server's signature: check the clock, channels.browser_push.subject and \
                 channels.browser_push.vapid_private_key"
            );
            let error = format!("{error}; the server's signature is refused: its operator has to look");
            Outcome::Retry { reason: Reason::ProviderRejected, error, after: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound;

    fn push() -> Push {
        let key = vapid::Key::new(&[1; 32]).expect("a key");
        let outbound = Outbound::new(&outbound::settings::Outbound::default()).expect("a client");
        Push::new(outbound, Signer::new(vec![key], None), Duration::from_secs(100))
    }

    fn subscription(push: &Push) -> Subscription {
        Subscription {
            id: uuid::Uuid::from_u128(1),
            endpoint: "https://push.example/x".to_owned(),
            p256dh: push.signer.public().expect("a key").to_vec(),
            auth: [7; 16],
            server_key: push.signer.public().expect("a key").to_vec(),
            created_at: 0,
            expires_at: None,
            last_success: None,
        }
    }

    fn header(push: &Push, note: &Note, name: &str) -> Option<String> {
        let call = push.call(note, &subscription(push), 1_000, BYTES_MAX).expect("a call");
        call.headers.get(name).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn a_message_lives_no_longer_than_its_notification() {
        let push = push();
        let note = Note::default();
        assert_eq!(header(&push, &note, "ttl").as_deref(), Some("100"));
        let soon = Note { expires_at: Some(31_000), ..Note::default() };
        assert_eq!(header(&push, &soon, "ttl").as_deref(), Some("30"));
        let over = Note { expires_at: Some(0), ..Note::default() };
        assert_eq!(header(&push, &over, "ttl").as_deref(), Some("0"));
    }

    #[test]
    fn the_priority_says_how_soon_a_browser_is_woken() {
        let push = push();
        for (priority, urgency) in
            [("low", "low"), ("medium", "normal"), ("high", "high"), ("critical", "high")]
        {
            let note = Note { priority, ..Note::default() };
            assert_eq!(header(&push, &note, "urgency").as_deref(), Some(urgency));
        }
    }

    #[test]
    fn only_a_collapse_key_makes_a_topic() {
        let push = push();
        assert_eq!(header(&push, &Note::default(), "topic"), None);
        let note = Note { collapse_key: Some("build".to_owned()), ..Note::default() };
        assert_eq!(header(&push, &note, "topic"), Some(topic("build")));
    }

    #[tokio::test]
    async fn a_subscription_at_its_end_is_gone_without_a_call() {
        let push = push();
        let ended = Subscription { expires_at: Some(5), ..subscription(&push) };
        let outcome = push.send(&Note::default(), &ended, 5).await;
        assert!(matches!(outcome, Outcome::Failed { reason: Reason::SubscriptionGone, .. }), "{outcome:?}");
    }

    #[tokio::test]
    async fn an_endpoint_inside_is_not_called_even_where_it_was_stored_before() {
        let push = push();
        let inside = Subscription { endpoint: "https://127.0.0.1/x".to_owned(), ..subscription(&push) };
        let outcome = push.send(&Note::default(), &inside, 5).await;
        assert!(matches!(outcome, Outcome::Failed { reason: Reason::ProviderRejected, .. }), "{outcome:?}");
    }
}
