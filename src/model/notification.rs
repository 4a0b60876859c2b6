//! One message to one person, as the sender meant it.

use uuid::Uuid;

use crate::clock::Millis;
use crate::model::channel::Channel;

/// How much it matters, in rising order. `critical` overrides quiet hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Can wait.
    Low,
    /// The usual.
    #[default]
    Medium,
    /// Soon.
    High,
    /// Now, whatever the hour.
    Critical,
}

impl Priority {
    /// Every priority, in rising order.
    pub const ALL: [Priority; 4] = [Priority::Low, Priority::Medium, Priority::High, Priority::Critical];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Medium => "medium",
            Priority::High => "high",
            Priority::Critical => "critical",
        }
    }

    /// The priority of that name.
    pub fn from_name(name: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| priority.name() == name)
    }
}

/// A button under the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What the button says.
    pub label: String,
    /// Where it leads: `http`, `https`, `mailto` or a path on the same site.
    pub url: String,
}

/// A notification that has been checked at the door: every bound below holds. The default holds nothing, for what is
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The sender's own name for it, where one was given.
    pub given_id: Option<String>,
    /// The person.
    pub user_id: String,
    /// What kind of thing happened: an open set in snake_case.
    pub kind: String,
    /// One line, at most [`TITLE_CHARS_MAX`].
    pub title: String,
    /// The text, at most [`MESSAGE_BYTES_MAX`].
    pub message: String,
    /// How much it matters.
    pub priority: Priority,
    /// What it is about: an open set in snake_case, which people turn on and off.
    pub category: String,
    /// When it happened, by the sender; when it was accepted, where the sender does not say.
    pub timestamp: Option<Millis>,
    /// A button.
    pub action: Option<Action>,
    /// The sender's own data, as JSON text of an object; at most [`METADATA_BYTES_MAX`].
    pub metadata: Option<String>,
    /// The channels to consider; `None` leaves it to the person's preferences.
    pub channels: Option<Vec<Channel>>,
    /// Not before.
    pub send_at: Option<Millis>,
    /// Not after.
    pub expires_at: Option<Millis>,
    /// A second notification to the person with this key within a day is a duplicate.
    pub dedupe_key: Option<String>,
    /// A newer notification to the person with this key takes the place of an older one that has not left yet.
    pub collapse_key: Option<String>,
    /// What gathers in one digest, within its category.
    pub digest_key: Option<String>,
    /// The template that it was made from.
    pub template: Option<TemplateUse>,
    /// The stored content that it shares with others, where it was sent to many at once.
    pub content: Option<Uuid>,
    /// The batch or the send to many that it belongs to.
    pub batch: Option<Uuid>,
    /// The workflow that it is about.
    pub workflow_id: Option<String>,
}

/// A template as a notification used it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateUse {
    /// Its name.
    pub name: String,
    /// Its version; 0 for one that is built in.
    pub version: u32,
    /// What it was rendered with, as JSON text of an object.
    pub variables: String,
    /// The locale that it was rendered for, where one was known.
    pub locale: Option<String>,
}

/// The most characters in a dedupe, collapse or digest key.
pub const KEY_CHARS_MAX: usize = 256;
/// The most characters in a title.
pub const TITLE_CHARS_MAX: usize = 256;
/// The most bytes in a message.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// The most bytes in the metadata's JSON text.
pub const METADATA_BYTES_MAX: usize = 32 * 1024;
/// The most characters in an action's label.
pub const LABEL_CHARS_MAX: usize = 80;
/// The most bytes in an action's URL.
pub const URL_BYTES_MAX: usize = 2_048;

/// A notification that has been accepted: what was sent, what was decided, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Our key for it; its id too, unless the sender gave one.
    pub key: Uuid,
    /// What the sender sent.
    pub notification: Notification,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// Its place in the person's inbox.
    pub offset: u64,
    /// What was decided for each channel.
    pub decisions: Vec<Decision>,
    /// Whether quiet hours held and its priority went over them.
    pub quiet_hours_overridden: bool,
}

impl Accepted {
    /// The id that the outside knows it by.
    pub fn id(&self) -> String {
        self.notification.given_id.clone().unwrap_or_else(|| self.key.to_string())
    }

    /// When it happened.
    pub fn timestamp(&self) -> Millis {
        self.notification.timestamp.unwrap_or(self.accepted_at)
    }

    /// What was decided for `channel`, if it was considered.
    pub fn decision(&self, channel: Channel) -> Option<&Decision> {
        self.decisions.iter().find(|decision| decision.channel == channel)
    }
}

/// What the plan says of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The channel.
    pub channel: Channel,
    /// What is to happen on it.
    pub verdict: Verdict,
}

/// Whether and when a notification goes out on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At once.
    Send,
    /// At `until`.
    Deferred {
        /// The first instant at which it may leave.
        until: Millis,
        /// What holds it.
        reason: crate::model::delivery::Reason,
        /// The evidence, in words: the window and the zone.
        because: String,
    },
    /// Never.
    Skipped {
        /// Why not.
        reason: crate::model::delivery::Reason,
        /// The evidence, in words, where there is more to say than the reason.
        because: Option<String>,
    },
}

/// A plain notification to anna, for tests to vary.
#[cfg(test)]
pub(crate) fn sample() -> Notification {
    Notification {
        user_id: "anna".into(),
        kind: "system_alert".into(),
        title: "Disk".into(),
        message: "full".into(),
        priority: Priority::Medium,
        category: "system".into(),
        ..Notification::default()
    }
}
