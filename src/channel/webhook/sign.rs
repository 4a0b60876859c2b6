//! The signature of the Standard Webhooks specification: HMAC-SHA256 over id, timestamp and body. The same in both
//! directions: what endpoints are sent, and what a hook of that preset is sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The header with the id.
pub const ID: &str = "webhook-id";
/// The header with the second of the attempt.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";
/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How long a secret may be, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The value of [`SIGNATURE`]: one for each secret.
pub fn header(secrets: &[Vec<u8>], id: &str, seconds: i64, body: &[u8]) -> String {
    let each: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed(id, seconds, body))))
        })
        .collect();
    each.join(" ")
}

/// Whether one of the signatures in `header` is by `secret`. Takes the same time wherever they differ.
pub fn is_signed_by(secret: &[u8], header: &str, id: &str, seconds: i64, body: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signed = signed(id, seconds, body);
    header.split(' ').filter_map(|each| STANDARD.decode(each.strip_prefix("v1,")?).ok()).any(|signature| {
        // The comparison inside does not stop at the first difference.
        hmac::verify(&key, &signed, &signature).is_ok()
    })
}

/// A secret as its owner sees it.
pub fn show(secret: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(secret))
}

/// A secret as its owner gives it, if it is one.
pub fn read(text: &str) -> Option<Vec<u8>> {
    let secret = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    SECRET_BYTES.contains(&secret.len()).then_some(secret)
}

fn signed(id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification.
    #[test]
    fn the_example_of_the_specification_is_signed_alike() {
        let secret = read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("24 bytes");
        let signature =
            header(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_read_as_it_is_shown_and_a_short_one_is_none() {
        let secret = vec![7; 32];
        assert_eq!(read(&show(&secret)), Some(secret));
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_???"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_signature_holds_for_what_was_signed_and_for_nothing_else(body: Vec<u8>, bit in 0usize..256, seconds in 0i64..9_999_999_999) {
            let secrets = [vec![1; 32], vec![2; 32]];
            let header = header(&secrets, "msg_1", seconds, &body);
            for secret in &secrets {
                prop_assert!(is_signed_by(secret, &header, "msg_1", seconds, &body));
            }
            prop_assert!(!is_signed_by(&[3; 32], &header, "msg_1", seconds, &body));
            prop_assert!(!is_signed_by(&secrets[0], &header, "msg_2", seconds, &body));
            prop_assert!(!is_signed_by(&secrets[0], &header, "msg_1", seconds + 1, &body));
            let mut other = secrets[0].clone();
            other[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!is_signed_by(&other, &header, "msg_1", seconds, &body));
        }
    }
}
