//! What the operator decides about who may come in.

use secrecy::SecretString;

use crate::settings::{optional, secret, settings};

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
    }
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
