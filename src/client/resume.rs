//! Where a listener stands in the stream of a person's notifications, and when it should come back: no socket, no
//! clock, no randomness of its own.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// The longest wait before a reconnect, whatever the server advises.
const DELAY_MS_MAX: f64 = 60_000.0;
/// The shortest: a server that advises none must not be stormed.
const DELAY_MS_MIN: f64 = 50.0;
/// The most reconnects in a row, whatever the server advises.
const ATTEMPTS_MAX: u32 = 1_000;

/// The server's greeting, as far as a listener needs it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// The connection's id.
    pub connection_id: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// The life of the stream in which offsets count.
    pub epoch: Value,
    /// The last offset that was given out.
    pub offset: u64,
    /// Whether everything after the resume point follows.
    pub recovered: bool,
    /// When to come back after a loss.
    pub reconnect: Advice,
}

/// When to come back after a loss.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Advice {
    /// Reconnects in a row before giving up.
    pub max_attempts: u32,
    /// The first wait, in milliseconds.
    pub delay_ms: f64,
    /// By how much each wait is longer than the one before.
    pub factor: f64,
    /// The share of the wait by which it may be longer or shorter, from 0 to 1.
    pub jitter: f64,
}

impl Default for Advice {
    /// What the contract's defaults come to.
    fn default() -> Advice {
        Advice { max_attempts: 5, delay_ms: 1_000.0, factor: 2.0, jitter: 0.2 }
    }
}

/// Where a listener stands.
#[derive(Debug, Default)]
pub struct Course {
    point: Option<Point>,
    advice: Advice,
    attempts: u32,
}

#[derive(Debug)]
struct Point {
    epoch: Value,
    /// Everything up to here is known.
    offset: u64,
    /// The last one that was shown, if one was.
    shown: Option<u64>,
}

impl Course {
    /// Whether the server has ever greeted.
    pub const fn begun(&self) -> bool {
        self.point.is_some()
    }

    /// The point to resume from, for the `connect` frame.
    pub fn resume(&self) -> Option<Value> {
        self.point.as_ref().map(|point| json!({ "epoch": point.epoch, "offset": point.offset }))
    }

    /// Takes in a greeting. Answers whether what went by in between is lost.
    pub fn greeted(&mut self, hello: &Hello) -> bool {
        self.advice = hello.reconnect;
        self.attempts = 0;
        let resumed = self.point.as_ref().is_some_and(|point| hello.recovered && point.epoch == hello.epoch);
        if resumed {
            return false;
        }
        let lost = self.begun();
        self.point = Some(Point { epoch: hello.epoch.clone(), offset: hello.offset, shown: None });
        lost
    }

    /// Takes in a notification's offset. Answers whether it is to be shown: false for one that was shown already.
    pub fn passes(&mut self, offset: Option<u64>) -> bool {
        let (Some(point), Some(offset)) = (&mut self.point, offset) else { return true };
        if point.shown.is_some_and(|shown| offset <= shown) {
            return false;
        }
        point.shown = Some(offset);
        point.offset = point.offset.max(offset);
        true
    }

    /// How long to wait before the next attempt, or `None` when the attempts are used up. `chance` is random, from 0
    /// to 1.
    pub fn next_attempt(&mut self, chance: f64) -> Option<Duration> {
        let Advice { max_attempts, delay_ms, factor, jitter } = self.advice;
        if self.attempts >= max_attempts.min(ATTEMPTS_MAX) {
            return None;
        }
        let grown = delay_ms.max(0.0) * factor.clamp(1.0, 10.0).powf(f64::from(self.attempts));
        let swing = 1.0 + jitter.clamp(0.0, 1.0) * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        self.attempts += 1;
        Some(Duration::from_secs_f64(
            (grown.min(DELAY_MS_MAX) * swing).clamp(DELAY_MS_MIN, DELAY_MS_MAX) / 1e3,
        ))
    }

    /// How many attempts in a row there were.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(epoch: &str, offset: u64, recovered: bool) -> Hello {
        Hello { epoch: json!(epoch), offset, recovered, ..Hello::default() }
    }

    #[test]
    fn a_listener_resumes_after_the_last_notification_it_saw() {
        let mut course = Course::default();
        assert_eq!(course.resume(), None);
        assert!(!course.greeted(&hello("e", 7, false)));
        assert_eq!(course.resume(), Some(json!({"epoch": "e", "offset": 7})));
        assert!(course.passes(Some(8)));
        assert!(!course.greeted(&hello("e", 12, true)));
        assert_eq!(course.resume(), Some(json!({"epoch": "e", "offset": 8})));
    }

    #[test]
    fn a_replayed_notification_is_shown_once() {
        let mut course = Course::default();
        course.greeted(&hello("e", 0, false));
        assert!(course.passes(Some(1)));
        course.greeted(&hello("e", 2, true));
        assert!(!course.passes(Some(1)));
        assert!(course.passes(Some(2)));
    }

    #[test]
    fn a_new_epoch_is_a_loss_and_counts_from_anew() {
        let mut course = Course::default();
        course.greeted(&hello("e", 90, false));
        assert!(course.passes(Some(91)));
        assert!(course.greeted(&hello("f", 3, false)));
        assert!(course.passes(Some(4)));
    }

    #[test]
    fn waits_grow_by_the_advised_factor_and_end_with_the_advised_attempts() {
        let mut course = Course::default();
        let reconnect = Advice { max_attempts: 3, delay_ms: 100.0, factor: 2.0, jitter: 0.5 };
        course.greeted(&Hello { reconnect, ..Hello::default() });
        assert_eq!(course.next_attempt(0.5), Some(Duration::from_millis(100)));
        assert_eq!(course.next_attempt(1.0), Some(Duration::from_millis(300)));
        assert_eq!(course.next_attempt(0.0), Some(Duration::from_millis(200)));
        assert_eq!(course.next_attempt(0.5), None);
        course.greeted(&Hello { reconnect, ..Hello::default() });
        assert_eq!(course.next_attempt(0.5), Some(Duration::from_millis(100)));
    }

    #[test]
    fn absurd_advice_stays_within_bounds() {
        let mut course = Course::default();
        let reconnect = Advice { max_attempts: u32::MAX, delay_ms: 1e300, factor: 1e300, jitter: 1e300 };
        course.greeted(&Hello { reconnect, ..Hello::default() });
        assert_eq!(course.next_attempt(1.0), Some(Duration::from_secs(60)));
        let reconnect = Advice { max_attempts: 9, delay_ms: -5.0, factor: -1.0, jitter: -1.0 };
        course.greeted(&Hello { reconnect, ..Hello::default() });
        assert_eq!(course.next_attempt(1.0), Some(Duration::from_millis(50)));
    }
}
