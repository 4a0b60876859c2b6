//! Signing mails (DKIM: RFC 6376, and RFC 8463 for Ed25519), so that whoever gets one can tell that it is ours.
//!
//! Where the team's relay signs already, this is not needed. The signatures are ring's, which takes the same time for
//! every key; what is left is to write headers and bodies down as both sides do, `relaxed/relaxed`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::compose::Refusal;

/// The headers that are signed, where a mail has them (RFC 6376, section 5.4.1; RFC 8058, section 4).
const SIGNED: [&str; 12] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "auto-submitted",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
];
/// Those that are named once more than they are there, so that nobody can add one (RFC 6376, section 8.15).
const SEALED: [&str; 5] = ["from", "to", "subject", "date", "reply-to"];
/// How many names and how much of a signature stand on one line, so that none has over 78 characters.
const NAMES_A_LINE: usize = 4;
const PIECE_CHARS_MAX: usize = 72;

/// What signs the mails of a domain.
pub(super) struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

/// A private key. Read once: that costs more than a signature.
enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Whether `pem` is a private key that can sign mails.
pub(in crate::channel) fn is_private_key(pem: &str) -> bool {
    Key::read(pem).is_some()
}

impl Key {
    /// PKCS#8, or PKCS#1 for RSA. ring takes RSA keys from 2048 to 4096 bits; RFC 8301 recommends 2048 at least.
    fn read(pem: &str) -> Option<Key> {
        let rsa = |pair: Result<RsaKeyPair, _>| pair.ok().map(|pair| Key::Rsa(Box::new(pair)));
        match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
            PrivateKeyDer::Pkcs1(der) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                // OpenSSL writes the private half alone.
                match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    Ok(pair) => Some(Key::Ed25519(Box::new(pair))),
                    Err(_) => rsa(RsaKeyPair::from_pkcs8(der)),
                }
            }
            _ => None,
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
                Some(signature)
            }
            // RFC 8463, section 3: what is signed is the digest.
            Key::Ed25519(pair) => Some(pair.sign(digest(&SHA256, text).as_ref()).as_ref().to_vec()),
        }
    }
}

impl Signer {
    /// A signer for `domain`, whose public key is published at `<selector>._domainkey.<domain>`; none where `pem` is no
    /// key that can sign.
    pub(super) fn new(domain: String, selector: String, pem: &str) -> Option<Signer> {
        Some(Signer { domain, selector, key: Key::read(pem)? })
    }

    /// The mail with a signature on top, which says that it is of the second `at`.
    pub(super) fn signed(&self, mail: &[u8], at: i64) -> Result<Vec<u8>, Refusal> {
        let (head, body) = split(mail);
        let head = String::from_utf8_lossy(head);
        let headers = headers(&head);
        let mut names: Vec<&str> = Vec::new();
        let mut text = String::new();
        for name in SIGNED {
            // The last of a name is signed first (RFC 6376, section 5.4.2). We write none twice.
            for header in headers.iter().rev().filter(|header| header.0 == name) {
                names.push(name);
                text.push_str(&format!("{name}:{}\r\n", header.1));
            }
        }
        names.extend(SEALED);
        let hash = STANDARD.encode(digest(&SHA256, &relaxed_body(body)));
        let unsigned = format!(
            "v=1; a={}; c=relaxed/relaxed;\r\n d={}; s={}; t={at};\r\n h={};\r\n bh={hash};\r\n b=",
            self.key.algorithm(),
            self.domain,
            self.selector,
            names.chunks(NAMES_A_LINE).map(|names| names.join(":")).collect::<Vec<_>>().join(":\r\n  "),
        );
        text.push_str(&format!("dkim-signature:{}", relaxed(&unsigned)));
        let signature = self.key.sign(text.as_bytes());
        let signature =
            signature.ok_or_else(|| Refusal::Compose("the key of channels.email.dkim fails".to_owned()))?;
        let signature = STANDARD.encode(signature);
        let pieces: Vec<&str> = (0..signature.len())
            .step_by(PIECE_CHARS_MAX)
            .map(|from| &signature[from..signature.len().min(from + PIECE_CHARS_MAX)])
            .collect();
        let header = format!("DKIM-Signature: {unsigned}{}\r\n", pieces.join("\r\n  "));
        Ok([header.as_bytes(), mail].concat())
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({}._domainkey.{}, {})", self.selector, self.domain, self.key.algorithm())
    }
}

/// Headers and body, without the empty line between them.
fn split(mail: &[u8]) -> (&[u8], &[u8]) {
    match mail.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(at) => (&mail[..at], &mail[at + 4..]),
        None => (mail, &[]),
    }
}

/// Every header as `relaxed` (RFC 6376, section 3.4.2): its name in lower case, its value on one line.
fn headers(head: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), headers.last_mut()) {
            (true, Some((_, value))) => value.push_str(line),
            _ => {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                headers.push((name.trim_end().to_ascii_lowercase(), value.to_owned()));
            }
        }
    }
    for (_, value) in &mut headers {
        *value = relaxed(value);
    }
    headers
}

/// Runs of white space as one blank each, and none at the ends.
fn relaxed(value: &str) -> String {
    let words = value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// A body as `relaxed` (RFC 6376, section 3.4.4): runs of white space as one blank, none at the ends of lines, no empty
/// lines at the end.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let (mut relaxed, mut empty_lines) = (Vec::with_capacity(body.len()), 0);
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let start = relaxed.len();
        let mut blank = false;
        for byte in line {
            if matches!(byte, b' ' | b'\t') {
                blank = true;
                continue;
            }
            if relaxed.len() == start {
                for _ in 0..std::mem::take(&mut empty_lines) {
                    relaxed.extend_from_slice(b"\r\n");
                }
            }
            if std::mem::take(&mut blank) {
                relaxed.push(b' ');
            }
            relaxed.push(*byte);
        }
        if relaxed.len() == start {
            empty_lines += 1;
        } else {
            relaxed.extend_from_slice(b"\r\n");
        }
    }
    relaxed
}

#[cfg(test)]
mod tests;
