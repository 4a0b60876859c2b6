//! Deliveries of one person on one channel that wait together: for the end of quiet hours, or to become a digest.
//!
//! A group has one line in the due index, however many wait in it, so that holding one more costs one small key and
//! moving all of them costs one line. A group that is being sent is *sealed*: nothing joins it any more, and its id is
//! that of the message, so that a repeat is the same message.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::inbox::{self, Marks};
use super::open::Store;
use super::outbox::{Due, Lane, Waits};
use super::txn::Txn;
use super::view::Read;
use super::{categories, keys, notifications, users};
use crate::clock::Millis;
use crate::model::category::Category;
use crate::model::channel::Channel;
use crate::model::notification::{Accepted, Priority};
use crate::model::user::User;

/// The most that leaves in one message; what waits beyond it leaves in the next.
pub const MEMBERS_MAX: usize = 1_000;

/// Which of a person's groups on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupId([u8; 8]);

impl GroupId {
    /// What waits until an instant.
    pub fn until(at: Millis) -> GroupId {
        GroupId(u64::try_from(at).unwrap_or(0).to_be_bytes())
    }

    /// What gathers in a digest of a category and a key.
    pub fn digest(category: &str, key: Option<&str>) -> GroupId {
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        hash.update(category.as_bytes());
        hash.update(&[0]);
        hash.update(key.unwrap_or_default().as_bytes());
        GroupId::marked(hash.finish().as_ref(), 0x80)
    }

    /// What is being sent as the message of that id.
    fn sealed(message: Uuid) -> GroupId {
        GroupId::marked(&message.as_bytes()[8..], 0xc0)
    }

    /// Instants have a first bit of 0 for some hundred million years, so the first two bits tell the kinds apart.
    fn marked(bytes: &[u8], mark: u8) -> GroupId {
        let mut id = [0; 8];
        id.copy_from_slice(&bytes[..8]);
        id[0] = mark | (id[0] & 0x3f);
        GroupId(id)
    }

    /// Whether it gathers for a digest, and does not just wait for an instant.
    pub fn is_digest(self) -> bool {
        self.0[0] & 0xc0 == 0x80
    }

    /// Whether it is being sent.
    pub fn is_sealed(self) -> bool {
        self.0[0] & 0xc0 == 0xc0
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> GroupId {
        GroupId(bytes)
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

/// When a group leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// When.
    pub at: Millis,
    /// Since when it gathers.
    pub opened_at: Millis,
    /// The most that any of it matters.
    pub priority: Priority,
    /// The id of its line in the due index, and of its message once it is sealed.
    pub key: Uuid,
    /// How often its message has been attempted.
    pub attempts: u32,
}

/// A delivery that waits in a group, with what it is planned by.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its notification.
    pub accepted: Accepted,
    /// What is said of the notification's category.
    pub category: Option<Category>,
    /// The marks of its inbox line.
    pub marks: Marks,
}

#[derive(Serialize, Deserialize)]
pub(super) struct GroupV1 {
    at: Millis,
    opened_at: Millis,
    priority: u8,
    key: [u8; 16],
    attempts: u32,
}

impl Record for GroupV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "group";
}

impl From<GroupV1> for Group {
    fn from(stored: GroupV1) -> Group {
        Group {
            at: stored.at,
            opened_at: stored.opened_at,
            priority: keys::priority_of(stored.priority).unwrap_or_default(),
            key: Uuid::from_bytes(stored.key),
            attempts: stored.attempts,
        }
    }
}

/// In which group a delivery waits.
#[derive(Serialize, Deserialize)]
pub(super) struct MemberV1 {
    group: [u8; 8],
}

impl Record for MemberV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "member of a group";
}

fn line(user: &str, channel: Channel, id: GroupId, group: &Group) -> Due {
    Due {
        waits: Waits::AsGroup { user: user.to_owned(), group: id },
        attempts: group.attempts,
        ..Due::new(Lane::Channel(channel), group.at, group.priority, group.key)
    }
}

