//! The stored shape of a person and their preferences. Fields may only change by a new version, see [`super::codec`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::codec::{CodecError, Record, decode_body};
use super::keys;
use super::policies::{DigestV1, QuietHoursV2};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::preferences::{Choice, Preferences, SYSTEM_CATEGORIES, system_channel};
use crate::model::quiet_hours::QuietHours;
use crate::model::user::User;

/// A person and what they said they want.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UserV2 {
    email: Option<String>,
    phone: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    attributes: Option<String>,
    preferences: Option<PreferencesV2>,
    created_at: Millis,
    updated_at: Millis,
}

#[derive(Debug, Serialize, Deserialize)]
struct PreferencesV2 {
    channels: BTreeMap<Channel, bool>,
    categories: BTreeMap<String, ChoiceV1>,
    quiet_hours: QuietHoursV2,
    digest: BTreeMap<String, DigestV1>,
    unsubscribed: BTreeSet<(String, Channel)>,
    updated_at: Option<Millis>,
}

#[derive(Debug, Serialize, Deserialize)]
enum ChoiceV1 {
    Everywhere(bool),
    PerChannel(BTreeMap<Channel, bool>),
}

impl Record for UserV2 {
    const VERSION: u8 = 2;
    const NAME: &'static str = "user";

    fn from_older(version: u8, body: &[u8]) -> Option<Result<UserV2, CodecError>> {
        (version == 1).then(|| decode_body::<UserV1>(Self::NAME, body).map(UserV2::from))
    }
}

