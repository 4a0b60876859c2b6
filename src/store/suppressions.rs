//! The suppression list: addresses that nothing is sent to. Found by the address, listed by when they came.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::users::Page;
use super::view::Read;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::suppression::{Source, Suppression, normal};

#[derive(Serialize, Deserialize)]
pub(super) struct SuppressionV1 {
    channel: Channel,
    address: String,
    reason: Option<String>,
    source: SourceV1,
    since: Millis,
}

#[derive(Serialize, Deserialize)]
enum SourceV1 {
    Api,
    Provider,
    Bounce,
}

impl Record for SuppressionV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "suppression";
}

/// The id of the suppression of an address.
#[derive(Serialize, Deserialize)]
pub(super) struct PlaceV1 {
    id: [u8; 16],
}

impl Record for PlaceV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "suppressed address";
}

impl From<&Suppression> for SuppressionV1 {
    fn from(s: &Suppression) -> SuppressionV1 {
        SuppressionV1 {
            channel: s.channel,
            address: s.address.clone(),
            reason: s.reason.clone(),
            source: match s.source {
                Source::Api => SourceV1::Api,
                Source::Provider => SourceV1::Provider,
                Source::Bounce => SourceV1::Bounce,
            },
            since: s.since,
        }
    }
}

impl SuppressionV1 {
    fn into_suppression(self, id: Uuid) -> Suppression {
        Suppression {
            id,
            channel: self.channel,
            address: self.address,
            reason: self.reason,
            source: match self.source {
                SourceV1::Api => Source::Api,
                SourceV1::Provider => Source::Provider,
                SourceV1::Bounce => Source::Bounce,
            },
            since: self.since,
        }
    }
}

/// By a hash, so that a long address costs no more than a short one.
fn by_address(channel: Channel, address: &str) -> Vec<u8> {
    let mut hash = Context::new(&SHA256);
    hash.update(&[keys::channel_byte(channel)]);
    hash.update(normal(address).as_bytes());
    keys::named(keys::SUPPRESSED_ADDRESS, &hash.finish().as_ref()[..16])
}

fn by_id(id: Uuid) -> Vec<u8> {
    keys::named(keys::SUPPRESSION, id.as_bytes())
}

/// The suppression of an address, if it has one.
pub(super) fn of(read: &impl Read, channel: Channel, address: &str) -> Answer<Option<Suppression>> {
    let Some(PlaceV1 { id }) = read.get(&by_address(channel, address))? else { return Ok(None) };
    let id = Uuid::from_bytes(id);
    let record: Option<SuppressionV1> = read.get(&by_id(id))?;
    Ok(record.map(|record| record.into_suppression(id)))
}

impl Store {
    /// Suppressed addresses, newest first, older than `before`, on `channel` if one is named.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn suppressions(
        &self,
        channel: Option<Channel>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Answer<Page<Suppression>> {
        self.read(move |view| {
            let to = before.map_or_else(|| vec![keys::SUPPRESSION + 1], by_id);
            let mut items = Vec::new();
            view.scan(&[keys::SUPPRESSION], &to, true, &mut |key, value| {
                let Some(id) = keys::id_at(key, 1) else { return Ok(true) };
                let suppression = view.open_value::<SuppressionV1>(key, value)?.into_suppression(id);
                if channel.is_none_or(|channel| channel == suppression.channel) {
                    items.push(suppression);
                }
                Ok(items.len() <= limit)
            })?;
            Ok(Page::cut(items, limit, |suppression| suppression.id.to_string()))
        })
        .await
    }
}

impl Store {
    /// The suppression of an address, if it has one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn suppression_of(&self, channel: Channel, address: &str) -> Answer<Option<Suppression>> {
        let address = address.to_owned();
        self.read(move |view| of(view, channel, &address)).await
    }
}

