//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or an instant.

use std::time::Duration;

use crate::clock::Millis;

/// The delay that `text` asks for at `now`.
pub(in crate::channel) fn read(text: &str, now: Millis) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_millisecond();
    u64::try_from(at.saturating_sub(now)).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_instants_are_read_and_nothing_else() {
        assert_eq!(read("120", 0), Some(Duration::from_secs(120)));
        assert_eq!(read("Thu, 01 Jan 1970 00:01:00 GMT", 1_000), Some(Duration::from_secs(59)));
        for wrong in ["", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(read(wrong, 1_000), None, "{wrong}");
        }
    }
}
