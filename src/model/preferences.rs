//! What a person wants: which channels, which categories, and when not to be disturbed.
//!
//! Wishes come in layers. What the person said counts before what the category's record says, and that before what
//! holds for everybody; [`decide`] is the one place that lays them over each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Millis;
use crate::model::category::Category;
use crate::model::channel::Channel;
use crate::model::delivery::Reason;
use crate::model::digest::Digest;
use crate::model::quiet_hours::QuietHours;

/// What a person said, and nothing that they did not. [`Preferences::default`] is what a person says whom nobody has
/// heard from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preferences {
    /// Which channels they turned on or off.
    pub channels: BTreeMap<Channel, bool>,
    /// Which categories they turned on or off.
    pub categories: BTreeMap<String, Choice>,
    /// When not to be disturbed.
    pub quiet_hours: QuietHours,
    /// How categories gather for them, by category or [`EVERY_CATEGORY`].
    pub digest: BTreeMap<String, Digest>,
    /// The categories that they left by a link in a message, each on the channel that it came by.
    pub unsubscribed: BTreeSet<(String, Channel)>,
    /// When this was last changed; `None` for defaults.
    pub updated_at: Option<Millis>,
}

/// What a person wants of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// On or off, on every channel.
    Everywhere(bool),
    /// On or off for the channels named; as if nothing was said for the others.
    PerChannel(BTreeMap<Channel, bool>),
}

/// The most categories that one person can have wishes about.
pub const CATEGORIES_MAX: usize = 200;
/// Stands for each category that nothing else is said of.
pub const EVERY_CATEGORY: &str = "*";

/// The categories that something holds of for everybody. Others are on.
pub const SYSTEM_CATEGORIES: [(&str, bool); 4] =
    [("marketing", false), ("security", true), ("system", true), ("workflow", true)];

/// Whether a channel is on for everybody who has said nothing. One that nobody has wishes about is.
pub const fn system_channel(channel: Channel) -> bool {
    match channel {
        Channel::InApp | Channel::Email | Channel::Webhook => true,
        Channel::BrowserPush | Channel::Sms => false,
    }
}

fn system_category(name: &str) -> bool {
    SYSTEM_CATEGORIES.iter().find(|(known, _)| *known == name).is_none_or(|(_, on)| *on)
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// What holds for everybody.
    System,
    /// The category's record.
    Category,
    /// The person.
    User,
}

impl Layer {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::System => "system",
            Layer::Category => "category",
            Layer::User => "user",
        }
    }
}

/// What in a layer decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The default of the channel, or of the category where that is off.
    SystemDefault,
    /// The channels in the category's record.
    CategoryChannels,
    /// The category is required, so an "off" of the person's does not count.
    Required,
    /// The person's switch of the channel.
    UserChannel,
    /// The person's switch of the category.
    UserCategory,
    /// The person's switch of the category on the channel.
    UserCell,
    /// A link in a message by which the person left.
    Unsubscribed,
}

/// What holds for one category on one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whether it goes out.
    pub on: bool,
    /// What decided.
    pub by: Setting,
    /// The reason where it does not.
    reason: Reason,
}

impl Decided {
    /// Who decided.
    pub const fn layer(self) -> Layer {
        match self.by {
            Setting::SystemDefault => Layer::System,
            Setting::CategoryChannels | Setting::Required => Layer::Category,
            Setting::UserChannel | Setting::UserCategory | Setting::UserCell | Setting::Unsubscribed => {
                Layer::User
            }
        }
    }

    /// Why nothing goes out, if nothing does.
    pub fn reason(self) -> Option<Reason> {
        (!self.on).then_some(self.reason)
    }

    /// The evidence in words.
    pub fn because(self, category: &str, channel: Channel) -> String {
        let state = if self.on { "on" } else { "off" };
        match (self.by, self.reason) {
            (Setting::SystemDefault, Reason::PreferenceCategoryOff) if !self.on => {
                format!("the system default has the category {category} off")
            }
            (Setting::SystemDefault, _) => format!("the system default has {channel} {state}"),
            (Setting::CategoryChannels, _) => format!("the category {category} has {channel} {state}"),
            (Setting::Required, _) => format!("the category {category} is required"),
            (Setting::UserChannel, _) => format!("the user turned {channel} {state}"),
            (Setting::UserCategory, _) => format!("the user turned the category {category} {state}"),
            (Setting::UserCell, _) => format!("the user turned the category {category} {state} on {channel}"),
            (Setting::Unsubscribed, _) => {
                format!("the user unsubscribed from the category {category} on {channel}")
            }
        }
    }
}

