//! A person whom notifications are for.

use std::collections::BTreeMap;

use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::preferences::Preferences;

/// A person: where they can be reached, and what they want.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    /// The name that senders use.
    pub id: String,
    /// A mail address.
    pub email: Option<String>,
    /// A phone number in E.164.
    pub phone: Option<String>,
    /// A language tag (BCP 47).
    pub locale: Option<String>,
    /// An IANA time zone.
    pub timezone: Option<String>,
    /// The sender's own data, as JSON text of an object.
    pub attributes: Option<String>,
    /// What the person said they want; `None` where they have said nothing.
    pub preferences: Option<Preferences>,
    /// Whether it is known, when a notification is planned, that no endpoint of theirs can be called. Not stored.
    pub no_webhook: bool,
    /// Whether any browser of theirs takes notifications: known where one person is read, not in lists.
    pub has_push: bool,
    /// The channels on which nothing is sent to their address, and why not: known where one person is read, not in lists.
    pub suppressed: BTreeMap<Channel, String>,
    /// When we first heard of the person.
    pub created_at: Millis,
    /// When anything above last changed.
    pub updated_at: Millis,
}

/// The most bytes in a mail address (RFC 5321, section 4.5.3.1.3 allows a path of 256 with its brackets).
pub const EMAIL_BYTES_MAX: usize = 254;

/// Why `text` is not a mail address that we would write to, if it is not. Internationalised local parts are taken
/// (RFC 6531); quoted ones and address literals are not.
pub fn check_email(text: &str) -> Result<(), String> {
    let wrong = |detail: &str| Err(detail.to_owned());
    if text.len() > EMAIL_BYTES_MAX {
        return Err(format!("must be at most {EMAIL_BYTES_MAX} bytes"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || "()<>[],;:\\\"".contains(c)) {
        return wrong("must be a plain address such as anna@example.org, with no spaces, brackets or quotes");
    }
    let Some((local, domain)) = text.rsplit_once('@') else {
        return wrong("must be an address such as anna@example.org");
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    if local.is_empty() || local.len() > 64 || local.contains('@') || local.split('.').any(str::is_empty) {
        return wrong("the part before the @ is not a valid mailbox name");
    }
    if !domain.split('.').all(label) {
        return wrong("the part after the @ is not a valid domain name");
    }
    Ok(())
}

impl User {
    /// A person of whom nothing is known but the id.
    pub fn named(id: &str) -> User {
        User { id: id.to_owned(), ..User::default() }
    }

    /// Their mail address or phone number, on the channels that have one.
    pub fn address(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms => self.phone.as_deref(),
            Channel::InApp | Channel::BrowserPush | Channel::Webhook => None,
        }
    }

    /// Their mail address and their phone number, as far as they are known.
    pub fn addresses(&self) -> Vec<(Channel, String)> {
        let known = |channel| Some((channel, self.address(channel)?.to_owned()));
        Channel::ALL.into_iter().filter_map(known).collect()
    }

    /// The zone that the person's clocks show, where anything says so: their own, or that of their quiet hours.
    pub fn home(&self) -> Option<&str> {
        let of_quiet_hours = || self.preferences.as_ref()?.quiet_hours.timezone.as_deref();
        self.timezone.as_deref().or_else(of_quiet_hours)
    }
}

/// Why `text` is not a phone number in E.164 (ITU-T E.164: a plus sign and 7 to 15 digits, no leading zero).
pub fn check_phone(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix('+').unwrap_or("");
    let good = (7..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    if good {
        Ok(())
    } else {
        Err("must be in E.164: a plus sign and 7 to 15 digits, as in +491701234567".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_would_break_a_mail_are_refused() {
        for good in ["anna@example.org", "a.b+c@localhost", "jürgen@exämple.de", "o'neil@x.ie"] {
            assert_eq!(check_email(good), Ok(()), "{good}");
        }
        for wrong in [
            "",
            "anna",
            "@x.org",
            "a@",
            "a b@x.org",
            "a@x.org\r\nBcc: b@y.org",
            "a..b@x.org",
            "a@-x.org",
            "a@b@c",
            "<a@x.org>",
        ] {
            assert!(check_email(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn phone_numbers_are_e164() {
        assert_eq!(check_phone("+491701234567"), Ok(()));
        for wrong in
            ["491701234567", "+0491701234", "+49 170 123", "+123456", "+1234567890123456", "+49x01234567"]
        {
            assert!(check_phone(wrong).is_err(), "{wrong:?}");
        }
    }
}
