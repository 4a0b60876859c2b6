//! Where a send to many stands: what became of it for the people whom it reached so far, put together.

use std::collections::BTreeMap;

use super::Engine;
use super::report::{ChannelStanding, Moment, Standing};
use crate::model::batch::{Batch, BatchState};
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::store::StoreError;

/// The most notifications that are looked at for one overview.
const LOOKED_AT_MAX: usize = 1_000;

/// Where the notifications of a send stand.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// How many of them were looked at: the first of them, where there are very many.
    pub looked_at: usize,
    /// Attempts beyond the first, of all of them.
    pub retries: u32,
    /// Each channel as one: what is still under way first, then the best that was reached.
    pub standing: Standing,
    /// How many stand where, for each of these channels.
    pub counts: Vec<BTreeMap<&'static str, u64>>,
}

impl Overview {
    fn of(all: &[Standing]) -> Overview {
        let mut overview = Overview { looked_at: all.len(), ..Overview::default() };
        for channel in Channel::ALL {
            let each: Vec<&ChannelStanding> =
                all.iter().flat_map(|one| &one.channels).filter(|one| one.channel == channel).collect();
            if each.is_empty() {
                continue;
            }
            overview.retries += each.iter().map(|one| one.attempts.saturating_sub(1)).sum::<u32>();
            let mut counts = BTreeMap::new();
            each.iter().for_each(|one| *counts.entry(one.status.name()).or_default() += 1);
            overview.counts.push(counts);
            overview.standing.channels.push(together(channel, &each));
        }
        overview
    }
}

/// One channel of many notifications as if they were one.
fn together(channel: Channel, each: &[&ChannelStanding]) -> ChannelStanding {
    let status = Standing::together(each.iter().map(|one| one.status));
    let mut such = each.iter().filter(|one| one.status == status);
    let reason = such.next().and_then(|one| one.reason);
    ChannelStanding {
        channel,
        status,
        reason: reason.filter(|_| such.all(|one| one.reason == reason)),
        attempts: each.iter().map(|one| one.attempts).sum(),
        last_error: each.iter().rev().find_map(|one| one.last_error.clone()),
        not_before: each.iter().filter_map(|one| one.not_before).min(),
        delivered_at: each.iter().filter_map(|one| one.delivered_at).min(),
        last_attempt: each.iter().filter_map(|one| one.last_attempt).max(),
    }
}

impl Engine {
    /// Where the notifications of a send stand.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn overview(&self, batch: &Batch) -> Result<Overview, StoreError> {
        let mut all = Vec::new();
        for part in 0..batch.parts {
            for key in self.store().batch_members(batch.id, part).await? {
                if all.len() == LOOKED_AT_MAX {
                    return Ok(Overview::of(&all));
                }
                all.extend(self.standing(key).await?.map(|standing| self.with_circuits(standing)));
            }
        }
        Ok(Overview::of(&all))
    }
}

/// One status for a send: pending as long as there are people whom it has not come to.
pub fn overall(batch: &Batch, overview: &Overview) -> Status {
    match batch.state {
        BatchState::Running => Status::Pending,
        BatchState::Canceled if overview.looked_at == 0 => Status::Canceled,
        BatchState::Completed | BatchState::Interrupted | BatchState::Canceled => overview.standing.overall(),
    }
}

/// The story of a send, as far as it is not that of each of its notifications.
pub fn story(batch: &Batch) -> Vec<Moment> {
    let moment = |at, event, detail| Moment { at, event, channel: None, reason: None, detail: Some(detail) };
    let told =
        format!("a send to many: each person's notification has its own story; see the batch {}", batch.id);
    let mut moments = vec![moment(batch.created_at, "accepted", told)];
    if let Some(at) = batch.finished_at {
        let came = format!("{} notifications accepted, {} refused", batch.successful, batch.failed);
        moments.push(moment(at, batch.state.name(), came));
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::Reason;

    fn one(channel: Channel, status: Status, reason: Option<Reason>, attempts: u32) -> Standing {
        let standing = ChannelStanding {
            channel,
            status,
            reason,
            attempts,
            last_error: None,
            not_before: None,
            delivered_at: None,
            last_attempt: None,
        };
        Standing { channels: vec![standing] }
    }

    #[test]
    fn what_is_under_way_for_anybody_comes_first_and_all_are_counted() {
        let all = [
            one(Channel::Email, Status::Sent, None, 1),
            one(Channel::Email, Status::Deferred, Some(Reason::QuietHours), 0),
            one(Channel::Email, Status::Retrying, None, 3),
            one(Channel::Sms, Status::Skipped, Some(Reason::NoAddress), 0),
            one(Channel::Sms, Status::Skipped, Some(Reason::NoAddress), 0),
        ];
        let overview = Overview::of(&all);
        assert_eq!((overview.looked_at, overview.retries), (5, 2));
        let [email, sms] = &overview.standing.channels[..] else { panic!("two channels") };
        assert_eq!((email.status, email.attempts), (Status::Retrying, 4));
        assert_eq!((sms.status, sms.reason), (Status::Skipped, Some(Reason::NoAddress)));
        let counts = BTreeMap::from([("deferred", 1), ("retrying", 1), ("sent", 1)]);
        assert_eq!(overview.counts[0], counts);
    }

    #[test]
    fn a_send_that_is_still_coming_to_people_is_pending() {
        let mut batch = Batch::new(uuid::Uuid::nil(), 0);
        let overview = Overview::of(&[one(Channel::InApp, Status::Delivered, None, 1)]);
        assert_eq!(overall(&batch, &overview), Status::Pending);
        batch.end(BatchState::Completed, 1);
        assert_eq!(overall(&batch, &overview), Status::Delivered);
        let events: Vec<&str> = story(&batch).iter().map(|moment| moment.event).collect();
        assert_eq!(events, ["accepted", "completed"]);
    }
}
