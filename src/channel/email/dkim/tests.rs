//! Claims about signing: the canonical forms of RFC 6376, and which keys are taken. That others can verify what comes of
//! it is claimed in `tests/it/dkim.rs`, with a library that is not ours.

use proptest::prelude::*;

use super::*;

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

fn ed25519() -> String {
    pem(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random bytes").as_ref())
}

fn signer() -> Signer {
    Signer::new("belfry.test".into(), "sel".into(), &ed25519()).expect("a key")
}

#[test]
fn headers_and_bodies_are_written_down_as_in_the_standards_example() {
    let mail = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
    let (head, body) = split(mail);
    let headers = headers(std::str::from_utf8(head).expect("ASCII"));
    assert_eq!(headers, [("a".to_owned(), "X".to_owned()), ("b".to_owned(), "Y Z".to_owned())]);
    assert_eq!(relaxed_body(body), b" C\r\nD E\r\n");
    assert_eq!(relaxed_body(b""), b"");
    assert_eq!(relaxed_body(b"\r\n\r\n"), b"");
    assert_eq!(relaxed_body(b"\r\na"), b"\r\na\r\n");
}

#[test]
fn a_signed_mail_is_the_same_mail_with_one_header_on_top_and_no_long_lines() {
    let mail = b"From: a@belfry.test\r\nTo: b@example.org\r\nX-Other: 1\r\n\r\nHello\r\n";
    let signed = signer().signed(mail, 1_700_000_000).expect("a signature");
    assert!(signed.ends_with(mail));
    let head = String::from_utf8(signed[..signed.len() - mail.len()].to_vec()).expect("ASCII");
    assert!(head.starts_with(
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=belfry.test; s=sel; t=1700000000;"
    ));
    let names: String = head
        .split("h=")
        .nth(1)
        .expect("names")
        .split(';')
        .next()
        .expect("an end")
        .split_whitespace()
        .collect();
    assert_eq!(names, "from:to:from:to:subject:date:reply-to");
    assert!(head.split("\r\n").all(|line| line.len() <= 78), "{head}");
}

#[test]
fn a_key_that_cannot_sign_mails_is_none() {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    assert!(is_private_key(&ed25519()));
    let curve = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let curve = pem(curve.expect("random bytes").as_ref());
    for text in ["", "a key", &pem(b"rubbish"), &curve, "-----BEGIN PRIVATE KEY-----"] {
        assert!(!is_private_key(text), "{text}");
    }
}

#[test]
fn a_key_is_never_shown() {
    assert_eq!(format!("{:?}", signer()), "Signer(sel._domainkey.belfry.test, ed25519-sha256)");
}

proptest! {
    #[test]
    fn a_body_that_is_written_down_stays_so(body in "[a \t\r\n]{0,60}") {
        let once = relaxed_body(body.as_bytes());
        prop_assert_eq!(relaxed_body(&once), once);
    }
}
