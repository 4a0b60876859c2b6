//! How much a client may say, and how often it may be wrong.

use std::collections::VecDeque;

use crate::clock::Millis;

/// Frames at once that are not a flood yet; a thousand a second are sustained.
const FRAMES_BURST: Millis = 2000;
/// So many errors within the window are a bad client, one more is a flood.
const ERRORS_MAX: usize = 20;
/// The window for errors.
const ERRORS_WINDOW_MS: Millis = 10_000;

/// What one client has said lately.
#[derive(Debug)]
pub(super) struct Flood {
    frames_left: Millis,
    counted_at_ms: Millis,
    /// Empty, and without memory, for a client that makes no mistakes.
    errors_at_ms: VecDeque<Millis>,
}

impl Flood {
    pub(super) fn new(now: Millis) -> Flood {
        Flood { frames_left: FRAMES_BURST, counted_at_ms: now, errors_at_ms: VecDeque::new() }
    }

    /// Counts a message. Answers whether it is one too many.
    pub(super) fn frame(&mut self, now: Millis) -> bool {
        self.frames(1, now)
    }

    /// Counts frames, of whatever size. Answers whether they are too many. A millisecond earns a frame.
    pub(super) fn frames(&mut self, count: u32, now: Millis) -> bool {
        let earned = now.saturating_sub(self.counted_at_ms).max(0);
        self.counted_at_ms = now;
        self.frames_left = self.frames_left.saturating_add(earned).min(FRAMES_BURST) - Millis::from(count);
        self.frames_left < 0
    }

    /// Counts an error. Answers whether it is one too many.
    pub(super) fn error(&mut self, now: Millis) -> bool {
        let since = now.saturating_sub(ERRORS_WINDOW_MS);
        while self.errors_at_ms.front().is_some_and(|at| *at <= since) {
            self.errors_at_ms.pop_front();
        }
        self.errors_at_ms.push_back(now);
        self.errors_at_ms.len() > ERRORS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_frames_a_second_are_sustained_and_two_thousand_are_not() {
        let mut steady = Flood::new(0);
        assert!((0..100_000).all(|now| !steady.frame(now)));
        let mut double = Flood::new(0);
        let flooded_at = (0..100_000).find(|n| double.frame(n / 2));
        assert!(flooded_at.is_some_and(|n| (3_900..4_100).contains(&n)), "{flooded_at:?}");
    }

    #[test]
    fn the_twenty_first_error_within_ten_seconds_is_a_flood() {
        let mut flood = Flood::new(0);
        assert!((0..20).all(|now| !flood.error(now)));
        assert!(flood.error(9_999));
        let mut slow = Flood::new(0);
        assert!((0..1000).all(|n| !slow.error(n * 501)));
    }
}
