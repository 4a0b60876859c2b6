//! The public keys of others whose user tokens are taken (`auth.jwt_keys`): from what the operator wrote to a key ring.

use std::fs::File;
use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::jwk::{self, Jwk};
use super::jwt::Header;
use super::pem;
use super::public_key::PublicKey;

/// How many keys there may be. A token that names none is tried with each, so this bounds the work for it.
pub(super) const KEYS_LEN_MAX: usize = 32;
/// The longest entry or file, in bytes.
const ENTRY_BYTES_MAX: usize = 64 << 10;
/// The longest path, as everywhere in the configuration.
const PATH_BYTES_MAX: usize = 4_096;

/// Keys by which tokens of others are checked.
#[derive(Clone, Debug, Default)]
pub struct JwtKeys {
    entries: Vec<String>,
    keys: Vec<PublicKey>,
    skipped: Vec<String>,
    faults: Vec<String>,
}

impl JwtKeys {
    /// Reads what the operator wrote: each entry is PEM, JSON, or the path of a file with one of them. What is wrong is
    /// in [`JwtKeys::faults`].
    pub fn read(entries: Vec<String>) -> JwtKeys {
        let mut keys = JwtKeys::default();
        if entries.len() > KEYS_LEN_MAX {
            keys.faults.push(format!("has {} entries, but must have {KEYS_LEN_MAX} at most", entries.len()));
        }
        for (number, entry) in entries.iter().enumerate().take(KEYS_LEN_MAX) {
            keys.add(number + 1, entry.trim());
        }
        if keys.keys.len() > KEYS_LEN_MAX {
            let len = keys.keys.len();
            keys.faults.push(format!("has {len} keys, but must have {KEYS_LEN_MAX} at most"));
        }
        keys.entries = entries;
        keys
    }

    fn add(&mut self, number: usize, entry: &str) {
        if is_inline(entry) {
            return self.add_text(&format!("entry {number}"), entry);
        }
        // What is no path is not repeated: it may be anything.
        if entry.is_empty() || entry.len() > PATH_BYTES_MAX || entry.contains(char::is_control) {
            let wanted = "a public key in PEM, a JWK or JWK Set, or the path of a file with one of them";
            return self.faults.push(format!("entry {number} is nothing of the kind, but must be {wanted}"));
        }
        match read_file(entry) {
            Ok(text) => self.add_text(&format!("entry {number} ({entry:?})"), text.trim()),
            Err(error) => {
                self.faults
                    .push(format!("entry {number} ({entry:?}) is a file that cannot be read: {error}"));
            }
        }
    }

    fn add_text(&mut self, place: &str, text: &str) {
        if text.len() > ENTRY_BYTES_MAX {
            return self.faults.push(format!("{place} is longer than {ENTRY_BYTES_MAX} bytes"));
        }
        let found: Vec<Result<Jwk, String>> = if text.starts_with(['{', '[']) {
            jwk::read(text)
        } else {
            let usable = |key| Jwk::Usable(PublicKey { id: None, key });
            pem::read(text).into_iter().map(|key| key.map(usable)).collect()
        };
        let several = found.len() > 1;
        let (usable, other, wrong) = (self.keys.len(), self.skipped.len(), self.faults.len());
        for (number, found) in found.into_iter().enumerate() {
            let place = if several { format!("{place}, key {}", number + 1) } else { place.to_owned() };
            match found {
                Ok(Jwk::Usable(key)) => self.keys.push(key),
                Ok(Jwk::Other(why)) => self.skipped.push(format!("{place} {why}")),
                Err(why) => self.faults.push(format!("{place} is {why}")),
            }
        }
        if (self.keys.len(), self.faults.len()) == (usable, wrong) {
            let why = self.skipped[other..].join("; ");
            self.faults.push(format!("{place} has no key for EdDSA (Ed25519), RS256 or ES256: {why}"));
        }
    }

    /// What the operator wrote.
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    /// What is wrong, each with its entry.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Keys that are for something else and were passed over, each with its entry.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Whether `newer` lacks a key that is here.
    pub fn has_more_than(&self, newer: &JwtKeys) -> bool {
        self.keys.iter().any(|key| !newer.keys.contains(key))
    }

    /// The payload of a token, if one of these keys signed it. A key with an id serves tokens that name it or none; one
    /// without serves all.
    pub(super) fn payload(&self, token: &str, header: &Header) -> Option<Vec<u8>> {
        let (message, signature) = token.rsplit_once('.')?;
        let (_, payload) = message.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let is_named = |key: &PublicKey| match (&key.id, &header.kid) {
            (Some(id), Some(named)) => id == named,
            (None, _) | (_, None) => true,
        };
        self.keys
            .iter()
            .filter(|key| key.key.is_for(&header.alg) && is_named(key))
            .find(|key| key.key.has_signed(message.as_bytes(), &signature))?;
        URL_SAFE_NO_PAD.decode(payload).ok()
    }
}

fn is_inline(entry: &str) -> bool {
    entry.starts_with(['{', '[']) || entry.contains("-----BEGIN ")
}

fn read_file(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(ENTRY_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
