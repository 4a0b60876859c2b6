//! The browsers that people allowed to show notifications, and the keys that they know this server by.
//!
//! One record holds all browsers of a person, so that planning and sending read one key. The browsers' secrets and our
//! private keys are stored as they are: whoever can read the store can push to these browsers, as whoever can read it
//! can read the notifications themselves.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::progress::{Done, Targets, done};
use super::txn::Txn;
use super::view::Read;
use crate::clock::Millis;
use crate::model::push::Subscription;

/// The most browsers of one person. One more takes the place of the one that has been of no use for longest.
pub const SUBSCRIPTIONS_MAX: usize = 20;

/// A private key of this server.
#[derive(Clone, PartialEq, Eq)]
pub struct PushKey {
    /// The key.
    pub private: [u8; 32],
    /// When it was first used.
    pub since: Millis,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SubscriptionsV1 {
    list: Vec<SubscriptionV1>,
}

#[derive(Serialize, Deserialize)]
struct SubscriptionV1 {
    id: [u8; 16],
    endpoint: String,
    p256dh: Vec<u8>,
    auth: [u8; 16],
    server_key: Vec<u8>,
    created_at: Millis,
    expires_at: Option<Millis>,
    last_success: Option<Millis>,
}

impl Record for SubscriptionsV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "push subscriptions";
}

/// Whose an endpoint is.
#[derive(Serialize, Deserialize)]
pub(super) struct OwnerV1 {
    user_id: String,
}

impl Record for OwnerV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "push endpoint";
}

#[derive(Serialize, Deserialize)]
struct PushKeysV1 {
    /// Private key and since when, the present one first.
    list: Vec<([u8; 32], Millis)>,
}

impl Record for PushKeysV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "push keys";
}

impl From<&Subscription> for SubscriptionV1 {
    fn from(s: &Subscription) -> SubscriptionV1 {
        SubscriptionV1 {
            id: s.id.into_bytes(),
            endpoint: s.endpoint.clone(),
            p256dh: s.p256dh.clone(),
            auth: s.auth,
            server_key: s.server_key.clone(),
            created_at: s.created_at,
            expires_at: s.expires_at,
            last_success: s.last_success,
        }
    }
}

impl From<SubscriptionV1> for Subscription {
    fn from(s: SubscriptionV1) -> Subscription {
        Subscription {
            id: Uuid::from_bytes(s.id),
            endpoint: s.endpoint,
            p256dh: s.p256dh,
            auth: s.auth,
            server_key: s.server_key,
            created_at: s.created_at,
            expires_at: s.expires_at,
            last_success: s.last_success,
        }
    }
}

fn of_user(user: &str) -> Vec<u8> {
    keys::named(keys::PUSH_SUBSCRIPTIONS, user.as_bytes())
}

/// By a hash, since an endpoint is long, and a secret of its browser's.
fn owner(endpoint: &str) -> Vec<u8> {
    keys::named(keys::PUSH_ENDPOINT, &digest(&SHA256, endpoint.as_bytes()).as_ref()[..16])
}

fn keys_of_server() -> Vec<u8> {
    keys::named(keys::META, b"push keys")
}

fn list(read: &impl Read, user: &str) -> Answer<Vec<Subscription>> {
    let record: Option<SubscriptionsV1> = read.get(&of_user(user))?;
    Ok(record.map_or_else(Vec::new, |record| record.list.into_iter().map(Into::into).collect()))
}

/// Whether the person has any browser: without looking at which.
pub(super) fn any(read: &impl Read, user: &str) -> Answer<bool> {
    Ok(read.raw(&of_user(user))?.is_some())
}

impl Store {
    /// A person's browsers, the oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn push_subscriptions(&self, user: &str) -> Answer<Vec<Subscription>> {
        let user = user.to_owned();
        self.read(move |view| list(view, &user)).await
    }

    /// A person's browsers, and which of them are done with a notification.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn push_targets(&self, user: &str, notification: Uuid) -> Answer<(Vec<Subscription>, Done)> {
        let user = user.to_owned();
        self.read(move |view| Ok((list(view, &user)?, done(view, Targets::Browsers, notification)?))).await
    }
}

