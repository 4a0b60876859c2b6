//! User tokens: JWTs (RFC 7519) signed with our secret by HMAC SHA-256 (RFC 7518, section 3.2), on `ring`, or with a key of
//! somebody else's whose public half we were given.

use std::sync::Once;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use ring::hmac;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use super::Refused;
use super::issuers::Issuers;
use super::principal::{Grant, Principal};
use crate::clock::Millis;
use crate::model::ids::check_name;

/// The claims of a user token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The person's id.
    pub sub: String,
    /// When the token ends, in seconds since 1970-01-01 UTC. Others may give a fraction (RFC 7519, section 2); ours
    /// has none.
    #[serde(serialize_with = "whole")]
    pub exp: f64,
    /// When it begins, likewise.
    #[serde(default, skip_serializing)]
    pub nbf: Option<f64>,
    /// The workflows that the person may watch; `["*"]` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflows: Option<Vec<String>>,
    /// The topics that the person may watch; `["*"]` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<String>>,
}

fn whole<S: serde::Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "it is made of a whole number of seconds")]
    serializer.serialize_i64(*seconds as i64)
}

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::signing(algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(Hs256::verifying(algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// HMAC SHA-256 as `jsonwebtoken` wants to be given it, so that `ring` stays the one crypto library.
struct Hs256(hmac::Key);

impl Hs256 {
    fn signing(algorithm: &Algorithm, key: &EncodingKey) -> Result<Hs256, JwtError> {
        Hs256::new(*algorithm, key.as_bytes())
    }

    fn verifying(algorithm: &Algorithm, key: &DecodingKey) -> Result<Hs256, JwtError> {
        Hs256::new(*algorithm, key.try_get_as_bytes()?)
    }

    fn new(algorithm: Algorithm, secret: &[u8]) -> Result<Hs256, JwtError> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Ok(Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        hmac::verify(&self.0, message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// What a token says of itself before anything is checked. A member that is there twice is an error.
#[derive(Deserialize)]
pub(super) struct Header {
    /// The algorithm that it claims to be signed by.
    pub alg: String,
    /// The id of the key that it claims to be signed with.
    pub kid: Option<String>,
    /// Whether it has extensions that must be understood (RFC 7515, section 4.1.11). We understand none.
    #[serde(default, rename = "crit", deserialize_with = "is_there")]
    critical: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Header {
    pub(super) fn of(token: &str) -> Option<Header> {
        let (header, _) = token.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

/// Mints user tokens with one secret, and checks those that are signed with it or with the key of an issuer.
pub(super) struct UserTokens {
    sign: EncodingKey,
    verify: DecodingKey,
    validation: Validation,
    issuers: Issuers,
}

impl UserTokens {
    pub(super) fn new(secret: &[u8], issuers: Issuers) -> UserTokens {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            // Only an earlier installation could make this fail, and there is none.
            let _ = PROVIDER.install_default();
        });
        let mut validation = Validation::new(Algorithm::HS256);
        // The instants are checked against our own clock below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims = ["exp", "sub"].into_iter().map(str::to_owned).collect();
        UserTokens {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
            validation,
            issuers,
        }
    }

    pub(super) fn mint(&self, claims: &Claims) -> Option<String> {
        jsonwebtoken::encode(&jsonwebtoken::Header::new(Algorithm::HS256), claims, &self.sign).ok()
    }

    pub(super) fn check(&self, token: &str, now: Millis) -> Result<Principal, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Invalid);
        }
        let header = Header::of(token).filter(|header| !header.critical).ok_or(Refused::Invalid)?;
        let claims = self.signed(token, &header).ok_or(Refused::Invalid)?;
        let millis = |seconds: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the cast saturates, and far is as good as forever"
            )]
            let millis = (seconds * 1_000.0) as Millis;
            millis
        };
        if claims.nbf.is_some_and(|nbf| millis(nbf) > now) || check_name("sub", &claims.sub).is_err() {
            return Err(Refused::Invalid);
        }
        let expires_at = millis(claims.exp);
        if expires_at <= now {
            return Err(Refused::Expired);
        }
        Ok(Principal::User {
            id: claims.sub,
            workflows: grant(claims.workflows),
            topics: grant(claims.topics),
            expires_at,
        })
    }

    /// The claims, if the signature holds. The secret serves HS256 alone and a public key its own algorithm alone, so
    /// that no public key can ever pass for a secret.
    fn signed(&self, token: &str, header: &Header) -> Option<Claims> {
        if header.alg == "HS256" {
            return Some(jsonwebtoken::decode(token, &self.verify, &self.validation).ok()?.claims);
        }
        serde_json::from_slice(&self.issuers.payload(token, header)?).ok()
    }
}

fn grant(names: Option<Vec<String>>) -> Grant {
    match names {
        None => Grant::None,
        Some(names) if names.iter().any(|name| name == "*") => Grant::All,
        Some(names) => Grant::Some(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn claims(exp: f64) -> Claims {
        Claims { sub: "anna".into(), exp, nbf: None, workflows: Some(vec!["w1".into()]), topics: None }
    }

    fn tokens() -> UserTokens {
        UserTokens::new(b"a secret of more than 32 bytes, really", Issuers::default())
    }

    #[test]
    fn a_minted_token_names_its_person_and_grants() {
        let token = tokens().mint(&claims(1_800_000_060.0)).expect("a token");
        let principal = tokens().check(&token, NOW).expect("it is good");
        assert!(principal.may_watch_workflow("w1") && !principal.may_watch_workflow("w2"));
        assert_eq!(principal.label(), "user:anna");
    }

    #[test]
    fn an_expired_token_is_refused_at_its_very_instant() {
        let token = tokens().mint(&claims(1_800_000_000.0)).expect("a token");
        assert_eq!(tokens().check(&token, NOW), Err(Refused::Expired));
    }

    #[test]
    fn forged_unsigned_and_foreign_tokens_are_refused() {
        let good = tokens().mint(&claims(1_900_000_000.0)).expect("a token");
        let foreign = UserTokens::new(b"another secret of some length, too!", Issuers::default())
            .mint(&claims(1_900_000_000.0))
            .expect("a token");
        let body = good.split('.').nth(1).expect("three parts");
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.");
        let mut forged = good.clone();
        forged.replace_range(good.len() - 2.., if good.ends_with("AA") { "BB" } else { "AA" });
        for token in [foreign, unsigned, forged, "a.b.c".into(), String::new()] {
            assert_eq!(tokens().check(&token, NOW), Err(Refused::Invalid), "{token}");
        }
    }

    #[test]
    fn a_signature_by_hmac_sha256_agrees_with_the_specification() {
        // RFC 7515, appendix A.1.
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .expect("base64");
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = Hs256::new(Algorithm::HS256, &key)
            .expect("HS256")
            .try_sign(input.as_bytes())
            .expect("a signature");
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }
}
