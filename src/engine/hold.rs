//! What waits together: into a group, and out of it when its time has come.
//!
//! A person's deliveries on one channel that wait for the same instant, or gather for the same digest, are a group with
//! one line in the due index. When it is due everything in it is planned again; what may leave then leaves as one
//! message if it is enough, else each by itself. A group becomes a message in one commit, before it is sent: a crash
//! repeats that message and makes no second one.

use uuid::Uuid;

use super::deliver::event;
use super::endpoints::announce;
use super::release::{Release, release};
use super::{Engine, Rules};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::digest::digest_close;
use crate::model::ids::new_id;
use crate::model::notification::{Accepted, Notification, Priority, Verdict};
use crate::model::preferences::digest_policy;
use crate::model::user::User;
use crate::store::attempts::Event;
use crate::store::holds::{Group, GroupId, MEMBERS_MAX, Member};
use crate::store::inbox::Marks;
use crate::store::outbox::{Due, Lane};
use crate::store::{Answer, StoreError, Txn};

/// So many that were only held leave one by one; more become one message.
const HELD_SINGLES_MAX: usize = 3;
/// The same for what gathered for a digest.
const GATHERED_SINGLES_MAX: usize = 1;

/// Puts a delivery that is not to leave before `until` where it waits: by itself for its sender's instant, otherwise with
/// others. Gives when it leaves, which for a digest that others have opened may be another instant.
pub(super) fn hold(
    txn: &mut Txn<'_>,
    (notification, key): (&Notification, Uuid),
    user: &User,
    channel: Channel,
    (until, reason): (Millis, Reason),
    now: Millis,
) -> Answer<Millis> {
    let id = match reason {
        Reason::QuietHours => GroupId::until(until),
        Reason::Batched => GroupId::digest(&notification.category, notification.digest_key.as_deref()),
        _ => {
            txn.put_due(&Due::new(Lane::Channel(channel), until, notification.priority, key));
            return Ok(until);
        }
    };
    let before = txn.group(&user.id, channel, id)?;
    let opened_at = before.as_ref().map_or(now, |group| group.opened_at);
    let at = match before {
        Some(_) if id.is_digest() => closes(txn, user, notification, now, opened_at)?.unwrap_or(now),
        Some(_) | None => until,
    };
    let group = match &before {
        Some(group) => Group { at, priority: group.priority.max(notification.priority), ..group.clone() },
        None => Group { at, opened_at, priority: notification.priority, key: new_id(now), attempts: 0 },
    };
    txn.put_group(&user.id, channel, id, before.as_ref(), &group);
    txn.join_group(&user.id, channel, key, id);
    Ok(at)
}

/// When a digest that gathers since `opened_at` closes, if `notification` gathers at all.
fn closes(
    txn: &Txn<'_>,
    user: &User,
    notification: &Notification,
    now: Millis,
    opened_at: Millis,
) -> Answer<Option<Millis>> {
    let category = txn.category(&notification.category)?;
    let policy = digest_policy(user.preferences.as_ref(), category.as_ref(), &notification.category);
    Ok(policy.map(|policy| digest_close(policy, user.home(), now, opened_at)))
}

/// When a group leaves, of which `accepted` is the first, by what the person wants now.
#[expect(clippy::too_many_arguments, reason = "each is a different thing that decides")]
fn leaves_at(
    txn: &Txn<'_>,
    user: &User,
    accepted: &Accepted,
    channel: Channel,
    id: GroupId,
    group: &Group,
    rules: &Rules,
    now: Millis,
) -> Answer<Millis> {
    if id.is_digest() {
        let closes = closes(txn, user, &accepted.notification, now, group.opened_at)?;
        return Ok(closes.unwrap_or(now).clamp(now, group.at));
    }
    let category = txn.category(&accepted.notification.category)?;
    let marks = Marks::default();
    Ok(match release(accepted, (user, category.as_ref()), marks, channel, rules, now) {
        Release::Wait { until, .. } if until == group.at => until,
        Release::Wait { .. } | Release::Send { .. } | Release::Skip { .. } => now,
    })
}

/// What becomes of those who waited.
#[derive(Default)]
struct Parted {
    leaving: Vec<(Uuid, Priority)>,
    events: Vec<(Uuid, Event)>,
}

