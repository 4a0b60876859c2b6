//! Sending a notification again, because somebody asks for it.

use uuid::Uuid;

use super::Engine;
use super::deliver::event;
use super::endpoints::announce;
use super::report::Standing;
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::store::outbox::{Due, Lane};
use crate::store::{StoreError, Txn};

/// What asking again came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// It is due on these channels.
    Queued(Vec<Channel>),
    /// It is on its way already on this one.
    UnderWay(Channel),
    /// There is nothing to send again: no channel was named and none has failed.
    Nothing,
    /// There is no such notification.
    Unknown,
}

impl Engine {
    /// Sends the notification of that key again on `channels`, or where none is named on those that failed. What the
    /// person wants counts as always when it is due.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn resend(&self, key: Uuid, channels: Option<Vec<Channel>>) -> Result<Resent, StoreError> {
        let engine = self.clone();
        self.shared.store.commit(move |txn| engine.resend_in(txn, key, channels)).await
    }

    fn resend_in(
        &self,
        txn: &mut Txn<'_>,
        key: Uuid,
        channels: Option<Vec<Channel>>,
    ) -> Result<Resent, StoreError> {
        let Some(accepted) = txn.notification(key)? else { return Ok(Resent::Unknown) };
        let events = txn.events(key)?;
        let channels = channels.unwrap_or_else(|| {
            let standing = Standing::of(&accepted, &events);
            let failed = standing.channels.iter().filter(|channel| channel.status == Status::Failed);
            failed.map(|channel| channel.channel).collect()
        });
        let waiting = txn.due_of(&accepted)?;
        if let Some(channel) =
            waiting.iter().filter_map(|due| due.lane.channel()).find(|c| channels.contains(c))
        {
            return Ok(Resent::UnderWay(channel));
        }
        if channels.is_empty() {
            return Ok(Resent::Nothing);
        }
        let now = self.now();
        for channel in &channels {
            let asked =
                events.iter().filter(|event| event.channel == *channel && event.status == Status::Pending);
            let resends = u8::try_from(asked.count() + 1).unwrap_or(u8::MAX);
            let due = Due::new(Lane::Channel(*channel), now, accepted.notification.priority, key);
            txn.put_due(&Due { resends, ..due });
            let mut pending = event(*channel, now, Status::Pending, None, Some("asked for again".to_owned()));
            pending.not_before = Some(now);
            announce::record(txn, &self.shared, key, &pending)?;
        }
        let shared = self.shared.clone();
        txn.after(move || {
            shared.waiting.ring(key);
            shared.wake.notify_one();
        });
        Ok(Resent::Queued(channels))
    }
}
