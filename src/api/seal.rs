//! Answers that are kept are sealed: some carry a token that is shown once, and the store holds no secret in the clear.
//!
//! The key is made of the caller's own token and their idempotency key, neither of which is stored, so that only the
//! same caller with the same request can open the answer again (AES-256-GCM, NIST SP 800-38D).

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

/// What opens one kept answer. The cipher's key is large, and few of the requests that have room for one use it.
#[derive(Clone)]
pub struct Seal(Box<LessSafeKey>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// The seal of a caller's request.
    pub fn new(token: &str, idempotency_key: &str) -> Seal {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"belfry kept answer");
        // The length in front keeps two pairs from running together into the same bytes.
        context.update(&(token.len() as u64).to_be_bytes());
        context.update(token.as_bytes());
        context.update(idempotency_key.as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, context.finish().as_ref());
        let key = key.expect("SHA-256 has the 32 bytes that the cipher wants");
        Seal(Box::new(LessSafeKey::new(key)))
    }

    /// `text`, sealed.
    pub fn seal(&self, text: &str) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the operating system has random bytes");
        let mut sealed = text.as_bytes().to_vec();
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .expect("an answer is far below the 64 GiB that the cipher takes");
        [&nonce[..], &sealed, tag.as_ref()].concat()
    }

    /// What was sealed, if it was sealed by this seal and nothing of it has changed.
    pub fn open(&self, sealed: &[u8]) -> Option<String> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let opened =
            self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut rest).ok()?;
        String::from_utf8(opened.to_vec()).ok()
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
