//! When to try again.

use std::time::Duration;

/// The wait before the next attempt after `attempts` of them have failed, or `None` once `schedule` is used up. `dice`
/// in 0..=1 spreads the wait by up to a fifth either way, so that what failed together does not come back together. A
/// delay that the provider asked for is never shortened.
pub fn next_delay(
    schedule: &[Duration],
    attempts: u32,
    asked: Option<Duration>,
    dice: f64,
) -> Option<Duration> {
    let step = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let planned = schedule.get(step)?.mul_f64(0.8 + 0.4 * dice.clamp(0.0, 1.0));
    Some(asked.map_or(planned, |asked| asked.min(ASKED_MAX).max(planned)))
}

/// The longest delay that a provider can ask for.
const ASKED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_schedule_ends() {
        let schedule = [Duration::from_secs(10), Duration::from_secs(60)];
        assert_eq!(next_delay(&schedule, 1, None, 0.5), Some(Duration::from_secs(10)));
        assert_eq!(next_delay(&schedule, 2, None, 0.5), Some(Duration::from_secs(60)));
        assert_eq!(next_delay(&schedule, 3, None, 0.5), None);
    }

    proptest! {
        #[test]
        fn a_wait_is_within_a_fifth_of_its_step_and_never_shorter_than_asked(
            step in 1u64..100_000, asked in proptest::option::of(0u64..100_000), dice in 0.0f64..=1.0
        ) {
            let wait = next_delay(&[Duration::from_secs(step)], 1, asked.map(Duration::from_secs), dice).expect("one step");
            let planned = Duration::from_secs(step);
            prop_assert!(wait >= asked.map_or(planned.mul_f64(0.79), |a| Duration::from_secs(a.min(86_400))));
            prop_assert!(wait <= planned.mul_f64(1.21).max(Duration::from_secs(asked.unwrap_or(0))));
        }
    }
}
