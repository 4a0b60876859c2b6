//! What others wrote, fit for a terminal.

/// A line of text that does nothing to a terminal: line breaks and tabs become spaces; other control characters,
/// and those that reorder or hide text, are left out.
pub fn clean(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            _ if acts_on_terminal(c) => None,
            _ => Some(c),
        })
        .collect()
}

/// Control characters of both sets, and the marks that change the direction of text (UAX #9).
pub const fn acts_on_terminal(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_taken_out() {
        assert_eq!(clean("a\u{1b}[31mb\u{9b}2Jc\u{7}\r\nd\te\u{202e}f\u{7f}"), "a[31mb2Jc d ef");
        assert_eq!(clean("Grüße, 世界 🔔"), "Grüße, 世界 🔔");
    }
}
