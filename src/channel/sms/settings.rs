//! What the operator decides about text messages.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method};
use reqwest::Url;
use secrecy::SecretString;

use super::super::settings::rate;
use super::http::{Field, check};
use crate::model::channel::Mode;
use crate::model::phone::CallingCode;
use crate::model::rate::Rate;
use crate::settings::{
    Kind, Unit, Violation, list, one_of, optional, parsed, prose, secret, secret_texts, settings, text,
    whole, within,
};

/// Who takes texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Any gateway over HTTP.
    Http,
    /// Kannel.
    Kannel,
    /// Twilio.
    Twilio,
}

const PROVIDERS: &[(&str, Provider)] =
    &[("http", Provider::Http), ("kannel", Provider::Kannel), ("twilio", Provider::Twilio)];

impl Provider {
    /// The name in keys and details.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Http => "http",
            Provider::Kannel => "kannel",
            Provider::Twilio => "twilio",
        }
    }
}

settings! {
    /// Text messages, through a gateway of yours.
    pub struct Sms {
        /// `live` sends, `capture` keeps messages on this machine and shows them, `off` skips them. Without it:
        /// `live` when a provider is named, else `off`.
        mode: Option<Mode> = None, optional(
            one_of(&[("live", Mode::Live), ("capture", Mode::Capture), ("off", Mode::Off)]),
            "live",
        );
        /// Who takes the texts: `http` is any gateway that is called as `channels.sms.http` says.
        provider: Option<Provider> = None, optional(one_of(PROVIDERS), "kannel");
        /// Several of them in order: one that cannot be reached, or wants less, hands a text to the next.
        providers: Vec<Provider> = Vec::new(), list(one_of(PROVIDERS), 3);
        /// The sender that people see: a number or a name; for `twilio` also the id of a messaging service.
        from: Option<String> = None, optional(text("text in one line"), "Belfry");
        /// The country of phone numbers that are given without one, by its two letters or its calling code. Without
        /// it such numbers are refused.
        default_country: Option<CallingCode> = None, optional(country(), "+49");
        /// A text that takes more segments than this is not sent.
        max_segments: usize = 6, whole(1..=64);
        /// How many texts go out at most, as 10/s, 300/m or 1000/h.
        rate: Option<Rate> = None, optional(rate(), "10/s");
        /// How long one call to a provider may take.
        timeout: Duration = Duration::from_secs(15),
            within(Unit::Seconds, Duration::from_millis(100)..=Duration::from_secs(60));
        /// Where the gateway is called. `{{to}}`, `{{from}}`, `{{text}}`, `{{delivery_id}}` and `{{status_url}}` stand
        /// for what is sent, here and in headers and body, and are escaped for the place where they stand.
        http_url as "http.url": Option<String> = None,
            optional(template("an http or https URL, with the placeholders to, from, text, delivery_id and status_url"), "https://gateway.example.org/send");
        /// The method of the call.
        http_method as "http.method": Verb = Verb::Post,
            one_of(&[("GET", Verb::Get), ("POST", Verb::Post), ("PUT", Verb::Put)]);
        /// Headers of the call, as { Authorization = "Bearer …" }.
        http_headers as "http.headers": Option<BTreeMap<String, String>> = None,
            optional(secret_texts("a table of headers, as { Authorization = \"Bearer …\" }", is_header), "");
        /// The body of the call. Without it: JSON with each placeholder under its own name.
        http_body as "http.body": Option<String> = None, optional(
            prose("text with the placeholders to, from, text, delivery_id and status_url", check),
            "to={{to}}&text={{text}}",
        );
        /// Which status codes are a yes. Without any, every 2xx is.
        http_success_status as "http.success_status": Vec<u16> = Vec::new(), list(whole(100..=599), 16);
        /// What the body of an answer must contain besides, to the letter.
        http_success as "http.success": Option<String> = None, optional(text("text in one line"), "accepted");
        /// What must stand in an answer of JSON besides: names and numbers joined by dots, an equals sign, and the value.
        http_success_field as "http.success_field": Option<Field> = None,
            optional(parsed("a place in JSON and its value, as messages.0.status=0", Field::read, Field::to_string), "messages.0.status=0");
        /// Where the gateway's own id stands in an answer of JSON.
        http_id_path as "http.id_path": Option<String> = None,
            optional(text("names and numbers joined by dots, as messages.0.id"), "messages.0.id");
        /// Kannel's sendsms address.
        kannel_url as "kannel.url": Option<Url> = None, optional(url(), "http://127.0.0.1:13013/cgi-bin/sendsms");
        /// The name of a sendsms-user.
        kannel_username as "kannel.username": Option<String> = None, optional(text("text in one line"), "belfry");
        /// That user's password.
        kannel_password as "kannel.password": Option<SecretString> = None,
            optional(secret("text in one line", |_| true), "");
        /// The account at Twilio.
        twilio_account_sid as "twilio.account_sid": Option<String> = None,
            optional(text("text in one line"), "AC0123456789abcdef0123456789abcdef");
        /// The account's token. Reports are signed with it too.
        twilio_auth_token as "twilio.auth_token": Option<SecretString> = None,
            optional(secret("text in one line", |_| true), "");
        /// Where Twilio, or what speaks like it, is called.
        twilio_base_url as "twilio.base_url": Url = twilio(), url();
    }
    check is_complete;
}

