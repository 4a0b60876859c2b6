//! Text messages over the operator's gateways. The providers stand in order: one that cannot be reached, knows us not
//! or wants less hands a text to the next within the same attempt.

mod client;
pub mod http;
mod kannel;
pub mod receipt;
mod segments;
pub mod settings;
mod twilio;

use std::time::Duration;

use reqwest::Client;

use super::Circuits;
use super::words::tidy;
use crate::model::delivery::{Outcome, Reason};
use crate::model::message::Message;
use client::Verdict;
use receipt::{Receipts, Report};
use settings::Provider;

/// The client of gateways cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("channels.sms: failed to set up TLS: {0}")]
pub struct SetupError(reqwest::Error);

/// One text, as a gateway is told of it.
#[derive(Clone, Copy, Debug)]
struct Text<'a> {
    to: &'a str,
    from: &'a str,
    text: &'a str,
    delivery_id: &'a str,
    /// Where to tell what becomes of it.
    status_url: Option<&'a str>,
}

#[derive(Debug)]
enum Gateway {
    Http(http::Gateway),
    Kannel(kannel::Gateway),
    Twilio(twilio::Gateway),
}

/// Why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReport {
    /// It is for no text of ours.
    Unknown,
    /// It is not signed by its provider.
    Unsigned,
}

/// Text messages.
#[derive(Debug)]
pub struct Sms {
    gateways: Vec<(Provider, Gateway)>,
    client: Client,
    from: String,
    segments_max: usize,
    receipts: Option<Receipts>,
}

impl Sms {
    /// The gateways that the settings name. Reports are asked for where there are `receipts`.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(settings: &settings::Sms, receipts: Option<Receipts>) -> Result<Sms, SetupError> {
        let gateway = |provider| Some((provider, gateway(settings, provider)?));
        Ok(Sms {
            gateways: settings.chain().into_iter().filter_map(gateway).collect(),
            client: client::client(settings.timeout).map_err(SetupError)?,
            from: settings.from.clone().unwrap_or_default(),
            segments_max: settings.max_segments,
            receipts,
        })
    }

    /// The providers in their order.
    pub fn providers(&self) -> Vec<&'static str> {
        self.gateways.iter().map(|(provider, _)| provider.name()).collect()
    }

    /// One attempt to send `message`, by the first provider that takes it. Those that are left alone are passed over.
    pub async fn send(&self, message: &Message, circuits: &dyn Circuits) -> Outcome {
        let size = segments::size(&message.text);
        if size.segments > self.segments_max {
            let error =
                format!("the text takes {size}, more than channels.sms.max_segments = {}", self.segments_max);
            return Outcome::Failed { reason: Reason::PayloadTooLarge, error };
        }
        let mut tally = Tally::default();
        for (provider, gateway) in &self.gateways {
            let status_url =
                self.receipts.as_ref().map(|receipts| receipts.address(*provider, &message.delivery_id));
            let text = Text {
                to: &message.to,
                from: &self.from,
                text: &message.text,
                delivery_id: &message.delivery_id,
                status_url: status_url.as_deref(),
            };
            let name = provider.name();
            if !circuits.may_ask(name) {
                tally.pass_over(name);
                continue;
            }
            let verdict = match gateway {
                Gateway::Http(http) => http.send(&self.client, &text).await,
                Gateway::Kannel(kannel) => kannel.send(&self.client, &text).await,
                Gateway::Twilio(twilio) => twilio.send(&self.client, &text).await,
            };
            circuits.heard(name, verdict.answered());
            match verdict {
                Verdict::Taken { id } => {
                    let id = id.map_or(String::new(), |id| format!(" as {}", tidy(&id)));
                    return Outcome::Sent { detail: tidy(&format!("taken by {name}{id}, {size}")) };
                }
                Verdict::Rejected(words) => {
                    let error = tidy(&format!("{name}: {words}"));
                    return Outcome::Failed { reason: Reason::ProviderRejected, error };
                }
                Verdict::TooLarge(words) => {
                    let error = tidy(&format!("{name}: {words}"));
                    return Outcome::Failed { reason: Reason::PayloadTooLarge, error };
                }
                Verdict::Limited(words, after) => tally.add(name, &words, after, true),
                Verdict::Busy(words, after) => tally.add(name, &words, after, false),
                Verdict::Down(words) => {
                    tracing::error!(provider = name, error = %words, "a provider of text messages does not work");
                    tally.add(name, &words, None, false);
                }
            }
        }
        tally.outcome()
    }

    /// What a report that came to `token` says, and of which delivery.
    ///
    /// # Errors
    /// Where it is not to be believed.
    pub fn read(
        &self,
        token: &str,
        parameters: &Parameters,
        signature: Option<&str>,
    ) -> Result<(String, Report), BadReport> {
        let receipts = self.receipts.as_ref().ok_or(BadReport::Unknown)?;
        let (provider, delivery) = receipts.read(token).ok_or(BadReport::Unknown)?;
        let (_, gateway) =
            self.gateways.iter().find(|(known, _)| *known == provider).ok_or(BadReport::Unknown)?;
        if let Gateway::Twilio(twilio) = gateway {
            let url = receipts.address_of(token);
            if !twilio.is_signed(&url, &parameters.body, signature.unwrap_or_default()) {
                return Err(BadReport::Unsigned);
            }
            return Ok((delivery, receipt::report(provider, &parameters.body)));
        }
        let all: Vec<_> = parameters.query.iter().chain(&parameters.body).cloned().collect();
        Ok((delivery, receipt::report(provider, &all)))
    }
}

