//! How many messages may go out in how much time: a bucket that fills up again.

use crate::clock::Millis;

/// So many in a second, a minute or an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    unit_ms: Millis,
}

const UNITS: [(&str, Millis); 3] = [("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl Rate {
    /// The rate that `text` writes, as `10/s`, `300/m` or `1000/h`.
    pub fn read(text: &str) -> Option<Rate> {
        let (count, unit) = text.split_once('/')?;
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let count = count.trim().parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
        Some(Rate { count, unit_ms: *unit_ms })
    }
}

impl Rate {
    /// How many may go at once: a second's worth, and one at least.
    fn burst(self) -> i64 {
        (i64::from(self.count) * 1_000 / self.unit_ms).max(1)
    }

    /// From one to the next, rounded up: the rate is a bound.
    fn interval_us(self) -> i64 {
        let count = i64::from(self.count);
        (self.unit_ms * 1_000 + count - 1) / count
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = UNITS.iter().find(|(_, unit_ms)| *unit_ms == self.unit_ms).map_or("s", |(name, _)| name);
        write!(f, "{}/{unit}", self.count)
    }
}

/// What is left of a rate. It holds a second's worth at most, and one message at least.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// In messages times milliseconds of the unit: whole numbers lose nothing.
    level: i64,
    filled_at: Option<Millis>,
}

impl Bucket {
    /// How many may go out at `now`, and when one more may.
    pub fn room(&mut self, rate: Rate, now: Millis) -> (usize, Millis) {
        let count = i64::from(rate.count);
        let burst = rate.burst() * rate.unit_ms;
        let passed = self.filled_at.map_or(Millis::MAX, |at| now.saturating_sub(at).max(0));
        self.level = self.level.saturating_add(count.saturating_mul(passed)).min(burst);
        self.filled_at = Some(now);
        let missing = rate.unit_ms - self.level.rem_euclid(rate.unit_ms);
        let wait = (missing + count - 1) / count;
        let whole = usize::try_from(self.level.div_euclid(rate.unit_ms)).unwrap_or(0);
        (whole, now.saturating_add(wait.max(1)))
    }

    /// So many went out.
    pub fn take(&mut self, rate: Rate, count: usize) {
        self.level -= i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(rate.unit_ms);
    }
}

/// Turns at a rate, for those who wait for one: each is told when its own is. A second's worth may go at once, and one
/// at least.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    /// When everybody with a turn is through, in microseconds.
    through_us: i64,
}

impl Turns {
    /// Takes the next turn: when it is, which is `now` where there is room.
    pub fn take(&mut self, rate: Rate, now: Millis) -> Millis {
        let now_us = now.saturating_mul(1_000);
        let ahead_us = (rate.burst() - 1) * rate.interval_us();
        let turn_us = self.through_us.saturating_sub(ahead_us).max(now_us);
        self.through_us = self.through_us.max(now_us).saturating_add(rate.interval_us());
        turn_us.saturating_add(999) / 1_000
    }

    /// Gives back the turn that was taken last.
    pub fn give_back(&mut self, rate: Rate) {
        self.through_us -= rate.interval_us();
    }

    /// Whether everybody is through.
    pub fn are_over(&self, now: Millis) -> bool {
        self.through_us <= now.saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for text in ["10/s", "300/m", "1000/h", "1/h"] {
            assert_eq!(Rate::read(text).map(|rate| rate.to_string()).as_deref(), Some(text));
        }
        for wrong in ["", "10", "/s", "0/s", "-1/s", "1/d", "1.5/s", "9999999/s"] {
            assert_eq!(Rate::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_slow_rate_lets_one_out_at_a_time() {
        let (rate, mut bucket) = (Rate::read("2/h").expect("a rate"), Bucket::default());
        assert_eq!(bucket.room(rate, 0).0, 1);
        bucket.take(rate, 1);
        assert_eq!(bucket.room(rate, 0), (0, 1_800_000));
        assert_eq!(bucket.room(rate, 1_799_999).0, 0);
        assert_eq!(bucket.room(rate, 1_800_000).0, 1);
    }

    proptest! {
        #[test]
        fn turns_keep_to_the_rate_and_to_the_order(count in 1u32..500, steps in prop::collection::vec(0i64..50, 1..300)) {
            let rate = Rate { count, unit_ms: 1_000 };
            let (mut turns, mut now, mut taken) = (Turns::default(), 1_000, Vec::new());
            for step in steps {
                now += step;
                let at = turns.take(rate, now);
                prop_assert!(at >= now && taken.last().is_none_or(|last| *last <= at));
                taken.push(at);
            }
            for (first, from) in taken.iter().enumerate() {
                let within = taken[first..].iter().filter(|at| **at < from + 1_000).count();
                prop_assert!(within <= 2 * count as usize, "{within} in a second");
            }
        }

        #[test]
        fn no_more_goes_out_than_the_rate_allows_and_no_less(count in 1u32..500, steps in prop::collection::vec(0i64..3_000, 1..50)) {
            let rate = Rate { count, unit_ms: 1_000 };
            let (mut bucket, mut now, mut out) = (Bucket::default(), 0, 0_usize);
            for step in steps {
                now += step;
                let (room, next) = bucket.room(rate, now);
                bucket.take(rate, room);
                out += room;
                prop_assert!(next > now);
                prop_assert!(bucket.room(rate, next).0 >= 1);
                // Looking ahead has filled it: start again from there.
                now = next;
            }
            let allowed = i64::from(count) * now / 1_000 + i64::from(count);
            prop_assert!(out as i64 <= allowed + 1);
        }
    }
}
