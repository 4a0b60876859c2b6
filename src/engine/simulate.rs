//! What would happen: the same plan at any instant, weighed against what the person was sent lately, and what each
//! channel would send. It is decided in a write that is only imagined: nothing is stored.

use uuid::Uuid;

use super::Engine;
use super::endpoints::own;
use super::history::{superseded_by, weigh};
use super::hold::{held_until, hold};
use super::plan::{address, plan};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::delivery::Reason;
use crate::model::ids::new_id;
use crate::model::message::Message;
use crate::model::notification::{Accepted, Decision, Notification, Verdict};
use crate::model::preferences::decide;
use crate::model::user::User;
use crate::store::holds::GroupId;
use crate::store::outbox::Due;
use crate::store::recent::Word;
use crate::store::{StoreError, Txn};

/// What would happen to a notification.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// The notification with what would be decided for it, as it would be accepted.
    pub accepted: Accepted,
    /// For each decision, what turned the channel on or off for the category.
    pub decided: Vec<String>,
    /// The earlier notification whose place it would take, and on which channels that has not left by then.
    pub supersedes: Option<(String, Vec<Channel>)>,
    /// What each channel would send that would send something, or why it could not be rendered.
    pub messages: Vec<(Channel, Result<Message, String>)>,
}

impl Engine {
    /// What would happen to `notification` if it came in at `at`, by what is stored now: its person's wishes, what they
    /// were sent lately, what gathers for them. Somebody whom nobody has heard of is planned for as they would be then:
    /// with what holds for everybody.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn simulate(&self, notification: Notification, at: Millis) -> Result<Simulated, StoreError> {
        let (shared, rules, now) = (self.shared.clone(), self.shared.rules.load_full(), self.now());
        let modes = rules.modes;
        let imagined = self.shared.store.imagine(move |txn| {
            let user = txn.user(&notification.user_id)?;
            let user = own::known(&shared, user.unwrap_or_else(|| User::named(&notification.user_id)));
            let category = txn.category(&notification.category)?;
            let mut plan = plan(&notification, &user, category.as_ref(), &modes, at);
            let (key, mut supersedes) = (new_id(at), None);
            forget_later(txn, &notification, at)?;
            if weigh(txn, &notification, key, category.as_ref(), &mut plan.decisions, at)? {
                supersedes = superseded_by(txn, &notification)?
                    .map(|(earlier, due)| still_waits(&earlier, due, at, now));
            }
            for Decision { channel, verdict } in &mut plan.decisions {
                if let Verdict::Deferred { until, reason, .. } = verdict {
                    let when = (*until, *reason);
                    let leaves_at = gathers_until(txn, (&notification, key), &user, *channel, when, at)?;
                    *verdict = held_until(verdict.clone(), leaves_at);
                }
            }
            let accepted = Accepted {
                key,
                notification,
                accepted_at: at,
                offset: 0,
                decisions: plan.decisions,
                quiet_hours_overridden: plan.quiet_hours_overridden,
            };
            Ok((accepted, user, category, supersedes))
        });
        let (accepted, user, category, supersedes) = imagined.await?;
        let because = |channel| {
            let name = &accepted.notification.category;
            decide(user.preferences.as_ref(), category.as_ref(), name, channel).because(name, channel)
        };
        let decided = accepted.decisions.iter().map(|decision| because(decision.channel)).collect();
        let mut messages = Vec::new();
        for Decision { channel, verdict } in &accepted.decisions {
            if *channel == Channel::InApp || matches!(verdict, Verdict::Skipped { .. }) {
                continue;
            }
            let to = address(&user, *channel, rules.modes.of(*channel)).unwrap_or_default();
            messages.push((
                *channel,
                self.message(&accepted, (&user, category.as_ref()), *channel, to, &rules).await?,
            ));
        }
        let supersedes = supersedes.filter(|(_, channels)| !channels.is_empty());
        Ok(Simulated { accepted, decided, supersedes, messages })
    }
}

/// Lets an imagined write forget what came in after `at`. What there was before it in its place is not known any more.
fn forget_later(txn: &mut Txn<'_>, notification: &Notification, at: Millis) -> Result<(), StoreError> {
    let words = [
        notification.dedupe_key.as_deref().map(Word::Dedupe),
        notification.collapse_key.as_deref().map(Word::Collapse),
    ];
    for word in words.into_iter().flatten() {
        if let Some((latest, _)) =
            txn.latest(&notification.user_id, word)?.filter(|(_, came_in_at)| *came_in_at > at)
        {
            txn.forget_latest(&notification.user_id, word, latest)?;
        }
    }
    Ok(())
}

/// An earlier notification, and on which channels it has not left at `at`: what is due by then will have.
fn still_waits(earlier: &Accepted, due: Vec<Due>, at: Millis, now: Millis) -> (String, Vec<Channel>) {
    let waits = |line: &Due| at <= now || line.at > at;
    (earlier.id(), due.iter().filter(|line| waits(line)).filter_map(|line| line.lane.channel()).collect())
}

/// When what waits would leave, with others who gather already at `at`.
fn gathers_until(
    txn: &mut Txn<'_>,
    (notification, key): (&Notification, Uuid),
    user: &User,
    channel: Channel,
    (until, reason): (Millis, Reason),
    at: Millis,
) -> Result<Millis, StoreError> {
    let id = GroupId::digest(&notification.category, notification.digest_key.as_deref());
    let others = txn.group(&user.id, channel, id)?;
    if others.is_some_and(|group| group.at <= at || group.opened_at > at) {
        txn.end_group(&user.id, channel, id)?;
    }
    hold(txn, (notification, key), user, channel, (until, reason), at)
}