/// The parameters of a report.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// Those in the address.
    pub query: Vec<(String, String)>,
    /// Those in the body.
    pub body: Vec<(String, String)>,
}

/// What providers that did not take a text said.
#[derive(Debug, Default)]
struct Tally {
    errors: Vec<String>,
    limited: bool,
    asked: Vec<Option<Duration>>,
}

impl Tally {
    /// `asked` is the delay that a provider asks for.
    fn add(&mut self, name: &str, words: &str, asked: Option<Duration>, limited: bool) {
        self.errors.push(format!("{name}: {words}"));
        self.limited |= limited;
        self.asked.push(asked);
    }

    /// A provider is left alone.
    fn pass_over(&mut self, name: &str) {
        self.errors.push(format!("{name}: left alone, since it did not answer"));
    }

    fn outcome(self) -> Outcome {
        let error = tidy(&self.errors.join("; "));
        let reason = if self.limited { Reason::ProviderRateLimited } else { Reason::ProviderUnreachable };
        if !self.limited && self.asked.iter().all(Option::is_none) {
            return Outcome::Down { error, probe_at: None };
        }
        // A provider that asked for nothing may be tried before one that did.
        let after = self.asked.into_iter().min().flatten();
        Outcome::Retry { reason, error, after }
    }
}

/// The gateway of a provider; none where a key of it is missing, which the configuration refuses.
fn gateway(settings: &settings::Sms, provider: Provider) -> Option<Gateway> {
    Some(match provider {
        Provider::Http => Gateway::Http(http::Gateway::new(http::Options {
            url: settings.http_url.clone()?,
            method: settings.http_method.method(),
            headers: settings.http_headers.clone().unwrap_or_default(),
            body: settings.http_body.clone(),
            success: http::Success {
                statuses: settings.http_success_status.clone(),
                contains: settings.http_success.clone(),
                field: settings.http_success_field.clone(),
            },
            id_path: settings.http_id_path.clone(),
        })),
        Provider::Kannel => Gateway::Kannel(kannel::Gateway::new(
            settings.kannel_url.clone()?,
            settings.kannel_username.clone()?,
            settings.kannel_password.clone()?,
        )),
        Provider::Twilio => Gateway::Twilio(twilio::Gateway::new(
            &settings.twilio_base_url,
            settings.twilio_account_sid.clone()?,
            settings.twilio_auth_token.clone()?,
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_asks_for_no_delay_is_not_made_to_wait_by_one_that_does() {
        let mut tally = Tally::default();
        tally.add("twilio", "429", Some(Duration::from_secs(60)), true);
        let Outcome::Retry { reason, after, .. } = tally.outcome() else { panic!("it is tried again") };
        assert_eq!((reason, after), (Reason::ProviderRateLimited, Some(Duration::from_secs(60))));
        let mut tally = Tally::default();
        tally.add("twilio", "429", Some(Duration::from_secs(60)), true);
        tally.add("kannel", "refused", None, false);
        assert!(matches!(tally.outcome(), Outcome::Retry { after: None, .. }));
    }
}
