//! Who is sent so much at once that others go first: a flood to one person holds up nobody else's deliveries.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock::Millis;
use crate::model::channel::Channel;

/// So many at once are nothing special.
const BURST: Millis = 32;
/// Beyond them, one in so many milliseconds is not either.
const EVERY_MS: Millis = 250;
/// People who are remembered at a time. When there are more, those who are quiet are forgotten.
const PEOPLE_MAX: usize = 16_384;

/// For each channel and person, when all that they were sent would be through at the rate that is nothing special.
#[derive(Default)]
pub(super) struct Crowd {
    through_at: Mutex<HashMap<(Channel, String), Millis>>,
}

impl Crowd {
    /// Counts a delivery that is due at once, and answers whether there are too many.
    pub(super) fn joins(&self, channel: Channel, user: &str, now: Millis) -> bool {
        let mut people = self.through_at.lock();
        if people.len() >= PEOPLE_MAX {
            people.retain(|_, through_at| *through_at > now);
            if people.len() >= PEOPLE_MAX {
                people.clear();
            }
        }
        let through_at = people.entry((channel, user.to_owned())).or_insert(now);
        *through_at = (*through_at).max(now) + EVERY_MS;
        *through_at - now > BURST * EVERY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_from_a_burst_and_from_other_people() {
        let crowd = Crowd::default();
        let flood = |count: i64, now| (0..count).filter(|_| crowd.joins(Channel::Email, "anna", now)).count();
        assert_eq!(flood(32, 0), 0);
        assert_eq!(flood(68, 0), 68);
        assert!(!crowd.joins(Channel::Email, "bert", 0) && !crowd.joins(Channel::Sms, "anna", 0));
        assert_eq!(flood(1, 100 * EVERY_MS), 0, "it is over");
    }

    #[test]
    fn what_comes_steadily_is_no_flood() {
        let crowd = Crowd::default();
        assert!((0..1_000).all(|n| !crowd.joins(Channel::Email, "anna", n * EVERY_MS)));
    }

    #[test]
    fn those_who_are_quiet_are_forgotten() {
        let crowd = Crowd::default();
        for person in 0..2 * PEOPLE_MAX {
            crowd.joins(Channel::Email, &person.to_string(), 1_000 * person as Millis);
        }
        assert!(crowd.through_at.lock().len() <= PEOPLE_MAX);
    }
}
