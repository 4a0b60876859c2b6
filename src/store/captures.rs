//! Messages that channels in capture mode kept instead of sending: the newest so many.

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
use crate::model::message::Message;

/// Messages removed in one write.
const TRIM_LEN_MAX: usize = 500;

/// A message that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// When it would have been sent.
    pub at: Millis,
    /// On which channel.
    pub channel: Channel,
    /// What would have been sent.
    pub message: Message,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CaptureV1 {
    at: Millis,
    channel: Channel,
    delivery_id: String,
    notification_id: String,
    user_id: String,
    to: String,
    title: String,
    text: String,
    html: Option<String>,
    at_ms: i64,
}

impl Record for CaptureV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "capture";
}

impl CaptureV1 {
    fn into_capture(self, id: Uuid) -> Capture {
        Capture {
            id,
            at: self.at,
            channel: self.channel,
            message: Message {
                delivery_id: self.delivery_id,
                notification_id: self.notification_id,
                user_id: self.user_id,
                to: self.to,
                title: self.title,
                text: self.text,
                html: self.html,
                unsubscribe: None,
                at_ms: self.at_ms,
            },
        }
    }
}

impl Store {
    /// Kept messages, newest first, older than `before`, on `channel` if one is named.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn captures(
        &self,
        channel: Option<Channel>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Answer<Page<Capture>> {
        self.read(move |view| {
            let to = before
                .map_or_else(|| vec![keys::CAPTURE + 1], |id| keys::named(keys::CAPTURE, id.as_bytes()));
            let mut items = Vec::new();
            view.scan(&[keys::CAPTURE], &to, true, &mut |key, value| {
                let Some(id) = key.get(1..).and_then(|id| Uuid::from_slice(id).ok()) else { return Ok(true) };
                let capture = view.open_value::<CaptureV1>(key, value)?.into_capture(id);
                if channel.is_none_or(|channel| channel == capture.channel) {
                    items.push(capture);
                }
                Ok(items.len() <= limit)
            })?;
            Ok(Page::cut(items, limit, |capture| capture.id.to_string()))
        })
        .await
    }
}

impl Store {
    /// Messages kept of one person, newest first, at most `limit`. Goes through all that are kept.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn captures_of(&self, user: &str, limit: usize) -> Answer<Vec<Capture>> {
        let user = user.to_owned();
        self.read(move |view| {
            let mut theirs = Vec::new();
            view.scan(&[keys::CAPTURE], &[keys::CAPTURE + 1], true, &mut |key, value| {
                let capture: CaptureV1 = view.open_value(key, value)?;
                if let (true, Some(id)) = (capture.user_id == user, keys::id_at(key, 1)) {
                    theirs.push(capture.into_capture(id));
                }
                Ok(theirs.len() < limit)
            })?;
            Ok(theirs)
        })
        .await
    }
}

impl Txn<'_> {
    /// Keeps a message.
    pub fn put_capture(&mut self, capture: &Capture) {
        let message = capture.message.clone();
        let record = CaptureV1 {
            at: capture.at,
            channel: capture.channel,
            delivery_id: message.delivery_id,
            notification_id: message.notification_id,
            user_id: message.user_id,
            to: message.to,
            title: message.title,
            text: message.text,
            html: message.html,
            at_ms: message.at_ms,
        };
        self.put(keys::named(keys::CAPTURE, capture.id.as_bytes()), &record);
    }

    /// Removes the oldest kept messages where there are more than `keep`, a bounded number at a time; answers whether
    /// there may be more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn trim_captures(&mut self, keep: usize) -> Result<bool, StoreError> {
        let (mut seen, mut oldest_kept) = (0, None);
        self.scan(&[keys::CAPTURE], &[keys::CAPTURE + 1], true, &mut |key, _| {
            seen += 1;
            oldest_kept = Some(key.to_vec());
            Ok(seen < keep)
        })?;
        let Some(oldest_kept) = oldest_kept.filter(|_| seen == keep) else { return Ok(false) };
        let mut stale = Vec::new();
        self.scan(&[keys::CAPTURE], &oldest_kept, false, &mut |key, _| {
            stale.push(key.to_vec());
            Ok(stale.len() < TRIM_LEN_MAX)
        })?;
        for key in &stale {
            self.remove(key)?;
        }
        Ok(stale.len() == TRIM_LEN_MAX)
    }

    /// Removes what was kept for one person.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_captures(&mut self, user: &str) -> Result<(), StoreError> {
        let mut theirs = Vec::new();
        self.scan(&[keys::CAPTURE], &[keys::CAPTURE + 1], false, &mut |key, value| {
            if self.open_value::<CaptureV1>(key, value)?.user_id == user {
                theirs.push(key.to_vec());
            }
            Ok(true)
        })?;
        theirs.iter().try_for_each(|key| self.remove(key))
    }
}
