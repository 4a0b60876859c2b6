//! Claims about user tokens that somebody else signed: whose are taken, at every door, and whose no more.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::server::JWT_SECRET;
use crate::support::socket::{Heard, handshake};
use crate::support::token::{seconds_now, signed, unsigned};
use crate::support::{Server, Socket};

/// The private RSA key of RFC 7515, appendix A.2.
const RSA: &str = r#"{"n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
"e":"AQAB",
"d":"Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
"p":"4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
"q":"uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
"dp":"BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
"dq":"h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
"qi":"IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U"}"#;

/// Somebody else who signs.
enum Issuer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Issuer {
    fn ed25519() -> Issuer {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Issuer::Ed25519(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
    }

    fn p256() -> Issuer {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Issuer::P256(EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap())
    }

    fn rsa() -> Issuer {
        let key: Value = serde_json::from_str(RSA).unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let pair = RsaKeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n: part("n"), e: part("e") },
            d: part("d"),
            p: part("p"),
            q: part("q"),
            dP: part("dp"),
            dQ: part("dq"),
            qInv: part("qi"),
        });
        Issuer::Rsa(Box::new(pair.unwrap()))
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Issuer::Ed25519(_) => "EdDSA",
            Issuer::P256(_) => "ES256",
            Issuer::Rsa(_) => "RS256",
        }
    }

    /// The public half as a JWK with that id.
    fn jwk(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self {
            Issuer::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
            Issuer::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Issuer::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "n": text(&public.n), "e": text(&public.e) })
            }
        };
        for (name, value) in [("kid", kid), ("use", "sig"), ("alg", self.algorithm())] {
            jwk[name] = value.into();
        }
        jwk
    }

    /// A token of this issuer.
    fn token(&self, kid: &str, claims: &Value) -> String {
        let text = unsigned(&json!({ "alg": self.algorithm(), "typ": "JWT", "kid": kid }), claims);
        let signature = match self {
            Issuer::Ed25519(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            Issuer::P256(pair) => pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
            Issuer::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// An Ed25519 key as OpenSSL writes it.
fn pem(pair: &Ed25519KeyPair) -> String {
    use base64::engine::general_purpose::STANDARD;
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend_from_slice(pair.public_key().as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn ada() -> Value {
    json!({ "sub": "ada", "exp": seconds_now() + 600, "workflows": ["w"] })
}

async fn is_refused(server: &Server, token: &str) {
    let answer = server.with(token).get("/v1/users/me/inbox").await;
    answer.problem(401, "unauthorized");
    assert!(!answer.text.contains(token), "a token is not repeated");
    let door = handshake(server.url(), &format!("/v1/ws?token={token}"));
    assert_eq!(Socket::open(door).await.err(), Some(401));
}

#[tokio::test]
async fn tokens_of_every_algorithm_open_rest_and_the_live_connection() {
    let issuers = [("a", Issuer::ed25519()), ("b", Issuer::rsa()), ("c", Issuer::p256())];
    let set = json!({ "keys": issuers.iter().map(|(kid, issuer)| issuer.jwk(kid)).collect::<Vec<_>>() });
    let server = Server::start_with(&[("AUTH__JWT_KEYS", &set.to_string())]).await;
    for (kid, issuer) in &issuers {
        let token = issuer.token(kid, &ada());
        server.with(&token).get("/v1/users/me/inbox").await.is(200);
        server.with(&token).get("/v1/users/bob/inbox").await.problem(403, "forbidden");
        let (mut socket, hello) = Socket::join(server.url(), &token, "").await;
        assert_eq!(hello["user_id"], "ada", "{kid}: {hello}");
        socket.say(&json!({ "type": "subscribe", "channel": "workflow:w" })).await;
        socket.next_of("subscribed").await;
        is_refused(&server, &issuer.token("another", &ada())).await;
        is_refused(&server, &issuer.token(kid, &json!({ "sub": "ada" }))).await;
        is_refused(&server, &issuer.token(kid, &json!({ "sub": "ada", "exp": seconds_now() - 600 }))).await;
        assert!(!server.log().contains(&token));
    }
    server.with(&signed(&ada(), JWT_SECRET)).get("/v1/users/me/inbox").await.is(200);
    let minted = server.admin().mint("ada", &json!({})).await;
    server.with(&minted).get("/v1/users/me/inbox").await.is(200);
}

#[tokio::test]
async fn tokens_for_another_service_are_refused_where_an_audience_is_set() {
    let issuer = Issuer::ed25519();
    let settings = [("AUTH__JWT_KEYS", &*issuer.jwk("a").to_string()), ("AUTH__JWT_AUDIENCE", "belfry")];
    let server = Server::start_with(&settings).await;
    let claims = |aud: Value| crate::support::client::with(ada(), json!({ "aud": aud }));
    let good = issuer.token("a", &claims(json!(["shop", "belfry"])));
    server.with(&good).get("/v1/users/me/inbox").await.is(200);
    is_refused(&server, &issuer.token("a", &claims(json!("shop")))).await;
    is_refused(&server, &issuer.token("a", &ada())).await;
    server.with(&signed(&ada(), JWT_SECRET)).get("/v1/users/me/inbox").await.is(200);
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_secret_and_nobody_chooses_their_algorithm() {
    let (issuer, stranger) = (Issuer::rsa(), Issuer::ed25519());
    let set = json!({ "keys": [issuer.jwk("a")] }).to_string();
    let server = Server::start_with(&[("AUTH__JWT_KEYS", &set)]).await;
    let jwk = issuer.jwk("a");
    let n = jwk["n"].as_str().unwrap();
    for secret in [n.as_bytes(), &URL_SAFE_NO_PAD.decode(n).unwrap(), set.as_bytes()] {
        for alg in ["HS256", "RS256"] {
            let text = unsigned(&json!({ "alg": alg, "kid": "a" }), &ada());
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
            is_refused(&server, &format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))).await;
        }
    }
    is_refused(&server, &stranger.token("a", &ada())).await;
    is_refused(&server, &format!("{}.", unsigned(&json!({ "alg": "none", "kid": "a" }), &ada()))).await;
    let good = issuer.token("a", &ada());
    let (_, signature) = good.rsplit_once('.').unwrap();
    let renamed = unsigned(&json!({ "alg": "RS512", "typ": "JWT", "kid": "a" }), &ada());
    is_refused(&server, &format!("{renamed}.{signature}")).await;
}

#[tokio::test]
async fn a_key_that_is_taken_out_closes_what_its_tokens_opened() {
    let (old, new) = (Issuer::ed25519(), Issuer::ed25519());
    let (Issuer::Ed25519(old_pair), Issuer::Ed25519(new_pair)) = (&old, &new) else { panic!("both are") };
    let mut server = Server::prepare(&[]);
    let file = server.data().parent().unwrap().join("keys.pem");
    std::fs::write(&file, pem(old_pair)).unwrap();
    server.set("AUTH__JWT_KEYS_FILE", &file.to_string_lossy());
    server.start_again().await;
    let before = old.token("a", &ada());
    let (mut socket, _) = Socket::join(server.url(), &before, "").await;
    // Both at first, so that whoever has an old token goes on.
    std::fs::write(&file, pem(old_pair) + &pem(new_pair)).unwrap();
    server.signal(Signal::HUP);
    let after = new.token("b", &ada());
    crate::support::until("the new key", || async {
        (server.with(&after).get("/v1/users/me/inbox").await.status == 200).then_some(())
    })
    .await;
    socket.hears_nothing().await;
    std::fs::write(&file, "-----BEGIN PUBLIC KEY-----\n").unwrap();
    server.signal(Signal::HUP);
    server.logs("auth.jwt_keys: entry 1 is", 0).await;
    server.with(&before).get("/v1/users/me/inbox").await.is(200);
    std::fs::write(&file, pem(new_pair)).unwrap();
    server.signal(Signal::HUP);
    assert_eq!(socket.hear().await, Heard::Closed(4500));
    is_refused(&server, &before).await;
    server.with(&after).get("/v1/users/me/inbox").await.is(200);
    // The same file by its path.
    server.kill();
    server.unset("AUTH__JWT_KEYS_FILE");
    server.set("AUTH__JWT_KEYS", "[\"keys.pem\"]");
    server.start_again().await;
    server.with(&after).get("/v1/users/me/inbox").await.is(200);
}
