//! People and their preferences: one record each, so that planning reads one key.

use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::push_subscriptions;
use super::suppressions;
use super::txn::Txn;
use super::user_record::UserV2;
use super::view::Read;
use crate::model::user::User;

/// A page of a list: what was asked for, and where to go on.
#[derive(Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// `items` cut to `limit`, with the place of the last one kept as the cursor where there are more.
    pub(super) fn cut(mut items: Vec<T>, limit: usize, place: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(place) } else { None };
        Page { items, next }
    }
}

pub(super) fn get(read: &impl Read, id: &str) -> Answer<Option<User>> {
    let record: Option<UserV2> = read.get(&keys::named(keys::USER, id.as_bytes()))?;
    let Some(record) = record else { return Ok(None) };
    let has_push = push_subscriptions::any(read, id)?;
    let mut user = User { has_push, ..record.into_user(id) };
    for (channel, address) in user.addresses() {
        if let Some(suppression) = suppressions::of(read, channel, &address)? {
            user.suppressed.insert(channel, suppression.because());
        }
    }
    Ok(Some(user))
}

impl Store {
    /// The person of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn user(&self, id: &str) -> Answer<Option<User>> {
        let id = id.to_owned();
        self.read(move |view| get(view, &id)).await
    }

    /// People in the order of their ids, after `after`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn users(&self, after: Option<String>, limit: usize) -> Answer<Page<User>> {
        self.read(move |view| {
            let mut from = keys::named(keys::USER, after.as_deref().unwrap_or_default().as_bytes());
            if after.is_some() {
                from.push(0);
            }
            let mut users = Vec::new();
            view.scan(&from, &[keys::USER + 1], false, &mut |key, value| {
                let id = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
                let record: UserV2 = view.open_value(key, value)?;
                users.push(record.into_user(&id));
                Ok(users.len() <= limit)
            })?;
            Ok(Page::cut(users, limit, |user| user.id.clone()))
        })
        .await
    }
}

impl Txn<'_> {
    /// The ids of people in their order, after `after`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn user_ids(&self, after: Option<&str>, limit: usize) -> Answer<Page<String>> {
        let mut from = keys::named(keys::USER, after.unwrap_or_default().as_bytes());
        if after.is_some() {
            from.push(0);
        }
        let mut ids = Vec::new();
        self.scan(&from, &[keys::USER + 1], false, &mut |key, _| {
            ids.push(String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned());
            Ok(ids.len() <= limit)
        })?;
        Ok(Page::cut(ids, limit, String::clone))
    }

    /// The person of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn user(&self, id: &str) -> Answer<Option<User>> {
        get(self, id)
    }

    /// Writes a person.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.replace(keys::named(keys::USER, user.id.as_bytes()), &UserV2::from(user))
    }

    /// Removes a person's record. What else the store knows of them goes by [`Txn::erase_notification`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_user(&mut self, id: &str) -> Result<(), StoreError> {
        self.remove(&keys::named(keys::USER, id.as_bytes()))
    }
}
