//! Reports of what became of a message after its provider took it, as events of its delivery.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::deliver::event;
use super::endpoints::announce;
use super::report::Standing;
use super::{Engine, Shared};
use crate::channel::sms::receipt::Report;
use crate::channel::sms::{BadReport, Parameters};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::store::attempts::Event;
use crate::store::outbox::Lane;
use crate::store::{StoreError, Txn};

/// How long a report waits for the attempt that it is about: fast providers report before our own write is done.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(5);

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Its token is none of ours.
    #[error("there is no such delivery")]
    Unknown,
    /// Its provider did not sign it.
    #[error("the signature is not the provider's")]
    Unsigned,
    /// The attempt that it is about has not ended.
    #[error("the attempt is still under way")]
    Busy,
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a report makes of a delivery that stands at `status`; nothing where that is its end already.
fn moved(status: Status, report: &Report) -> Option<Status> {
    match (status, report) {
        (Status::Sent | Status::Retrying, Report::Delivered) => Some(Status::Delivered),
        (Status::Sent, Report::Failed(_)) => Some(Status::Failed),
        _ => None,
    }
}

impl Engine {
    /// Takes a report that came to `token`. One that is late, or repeated, changes nothing.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub async fn take_receipt(
        &self,
        token: &str,
        parameters: &Parameters,
        signature: Option<&str>,
    ) -> Result<(), ReceiptError> {
        let ways = self.shared.ways.load_full();
        let sms = ways.sms.as_ref().ok_or(ReceiptError::Unknown)?;
        let (delivery, report) = sms.read(token, parameters, signature).map_err(|bad| match bad {
            BadReport::Unknown => ReceiptError::Unknown,
            BadReport::Unsigned => ReceiptError::Unsigned,
        })?;
        let Some(key) = delivery.split('.').next().and_then(|key| Uuid::parse_str(key).ok()) else {
            return Err(ReceiptError::Unknown);
        };
        if report == Report::Progress {
            return Ok(());
        }
        self.attempt_ends(Channel::Sms, key).await?;
        let (shared, now) = (self.shared.clone(), self.now());
        let place = (Channel::Sms, key);
        self.shared.store.commit(move |txn| record_all(txn, &shared, place, &report, now)).await?;
        Ok(())
    }

    /// Waits until no attempt of the delivery is under way.
    pub(super) async fn attempt_ends(&self, channel: Channel, key: Uuid) -> Result<(), ReceiptError> {
        let wait = self.shared.waiting.join(key);
        let deadline = tokio::time::Instant::now() + IN_FLIGHT_WAIT;
        loop {
            let changed = wait.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.shared.leases.holds(Lane::Channel(channel), key) {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(ReceiptError::Busy);
            }
        }
    }
}

/// Writes down what a report says: of one notification, or of each of those that left together in one message.
fn record_all(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    (channel, key): (Channel, Uuid),
    report: &Report,
    now: Millis,
) -> Result<(), StoreError> {
    let together = txn.digest(key)?;
    if together.is_empty() {
        return record(txn, shared, (channel, key), report, now);
    }
    together.into_iter().try_for_each(|member| record(txn, shared, (channel, member), report, now))?;
    // It has ended: a report that comes again is of nothing.
    txn.remove_digest(key)
}

/// Writes down what a report says, if the delivery is not at its end already.
pub(super) fn record(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    (channel, key): (Channel, Uuid),
    report: &Report,
    now: Millis,
) -> Result<(), StoreError> {
    let Some(accepted) = txn.notification(key)? else { return Ok(()) };
    let standing = Standing::of(&accepted, &txn.events(key)?);
    let status = standing.channels.iter().find(|standing| standing.channel == channel);
    let Some(to) = status.and_then(|standing| moved(standing.status, report)) else { return Ok(()) };
    // An attempt whose answer was lost is not to be repeated once it is known to have arrived.
    for due in txn.due_of(&accepted)?.into_iter().filter(|due| due.lane == Lane::Channel(channel)) {
        txn.remove_due(&due);
    }
    let (reason, detail) = match report {
        Report::Failed(words) => (Some(Reason::ProviderRejected), words.clone()),
        Report::Delivered | Report::Progress => (None, "reported by the provider".to_owned()),
    };
    move_to(txn, shared, key, event(channel, now, to, reason, Some(detail)))
}

/// Writes down what was heard of a delivery after its attempt.
pub(super) fn move_to(
    txn: &mut Txn<'_>,
    shared: &Arc<Shared>,
    key: Uuid,
    event: Event,
) -> Result<(), StoreError> {
    announce::record(txn, shared, key, &event)?;
    let shared = shared.clone();
    txn.after(move || {
        shared.metrics.delivery(event.channel, event.status, event.reason);
        shared.waiting.ring(key);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(reports: &[Report]) -> Status {
        reports.iter().fold(Status::Sent, |status, report| moved(status, report).unwrap_or(status))
    }

    proptest! {
        #[test]
        fn reports_in_any_order_and_number_end_right(
            mut reports in prop::collection::vec(Just(Report::Progress), 0..6),
            last in prop_oneof![Just(Report::Delivered), Just(Report::Failed("no".into()))],
            places in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        ) {
            for place in places {
                let at = place.index(reports.len() + 1);
                reports.insert(at, last.clone());
            }
            let expected = if last == Report::Delivered { Status::Delivered } else { Status::Failed };
            prop_assert_eq!(end(&reports), expected);
        }
    }

    #[test]
    fn what_is_at_its_end_stays_there() {
        for status in [Status::Delivered, Status::Failed, Status::Canceled, Status::Skipped, Status::Expired]
        {
            assert_eq!(moved(status, &Report::Delivered), None);
            assert_eq!(moved(status, &Report::Failed(String::new())), None);
        }
        assert_eq!(moved(Status::Retrying, &Report::Failed(String::new())), None);
    }
}
