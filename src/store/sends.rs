//! Sends to many: the content, once for all of them, and how far a send has come.
//!
//! A send that is under way has a small record that moves on in the same commits that accept its notifications. Whom it
//! names is stored in lists of one step each, which go as they are used. The content stays for as long as notifications
//! point to it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::records::NotificationV2;
use super::txn::Txn;
use super::view::Read;
use super::{batches, notifications};
use crate::clock::Millis;
use crate::model::audience::Target;
use crate::model::batch::Batch;
use crate::model::notification::{Accepted, Notification};

/// People of one step. A step is one write, and everybody else waits for it.
pub const STEP_LEN: usize = 128;

#[derive(Serialize, Deserialize)]
pub(super) enum SendingV1 {
    /// Lists from `next` on, before `end`.
    Users { next: u32, end: u32 },
    /// Members behind `after`.
    Topic { name: String, after: Option<String> },
    /// People behind `after`.
    Everyone { after: Option<String> },
}

impl Record for SendingV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "send";
}

#[derive(Serialize, Deserialize)]
pub(super) struct UsersV1 {
    users: Vec<String>,
}

impl Record for UsersV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "people of a send";
}

/// The next people of a send.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Who.
    pub users: Vec<String>,
    /// Whether they are the last.
    pub last: bool,
}

/// A notification with what it shares with others.
pub(super) fn whole(read: &impl Read, mut accepted: Accepted) -> Answer<Accepted> {
    let n = &mut accepted.notification;
    let Some(id) = n.content else { return Ok(accepted) };
    if let Some(shared) = content(read, id)? {
        (n.title, n.message) = (shared.title, shared.message);
        (n.action, n.metadata, n.template) = (shared.action, shared.metadata, shared.template);
    }
    Ok(accepted)
}

fn content(read: &impl Read, id: Uuid) -> Answer<Option<Notification>> {
    let record: Option<NotificationV2> = read.get(&keys::named(keys::CONTENT, id.as_bytes()))?;
    Ok(record.map(|record| record.into_accepted(id)).transpose()?.map(|accepted| accepted.notification))
}

impl Store {
    /// The send of that id, whether its sender or we gave it: how far it is, and what it says.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn sent(&self, id: &str) -> Answer<Option<(Batch, Notification)>> {
        let id = id.to_owned();
        self.read(move |view| {
            let Some(key) = notifications::find(view, &id)? else { return Ok(None) };
            let found = batches::get(view, key)?.zip(content(view, key)?);
            Ok(found.filter(|(_, content)| match &content.given_id {
                Some(given) => *given == id,
                None => key.to_string() == id,
            }))
        })
        .await
    }
}

