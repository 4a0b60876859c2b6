//! What the operator decides about the ways out.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use secrecy::SecretString;

use super::email::dkim::is_private_key;
use super::push::settings::BrowserPush;
use super::sms::settings::Sms;
use crate::model::channel::{Channel, Mode};
use crate::model::rate::Rate;
use crate::settings::{
    Kind, Unit, Violation, one_of, optional, parsed, path, secret, secret_prose, sections, settings, text,
    whole, within,
};

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    None,
    /// By STARTTLS (RFC 3207), or the mail is not sent.
    Starttls,
    /// From the first byte on (RFC 8314, section 3.3).
    Implicit,
    /// By STARTTLS where the server offers it.
    Opportunistic,
}

sections! {
    /// The ways out. In-app delivery needs no settings and is always on.
    pub struct Channels {
        /// Mail over SMTP.
        email: Email;
        /// Text messages.
        sms: Sms;
        /// Web Push.
        browser_push: BrowserPush;
        /// Calls to people's own endpoints.
        webhook: Webhook;
    }
}

settings! {
    /// Mail over SMTP.
    pub struct Email {
        /// `live` sends, `capture` keeps messages on this machine and shows them, `off` skips them. Without it:
        /// `live` when `host` is set, else `off`.
        mode: Option<Mode> = None, optional(
            one_of(&[("live", Mode::Live), ("capture", Mode::Capture), ("off", Mode::Off)]),
            "live",
        );
        /// Name or address of the mail server that takes our mail.
        host: Option<String> = None, optional(host(), "smtp.example.org");
        /// Its port. Without it: 587 for `starttls` and `opportunistic`, 465 for `implicit`, 25 for `none`.
        port: Option<u16> = None, optional(whole(1..=u16::MAX), "587");
        /// How the connection is protected: `starttls` insists on it, `implicit` speaks TLS from the first byte,
        /// `opportunistic` takes what the server offers, `none` sends in the clear.
        tls: Tls = Tls::Starttls, one_of(&[
            ("none", Tls::None),
            ("starttls", Tls::Starttls),
            ("implicit", Tls::Implicit),
            ("opportunistic", Tls::Opportunistic),
        ]);
        /// The name to log in with. Needs `password`.
        username: Option<String> = None, optional(text("text in one line"), "belfry");
        /// The password to log in with. Needs `username`.
        password: Option<SecretString> = None, optional(secret("text in one line", |_| true), "");
        /// The sender of every mail.
        from: Mailbox = sender(), mailbox();
        /// Where answers go, when not to `from`.
        reply_to: Option<Mailbox> = None, optional(mailbox(), "Support <support@example.org>");
        /// The private key that signs every mail (DKIM), for a mail server that does not sign by itself, as made by
        /// `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`. Needs `dkim.selector`.
        dkim_private_key as "dkim.private_key": Option<SecretString> = None, optional(
            secret_prose(
                "a private key in PEM that can sign mails: RSA of 2048 to 4096 bits, or Ed25519",
                is_private_key,
            ),
            "",
        );
        /// The name under which the public key is published: `<selector>._domainkey.<domain>`.
        dkim_selector as "dkim.selector": Option<String> = None, optional(host(), "belfry");
        /// The domain that publishes it. Without it: that of `from`.
        dkim_domain as "dkim.domain": Option<String> = None, optional(host(), "example.org");
        /// A file of certificates in PEM that are trusted beside those of the system, for a mail server with a
        /// certificate authority of its own.
        ca_file: Option<PathBuf> = None, optional(path(), "/etc/belfry/mail-ca.pem");
        /// How long one send may take as a whole, from connecting to the server's last answer.
        timeout: Duration = Duration::from_secs(30),
            within(Unit::Seconds, Duration::from_millis(100)..=Duration::from_secs(3600));
        /// How many connections to the mail server may be open at once, each with one mail under way.
        max_connections: usize = 8, whole(1..=256);
        /// How many mails go out at most, as 10/s, 300/m or 1000/h.
        rate: Option<Rate> = None, optional(rate(), "10/s");
        /// How many mails go out at most to the addresses of one mail host, by what stands after their `@`. What is over
        /// it waits for its turn; what is critical does not.
        rate_per_host: Option<Rate> = None, optional(rate(), "10/s");
    }
    check is_complete;
}

settings! {
    /// The endpoints of people's own, as the `webhook` channel of a notification. Whoever has none is not reached by it.
    pub struct Webhook {
        /// `live` sends, `capture` keeps messages on this machine and shows them, `off` skips them.
        mode: Mode = Mode::Live,
            one_of(&[("live", Mode::Live), ("capture", Mode::Capture), ("off", Mode::Off)]);
        /// How many notifications go out at most, as 10/s, 300/m or 1000/h.
        rate: Option<Rate> = None, optional(rate(), "10/s");
    }
}

impl Channels {
    /// How fast a channel may go at most.
    pub fn rate(&self, channel: Channel) -> Option<Rate> {
        match channel {
            Channel::Email => self.email.rate,
            Channel::Sms => self.sms.rate,
            Channel::Webhook => self.webhook.rate,
            Channel::BrowserPush => self.browser_push.rate,
            Channel::InApp => None,
        }
    }

