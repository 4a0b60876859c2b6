//! Reading a JSON object field by field, so that everything that is wrong with it is named at once.

use serde_json::{Map, Value};

use crate::clock::Millis;
use crate::model::ids::{check_name, check_word};
use crate::model::invalid::{FieldError, Invalid};

/// A JSON object that is being read.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    prefix: String,
    /// What is wrong so far.
    pub invalid: Invalid,
}

impl<'a> Fields<'a> {
    /// Begins with a body, which must be an object.
    pub fn of(body: &'a Value) -> Result<Fields<'a>, Invalid> {
        match body {
            Value::Object(map) => Ok(Fields { map, prefix: String::new(), invalid: Invalid::default() }),
            other => Err(Invalid::one("body", format!("must be a JSON object, not {}", kind(other)))),
        }
    }

    /// Ends: `value`, or everything that was wrong.
    pub fn finish<T>(self, value: T) -> Result<T, Invalid> {
        self.invalid.or(value)
    }

    /// The path of a field in this object.
    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Notes that a field is wrong.
    pub fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        let path = self.path(name);
        self.invalid.push(path, detail);
    }

    /// The field as it came; absent and null are the same.
    pub fn raw(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(&mut self, name: &str, wanted: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.raw(name)?;
        let read = read(value);
        if read.is_none() {
            self.wrong(name, format!("must be {wanted}, not {}", kind(value)));
        }
        read
    }

    /// A string.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        self.typed(name, "a string", Value::as_str)
    }

    /// A string of so many characters at most, and not an empty one.
    pub fn short_text(&mut self, name: &str, chars_max: usize) -> Option<&'a str> {
        let text = self.text(name)?;
        let chars = text.chars().count();
        if text.trim().is_empty() {
            self.wrong(name, "must not be empty");
        } else if chars > chars_max {
            self.wrong(name, format!("must be at most {chars_max} characters, this has {chars}"));
        } else {
            return Some(text);
        }
        None
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str, from: i64, to: i64) -> Option<i64> {
        let number = self.typed(name, "a whole number", Value::as_i64)?;
        if (from..=to).contains(&number) {
            return Some(number);
        }
        self.wrong(name, format!("must be from {from} to {to}"));
        None
    }

    /// A number.
    pub fn number(&mut self, name: &str, from: f64, to: f64) -> Option<f64> {
        let number = self.typed(name, "a number", Value::as_f64)?;
        if (from..=to).contains(&number) {
            return Some(number);
        }
        self.wrong(name, format!("must be from {from} to {to}"));
        None
    }

    /// A list.
    pub fn list(&mut self, name: &str) -> Option<&'a [Value]> {
        self.typed(name, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    /// A list of strings.
    pub fn texts(&mut self, name: &str, len_max: usize) -> Option<Vec<&'a str>> {
        let list = self.list(name)?;
        if list.len() > len_max {
            self.wrong(name, format!("must have at most {len_max} entries, this has {}", list.len()));
            return None;
        }
        let mut texts = Vec::with_capacity(list.len());
        for (at, value) in list.iter().enumerate() {
            match value.as_str() {
                Some(text) => texts.push(text),
                None => {
                    self.wrong(&format!("{name}[{at}]"), format!("must be a string, not {}", kind(value)))
                }
            }
        }
        Some(texts)
    }

    /// An object, to be read by `read`; what is wrong inside it is noted under its path.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'a>) -> T) -> Option<T> {
        let map = self.typed(name, "an object", Value::as_object)?;
        let mut inner = Fields {
            map,
            prefix: format!("{}.", self.path(name)),
            invalid: std::mem::take(&mut self.invalid),
        };
        let value = read(&mut inner);
        self.invalid = inner.invalid;
        Some(value)
    }

    /// A free object, as JSON text of so many bytes at most.
    pub fn json_object(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        let value = self.typed(name, "an object", |value| value.is_object().then_some(value))?;
        let text = value.to_string();
        if text.len() > bytes_max {
            self.wrong(name, format!("must be at most {bytes_max} bytes of JSON, this has {}", text.len()));
            return None;
        }
        Some(text)
    }

    /// An instant in RFC 3339.
    pub fn instant(&mut self, name: &str) -> Option<Millis> {
        let text = self.text(name)?;
        let instant = parse_instant(text);
        if instant.is_none() {
            self.wrong(
                name,
                "must be an instant in RFC 3339 from 1970 to 9999, such as 2026-11-23T08:00:00Z",
            );
        }
        instant
    }

    /// A word that must be one of a few.
    pub fn one_of<T>(
        &mut self,
        name: &str,
        words: &[&str],
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = read(text);
        if value.is_none() {
            self.wrong(name, format!("must be one of {}", words.join(", ")));
        }
        value
    }

    /// Somebody's name for something.
    pub fn name(&mut self, name: &str) -> Option<&'a str> {
        let text = self.text(name)?;
        self.checked(check_name(name, text)).then_some(text)
    }

    /// A word of an open set.
    pub fn word(&mut self, name: &str) -> Option<&'a str> {
        let text = self.text(name)?;
        self.checked(check_word(name, text)).then_some(text)
    }

    /// `value`, after noting that the field is required where it is absent altogether.
    pub fn required<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && self.raw(name).is_none() {
            self.wrong(name, "is required");
        }
        value
    }

    /// Notes every field whose name is none of `known`.
    pub fn only(&mut self, known: &[&str]) {
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            self.wrong(name, format!("is not known here; known are {}", known.join(", ")));
        }
    }

    /// The names and values of the object.
    pub fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.map.iter()
    }

    fn checked(&mut self, result: Result<(), FieldError>) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                self.wrong(&error.field, error.detail);
                false
            }
        }
    }
}

/// What a value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// An instant in RFC 3339, from 1970 to 9999.
pub fn parse_instant(text: &str) -> Option<Millis> {
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        // The library ends a day before the year 9999 does; for a "never" its end is as good.
        Err(_) => {
            let civil: jiff::civil::DateTime = text.strip_suffix(['Z', 'z'])?.parse().ok()?;
            (civil.year() == 9999).then_some(jiff::Timestamp::MAX)?
        }
    };
    Some(instant.as_millisecond()).filter(|instant| *instant >= 0)
}
