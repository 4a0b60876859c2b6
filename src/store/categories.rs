//! What the operator says of categories: few records, read for every notification, so the writer remembers them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::policies::{DigestV1, QuietHoursV2, ThrottleV1};
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;
use crate::model::category::Category;
use crate::model::channel::Channel;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CategoryV1 {
    description: Option<String>,
    channels: BTreeMap<Channel, bool>,
    required: bool,
    quiet_hours: Option<QuietHoursV2>,
    digest: Option<DigestV1>,
    throttle: Option<ThrottleV1>,
    retention_days: Option<u32>,
    created_at: Millis,
    updated_at: Millis,
}

impl Record for CategoryV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "category";
}

impl From<&Category> for CategoryV1 {
    fn from(category: &Category) -> CategoryV1 {
        let category = category.clone();
        CategoryV1 {
            description: category.description,
            channels: category.channels,
            required: category.required,
            quiet_hours: category.quiet_hours.map(QuietHoursV2::from),
            digest: category.digest.map(DigestV1::from),
            throttle: category.throttle.map(ThrottleV1::from),
            retention_days: category.retention_days,
            created_at: category.created_at,
            updated_at: category.updated_at,
        }
    }
}

impl CategoryV1 {
    fn into_category(self, name: &str) -> Category {
        Category {
            name: name.to_owned(),
            description: self.description,
            channels: self.channels,
            required: self.required,
            quiet_hours: self.quiet_hours.map(Into::into),
            digest: self.digest.map(Into::into),
            throttle: self.throttle.map(Into::into),
            retention_days: self.retention_days,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

fn key(name: &str) -> Vec<u8> {
    keys::named(keys::CATEGORY, name.as_bytes())
}

pub(super) fn get(read: &impl Read, name: &str) -> Answer<Option<Category>> {
    let record: Option<CategoryV1> = read.get(&key(name))?;
    Ok(record.map(|record| record.into_category(name)))
}

fn all(read: &impl Read) -> Answer<Vec<Category>> {
    let mut found = Vec::new();
    read.scan(&[keys::CATEGORY], &[keys::CATEGORY + 1], false, &mut |key, value| {
        let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        found.push(read.open_value::<CategoryV1>(key, value)?.into_category(&name));
        Ok(true)
    })?;
    Ok(found)
}

impl Store {
    /// What is said of the category of that name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn category(&self, name: &str) -> Answer<Option<Category>> {
        let name = name.to_owned();
        self.read(move |view| get(view, &name)).await
    }

    /// Every category that something is said of, by name. There are few.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn categories(&self) -> Answer<Vec<Category>> {
        self.read(|view| all(view)).await
    }
}

impl Txn<'_> {
    /// What is said of the category of that name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn category(&self, name: &str) -> Answer<Option<Category>> {
        get(self, name)
    }

    /// Every category that something is said of, by name. There are few.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn categories(&self) -> Answer<Vec<Category>> {
        all(self)
    }

    /// Writes what is said of a category.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_category(&mut self, category: &Category) -> Result<(), StoreError> {
        self.replace(key(&category.name), &CategoryV1::from(category))
    }

    /// Forgets what is said of a category.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_category(&mut self, name: &str) -> Result<(), StoreError> {
        self.remove(&key(name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;
    use crate::model::digest::{Digest, Throttle};
    use crate::model::quiet_hours::QuietHours;

    fn billing() -> Category {
        Category {
            name: "billing".into(),
            description: Some("Invoices".into()),
            channels: BTreeMap::from([(Channel::Sms, true), (Channel::Email, false)]),
            required: true,
            quiet_hours: Some(QuietHours {
                enabled: true,
                timezone: Some("Europe/Paris".into()),
                ..QuietHours::default()
            }),
            digest: Some(Digest::Sliding { window_seconds: 60, max_seconds: 600 }),
            throttle: Some(Throttle { max: 5, per_seconds: 3_600, key: Some("host".into()) }),
            retention_days: Some(30),
            created_at: 1,
            updated_at: 2,
        }
    }

    #[test]
    fn a_category_reads_back_as_it_was_written() {
        let stored = encode(&CategoryV1::from(&billing()));
        assert_eq!(decode::<CategoryV1>(&stored).expect("our own bytes").into_category("billing"), billing());
    }

    /// These bytes are on people's disks. A test that fails here wants a new version of the record, not new bytes.
    #[test]
    fn a_category_keeps_its_bytes() {
        let stored = encode(&CategoryV1::from(&billing()));
        let hex: String = stored.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("golden/category.v1.hex").trim());
    }
}