    /// What becomes of messages on a channel.
    pub fn mode(&self, channel: Channel) -> Mode {
        match channel {
            Channel::InApp => Mode::Live,
            Channel::Email => self.email.mode(),
            Channel::BrowserPush => self.browser_push.mode,
            Channel::Sms => self.sms.mode(),
            Channel::Webhook => self.webhook.mode,
        }
    }
}

impl Email {
    /// What becomes of mail: what the operator said, else live as soon as there is a server.
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or(if self.host.is_some() { Mode::Live } else { Mode::Off })
    }

    /// The port of the mail server: what the operator said, else the usual one (RFC 6409, RFC 8314).
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            Tls::Starttls | Tls::Opportunistic => 587,
            Tls::Implicit => 465,
            Tls::None => 25,
        })
    }
}

fn is_complete(email: &Email, name: &dyn Fn(&str) -> String) -> Vec<Violation> {
    let missing = |key: &str, reason: &str| {
        let (key, reason) = (name(key), name(reason));
        let message = format!("{key} is not set, but must be, because {reason} is");
        Violation { keys: vec![key, reason], message }
    };
    let mut violations = Vec::new();
    if email.mode == Some(Mode::Live) && email.host.is_none() {
        let (host, mode) = (name("host"), name("mode"));
        let message = format!("{host} is not set, but must be, because {mode} is \"live\"");
        violations.push(Violation { keys: vec![host, mode], message });
    }
    match (&email.username, &email.password) {
        (Some(_), None) => violations.push(missing("password", "username")),
        (None, Some(_)) => violations.push(missing("username", "password")),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match (&email.dkim_private_key, &email.dkim_selector, &email.dkim_domain) {
        (Some(_), None, _) => violations.push(missing("dkim.selector", "dkim.private_key")),
        (None, Some(_), _) => violations.push(missing("dkim.private_key", "dkim.selector")),
        (None, None, Some(_)) => violations.push(missing("dkim.private_key", "dkim.domain")),
        (Some(_), Some(_), _) | (None, None, None) => {}
    }
    violations
}

pub(super) fn rate() -> Kind<Rate> {
    parsed(
        "a number of messages in a second, minute or hour, as 10/s, 300/m or 1000/h",
        Rate::read,
        Rate::to_string,
    )
}

fn host() -> Kind<String> {
    parsed("a host name or an IP address, as smtp.example.org", read_host, String::clone)
}

/// A name by its letters and lengths (RFC 1035, section 2.3.4), or an address without brackets.
fn read_host(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let is_name = text.len() <= 253 && text.trim_end_matches('.').split('.').all(is_label);
    (is_name || text.parse::<std::net::IpAddr>().is_ok()).then(|| text.to_owned())
}

fn sender() -> Mailbox {
    let address = lettre::Address::new("belfry", "localhost").expect("both parts are plain ASCII words");
    Mailbox::new(Some("Belfry".to_owned()), address)
}

fn mailbox() -> Kind<Mailbox> {
    parsed(
        "one mail address, as belfry@example.org or Belfry <belfry@example.org>",
        read_mailbox,
        Mailbox::to_string,
    )
}

/// The parser stops after the first address and says nothing of what follows, so the end is checked here.
fn read_mailbox(text: &str) -> Option<Mailbox> {
    let mailbox: Mailbox = text.parse().ok()?;
    let address = mailbox.email.to_string();
    let text = text.trim_end();
    let end = text.strip_suffix('>').unwrap_or(text).trim_end();
    end.ends_with(&address).then_some(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_goes_live_when_a_server_is_named() {
        let email = Email { host: Some("smtp.example.org".to_owned()), ..Email::default() };
        assert_eq!((Email::default().mode(), email.mode()), (Mode::Off, Mode::Live));
    }

    #[test]
    fn what_needs_no_account_anywhere_is_live_and_other_channels_start_switched_off() {
        let modes = Channel::ALL.map(|channel| Channels::default().mode(channel));
        assert_eq!(modes, [Mode::Live, Mode::Off, Mode::Live, Mode::Off, Mode::Live]);
    }

    #[test]
    fn the_port_follows_the_protection() {
        let port = |tls| Email { tls, ..Email::default() }.port();
        let ports = [Tls::None, Tls::Starttls, Tls::Implicit, Tls::Opportunistic].map(port);
        assert_eq!(ports, [25, 587, 465, 587]);
    }

    #[test]
    fn a_mailbox_may_have_a_name_in_any_script() {
        for text in [
            "a@example.org",
            "Belfry <a@example.org>",
            "\"Glocke, Turm\" <a@example.org>",
            "Türmer <a@example.org>",
        ] {
            assert_eq!(read_mailbox(text).expect(text).email.to_string(), "a@example.org");
        }
    }

    #[test]
    fn a_second_address_behind_the_first_is_refused() {
        for text in ["a@example.org, b@example.org", "A <a@example.org>, B <b@example.org>", "a", "", "<>"] {
            assert_eq!(read_mailbox(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_around_it() {
        for text in ["localhost", "smtp.example.org", "127.0.0.1", "::1"] {
            assert!(read_host(text).is_some(), "{text}");
        }
        for text in ["smtp.example.org:25", "smtp://a", "a b", "a..b", "[::1]", "."] {
            assert_eq!(read_host(text), None, "{text}");
        }
    }
}