/// A method that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

impl Verb {
    /// The method.
    pub fn method(self) -> Method {
        match self {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
        }
    }
}

impl Sms {
    /// What becomes of texts: what the operator said, else live as soon as there is a provider.
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or(if self.chain().is_empty() { Mode::Off } else { Mode::Live })
    }

    /// The providers in the order in which they are asked.
    pub fn chain(&self) -> Vec<Provider> {
        let mut chain = Vec::new();
        for provider in self.providers.iter().copied().chain(self.provider) {
            if !chain.contains(&provider) {
                chain.push(provider);
            }
        }
        chain
    }
}

fn is_complete(sms: &Sms, name: &dyn Fn(&str) -> String) -> Vec<Violation> {
    let unset = |key: &str, reason: &str, value: &str| {
        let message =
            format!("{} is not set, but must be, because {} is \"{value}\"", name(key), name(reason));
        Violation { keys: vec![name(key), name(reason)], message }
    };
    let mut violations = Vec::new();
    if sms.mode == Some(Mode::Live) && sms.chain().is_empty() {
        violations.push(unset("provider", "mode", "live"));
    }
    for provider in sms.chain() {
        let needs: Vec<(&str, bool)> = match provider {
            Provider::Http => vec![("http.url", sms.http_url.is_some())],
            Provider::Kannel => vec![
                ("kannel.url", sms.kannel_url.is_some()),
                ("kannel.username", sms.kannel_username.is_some()),
                ("kannel.password", sms.kannel_password.is_some()),
            ],
            Provider::Twilio => vec![
                ("twilio.account_sid", sms.twilio_account_sid.is_some()),
                ("twilio.auth_token", sms.twilio_auth_token.is_some()),
                ("from", sms.from.is_some()),
            ],
        };
        let reason = if sms.provider == Some(provider) { "provider" } else { "providers" };
        let missing = needs.into_iter().filter(|(_, is_set)| !is_set);
        violations.extend(missing.map(|(key, _)| unset(key, reason, provider.name())));
    }
    violations
}

fn twilio() -> Url {
    "https://api.twilio.com".parse().expect("it is a URL")
}

fn url() -> Kind<Url> {
    parsed("an http or https URL", read_url, Url::to_string)
}

fn read_url(text: &str) -> Option<Url> {
    text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A URL with placeholders: what is put into them is escaped, so it is a URL with any.
fn template(allowed: &str) -> Kind<String> {
    parsed(
        allowed,
        |text| {
            let plain = text.replace("{{", "").replace("}}", "");
            (check(text) && read_url(&plain).is_some()).then(|| text.to_owned())
        },
        String::clone,
    )
}

fn is_header(name: &str, value: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok() && !value.contains(char::is_control) && check(value)
}

fn country() -> Kind<CallingCode> {
    parsed("two letters of a country, as DE, or its calling code, as +49", CallingCode::read, |code| {
        code.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_live_when_a_provider_is_named_and_the_list_comes_first() {
        assert_eq!(Sms::default().mode(), Mode::Off);
        let sms = Sms {
            provider: Some(Provider::Http),
            providers: vec![Provider::Twilio, Provider::Kannel],
            ..Sms::default()
        };
        assert_eq!(sms.mode(), Mode::Live);
        assert_eq!(sms.chain(), [Provider::Twilio, Provider::Kannel, Provider::Http]);
    }

    #[test]
    fn a_url_of_another_scheme_is_refused() {
        for wrong in ["ftp://a", "a", "http://", "file:///etc/passwd"] {
            assert!(read_url(wrong).is_none(), "{wrong}");
        }
    }
}
