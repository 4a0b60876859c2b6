//! A value as its source wrote it, before anyone knows what it should have been.

use std::borrow::Cow;
use std::fmt;

use toml::de::{DeInteger, DeValue};

/// How much of a given value an error message repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// A value as it was written. It may be a secret, so it has no `Debug`; [`fmt::Display`] is for error messages about
/// values that are not.
#[derive(Clone, PartialEq)]
pub enum Written {
    /// Text without a type, from the environment or the command line: `30`, `true` and `["1s"]` are all this.
    Raw(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Written>),
    /// A TOML table of texts.
    Table(Vec<(String, Written)>),
    /// Something that no key takes; this names it.
    Other(&'static str),
}

impl Written {
    /// The meaning of a parsed TOML value.
    pub fn from_toml(value: &DeValue<'_>) -> Written {
        match value {
            DeValue::String(text) => Written::Text(text.to_string()),
            DeValue::Integer(number) => read_integer(number),
            DeValue::Boolean(value) => Written::Boolean(*value),
            DeValue::Array(items) => {
                Written::List(items.iter().map(|item| Written::from_toml(item.get_ref())).collect())
            }
            DeValue::Float(_) => Written::Other("a number with a fraction"),
            DeValue::Datetime(_) => Written::Other("a date or time"),
            DeValue::Table(table) => Written::Table(
                table
                    .iter()
                    .map(|(name, value)| (name.get_ref().to_string(), Written::from_toml(value.get_ref())))
                    .collect(),
            ),
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Written::Raw(text) | Written::Text(text) => Some(text),
            Written::Integer(_)
            | Written::Boolean(_)
            | Written::List(_)
            | Written::Table(_)
            | Written::Other(_) => None,
        }
    }

    /// The whole number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Written::Raw(text) => text.trim().parse().ok(),
            Written::Integer(number) => Some(*number),
            Written::Text(_)
            | Written::Boolean(_)
            | Written::List(_)
            | Written::Table(_)
            | Written::Other(_) => None,
        }
    }

    /// The truth value, if it is one.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Written::Raw(text) => text.trim().parse().ok(),
            Written::Boolean(value) => Some(*value),
            Written::Text(_)
            | Written::Integer(_)
            | Written::List(_)
            | Written::Table(_)
            | Written::Other(_) => None,
        }
    }

    /// The items of the list, if it is one. Raw text is read as a TOML array.
    pub fn list(&self) -> Option<Cow<'_, [Written]>> {
        match self {
            Written::Raw(text) => match Written::from_toml(DeValue::parse(text.trim()).ok()?.get_ref()) {
                Written::List(items) => Some(Cow::Owned(items)),
                Written::Raw(_)
                | Written::Text(_)
                | Written::Integer(_)
                | Written::Boolean(_)
                | Written::Table(_)
                | Written::Other(_) => None,
            },
            Written::List(items) => Some(Cow::Borrowed(items)),
            Written::Text(_)
            | Written::Integer(_)
            | Written::Boolean(_)
            | Written::Table(_)
            | Written::Other(_) => None,
        }
    }
}

impl Written {
    /// The entries of a table of texts, if it is one. Raw text is read as an inline table.
    pub fn texts(&self) -> Option<Vec<(String, String)>> {
        match self {
            Written::Raw(text) => match Written::from_toml(DeValue::parse(text.trim()).ok()?.get_ref()) {
                Written::Raw(_) => None,
                read => read.texts(),
            },
            Written::Table(entries) => {
                let entry =
                    |(name, value): &(String, Written)| Some((name.clone(), value.text()?.to_owned()));
                entries.iter().map(entry).collect()
            }
            Written::Text(_)
            | Written::Integer(_)
            | Written::Boolean(_)
            | Written::List(_)
            | Written::Other(_) => None,
        }
    }
}

fn read_integer(number: &DeInteger<'_>) -> Written {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or(Written::Other("a number beyond 64 bits"), Written::Integer)
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Written::Raw(text) | Written::Text(text) => write!(f, "{:?}", shorten(text)),
            Written::Integer(number) => write!(f, "{number}"),
            Written::Boolean(value) => write!(f, "{value}"),
            Written::List(items) => {
                let items: Vec<String> = items.iter().map(Written::to_string).collect();
                write!(f, "[{}]", shorten(&items.join(", ")))
            }
            Written::Table(_) => f.write_str("a table"),
            Written::Other(name) => f.write_str(name),
        }
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The text as a TOML string.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Written {
        Written::from_toml(DeValue::parse(text).expect("TOML").get_ref())
    }

    #[test]
    fn integers_are_read_in_every_radix_and_with_underscores() {
        for (text, number) in
            [("1_000", 1_000), ("0x10", 16), ("0o17", 15), ("0b11", 3), ("-7", -7), ("+7", 7)]
        {
            assert!(from_toml(text).integer() == Some(number), "{text}");
        }
    }

    #[test]
    fn a_number_beyond_64_bits_is_said_to_be_one() {
        assert_eq!(from_toml("99999999999999999999").to_string(), "a number beyond 64 bits");
    }

    #[test]
    fn raw_text_is_a_list_when_it_is_a_toml_array() {
        let items = Written::Raw(r#" ["1s", 2] "#.to_owned()).list().expect("a list").into_owned();
        assert!(items == [Written::Text("1s".to_owned()), Written::Integer(2)]);
        assert!(Written::Raw("1s,2s".to_owned()).list().is_none());
    }

    #[test]
    fn a_message_repeats_no_control_character_and_no_more_than_a_line() {
        assert_eq!(Written::Raw("\u{1b}[31m".to_owned()).to_string(), r#""\u{1b}[31m""#);
        assert!(Written::Raw("x".repeat(10_000)).to_string().chars().count() <= SHOWN_CHARS_MAX + 3);
    }
}