impl Txn<'_> {
    /// Suppresses an address. One that is suppressed already stays as it is; answers how it stands, and whether it is new.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn suppress(&mut self, suppression: &Suppression) -> Answer<(Suppression, bool)> {
        if let Some(known) = of(self, suppression.channel, &suppression.address)? {
            return Ok((known, false));
        }
        let suppression = Suppression { address: normal(&suppression.address), ..suppression.clone() };
        let place = PlaceV1 { id: suppression.id.into_bytes() };
        self.put(by_address(suppression.channel, &suppression.address), &place);
        self.put(by_id(suppression.id), &SuppressionV1::from(&suppression));
        Ok((suppression, true))
    }

    /// Takes an address off the list; answers whether it was on it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn unsuppress(&mut self, channel: Channel, address: &str) -> Result<bool, StoreError> {
        let Some(suppression) = of(self, channel, address)? else { return Ok(false) };
        self.remove(&by_address(channel, address))?;
        self.remove(&by_id(suppression.id))?;
        Ok(true)
    }

    /// Takes the address of the suppression of that id off the list; answers whether there was one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn unsuppress_id(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let Some(record) = self.get::<SuppressionV1>(&by_id(id))? else { return Ok(false) };
        self.unsuppress(record.channel, &record.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;
    use crate::store::codec::{decode, encode};
    use crate::supervise::Supervisor;

    fn suppression(id: u128, address: &str) -> Suppression {
        Suppression {
            id: Uuid::from_u128(id),
            channel: Channel::Email,
            address: address.to_owned(),
            reason: Some("550 5.1.1 gone".to_owned()),
            source: Source::Provider,
            since: 7,
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { path: dir.path().to_owned(), cache_bytes: 1 << 20 };
        let store = Store::open(&options, &Supervisor::new()).expect("a store");
        (dir, store)
    }

    async fn put(store: &Store, suppression: Suppression) -> (Suppression, bool) {
        store.commit(move |txn| txn.suppress(&suppression)).await.expect("a write")
    }

    async fn listed(store: &Store, channel: Option<Channel>) -> Vec<u128> {
        let page = store.suppressions(channel, None, 10).await.expect("a read");
        page.items.into_iter().map(|s| s.id.as_u128()).collect()
    }

    #[tokio::test]
    async fn an_address_is_on_the_list_once_however_it_is_spelled() {
        let (_dir, store) = store();
        assert!(put(&store, suppression(1, "Anna@Example.org")).await.1);
        let (kept, fresh) = put(&store, suppression(2, "anna@example.ORG")).await;
        assert_eq!((kept.id.as_u128(), kept.address.as_str(), fresh), (1, "anna@example.org", false));
        assert_eq!(listed(&store, None).await, [1]);
        let off = store.commit(|txn| txn.unsuppress(Channel::Email, "ANNA@example.org")).await;
        assert!(off.expect("a write"));
        assert!(listed(&store, None).await.is_empty());
        assert!(put(&store, suppression(3, "anna@example.org")).await.1);
    }

    #[tokio::test]
    async fn the_list_is_newest_first_and_by_channel() {
        let (_dir, store) = store();
        put(&store, suppression(1, "a@example.org")).await;
        put(&store, Suppression { channel: Channel::Sms, ..suppression(2, "+491701234567") }).await;
        put(&store, suppression(3, "b@example.org")).await;
        assert_eq!(listed(&store, None).await, [3, 2, 1]);
        assert_eq!(listed(&store, Some(Channel::Sms)).await, [2]);
        let page = store.suppressions(None, Some(Uuid::from_u128(3)), 1).await.expect("a read");
        assert_eq!((page.items[0].id.as_u128(), page.next), (2, Some(Uuid::from_u128(2).to_string())));
        assert!(store.commit(|txn| txn.unsuppress_id(Uuid::from_u128(2))).await.expect("a write"));
        assert!(!store.commit(|txn| txn.unsuppress_id(Uuid::from_u128(2))).await.expect("a write"));
        assert_eq!(listed(&store, None).await, [3, 1]);
    }

    #[tokio::test]
    async fn a_person_is_read_with_what_is_said_of_their_addresses() {
        let (_dir, store) = store();
        let user = crate::model::user::User {
            id: "anna".to_owned(),
            email: Some("anna@example.org".to_owned()),
            phone: Some("+491701234567".to_owned()),
            ..Default::default()
        };
        store.commit(move |txn| txn.put_user(&user)).await.expect("a write");
        put(&store, suppression(1, "anna@example.org")).await;
        let user = store.user("anna").await.expect("a read").expect("anna");
        assert_eq!(user.suppressed.len(), 1);
        assert!(user.suppressed[&Channel::Email].contains("550 5.1.1 gone"));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_stored_bytes_stay_what_they_are() {
        let one = Suppression { reason: Some("no".to_owned()), ..suppression(1, "a@b.c") };
        let stored = encode(&SuppressionV1::from(&one));
        assert_eq!(hex(&stored), "0101056140622e6301026e6f010e");
        let back: SuppressionV1 = decode(&stored).expect("our own bytes");
        assert_eq!(back.into_suppression(one.id), one);
        assert_eq!(hex(&encode(&PlaceV1 { id: [3; 16] })), format!("01{}", "03".repeat(16)));
    }
}
