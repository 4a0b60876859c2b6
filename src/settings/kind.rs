//! The kinds of value that a key can have: how each is read, shown and described.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use secrecy::SecretString;

use super::Key;
use super::written::{Written, quoted};

/// The longest text that a key takes, in bytes. Longer than any path, address or key in use.
const TEXT_BYTES_MAX: usize = 4096;

type Read<T> = Box<dyn Fn(&Written) -> Option<T>>;
type Show<T> = Box<dyn Fn(&T) -> Option<String>>;

/// How the values of a key are read, shown and described.
pub struct Kind<T> {
    read: Read<T>,
    show: Show<T>,
    allowed: String,
    example: Option<String>,
    secret: bool,
}

impl<T: 'static> Kind<T> {
    pub(super) fn new(
        allowed: String,
        read: impl Fn(&Written) -> Option<T> + 'static,
        show: impl Fn(&T) -> String + 'static,
    ) -> Kind<T> {
        let show = move |value: &T| Some(show(value));
        Kind { read: Box::new(read), show: Box::new(show), allowed, example: None, secret: false }
    }

    /// Adds the reason for what is allowed.
    pub fn because(mut self, reason: &str) -> Kind<T> {
        self.allowed = format!("{}: {reason}", self.allowed);
        self
    }
}

impl<T> Kind<T> {
    /// The value, or `None` when what was written is not allowed.
    pub fn read(&self, written: &Written) -> Option<T> {
        (self.read)(written)
    }

    /// What is allowed, so that "must be …" is a sentence.
    pub fn allowed(&self) -> &str {
        &self.allowed
    }

    /// Whether values are never to be shown.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Describes the key of that name with its present value.
    pub fn key(&self, name: String, about: &'static str, value: &T) -> Key {
        Key {
            name,
            about,
            value: (self.show)(value),
            example: self.example.clone(),
            allowed: self.allowed.clone(),
            secret: self.secret,
        }
    }
}

/// `true` or `false`.
pub fn yes_or_no() -> Kind<bool> {
    Kind::new("true or false".to_owned(), Written::boolean, bool::to_string)
}

/// A whole number in a range.
pub fn whole<T>(range: RangeInclusive<T>) -> Kind<T>
where
    T: Copy + TryFrom<u64> + PartialOrd + ToString + 'static,
{
    let allowed = format!("a whole number from {} to {}", range.start().to_string(), range.end().to_string());
    let read = move |written: &Written| {
        let number = T::try_from(u64::try_from(written.integer()?).ok()?).ok()?;
        range.contains(&number).then_some(number)
    };
    Kind::new(allowed, read, T::to_string)
}

/// One of a few words, each with its meaning.
pub fn one_of<T: Copy + PartialEq + 'static>(words: &'static [(&'static str, T)]) -> Kind<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let allowed = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some(_) | None => names.join(""),
    };
    let read = move |written: &Written| {
        let text = written.text()?;
        words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
    };
    let show = move |value: &T| {
        quoted(words.iter().find(|(_, meaning)| meaning == value).map_or("", |(name, _)| *name))
    };
    Kind::new(allowed, read, show)
}

/// Text that `read` gives a meaning to and `show` writes down again. Empty text, text longer than 4 KiB and text
/// with control characters never reach `read`.
pub fn parsed<T: 'static>(
    allowed: &str,
    read: impl Fn(&str) -> Option<T> + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Kind<T> {
    let read = move |written: &Written| plain(written.text()?).and_then(&read);
    Kind::new(allowed.to_owned(), read, move |value| quoted(&show(value)))
}

fn plain(text: &str) -> Option<&str> {
    let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    fits.then_some(text)
}

/// Any text in one line; `allowed` says what it is.
pub fn text(allowed: &str) -> Kind<String> {
    parsed(allowed, |text| Some(text.to_owned()), String::clone)
}

/// Text that may have line breaks, which `accept` judges.
pub fn prose(allowed: &str, accept: impl Fn(&str) -> bool + 'static) -> Kind<String> {
    let read = move |written: &Written| lines(written.text()?).filter(|text| accept(text)).map(str::to_owned);
    Kind::new(allowed.to_owned(), read, |text| quoted(text))
}

fn lines(text: &str) -> Option<&str> {
    let stray = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(stray);
    fits.then_some(text)
}

/// A table of texts, never shown since their values may be secrets. `accept` judges each entry.
pub fn secret_texts(allowed: &str, accept: fn(&str, &str) -> bool) -> Kind<BTreeMap<String, String>> {
    let read = move |written: &Written| {
        let entries = written.texts()?;
        entries.iter().all(|(name, value)| accept(name, value)).then(|| entries.into_iter().collect())
    };
    let show = |_: &BTreeMap<String, String>| "[set]".to_owned();
    Kind { secret: true, ..Kind::new(allowed.to_owned(), read, show) }
}

