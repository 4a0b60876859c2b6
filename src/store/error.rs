//! What can go wrong with a write or a read, as the outside sees it.

use std::sync::Arc;

use super::codec::CodecError;

/// What the outside of a commit sees when the store cannot do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// More is being written than the disk takes; try again.
    #[error("the store has more to write than it can take now")]
    Overloaded,
    /// The store takes no writes: the disk is full or broken, or the process is stopping.
    #[error("the store takes no writes: {0}")]
    Unavailable(Arc<str>),
    /// A record in it cannot be read.
    #[error("{0}")]
    Damaged(Arc<str>),
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> StoreError {
        StoreError::Damaged(error.to_string().into())
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        StoreError::Unavailable(error.to_string().into())
    }
}

/// What a write's function gives: its answer, or an error that leaves nothing written.
pub type Answer<T, E = StoreError> = Result<T, E>;