impl Txn<'_> {
    /// A group of a person, if anything waits in it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn group(&self, user: &str, channel: Channel, id: GroupId) -> Answer<Option<Group>> {
        Ok(self.get::<GroupV1>(&keys::group(user, channel, id))?.map(Group::from))
    }

    /// Every group of a person.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn groups(&self, user: &str) -> Answer<Vec<(Channel, GroupId, Group)>> {
        let from = keys::held_by(keys::GROUP, user, None);
        let mut groups = Vec::new();
        self.scan(&from, &keys::after(&from), false, &mut |key, value| {
            if let Some((channel, id)) = keys::read_group(key) {
                groups.push((channel, id, self.open_value::<GroupV1>(key, value)?.into()));
            }
            Ok(true)
        })?;
        Ok(groups)
    }

    /// Writes a group and its one line; `before` is what it was.
    pub fn put_group(
        &mut self,
        user: &str,
        channel: Channel,
        id: GroupId,
        before: Option<&Group>,
        group: &Group,
    ) {
        if before == Some(group) {
            return;
        }
        if let Some(before) = before {
            self.remove_due(&line(user, channel, id, before));
        }
        self.put_due(&line(user, channel, id, group));
        let stored = GroupV1 {
            at: group.at,
            opened_at: group.opened_at,
            priority: keys::priority_byte(group.priority),
            key: *group.key.as_bytes(),
            attempts: group.attempts,
        };
        self.put(keys::group(user, channel, id), &stored);
    }

    /// Removes a group and its line; not those who wait in it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn end_group(&mut self, user: &str, channel: Channel, id: GroupId) -> Result<(), StoreError> {
        if let Some(group) = self.group(user, channel, id)? {
            self.remove_due(&line(user, channel, id, &group));
            self.remove_short(keys::group(user, channel, id));
        }
        Ok(())
    }

    /// Puts a delivery into a group, out of any other that it waits in.
    pub fn join_group(&mut self, user: &str, channel: Channel, notification: Uuid, id: GroupId) {
        self.put(keys::held(user, channel, notification), &MemberV1 { group: id.to_bytes() });
    }

    /// Takes a delivery out of whatever group it waits in.
    pub fn leave_group(&mut self, user: &str, channel: Channel, notification: Uuid) {
        self.remove_short(keys::held(user, channel, notification));
    }

    /// In which group a delivery waits, if in any.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn group_of(&self, user: &str, channel: Channel, notification: Uuid) -> Answer<Option<GroupId>> {
        let member: Option<MemberV1> = self.get(&keys::held(user, channel, notification))?;
        Ok(member.map(|member| GroupId(member.group)))
    }

    /// What waits in a group, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn members(&self, user: &str, channel: Channel, id: GroupId, limit: usize) -> Answer<Vec<Uuid>> {
        members(self, user, channel, id, limit)
    }

    /// A person and what waits in one of their groups, the oldest first, at most [`MEMBERS_MAX`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn waiting(&self, user: &str, channel: Channel, id: GroupId) -> Answer<(User, Vec<Member>)> {
        waiting(self, user, channel, id)
    }

    /// Makes `members` of a group one message, due at `now`: nothing joins it any more, and `message` is its id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn seal(
        &mut self,
        user: &str,
        channel: Channel,
        members: &[Uuid],
        priority: Priority,
        message: Uuid,
        now: Millis,
    ) -> Result<(), StoreError> {
        let id = GroupId::sealed(message);
        // What becomes of a text is reported by its message's id.
        if channel == Channel::Sms {
            self.put_digest(message, members, now)?;
        }
        for member in members {
            self.join_group(user, channel, *member, id);
        }
        let group = Group { at: now, opened_at: now, priority, key: message, attempts: 0 };
        self.put_group(user, channel, id, None, &group);
        Ok(())
    }

    /// Removes every group of a person with their lines, and whatever waits in them.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_groups(&mut self, user: &str) -> Result<(), StoreError> {
        for (channel, id, _) in self.groups(user)? {
            self.end_group(user, channel, id)?;
        }
        let from = keys::held_by(keys::HELD, user, None);
        self.remove_all(&from, &keys::after(&from))
    }
}

