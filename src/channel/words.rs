//! A provider's words, made fit for logs, terminals and timelines.

use crate::model::delivery::ERROR_CHARS_MAX;

/// One line of at most [`ERROR_CHARS_MAX`] characters, without control characters.
pub(super) fn tidy(words: &str) -> String {
    let breaks = |c: char| c.is_control() || c.is_whitespace();
    let line = words.split(breaks).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(ERROR_CHARS_MAX).collect()
}
