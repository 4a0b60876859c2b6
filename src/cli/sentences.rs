//! What happened to a delivery, in sentences: the one place where the command line words statuses and reasons.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::screen::clean;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};

/// One event of a timeline in words, as "not sent: the person has this channel off". Events and reasons of a newer
/// server come out by their names.
pub fn sentence(event: &str, channel: Option<&str>, reason: Option<&str>) -> String {
    let what = event_words(event, channel);
    match reason {
        Some(reason) => format!("{what}: {}", reason_words(reason)),
        None => what,
    }
}

/// A reason in words, with its name behind them for whoever searches for it.
pub fn reason_words(name: &str) -> String {
    match Reason::ALL.iter().find(|reason| reason.name() == name) {
        Some(reason) => format!("{} [{reason}]", why(*reason)),
        None => clean(name),
    }
}

fn event_words(event: &str, channel: Option<&str>) -> String {
    if event == "delivered" && channel == Some(Channel::InApp.name()) {
        return "it is in the inbox".to_owned();
    }
    if let Some(status) = status(event) {
        return standing(status).to_owned();
    }
    match event {
        "accepted" => "accepted and stored".to_owned(),
        "seen" => "the person saw it".to_owned(),
        "read" => "the person read it".to_owned(),
        "archived" => "the person archived it".to_owned(),
        "attempt" | "attempted" => "an attempt was made".to_owned(),
        "resent" => "sent again on request".to_owned(),
        _ => clean(event).replace('_', " "),
    }
}

fn status(name: &str) -> Option<Status> {
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    Status::deserialize(name).ok()
}

const fn standing(status: Status) -> &'static str {
    match status {
        Status::Pending => "the first attempt is due",
        Status::Deferred => "held until later",
        Status::Batched => "waiting to be gathered into a digest",
        Status::Retrying => "did not get through, will be tried again",
        Status::Sent => "the provider took it",
        Status::Delivered => "it arrived",
        Status::Failed => "given up",
        Status::Skipped => "not sent",
        Status::Canceled => "withdrawn before it left",
        Status::Expired => "its time passed before it left",
    }
}

const fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::PreferenceChannelOff => "the person has this channel off",
        Reason::PreferenceCategoryOff => "the person has this category off",
        Reason::Unsubscribed => "the person unsubscribed by a link in a message",
        Reason::Suppressed => "the address is on the suppression list",
        Reason::NoAddress => "the person has no address on this channel",
        Reason::ChannelDisabled => "the server has this channel off",
        Reason::QuietHours => "the person's quiet hours hold it",
        Reason::SendAt => "the sender asked for a later instant",
        Reason::Batched => "it goes into a digest",
        Reason::Throttled => "it is over the rate that is allowed",
        Reason::Duplicate => "the same message went out already",
        Reason::Superseded => "a newer notification took its place",
        Reason::ReadElsewhere => "the person read it on another channel first",
        Reason::Expired => "its time passed",
        Reason::Canceled => "the sender withdrew it",
        Reason::TemplateError => "its template does not render",
        Reason::PayloadTooLarge => "it is too large for the provider",
        Reason::ProviderRejected => "the provider refused it for good",
        Reason::ProviderRateLimited => "the provider asks to be sent less",
        Reason::ProviderUnreachable => "the provider did not answer",
        Reason::SubscriptionGone => "the browser's push subscription no longer exists",
        Reason::CircuitOpen => "the provider failed so often that it is left alone for a while",
        Reason::AttemptsExhausted => "every attempt that the schedule allows has failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_says_why_in_words_and_by_name() {
        assert_eq!(
            sentence("skipped", Some("sms"), Some("preference_channel_off")),
            "not sent: the person has this channel off [preference_channel_off]"
        );
    }

    #[test]
    fn delivered_in_app_means_the_inbox() {
        assert_eq!(sentence("delivered", Some("in_app"), None), "it is in the inbox");
        assert_eq!(sentence("delivered", Some("sms"), None), "it arrived");
    }

    #[test]
    fn what_a_newer_server_says_comes_out_by_its_name_and_clean() {
        assert_eq!(
            sentence("moon_landed\u{1b}[2J", None, Some("full\u{7}_moon")),
            "moon landed[2J: full_moon"
        );
    }
}
