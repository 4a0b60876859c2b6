//! What the operator decides about who may come in.

use secrecy::SecretString;

use super::issuers::Issuers;
use super::jwt_keys::JwtKeys;
use crate::settings::{Kind, Violation, optional, secret, settings, text, texts};

/// A key shorter than this can be guessed.
const SECRET_LEN_MIN: usize = 16;

settings! {
    /// Who may come in.
    pub struct Auth {
        /// The value of an admin key that exists from the first start on. Without it the first start makes one and
        /// prints it once.
        admin_key: Option<SecretString> = None, optional(
            secret("at least 16 visible ASCII characters without blanks", is_token),
            "",
        );
        /// The shared secret by which user tokens are signed (HS256), at least 16 bytes; 32 random bytes or more are
        /// recommended, as from `openssl rand -base64 32`.
        jwt_secret: Option<SecretString> = None, optional(
            secret("at least 16 bytes of text in one line", |text| text.len() >= SECRET_LEN_MIN),
            "",
        );
        /// The public keys of others, such as your own login, whose user tokens are taken as well: EdDSA (Ed25519), RS256
        /// (RSA of 2048 to 8192 bits) or ES256 (P-256), each key for its algorithm alone. Their tokens have sub and exp like
        /// ours; a kid chooses the key of that kid. Nothing is fetched; files are read at the start and at SIGHUP. Where a
        /// key is taken out, the live connections of users are closed, and those whose tokens still hold come back.
        jwt_keys: JwtKeys = JwtKeys::default(), public_keys();
        /// The iss that tokens signed with one of auth.jwt_keys must have.
        jwt_issuer: Option<String> = None, optional(text("text in one line"), "https://login.example.org");
        /// What the aud of tokens signed with one of auth.jwt_keys must be or hold. Set it where the same keys sign for
        /// other services too, since anybody's token for one of these is good here otherwise.
        jwt_audience: Option<String> = None, optional(text("text in one line"), "belfry");
    }
    check keys_are_good;
}

impl Auth {
    /// Whose tokens are taken beside our own.
    pub fn issuers(&self) -> Issuers {
        let (issuer, audience) = (self.jwt_issuer.clone(), self.jwt_audience.clone());
        Issuers { keys: self.jwt_keys.clone(), issuer, audience }
    }
}

fn public_keys() -> Kind<JwtKeys> {
    texts(
        "a list of at most 32 public keys, or one: each in PEM (PUBLIC KEY), as a JWK or JWK Set in JSON, or as the path of a file with one of them",
        JwtKeys::read,
        JwtKeys::entries,
    )
}

fn keys_are_good(auth: &Auth, name: &dyn Fn(&str) -> String) -> Vec<Violation> {
    let key = name("jwt_keys");
    let fault = |fault: &String| Violation { keys: vec![key.clone()], message: format!("{key}: {fault}") };
    auth.jwt_keys.faults().iter().map(fault).collect()
}

/// Whether the text can travel as a Bearer token, which a key must.
fn is_token(text: &str) -> bool {
    text.len() >= SECRET_LEN_MIN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_header_can_carry_is_refused() {
        assert!(is_token("0123456789abcdef"));
        for text in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdefé"] {
            assert!(!is_token(text), "{text}");
        }
    }
}
