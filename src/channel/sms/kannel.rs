//! Kannel's sendsms interface (Kannel user guide, chapter 11.2).

use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};

use super::Text;
use super::client::{Verdict, call};
use super::segments::{Alphabet, size};

/// Which reports are asked for: delivered, failed, queued, taken by the network, refused by it.
const REPORTS: &str = "31";
/// What Kannel puts into the address of a report: its kind, and the network's words.
const PLACEHOLDERS: &str = "type=%d&answer=%A";

/// A gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    url: Url,
    username: String,
    password: SecretString,
}

impl Gateway {
    pub(super) fn new(url: Url, username: String, password: SecretString) -> Gateway {
        Gateway { url, username, password }
    }

    pub(super) async fn send(&self, client: &Client, text: &Text<'_>) -> Verdict {
        let answer = match call(client.get(self.address(text))).await {
            Ok(answer) => answer,
            Err(error) => return Verdict::Down(error),
        };
        match answer.judge(&answer.body) {
            // It also says 403 of numbers on a black list.
            Verdict::Down(words) if answer.status == 403 && !answer.body.contains("uthorization") => {
                Verdict::Rejected(words)
            }
            other => other,
        }
    }

    fn address(&self, text: &Text<'_>) -> Url {
        let mut url = self.url.clone();
        let coding = match size(text.text).alphabet {
            Alphabet::Gsm7 => "0",
            Alphabet::Ucs2 => "2",
        };
        url.query_pairs_mut()
            .append_pair("username", &self.username)
            .append_pair("password", self.password.expose_secret())
            .append_pair("to", text.to)
            .append_pair("text", text.text)
            .append_pair("charset", "UTF-8")
            .append_pair("coding", coding);
        if !text.from.is_empty() {
            url.query_pairs_mut().append_pair("from", text.from);
        }
        if let Some(report) = text.status_url {
            url.query_pairs_mut()
                .append_pair("dlr-mask", REPORTS)
                .append_pair("dlr-url", &format!("{report}?{PLACEHOLDERS}"));
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_and_the_address_of_its_reports_are_encoded_whole() {
        let gateway = Gateway::new(
            "http://127.0.0.1:1/cgi-bin/sendsms".parse().expect("a URL"),
            "belfry".into(),
            SecretString::from("p&w".to_owned()),
        );
        let text = Text {
            to: "+491701234567",
            from: "",
            text: "a&to=1 ✓",
            delivery_id: "1.sms",
            status_url: Some("https://n.example/in/sms/t"),
        };
        let url = gateway.address(&text);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let value = |name: &str| {
            let all: Vec<&str> = pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
            all.join("|")
        };
        assert_eq!((value("to"), value("text")), ("+491701234567".into(), "a&to=1 ✓".into()));
        assert_eq!((value("coding"), value("from")), ("2".into(), String::new()));
        assert_eq!(value("dlr-url"), "https://n.example/in/sms/t?type=%d&answer=%A");
    }
}
