//! The opening handshake of RFC 6455: whether a request may become a WebSocket, and the answer that makes it one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, Response, StatusCode};

/// RFC 6455, 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request cannot become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not ask for one: a plain request at this address.
    #[error("this address speaks WebSocket: send an upgrade request")]
    NotAWebSocket,
    /// It asks for a version other than 13; the answer names 13 in `Sec-WebSocket-Version`.
    #[error("only WebSocket version 13 is spoken here")]
    WrongVersion,
    /// Its key is missing or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    BadKey,
    /// A browser's page from elsewhere.
    #[error("pages of this origin may not connect")]
    ForeignOrigin,
    /// The token does not allow to connect.
    #[error("this token may not connect")]
    Forbidden,
    /// It names nobody, and here a token must come with the request.
    #[error("this address wants a token with the request")]
    Anonymous,
    /// There are as many connections as are allowed.
    #[error("there are as many connections as are allowed")]
    Full,
}

/// Judges the request. Answers the value of `Sec-WebSocket-Accept`.
pub fn accept_key(
    method: &Method,
    headers: &HeaderMap,
    allowed_origins: &[String],
) -> Result<String, Refusal> {
    let asked = has_token(headers, CONNECTION, "upgrade") && has_token(headers, UPGRADE, "websocket");
    if *method != Method::GET || !asked {
        return Err(Refusal::NotAWebSocket);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        return Err(Refusal::WrongVersion);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::BadKey)?.as_bytes();
    if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        return Err(Refusal::BadKey);
    }
    if !may_come_from(headers, allowed_origins) {
        return Err(Refusal::ForeignOrigin);
    }
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(KEY_SUFFIX.as_bytes());
    Ok(STANDARD.encode(digest.finish()))
}

/// The answer that makes the connection a WebSocket.
pub fn switching_protocols(accept_key: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(accept_key).expect("base64 is a valid header value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn has_token(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(wanted))
}

/// A browser always says where its page is from, and other clients need not. `*` allows every origin; without a list
/// the page must come from this very host.
fn may_come_from(headers: &HeaderMap, allowed_origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    is_listed(origin, allowed_origins)
        || headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(|host| is_at(origin, host))
}

/// Whether `server.allowed_origins` names an origin, as a browser writes it in `Origin`.
pub fn is_listed(origin: &str, allowed_origins: &[String]) -> bool {
    allowed_origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// Whether an origin is that of the host. The scheme cannot be compared: TLS may end before us.
fn is_at(origin: &str, host: &str) -> bool {
    let (authority, port) = match origin.split_once("://") {
        Some(("http", authority)) => (authority, ":80"),
        Some(("https", authority)) => (authority, ":443"),
        Some(_) | None => return false,
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(more: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let usual = [
            ("host", "belfry.example:8470"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (name, value) in usual.iter().chain(more) {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn judged(more: &[(&'static str, &'static str)], allowed: &[&str]) -> Result<String, Refusal> {
        let allowed: Vec<_> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        accept_key(&Method::GET, &headers(more), &allowed)
    }

    #[test]
    fn the_sample_key_of_the_rfc_gets_its_sample_answer() {
        assert_eq!(judged(&[], &[]).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_no_handshake_is_refused_by_name() {
        assert_eq!(judged(&[("upgrade", "h2c")], &[]), Err(Refusal::NotAWebSocket));
        assert_eq!(judged(&[("connection", "close")], &[]), Err(Refusal::NotAWebSocket));
        assert_eq!(judged(&[("sec-websocket-version", "8")], &[]), Err(Refusal::WrongVersion));
        assert_eq!(judged(&[("sec-websocket-key", "c2hvcnQ=")], &[]), Err(Refusal::BadKey));
        let posted = accept_key(&Method::POST, &headers(&[]), &[]);
        assert_eq!(posted, Err(Refusal::NotAWebSocket));
    }

    #[test]
    fn a_page_of_the_same_host_may_connect_and_a_foreign_one_may_not() {
        assert!(judged(&[("origin", "http://belfry.example:8470")], &[]).is_ok());
        assert!(judged(&[("origin", "https://Belfry.example"), ("host", "belfry.example:443")], &[]).is_ok());
        for foreign in
            ["http://evil.example", "null", "http://belfry.example", "http://belfry.example:8470.evil"]
        {
            assert_eq!(judged(&[("origin", foreign)], &[]), Err(Refusal::ForeignOrigin), "{foreign}");
        }
    }

    #[test]
    fn a_listed_origin_may_connect() {
        let origin = [("origin", "https://app.example")];
        assert!(judged(&origin, &["https://app.example/"]).is_ok());
        assert!(judged(&origin, &["*"]).is_ok());
        assert_eq!(judged(&origin, &["https://app.example.org"]), Err(Refusal::ForeignOrigin));
    }
}
