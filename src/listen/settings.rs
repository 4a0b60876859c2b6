//! What the operator decides about the listening socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Uri;

use crate::settings::{Kind, Unit, list, optional, parsed, settings, whole, within};

/// How many origins may be allowed. A list longer than this is not written by hand.
const ORIGINS_LEN_MAX: usize = 256;

/// A duration that is waited for while someone holds a connection: zero would close each at once.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

settings! {
    /// The listening socket and what is said about it to the outside.
    pub struct Server {
        /// Address and port to listen on. Port 0 takes any free port.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8470)), address();
        /// The address at which people and their mail programs reach this server, for links. Without a slash at the
        /// end.
        base_url: Option<String> = None, optional(base_url(), "https://notify.example.org");
        /// Web origins whose pages may use the API and open live connections. A page that this server delivered
        /// itself always may.
        allowed_origins: Vec<String> = Vec::new(), list(origin(), ORIGINS_LEN_MAX);
        /// How many TCP connections may be open at once.
        max_connections: usize = 20_000, whole(1..=1_000_000);
        /// How many TCP connections one address may hold at once. As high as `max_connections` by default, since
        /// behind a proxy all of them have the proxy's address.
        max_connections_per_ip: usize = 20_000, whole(1..=1_000_000);
        /// How long a client may take to send the head of a request.
        header_timeout: Duration = Duration::from_secs(10), within(Unit::Seconds, SHORTEST_WAIT..=LONGEST_WAIT);
        /// How long a connection may stay open between two requests.
        idle_timeout: Duration = Duration::from_secs(75), within(Unit::Seconds, SHORTEST_WAIT..=LONGEST_WAIT);
        /// How long requests and sends in flight may take to finish once the server is told to stop.
        drain_time: Duration = Duration::from_secs(10), within(Unit::Seconds, Duration::ZERO..=LONGEST_WAIT);
    }
}

fn address() -> Kind<SocketAddr> {
    let allowed = "an IP address and a port, as 127.0.0.1:8470, 0.0.0.0:8470 or [::]:8470";
    parsed(allowed, |text| text.parse().ok(), SocketAddr::to_string)
}

fn base_url() -> Kind<String> {
    parsed("an http or https URL without query, as https://notify.example.org", read_base_url, String::clone)
}

fn read_base_url(text: &str) -> Option<String> {
    let uri = read_web_uri(text)?;
    uri.query().is_none().then(|| text.trim_end_matches('/').to_owned())
}

fn origin() -> Kind<String> {
    let allowed =
        "the origin of a web page, that is scheme, host and perhaps port, as https://app.example.org";
    parsed(allowed, read_origin, String::clone)
}

/// The origin as browsers write it (RFC 6454, section 6.2): lower case, without the scheme's own port.
fn read_origin(text: &str) -> Option<String> {
    let uri = read_web_uri(text)?;
    let bare = uri.path() == "/" && uri.query().is_none() && !text.ends_with('/');
    let scheme = uri.scheme_str()?;
    let host = uri.host()?.to_ascii_lowercase();
    let own_port = if scheme == "https" { 443 } else { 80 };
    let port =
        uri.port_u16().filter(|port| *port != own_port).map_or(String::new(), |port| format!(":{port}"));
    bare.then(|| format!("{scheme}://{host}{port}"))
}

/// An absolute http or https URL. `Uri` drops a fragment in silence and lets a user name pass: neither belongs here.
fn read_web_uri(text: &str) -> Option<Uri> {
    if text.contains(['#', '@']) {
        return None;
    }
    let uri: Uri = text.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    // A port beyond 65535 is kept by `Uri` and only then not a number.
    let port_is_sound =
        uri.port_u16().is_some() || uri.authority().is_some_and(|whole| whole.as_str() == host);
    (matches!(uri.scheme_str(), Some("http" | "https")) && port_is_sound).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_loses_its_last_slash() {
        assert_eq!(read_base_url("https://a.example/n/").as_deref(), Some("https://a.example/n"));
        assert_eq!(read_base_url("http://[::1]:80").as_deref(), Some("http://[::1]:80"));
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for text in [
            "a.example",
            "/path",
            "ftp://a.example",
            "https://",
            "https://a?b",
            "https://a#b",
            "https://u:p@a",
            "https://a:",
            "https://a:99999",
        ] {
            assert_eq!(read_base_url(text), None, "{text}");
        }
    }

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        assert_eq!(read_origin("HTTPS://App.Example.org:443").as_deref(), Some("https://app.example.org"));
        assert_eq!(read_origin("http://localhost:3000").as_deref(), Some("http://localhost:3000"));
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in ["*", "null", "app.example.org", "https://a/", "https://a/b", "https://a?b"] {
            assert_eq!(read_origin(text), None, "{text}");
        }
    }
}
