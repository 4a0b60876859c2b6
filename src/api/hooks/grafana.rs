//! The preset `grafana`: what Grafana's alerting sends, and how it signs.

use ring::hmac;
use serde_json::{Map, Value, json};

use super::alerts::{self, Alert, action, priority};
use super::preset::{Sent, Signed, text, unhex};
use super::standard_webhooks::in_time;

const SIGNATURE: &str = "x-grafana-alerting-signature";
const TIMESTAMP: &str = "x-grafana-alerting-timestamp";

/// What the signature is worth: HMAC-SHA256 in hexadecimal, over the body, or over the second and the body.
pub fn verify(secret: &[u8], sent: &Sent<'_>) -> Signed {
    let Some(signature) = sent.header(SIGNATURE) else { return Signed::No };
    let Some(signature) = unhex(signature) else {
        return Signed::Badly(format!("{SIGNATURE} is not in hexadecimal"));
    };
    let signed = match sent.header(TIMESTAMP) {
        Some(second) => {
            if let Err(why) = in_time(second, sent.now) {
                return Signed::Badly(format!("{TIMESTAMP} {why}"));
            }
            [second.as_bytes(), b":", sent.body].concat()
        }
        None => sent.body.to_vec(),
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    match hmac::verify(&key, &signed, &signature) {
        Ok(()) => Signed::Yes,
        Err(_) => Signed::Badly(format!("{SIGNATURE} does not fit the body and the hook's secret")),
    }
}

/// The fields of an alert's notification.
pub fn item(alert: &Alert<'_>) -> Map<String, Value> {
    let (title, mut message) = alerts::said(alert);
    if let Some(values) = text(alert.alert, &["valueString"]).filter(|_| !alert.resolved) {
        message.push_str("\n\n");
        message.push_str(values);
    }
    let mut fields = Map::new();
    fields.insert("title".to_owned(), json!(title));
    fields.insert("message".to_owned(), json!(message));
    fields.insert("priority".to_owned(), json!(priority(alert)));
    let links = [
        ("panelURL", "Show the panel"),
        ("dashboardURL", "Show the dashboard"),
        ("generatorURL", "Show the rule"),
    ];
    if let Some(action) = action(alert.alert, &links) {
        fields.insert("action".to_owned(), action);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(second: Option<&str>, body: &[u8], now: i64) -> Signed {
        let mut headers = http::HeaderMap::new();
        let over = second.map_or_else(|| b"{}".to_vec(), |second| format!("{second}:{{}}").into_bytes());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), &over);
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        headers.insert(SIGNATURE, hex.parse().expect("hexadecimal"));
        if let Some(second) = second {
            headers.insert(TIMESTAMP, second.parse().expect("digits"));
        }
        verify(b"secret", &Sent { headers: &headers, body, now })
    }

    #[test]
    fn a_signature_holds_for_its_body_and_in_its_time() {
        assert_eq!(signed(None, b"{}", 0), Signed::Yes);
        assert_eq!(signed(Some("1000"), b"{}", 1_000_000), Signed::Yes);
        assert!(matches!(signed(None, b"{ }", 0), Signed::Badly(_)));
        assert!(matches!(signed(Some("1000"), b"{}", 2_000_000), Signed::Badly(_)));
    }
}
