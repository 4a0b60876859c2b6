//! A provider that does not answer is left alone, and asked now and then whether it is back.

use crate::clock::Millis;

/// How long after it opened the first probe goes out; each that fails doubles the wait.
const FIRST_WAIT_MS: Millis = 1_000;

/// When a circuit opens, and how patient it is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// It opens after this many failures with no success between them.
    pub failures_max: u32,
    /// The longest wait between probes.
    pub wait_max_ms: Millis,
}

/// What may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Anything.
    All,
    /// One message, to see.
    Probe,
    /// Nothing before that instant.
    Nothing(Millis),
}

/// The circuit of one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    since: Millis,
    probe_at: Millis,
    wait_ms: Millis,
    probing: bool,
}

impl Breaker {
    /// What may go out at `now`.
    pub fn room(&self, now: Millis) -> Room {
        match &self.open {
            None => Room::All,
            Some(open) if now >= open.probe_at => Room::Probe,
            Some(open) => Room::Nothing(open.probe_at),
        }
    }

    /// A message went out at `now`. Another probe may follow where nothing is heard of this one.
    pub fn sent(&mut self, now: Millis) {
        if let Some(open) = &mut self.open {
            open.probing = true;
            open.probe_at = now.saturating_add(open.wait_ms);
        }
    }

    /// The provider was not there. Answers whether that opened the circuit.
    pub fn failed(&mut self, now: Millis, patience: Patience) -> bool {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            // What was under way when it opened says nothing new.
            Some(open) if open.probing => {
                open.probing = false;
                open.wait_ms = open.wait_ms.saturating_mul(2).min(patience.wait_max_ms);
                open.probe_at = now.saturating_add(open.wait_ms);
                false
            }
            Some(_) => false,
            None if self.failures >= patience.failures_max => {
                let wait_ms = FIRST_WAIT_MS.min(patience.wait_max_ms);
                self.open =
                    Some(Open { since: now, probe_at: now.saturating_add(wait_ms), wait_ms, probing: false });
                true
            }
            None => false,
        }
    }

    /// The provider was there. Answers whether that closed the circuit.
    pub fn answered(&mut self) -> bool {
        self.failures = 0;
        self.open.take().is_some()
    }

    /// Since when it is open.
    pub fn opened_at(&self) -> Option<Millis> {
        self.open.as_ref().map(|open| open.since)
    }

    /// Failures with no success since.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Patience = Patience { failures_max: 3, wait_max_ms: 4_000 };

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        let openings: Vec<bool> = (0..3).map(|_| breaker.failed(0, PATIENCE)).collect();
        assert_eq!(openings, [false, false, true]);
        breaker
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(0, PATIENCE);
            breaker.failed(0, PATIENCE);
            assert!(!breaker.answered());
        }
        assert_eq!(breaker.room(0), Room::All);
    }

    #[test]
    fn probes_come_after_one_two_and_four_seconds_and_no_further_apart() {
        let mut breaker = opened();
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..4 {
            let Room::Nothing(until) = breaker.room(now) else { panic!("it is open") };
            waits.push(until - now);
            now = until;
            assert_eq!(breaker.room(now), Room::Probe);
            breaker.sent(now);
            assert!(matches!(breaker.room(now), Room::Nothing(_)), "one probe at a time");
            breaker.failed(now, PATIENCE);
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 4_000]);
        assert!(breaker.answered());
        assert_eq!((breaker.room(now), breaker.opened_at()), (Room::All, None));
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_is_followed_by_another() {
        let mut breaker = opened();
        breaker.sent(1_000);
        assert_eq!(breaker.room(2_000), Room::Probe);
    }

    proptest! {
        #[test]
        fn it_is_never_shut_for_good(steps in prop::collection::vec((0u8..3, 0i64..5_000), 0..60)) {
            let (mut breaker, mut now) = (Breaker::default(), 0);
            for (step, wait) in steps {
                now += wait;
                match step {
                    0 => drop(breaker.failed(now, PATIENCE)),
                    1 => drop(breaker.answered()),
                    _ => breaker.sent(now),
                }
                prop_assert!(!matches!(breaker.room(now + PATIENCE.wait_max_ms), Room::Nothing(_)));
            }
        }
    }
}