impl Txn<'_> {
    /// Keeps a browser of a person's; answers it as it is kept, and whether it is new. The same endpoint again takes the
    /// place of what was there, whoever it was of: a browser is one person's at a time.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_push_subscription(
        &mut self,
        user: &str,
        mut subscription: Subscription,
    ) -> Result<(Subscription, bool), StoreError> {
        let owner_key = owner(&subscription.endpoint);
        let before: Option<OwnerV1> = self.get(&owner_key)?;
        if let Some(OwnerV1 { user_id }) = before.filter(|before| before.user_id != user) {
            self.remove_push_subscriptions(&user_id, |s| s.endpoint == subscription.endpoint)?;
        }
        let mut all = list(self, user)?;
        let known = all.iter().position(|s| s.endpoint == subscription.endpoint);
        match known {
            Some(at) => {
                subscription.id = all[at].id;
                subscription.created_at = all[at].created_at;
                subscription.last_success = all[at].last_success;
                all[at] = subscription.clone();
            }
            None => {
                if all.len() >= SUBSCRIPTIONS_MAX {
                    self.drop_the_idlest(&mut all);
                }
                all.push(subscription.clone());
            }
        }
        self.put(owner_key, &OwnerV1 { user_id: user.to_owned() });
        self.put_list(user, &all)?;
        Ok((subscription, known.is_none()))
    }

    /// Puts a browser's new subscription in the place of its old one, for whoever knows the secret of the old one: only
    /// that browser does. Answers whether there was one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn renew_push_subscription(
        &mut self,
        endpoint: &str,
        auth: &[u8],
        fresh: Subscription,
    ) -> Result<bool, StoreError> {
        let Some(OwnerV1 { user_id }) = self.get(&owner(endpoint))? else { return Ok(false) };
        let is_old = |s: &Subscription| s.endpoint == endpoint && s.auth == auth;
        if self.remove_push_subscriptions(&user_id, is_old)? == 0 {
            return Ok(false);
        }
        self.put_push_subscription(&user_id, fresh)?;
        Ok(true)
    }

    fn drop_the_idlest(&mut self, all: &mut Vec<Subscription>) {
        let last_use = |s: &Subscription| s.last_success.unwrap_or(s.created_at);
        let idlest = all.iter().enumerate().min_by_key(|(_, s)| last_use(s)).map(|(at, _)| at);
        if let Some(at) = idlest {
            let dropped = all.remove(at);
            self.remove_short(owner(&dropped.endpoint));
        }
    }

    /// Forgets those of a person's browsers that `which` picks; answers how many.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_push_subscriptions(
        &mut self,
        user: &str,
        which: impl Fn(&Subscription) -> bool,
    ) -> Result<usize, StoreError> {
        let (gone, kept): (Vec<_>, Vec<_>) = list(self, user)?.into_iter().partition(|s| which(s));
        if gone.is_empty() {
            return Ok(0);
        }
        for subscription in &gone {
            self.remove_short(owner(&subscription.endpoint));
        }
        self.put_list(user, &kept)?;
        Ok(gone.len())
    }

    /// Notes that push services took something for these browsers at `now`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn note_push_success(&mut self, user: &str, ids: &[Uuid], now: Millis) -> Result<(), StoreError> {
        let mut all = list(self, user)?;
        let mut changed = false;
        for subscription in all.iter_mut().filter(|s| ids.contains(&s.id)) {
            subscription.last_success = Some(now);
            changed = true;
        }
        if changed { self.put_list(user, &all) } else { Ok(()) }
    }

    fn put_list(&mut self, user: &str, all: &[Subscription]) -> Result<(), StoreError> {
        if all.is_empty() {
            return self.remove(&of_user(user));
        }
        self.replace(of_user(user), &SubscriptionsV1 { list: all.iter().map(Into::into).collect() })
    }

    /// The keys of this server, the present one first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn push_keys(&self) -> Answer<Vec<PushKey>> {
        let record: Option<PushKeysV1> = self.get(&keys_of_server())?;
        let list = record.map_or_else(Vec::new, |record| record.list);
        Ok(list.into_iter().map(|(private, since)| PushKey { private, since }).collect())
    }

    /// Writes the keys of this server.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_push_keys(&mut self, all: &[PushKey]) -> Result<(), StoreError> {
        let list = all.iter().map(|key| (key.private, key.since)).collect();
        self.replace(keys_of_server(), &PushKeysV1 { list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;
    use crate::store::codec::{decode, encode};
    use crate::supervise::Supervisor;

    fn subscription(id: u128) -> Subscription {
        Subscription {
            id: Uuid::from_u128(id),
            endpoint: format!("https://push.example/{id}"),
            p256dh: vec![4; 65],
            auth: [5; 16],
            server_key: vec![6; 65],
            created_at: i64::try_from(id).expect("a small id"),
            expires_at: None,
            last_success: None,
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { path: dir.path().to_owned(), cache_bytes: 1 << 20 };
        let store = Store::open(&options, &Supervisor::new()).expect("a store");
        (dir, store)
    }

    async fn put(store: &Store, user: &'static str, subscription: Subscription) -> (Subscription, bool) {
        store.commit(move |txn| txn.put_push_subscription(user, subscription)).await.expect("a write")
    }

    async fn ids(store: &Store, user: &str) -> Vec<u128> {
        let all = store.push_subscriptions(user).await.expect("a read");
        all.into_iter().map(|s| s.id.as_u128()).collect()
    }

    #[tokio::test]
    async fn the_same_endpoint_again_keeps_its_id_and_takes_the_new_keys() {
        let (_dir, store) = store();
        put(&store, "anna", subscription(1)).await;
        let again = Subscription { id: Uuid::from_u128(9), auth: [8; 16], ..subscription(1) };
        let (kept, fresh) = put(&store, "anna", again).await;
        assert!(!fresh && kept.id == Uuid::from_u128(1) && kept.auth == [8; 16]);
        assert_eq!(store.push_subscriptions("anna").await.expect("a read"), [kept]);
    }

    #[tokio::test]
    async fn a_browser_is_one_persons_at_a_time() {
        let (_dir, store) = store();
        put(&store, "anna", subscription(1)).await;
        put(&store, "anna", subscription(2)).await;
        put(&store, "bert", subscription(1)).await;
        assert_eq!((ids(&store, "anna").await, ids(&store, "bert").await), (vec![2], vec![1]));
    }

    #[tokio::test]
    async fn one_browser_too_many_takes_the_place_of_the_idlest() {
        let (_dir, store) = store();
        for id in 1..=20 {
            put(&store, "anna", subscription(id)).await;
        }
        store.commit(|txn| txn.note_push_success("anna", &[Uuid::from_u128(1)], 100)).await.expect("a write");
        put(&store, "anna", subscription(21)).await;
        let left = ids(&store, "anna").await;
        assert_eq!(left.len(), SUBSCRIPTIONS_MAX);
        assert!(left.contains(&1) && !left.contains(&2) && left.contains(&21));
    }

    #[tokio::test]
    async fn what_is_removed_can_be_registered_anew_by_anybody() {
        let (_dir, store) = store();
        put(&store, "anna", subscription(1)).await;
        let gone =
            store.commit(|txn| txn.remove_push_subscriptions("anna", |_| true)).await.expect("a write");
        assert_eq!((gone, ids(&store, "anna").await), (1, vec![]));
        assert!(put(&store, "bert", subscription(1)).await.1);
    }

    #[tokio::test]
    async fn a_person_is_known_to_have_browsers_or_none() {
        let (_dir, store) = store();
        let user = crate::model::user::User { id: "anna".to_owned(), ..Default::default() };
        store.commit(move |txn| txn.put_user(&user)).await.expect("a write");
        let has = async || store.user("anna").await.expect("a read").expect("anna").has_push;
        assert!(!has().await);
        put(&store, "anna", subscription(1)).await;
        assert!(has().await);
        store.commit(|txn| txn.remove_push_subscriptions("anna", |_| true)).await.expect("a write");
        assert!(!has().await);
    }

    #[tokio::test]
    async fn what_is_done_is_remembered_until_it_is_forgotten() {
        let (_dir, store) = store();
        let (key, done) = (Uuid::from_u128(7), vec![(Uuid::from_u128(1), true), (Uuid::from_u128(2), false)]);
        let written = done.clone();
        store.commit(move |txn| txn.put_done(Targets::Browsers, key, &written)).await.expect("a write");
        assert_eq!(store.push_targets("anna", key).await.expect("a read").1, done);
        store.commit(move |txn| txn.put_done(Targets::Browsers, key, &Vec::new())).await.expect("a write");
        assert_eq!(store.push_targets("anna", key).await.expect("a read").1, []);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_stored_bytes_stay_what_they_are() {
        let small = Subscription {
            p256dh: vec![4, 1],
            server_key: vec![4, 2],
            expires_at: Some(3),
            last_success: Some(4),
            ..subscription(1)
        };
        let record = SubscriptionsV1 { list: vec![(&small).into()] };
        assert_eq!(
            hex(&encode(&record)),
            "0101000000000000000000000000000000011668747470733a2f2f707573682e6578616d706c652f31020401\
             050505050505050505050505050505050204020201060108"
        );
        let back: SubscriptionsV1 = decode(&encode(&record)).expect("our own bytes");
        assert_eq!(back.list.into_iter().map(Subscription::from).collect::<Vec<_>>(), [small]);
        let keys = PushKeysV1 { list: vec![([2; 32], 5)] };
        assert_eq!(hex(&encode(&keys)), format!("0101{}0a", "02".repeat(32)));
        assert_eq!(hex(&encode(&OwnerV1 { user_id: "anna".to_owned() })), "0104616e6e61");
    }
}
