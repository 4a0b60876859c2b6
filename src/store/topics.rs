//! Topics: named sets of users.
//!
//! A membership is two keys, one under the topic and one under the person, so that listing either side, and forgetting
//! a person, costs what it gives and nothing of the other side.

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::users::Page;
use super::view::Read;
use crate::clock::Millis;

/// A named set of users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What it is for, in its maker's words.
    pub description: Option<String>,
    /// How many members it has.
    pub members: u64,
    /// When it was made.
    pub created_at: Millis,
    /// When its description last changed.
    pub updated_at: Millis,
}

/// One member of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub user_id: String,
    /// Since when.
    pub since: Millis,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TopicV1 {
    description: Option<String>,
    members: u64,
    created_at: Millis,
    updated_at: Millis,
}

impl Record for TopicV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "topic";
}

impl TopicV1 {
    fn into_topic(self, name: String) -> Topic {
        let TopicV1 { description, members, created_at, updated_at } = self;
        Topic { name, description, members, created_at, updated_at }
    }
}

/// The same under both keys.
#[derive(Serialize, Deserialize)]
pub(super) struct MemberV1 {
    since: Millis,
}

impl Record for MemberV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "topic member";
}

/// The key after every key that begins with `prefix` and goes on with a name: no name has the byte.
fn end_of(mut prefix: Vec<u8>) -> Vec<u8> {
    prefix.push(0xff);
    prefix
}

/// The name that a key ends with.
fn tail(key: &[u8], prefix: &[u8]) -> String {
    String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned()
}

fn get(read: &impl Read, name: &str) -> Answer<Option<Topic>> {
    let record: Option<TopicV1> = read.get(&keys::named(keys::TOPIC, name.as_bytes()))?;
    Ok(record.map(|record| record.into_topic(name.to_owned())))
}

/// The names under `prefix` behind `after`, with since when, at most `limit`, and whether there are more.
fn names(
    read: &impl Read,
    prefix: &[u8],
    after: Option<&str>,
    limit: usize,
) -> Answer<Page<(String, Millis)>> {
    let mut from = prefix.to_vec();
    if let Some(after) = after {
        from.extend_from_slice(after.as_bytes());
        from.push(0);
    }
    let mut found = Vec::new();
    read.scan(&from, &end_of(prefix.to_vec()), false, &mut |key, value| {
        found.push((tail(key, prefix), read.open_value::<MemberV1>(key, value)?.since));
        Ok(found.len() <= limit)
    })?;
    Ok(Page::cut(found, limit, |(name, _)| name.clone()))
}

fn members(read: &impl Read, topic: &str, after: Option<&str>, limit: usize) -> Answer<Page<Member>> {
    let page = names(read, &keys::members_of(topic), after, limit)?;
    let items = page.items.into_iter().map(|(user_id, since)| Member { user_id, since }).collect();
    Ok(Page { items, next: page.next })
}

fn is_member(read: &impl Read, topic: &str, user: &str) -> Answer<bool> {
    Ok(read.raw(&keys::member(topic, user))?.is_some())
}

impl Store {
    /// The topic of that name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn topic(&self, name: &str) -> Answer<Option<Topic>> {
        let name = name.to_owned();
        self.read(move |view| get(view, &name)).await
    }

    /// Topics in the order of their names, after `after`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn topics(&self, after: Option<String>, limit: usize) -> Answer<Page<Topic>> {
        self.read(move |view| {
            let mut from = keys::named(keys::TOPIC, after.as_deref().unwrap_or_default().as_bytes());
            if after.is_some() {
                from.push(0);
            }
            let mut topics = Vec::new();
            view.scan(&from, &[keys::TOPIC + 1], false, &mut |key, value| {
                topics.push(view.open_value::<TopicV1>(key, value)?.into_topic(tail(key, &[keys::TOPIC])));
                Ok(topics.len() <= limit)
            })?;
            Ok(Page::cut(topics, limit, |topic| topic.name.clone()))
        })
        .await
    }

    /// Members of a topic in the order of their ids, after `after`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn topic_members(
        &self,
        topic: &str,
        after: Option<String>,
        limit: usize,
    ) -> Answer<Page<Member>> {
        let topic = topic.to_owned();
        self.read(move |view| members(view, &topic, after.as_deref(), limit)).await
    }

    /// The names of the topics that a person is a member of, in their order, after `after`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn topics_of(
        &self,
        user: &str,
        after: Option<String>,
        limit: usize,
    ) -> Answer<Page<(String, Millis)>> {
        let prefix = keys::topics_of(user);
        self.read(move |view| names(view, &prefix, after.as_deref(), limit)).await
    }

    /// Whether a person is a member of a topic.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn is_topic_member(&self, topic: &str, user: &str) -> Answer<bool> {
        let (topic, user) = (topic.to_owned(), user.to_owned());
        self.read(move |view| is_member(view, &topic, &user)).await
    }
}

