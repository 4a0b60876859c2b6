//! Public keys in PEM: `PUBLIC KEY`, a SubjectPublicKeyInfo (RFC 7468, section 13; RFC 5280, section 4.1.2.7).

use rustls::pki_types::pem::{PemObject, SectionKind};

use super::public_key::Key;

/// The content of the `AlgorithmIdentifier` of each kind of key, in DER (RFC 8410, RFC 5480, RFC 3279).
const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
const P256: &[u8] =
    &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];

/// The tags of DER that occur in a public key.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// Every section of the text: a key, or what is wrong with it, to be read after "is".
pub(super) fn read(text: &str) -> Vec<Result<Key, String>> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
    let keys: Vec<Result<Key, String>> = sections
        .map(|section| match section {
            Ok((SectionKind::PublicKey, der)) => key(&der),
            Ok((SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _)) => {
                Err("a private key, but must be its public half: keep the private one with whoever signs"
                    .to_owned())
            }
            Ok(_) => Err("something else in PEM, but must be a PUBLIC KEY".to_owned()),
            Err(_) => Err("no PEM that can be read".to_owned()),
        })
        .collect();
    if keys.is_empty() { vec![Err("PEM without a PUBLIC KEY in it".to_owned())] } else { keys }
}

fn key(der: &[u8]) -> Result<Key, String> {
    let (algorithm, bits) = parts(der).ok_or("no public key that can be read")?;
    match algorithm {
        ED25519 => Key::ed25519(bits.to_vec()),
        P256 => Key::p256(bits.to_vec()),
        RSA => {
            let (n, e) = numbers(bits).ok_or("no RSA key that can be read")?;
            Key::rsa(n, e)
        }
        _ => Err("a key of another type, but must be Ed25519, RSA or P-256".to_owned()),
    }
}

/// The algorithm and the key of a SubjectPublicKeyInfo.
fn parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, []) = take(SEQUENCE, der)? else { return None };
    let (algorithm, rest) = take(SEQUENCE, info)?;
    let (bits, []) = take(BIT_STRING, rest)? else { return None };
    // The first byte says how many bits of the last are not used.
    Some((algorithm, bits.strip_prefix(&[0])?))
}

/// The modulus and the exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (pair, []) = take(SEQUENCE, der)? else { return None };
    let (n, rest) = take(INTEGER, pair)?;
    let (e, []) = take(INTEGER, rest)? else { return None };
    Some((n, e))
}

/// The content of the element with that tag at the front of `der`, and what follows it.
fn take(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (len, rest) = match len {
        0..=0x7f => (usize::from(len), rest),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        0x82 => rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
        _ => return None,
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    // Made by `openssl genpkey` and `openssl pkey -pubout`.
    const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAEBY6wkyhXTeXcM6iB8aGlHSxvRClRowWVJ+2wEEK1UA=
-----END PUBLIC KEY-----
";
    const P256_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0n8Qphd1VO6gPTAUhCNILZLxT8WL
jzblFQPWqM+Xv8wwxFD9XZR+FN77A+zrXdRHlmjqv4EOrhcmYLPYqL0ebA==
-----END PUBLIC KEY-----
";
    const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmmL0QN35VrklDziQoqIW
UfC42AUtw9amwqpS2Ae4K/TH9i/C/AtNd/D4vOt3yyDfUk0Xo7dfgH6KqICMNhs/
obdlg9Vd4VWvmsmssos3kB1COpvrfE0bQdGamAS9NgqV39lhShZQ3vxO+8oT8VNr
bJVVoibJz0LruZW8TcFNGLkT3C3bI8kmJlonmQkM90z30pyjPTbOBRUcem7ZL3rx
MX/EBE2cFV19gG1HPIgBQyvOCuQEtZanvSuuN4bGekW7ROgPaEcO1qT5UuCCR3/S
mwBWYalGyle3DO2Jfq2MxzlusAak95onm6OrBAsKjvoBvtGFpdh0KhdnXm1b+UMO
vwIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn keys_of_all_three_types_are_read_one_after_the_other() {
        let keys = read(&[ED25519_PEM, P256_PEM, RSA_PEM].concat());
        let [Ok(ed25519), Ok(p256), Ok(rsa)] = &keys[..] else { panic!("{keys:?}") };
        assert!(ed25519.is_for("EdDSA") && p256.is_for("ES256") && rsa.is_for("RS256"));
        for key in [ed25519, p256, rsa] {
            for other in ["HS256", "none", "RS512", "ES384", ""] {
                assert!(!key.is_for(other), "{key:?} {other}");
            }
        }
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated() {
        let body = STANDARD.encode([7; 40]);
        for kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let text = format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n");
            let keys = read(&text);
            let [Err(why)] = &keys[..] else { panic!("{keys:?}") };
            assert!(why.starts_with("a private key") && !why.contains(&body[..8]), "{why}");
        }
    }

    #[test]
    fn what_has_no_public_key_in_it_is_refused() {
        let torn = &ED25519_PEM[..60];
        let other = P256_PEM.replace("MFkwEwYHKoZIzj0CAQ", "MFkwEwYHKoZIzj0CAg");
        for text in [torn, &other, "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "x"] {
            assert!(matches!(&read(text)[..], [Err(_)]), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(der in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = key(&der);
        }

        #[test]
        fn a_key_that_was_cut_is_none(len in 0usize..290) {
            let body: String = RSA_PEM.lines().filter(|line| !line.starts_with('-')).collect();
            let der = STANDARD.decode(body).expect("base64");
            prop_assert!(key(&der).is_ok());
            prop_assert!(key(&der[..len.min(der.len() - 1)]).is_err());
        }
    }
}