/// What holds for the category `name` on `channel`. An "off" of the person's counts before any "on"; an "on" counts
/// the more the more it says: for the category on the channel, then in the category's record, then for the channel.
pub fn decide(
    user: Option<&Preferences>,
    category: Option<&Category>,
    name: &str,
    channel: Channel,
) -> Decided {
    let on = |by| Decided { on: true, by, reason: Reason::PreferenceCategoryOff };
    let off = |by, reason| Decided { on: false, by, reason };
    let choice = user.and_then(|user| user.categories.get(name));
    let (everywhere, cell) = match choice {
        Some(Choice::Everywhere(on)) => (Some(*on), None),
        Some(Choice::PerChannel(channels)) => (None, channels.get(&channel).copied()),
        None => (None, None),
    };
    let switch = user.and_then(|user| user.channels.get(&channel)).copied();
    let left = user.is_some_and(|user| {
        !user.unsubscribed.is_empty() && user.unsubscribed.contains(&(name.to_owned(), channel))
    });
    let objection = if left {
        Some(off(Setting::Unsubscribed, Reason::Unsubscribed))
    } else if cell == Some(false) {
        Some(off(Setting::UserCell, Reason::PreferenceCategoryOff))
    } else if everywhere == Some(false) {
        Some(off(Setting::UserCategory, Reason::PreferenceCategoryOff))
    } else if switch == Some(false) {
        Some(off(Setting::UserChannel, Reason::PreferenceChannelOff))
    } else {
        None
    };
    let required = category.is_some_and(|category| category.required);
    if let Some(objection) = objection.filter(|_| !required) {
        return objection;
    }
    if cell == Some(true) {
        return on(Setting::UserCell);
    }
    match category.and_then(|category| category.channels.get(&channel)) {
        Some(true) if objection.is_some() => return on(Setting::Required),
        Some(true) => return on(Setting::CategoryChannels),
        Some(false) => return off(Setting::CategoryChannels, Reason::PreferenceCategoryOff),
        None => {}
    }
    if !required && everywhere.is_none() && !system_category(name) {
        return off(Setting::SystemDefault, Reason::PreferenceCategoryOff);
    }
    if switch == Some(true) {
        return on(Setting::UserChannel);
    }
    if !system_channel(channel) {
        return off(Setting::SystemDefault, Reason::PreferenceChannelOff);
    }
    on(match (objection.is_some(), everywhere) {
        (true, _) => Setting::Required,
        (false, Some(true)) => Setting::UserCategory,
        (false, Some(false) | None) => Setting::SystemDefault,
    })
}

