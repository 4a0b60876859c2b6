//! What a person wants: which channels, which categories, and when not to be disturbed.

use std::collections::BTreeMap;

use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::quiet_hours::QuietHours;

/// A person's wishes. [`Preferences::default`] is what holds for a person nobody has heard from.
#[derive(Clone, Debug, PartialEq)]
pub struct Preferences {
    /// Which channels are on, in the order of [`Channel::PREFERRED`].
    pub channels: BTreeMap<Channel, bool>,
    /// Which categories are on. A category that is not named is on.
    pub categories: BTreeMap<String, Choice>,
    /// When not to be disturbed.
    pub quiet_hours: QuietHours,
    /// When this was last changed; `None` for defaults.
    pub updated_at: Option<Millis>,
}

/// What a person wants of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// On or off, on every channel.
    Everywhere(bool),
    /// On or off for the channels named; on for the others.
    PerChannel(BTreeMap<Channel, bool>),
}

/// The most categories that one person can have wishes about.
pub const CATEGORIES_MAX: usize = 200;

impl Default for Preferences {
    fn default() -> Preferences {
        let on = |channel| matches!(channel, Channel::InApp | Channel::Email);
        let categories = [("marketing", false), ("security", true), ("system", true), ("workflow", true)];
        Preferences {
            channels: Channel::PREFERRED.into_iter().map(|channel| (channel, on(channel))).collect(),
            categories: categories
                .into_iter()
                .map(|(name, on)| (name.to_owned(), Choice::Everywhere(on)))
                .collect(),
            quiet_hours: QuietHours::default(),
            updated_at: None,
        }
    }
}

impl Preferences {
    /// Whether the person wants `channel` at all. A channel that there is no preference for is wanted.
    pub fn wants_channel(&self, channel: Channel) -> bool {
        self.channels.get(&channel).copied().unwrap_or(true)
    }

    /// Whether the person wants `category` on `channel`.
    pub fn wants_category(&self, category: &str, channel: Channel) -> bool {
        match self.categories.get(category) {
            None => true,
            Some(Choice::Everywhere(on)) => *on,
            Some(Choice::PerChannel(channels)) => channels.get(&channel).copied().unwrap_or(true),
        }
    }
}