impl Store {
    /// A person and what waits in one of their groups, the oldest first, at most [`MEMBERS_MAX`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn waiting(&self, user: &str, channel: Channel, id: GroupId) -> Answer<(User, Vec<Member>)> {
        let user = user.to_owned();
        self.read(move |view| waiting(view, &user, channel, id)).await
    }
}

impl Store {
    /// People of whom something waits in a group, in the order of their ids, after `after`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn people_with_groups(&self, after: Option<String>, limit: usize) -> Answer<Vec<String>> {
        self.read(move |view| {
            let mut from = after.map_or_else(
                || vec![keys::GROUP],
                |after| keys::after(&keys::held_by(keys::GROUP, &after, None)),
            );
            let mut people = Vec::new();
            while people.len() < limit {
                let mut found = None;
                view.scan(&from, &[keys::GROUP + 1], false, &mut |key, _| {
                    let id = key.get(1..).and_then(|rest| rest.split(|byte| *byte == 0).next());
                    found = id.map(|id| String::from_utf8_lossy(id).into_owned());
                    Ok(false)
                })?;
                let Some(id) = found else { break };
                from = keys::after(&keys::held_by(keys::GROUP, &id, None));
                people.push(id);
            }
            Ok(people)
        })
        .await
    }
}

fn waiting(read: &impl Read, user: &str, channel: Channel, id: GroupId) -> Answer<(User, Vec<Member>)> {
    let mut waiting = Vec::new();
    for key in members(read, user, channel, id, MEMBERS_MAX)? {
        let Some(accepted) = notifications::get(read, key)? else { continue };
        let marks = inbox::marks(read, user, accepted.offset)?;
        let category = categories::get(read, &accepted.notification.category)?;
        waiting.push(Member { accepted, category, marks });
    }
    Ok((users::get(read, user)?.unwrap_or_else(|| User::named(user)), waiting))
}

/// What waits in a group, the oldest first.
fn members(read: &impl Read, user: &str, channel: Channel, id: GroupId, limit: usize) -> Answer<Vec<Uuid>> {
    let from = keys::held_by(keys::HELD, user, Some(channel));
    let mut members = Vec::new();
    read.scan(&from, &keys::after(&from), false, &mut |key, value| {
        let stored: MemberV1 = read.open_value(key, value)?;
        if stored.group == id.0
            && let Some(notification) = key.last_chunk::<16>()
        {
            members.push(Uuid::from_bytes(*notification));
        }
        Ok(members.len() < limit)
    })?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::encode;

    #[test]
    fn the_kinds_of_groups_are_told_apart_by_their_ids() {
        let (until, digest) = (GroupId::until(1_795_474_800_000), GroupId::digest("system", Some("disk")));
        let sealed = GroupId::sealed(Uuid::from_u128(7));
        assert!(!until.is_digest() && !until.is_sealed());
        assert!(digest.is_digest() && !digest.is_sealed());
        assert!(sealed.is_sealed() && !sealed.is_digest());
        assert_ne!(GroupId::digest("a", Some("b")), GroupId::digest("ab", None));
    }

    /// These bytes are on people's disks: a changed shape wants a new version.
    #[test]
    fn groups_and_members_keep_their_bytes() {
        let group = GroupV1 { at: 3, opened_at: 1, priority: 2, key: [7; 16], attempts: 4 };
        assert_eq!(encode(&group), [vec![1, 6, 2, 2], vec![7; 16], vec![4]].concat());
        assert_eq!(encode(&MemberV1 { group: [9; 8] }), [vec![1], vec![9; 8]].concat());
    }
}