impl Txn<'_> {
    /// Stores a content that notifications will share. It is for nobody: its user has no name.
    pub fn put_content(&mut self, id: Uuid, notification: Notification, now: Millis) {
        let stored = Accepted {
            key: id,
            notification,
            accepted_at: now,
            offset: 0,
            decisions: Vec::new(),
            quiet_hours_overridden: false,
        };
        self.put(keys::named(keys::CONTENT, id.as_bytes()), &NotificationV2::from(&stored));
    }

    /// Removes a content that nothing shares any more, and what its sender's id stood for.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(super) fn erase_content(&mut self, id: Uuid) -> Result<(), StoreError> {
        if let Some(given) = content(self, id)?.and_then(|content| content.given_id) {
            self.remove_short(keys::named(keys::GIVEN_ID, given.as_bytes()));
        }
        self.remove(&keys::named(keys::CONTENT, id.as_bytes()))
    }

    /// A content that notifications share.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn content(&self, id: Uuid) -> Answer<Option<Notification>> {
        content(self, id)
    }

    /// Begins a send to `target`.
    pub fn put_sending(&mut self, id: Uuid, target: &Target) {
        let record = match target {
            Target::Users(users) => {
                let mut end = 0;
                for (number, users) in (0u32..).zip(users.chunks(STEP_LEN)) {
                    self.put(keys::part(keys::SENDING_PART, id, number), &UsersV1 { users: users.to_vec() });
                    end = number + 1;
                }
                SendingV1::Users { next: 0, end }
            }
            Target::Topic(name) => SendingV1::Topic { name: name.clone(), after: None },
            Target::Everyone => SendingV1::Everyone { after: None },
        };
        self.put(keys::named(keys::SENDING, id.as_bytes()), &record);
    }

    /// The next people of a send, which moves on behind them; `None` where there is no such send any more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn step_sending(&mut self, id: Uuid) -> Answer<Option<Step>> {
        let key = keys::named(keys::SENDING, id.as_bytes());
        let Some(sending) = self.get::<SendingV1>(&key)? else { return Ok(None) };
        let (users, rest) = match sending {
            SendingV1::Users { next, end } => {
                let part = keys::part(keys::SENDING_PART, id, next);
                let users = self.get::<UsersV1>(&part)?.map(|part| part.users).unwrap_or_default();
                self.remove(&part)?;
                (users, (next + 1 < end).then_some(SendingV1::Users { next: next + 1, end }))
            }
            SendingV1::Topic { name, after } => {
                let page = self.topic_members(&name, after.as_deref(), STEP_LEN)?;
                let users = page.items.into_iter().map(|member| member.user_id).collect();
                (users, page.next.map(|after| SendingV1::Topic { name, after: Some(after) }))
            }
            SendingV1::Everyone { after } => {
                let page = self.user_ids(after.as_deref(), STEP_LEN)?;
                (page.items, page.next.map(|after| SendingV1::Everyone { after: Some(after) }))
            }
        };
        match &rest {
            Some(rest) => self.replace(key, rest)?,
            None => self.remove(&key)?,
        }
        Ok(Some(Step { users, last: rest.is_none() }))
    }

    /// Takes a person out of the lists of sends that are under way, from the list behind `after` on, a bounded number of
    /// lists at a time; answers whether they were in one, and where to go on, if there is more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_from_sends(&mut self, user: &str, after: Option<&[u8]>) -> Answer<(bool, Option<Vec<u8>>)> {
        /// Lists read in one write.
        const LISTS_MAX: usize = 200;
        let mut from = after.map_or_else(|| vec![keys::SENDING_PART], <[u8]>::to_vec);
        if after.is_some() {
            from.push(0);
        }
        let (mut seen, mut last, mut shorter) = (0, None, Vec::new());
        self.scan(&from, &[keys::SENDING_PART + 1], false, &mut |key, value| {
            let mut part: UsersV1 = self.open_value(key, value)?;
            let before = part.users.len();
            part.users.retain(|named| named != user);
            if part.users.len() < before {
                shorter.push((key.to_vec(), part));
            }
            (seen, last) = (seen + 1, Some(key.to_vec()));
            Ok(seen < LISTS_MAX)
        })?;
        let any = !shorter.is_empty();
        for (key, part) in shorter {
            self.replace(key, &part)?;
        }
        Ok((any, last.filter(|_| seen == LISTS_MAX)))
    }

    /// Forgets a send that was withdrawn, with the people whom it still names; at most so many lists of them at once.
    /// Answers whether that was all.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn drop_sending(&mut self, id: Uuid) -> Result<bool, StoreError> {
        /// Lists removed in one write.
        const LISTS_MAX: usize = 64;
        let (from, to) =
            (keys::part(keys::SENDING_PART, id, 0), keys::part(keys::SENDING_PART, id, u32::MAX));
        let mut lists = Vec::new();
        self.scan(&from, &to, false, &mut |key, _| {
            lists.push(key.to_vec());
            Ok(lists.len() < LISTS_MAX)
        })?;
        for list in &lists {
            self.remove(list)?;
        }
        let over = lists.len() < LISTS_MAX;
        if over {
            self.remove(&keys::named(keys::SENDING, id.as_bytes()))?;
        }
        Ok(over)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::super::open::Options;
    use super::*;
    use crate::supervise::Supervisor;

    #[tokio::test]
    async fn somebody_who_is_erased_is_in_no_list_that_is_still_to_be_sent_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { path: dir.path().to_owned(), cache_bytes: 8 << 20 };
        let store = Store::open(&options, &Supervisor::new()).expect("a new store");
        let users = (0..300 * STEP_LEN).map(|number| format!("u{number}"));
        let target = Target::Users(users.chain(["zoe".to_owned()]).collect());
        let id = Uuid::from_u128(1);
        let put = move |txn: &mut Txn<'_>| {
            txn.put_sending(id, &target);
            Ok::<_, StoreError>(())
        };
        store.commit(put).await.expect("a write");
        let erase = |after: Option<Vec<u8>>| {
            store.commit(move |txn: &mut Txn<'_>| txn.erase_from_sends("zoe", after.as_deref()))
        };
        let (found, next) = erase(None).await.expect("a write");
        assert!(!found && next.is_some(), "the first lists do not have her");
        assert_eq!(erase(next).await.expect("a write"), (true, None));
        assert!(!erase(None).await.expect("a write").0);
    }

    #[test]
    fn a_send_keeps_its_bytes() {
        assert_eq!(encode(&SendingV1::Users { next: 1, end: 3 }), [1, 0, 1, 3]);
        let topic = SendingV1::Topic { name: "ops".into(), after: Some("x".into()) };
        assert_eq!(encode(&topic), [1, 1, 3, b'o', b'p', b's', 1, 1, b'x']);
        assert_eq!(encode(&SendingV1::Everyone { after: None }), [1, 2, 0]);
        let users = encode(&UsersV1 { users: vec!["x".into()] });
        assert_eq!(users, [1, 1, 1, b'x']);
        assert_eq!(decode::<UsersV1>(&users).expect("our own bytes").users, ["x"]);
    }
}
