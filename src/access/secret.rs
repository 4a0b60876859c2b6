//! Secrets that lie beside the store, made at the first start: the one that signs user tokens, where none is
//! configured, and the one that seals what the store must be able to use again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

/// The secret cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("failed to read or make the secret {path}: {source}; {remedy} or make the file readable")]
pub struct SecretError {
    path: PathBuf,
    source: io::Error,
    remedy: &'static str,
}

/// Random bytes as text that fits into a header or a URL.
pub(super) fn random_text<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The secret kept under the data directory `data`, made at the first call: 256 random bits, readable by the owner only.
///
/// # Errors
/// Where the file can be neither read nor made.
pub fn signing_secret(data: &Path) -> Result<String, SecretError> {
    kept_secret(data, "jwt.secret", "set auth.jwt_secret")
}

/// The secret kept in the file `name` under `data`, made at the first call.
pub(super) fn kept_secret(data: &Path, name: &str, remedy: &'static str) -> Result<String, SecretError> {
    let path = data.join(name);
    let failed = |source| SecretError { path: path.clone(), source, remedy };
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => return Ok(text.trim().to_owned()),
        Ok(_) => return Err(failed(io::Error::other("it is too short to be ours"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let secret = random_text::<32>();
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(secret)
}
