//! Twilio's Messages resource, and whatever speaks like it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Url};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::super::words::tidy;
use super::Text;
use super::client::{Verdict, call};

/// The error of a body that is too long.
const TOO_LONG: i64 = 21_617;
/// Errors from here on are about one message; those below about the account.
const FIRST_ABOUT_MESSAGES: i64 = 21_000;
/// What the id of a pool of senders begins with.
const POOL_PREFIX: &str = "MG";

/// An account.
#[derive(Debug)]
pub(super) struct Gateway {
    url: Url,
    account: String,
    token: SecretString,
}

impl Gateway {
    /// `base` is a URL that can be a base; none other is configured.
    pub(super) fn new(base: &Url, account: String, token: SecretString) -> Gateway {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["2010-04-01", "Accounts", &account, "Messages.json"]);
        }
        Gateway { url, account, token }
    }

    pub(super) async fn send(&self, client: &Client, text: &Text<'_>) -> Verdict {
        let sender = if text.from.starts_with(POOL_PREFIX) { "MessagingServiceSid" } else { "From" };
        // A form is written as a query is.
        let mut form = self.url.clone();
        form.query_pairs_mut()
            .append_pair("To", text.to)
            .append_pair(sender, text.from)
            .append_pair("Body", text.text);
        if let Some(report) = text.status_url {
            form.query_pairs_mut().append_pair("StatusCallback", report);
        }
        let request = client
            .post(self.url.clone())
            .basic_auth(&self.account, Some(self.token.expose_secret()))
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        let answer = match call(request).await {
            Ok(answer) => answer,
            Err(error) => return Verdict::Down(error),
        };
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let code = said["code"].as_i64().unwrap_or_default();
        let words = match said["message"].as_str() {
            Some(message) => tidy(&format!("{code}: {message}")),
            None => tidy(&answer.body),
        };
        match answer.judge(&words) {
            Verdict::Taken { .. } => Verdict::Taken { id: said["sid"].as_str().map(tidy) },
            Verdict::Rejected(words) if code == TOO_LONG => Verdict::TooLarge(words),
            Verdict::Down(_) if answer.status == 403 && code >= FIRST_ABOUT_MESSAGES => {
                Verdict::Rejected(words)
            }
            other => other,
        }
    }

    /// Whether a report to `url` with those parameters is by whoever knows the account's token.
    pub(super) fn is_signed(&self, url: &str, parameters: &[(String, String)], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        let mut sorted: Vec<_> = parameters.iter().collect();
        sorted.sort();
        let signed = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.token.expose_secret().as_bytes());
        // The comparison inside does not stop at the first difference.
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(token: &str) -> Gateway {
        let base = "https://api.twilio.com".parse().expect("a URL");
        Gateway::new(&base, "AC1".into(), SecretString::from(token.to_owned()))
    }

    /// The example of Twilio's documentation of webhook security.
    #[test]
    fn the_example_of_the_documentation_is_signed_alike_and_nothing_else_is() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let parameters = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ]
        .map(pair);
        let (url, signature) =
            ("https://mycompany.com/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        assert!(gateway("12345").is_signed(url, &parameters, signature));
        assert!(!gateway("12346").is_signed(url, &parameters, signature));
        assert!(!gateway("12345").is_signed(url, &parameters[1..], signature));
        assert!(!gateway("12345").is_signed(url, &parameters, ""));
    }

    #[test]
    fn the_account_is_in_the_path() {
        let url = gateway("t").url.to_string();
        assert_eq!(url, "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json");
    }
}
