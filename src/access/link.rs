//! Links that carry a right of their own: whoever holds one may unsubscribe one person from one category on one channel,
//! and see what else they get. They are in mails, so they never end, and nobody can make one up (HMAC-SHA-256, RFC 2104).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::vault::{TAG_BYTES, Vault};
use crate::model::channel::Channel;
use crate::model::ids::{check_name, check_word};

/// What these tags are for, so that none made for something else is taken for one.
const PURPOSE: &str = "unsubscribe link";
/// The longest text that can be a link.
const TEXT_BYTES_MAX: usize = 2_048;

/// What a link is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The person.
    pub user: String,
    /// The category of the message that it was in.
    pub category: String,
    /// The channel that it came by.
    pub channel: Channel,
}

impl Link {
    /// The link as text that fits into a URL: the same each time.
    pub fn signed(&self, vault: &Vault) -> String {
        // None of the parts can hold a zero byte.
        let content = format!("{}\0{}\0{}", self.channel, self.category, self.user);
        let mut bytes = vault.tag(PURPOSE, content.as_bytes()).to_vec();
        bytes.extend_from_slice(content.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The link that a text is, if this server signed it.
    pub fn read(text: &str, vault: &Vault) -> Option<Link> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (given, content) = bytes.split_first_chunk::<TAG_BYTES>()?;
        if !vault.is_tag(PURPOSE, content, given) {
            return None;
        }
        let mut parts = std::str::from_utf8(content).ok()?.split('\0');
        let (channel, category, user) = (parts.next()?, parts.next()?, parts.next()?);
        check_word("category", category).ok()?;
        check_name("user_id", user).ok()?;
        Some(Link {
            user: user.to_owned(),
            category: category.to_owned(),
            channel: Channel::from_name(channel)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::digest::{SHA256, digest};

    use super::*;

    fn vault(seed: &[u8]) -> Vault {
        Vault::of(digest(&SHA256, seed))
    }

    fn link() -> Link {
        Link { user: "anna@example.org".into(), category: "billing".into(), channel: Channel::Email }
    }

    #[test]
    fn a_link_is_read_by_the_server_that_signed_it_and_by_no_other() {
        let text = link().signed(&vault(b"a"));
        assert_eq!(text, link().signed(&vault(b"a")), "every attempt of a mail carries the same");
        assert_eq!(Link::read(&text, &vault(b"a")), Some(link()));
        assert_eq!(Link::read(&text, &vault(b"b")), None);
        assert_eq!(Link::read("", &vault(b"a")), None);
        assert_eq!(Link::read(&text.repeat(100), &vault(b"a")), None);
    }

    proptest! {
        #[test]
        fn a_link_that_differs_in_one_bit_is_none(at in 0usize..1_000, bit in 0u8..8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(link().signed(&vault(b"a"))).expect("base64");
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Link::read(&URL_SAFE_NO_PAD.encode(bytes), &vault(b"a")), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            prop_assert_eq!(Link::read(&text, &vault(b"a")), None);
        }
    }
}
