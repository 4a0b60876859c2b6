//! The plan: a pure function of a notification, its person, the rules and an instant.
//!
//! The same function plans at acceptance, plans again when something held is released, and answers what would happen.

use super::Modes;
use crate::clock::Millis;
use crate::model::category::Category;
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::Reason;
use crate::model::digest::digest_close;
use crate::model::notification::{Decision, Notification, Priority, Verdict};
use crate::model::preferences::{self, Layer};
use crate::model::quiet_hours::{Daily, quiet_until};
use crate::model::user::User;

/// What is to happen to a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One decision for each channel that was considered, in the order of [`Channel::ALL`].
    pub decisions: Vec<Decision>,
    /// Whether quiet hours held and its priority went over them.
    pub quiet_hours_overridden: bool,
}

/// Plans `notification` for `user` at `now`; `category` is what the operator says of its category, if anything.
/// Considers the channels that it names, or else those that a person can have a preference for.
pub fn plan(
    notification: &Notification,
    user: &User,
    category: Option<&Category>,
    modes: &Modes,
    now: Millis,
) -> Plan {
    let asked = Asked { notification, user, category, modes, now };
    let considered = |channel: &Channel| match &notification.channels {
        Some(named) => named.contains(channel),
        None => Channel::PREFERRED.contains(channel),
    };
    let mut quiet_hours_overridden = false;
    let decisions = Channel::ALL
        .into_iter()
        .filter(considered)
        .map(|channel| {
            let (verdict, overridden) = asked.decide(channel, true);
            quiet_hours_overridden |= overridden;
            Decision { channel, verdict }
        })
        .collect();
    Plan { decisions, quiet_hours_overridden }
}

/// Plans one delivery of `notification` again at `now`, when it is due: what gathered for a digest gathers no more.
pub fn plan_again(
    notification: &Notification,
    user: &User,
    category: Option<&Category>,
    modes: &Modes,
    channel: Channel,
    now: Millis,
) -> Verdict {
    Asked { notification, user, category, modes, now }.decide(channel, false).0
}

/// The address of `user` on `channel`, where the channel has addresses.
pub fn address(user: &User, channel: Channel, mode: Mode) -> Option<String> {
    match channel {
        Channel::InApp => Some(user.id.clone()),
        Channel::Email => user.email.clone(),
        Channel::Sms => user.phone.clone(),
        // Where nothing leaves the machine the person's id says enough of whom it was for.
        Channel::BrowserPush => (mode == Mode::Capture || user.has_push).then(|| user.id.clone()),
        Channel::Webhook => (mode == Mode::Capture || !user.no_webhook).then(|| user.id.clone()),
    }
}

/// Everything that a decision is made of.
#[derive(Clone, Copy)]
struct Asked<'a> {
    notification: &'a Notification,
    user: &'a User,
    category: Option<&'a Category>,
    modes: &'a Modes,
    now: Millis,
}

