//! What it costs to encrypt and sign one push message, beside the bare primitives of `ring` in the same order.
//!
//! Both run in turns on one thread, so that a machine that is busy with other things is busy for both; only the ratio
//! means anything. It must stay within 1.2: keys are parsed once, and a signature is made once for each push service.

use std::time::{Duration, Instant};

use belfry::channel::push::seal::seal;
use belfry::channel::push::vapid::{Key, Signer, generate};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

const ROUNDS: usize = 41;
const MESSAGES: usize = 400;
const RATIO_MAX: f64 = 1.2;
const NOW_MS: i64 = 1_800_000_000_000;

fn main() {
    let browser = Key::new(&generate()).expect("a key");
    let signer = Signer::new(vec![Key::new(&generate()).expect("a key")], None);
    let own = signer.public().expect("a key").to_vec();
    let text = vec![b'x'; 600];
    let auth = [7; 16];
    let ours = || {
        signer.header(&own, "https://push.example", NOW_MS).expect("a header").len()
            + seal(&text, browser.public(), &auth).expect("sealed").len()
    };
    let bare = || bare(&text, browser.public(), &auth);
    let mut ratios = Vec::new();
    let (mut ours_best, mut bare_best) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (with_us, without) = (timed(&ours), timed(&bare));
        ours_best = ours_best.min(with_us);
        bare_best = bare_best.min(without);
        ratios.push(with_us.as_secs_f64() / without.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    let each = |time: Duration| time.as_secs_f64() * 1e6 / MESSAGES as f64;
    println!(
        "push: {:.1} us a message, {:.1} us for the bare primitives; ratio {ratio:.3} (median of {ROUNDS})",
        each(ours_best),
        each(bare_best)
    );
    assert!(
        ratio <= RATIO_MAX,
        "a message costs {ratio:.3} times the bare primitives, more than {RATIO_MAX}"
    );
}

fn timed(work: &impl Fn() -> usize) -> Duration {
    let begun = Instant::now();
    for _ in 0..MESSAGES {
        std::hint::black_box(work());
    }
    begun.elapsed()
}

/// A key pair, an agreement, four HMACs for HKDF's three outputs and one for its first extract, and a seal: what RFC 8291
/// cannot do without.
fn bare(text: &[u8], p256dh: &[u8], auth: &[u8; 16]) -> usize {
    let random = SystemRandom::new();
    let mut salt = [0; 16];
    random.fill(&mut salt).expect("random bytes");
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).expect("a key");
    let public = own.compute_public_key().expect("a key");
    let mac = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let secret = agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, p256dh), |shared| {
        let first = mac(auth, shared);
        mac(first.as_ref(), public.as_ref())
    })
    .expect("a point");
    let extracted = mac(&salt, secret.as_ref());
    let (key, nonce) = (mac(extracted.as_ref(), b"key"), mac(extracted.as_ref(), b"nonce"));
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key.as_ref()[..16]).expect("a key"));
    let nonce = Nonce::try_assume_unique_for_key(&nonce.as_ref()[..12]).expect("a nonce");
    let mut sealed = text.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).expect("sealed");
    sealed.len()
}
