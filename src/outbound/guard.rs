//! The guard: which URLs may be called at all, and which addresses a connection may go to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Cidr, embedded, special};

/// The longest URL that is called.
pub const URL_BYTES_MAX: usize = 2048;
/// How long the answer of the name service is waited for.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// Why a URL is not called. Each finishes "the URL …", and says what to do where something can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none, or not one of ours.
    #[error("must be an absolute https URL")]
    NotWeb,
    /// It is too long.
    #[error("must be at most {URL_BYTES_MAX} bytes, this has {0}")]
    TooLong(usize),
    /// It has a user name or a password in it, which would be shown wherever the URL is.
    #[error("must not have a user name or a password in it")]
    Credentials,
    /// It leads inside.
    #[error(
        "must lead to a public address, but {host} is {kind}; an operator can allow it by outbound.allow_cidrs"
    )]
    Inside {
        /// The host as the URL has it.
        host: String,
        /// What is special about its address.
        kind: &'static str,
    },
    /// It is not encrypted and does not lead to where that is allowed.
    #[error(
        "must begin with https://: plain http is taken only for addresses that an operator has allowed by \
         outbound.allow_cidrs"
    )]
    Plain,
}

/// What may be called: the public internet, and the blocks that the operator allows.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<Cidr>,
}

impl Guard {
    /// A guard that lets these blocks pass beside the public internet.
    pub fn new(allowed: Vec<Cidr>) -> Guard {
        Guard { allowed }
    }

    /// The URL, if it may be called as far as can be told without asking the name service.
    ///
    /// # Errors
    /// Why it may not.
    pub fn read(&self, text: &str) -> Result<Url, Refused> {
        if text.len() > URL_BYTES_MAX {
            return Err(Refused::TooLong(text.len()));
        }
        // The parser would drop blanks and line breaks in silence.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Refused::NotWeb);
        }
        let mut url = Url::parse(text).map_err(|_| Refused::NotWeb)?;
        self.judge(&url)?;
        url.set_fragment(None);
        Ok(url)
    }

    /// As [`Guard::read`], of a URL that was parsed before: settings may have changed since.
    pub(super) fn judge(&self, url: &Url) -> Result<(), Refused> {
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(Refused::NotWeb),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(Refused::NotWeb)?;
        match literal(host) {
            Some(address) => self.admit(host, plain, &[address]),
            None if is_localhost(host) && self.allowed.is_empty() => {
                Err(Refused::Inside { host: host.to_owned(), kind: "this machine" })
            }
            None => Ok(()),
        }
    }

    /// Looks the host up, where it is a name, and judges every address it has. A name that has no address now may
    /// have one later: an https URL with it passes, and is judged again when it is called.
    ///
    /// # Errors
    /// Why the URL may not be called.
    pub async fn look_up(&self, url: &Url) -> Result<(), Refused> {
        let plain = url.scheme() == "http";
        let host = url.host_str().unwrap_or_default();
        if literal(host).is_some() {
            return Ok(());
        }
        match addresses(host).await {
            Ok(found) => self.admit(host, plain, &found),
            Err(_) if plain => Err(Refused::Plain),
            Err(_) => Ok(()),
        }
    }

    /// Whether a connection for `host` may be made, which has these addresses. One that leads inside spoils all: a
    /// name with both kinds is somebody's try to slip through.
    fn admit(&self, host: &str, plain: bool, addresses: &[IpAddr]) -> Result<(), Refused> {
        for address in addresses {
            let inner = embedded(*address).map(IpAddr::V4);
            let allowed = |address: IpAddr| self.allowed.iter().any(|cidr| cidr.contains(address));
            if allowed(*address) || inner.is_some_and(allowed) {
                continue;
            }
            if let Some(kind) = special(*address) {
                return Err(Refused::Inside { host: host.to_owned(), kind });
            }
            if plain {
                return Err(Refused::Plain);
            }
        }
        Ok(())
    }
}

/// The address that a URL's host is, if it is no name. `Url` has turned odd spellings such as `0x7f.1` into the usual
/// one already.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Names that mean this machine wherever they are asked for (RFC 6761, section 6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost")
}

async fn addresses(host: &str) -> std::io::Result<Vec<IpAddr>> {
    let found = tokio::time::timeout(LOOKUP_WAIT, tokio::net::lookup_host((host, 0)))
        .await
        .map_err(|_| std::io::Error::other("the name service did not answer in time"))??;
    Ok(found.map(|found| found.ip()).collect())
}

