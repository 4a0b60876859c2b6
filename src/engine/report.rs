//! Where a notification stands: its plan, followed by what happened since.

use uuid::Uuid;

use super::Engine;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::notification::{Accepted, Verdict};
use crate::store::StoreError;
use crate::store::attempts::Event;

pub use crate::clock::rfc3339 as instant;

/// Where one delivery stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStanding {
    /// The channel.
    pub channel: Channel,
    /// Where it stands.
    pub status: Status,
    /// Why.
    pub reason: Option<Reason>,
    /// Attempts made.
    pub attempts: u32,
    /// What the last attempt that failed was told.
    pub last_error: Option<String>,
    /// When it goes on, where that is known.
    pub not_before: Option<Millis>,
    /// When it was delivered or taken by the provider.
    pub delivered_at: Option<Millis>,
    /// When it was last attempted.
    pub last_attempt: Option<Millis>,
}

/// Where a notification stands on each channel that was considered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// One for each channel, in the order of the plan.
    pub channels: Vec<ChannelStanding>,
}

/// One line of a notification's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Millis,
    /// What: `accepted`, or the status that a delivery came to.
    pub event: &'static str,
    /// On which channel, where it concerns one.
    pub channel: Option<Channel>,
    /// Why.
    pub reason: Option<Reason>,
    /// The evidence or the provider's words.
    pub detail: Option<String>,
}

impl Standing {
    /// Folds `events` into the plan.
    pub fn of(accepted: &Accepted, events: &[Event]) -> Standing {
        let mut channels: Vec<ChannelStanding> = accepted
            .decisions
            .iter()
            .map(|decision| planned(decision.channel, &decision.verdict, accepted.accepted_at))
            .collect();
        for event in events {
            let place = channels.iter().position(|standing| standing.channel == event.channel);
            // A channel that was not considered at first may have been asked for since.
            let place = place.unwrap_or_else(|| {
                channels.push(planned(event.channel, &Verdict::Send, accepted.accepted_at));
                channels.len() - 1
            });
            channels[place].advance(event);
        }
        Standing { channels }
    }

    /// Whether nothing is on its way: every channel is at its end or held until a known instant.
    pub fn is_settled(&self) -> bool {
        let settled = |status: Status| match status {
            Status::Pending | Status::Retrying => false,
            Status::Deferred
            | Status::Batched
            | Status::Sent
            | Status::Delivered
            | Status::Failed
            | Status::Skipped
            | Status::Canceled
            | Status::Expired => true,
        };
        self.channels.iter().all(|standing| settled(standing.status))
    }

    /// One status for all of it.
    pub fn overall(&self) -> Status {
        Standing::together(self.channels.iter().map(|standing| standing.status))
    }

    /// One status for several: what is still under way first, then the best that was reached, then why nothing was.
    pub(super) fn together(each: impl Iterator<Item = Status> + Clone) -> Status {
        const ORDER: [Status; 10] = [
            Status::Retrying,
            Status::Pending,
            Status::Batched,
            Status::Deferred,
            Status::Delivered,
            Status::Sent,
            Status::Failed,
            Status::Canceled,
            Status::Expired,
            Status::Skipped,
        ];
        ORDER.into_iter().find(|status| each.clone().any(|other| other == *status)).unwrap_or(Status::Skipped)
    }
}

impl ChannelStanding {
    fn advance(&mut self, event: &Event) {
        // What is told of it on its way changes nothing.
        let stays = self.status == Status::Sent && event.status == Status::Sent && !event.attempt;
        self.status = event.status;
        self.reason = event.reason;
        self.not_before = event.not_before;
        if event.attempt {
            self.attempts += 1;
            self.last_attempt = Some(event.at);
        }
        match event.status {
            Status::Sent if stays => {}
            Status::Sent | Status::Delivered => self.delivered_at = Some(event.at),
            Status::Failed | Status::Retrying => self.last_error.clone_from(&event.detail),
            Status::Pending
            | Status::Deferred
            | Status::Batched
            | Status::Skipped
            | Status::Canceled
            | Status::Expired => {}
        }
    }
}

fn planned(channel: Channel, verdict: &Verdict, accepted_at: Millis) -> ChannelStanding {
    let blank = ChannelStanding {
        channel,
        status: Status::Pending,
        reason: None,
        attempts: 0,
        last_error: None,
        not_before: None,
        delivered_at: None,
        last_attempt: None,
    };
    match (verdict, channel) {
        (Verdict::Send, Channel::InApp) => ChannelStanding {
            status: Status::Delivered,
            attempts: 1,
            delivered_at: Some(accepted_at),
            last_attempt: Some(accepted_at),
            ..blank
        },
        (Verdict::Send, _) => blank,
        (Verdict::Deferred { until, reason, .. }, _) => ChannelStanding {
            status: waiting_for(*reason),
            reason: Some(*reason),
            not_before: Some(*until),
            ..blank
        },
        (Verdict::Skipped { reason, .. }, _) => {
            ChannelStanding { status: Status::Skipped, reason: Some(*reason), ..blank }
        }
    }
}

/// What a delivery is called that waits for that reason.
pub(super) fn waiting_for(reason: Reason) -> Status {
    if reason == Reason::Batched { Status::Batched } else { Status::Deferred }
}

/// The story of a notification, in order.
pub fn timeline(accepted: &Accepted, events: &[Event]) -> Vec<Moment> {
    let at = accepted.accepted_at;
    let mut moments = vec![Moment { at, event: "accepted", channel: None, reason: None, detail: None }];
    for decision in &accepted.decisions {
        let (event, reason, detail) = match (&decision.verdict, decision.channel) {
            (Verdict::Send, Channel::InApp) => {
                (Status::Delivered, None, Some("stored in the inbox".to_owned()))
            }
            (Verdict::Send, _) => (Status::Pending, None, None),
            (Verdict::Deferred { until, reason, because }, _) => {
                (waiting_for(*reason), Some(*reason), Some(evidence(because, *until)))
            }
            (Verdict::Skipped { reason, because }, _) => {
                (Status::Skipped, Some(*reason), because.clone().or_else(|| by_default(*reason)))
            }
        };
        moments.push(Moment { at, event: event.name(), channel: Some(decision.channel), reason, detail });
    }
    moments.extend(events.iter().map(|event| Moment {
        at: event.at,
        event: event.status.name(),
        channel: Some(event.channel),
        reason: event.reason,
        detail: match (&event.detail, event.not_before) {
            (Some(detail), Some(next)) => Some(evidence(detail, next)),
            (None, Some(next)) => Some(format!("until {}", instant(next))),
            (detail, None) => detail.clone(),
        },
    }));
    moments
}

/// What a decision to wait rests on: `22:00–08:00 Europe/Paris, until 2026-10-25T07:00:00Z`.
pub fn evidence(because: &str, until: Millis) -> String {
    let until = jiff::Timestamp::from_millisecond(until).map_or_else(|_| instant(until), |at| at.to_string());
    format!("{because}, until {until}")
}

/// What holds for everybody is not written down with each notification.
pub fn by_default(reason: Reason) -> Option<String> {
    let off = matches!(reason, Reason::PreferenceChannelOff | Reason::PreferenceCategoryOff);
    off.then(|| "off by the system default".to_owned())
}

impl Engine {
    /// Where the notification of that key stands, if there is one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn standing(&self, key: Uuid) -> Result<Option<Standing>, StoreError> {
        let Some(accepted) = self.shared.store.notification_by_key(key).await? else { return Ok(None) };
        let events = self.shared.store.events(key).await?;
        Ok(Some(Standing::of(&accepted, &events)))
    }
}
