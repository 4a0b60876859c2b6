//! From a token to whoever it belongs to, and what they may do.
//!
//! API keys are looked up by their hash in memory; user tokens are JWTs (RFC 7519) that are checked and never stored.

mod issuers;
mod jwk;
mod jwt;
mod jwt_keys;
mod keyring;
mod link;
mod pem;
pub mod principal;
mod public_key;
mod secret;
pub mod settings;
pub mod vault;

pub use issuers::Issuers;
pub use jwt::Claims;
pub use keyring::{Access, CONFIGURED_KEY_ID, MintedKey};
pub use link::Link;
pub use principal::{Grant, Principal, Scope};
pub use secret::{SecretError, signing_secret};
pub use vault::Vault;

/// Why a token is not taken. The text is for the holder and says nothing about other tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token of ours, or it was revoked.
    #[error("the token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
}
