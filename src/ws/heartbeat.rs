//! When a connection is pinged, and when its silence has lasted too long.

use std::time::Duration;

use crate::clock::Millis;

/// The heart of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    interval_ms: Millis,
    timeout_ms: Millis,
    ping_at_ms: Millis,
    heard_at_ms: Millis,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Wait,
    Ping,
    Silent,
}

impl Heartbeat {
    pub(super) fn new(interval: Duration, timeout: Duration, now: Millis) -> Heartbeat {
        let interval_ms = millis(interval);
        Heartbeat {
            interval_ms,
            timeout_ms: millis(timeout),
            ping_at_ms: now.saturating_add(interval_ms),
            heard_at_ms: now,
        }
    }

    /// Anything that came from the client counts as life.
    pub(super) fn heard(&mut self, now: Millis) {
        self.heard_at_ms = now;
    }

    pub(super) fn turn(&mut self, now: Millis) -> Beat {
        // A wall clock that was set back must not stop the heart.
        self.heard_at_ms = self.heard_at_ms.min(now);
        self.ping_at_ms = self.ping_at_ms.min(now.saturating_add(self.interval_ms));
        if now >= self.heard_at_ms.saturating_add(self.timeout_ms) {
            return Beat::Silent;
        }
        if now >= self.ping_at_ms {
            self.ping_at_ms = now.saturating_add(self.interval_ms);
            return Beat::Ping;
        }
        Beat::Wait
    }

    /// When [`Heartbeat::turn`] has something to do.
    pub(super) fn next(&self) -> Millis {
        self.ping_at_ms.min(self.heard_at_ms.saturating_add(self.timeout_ms))
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heart() -> Heartbeat {
        Heartbeat::new(Duration::from_secs(30), Duration::from_secs(70), 0)
    }

    #[test]
    fn a_silent_connection_is_pinged_at_every_interval_and_then_given_up() {
        let mut heart = heart();
        let beats: Vec<_> = std::iter::from_fn(|| {
            let at = heart.next();
            let beat = heart.turn(at);
            (at <= 70_000).then_some((at, beat))
        })
        .take(3)
        .collect();
        assert_eq!(beats, [(30_000, Beat::Ping), (60_000, Beat::Ping), (70_000, Beat::Silent)]);
    }

    #[test]
    fn a_sign_of_life_puts_the_end_off() {
        let mut heart = heart();
        heart.turn(60_000);
        heart.heard(69_999);
        assert_eq!(heart.turn(70_000), Beat::Wait);
        heart.turn(120_000);
        assert_eq!(heart.turn(139_998), Beat::Wait);
        assert_eq!(heart.turn(139_999), Beat::Silent);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_heart() {
        let mut heart = Heartbeat::new(Duration::from_secs(30), Duration::from_secs(70), 1_000_000);
        assert_eq!(heart.turn(0), Beat::Wait);
        assert_eq!(heart.next(), 30_000);
    }
}
