//! An address that nothing is sent to any more, whoever it is of.

use uuid::Uuid;

use crate::clock::Millis;
use crate::model::channel::Channel;

/// The channels whose addresses can be suppressed.
pub const CHANNELS: [Channel; 2] = [Channel::Email, Channel::Sms];
/// The most characters of a reason.
pub const REASON_CHARS_MAX: usize = 500;

/// An address on the suppression list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// The channel that it is an address of.
    pub channel: Channel,
    /// The address, as [`normal`] spells it.
    pub address: String,
    /// Why, in the words of whoever put it there.
    pub reason: Option<String>,
    /// How it came there.
    pub source: Source,
    /// Since when.
    pub since: Millis,
}

/// How an address came onto the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By a request.
    Api,
    /// A provider said that there is no such address.
    Provider,
    /// A mail came back.
    Bounce,
}

impl Source {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Api => "api",
            Source::Provider => "provider",
            Source::Bounce => "bounce",
        }
    }
}

impl Suppression {
    /// The evidence in words.
    pub fn because(&self) -> String {
        match &self.reason {
            Some(reason) => format!("the address is on the suppression list: {reason}"),
            None => "the address is on the suppression list".to_owned(),
        }
    }
}

/// An address as it is compared. No mail server in use tells upper from lower case, so no recipient must come back onto
/// a list that they are off by another spelling.
pub fn normal(address: &str) -> String {
    address.trim().to_lowercase()
}
