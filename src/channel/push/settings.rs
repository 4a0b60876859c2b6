//! What the operator decides about Web Push.

use std::time::Duration;

use secrecy::SecretString;

use super::super::settings::rate;
use super::vapid;
use crate::model::channel::Mode;
use crate::model::rate::Rate;
use crate::settings::{Kind, Unit, one_of, optional, parsed, secret, settings, within};

settings! {
    /// Web Push: notifications in browsers whose pages are closed. It needs no account anywhere.
    pub struct BrowserPush {
        /// `live` sends, `capture` keeps messages on this machine and shows them, `off` skips them.
        mode: Mode = Mode::Live, one_of(&[
            ("live", Mode::Live),
            ("capture", Mode::Capture),
            ("off", Mode::Off),
        ]);
        /// How many messages go out at most, as 10/s, 300/m or 1000/h.
        rate: Option<Rate> = None, optional(rate(), "10/s");
        /// How a push service can reach the operator. Some refuse messages without it. Without it:
        /// `server.base_url` where that is https.
        subject: Option<String> = None, optional(subject(), "mailto:ops@example.org");
        /// The private key (VAPID) by which push services know this server: 32 bytes in base64url. Without it one is
        /// made at the first start and kept in the store. After a change the keys before are kept for the browsers that
        /// subscribed under them.
        vapid_private_key: Option<SecretString> = None, optional(
            secret("a private key on P-256: 32 bytes in base64url", |text| vapid::read_private(text).is_some()),
            "",
        );
        /// How long a push service keeps a message for a browser that is not running, where the notification does not
        /// expire sooner.
        ttl: Duration = Duration::from_secs(7 * DAY), within(Unit::Seconds, Duration::ZERO..=Duration::from_secs(28 * DAY));
    }
}

const DAY: u64 = 24 * 60 * 60;

fn subject() -> Kind<String> {
    let read = |text: &str| {
        let mail = text.strip_prefix("mailto:").is_some_and(|rest| rest.contains('@'));
        let page = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
        (mail || page).then(|| text.to_owned())
    };
    parsed("a mailto: or https: URL, as mailto:ops@example.org", read, String::clone)
}
