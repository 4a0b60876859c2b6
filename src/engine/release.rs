//! A delivery that is due is planned again: what held for it when it was accepted may hold no longer.

use super::Rules;
use super::plan::{address, plan_again};
use crate::clock::Millis;
use crate::model::category::Category;
use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};
use crate::model::notification::{Accepted, Verdict};
use crate::model::user::User;
use crate::store::inbox::Marks;

/// What the plan says of a delivery now that it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Release {
    Send { to: String },
    Wait { until: Millis, reason: Reason, because: String },
    Skip { status: Status, reason: Reason, because: Option<String> },
}

/// Plans a due delivery again.
pub(super) fn release(
    accepted: &Accepted,
    (user, category): (&User, Option<&Category>),
    marks: Marks,
    channel: Channel,
    rules: &Rules,
    now: Millis,
) -> Release {
    let skip = |status, reason, because| Release::Skip { status, reason, because };
    let was_held =
        matches!(accepted.decision(channel), Some(d) if matches!(d.verdict, Verdict::Deferred { .. }));
    if was_held && marks.read {
        return skip(Status::Skipped, Reason::ReadElsewhere, None);
    }
    let verdict = plan_again(&accepted.notification, user, category, &rules.modes, channel, now);
    match (verdict, address(user, channel, rules.modes.of(channel))) {
        (Verdict::Send, Some(to)) => Release::Send { to },
        (Verdict::Send, None) => skip(Status::Skipped, Reason::NoAddress, None),
        (Verdict::Deferred { until, reason, because }, _) => Release::Wait { until, reason, because },
        (Verdict::Skipped { reason: Reason::Expired, .. }, _) => skip(Status::Expired, Reason::Expired, None),
        (Verdict::Skipped { reason, because }, _) => skip(Status::Skipped, reason, because),
    }
}