/// A path of the file system.
pub fn path() -> Kind<PathBuf> {
    parsed("a path", |text| Some(PathBuf::from(text)), |path| path.to_string_lossy().into_owned())
}

/// Text that is never shown. `accept` says whether it will do.
pub fn secret(allowed: &str, accept: fn(&str) -> bool) -> Kind<SecretString> {
    let read = move |written: &Written| {
        plain(written.text()?).filter(|text| accept(text)).map(|text| SecretString::from(text.to_owned()))
    };
    let show = |_: &SecretString| "[set]".to_owned();
    Kind { secret: true, ..Kind::new(allowed.to_owned(), read, show) }
}

/// The same with line breaks, as a key in PEM.
pub fn secret_prose(allowed: &str, accept: fn(&str) -> bool) -> Kind<SecretString> {
    let read = move |written: &Written| {
        lines(written.text()?).filter(|text| accept(text)).map(|text| SecretString::from(text.to_owned()))
    };
    let show = |_: &SecretString| "[set]".to_owned();
    Kind { secret: true, ..Kind::new(allowed.to_owned(), read, show) }
}

/// A list of texts of any length and with any line breaks, or one text alone, that `read` gives a meaning to. What it
/// thinks of them is for the check over the struct to say, with words of its own.
pub fn texts<T: 'static>(
    allowed: &str,
    read: impl Fn(Vec<String>) -> T + 'static,
    show: impl Fn(&T) -> &[String] + 'static,
) -> Kind<T> {
    let read = move |written: &Written| match (written.list(), written.text()) {
        (Some(items), _) => {
            items.iter().map(|item| item.text().map(str::to_owned)).collect::<Option<_>>().map(&read)
        }
        (None, Some(text)) => Some(read(vec![text.to_owned()])),
        (None, None) => None,
    };
    let show = move |value: &T| {
        let texts: Vec<String> = show(value).iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    Kind::new(allowed.to_owned(), read, show)
}

/// A key that need not be set. `example` is shown where it is not; a secret has none that anyone could leave in.
pub fn optional<T: 'static>(kind: Kind<T>, example: &str) -> Kind<Option<T>> {
    let Kind { read, show, allowed, secret, .. } = kind;
    let example = if secret {
        quoted("")
    } else {
        read(&Written::Raw(example.to_owned()))
            .and_then(|value| show(&value))
            .unwrap_or_else(|| quoted(example))
    };
    Kind {
        read: Box::new(move |written| read(written).map(Some)),
        show: Box::new(move |value| value.as_ref().and_then(&show)),
        allowed,
        example: Some(example),
        secret,
    }
}

/// A list of at most `len_max` values of a kind.
pub fn list<T: 'static>(kind: Kind<T>, len_max: usize) -> Kind<Vec<T>> {
    let allowed = format!("a list of at most {len_max}, each {}", kind.allowed);
    let Kind { read, show, .. } = kind;
    let read_all = move |written: &Written| {
        let items = written.list()?;
        if items.len() > len_max {
            return None;
        }
        items.iter().map(&read).collect()
    };
    let show_all = move |values: &Vec<T>| {
        let items: Vec<String> = values.iter().filter_map(&show).collect();
        format!("[{}]", items.join(", "))
    };
    Kind::new(allowed, read_all, show_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Written {
        Written::Raw(text.to_owned())
    }

    #[test]
    fn a_whole_number_wider_than_its_type_is_refused() {
        assert_eq!(whole(1..=u16::MAX).read(&Written::Integer(65_536)), None);
    }

    #[test]
    fn an_empty_text_and_one_with_a_line_break_are_refused() {
        assert_eq!(text("text").read(&raw("")), None);
        assert_eq!(text("text").read(&raw("a\r\nBcc: x")), None);
    }

    #[test]
    fn a_list_is_held_to_its_length() {
        let kind = list(yes_or_no(), 1);
        assert_eq!(kind.read(&raw("[]")), Some(vec![]));
        assert_eq!(kind.read(&raw("[true]")), Some(vec![true]));
        assert_eq!(kind.read(&raw("[true, true]")), None);
    }

    #[test]
    fn the_words_of_a_choice_are_listed() {
        assert_eq!(one_of(&[("a", 1), ("b", 2), ("c", 3)]).allowed(), "a, b or c");
        assert_eq!(one_of(&[("a", 1)]).allowed(), "a");
    }
}
