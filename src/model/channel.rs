//! The ways a notification can reach a person.

use serde::{Deserialize, Serialize};

/// A way out to a person. The spelling of each name is part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The person's inbox, and every open live connection of theirs.
    InApp,
    /// Electronic mail over SMTP.
    Email,
    /// Web Push to the person's browsers.
    BrowserPush,
    /// A text message through a gateway.
    Sms,
    /// A POST to an address of the person's own.
    Webhook,
}

impl Channel {
    /// Every channel, in the order in which results list them.
    pub const ALL: [Channel; 5] =
        [Channel::InApp, Channel::Email, Channel::BrowserPush, Channel::Sms, Channel::Webhook];

    /// The channels that a person has a preference for, and that a notification considers when it names none.
    pub const PREFERRED: [Channel; 4] = [Channel::InApp, Channel::Email, Channel::BrowserPush, Channel::Sms];

    /// The name on the wire, in keys and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Channel::InApp => "in_app",
            Channel::Email => "email",
            Channel::BrowserPush => "browser_push",
            Channel::Sms => "sms",
            Channel::Webhook => "webhook",
        }
    }

    /// The channel of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a channel sends, keeps what it would have sent, or is out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Messages leave the machine.
    Live,
    /// Messages are kept and shown, nothing leaves the machine.
    Capture,
    /// Deliveries are skipped with `channel_disabled`.
    Off,
}
