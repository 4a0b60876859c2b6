//! What would happen: the same plan at any instant, and what each channel would send. Nothing is written.

use uuid::Uuid;

use super::Engine;
use super::endpoints::own;
use super::plan::{address, plan};
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::message::Message;
use crate::model::notification::{Accepted, Decision, Notification, Verdict};
use crate::model::preferences::decide;
use crate::model::user::User;
use crate::store::StoreError;

/// What would happen to a notification.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// The notification with what would be decided for it, as it would be accepted.
    pub accepted: Accepted,
    /// For each decision, what turned the channel on or off for the category.
    pub decided: Vec<String>,
    /// What each channel would send that would send something, or why it could not be rendered.
    pub messages: Vec<(Channel, Result<Message, String>)>,
}

impl Engine {
    /// What would happen to `notification` if it came in at `at`. Somebody whom nobody has heard of is planned for as
    /// they would be then: with what holds for everybody.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn simulate(&self, notification: Notification, at: Millis) -> Result<Simulated, StoreError> {
        let (store, rules) = (&self.shared.store, self.shared.rules.load_full());
        let user = store.user(&notification.user_id).await?;
        let user = user.unwrap_or_else(|| User { id: notification.user_id.clone(), ..User::default() });
        let user = own::known(&self.shared, user);
        let category = store.category(&notification.category).await?;
        let plan = plan(&notification, &user, category.as_ref(), &rules.modes, at);
        let because = |channel| {
            let name = &notification.category;
            decide(user.preferences.as_ref(), category.as_ref(), name, channel).because(name, channel)
        };
        let decided = plan.decisions.iter().map(|decision| because(decision.channel)).collect();
        let accepted = Accepted {
            key: Uuid::nil(),
            notification,
            accepted_at: at,
            offset: 0,
            decisions: plan.decisions,
            quiet_hours_overridden: plan.quiet_hours_overridden,
        };
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
        Ok(Simulated { accepted, decided, messages })
    }
}