impl Asked<'_> {
    /// What is to happen on `channel`, and whether quiet hours were overridden for it. With `gathers` it may have to wait
    /// for a digest.
    fn decide(self, channel: Channel, gathers: bool) -> (Verdict, bool) {
        let skipped = |reason| (Verdict::Skipped { reason, because: None }, false);
        let (notification, mode) = (self.notification, self.modes.of(channel));
        // What the person said comes before what the server can do: it is what they will ask about.
        let decided = preferences::decide(
            self.user.preferences.as_ref(),
            self.category,
            &notification.category,
            channel,
        );
        if let Some(reason) = decided.reason() {
            // What holds for everybody is known without being written down each time.
            let because =
                (decided.layer() != Layer::System).then(|| decided.because(&notification.category, channel));
            return (Verdict::Skipped { reason, because }, false);
        }
        if mode == Mode::Off {
            return skipped(Reason::ChannelDisabled);
        }
        if address(self.user, channel, mode).is_none() {
            return skipped(Reason::NoAddress);
        }
        if let Some(because) = self.user.suppressed.get(&channel) {
            return (Verdict::Skipped { reason: Reason::Suppressed, because: Some(because.clone()) }, false);
        }
        if notification.expires_at.is_some_and(|at| at <= self.now) {
            return skipped(Reason::Expired);
        }
        if let Some(until) = notification.send_at.filter(|at| *at > self.now) {
            let because = "the sender's send_at".to_owned();
            return (Verdict::Deferred { until, reason: Reason::SendAt, because }, false);
        }
        match self.in_digest(channel) {
            Some(gathering) if gathers => (gathering, false),
            Some(_) | None => self.in_quiet_hours(channel),
        }
    }

    /// Whether it gathers for a digest. What is critical never does, and the inbox needs none.
    fn in_digest(self, channel: Channel) -> Option<Verdict> {
        if channel == Channel::InApp || self.notification.priority == Priority::Critical {
            return None;
        }
        let name = &self.notification.category;
        let policy = preferences::digest_policy(self.user.preferences.as_ref(), self.category, name)?;
        let until = digest_close(policy, self.user.home(), self.now, self.now);
        let because = format!("{} digest of {name}", policy.describe());
        Some(Verdict::Deferred { until, reason: Reason::Batched, because })
    }

    /// Whether it waits, once it may go out at all: for the end of the person's quiet hours and of the category's.
    fn in_quiet_hours(self, channel: Channel) -> (Verdict, bool) {
        let (notification, home) = (self.notification, self.user.timezone.as_deref());
        let own = self.user.preferences.as_ref().map(|preferences| (&preferences.quiet_hours, home));
        let of_category = self.category.and_then(|category| Some((category.quiet_hours.as_ref()?, None)));
        let mut overridden = false;
        let (mut holding, mut because) = (Vec::new(), Vec::new());
        for (place, (hours, home)) in
            [own, of_category].into_iter().enumerate().filter_map(|(p, h)| Some((p, h?)))
        {
            let Some(daily) = hours.on(channel, home) else { continue };
            let holds = daily.window_at(self.now).is_some();
            if hours.overridden_by(notification.priority) {
                overridden |= holds;
                continue;
            }
            if holds {
                let whose = if place == 0 { "" } else { " for everybody in the category" };
                because.push(format!("{}{whose}", daily.describe()));
            }
            holding.push(daily);
        }
        let rules: Vec<&Daily> = holding.iter().collect();
        match quiet_until(&rules, self.now) {
            Some(until) => {
                let because = because.join(" and ");
                (Verdict::Deferred { until, reason: Reason::QuietHours, because }, false)
            }
            None => (Verdict::Send, overridden),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::notification::{Priority, sample as notification};
    use crate::model::preferences::{Choice, Preferences, decide};
    use crate::model::quiet_hours::QuietHours;

    const LIVE: Modes =
        Modes { email: Mode::Live, browser_push: Mode::Capture, sms: Mode::Capture, webhook: Mode::Capture };

    fn anna() -> User {
        User {
            id: "anna".into(),
            email: Some("anna@example.org".into()),
            phone: Some("+491701234567".into()),
            ..User::default()
        }
    }

    fn with(change: impl FnOnce(&mut Preferences)) -> User {
        let mut preferences = Preferences::default();
        change(&mut preferences);
        User { preferences: Some(preferences), ..anna() }
    }

    fn verdict(plan: &Plan, channel: Channel) -> &Verdict {
        &plan.decisions.iter().find(|d| d.channel == channel).expect("a considered channel").verdict
    }

    fn skipped(reason: Reason) -> Verdict {
        Verdict::Skipped { reason, because: None }
    }

    #[test]
    fn by_default_in_app_and_mail_go_out_and_the_rest_is_explained() {
        let plan = plan(&notification(), &anna(), None, &LIVE, 0);
        assert_eq!(verdict(&plan, Channel::InApp), &Verdict::Send);
        assert_eq!(verdict(&plan, Channel::Email), &Verdict::Send);
        assert_eq!(verdict(&plan, Channel::Sms), &skipped(Reason::PreferenceChannelOff));
        assert_eq!(verdict(&plan, Channel::BrowserPush), &skipped(Reason::PreferenceChannelOff));
    }

    #[test]
    fn a_category_that_is_off_is_off_on_every_channel() {
        let marketing = Notification { category: "marketing".into(), ..notification() };
        let plan = plan(&marketing, &anna(), None, &LIVE, 0);
        assert!(plan.decisions.iter().all(|d| d.verdict == skipped(Reason::PreferenceCategoryOff)));
    }

    #[test]
    fn a_category_can_be_off_on_one_channel_alone() {
        let user = with(|preferences| {
            let choice = Choice::PerChannel(BTreeMap::from([(Channel::Email, false)]));
            preferences.categories.insert("system".into(), choice);
        });
        let plan = plan(&notification(), &user, None, &LIVE, 0);
        let because = Some("the user turned the category system off on email".to_owned());
        let off = Verdict::Skipped { reason: Reason::PreferenceCategoryOff, because };
        assert_eq!(verdict(&plan, Channel::Email), &off);
        assert_eq!(verdict(&plan, Channel::InApp), &Verdict::Send);
    }

    #[test]
    fn quiet_hours_hold_everything_but_the_inbox_until_their_end() {
        let user = with(|preferences| preferences.quiet_hours.enabled = true);
        let one_in_the_morning = 60 * 60 * 1_000;
        let held = plan(&notification(), &user, None, &LIVE, one_in_the_morning);
        assert_eq!(verdict(&held, Channel::InApp), &Verdict::Send);
        let eight = 8 * 60 * 60 * 1_000;
        assert!(matches!(verdict(&held, Channel::Email),
            Verdict::Deferred { until, reason: Reason::QuietHours, .. } if *until == eight));
        let critical = Notification { priority: Priority::Critical, ..notification() };
        let overridden = plan(&critical, &user, None, &LIVE, one_in_the_morning);
        assert_eq!(verdict(&overridden, Channel::Email), &Verdict::Send);
        assert!(overridden.quiet_hours_overridden && !held.quiet_hours_overridden);
    }

    #[test]
    fn nothing_goes_to_a_suppressed_address_and_the_plan_says_why() {
        let mut user = anna();
        user.suppressed.insert(Channel::Email, "no such user".to_owned());
        let plan = plan(&notification(), &user, None, &LIVE, 0);
        let why = Some("no such user".to_owned());
        assert_eq!(
            verdict(&plan, Channel::Email),
            &Verdict::Skipped { reason: Reason::Suppressed, because: why }
        );
        assert_eq!(verdict(&plan, Channel::InApp), &Verdict::Send);
    }

    #[test]
    fn a_categorys_own_quiet_hours_hold_it_for_everybody_until_both_are_over() {
        let hours = QuietHours { enabled: true, ..QuietHours::default() };
        let late = Category {
            quiet_hours: Some(QuietHours { start: 7 * 60, end: 9 * 60, ..hours.clone() }),
            ..Category::default()
        };
        let one_in_the_morning = 60 * 60 * 1_000;
        let sleeper = with(|preferences| preferences.quiet_hours = hours);
        let held = plan(&notification(), &sleeper, Some(&late), &LIVE, one_in_the_morning);
        let nine = 9 * 60 * 60 * 1_000;
        assert_eq!(
            verdict(&held, Channel::Email),
            &Verdict::Deferred {
                until: nine, reason: Reason::QuietHours, because: "22:00–08:00 UTC".into()
            }
        );
        let held = plan(&notification(), &anna(), Some(&late), &LIVE, nine - 1);
        let because = "07:00–09:00 UTC for everybody in the category".into();
        assert_eq!(
            verdict(&held, Channel::Email),
            &Verdict::Deferred { until: nine, reason: Reason::QuietHours, because }
        );
        let critical = Notification { priority: Priority::Critical, ..notification() };
        assert!(plan(&critical, &anna(), Some(&late), &LIVE, nine - 1).quiet_hours_overridden);
    }

    #[test]
    fn a_required_category_goes_out_whatever_the_person_turned_off() {
        let user = with(|preferences| {
            preferences.categories.insert("system".into(), Choice::Everywhere(false));
            preferences.channels.insert(Channel::Email, false);
        });
        let required = Category { required: true, ..Category::default() };
        let plan = plan(&notification(), &user, Some(&required), &LIVE, 0);
        assert_eq!(verdict(&plan, Channel::InApp), &Verdict::Send);
        assert_eq!(verdict(&plan, Channel::Email), &Verdict::Send);
    }

    fn any_notification() -> impl Strategy<Value = Notification> {
        (
            prop::sample::select(&Priority::ALL[..]),
            prop::sample::select(&["system", "marketing", "billing"][..]),
            prop::option::of(prop::sample::subsequence(&Channel::ALL[..], 1..=5)),
            prop::option::of(0i64..200_000_000),
            prop::option::of(0i64..200_000_000),
        )
            .prop_map(|(priority, category, channels, send_at, expires_at)| Notification {
                priority,
                category: category.to_owned(),
                channels,
                send_at,
                expires_at,
                ..notification()
            })
    }

    fn any_user() -> impl Strategy<Value = User> {
        let channels = proptest::collection::btree_map(
            prop::sample::select(&Channel::PREFERRED[..]),
            any::<bool>(),
            0..5,
        );
        (channels, any::<[bool; 4]>(), 0u16..1440, 0u16..1440).prop_map(|(channels, flags, start, end)| {
            let mut user = with(|preferences| {
                preferences.channels.extend(channels);
                preferences.categories.insert("billing".into(), Choice::Everywhere(flags[0]));
                preferences.quiet_hours.enabled = flags[1] && start != end;
                (preferences.quiet_hours.start, preferences.quiet_hours.end) = (start, end);
            });
            user.email = user.email.filter(|_| flags[2]);
            user.phone = user.phone.filter(|_| flags[3]);
            user
        })
    }

    proptest! {
        #[test]
        fn every_considered_channel_gets_exactly_one_decision(n in any_notification(), user in any_user(), now in 0i64..200_000_000) {
            let plan = plan(&n, &user, None, &LIVE, now);
            let decided: Vec<Channel> = plan.decisions.iter().map(|d| d.channel).collect();
            let considered: Vec<Channel> = Channel::ALL.into_iter()
                .filter(|c| n.channels.as_ref().map_or(Channel::PREFERRED.contains(c), |named| named.contains(c))).collect();
            prop_assert_eq!(decided, considered);
        }

        #[test]
        fn nothing_leaves_against_the_persons_wishes(n in any_notification(), user in any_user(), now in 0i64..200_000_000) {
            let preferences = user.preferences.clone().expect("made with some");
            for decision in plan(&n, &user, None, &LIVE, now).decisions {
                let wanted = decide(Some(&preferences), None, &n.category, decision.channel).on;
                let skipped = matches!(decision.verdict, Verdict::Skipped { .. });
                prop_assert!(wanted || skipped);
            }
        }

        #[test]
        fn what_is_deferred_is_deferred_to_the_future_and_goes_out_then_unless_it_expired(
            n in any_notification(), user in any_user(), now in 0i64..200_000_000
        ) {
            for decision in plan(&n, &user, None, &LIVE, now).decisions {
                let Verdict::Deferred { until, reason, .. } = decision.verdict else { continue };
                prop_assert!(until > now);
                let later = plan(&n, &user, None, &LIVE, until);
                let then = verdict(&later, decision.channel);
                let released = matches!(then, Verdict::Send | Verdict::Skipped { reason: Reason::Expired, .. });
                let held_by_sender = matches!(then, Verdict::Deferred { reason: Reason::SendAt, .. });
                let right = if reason == Reason::QuietHours { released } else { !held_by_sender };
                prop_assert!(right);
            }
        }

        #[test]
        fn critical_is_never_held_by_quiet_hours(n in any_notification(), user in any_user(), now in 0i64..200_000_000) {
            let critical = Notification { priority: Priority::Critical, ..n };
            for decision in plan(&critical, &user, None, &LIVE, now).decisions {
                let held = matches!(decision.verdict, Verdict::Deferred { reason: Reason::QuietHours, .. });
                prop_assert!(!held);
            }
        }
    }
}
