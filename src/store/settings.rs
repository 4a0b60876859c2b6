//! What the operator decides about the store.

use std::path::PathBuf;

use crate::settings::{path, settings, size};

const MIB: u64 = 1 << 20;

settings! {
    /// Where everything is kept.
    pub struct Storage {
        /// The directory of the store. It is made when it does not exist; a relative path starts at the working
        /// directory.
        path: PathBuf = PathBuf::from("./belfry-data"), path();
        /// How much of the store is held in memory. The process as a whole takes several times this.
        cache_capacity: u64 = 32 * MIB, size(8 * MIB..=16_384 * MIB);
    }
}
