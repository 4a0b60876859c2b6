//! A public key that checks the signatures of somebody else's tokens. The algorithm belongs to the key and is never
//! chosen by the token, whose header can only agree (RFC 8725, section 3.1).

use p256::PublicKey as Point;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

/// The sizes of RSA keys that are taken, in bits. RFC 7518, section 3.3, wants 2048 at least.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// The longest exponent that is taken, in bytes. In use are 3 and 65537; a long one is only slow.
const EXPONENT_BYTES_MAX: usize = 4;

/// A key and the id by which tokens name it, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub id: Option<String>,
    pub key: Key,
}

/// What signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// EdDSA on Ed25519 (RFC 8037).
    Ed25519(Vec<u8>),
    /// ES256: ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
    P256(Vec<u8>),
    /// RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

impl Key {
    /// # Errors
    /// What is wrong with it, to be read after "is".
    pub(super) fn ed25519(bytes: Vec<u8>) -> Result<Key, String> {
        if bytes.len() == 32 {
            Ok(Key::Ed25519(bytes))
        } else {
            Err(format!("an Ed25519 key of {} bytes, but must have 32", bytes.len()))
        }
    }

    /// The point in SEC 1's uncompressed form.
    ///
    /// # Errors
    /// What is wrong with it, to be read after "is".
    pub(super) fn p256(point: Vec<u8>) -> Result<Key, String> {
        let is_point = point.len() == 65 && Point::from_sec1_bytes(&point).is_ok();
        if is_point { Ok(Key::P256(point)) } else { Err("no uncompressed point of P-256".to_owned()) }
    }

    /// Modulus and exponent as big-endian numbers.
    ///
    /// # Errors
    /// What is wrong with it, to be read after "is".
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Key, String> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
            return Err(format!("an RSA key of {bits} bits, but must have {least} to {most}"));
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        if !is_odd(n) || !is_odd(e) || e == [1] || e.len() > EXPONENT_BYTES_MAX {
            return Err("an RSA key with a modulus or an exponent that no such key has".to_owned());
        }
        Ok(Key::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// Whether `name` is what a token's header or a JWK calls this key's algorithm. RFC 9864 has a name of its own for
    /// EdDSA on Ed25519.
    pub(super) fn is_for(&self, name: &str) -> bool {
        match self {
            Key::Ed25519(_) => matches!(name, "EdDSA" | "Ed25519"),
            Key::P256(_) => name == "ES256",
            Key::Rsa { .. } => name == "RS256",
        }
    }

    /// Whether whoever has the private half signed `message`.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Key::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Key::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Key::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.is_ok()
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_keys_are_held_to_their_sizes() {
        let modulus = |bits: usize| {
            let mut n = vec![0xff; bits / 8];
            n.insert(0, 0);
            n
        };
        for (bits, taken) in [(1_024, false), (2_040, false), (2_048, true), (8_192, true), (8_200, false)] {
            assert_eq!(Key::rsa(&modulus(bits), &[1, 0, 1]).is_ok(), taken, "{bits}");
        }
    }

    #[test]
    fn an_rsa_key_whose_numbers_cannot_be_is_refused() {
        let mut even = vec![0xff; 256];
        even[255] = 0xfe;
        assert!(Key::rsa(&even, &[1, 0, 1]).is_err());
        for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0, 0, 1]] {
            assert!(Key::rsa(&[0xff; 256], exponent).is_err(), "{exponent:?}");
        }
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        let mut bytes = vec![7; 65];
        bytes[0] = 4;
        assert!(Key::p256(bytes).is_err());
        assert!(Key::ed25519(vec![7; 31]).is_err());
    }
}
