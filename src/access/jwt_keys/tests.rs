//! Whose tokens are taken, by which key and which algorithm, and what is said of keys that are not.

use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::access::jwt::UserTokens;
use crate::access::{Issuers, Principal, Refused};

const NOW: crate::clock::Millis = 1_800_000_000_000;
const SECRET: &[u8] = b"a secret of more than 32 bytes, really";

/// RFC 7515, appendix A.2: the key and the token that it signed.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// RFC 7515, appendix A.3.
const EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 8037, appendix A.4.
const ED_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn rsa() -> Value {
    json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" })
}

fn ec() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" })
}

fn ed() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn keys(jwks: &[Value]) -> JwtKeys {
    let keys = JwtKeys::read(vec![json!({ "keys": jwks }).to_string()]);
    assert_eq!(keys.faults(), [""; 0]);
    keys
}

fn header(alg: &str, kid: Option<&str>) -> Header {
    Header::of(&format!("{}.", URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "kid": kid }).to_string())))
        .expect("a header")
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key")
}

fn public(pair: &Ed25519KeyPair, kid: Option<&str>) -> Value {
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid })
}

fn token(pair: &Ed25519KeyPair, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn check(keys: JwtKeys, token: &str) -> Result<Principal, Refused> {
    UserTokens::new(SECRET, Issuers { keys, ..Issuers::default() }).check(token, NOW)
}

fn good() -> Value {
    json!({ "sub": "anna", "exp": 1_900_000_000, "workflows": ["w"] })
}

#[test]
fn the_signatures_of_the_specifications_are_good_by_their_own_key_and_algorithm_alone() {
    let ring = keys(&[rsa(), ec(), ed()]);
    for (alg, token, alone) in
        [("RS256", RSA_TOKEN, rsa()), ("ES256", EC_TOKEN, ec()), ("EdDSA", ED_TOKEN, ed())]
    {
        assert!(ring.payload(token, &header(alg, None)).is_some(), "{alg}");
        assert!(keys(&[alone]).payload(token, &header(alg, None)).is_some(), "{alg}");
        for other in ["RS256", "ES256", "EdDSA", "HS256", "none"].iter().filter(|other| **other != alg) {
            assert!(ring.payload(token, &header(other, None)).is_none(), "{alg} as {other}");
        }
        let torn = &token[..token.len() - 4];
        assert!(ring.payload(torn, &header(alg, None)).is_none(), "{alg}");
    }
    assert_eq!(
        ring.payload(ED_TOKEN, &header("Ed25519", None)).expect("good"),
        b"Example of Ed25519 signing"
    );
    assert_eq!(check(ring, RSA_TOKEN), Err(Refused::Invalid), "it has no sub");
}

#[test]
fn a_token_of_an_issuer_names_its_person_and_grants() {
    let (pair, head) = (pair(1), json!({ "alg": "EdDSA", "typ": "JWT" }));
    let ring = keys(&[public(&pair, None)]);
    let anna = check(ring.clone(), &token(&pair, &head, &good())).expect("it is good");
    assert!(anna.label() == "user:anna" && anna.may_watch_workflow("w") && !anna.may_watch_topic("t"));
    let refused = |claims: &Value| check(ring.clone(), &token(&pair, &head, claims)).expect_err("bad");
    assert_eq!(refused(&json!({ "sub": "anna" })), Refused::Invalid, "no end");
    assert_eq!(refused(&json!({ "exp": 1_900_000_000 })), Refused::Invalid, "nobody");
    assert_eq!(refused(&json!({ "sub": "anna", "exp": 1_800_000_000 })), Refused::Expired);
    let early = json!({ "sub": "anna", "exp": 1_900_000_000, "nbf": 1_800_000_001 });
    assert_eq!(refused(&early), Refused::Invalid);
    let critical = json!({ "alg": "EdDSA", "crit": null });
    assert_eq!(check(ring.clone(), &token(&pair, &critical, &good())), Err(Refused::Invalid));
    assert_eq!(check(JwtKeys::default(), &token(&pair, &head, &good())), Err(Refused::Invalid));
}

#[test]
fn a_kid_chooses_the_key_and_a_key_without_one_serves_all() {
    let (a, b) = (pair(1), pair(2));
    let ring = keys(&[public(&a, Some("a")), public(&b, Some("b"))]);
    let is_good = |ring: &JwtKeys, pair: &Ed25519KeyPair, head: &Value| {
        check(ring.clone(), &token(pair, head, &good())).is_ok()
    };
    assert!(is_good(&ring, &b, &json!({ "alg": "EdDSA", "kid": "b" })));
    assert!(is_good(&ring, &b, &json!({ "alg": "EdDSA" })));
    assert!(!is_good(&ring, &b, &json!({ "alg": "EdDSA", "kid": "a" })));
    assert!(!is_good(&ring, &b, &json!({ "alg": "EdDSA", "kid": "c" })));
    assert!(!is_good(&ring, &b, &json!({ "alg": "EdDSA", "kid": 7 })));
    assert!(is_good(&keys(&[public(&b, None)]), &b, &json!({ "alg": "EdDSA", "kid": "c" })));
}

#[test]
fn a_public_key_never_serves_as_a_secret_and_none_is_no_algorithm() {
    let pair = pair(1);
    let jwk = public(&pair, None);
    let ring = keys(&[jwk.clone(), rsa()]);
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let jwk = jwk.to_string();
    for secret in [pair.public_key().as_ref(), &bytes(RSA_N), RSA_N.as_bytes(), jwk.as_bytes()] {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let message = format!("{head}.{}", URL_SAFE_NO_PAD.encode(good().to_string()));
        let tag =
            ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), message.as_bytes());
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(check(ring.clone(), &forged), Err(Refused::Invalid));
        for alg in ["none", "None", "RS256", "EdDSA", ""] {
            let (_, rest) = forged.split_once('.').expect("three parts");
            let head = URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
            assert_eq!(check(ring.clone(), &format!("{head}.{rest}")), Err(Refused::Invalid), "{alg}");
            let (body, _) = rest.split_once('.').expect("two parts");
            assert_eq!(check(ring.clone(), &format!("{head}.{body}.")), Err(Refused::Invalid), "{alg}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_its_entry_and_without_its_content() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("keys.json");
    std::fs::write(&file, json!({ "keys": [ed(), { "kty": "oct", "k": "czNjcjN0" }] }).to_string())
        .expect("a file");
    let path = file.to_str().expect("UTF-8");
    let secret = "-----BEGIN PRIVATE KEY-----\nczNjcjN0\n-----END PRIVATE KEY-----";
    let encryption = json!({ "kty": "RSA", "use": "enc", "n": RSA_N, "e": "AQAB" }).to_string();
    for (entry, expected) in [
        (path, format!("entry 2 ({path:?}), key 2 is a symmetric key")),
        ("/no/such/file", "entry 2 (\"/no/such/file\") is a file that cannot be read: No such".to_owned()),
        (secret, "entry 2 is a private key".to_owned()),
        ("", "entry 2 is nothing of the kind".to_owned()),
        ("czNjcjN0\nczNjcjN0", "entry 2 is nothing of the kind".to_owned()),
        ("[1]", "entry 2 is no JSON object".to_owned()),
        (&encryption, "entry 2 has no key for EdDSA (Ed25519), RS256 or ES256: entry 2 is for".to_owned()),
        (&"{".repeat(70_000), "entry 2 is longer than 65536 bytes".to_owned()),
    ] {
        let keys = JwtKeys::read(vec![ed().to_string(), entry.to_owned()]);
        let [fault] = keys.faults() else { panic!("{:?}", keys.faults()) };
        assert!(fault.starts_with(&expected) && !fault.contains("czNjcjN0"), "{fault}");
    }
}

#[test]
fn keys_and_entries_are_bounded() {
    let set = |len: usize| json!({ "keys": vec![ed(); len] }).to_string();
    assert_eq!(JwtKeys::read(vec![set(KEYS_LEN_MAX)]).faults(), [""; 0]);
    for entries in [vec![set(KEYS_LEN_MAX + 1)], vec![set(1); KEYS_LEN_MAX + 1], vec![set(20), set(20)]] {
        assert!(!JwtKeys::read(entries).faults().is_empty());
    }
}

#[test]
fn a_key_that_is_gone_is_missed_and_one_that_came_is_not() {
    let (one, two) = (keys(&[ed()]), keys(&[rsa(), ed()]));
    assert!(two.has_more_than(&one) && !one.has_more_than(&two) && !one.has_more_than(&one));
}

proptest! {
    #[test]
    fn a_token_that_differs_in_one_letter_is_refused(at in 0usize..1_000, letter in "[A-Za-z0-9_.-]") {
        let pair = pair(1);
        let good = token(&pair, &json!({ "alg": "EdDSA" }), &good());
        let mut forged = good.clone();
        let at = at % good.len();
        forged.replace_range(at..=at, &letter);
        prop_assume!(forged != good);
        prop_assert_eq!(check(keys(&[public(&pair, None)]), &forged), Err(Refused::Invalid));
    }

    #[test]
    fn no_text_makes_it_panic(entry in ".{0,80}", token in ".{0,80}") {
        let ring = JwtKeys::read(vec![entry]);
        prop_assert!(check(ring, &token).is_err());
    }
}
