//! Notifications with their plans, by key, by the sender's id, and newest first.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::progress::Targets;
use super::recent::Word;
use super::records::NotificationV2;
use super::sends;
use super::txn::Txn;
use super::users::Page;
use super::view::Read;
use crate::model::notification::Accepted;

/// What a sender's own id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GivenIdV1 {
    key: [u8; 16],
    content: [u8; 16],
}

impl Record for GivenIdV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "given id";
}

/// Records that one page of a filtered list looks at before it gives up and hands out a cursor: a filter that matches
/// nothing must not read the whole store.
const LOOKED_AT_MAX: usize = 5_000;

pub(super) fn get(read: &impl Read, key: Uuid) -> Answer<Option<Accepted>> {
    let record: Option<NotificationV2> = read.get(&keys::notification(key))?;
    record.map(|record| sends::whole(read, record.into_accepted(key)?)).transpose()
}

/// The key that `id` stands for: a sender's id, or one of ours.
pub(super) fn find(read: &impl Read, id: &str) -> Answer<Option<Uuid>> {
    if let Some(given) = read.get::<GivenIdV1>(&keys::named(keys::GIVEN_ID, id.as_bytes()))? {
        return Ok(Some(Uuid::from_bytes(given.key)));
    }
    Ok(Uuid::parse_str(id).ok())
}

impl Store {
    /// The notification of that id, whether the sender or we gave it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn notification(&self, id: &str) -> Answer<Option<Accepted>> {
        let id = id.to_owned();
        self.read(move |view| match find(view, &id)? {
            Some(key) => get(view, key).map(|found| found.filter(|accepted| accepted.id() == id)),
            None => Ok(None),
        })
        .await
    }

    /// The hash of what a sender's id was first sent with, if it was.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn given_content(&self, id: &str) -> Answer<Option<[u8; 16]>> {
        let key = keys::named(keys::GIVEN_ID, id.as_bytes());
        self.read(move |view| Ok(view.get::<GivenIdV1>(&key)?.map(|given| given.content))).await
    }

    /// The notification of that key.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn notification_by_key(&self, key: Uuid) -> Answer<Option<Accepted>> {
        self.read(move |view| get(view, key)).await
    }

    /// Notifications that `wanted` takes, newest first, older than `before`. A page may come back short, with a cursor,
    /// where few match.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn notifications(
        &self,
        before: Option<Uuid>,
        limit: usize,
        wanted: impl Fn(&Accepted) -> bool + Send + 'static,
    ) -> Answer<Page<Accepted>> {
        self.read(move |view| {
            let to = before.map_or_else(|| vec![keys::NOTIFICATION + 1], keys::notification);
            let (mut items, mut looked_at, mut last) = (Vec::new(), 0, None);
            let mut more = false;
            view.scan(&[keys::NOTIFICATION], &to, true, &mut |key, value| {
                if items.len() == limit || looked_at == LOOKED_AT_MAX {
                    more = true;
                    return Ok(false);
                }
                let Some(id) = key.get(1..).and_then(|id| Uuid::from_slice(id).ok()) else { return Ok(true) };
                let accepted = view.open_value::<NotificationV2>(key, value)?.into_accepted(id)?;
                let accepted = sends::whole(view, accepted)?;
                looked_at += 1;
                last = Some(id);
                if wanted(&accepted) {
                    items.push(accepted);
                }
                Ok(true)
            })?;
            let next = if more { last.map(|id| id.to_string()) } else { None };
            Ok(Page { items, next })
        })
        .await
    }
}

impl Txn<'_> {
    /// The notification of that key.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn notification(&self, key: Uuid) -> Answer<Option<Accepted>> {
        get(self, key)
    }

    /// The key that an id stands for, whether the sender or we gave it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn notification_key(&self, id: &str) -> Answer<Option<Uuid>> {
        find(self, id)
    }

    /// The notification that a sender's id stands for and the hash of what it was sent with.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn given_id(&self, id: &str) -> Answer<Option<(Uuid, [u8; 16])>> {
        let given = self.get::<GivenIdV1>(&keys::named(keys::GIVEN_ID, id.as_bytes()))?;
        Ok(given.map(|given| (Uuid::from_bytes(given.key), given.content)))
    }

    /// Writes a new notification, and what its sender's id stands for. `content` is the hash of what was sent.
    pub fn put_notification(&mut self, accepted: &Accepted, content: [u8; 16]) {
        if let Some(id) = &accepted.notification.given_id {
            self.put_given_id(id, accepted.key, content);
        }
        self.put(keys::notification(accepted.key), &NotificationV2::from(accepted));
    }

    /// Writes what a sender's id stands for: a notification's key or a send's, and the hash of what was sent.
    pub fn put_given_id(&mut self, id: &str, key: Uuid, content: [u8; 16]) {
        let given = GivenIdV1 { key: *key.as_bytes(), content };
        self.put(keys::named(keys::GIVEN_ID, id.as_bytes()), &given);
    }

    /// Writes a notification over itself.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn replace_notification(&mut self, accepted: &Accepted) -> Result<(), StoreError> {
        self.replace(keys::notification(accepted.key), &NotificationV2::from(accepted))
    }

    /// Removes a notification with its events and whatever of it is still due; not its inbox line.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_notification(&mut self, key: Uuid) -> Result<(), StoreError> {
        let Some(accepted) = get(self, key)? else { return Ok(()) };
        for due in self.due_of(&accepted)? {
            self.remove_due(&due);
        }
        self.remove_events(key)?;
        let n = &accepted.notification;
        let words =
            [n.dedupe_key.as_deref().map(Word::Dedupe), n.collapse_key.as_deref().map(Word::Collapse)];
        for word in words.into_iter().flatten() {
            self.forget_latest(&n.user_id, word, key)?;
        }
        for targets in [Targets::Browsers, Targets::Endpoints] {
            self.put_done(targets, key, &Vec::new())?;
        }
        if let Some(id) = &accepted.notification.given_id {
            self.remove_short(keys::named(keys::GIVEN_ID, id.as_bytes()));
        }
        self.remove(&keys::notification(key))
    }
}