impl Txn<'_> {
    /// The topic of that name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn topic(&self, name: &str) -> Answer<Option<Topic>> {
        get(self, name)
    }

    /// Writes a topic.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_topic(&mut self, topic: &Topic) -> Result<(), StoreError> {
        let record = TopicV1 {
            description: topic.description.clone(),
            members: topic.members,
            created_at: topic.created_at,
            updated_at: topic.updated_at,
        };
        self.replace(keys::named(keys::TOPIC, topic.name.as_bytes()), &record)
    }

    /// Members of a topic in the order of their ids, after `after`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn topic_members(&self, topic: &str, after: Option<&str>, limit: usize) -> Answer<Page<Member>> {
        members(self, topic, after, limit)
    }

    /// Whether a person is a member of a topic.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn is_topic_member(&self, topic: &str, user: &str) -> Answer<bool> {
        is_member(self, topic, user)
    }

    /// Makes those people members of a topic that exists; answers who was not one before.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn add_topic_members(
        &mut self,
        topic: &mut Topic,
        users: &[String],
        now: Millis,
    ) -> Answer<Vec<String>> {
        let mut added = Vec::new();
        for user in users {
            if !is_member(self, &topic.name, user)? {
                self.put(keys::member(&topic.name, user), &MemberV1 { since: now });
                self.put(keys::membership(user, &topic.name), &MemberV1 { since: now });
                added.push(user.clone());
            }
        }
        topic.members += added.len() as u64;
        self.put_topic(topic)?;
        Ok(added)
    }

    /// Ends those people's membership; answers who was a member.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_topic_members(&mut self, topic: &mut Topic, users: &[String]) -> Answer<Vec<String>> {
        let mut removed = Vec::new();
        for user in users {
            if is_member(self, &topic.name, user)? {
                self.remove_short(keys::member(&topic.name, user));
                self.remove_short(keys::membership(user, &topic.name));
                removed.push(user.clone());
            }
        }
        topic.members = topic.members.saturating_sub(removed.len() as u64);
        self.put_topic(topic)?;
        Ok(removed)
    }

    /// Removes a topic that has no members any more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_topic(&mut self, name: &str) -> Result<(), StoreError> {
        self.remove(&keys::named(keys::TOPIC, name.as_bytes()))
    }

    /// Ends memberships of a person, at most `limit`; answers of which topics.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_memberships(&mut self, user: &str, limit: usize) -> Answer<Vec<String>> {
        let found = names(self, &keys::topics_of(user), None, limit)?;
        let topics: Vec<String> = found.items.into_iter().map(|(name, _)| name).collect();
        for name in &topics {
            match get(self, name)? {
                Some(mut topic) => drop(self.remove_topic_members(&mut topic, &[user.to_owned()])?),
                None => self.remove_short(keys::membership(user, name)),
            }
        }
        Ok(topics)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    #[test]
    fn what_is_stored_keeps_its_bytes() {
        let topic =
            TopicV1 { description: Some("On call".to_owned()), members: 2, created_at: 1, updated_at: 3 };
        assert_eq!(
            encode(&topic),
            [1, 1, 7, b'O', b'n', b' ', b'c', b'a', b'l', b'l', 2, 2, 6],
            "a changed shape is a new version"
        );
        assert_eq!(encode(&MemberV1 { since: 5 }), [1, 10]);
        let read: TopicV1 = decode(&encode(&topic)).expect("what was written can be read");
        let read = read.into_topic("oncall".to_owned());
        assert_eq!((read.members, read.description.as_deref()), (2, Some("On call")));
    }
}
