//! What senders send, by its kind: how it is signed, and what notifications it asks for.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::{alertmanager, alerts, cloudevents, github, grafana, raw, standard_webhooks};
use crate::clock::Millis;
use crate::model::invalid::Invalid;

/// The most notifications that one request can ask for.
pub const ITEMS_LEN_MAX: usize = 1_000;

/// A kind of sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Prometheus' Alertmanager, version 4 of its webhook.
    Alertmanager,
    /// Grafana's alerting.
    Grafana,
    /// GitHub's webhooks.
    GitHub,
    /// CloudEvents over HTTP, in each of its modes.
    CloudEvents,
    /// Whoever keeps to the Standard Webhooks specification.
    StandardWebhooks,
    /// Anything else: JSON or plain text.
    Raw,
}

/// What somebody sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// When it came.
    pub now: Millis,
}

/// One notification that was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// What makes it the same as one that came before; none where nothing does.
    pub identity: Option<String>,
    /// What tells a repetition of the same request from another try, where the sender makes that difference.
    pub attempt: Option<String>,
    /// What a mapping's templates see.
    pub context: Value,
    /// The fields of the notification where no mapping fills them.
    pub fields: Map<String, Value>,
}

/// What a signature is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// There is none.
    No,
    /// It is the sender's, over this body and in time.
    Yes,
    /// It is not, and why.
    Badly(String),
}

impl Sent<'_> {
    /// A header, where it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is not.
    pub fn json(&self) -> Result<Value, Invalid> {
        serde_json::from_slice(self.body)
            .map_err(|error| Invalid::one("body", format!("is not valid JSON: {error}")))
    }
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 6] = [
        Preset::Alertmanager,
        Preset::Grafana,
        Preset::GitHub,
        Preset::CloudEvents,
        Preset::StandardWebhooks,
        Preset::Raw,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Alertmanager => "alertmanager",
            Preset::Grafana => "grafana",
            Preset::GitHub => "github",
            Preset::CloudEvents => "cloudevents",
            Preset::StandardWebhooks => "standard-webhooks",
            Preset::Raw => "raw",
        }
    }

    /// The preset of that name.
    pub fn from_name(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// Whether senders of this kind sign what they send, and so need a secret.
    pub const fn signs(self) -> bool {
        matches!(self, Preset::GitHub | Preset::StandardWebhooks)
    }

    /// What the signature in a request is worth, by a secret.
    pub fn verify(self, secret: &[u8], sent: &Sent<'_>) -> Signed {
        match self {
            Preset::GitHub | Preset::Raw => github::verify(secret, sent),
            Preset::Grafana => grafana::verify(secret, sent),
            Preset::StandardWebhooks => standard_webhooks::verify(secret, sent),
            Preset::Alertmanager | Preset::CloudEvents => Signed::No,
        }
    }

    /// What a request asks for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(self, sent: &Sent<'_>, hook: &str) -> Result<Vec<Item>, Invalid> {
        let items = match self {
            Preset::Alertmanager => alerts::read(sent, alertmanager::item),
            Preset::Grafana => alerts::read(sent, grafana::item),
            Preset::GitHub => github::read(sent),
            Preset::CloudEvents => cloudevents::read(sent),
            Preset::StandardWebhooks => standard_webhooks::read(sent),
            Preset::Raw => raw::read(sent, hook),
        }?;
        if items.len() > ITEMS_LEN_MAX {
            let detail = format!("asks for {} notifications, more than {ITEMS_LEN_MAX}", items.len());
            return Err(Invalid::one("body", detail));
        }
        Ok(items)
    }
}

/// `0b` in hexadecimal as the bytes that it stands for.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// The text at a path of objects, where there is some.
pub fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    let found = path.iter().try_fold(value, |value, name| value.get(name))?;
    found.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// Whether `url` leads to a web page.
pub fn is_web(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme))
}
