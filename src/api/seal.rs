//! Answers that are kept are sealed: some carry a token that is shown once, and the store holds no secret in the clear.
//!
//! The key is made of the caller's own token and their idempotency key, neither of which is stored, so that only the
//! same caller with the same request can open the answer again (AES-256-GCM, NIST SP 800-38D).

use ring::digest;

use crate::access::Vault;

/// What opens one kept answer.
#[derive(Clone, Debug)]
pub struct Seal(Vault);

impl Seal {
    /// The seal of a caller's request.
    pub fn new(token: &str, idempotency_key: &str) -> Seal {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"belfry kept answer");
        // The length in front keeps two pairs from running together into the same bytes.
        context.update(&(token.len() as u64).to_be_bytes());
        context.update(token.as_bytes());
        context.update(idempotency_key.as_bytes());
        Seal(Vault::of(context.finish()))
    }

    /// `text`, sealed.
    pub fn seal(&self, text: &str) -> Vec<u8> {
        self.0.seal(text.as_bytes())
    }

    /// What was sealed, if it was sealed by this seal and nothing of it has changed.
    pub fn open(&self, sealed: &[u8]) -> Option<String> {
        String::from_utf8(self.0.open(sealed)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_caller_and_key_open_an_answer_that_nobody_changed() {
        let seal = Seal::new("token", "key");
        let mut sealed = seal.seal("{\"token\":\"bk_secret\"}");
        assert_eq!(seal.open(&sealed).as_deref(), Some("{\"token\":\"bk_secret\"}"));
        assert!(!sealed.windows(9).any(|window| window == b"bk_secret"));
        assert_eq!(Seal::new("token", "kez").open(&sealed), None);
        assert_eq!(Seal::new("toke", "nkey").open(&sealed), None);
        sealed[20] ^= 1;
        assert_eq!(seal.open(&sealed), None);
        assert_eq!(seal.open(&[]), None);
    }
}