/// How the category `name` gathers for a person: as they said of it, or of every category, or else as its record says.
/// `None` where each goes out by itself.
pub fn digest_policy<'a>(
    user: Option<&'a Preferences>,
    category: Option<&'a Category>,
    name: &str,
) -> Option<&'a Digest> {
    user.and_then(|user| user.digest.get(name).or_else(|| user.digest.get(EVERY_CATEGORY)))
        .or_else(|| category.and_then(|category| category.digest.as_ref()))
        .filter(|policy| **policy != Digest::Off)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<T>(change: impl FnOnce(&mut Preferences) -> T) -> Preferences {
        let mut preferences = Preferences::default();
        change(&mut preferences);
        preferences
    }

    fn everywhere(name: &str, on: bool) -> Preferences {
        said(|p| p.categories.insert(name.into(), Choice::Everywhere(on)))
    }

    fn cell(name: &str, channel: Channel, on: bool) -> Preferences {
        let choice = Choice::PerChannel(BTreeMap::from([(channel, on)]));
        said(|p| p.categories.insert(name.into(), choice))
    }

    fn category(channels: &[(Channel, bool)], required: bool) -> Category {
        Category {
            name: "billing".into(),
            channels: channels.iter().copied().collect(),
            required,
            ..Category::default()
        }
    }

    fn by(decided: Decided) -> (bool, Setting) {
        (decided.on, decided.by)
    }

    #[test]
    fn who_has_said_nothing_gets_what_holds_for_everybody() {
        let of = |name, channel| decide(None, None, name, channel);
        for (channel, on) in [
            (Channel::InApp, true),
            (Channel::Email, true),
            (Channel::BrowserPush, false),
            (Channel::Sms, false),
        ] {
            assert_eq!(by(of("billing", channel)), (on, Setting::SystemDefault), "{channel}");
            assert_eq!(by(of("marketing", channel)), (false, Setting::SystemDefault), "{channel}");
        }
        assert_eq!(of("billing", Channel::Sms).reason(), Some(Reason::PreferenceChannelOff));
        assert_eq!(of("marketing", Channel::Email).reason(), Some(Reason::PreferenceCategoryOff));
        assert_eq!(of("billing", Channel::Email).reason(), None);
    }

    #[test]
    fn a_categorys_record_counts_before_what_holds_for_everybody() {
        let record = category(&[(Channel::Sms, true), (Channel::Email, false)], false);
        let of = |channel| decide(None, Some(&record), "billing", channel);
        assert_eq!(by(of(Channel::Sms)), (true, Setting::CategoryChannels));
        assert_eq!(by(of(Channel::Email)), (false, Setting::CategoryChannels));
        assert_eq!(of(Channel::Email).reason(), Some(Reason::PreferenceCategoryOff));
        assert_eq!(by(of(Channel::InApp)), (true, Setting::SystemDefault));
        let marketing = decide(None, Some(&record), "marketing", Channel::Sms);
        assert_eq!(by(marketing), (true, Setting::CategoryChannels));
    }

    #[test]
    fn what_the_person_said_counts_before_the_categorys_record() {
        let record = category(&[(Channel::Sms, true), (Channel::Email, false)], false);
        let of = |user: &Preferences, channel| decide(Some(user), Some(&record), "billing", channel);
        assert_eq!(by(of(&cell("billing", Channel::Email, true), Channel::Email)), (true, Setting::UserCell));
        assert_eq!(by(of(&everywhere("billing", false), Channel::Sms)), (false, Setting::UserCategory));
        let no_sms = said(|p| p.channels.insert(Channel::Sms, false));
        assert_eq!(by(of(&no_sms, Channel::Sms)), (false, Setting::UserChannel));
        assert_eq!(of(&no_sms, Channel::Sms).reason(), Some(Reason::PreferenceChannelOff));
    }

    #[test]
    fn a_switch_for_one_category_on_one_channel_turns_on_what_is_off_for_everybody() {
        let user = cell("billing", Channel::Sms, true);
        assert_eq!(by(decide(Some(&user), None, "billing", Channel::Sms)), (true, Setting::UserCell));
        let mut user = user;
        user.channels.insert(Channel::Sms, false);
        assert_eq!(by(decide(Some(&user), None, "billing", Channel::Sms)), (false, Setting::UserChannel));
        let user = everywhere("marketing", true);
        assert_eq!(by(decide(Some(&user), None, "marketing", Channel::Email)), (true, Setting::UserCategory));
        assert!(!decide(Some(&user), None, "marketing", Channel::Sms).on, "the channel stays off");
    }

    #[test]
    fn a_required_category_cannot_be_switched_off() {
        let record = category(&[(Channel::Sms, true)], true);
        let mut users = vec![everywhere("billing", false), cell("billing", Channel::Email, false)];
        users.push(said(|p| p.channels.insert(Channel::Email, false)));
        users.push(said(|p| p.unsubscribed.insert(("billing".into(), Channel::Email))));
        for user in &users {
            let decided = decide(Some(user), Some(&record), "billing", Channel::Email);
            assert_eq!((by(decided), decided.layer()), ((true, Setting::Required), Layer::Category));
        }
        let sms = decide(Some(&everywhere("billing", false)), Some(&record), "billing", Channel::Sms);
        assert_eq!(by(sms), (true, Setting::Required));
        assert!(!decide(None, Some(&record), "billing", Channel::BrowserPush).on, "it is not on everything");
    }

    #[test]
    fn who_left_by_a_link_has_left_on_that_channel_alone() {
        let user = said(|p| p.unsubscribed.insert(("billing".into(), Channel::Email)));
        let decided = decide(Some(&user), None, "billing", Channel::Email);
        assert_eq!(decided.reason(), Some(Reason::Unsubscribed));
        assert!(decide(Some(&user), None, "billing", Channel::InApp).on);
        assert!(decide(Some(&user), None, "system", Channel::Email).on);
    }

    #[test]
    fn a_digest_is_the_persons_own_or_else_the_categorys() {
        let hourly = Category { digest: Some(Digest::Hourly), ..category(&[], false) };
        assert_eq!(digest_policy(None, Some(&hourly), "billing"), Some(&Digest::Hourly));
        let daily = Digest::Daily { at: 480 };
        let all = said(|p| p.digest.insert(EVERY_CATEGORY.into(), daily));
        assert_eq!(digest_policy(Some(&all), Some(&hourly), "billing"), Some(&daily));
        let mut but_not_this = all;
        but_not_this.digest.insert("billing".into(), Digest::Off);
        assert_eq!(digest_policy(Some(&but_not_this), Some(&hourly), "billing"), None);
    }
}
