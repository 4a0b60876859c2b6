//! How many text messages a text takes on the air (3GPP TS 23.038 and 23.040): networks bill and refuse by that.

/// The letters of GSM-7 that take one septet (3GPP TS 23.038, section 6.2.1).
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those that take two: an escape goes before them (section 6.2.1.1).
const EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// How a text is written on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Seven bits a letter.
    Gsm7,
    /// Sixteen bits a letter, as soon as one is not in GSM-7.
    Ucs2,
}

impl std::fmt::Display for Alphabet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Alphabet::Gsm7 => "GSM-7",
            Alphabet::Ucs2 => "UCS-2",
        })
    }
}

/// What a text takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How it is written.
    pub alphabet: Alphabet,
    /// In how many messages.
    pub segments: usize,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = if self.segments == 1 { "" } else { "s" };
        write!(f, "{} segment{plural} of {}", self.segments, self.alphabet)
    }
}

/// What `text` takes. A letter that takes two units is never cut by the end of a segment.
pub fn size(text: &str) -> Size {
    let septets = |c: char| match c {
        c if BASIC.contains(c) => Some(1),
        c if EXTENDED.contains(c) => Some(2),
        _ => None,
    };
    let gsm: Option<Vec<usize>> = text.chars().map(septets).collect();
    match gsm {
        Some(units) => Size { alphabet: Alphabet::Gsm7, segments: segments(&units, 160, 153) },
        None => {
            let units: Vec<usize> = text.chars().map(char::len_utf16).collect();
            Size { alphabet: Alphabet::Ucs2, segments: segments(&units, 70, 67) }
        }
    }
}

/// `alone` units fit into a single message; in one of several a header takes some of the room.
fn segments(units: &[usize], alone: usize, each: usize) -> usize {
    if units.iter().sum::<usize>() <= alone {
        return 1;
    }
    let (mut segments, mut left) = (1, each);
    for unit in units {
        if *unit > left {
            segments += 1;
            left = each;
        }
        left -= unit;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_what_the_specification_says() {
        use Alphabet::{Gsm7, Ucs2};
        let cases = [
            (String::new(), Gsm7, 1),
            ("a".repeat(160), Gsm7, 1),
            ("a".repeat(161), Gsm7, 2),
            ("a".repeat(306), Gsm7, 2),
            ("a".repeat(307), Gsm7, 3),
            ("äöüß@£".into(), Gsm7, 1),
            ("€".repeat(80), Gsm7, 1),
            ("€".repeat(81), Gsm7, 2),
            // 152 septets and an escaped letter that does not fit into the 153rd.
            (format!("{}€{}", "a".repeat(152), "a".repeat(151)), Gsm7, 2),
            (format!("{}€{}", "a".repeat(152), "a".repeat(152)), Gsm7, 3),
            ("ç".into(), Ucs2, 1),
            ("✓".repeat(70), Ucs2, 1),
            ("✓".repeat(71), Ucs2, 2),
            ("✓".repeat(135), Ucs2, 3),
            ("😀".repeat(35), Ucs2, 1),
            // 33 surrogate pairs in a segment of 67 units.
            ("😀".repeat(66), Ucs2, 2),
            ("😀".repeat(67), Ucs2, 3),
        ];
        for (text, alphabet, segments) in cases {
            assert_eq!(size(&text), Size { alphabet, segments }, "{text}");
        }
    }

    #[test]
    fn the_alphabet_has_its_hundred_and_twenty_eight_letters() {
        // The escape itself is no letter.
        assert_eq!((BASIC.chars().count(), EXTENDED.chars().count()), (127, 10));
    }
}