/// The guard as the resolver of a client: a connection goes to an address that was judged, and to no other.
pub(super) struct Checked {
    /// The guard.
    pub guard: Arc<Guard>,
    /// Whether the client speaks plain http.
    pub plain: bool,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, plain, host) = (self.guard.clone(), self.plain, name.as_str().to_owned());
        Box::pin(async move {
            let found = addresses(&host).await?;
            guard.admit(&host, plain, &found)?;
            let found: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(allowed.iter().map(|text| text.parse().expect("a block")).collect())
    }

    #[test]
    fn a_public_https_url_passes() {
        for text in [
            "https://hooks.example.org/a?b=c",
            "https://1.1.1.1/x",
            "https://[2606:4700::1111]:8443/",
            "https://fcm.googleapis.com/fcm/send/abc:def",
        ] {
            assert!(guard(&[]).read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_address_inside_is_refused_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[2002:7f00:1::]",
            "10.0.0.1",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "100.64.0.1",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "127.0.0.1.",
            "１２７.0.0.1",
        ] {
            for scheme in ["https", "http"] {
                let refused = guard(&[]).read(&format!("{scheme}://{host}/x")).expect_err(host);
                assert!(matches!(refused, Refused::Inside { .. }), "{host}: {refused}");
                let text = refused.to_string();
                assert!(text.contains("outbound.allow_cidrs"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_web_url_is_refused() {
        for text in [
            "",
            "x",
            "/x",
            "//example.org/",
            "https://",
            "https:///x y",
            "ftp://example.org/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://exa mple.org/",
            "https://example.org/\r\nHost: x",
            "https://example.org:99999/",
            "https://999.1.1.1/",
        ] {
            assert_eq!(guard(&["0.0.0.0/0"]).read(text), Err(Refused::NotWeb), "{text}");
        }
        let long = format!("https://example.org/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(guard(&[]).read(&long), Err(Refused::TooLong(long.len())));
    }

    #[test]
    fn a_user_name_in_a_url_is_refused() {
        for text in ["https://a@example.org/", "https://a:b@example.org/", "https://:b@example.org/"] {
            assert_eq!(guard(&[]).read(text), Err(Refused::Credentials), "{text}");
        }
    }

    #[test]
    fn plain_http_passes_only_inside_what_is_allowed() {
        let guard = guard(&["127.0.0.0/8", "fd00::/8"]);
        for text in ["http://127.0.0.1:8080/x", "http://[fd00::1]/", "http://[::ffff:127.0.0.1]/"] {
            assert!(guard.read(text).is_ok(), "{text}");
        }
        assert_eq!(guard.read("http://1.1.1.1/"), Err(Refused::Plain));
        assert!(matches!(guard.read("https://10.0.0.1/"), Err(Refused::Inside { .. })));
    }

    #[test]
    fn one_address_inside_spoils_a_name() {
        let (inside, outside) = ("10.0.0.1".parse().expect("one"), "1.1.1.1".parse().expect("one"));
        assert!(guard(&[]).admit("a.example", false, &[outside]).is_ok());
        assert!(guard(&[]).admit("a.example", false, &[outside, inside]).is_err());
        assert!(guard(&["10.0.0.0/8"]).admit("a.example", false, &[outside, inside]).is_ok());
        assert_eq!(guard(&["10.0.0.0/8"]).admit("a.example", true, &[outside, inside]), Err(Refused::Plain));
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_judged_by_where_it_leads() {
        let open = guard(&["127.0.0.0/8", "::1"]);
        let url = open.read("http://localhost:1/").expect("a URL");
        assert_eq!(open.look_up(&url).await, Ok(()));
        let elsewhere = guard(&["10.0.0.0/8"]);
        let url = elsewhere.read("https://localhost:1/").expect("not looked up yet");
        assert!(matches!(elsewhere.look_up(&url).await, Err(Refused::Inside { .. })));
    }

    #[tokio::test]
    async fn a_name_without_an_address_passes_with_https_only() {
        let guard = guard(&[]);
        let url = guard.read("https://nowhere.invalid/").expect("a URL");
        assert_eq!(guard.look_up(&url).await, Ok(()));
        let url = guard.read("http://nowhere.invalid/").expect("a URL");
        assert_eq!(guard.look_up(&url).await, Err(Refused::Plain));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_guard_panic(text in "\\PC{0,80}") {
            let _ = guard(&[]).read(&text);
            let _ = guard(&[]).read(&format!("https://{text}"));
        }

        #[test]
        fn a_number_for_a_host_is_judged_as_the_address_it_means(bits: u32) {
            let dotted = std::net::Ipv4Addr::from_bits(bits);
            let judged = |host: String| guard(&[]).read(&format!("https://{host}/")).is_ok();
            prop_assert_eq!(judged(bits.to_string()), judged(dotted.to_string()));
            prop_assert_eq!(judged(format!("{bits:#x}")), special(IpAddr::V4(dotted)).is_none());
        }
    }
}