impl Engine {
    /// Looks at whatever waits for a person anew, in the write that changes what they want or what their clocks show:
    /// what would leave at another instant now is planned again at once. `user` is the person as they are then.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn preferences_changed(&self, txn: &mut Txn<'_>, user: &User) -> Answer<()> {
        let (rules, now, mut sooner) = (self.shared.rules.load(), self.now(), false);
        for (channel, id, group) in txn.groups(&user.id)? {
            if id.is_sealed() || group.at <= now {
                continue;
            }
            let Some(first) = txn.members(&user.id, channel, id, 1)?.pop() else { continue };
            let Some(accepted) = txn.notification(first)? else { continue };
            let at = leaves_at(txn, user, &accepted, channel, id, &group, &rules, now)?;
            let moved = Group { at, ..group.clone() };
            txn.put_group(&user.id, channel, id, Some(&group), &moved);
            sooner |= at < group.at;
        }
        if sooner {
            let shared = self.shared.clone();
            txn.after(move || shared.wake.notify_one());
        }
        Ok(())
    }

    /// Takes a group apart whose time has come.
    pub(super) async fn release_group(
        &self,
        channel: Channel,
        due: &Due,
        user: &str,
        id: GroupId,
    ) -> Result<(), StoreError> {
        let (shared, rules, now) = (self.shared.clone(), self.shared.rules.load_full(), self.now());
        let (due, user) = (due.clone(), user.to_owned());
        self.shared
            .store
            .commit(move |txn| {
                if !txn.is_due(&due)? {
                    return Ok(());
                }
                let parted = part(txn, channel, &user, id, &rules, now)?;
                leave(txn, channel, &user, id, &parted.leaving, now)?;
                for (key, event) in &parted.events {
                    announce::record(txn, &shared, *key, event)?;
                }
                txn.after(move || {
                    for (key, event) in &parted.events {
                        shared.metrics.delivery(channel, event.status, event.reason);
                        shared.waiting.ring(*key);
                    }
                    shared.wake.notify_one();
                });
                Ok(())
            })
            .await
    }

    /// Lets a delivery that was due wait again.
    pub(super) async fn hold_one(
        &self,
        accepted: Accepted,
        channel: Channel,
        due: &Due,
        until: Millis,
        (reason, because): (Reason, String),
    ) -> Result<(), StoreError> {
        let (shared, due, now) = (self.shared.clone(), due.clone(), self.now());
        self.shared
            .store
            .commit(move |txn| {
                if !txn.is_due(&due)? {
                    return Ok(());
                }
                txn.remove_due(&due);
                let n = &accepted.notification;
                let user = txn.user(&n.user_id)?.unwrap_or_else(|| User::named(&n.user_id));
                let until = hold(txn, (n, due.key), &user, channel, (until, reason), now)?;
                let mut held = event(channel, now, Status::Deferred, Some(reason), Some(because));
                held.not_before = Some(until);
                announce::record(txn, &shared, due.key, &held)?;
                txn.after(move || {
                    shared.metrics.delivery(channel, Status::Deferred, Some(reason));
                    shared.waiting.ring(due.key);
                    shared.wake.notify_one();
                });
                Ok(())
            })
            .await
    }
}

/// Plans again what waits in a group, and takes it out. The group is gone then or, where it was too large for one
/// visit, still due.
fn part(
    txn: &mut Txn<'_>,
    channel: Channel,
    user: &str,
    id: GroupId,
    rules: &Rules,
    now: Millis,
) -> Answer<Parted> {
    let mut parted = Parted::default();
    let (person, members) = txn.waiting(user, channel, id)?;
    if members.len() < MEMBERS_MAX {
        txn.end_group(user, channel, id)?;
    }
    for Member { accepted, category, marks } in members {
        let key = accepted.key;
        txn.leave_group(user, channel, key);
        match release(&accepted, (&person, category.as_ref()), marks, channel, rules, now) {
            Release::Send { .. } => parted.leaving.push((key, accepted.notification.priority)),
            Release::Skip { status, reason, because } => {
                parted.events.push((key, event(channel, now, status, Some(reason), because)));
            }
            Release::Wait { until, reason, because } => {
                let n = &accepted.notification;
                let until = hold(txn, (n, key), &person, channel, (until, reason), now)?;
                let mut held = event(channel, now, Status::Deferred, Some(reason), Some(because));
                held.not_before = Some(until);
                parted.events.push((key, held));
            }
        }
    }
    Ok(parted)
}

/// Lets go: as one message, or each by itself.
fn leave(
    txn: &mut Txn<'_>,
    channel: Channel,
    user: &str,
    id: GroupId,
    leaving: &[(Uuid, Priority)],
    now: Millis,
) -> Result<(), StoreError> {
    let singles_max = if id.is_digest() { GATHERED_SINGLES_MAX } else { HELD_SINGLES_MAX };
    if leaving.len() > singles_max {
        let members: Vec<Uuid> = leaving.iter().map(|(key, _)| *key).collect();
        let priority = leaving.iter().map(|(_, priority)| *priority).max().unwrap_or_default();
        return txn.seal(user, channel, &members, priority, new_id(now), now);
    }
    for (key, priority) in leaving {
        txn.put_due(&Due::new(Lane::Channel(channel), now, *priority, *key));
    }
    Ok(())
}

/// The verdict of a delivery that waits, with the instant at which it really leaves.
pub(super) fn held_until(verdict: Verdict, at: Millis) -> Verdict {
    match verdict {
        Verdict::Deferred { reason, because, .. } => Verdict::Deferred { until: at, reason, because },
        Verdict::Send | Verdict::Skipped { .. } => verdict,
    }
}
