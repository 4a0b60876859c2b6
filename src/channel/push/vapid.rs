//! Who we are to push services: keys on P-256 and the header that they sign (VAPID, RFC 8292).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToSec1Point;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use crate::clock::Millis;

/// How long a header is good: a day is the most that push services take (section 2).
const GOOD_MS: Millis = 12 * 60 * 60 * 1_000;
/// A header is used until so long before its end, since their clocks are not ours.
const MARGIN_MS: Millis = 60 * 60 * 1_000;
/// The most headers that are kept: push services are few.
const HEADERS_MAX: usize = 256;

/// A private key of ours.
pub struct Key {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("public", &URL_SAFE_NO_PAD.encode(&self.public)).finish_non_exhaustive()
    }
}

/// A new private key: 32 random bytes that are one.
pub fn generate() -> [u8; 32] {
    loop {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).expect("the operating system has random bytes");
        // All but a few numbers of that length are keys.
        if p256::SecretKey::from_slice(&bytes).is_ok() {
            return bytes;
        }
    }
}

/// A private key as tools write it: 32 bytes in base64url, with or without padding.
pub fn read_private(text: &str) -> Option<[u8; 32]> {
    let text = text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    p256::SecretKey::from_slice(&bytes).is_ok().then_some(bytes)
}

/// Whether those bytes are a public key on P-256, uncompressed.
pub fn is_point(bytes: &[u8]) -> bool {
    bytes.len() == super::seal::POINT_BYTES && p256::PublicKey::from_sec1_bytes(bytes).is_ok()
}

impl Key {
    /// The key of those 32 bytes, if they are one. Its public half comes from another library: ring takes no private key
    /// without one.
    pub fn new(private: &[u8; 32]) -> Option<Key> {
        let public = p256::SecretKey::from_slice(private).ok()?.public_key().to_sec1_point(false);
        let public = public.as_bytes().to_vec();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            private,
            &public,
            &SystemRandom::new(),
        )
        .ok()?;
        Some(Key { pair, public })
    }

    /// The public half, uncompressed: what browsers call the `applicationServerKey`.
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

/// Signs headers, and keeps each for as long as it is good.
#[derive(Debug)]
pub struct Signer {
    keys: Vec<Key>,
    subject: Option<String>,
    /// By the key's place and the push service's origin.
    headers: Mutex<HashMap<(usize, String), (String, Millis)>>,
}

impl Signer {
    /// A signer with those keys, the present one first. `subject` is how a push service can reach the operator.
    pub fn new(keys: Vec<Key>, subject: Option<String>) -> Signer {
        Signer { keys, subject, headers: Mutex::default() }
    }

    /// The public half of the present key.
    pub fn public(&self) -> Option<&[u8]> {
        self.keys.first().map(Key::public)
    }

    /// Whether we still have the key with that public half.
    pub fn has(&self, public: &[u8]) -> bool {
        self.keys.iter().any(|key| key.public == public)
    }

    /// The `Authorization` header for a push service, signed with the key that has that public half; `None` where we have
    /// no such key.
    pub fn header(&self, public: &[u8], origin: &str, now: Millis) -> Option<String> {
        let place = self.keys.iter().position(|key| key.public == public)?;
        let slot = (place, origin.to_owned());
        if let Some((header, until)) = self.headers.lock().get(&slot)
            && now < *until
        {
            return Some(header.clone());
        }
        let header = self.sign(&self.keys[place], origin, now)?;
        let mut headers = self.headers.lock();
        if headers.len() >= HEADERS_MAX {
            headers.clear();
        }
        headers.insert(slot, (header.clone(), now + GOOD_MS - MARGIN_MS));
        Some(header)
    }

    fn sign(&self, key: &Key, origin: &str, now: Millis) -> Option<String> {
        let mut claims = json!({ "aud": origin, "exp": (now + GOOD_MS) / 1_000 });
        if let Some(subject) = &self.subject {
            claims["sub"] = json!(subject);
        }
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let head = encode(r#"{"typ":"JWT","alg":"ES256"}"#);
        let signed = format!("{head}.{}", encode(&claims.to_string()));
        let signature = key.pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        let (signature, public) =
            (URL_SAFE_NO_PAD.encode(signature.as_ref()), URL_SAFE_NO_PAD.encode(&key.public));
        Some(format!("vapid t={signed}.{signature}, k={public}"))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    const NOON: Millis = 1_800_000_000_000;

    fn signer() -> Signer {
        let key = |seed| Key::new(&[seed; 32]).expect("a key");
        Signer::new(vec![key(1), key(2)], Some("mailto:ops@example.org".to_owned()))
    }

    fn claims(header: &str, public: &[u8]) -> serde_json::Value {
        let token = header.strip_prefix("vapid t=").and_then(|rest| rest.split(',').next()).expect("a token");
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(signed.as_bytes(), &signature)
            .expect("it is ours");
        let body = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).expect("claims")).expect("base64url");
        serde_json::from_slice(&body).expect("JSON")
    }

    #[test]
    fn a_header_names_the_service_the_operator_and_an_end_within_a_day() {
        let signer = signer();
        let public = signer.public().expect("a key").to_vec();
        let header = signer.header(&public, "https://push.example", NOON).expect("a header");
        let claims = claims(&header, &public);
        assert_eq!(claims["aud"], "https://push.example");
        assert_eq!(claims["sub"], "mailto:ops@example.org");
        assert_eq!(claims["exp"], NOON / 1_000 + 12 * 3_600);
        assert!(header.ends_with(&format!(", k={}", URL_SAFE_NO_PAD.encode(&public))));
    }

    #[test]
    fn a_header_is_made_once_for_a_service_and_again_before_it_ends() {
        let signer = signer();
        let public = signer.public().expect("a key").to_vec();
        let at = |origin: &str, now| signer.header(&public, origin, now).expect("a header");
        let first = at("https://a.example", NOON);
        assert_eq!(at("https://a.example", NOON + 10 * 3_600_000), first);
        assert_ne!(at("https://b.example", NOON), first);
        assert_ne!(at("https://a.example", NOON + 11 * 3_600_000), first);
    }

    #[test]
    fn a_subscription_made_for_an_older_key_is_signed_for_with_that_one() {
        let signer = signer();
        let older = Key::new(&[2; 32]).expect("a key");
        let header = signer.header(older.public(), "https://a.example", NOON).expect("a header");
        claims(&header, older.public());
        assert_eq!(signer.header(&[4; 65], "https://a.example", NOON), None);
    }

    #[test]
    fn a_private_key_is_read_as_tools_write_it() {
        let bytes = [0xfb; 32];
        for text in [
            URL_SAFE_NO_PAD.encode(bytes),
            format!("{}=", URL_SAFE_NO_PAD.encode(bytes)),
            base64::engine::general_purpose::STANDARD.encode(bytes),
        ] {
            assert_eq!(read_private(&text), Some(bytes), "{text}");
        }
        for bytes in [[0; 32], [0xff; 32]] {
            assert_eq!(read_private(&URL_SAFE_NO_PAD.encode(bytes)), None, "not on the curve");
        }
        assert_eq!(read_private("short"), None);
    }

    #[test]
    fn a_generated_key_is_one() {
        assert!(Key::new(&generate()).is_some_and(|key| is_point(key.public())));
        assert!(!is_point(&[4; 65]) && !is_point(&[]));
    }
}
