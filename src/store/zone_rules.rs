//! By which rules of time zones the store was planned last.

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::Answer;
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::view::Read;

#[derive(Serialize, Deserialize)]
struct ZoneRulesV1 {
    fingerprint: u64,
}

impl Record for ZoneRulesV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "rules of time zones";
}

fn key() -> Vec<u8> {
    keys::named(keys::META, b"zones")
}

impl Store {
    /// The fingerprint of the rules that whatever waits was planned by, if it was ever noted.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn zone_rules(&self) -> Answer<Option<u64>> {
        self.read(|view| Ok(view.get::<ZoneRulesV1>(&key())?.map(|rules| rules.fingerprint))).await
    }
}

impl Txn<'_> {
    /// Notes the rules that whatever waits is planned by from now on.
    pub fn put_zone_rules(&mut self, fingerprint: u64) {
        self.put(key(), &ZoneRulesV1 { fingerprint });
    }
}
