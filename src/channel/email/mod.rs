//! Mail over SMTP (RFC 5321) to one server, usually the team's own relay.
//!
//! One call is one attempt. Whatever happens on the wire, every attempt of a delivery carries the same `Message-ID`,
//! so that a mail whose answer got lost can be recognised as the same one when it comes again.

pub mod bounce;
mod compose;
mod stream;
mod tls;
mod transport;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use secrecy::SecretString;

use crate::model::delivery::Outcome;
use crate::model::message::Message;

use compose::Sender;
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
    /// Where this server is reached from outside, for the links that a mail's headers carry.
    pub base_url: Option<String>,
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
        Ok(Email { sender, relay: Relay::new(options)? })
    }

    /// One attempt to send `message`. It takes at most twice [`Options::timeout`]: once to get a free connection,
    /// once to send. Safe to drop at any point: the connection it was using is closed then.
    pub async fn send(&self, message: &Message) -> Outcome {
        let mail = match compose::compose(&self.sender, message) {
            Ok(mail) => mail,
            Err(refusal) => return verdict::refused(refusal),
        };
        match self.relay.deliver(&mail).await {
            Ok(words) => verdict::sent(&words),
            Err(trouble) => verdict::judge(&trouble),
        }
    }

    /// Says goodbye on the connections that are kept open. Takes a few seconds at most.
    pub async fn close(&self) {
        self.relay.close().await;
    }
}

fn mailbox(key: &'static str, text: &str) -> Result<Mailbox, SetupError> {
    let bad = |detail: String| SetupError::Key { key, detail };
    if text.chars().any(char::is_control) {
        return Err(bad("it has a line break or another control character".to_owned()));
    }
    text.trim().parse().map_err(|error| bad(format!("`{text}` is not a mail address: {error}")))
}
