//! Who else signs user tokens: their public keys, and what their tokens must say of where they come from and for whom they
//! are. A login signs tokens for many services with one key, and only these claims tell them apart (RFC 8725, sections
//! 3.8 and 3.9).

use serde::Deserialize;

use super::jwt::Header;
use super::jwt_keys::JwtKeys;

/// Whose tokens are taken beside our own.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    /// What they sign with.
    pub keys: JwtKeys,
    /// The `iss` that their tokens must have, if any.
    pub issuer: Option<String>,
    /// What the `aud` of their tokens must be or hold, if anything.
    pub audience: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    iss: Option<String>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Issuers {
    /// The payload of a token, if one of them signed it and it is for us.
    pub(super) fn payload(&self, token: &str, header: &Header) -> Option<Vec<u8>> {
        self.keys.payload(token, header).filter(|payload| self.is_for_us(payload))
    }

    fn is_for_us(&self, payload: &[u8]) -> bool {
        if self.issuer.is_none() && self.audience.is_none() {
            return true;
        }
        let Ok(address) = serde_json::from_slice::<Address>(payload) else { return false };
        let names = |audience: &String| match &address.aud {
            None => false,
            Some(Audience::One(name)) => name == audience,
            Some(Audience::Many(names)) => names.contains(audience),
        };
        self.issuer.as_ref().is_none_or(|issuer| address.iss.as_ref() == Some(issuer))
            && self.audience.as_ref().is_none_or(names)
    }

    /// Whether a token that `newer` refuses may have been taken by these.
    pub fn take_more_than(&self, newer: &Issuers) -> bool {
        let narrows = |old: &Option<String>, new: &Option<String>| new.is_some() && old != new;
        self.keys.has_more_than(&newer.keys)
            || narrows(&self.issuer, &newer.issuer)
            || narrows(&self.audience, &newer.audience)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuers(issuer: Option<&str>, audience: Option<&str>) -> Issuers {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Issuers { keys: JwtKeys::default(), issuer: text(issuer), audience: text(audience) }
    }

    #[test]
    fn a_token_for_another_service_or_of_another_issuer_is_not_for_us() {
        let (i, a) = (Some("https://login.example"), Some("belfry"));
        for (issuers, claims, expected) in [
            (issuers(None, None), json!({ "iss": 7, "aud": 7 }), true),
            (issuers(i, None), json!({ "iss": "https://login.example" }), true),
            (issuers(i, None), json!({ "iss": "https://login.example/" }), false),
            (issuers(i, None), json!({ "aud": "https://login.example" }), false),
            (issuers(None, a), json!({ "aud": "belfry" }), true),
            (issuers(None, a), json!({ "aud": ["shop", "belfry"] }), true),
            (issuers(None, a), json!({ "aud": ["shop"] }), false),
            (issuers(None, a), json!({ "aud": [] }), false),
            (issuers(None, a), json!({ "aud": { "belfry": 1 } }), false),
            (issuers(None, a), json!({}), false),
            (issuers(i, a), json!({ "iss": "https://login.example", "aud": "belfry" }), true),
            (issuers(i, a), json!({ "iss": "https://login.example" }), false),
            (issuers(i, a), json!({ "aud": "belfry" }), false),
        ] {
            assert_eq!(issuers.is_for_us(claims.to_string().as_bytes()), expected, "{claims}");
        }
    }

    #[test]
    fn asking_for_more_takes_less() {
        let (open, closed, other) =
            (issuers(None, None), issuers(None, Some("belfry")), issuers(None, Some("shop")));
        assert!(open.take_more_than(&closed) && closed.take_more_than(&other));
        assert!(!closed.take_more_than(&open) && !closed.take_more_than(&closed));
    }
}
