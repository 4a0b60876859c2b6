//! Secrets that must be used again, as those that sign webhooks: sealed with a key of their own, which lies beside the
//! store and not in it (AES-256-GCM, NIST SP 800-38D). A copy of the store alone gives none of them away.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::secret::{SecretError, kept_secret};

/// How many bytes a tag has.
pub const TAG_BYTES: usize = 32;

/// What seals and opens, and tells what it has tagged. The keys are large, and not everything that has room for them uses
/// them.
#[derive(Clone)]
pub struct Vault(Box<Keys>);

#[derive(Clone)]
struct Keys {
    cipher: LessSafeKey,
    tagger: hmac::Key,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// The vault of the data directory `data`; its key is made at the first call.
    ///
    /// # Errors
    /// Where the key can be neither read nor made.
    pub fn open_at(data: &Path) -> Result<Vault, SecretError> {
        let secret = kept_secret(data, "vault.key", "put the file back that was there")?;
        let digest = digest::digest(&digest::SHA256, secret.as_bytes());
        Ok(Vault::of(digest))
    }

    /// The vault whose key is that digest, which has the 32 bytes of SHA-256.
    pub fn of(digest: digest::Digest) -> Vault {
        let key = UnboundKey::new(&AES_256_GCM, digest.as_ref());
        let key = key.expect("SHA-256 has the 32 bytes that the cipher wants");
        // A key of its own for each use, made of the one that is kept.
        let tagger = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, digest.as_ref()), b"belfry tags");
        let tagger = hmac::Key::new(hmac::HMAC_SHA256, tagger.as_ref());
        Vault(Box::new(Keys { cipher: LessSafeKey::new(key), tagger }))
    }

    /// `secret`, sealed.
    pub fn seal(&self, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the operating system has random bytes");
        let mut sealed = secret.to_vec();
        let tag = self
            .0
            .cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .expect("what is sealed is far below the 64 GiB that the cipher takes");
        [&nonce[..], &sealed, tag.as_ref()].concat()
    }

    /// What was sealed, if it was sealed by this vault and nothing of it has changed.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let opened = self
            .0
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut rest)
            .ok()?;
        Some(opened.to_vec())
    }
}

impl Vault {
    /// What shows that `content` was made here for `purpose` (HMAC-SHA-256). The same each time.
    pub(super) fn tag(&self, purpose: &str, content: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(hmac::sign(&self.0.tagger, &tagged(purpose, content)).as_ref());
        tag
    }

    /// Whether that is the tag, compared in constant time.
    pub(super) fn is_tag(&self, purpose: &str, content: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        hmac::verify(&self.0.tagger, &tagged(purpose, content), tag).is_ok()
    }
}

fn tagged(purpose: &str, content: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), &[0], content].concat()
}

/// A new secret for signing: 256 random bits.
pub fn signing_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// A new token for whoever sends to us: 256 random bits behind a prefix that says what it is.
pub fn token(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(signing_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_opens_what_it_sealed_over_a_restart_and_nothing_that_was_changed() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let mut sealed = Vault::open_at(data.path()).expect("a new key").seal(b"secret");
        let again = Vault::open_at(data.path()).expect("the same key");
        assert_eq!(again.open(&sealed).as_deref(), Some(&b"secret"[..]));
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        sealed[14] ^= 1;
        assert_eq!(again.open(&sealed), None);
        assert_eq!(again.open(&[]), None);
    }
}
