//! Mail over SMTP (RFC 5321) to one server, usually the team's own relay.
//!
//! One call is one attempt. Whatever happens on the wire, every attempt of a delivery carries the same `Message-ID`,
//! so that a mail whose answer got lost can be recognised as the same one when it comes again.

pub mod bounce;
mod compose;
pub(super) mod dkim;
mod stream;
mod tls;
mod transport;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use secrecy::{ExposeSecret, SecretString};

use crate::model::delivery::Outcome;
use crate::model::message::Message;

use compose::{Mail, Sender};
use dkim::Signer;
use transport::Relay;

pub use compose::BODY_BYTES_MAX;

/// How a connection to the server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: for a relay on the same machine. Credentials, if there are any, go in the clear.
    None,
    /// In the clear at first, then STARTTLS, or no mail is sent (RFC 3207).
    StartTls,
    /// From the first byte on (RFC 8314).
    Implicit,
    /// STARTTLS where the server offers it. Where credentials are configured it is required all the same.
    Opportunistic,
}

/// What the channel needs to know: the keys of `channels.email`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's name or address. Its certificate must be for this name.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// Whom to log in as; needs `password`.
    pub username: Option<String>,
    /// The password; needs `username`.
    pub password: Option<SecretString>,
    /// The sender, as `belfry@example.org` or `Belfry <belfry@example.org>`.
    pub from: String,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<String>,
    /// A PEM file of certification authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest that one attempt may take, from the first packet to the server's last word.
    pub timeout: Duration,
    /// The most connections to the server at any time; at least 1.
    pub connections_max: usize,
    /// What signs the mails, where the server that takes them does not.
    pub dkim: Option<Dkim>,
    /// Where this server is reached from outside, for the links that a mail's headers carry.
    pub base_url: Option<String>,
}

/// A signature for the mails: the keys of `channels.email.dkim`.
#[derive(Clone, Debug)]
pub struct Dkim {
    /// Whose signature it is, if not that of the sender's domain.
    pub domain: Option<String>,
    /// Under which name the domain publishes the public key.
    pub selector: String,
    /// The private key in PEM.
    pub private_key: SecretString,
}

/// Why the channel cannot be set up. Each names the key at fault.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A key has a value that cannot work.
    #[error("channels.email.{key}: {detail}")]
    Key {
        /// The key, below `channels.email`.
        key: &'static str,
        /// What is wrong with its value.
        detail: String,
    },
    /// The CA file cannot be read.
    #[error("channels.email.ca_file: failed to read {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// TLS cannot be set up with these options.
    #[error("channels.email: failed to set up TLS")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Mail.
#[derive(Debug)]
pub struct Email {
    sender: Sender,
    signer: Option<Signer>,
    relay: Relay,
}

impl Email {
    /// Sets the channel up and connects to nothing yet. Reads the CA file and the system's certificates, so it
    /// belongs to the start of the process.
    ///
    /// # Errors
    /// [`SetupError`] names the key whose value cannot work.
    pub fn new(options: Options) -> Result<Email, SetupError> {
        super::install_crypto();
        let sender = Sender {
            from: mailbox("from", &options.from)?,
            reply_to: options.reply_to.as_deref().map(|text| mailbox("reply_to", text)).transpose()?,
        };
        let signer = options.dkim.as_ref().map(|dkim| signer(dkim, &sender)).transpose()?;
        Ok(Email { sender, signer, relay: Relay::new(options)? })
    }

    /// One attempt to send `message`. It takes at most twice [`Options::timeout`] and a second: once to get a free connection,
    /// once to send. Safe to drop at any point: the connection it was using is closed then.
    pub async fn send(&self, message: &Message) -> Outcome {
        let composed = compose::compose(&self.sender, message).and_then(|mail| match &self.signer {
            Some(signer) => Ok(Mail { bytes: signer.signed(&mail.bytes, message.at_ms / 1_000)?, ..mail }),
            None => Ok(mail),
        });
        let mail = match composed {
            Ok(mail) => mail,
            Err(refusal) => return verdict::refused(refusal),
        };
        match self.relay.deliver(&mail).await {
            Ok(words) => verdict::sent(&words),
            Err(trouble) => verdict::judge(&trouble),
        }
    }

    /// Connects as for a mail, with TLS and login as they are set, and says goodbye.
    ///
    /// # Errors
    /// In words, what stands in the way.
    pub async fn greet(&self) -> Result<(), String> {
        self.relay.greet().await.map_err(|trouble| trouble.words)
    }

    /// Says goodbye on the connections that are kept open. Takes a few seconds at most.
    pub async fn close(&self) {
        self.relay.close().await;
    }
}

fn signer(dkim: &Dkim, sender: &Sender) -> Result<Signer, SetupError> {
    let bad = |key, detail: &str| SetupError::Key { key, detail: detail.to_owned() };
    let domain = dkim.domain.clone().unwrap_or_else(|| sender.from.email.domain().to_owned());
    if !domain.is_ascii() {
        return Err(bad(
            "dkim.domain",
            "it is not set, and that of channels.email.from is not written in ASCII",
        ));
    }
    let signer = Signer::new(domain, dkim.selector.clone(), dkim.private_key.expose_secret());
    signer.ok_or_else(|| bad("dkim.private_key", "it is no private key that can sign mails"))
}

fn mailbox(key: &'static str, text: &str) -> Result<Mailbox, SetupError> {
    let bad = |detail: String| SetupError::Key { key, detail };
    if text.chars().any(char::is_control) {
        return Err(bad("it has a line break or another control character".to_owned()));
    }
    text.trim().parse().map_err(|error| bad(format!("`{text}` is not a mail address: {error}")))
}
