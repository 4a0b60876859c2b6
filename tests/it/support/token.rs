//! JSON Web Tokens made by hand, good ones and bad ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// Seconds since 1970.
pub fn seconds_now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a token is judged by the server's wall clock")]
    jiff::Timestamp::now().as_second()
}

/// A token of those claims, signed with HS256.
pub fn signed(claims: &Value, secret: &str) -> String {
    let text = unsigned(&json!({ "alg": "HS256", "typ": "JWT" }), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// A header and claims, without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}
