//! The one way in: a notification is recognised, planned and made durable in one commit, and only then answered.

use uuid::Uuid;

use super::endpoints::{announce, own};
use super::history::{supersede, weigh};
use super::hold::{held_until, hold};
use super::plan::plan;
use super::report::waiting_for;
use super::{Engine, Shared, tally};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::model::ids::new_id;
use crate::model::notification::{Accepted, Decision, Notification, Verdict};
use crate::model::user::User;
use crate::store::idempotency::{Kept, Slot};
use crate::store::outbox::{Due, Lane};
use crate::store::{StoreError, Txn};

use std::sync::Arc;

/// A notification at the door.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What was sent, checked.
    pub notification: Notification,
    /// A hash over what was sent, by which a repeated id is told from a misused one.
    pub content: [u8; 16],
}

/// Why a submission is not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcceptError {
    /// Its id belongs to another notification.
    #[error("a notification with the id {id:?} exists and has other content")]
    Conflict {
        /// The id.
        id: String,
    },
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of one submission.
#[derive(Clone, Debug)]
pub enum Taken {
    /// It is new.
    New(Arc<Accepted>),
    /// It is a repeat of one that was accepted before; nothing is sent twice.
    Repeat(Arc<Accepted>),
}

impl Taken {
    /// The notification, as it was first accepted.
    pub fn accepted(&self) -> &Accepted {
        match self {
            Taken::New(accepted) | Taken::Repeat(accepted) => accepted,
        }
    }
}

/// An answer to keep in the same commit, for the request's idempotency key.
pub struct Keep {
    /// What the request is recognised by.
    pub slot: Slot,
    /// Makes the answer from what was taken.
    pub answer: Box<dyn FnOnce(&[Result<Taken, AcceptError>]) -> Kept + Send>,
}

impl Engine {
    /// Accepts `submissions`, each for itself, in one commit. What is answered is on disk.
    ///
    /// # Errors
    /// Where the store takes no writes; then none of them is accepted.
    pub async fn accept(
        &self,
        submissions: Vec<Submission>,
        keep: Option<Keep>,
    ) -> Result<Vec<Result<Taken, AcceptError>>, StoreError> {
        let now = self.now();
        let shared = self.shared.clone();
        self.shared
            .store
            .commit(move |txn| {
                let mut taken = Vec::with_capacity(submissions.len());
                for submission in submissions {
                    match accept_one(&shared, txn, submission, now) {
                        Err(AcceptError::Store(error)) => return Err(error),
                        result => taken.push(result),
                    }
                }
                if let Some(keep) = keep {
                    let kept = (keep.answer)(&taken);
                    txn.keep_answer(&keep.slot, now, &kept)?;
                }
                Ok(taken)
            })
            .await
    }
}

pub(super) fn accept_one(
    shared: &Arc<Shared>,
    txn: &mut Txn<'_>,
    submission: Submission,
    now: Millis,
) -> Result<Taken, AcceptError> {
    if let Some(id) = &submission.notification.given_id
        && let Some(earlier) = recognise(txn, id, submission.content)?
    {
        return Ok(Taken::Repeat(Arc::new(earlier)));
    }
    let notification = submission.notification;
    let user = match txn.user(&notification.user_id)? {
        Some(user) => user,
        None => {
            let user = User {
                id: notification.user_id.clone(),
                created_at: now,
                updated_at: now,
                ..User::default()
            };
            txn.put_user(&user)?;
            user
        }
    };
    let user = own::known(shared, user);
    let category = txn.category(&notification.category)?;
    let mut plan = plan(&notification, &user, category.as_ref(), &shared.rules.load().modes, now);
    let key = new_id(now);
    if weigh(txn, &notification, key, category.as_ref(), &mut plan.decisions, now)? {
        supersede(shared, txn, &notification, key, now)?;
    }
    let wakes = queue(shared, txn, (&notification, key), &user, &mut plan.decisions, now)?;
    let listed = plan.decisions.iter().any(|d| d.channel == Channel::InApp && d.verdict == Verdict::Send);
    let head = txn.push_line(&notification.user_id, key, listed)?;
    let accepted = Arc::new(Accepted {
        key,
        notification,
        accepted_at: now,
        offset: head.offset,
        decisions: plan.decisions,
        quiet_hours_overridden: plan.quiet_hours_overridden,
    });
    txn.put_notification(&accepted, submission.content);
    tally::acceptance(txn, &accepted);
    announce::acceptance(txn, shared, &accepted)?;
    let (shared, told) = (shared.clone(), accepted.clone());
    txn.after(move || {
        shared.metrics.accepted();
        for decision in &told.decisions {
            let (status, reason) = match (&decision.verdict, decision.channel) {
                (Verdict::Send, Channel::InApp) => (Status::Delivered, None),
                (Verdict::Send, _) => continue,
                (Verdict::Deferred { reason, .. }, _) => (waiting_for(*reason), Some(*reason)),
                (Verdict::Skipped { reason, .. }, _) => (Status::Skipped, Some(*reason)),
            };
            shared.metrics.delivery(decision.channel, status, reason);
        }
        if listed {
            shared.watcher.arrived(&told, head.counts);
        }
        if wakes {
            shared.wake.notify_one();
        }
    });
    Ok(Taken::New(accepted))
}

/// The notification that was accepted under `id` before, if it has the same content.
fn recognise(txn: &Txn<'_>, id: &str, content: [u8; 16]) -> Result<Option<Accepted>, AcceptError> {
    let conflict = || AcceptError::Conflict { id: id.to_owned() };
    match txn.given_id(id)? {
        Some((_, earlier)) if earlier != content => Err(conflict()),
        Some((key, _)) => Ok(txn.notification(key)?),
        // An id of the form that we make ourselves may already be somebody's.
        None => match Uuid::parse_str(id) {
            Ok(key) if txn.notification(key)?.is_some() => Err(conflict()),
            Ok(_) | Err(_) => Ok(None),
        },
    }
}

/// Writes down what of a new notification is to be delivered, and when; what goes into the inbox at once is delivered
/// already. Decisions get the instant at which what waits with others really leaves. Answers whether there is anything.
fn queue(
    shared: &Shared,
    txn: &mut Txn<'_>,
    (notification, key): (&Notification, Uuid),
    user: &User,
    decisions: &mut [Decision],
    now: Millis,
) -> Result<bool, StoreError> {
    let mut any = false;
    for Decision { channel, verdict } in decisions {
        match verdict {
            Verdict::Send if *channel == Channel::InApp => continue,
            Verdict::Skipped { .. } => continue,
            Verdict::Send => {
                let crowded = shared.crowd.joins(*channel, &user.id, now);
                let due = Due::new(Lane::Channel(*channel), now, notification.priority, key);
                txn.put_due(&Due { crowded, ..due });
            }
            Verdict::Deferred { until, reason, .. } => {
                let at = hold(txn, (notification, key), user, *channel, (*until, *reason), now)?;
                *verdict = held_until(verdict.clone(), at);
            }
        }
        any = true;
    }
    Ok(any)
}
