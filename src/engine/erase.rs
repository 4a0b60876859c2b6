//! Forgetting a person, and withdrawing a notification.

use std::sync::Arc;

use uuid::Uuid;

use super::endpoints::announce;
use super::{Engine, Shared};
use crate::clock::Millis;
use crate::model::delivery::{Reason, Status};
use crate::model::user::User;
use crate::store::attempts::Event;
use crate::store::outbox::Due;
use crate::store::{StoreError, Txn};

/// Notifications erased in one write.
const ERASED_LEN_MAX: usize = 200;

impl Engine {
    /// Removes everything that is stored of a person; answers whether there was anything.
    ///
    /// # Errors
    /// Where the store takes no writes. What was removed by then stays removed; ask again.
    pub async fn erase_user(&self, user: &str) -> Result<bool, StoreError> {
        let mut erased = self.erase_endpoints_of(user).await?;
        // A send that is under way would bring them back.
        erased |= self.erase_from_sends(user).await?;
        loop {
            let id = user.to_owned();
            let (any, more) = self
                .shared
                .store
                .commit(move |txn| {
                    let erased = txn.erase_lines(&id, ERASED_LEN_MAX)?;
                    if erased == ERASED_LEN_MAX {
                        return Ok((true, true));
                    }
                    let left = txn.erase_memberships(&id, ERASED_LEN_MAX)?.len();
                    if left == ERASED_LEN_MAX {
                        return Ok((true, true));
                    }
                    if txn.erase_participations(&id)? {
                        return Ok((true, true));
                    }
                    let known = txn.user(&id)?.is_some() || left > 0;
                    txn.erase_groups(&id)?;
                    txn.erase_recent(&id)?;
                    txn.erase_captures(&id)?;
                    txn.erase_history(&id)?;
                    txn.remove_push_subscriptions(&id, |_| true)?;
                    for (channel, address) in txn.user(&id)?.iter().flat_map(User::addresses) {
                        txn.unsuppress(channel, &address)?;
                    }
                    txn.remove_user(&id)?;
                    Ok::<_, StoreError>((known || erased > 0, false))
                })
                .await?;
            erased |= any;
            if !more {
                return Ok(erased);
            }
        }
    }

    async fn erase_from_sends(&self, user: &str) -> Result<bool, StoreError> {
        let (mut any, mut after) = (false, None::<Vec<u8>>);
        loop {
            let user = user.to_owned();
            let step = move |txn: &mut Txn<'_>| txn.erase_from_sends(&user, after.as_deref());
            let (found, next) = self.shared.store.commit(step).await?;
            any |= found;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(any),
            }
        }
    }

    /// Withdraws what has not left yet of a notification; answers on how many channels.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn cancel(&self, key: Uuid) -> Result<usize, StoreError> {
        let engine = self.clone();
        self.shared.store.commit(move |txn| engine.cancel_in(txn, key)).await
    }

    /// The same within a write.
    pub(super) fn cancel_in(&self, txn: &mut Txn<'_>, key: Uuid) -> Result<usize, StoreError> {
        let (shared, now) = (self.shared.clone(), self.now());
        let Some(accepted) = txn.notification(key)? else { return Ok(0) };
        let due = txn.due_of(&accepted)?;
        let canceled = due.len();
        withdraw(&shared, txn, key, due, (Status::Canceled, Reason::Canceled, None), now)?;
        Ok(canceled)
    }
}

/// Takes deliveries that have not left yet out of the due index, and says why.
pub(super) fn withdraw(
    shared: &Arc<Shared>,
    txn: &mut Txn<'_>,
    key: Uuid,
    due: Vec<Due>,
    (status, reason, detail): (Status, Reason, Option<String>),
    now: Millis,
) -> Result<(), StoreError> {
    for line in &due {
        let Some(channel) = line.lane.channel() else { continue };
        txn.remove_due(line);
        let event = Event {
            at: now,
            channel,
            status,
            reason: Some(reason),
            detail: detail.clone(),
            attempt: false,
            not_before: None,
        };
        announce::record(txn, shared, key, &event)?;
    }
    let shared = shared.clone();
    txn.after(move || {
        for channel in due.iter().filter_map(|line| line.lane.channel()) {
            shared.metrics.delivery(channel, status, Some(reason));
        }
        shared.waiting.ring(key);
    });
    Ok(())
}
