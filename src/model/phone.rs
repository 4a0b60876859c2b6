//! Phone numbers as people write them, in E.164.

/// The calling code of a country (ITU-T E.164, annex D).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallingCode(u16);

/// Countries by their two letters (ISO 3166-1).
const COUNTRIES: &[(&str, u16)] = &[
    ("AE", 971),
    ("AR", 54),
    ("AT", 43),
    ("AU", 61),
    ("BD", 880),
    ("BE", 32),
    ("BG", 359),
    ("BR", 55),
    ("CA", 1),
    ("CH", 41),
    ("CL", 56),
    ("CN", 86),
    ("CO", 57),
    ("CY", 357),
    ("CZ", 420),
    ("DE", 49),
    ("DK", 45),
    ("EE", 372),
    ("EG", 20),
    ("ES", 34),
    ("FI", 358),
    ("FR", 33),
    ("GB", 44),
    ("GR", 30),
    ("HK", 852),
    ("HR", 385),
    ("HU", 36),
    ("ID", 62),
    ("IE", 353),
    ("IL", 972),
    ("IN", 91),
    ("IS", 354),
    ("IT", 39),
    ("JP", 81),
    ("KE", 254),
    ("KR", 82),
    ("LI", 423),
    ("LT", 370),
    ("LU", 352),
    ("LV", 371),
    ("MA", 212),
    ("MT", 356),
    ("MX", 52),
    ("MY", 60),
    ("NG", 234),
    ("NL", 31),
    ("NO", 47),
    ("NZ", 64),
    ("PE", 51),
    ("PH", 63),
    ("PK", 92),
    ("PL", 48),
    ("PT", 351),
    ("RO", 40),
    ("RS", 381),
    ("RU", 7),
    ("SA", 966),
    ("SE", 46),
    ("SG", 65),
    ("SI", 386),
    ("SK", 421),
    ("TH", 66),
    ("TR", 90),
    ("TW", 886),
    ("UA", 380),
    ("US", 1),
    ("VN", 84),
    ("ZA", 27),
];

/// Where the nought before a national number is part of it.
const KEEPS_NOUGHT: u16 = 39;

impl CallingCode {
    /// The code that `text` names: `DE`, `+49` or `49`. Countries that have no entry here are named by their code.
    pub fn read(text: &str) -> Option<CallingCode> {
        if let Some((_, code)) = COUNTRIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Some(CallingCode(*code));
        }
        let digits = text.strip_prefix('+').unwrap_or(text);
        let is_code = (1..=3).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        is_code.then(|| digits.parse().ok().map(CallingCode)).flatten()
    }

    /// `text` with this country's code where it is a national number; as it is where it has a country, or is no number.
    pub fn complete(self, text: &str) -> String {
        let digits: String = text.chars().filter(|c| !" -./()".contains(*c)).collect();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return text.to_owned();
        }
        match (digits.strip_prefix("00"), digits.strip_prefix('0')) {
            (Some(abroad), _) => format!("+{abroad}"),
            (None, Some(rest)) if self.0 != KEEPS_NOUGHT => format!("{self}{rest}"),
            (None, _) => format!("{self}{digits}"),
        }
    }
}

impl std::fmt::Display for CallingCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_named_by_letters_or_code() {
        for text in ["DE", "de", "+49", "49"] {
            assert_eq!(CallingCode::read(text), Some(CallingCode(49)), "{text}");
        }
        for wrong in ["", "+", "XX", "+0", "+1234", "Germany"] {
            assert_eq!(CallingCode::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_national_number_gets_its_country_and_nothing_else_is_touched() {
        let complete = |code, text| CallingCode(code).complete(text);
        assert_eq!(complete(49, "0170 123-4567"), "+491701234567");
        assert_eq!(complete(49, "0043 660 1234567"), "+436601234567");
        assert_eq!(complete(39, "06 1234 5678"), "+390612345678");
        assert_eq!(complete(1, "(415) 867-5310"), "+14158675310");
        for as_it_is in ["+491701234567", "+49 170", "anna", "", "0170x"] {
            assert_eq!(complete(49, as_it_is), as_it_is);
        }
    }
}
