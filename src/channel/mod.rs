//! Ways out: each takes a rendered message and says what became of it. None of them knows the store, chooses a
//! time, or tries twice.

pub mod email;
pub mod push;
pub mod settings;
pub mod sms;
pub mod webhook;
mod words;

use std::sync::Once;

use crate::model::channel::Channel;
use crate::model::delivery::{Outcome, Reason};
use crate::model::message::Message;

/// The channels that this server is configured to send on.
#[derive(Debug, Default)]
pub struct Ways {
    /// Mail, where a server for it is configured.
    pub email: Option<email::Email>,
    /// Web Push. It is sent to each of a person's browsers for itself, so by [`push::Push::send`].
    pub push: Option<push::Push>,
    /// Text messages, where a provider for them is configured.
    pub sms: Option<sms::Sms>,
}

/// What a provider made of a message that it was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered<'a> {
    /// It took it.
    Took,
    /// It was there, and did not take it, in these words.
    Refused(&'a str),
    /// It was not there, or does not know us: that says nothing about the message.
    NotThere(&'a str),
}

/// Who knows which of a channel's providers may be asked now. A channel with several asks before each call, and passes
/// over those that are left alone.
pub trait Circuits: Sync {
    /// Whether `provider` may be asked; it counts as asked then.
    fn may_ask(&self, provider: &'static str) -> bool;
    /// Told what came of a call.
    fn heard(&self, provider: &'static str, answered: Answered<'_>);
}

/// Every provider may be asked, every time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCircuits;

impl Circuits for NoCircuits {
    fn may_ask(&self, _: &'static str) -> bool {
        true
    }

    fn heard(&self, _: &'static str, _: Answered<'_>) {}
}

impl Ways {
    /// Who takes the messages of a channel, the first to be asked first.
    pub fn providers(&self, channel: Channel) -> Vec<&'static str> {
        match channel {
            Channel::Sms => self.sms.as_ref().map(sms::Sms::providers).unwrap_or_default(),
            Channel::Email if self.email.is_some() => vec!["smtp"],
            Channel::Email | Channel::InApp | Channel::BrowserPush | Channel::Webhook => Vec::new(),
        }
    }

    /// One attempt to send `message` on `channel`. It ends by itself within the channel's own time limit.
    ///
    /// A channel that is not configured is skipped with `channel_disabled`. So is `in_app`, which needs no sending:
    /// a notification is in the inbox from the moment it is accepted.
    pub async fn send(&self, channel: Channel, message: &Message, circuits: &dyn Circuits) -> Outcome {
        const OFF: Outcome = Outcome::Skipped { reason: Reason::ChannelDisabled };
        match channel {
            Channel::Email => match &self.email {
                Some(email) => email.send(message).await,
                None => OFF,
            },
            Channel::Sms => match &self.sms {
                Some(sms) => sms.send(message, circuits).await,
                None => OFF,
            },
            Channel::InApp | Channel::BrowserPush | Channel::Webhook => OFF,
        }
    }

    /// Says goodbye on connections that are kept open for the next message. Called once nothing is sent any more.
    pub async fn close(&self) {
        if let Some(email) = &self.email {
            email.close().await;
        }
    }
}

/// Makes ring the crypto library of every TLS connection in the process. May be called any number of times.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the process has a provider already, which a test binary may have installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            delivery_id: "n1.email".to_owned(),
            notification_id: "n1".to_owned(),
            user_id: "alice".to_owned(),
            to: "alice@belfry.test".to_owned(),
            title: "Title".to_owned(),
            text: "Text".to_owned(),
            html: None,
            unsubscribe: None,
            at_ms: 0,
        }
    }

    #[tokio::test]
    async fn a_channel_that_is_not_configured_is_skipped_and_says_so() {
        let message = message();
        for channel in Channel::ALL {
            let outcome = Ways::default().send(channel, &message, &NoCircuits).await;
            assert_eq!(outcome, Outcome::Skipped { reason: Reason::ChannelDisabled }, "{channel}");
        }
    }

    #[test]
    fn an_attempt_may_run_on_any_thread() {
        fn on_any_thread<T: Send>(_: &T) {}
        let (ways, message) = (Ways::default(), message());
        on_any_thread(&ways.send(Channel::Email, &message, &NoCircuits));
        on_any_thread(&ways.close());
        on_any_thread(&std::sync::Arc::new(ways));
    }

    #[test]
    fn installing_the_crypto_library_twice_is_fine() {
        install_crypto();
        install_crypto();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