impl From<&User> for UserV2 {
    fn from(user: &User) -> UserV2 {
        let user = user.clone();
        UserV2 {
            email: user.email,
            phone: user.phone,
            locale: user.locale,
            timezone: user.timezone,
            attributes: user.attributes,
            preferences: user.preferences.map(PreferencesV2::from),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

impl UserV2 {
    pub(super) fn into_user(self, id: &str) -> User {
        User {
            id: id.to_owned(),
            email: self.email,
            phone: self.phone,
            locale: self.locale,
            timezone: self.timezone,
            attributes: self.attributes,
            preferences: self.preferences.map(Preferences::from),
            no_webhook: false,
            has_push: false,
            suppressed: BTreeMap::new(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl From<Preferences> for PreferencesV2 {
    fn from(preferences: Preferences) -> PreferencesV2 {
        let choice = |choice| match choice {
            Choice::Everywhere(on) => ChoiceV1::Everywhere(on),
            Choice::PerChannel(channels) => ChoiceV1::PerChannel(channels),
        };
        PreferencesV2 {
            channels: preferences.channels,
            categories: preferences.categories.into_iter().map(|(name, c)| (name, choice(c))).collect(),
            quiet_hours: preferences.quiet_hours.into(),
            digest: preferences.digest.into_iter().map(|(name, policy)| (name, policy.into())).collect(),
            unsubscribed: preferences.unsubscribed,
            updated_at: preferences.updated_at,
        }
    }
}

impl From<PreferencesV2> for Preferences {
    fn from(stored: PreferencesV2) -> Preferences {
        Preferences {
            channels: stored.channels,
            categories: stored.categories.into_iter().map(|(name, c)| (name, c.into())).collect(),
            quiet_hours: stored.quiet_hours.into(),
            digest: stored.digest.into_iter().map(|(name, policy)| (name, policy.into())).collect(),
            unsubscribed: stored.unsubscribed,
            updated_at: stored.updated_at,
        }
    }
}

impl From<ChoiceV1> for Choice {
    fn from(stored: ChoiceV1) -> Choice {
        match stored {
            ChoiceV1::Everywhere(on) => Choice::Everywhere(on),
            ChoiceV1::PerChannel(channels) => Choice::PerChannel(channels),
        }
    }
}

/// The first version: preferences were stored whole, what the person said and what holds for everybody alike.
#[derive(Debug, Serialize, Deserialize)]
struct UserV1 {
    email: Option<String>,
    phone: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    attributes: Option<String>,
    preferences: Option<PreferencesV1>,
    created_at: Millis,
    updated_at: Millis,
}

#[derive(Debug, Serialize, Deserialize)]
struct PreferencesV1 {
    channels: BTreeMap<Channel, bool>,
    categories: BTreeMap<String, ChoiceV1>,
    quiet_hours: QuietHoursV1,
    updated_at: Option<Millis>,
}

#[derive(Debug, Serialize, Deserialize)]
struct QuietHoursV1 {
    enabled: bool,
    start: u16,
    end: u16,
    timezone: String,
    days: [bool; 7],
    override_priorities: Vec<u8>,
}

impl From<UserV1> for UserV2 {
    fn from(old: UserV1) -> UserV2 {
        UserV2 {
            email: old.email,
            phone: old.phone,
            locale: old.locale,
            timezone: old.timezone,
            attributes: old.attributes,
            preferences: old.preferences.map(PreferencesV2::from),
            created_at: old.created_at,
            updated_at: old.updated_at,
        }
    }
}

impl From<PreferencesV1> for PreferencesV2 {
    fn from(old: PreferencesV1) -> PreferencesV2 {
        let quiet = old.quiet_hours;
        let quiet = QuietHours {
            enabled: quiet.enabled,
            start: quiet.start,
            end: quiet.end,
            timezone: Some(quiet.timezone),
            days: quiet.days,
            override_priorities: quiet
                .override_priorities
                .into_iter()
                .filter_map(keys::priority_of)
                .collect(),
            channels: BTreeMap::new(),
        };
        // What is as it is for everybody says nothing of its own.
        let differs = |name: &str, choice: &ChoiceV1| match choice {
            ChoiceV1::Everywhere(on) => !SYSTEM_CATEGORIES.contains(&(name, *on)),
            ChoiceV1::PerChannel(_) => true,
        };
        PreferencesV2 {
            channels: old.channels.into_iter().filter(|(c, on)| system_channel(*c) != *on).collect(),
            categories: old.categories.into_iter().filter(|(name, c)| differs(name, c)).collect(),
            quiet_hours: quiet.into(),
            digest: BTreeMap::new(),
            unsubscribed: BTreeSet::new(),
            updated_at: old.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;
    use crate::model::digest::Digest;
    use crate::model::quiet_hours::ChannelHours;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ascii"));
        digits.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
    }

    fn user() -> User {
        let not_by_sms = Choice::PerChannel(BTreeMap::from([(Channel::Sms, false)]));
        let later = ChannelHours { end: Some(600), ..ChannelHours::default() };
        User {
            id: "anna".into(),
            email: Some("anna@example.org".into()),
            preferences: Some(Preferences {
                channels: BTreeMap::from([(Channel::Sms, true)]),
                categories: BTreeMap::from([("billing".to_owned(), not_by_sms)]),
                quiet_hours: QuietHours {
                    timezone: Some("Europe/Paris".into()),
                    channels: BTreeMap::from([(Channel::Email, later)]),
                    ..QuietHours::default()
                },
                digest: BTreeMap::from([("*".to_owned(), Digest::Weekly { at: 480, weekday: 4 })]),
                unsubscribed: BTreeSet::from([("news".to_owned(), Channel::Email)]),
                updated_at: Some(5),
            }),
            created_at: 1,
            updated_at: 2,
            ..User::default()
        }
    }

    #[test]
    fn a_user_reads_back_as_it_was_written() {
        let read = decode::<UserV2>(&encode(&UserV2::from(&user()))).expect("our own bytes");
        assert_eq!(read.into_user("anna"), user());
    }

    /// These bytes are on people's disks. A test that fails here wants a new version of the record, not new bytes.
    #[test]
    fn a_user_keeps_its_bytes() {
        assert_eq!(hex(&encode(&UserV2::from(&user()))), include_str!("golden/user.v2.hex").trim());
    }

    #[test]
    fn a_user_of_the_first_version_is_still_read_and_has_said_what_differs_from_the_rest() {
        let read =
            decode::<UserV2>(&bytes(include_str!("golden/user.v1.hex"))).expect("an older version of ours");
        let user = read.into_user("anna");
        assert_eq!(user.email.as_deref(), Some("anna@example.org"));
        assert_eq!((user.created_at, user.updated_at), (1, 2));
        let preferences = user.preferences.expect("it had some");
        let not_by_sms = Choice::PerChannel(BTreeMap::from([(Channel::Sms, false)]));
        assert_eq!(preferences.channels, BTreeMap::new());
        assert_eq!(preferences.categories, BTreeMap::from([("billing".to_owned(), not_by_sms)]));
        assert_eq!(preferences.quiet_hours.timezone.as_deref(), Some("UTC"));
        assert_eq!((preferences.quiet_hours.start, preferences.updated_at), (1320, Some(5)));
    }
}
