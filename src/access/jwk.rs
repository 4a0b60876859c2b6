//! Public keys as JSON: a JWK or a JWK Set (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::public_key::{Key, PublicKey};

/// What a JWK turned out to be.
#[derive(Debug)]
pub(super) enum Jwk {
    /// A key that tokens can be checked with.
    Usable(PublicKey),
    /// A key for something else; the text says for what.
    Other(String),
}

/// The members that matter here. A member that is there twice is an error.
#[derive(Deserialize)]
struct Members {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<IgnoredAny>,
}

/// Every key of the text, or what is wrong with it, to be read after "is".
pub(super) fn read(text: &str) -> Vec<Result<Jwk, String>> {
    let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
        return vec![Err("no JSON object, but must be a JWK or a JWK Set (RFC 7517)".to_owned())];
    };
    match object.remove("keys") {
        None => vec![one(Value::Object(object))],
        Some(Value::Array(keys)) if !keys.is_empty() => keys.into_iter().map(one).collect(),
        Some(_) => vec![Err("a JWK Set without keys".to_owned())],
    }
}

fn one(value: Value) -> Result<Jwk, String> {
    let jwk: Members = serde_json::from_value(value).map_err(|_| "no JWK that can be read")?;
    if jwk.kty == "oct" {
        return Err("a symmetric key, but must be public: for HS256 there is auth.jwt_secret".to_owned());
    }
    if jwk.d.is_some() {
        return Err("a private key, but must be its public half: take out d, p, q, dp, dq and qi".to_owned());
    }
    if let Some(purpose) = jwk.purpose.as_deref().filter(|purpose| *purpose != "sig") {
        return Ok(Jwk::Other(format!("is for the use {purpose:?}")));
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Ok(Jwk::Other("is not for verifying (key_ops)".to_owned()));
    }
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => Key::ed25519(member("x", jwk.x)?),
        ("EC", Some("P-256")) => {
            let (x, y) = (member("x", jwk.x)?, member("y", jwk.y)?);
            Key::p256([&[4], &x[..], &y[..]].concat())
        }
        ("RSA", _) => Key::rsa(&member("n", jwk.n)?, &member("e", jwk.e)?),
        (kty, crv) => {
            let crv = crv.map(|crv| format!(" with the curve {crv:?}")).unwrap_or_default();
            return Ok(Jwk::Other(format!("is of the type {kty:?}{crv}")));
        }
    };
    match jwk.alg.filter(|alg| !key.as_ref().is_ok_and(|key| key.is_for(alg))) {
        Some(alg) if key.is_ok() => Ok(Jwk::Other(format!("is for the algorithm {alg:?}"))),
        _ => Ok(Jwk::Usable(PublicKey { id: jwk.kid, key: key? })),
    }
}

fn member(name: &str, text: Option<String>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("a JWK without {name}"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("a JWK whose {name} is not base64url"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 8037, appendix A.2.
    fn ed25519() -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
    }

    /// The same with other members.
    fn with(members: &[(&str, Value)]) -> Value {
        let mut jwk = ed25519();
        for (name, value) in members {
            jwk[*name] = value.clone();
        }
        jwk
    }

    fn verdict(jwk: &Value) -> String {
        match one(jwk.clone()) {
            Ok(Jwk::Usable(key)) => format!("usable {:?}", key.id),
            Ok(Jwk::Other(why)) => format!("other {why}"),
            Err(why) => format!("bad {why}"),
        }
    }

    #[test]
    fn a_key_is_used_for_what_it_says_it_is_for() {
        let usable = "usable None";
        for (members, expected) in [
            (vec![], usable),
            (vec![("kid", json!("a"))], "usable Some(\"a\")"),
            (vec![("use", json!("sig")), ("key_ops", json!(["verify"])), ("alg", json!("EdDSA"))], usable),
            (vec![("alg", json!("Ed25519"))], usable),
            (vec![("use", json!("enc"))], "other is for the use \"enc\""),
            (vec![("key_ops", json!(["sign"]))], "other is not for verifying (key_ops)"),
            (vec![("alg", json!("RS256"))], "other is for the algorithm \"RS256\""),
            (vec![("alg", json!("HS256"))], "other is for the algorithm \"HS256\""),
            (vec![("crv", json!("X25519"))], "other is of the type \"OKP\" with the curve \"X25519\""),
            (vec![("kty", json!("AKP"))], "other is of the type \"AKP\" with the curve \"Ed25519\""),
        ] {
            assert_eq!(verdict(&with(&members)), expected, "{members:?}");
        }
    }

    #[test]
    fn secrets_and_broken_keys_are_refused() {
        for (members, part) in [
            (vec![("kty", json!("oct")), ("k", json!("c2VjcmV0"))], "a symmetric key"),
            (vec![("d", json!("nWGxne"))], "a private key"),
            (vec![("x", json!("11qY"))], "of 3 bytes"),
            (vec![("x", json!("1+/="))], "x is not base64url"),
            (vec![("x", json!(null))], "without x"),
            (vec![("kid", json!(5))], "no JWK"),
        ] {
            let verdict = verdict(&with(&members));
            assert!(verdict.starts_with("bad ") && verdict.contains(part), "{members:?}: {verdict}");
            assert!(!verdict.contains("c2VjcmV0") && !verdict.contains("nWGxne"), "{verdict}");
        }
    }

    #[test]
    fn a_set_is_read_key_by_key() {
        let set = json!({ "keys": [ed25519(), { "kty": "oct", "k": "AA" }, with(&[("use", json!("enc"))])] });
        let keys = read(&set.to_string());
        assert!(matches!(&keys[..], [Ok(Jwk::Usable(_)), Err(_), Ok(Jwk::Other(_))]), "{keys:?}");
        for text in ["{\"keys\":[]}", "{\"keys\":{}}", "[]", "{", "7", "{}", "{\"keys\":[7]}"] {
            assert!(matches!(&read(text)[..], [Err(_)]), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\":,a-z0-9]{0,60}") {
            let _ = read(&text);
        }
    }
}
