//! Message encryption for Web Push (RFC 8291) in the `aes128gcm` coding (RFC 8188), on `ring`.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{self, HKDF_SHA256};
use ring::rand::{SecureRandom, SystemRandom};

/// The size of a record: what push services expect, and larger than anything that is sent here.
const RECORD_BYTES: u32 = 4096;
/// A public key on P-256, uncompressed.
pub(super) const POINT_BYTES: usize = 65;
const SALT_BYTES: usize = 16;
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + POINT_BYTES;
/// The byte that ends the text of the last record.
const LAST_RECORD: u8 = 2;

/// The subscription's key is not a point on the curve, or the machine has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the subscription's keys cannot be used")]
pub struct Unsealable;

impl From<ring::error::Unspecified> for Unsealable {
    fn from(_: ring::error::Unspecified) -> Unsealable {
        Unsealable
    }
}

/// Encrypts `text` for the browser with that public key and that secret: the body of a push message.
///
/// # Errors
/// Where the key is not a point on P-256.
pub fn seal(text: &[u8], p256dh: &[u8], auth: &[u8; 16]) -> Result<Vec<u8>, Unsealable> {
    let random = SystemRandom::new();
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt)?;
    // A key pair for this message alone.
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random)?;
    let own_public = own.compute_public_key()?;
    agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, p256dh), |shared| {
        seal_with(shared, text, p256dh, auth, own_public.as_ref(), &salt)
    })?
}

/// Section 3.4 of RFC 8291, once the shared secret is known.
fn seal_with(
    shared: &[u8],
    text: &[u8],
    p256dh: &[u8],
    auth: &[u8; 16],
    own_public: &[u8],
    salt: &[u8; SALT_BYTES],
) -> Result<Vec<u8>, Unsealable> {
    let secret: [u8; 32] = derive(auth, shared, &[b"WebPush: info\0", p256dh, own_public])?;
    let key: [u8; 16] = derive(salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = derive(salt, &secret, &[b"Content-Encoding: nonce\0"])?;

    let mut body = Vec::with_capacity(HEADER_BYTES + text.len() + 1 + AES_128_GCM.tag_len());
    body.extend_from_slice(salt);
    body.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    body.push(u8::try_from(own_public.len()).map_err(|_| Unsealable)?);
    body.extend_from_slice(own_public);
    let begin = body.len();
    body.extend_from_slice(text);
    body.push(LAST_RECORD);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let tag = key.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut body[begin..],
    )?;
    body.extend_from_slice(tag.as_ref());
    Ok(body)
}

/// HKDF (RFC 5869) with SHA-256, both steps.
fn derive<const LEN: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<[u8; LEN], Unsealable> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; LEN];
    hkdf::Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Len(LEN))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use p256::elliptic_curve::sec1::ToSec1Point;
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    }

    /// RFC 8291, appendix A.
    #[test]
    fn the_example_of_the_standard_is_met_to_the_byte() {
        let own_private = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own_public =
            bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let p256dh =
            bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let auth = bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().expect("16 bytes");
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().expect("16 bytes");
        let shared = agree(&own_private, &p256dh);
        assert_eq!(shared, bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs"));
        let text = b"When I grow up, I want to be a watermelon";
        let body = seal_with(&shared, text, &p256dh, &auth, &own_public, &salt).expect("sealed");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(body),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w\
             EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    /// What both sides know, by another library than the one under test.
    fn agree(private: &[u8], public: &[u8]) -> Vec<u8> {
        let private = p256::SecretKey::from_slice(private).expect("a private key");
        let public = p256::PublicKey::from_sec1_bytes(public).expect("a public key");
        let product = public.to_projective() * *private.to_nonzero_scalar();
        product.to_affine().to_sec1_point(false).x().expect("not at infinity").to_vec()
    }

    /// The browser's side.
    fn open(body: &[u8], private: &[u8], p256dh: &[u8], auth: &[u8; 16]) -> Vec<u8> {
        let (salt, own_public) = (&body[..16], &body[21..86]);
        let shared = agree(private, own_public);
        let secret: [u8; 32] =
            derive(auth, &shared, &[b"WebPush: info\0", p256dh, own_public]).expect("a secret");
        let key: [u8; 16] = derive(salt, &secret, &[b"Content-Encoding: aes128gcm\0"]).expect("a key");
        let nonce: [u8; 12] = derive(salt, &secret, &[b"Content-Encoding: nonce\0"]).expect("a nonce");
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("a key"));
        let mut text = body[86..].to_vec();
        let plain = key
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
            .expect("it was sealed for us");
        let (last, plain) = plain.split_last().expect("the last byte");
        assert_eq!(*last, LAST_RECORD);
        plain.to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_browser_reads_what_was_sealed_for_it(
            text in proptest::collection::vec(any::<u8>(), 0..3000), seed in 1u8..=254, auth: [u8; 16]
        ) {
            let private = p256::SecretKey::from_slice(&[seed; 32]).expect("below the order of the curve");
            let p256dh = private.public_key().to_sec1_point(false);
            let body = seal(&text, p256dh.as_bytes(), &auth).expect("sealed");
            prop_assert_eq!(body.len(), HEADER_BYTES + text.len() + 17);
            prop_assert_eq!(open(&body, &[seed; 32], p256dh.as_bytes(), &auth), text);
        }
    }

    #[test]
    fn a_key_that_is_no_point_on_the_curve_is_refused() {
        let mut point = vec![4; POINT_BYTES];
        assert!(seal(b"x", &point, &[0; 16]).is_err());
        point.truncate(10);
        assert!(seal(b"x", &point, &[0; 16]).is_err());
    }

    #[test]
    fn no_two_messages_are_sealed_alike() {
        let private = p256::SecretKey::from_slice(&[7; 32]).expect("a private key");
        let p256dh = private.public_key().to_sec1_point(false);
        let seal = || seal(b"x", p256dh.as_bytes(), &[0; 16]).expect("sealed");
        assert_ne!(seal(), seal());
    }
}
