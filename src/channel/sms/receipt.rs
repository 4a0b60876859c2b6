//! What becomes of a text after its provider took it: reports, and the addresses that they come to.
//!
//! Such an address carries a token that only this server can make (HMAC-SHA256, RFC 2104), so a report is about a text
//! that was sent and by somebody who was told where to send it. Twilio signs its reports besides.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::super::words::tidy;
use super::settings::Provider;

/// The bytes of a token's seal.
const SEAL_BYTES: usize = 16;
/// What the key of the seal is derived for.
const PURPOSE: &[u8] = b"belfry sms status callback";

/// Makes and reads the addresses of reports.
#[derive(Debug)]
pub struct Receipts {
    base_url: String,
    key: hmac::Key,
}

/// What a report says of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It is under way.
    Progress,
    /// It arrived.
    Delivered,
    /// It never will.
    Failed(String),
}

impl Receipts {
    /// Addresses below `base_url`, sealed with a key of their own that is derived from `secret`.
    pub fn new(base_url: &str, secret: &[u8]) -> Receipts {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        let base_url = base_url.trim_end_matches('/').to_owned();
        Receipts { base_url, key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()) }
    }

    /// Where the reports on a delivery by a provider come to.
    pub(super) fn address(&self, provider: Provider, delivery_id: &str) -> String {
        self.address_of(&self.token(provider, delivery_id))
    }

    /// The address with that token.
    pub(super) fn address_of(&self, token: &str) -> String {
        format!("{}/in/sms/{token}", self.base_url)
    }

    fn token(&self, provider: Provider, delivery_id: &str) -> String {
        let subject = format!("{}/{delivery_id}", provider.name());
        let seal = hmac::sign(&self.key, subject.as_bytes());
        let seal = &seal.as_ref()[..SEAL_BYTES];
        URL_SAFE_NO_PAD.encode([seal, subject.as_bytes()].concat())
    }

    /// The provider and the delivery that a token is for, if it is one of ours.
    pub(super) fn read(&self, token: &str) -> Option<(Provider, String)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (_, subject) = bytes.split_at_checked(SEAL_BYTES)?;
        let (provider, delivery_id) = std::str::from_utf8(subject).ok()?.split_once('/')?;
        let provider = [Provider::Http, Provider::Kannel, Provider::Twilio]
            .into_iter()
            .find(|known| known.name() == provider)?;
        let own = self.token(provider, delivery_id);
        let differs = own.len() != token.len()
            || own.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) != 0;
        (!differs).then(|| (provider, delivery_id.to_owned()))
    }
}

/// What a provider's parameters say.
pub(super) fn report(provider: Provider, parameters: &[(String, String)]) -> Report {
    let value = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    match provider {
        Provider::Kannel => kannel(value("type"), value("answer").unwrap_or("")),
        Provider::Twilio => word(value("MessageStatus"), value("ErrorCode")),
        Provider::Http => word(value("status"), value("error")),
    }
}

/// Kannel says the kind by bits: 1 delivered, 2 not, 4 queued, 8 taken by the network, 16 refused by it. Others come
/// with them: expired is 34.
fn kannel(kind: Option<&str>, words: &str) -> Report {
    let bits: u32 = kind.and_then(|kind| kind.trim().parse().ok()).unwrap_or(0);
    match bits {
        bits if bits & 1 != 0 => Report::Delivered,
        bits if bits & (2 | 16) != 0 => Report::Failed(tidy(&format!("report {bits} {words}"))),
        _ => Report::Progress,
    }
}

fn word(status: Option<&str>, error: Option<&str>) -> Report {
    let status = status.unwrap_or("").to_ascii_lowercase();
    match status.as_str() {
        "delivered" | "read" => Report::Delivered,
        "failed" | "undelivered" | "rejected" | "expired" | "error" | "canceled" => {
            Report::Failed(tidy(&format!("{status} {}", error.unwrap_or(""))))
        }
        _ => Report::Progress,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bits_of_a_kannel_report_are_read_as_bits() {
        for (kind, report) in [
            ("1", Report::Delivered),
            ("8", Report::Progress),
            ("4", Report::Progress),
            ("", Report::Progress),
        ] {
            assert_eq!(kannel(Some(kind), ""), report, "{kind}");
        }
        for failed in ["2", "16", "34", "18"] {
            assert!(matches!(kannel(Some(failed), "NACK"), Report::Failed(words) if words.contains("NACK")));
        }
    }

    #[test]
    fn the_words_of_other_reports_are_read() {
        assert_eq!(word(Some("delivered"), None), Report::Delivered);
        assert_eq!(word(Some("undelivered"), Some("30003")), Report::Failed("undelivered 30003".into()));
        assert_eq!(word(Some("sent"), None), Report::Progress);
    }

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_made_and_one_that_is_off_by_a_letter_is_not(id in "[a-z0-9.-]{1,40}", at in 0usize..200, letter in "[A-Za-z0-9_-]") {
            let receipts = Receipts::new("https://n.example/", b"secret");
            let token = receipts.token(Provider::Kannel, &id);
            prop_assert_eq!(receipts.read(&token), Some((Provider::Kannel, id.clone())));
            let at = at % token.len();
            let mut other = token.clone();
            other.replace_range(at..=at, &letter);
            if other != token {
                prop_assert_eq!(receipts.read(&other), None);
            }
            prop_assert_eq!(Receipts::new("https://n.example", b"other").read(&token), None);
        }
    }
}
