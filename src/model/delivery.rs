//! One notification on one channel: where it stands, why, and what one attempt came to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// Where a delivery stands. Exactly one holds at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted; the first attempt is due.
    Pending,
    /// Held until an instant that is known.
    Deferred,
    /// Waiting to be gathered into a digest.
    Batched,
    /// An attempt failed for now; another is due at an instant that is known.
    Retrying,
    /// The provider took it.
    Sent,
    /// It is known to have arrived.
    Delivered,
    /// Given up, or refused for good.
    Failed,
    /// Never to be sent, for a reason that is known. Not a failure and never retried.
    Skipped,
    /// Withdrawn before it left.
    Canceled,
    /// Its time passed before it left.
    Expired,
}

impl Status {
    /// Every status, in the order of the contract.
    pub const ALL: [Status; 10] = [
        Status::Pending,
        Status::Deferred,
        Status::Batched,
        Status::Retrying,
        Status::Sent,
        Status::Delivered,
        Status::Failed,
        Status::Skipped,
        Status::Canceled,
        Status::Expired,
    ];

    /// The name on the wire and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Deferred => "deferred",
            Status::Batched => "batched",
            Status::Retrying => "retrying",
            Status::Sent => "sent",
            Status::Delivered => "delivered",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
            Status::Canceled => "canceled",
            Status::Expired => "expired",
        }
    }

    /// True once nothing more will be tried.
    pub const fn is_final(self) -> bool {
        match self {
            Status::Pending | Status::Deferred | Status::Batched | Status::Retrying => false,
            Status::Sent
            | Status::Delivered
            | Status::Failed
            | Status::Skipped
            | Status::Canceled
            | Status::Expired => true,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a delivery is where it is: a closed set, shared by API, timeline, metrics labels and command line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the contract.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The name on the wire and in labels.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// The person turned the channel off, or never turned it on.
    PreferenceChannelOff = "preference_channel_off",
    /// The person turned the category off.
    PreferenceCategoryOff = "preference_category_off",
    /// The person unsubscribed by a link in a message.
    Unsubscribed = "unsubscribed",
    /// The address is on the suppression list.
    Suppressed = "suppressed",
    /// The person has no address on that channel.
    NoAddress = "no_address",
    /// The server's configuration has the channel off.
    ChannelDisabled = "channel_disabled",
    /// Held by the person's quiet hours.
    QuietHours = "quiet_hours",
    /// The sender asked for a later instant.
    SendAt = "send_at",
    /// Gathered into a digest.
    Batched = "batched",
    /// Over a rate that the policy allows.
    Throttled = "throttled",
    /// The same message went out already.
    Duplicate = "duplicate",
    /// A newer notification took its place.
    Superseded = "superseded",
    /// Read on another channel before it left.
    ReadElsewhere = "read_elsewhere",
    /// Its `expires_at` passed before it left.
    Expired = "expired",
    /// Withdrawn by the sender.
    Canceled = "canceled",
    /// Its template does not render.
    TemplateError = "template_error",
    /// The provider takes no message of that size.
    PayloadTooLarge = "payload_too_large",
    /// The provider refused it for good.
    ProviderRejected = "provider_rejected",
    /// The provider asks to be sent less.
    ProviderRateLimited = "provider_rate_limited",
    /// The provider did not answer, or answered that it cannot now.
    ProviderUnreachable = "provider_unreachable",
    /// The browser's push subscription no longer exists.
    SubscriptionGone = "subscription_gone",
    /// The provider failed so often that it is left alone for a while.
    CircuitOpen = "circuit_open",
    /// Every attempt that the retry schedule allows has failed.
    AttemptsExhausted = "attempts_exhausted",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What one attempt came to. The engine turns it into a status and a next due instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took the message. `detail` is its answer, for the timeline.
    Sent {
        /// The provider's words.
        detail: String,
    },
    /// It is known to have arrived.
    Delivered {
        /// What shows it.
        detail: String,
    },
    /// Not now: try again by the schedule, or after `after` where the provider named a delay.
    Retry {
        /// What stood in the way.
        reason: Reason,
        /// The provider's words, or the cause in ours; at most 500 characters.
        error: String,
        /// The delay that the provider asked for.
        after: Option<Duration>,
    },
    /// Not now, and not for a reason that lies in this message: the provider is not there, or does not know us.
    Down {
        /// What stood in the way, in at most 500 characters.
        error: String,
        /// When the provider is asked again, where it is left alone until then. Such an attempt does not count.
        probe_at: Option<Millis>,
    },
    /// Never: the provider refused it for good, or it cannot be sent at all.
    Failed {
        /// What stood in the way.
        reason: Reason,
        /// The provider's words, or the cause in ours; at most 500 characters.
        error: String,
    },
    /// Never, since there is no such address: nothing is to be sent to it again.
    NoSuchAddress {
        /// The provider's words; at most 500 characters.
        error: String,
    },
    /// Not at all, and that is right: for example the person has no address any more.
    Skipped {
        /// Why.
        reason: Reason,
    },
}

/// The most characters of a provider's answer that are kept.
pub const ERROR_CHARS_MAX: usize = 500;
