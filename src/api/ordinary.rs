//! The short way in, for what most publishers send: a notification of a few plain texts for one person.
//!
//! Reading JSON into a tree and the tree field by field takes longer than all else that is done before the commit. What
//! this does not take, whether there is more to it or something is wrong with it, goes the long way, which knows every
//! field and says everything that is wrong; what it does take is the same that the long way makes of it.

use std::borrow::Cow;

use serde::Deserialize;

use super::submission::{DEFAULT_CATEGORY, one_line};
use crate::model::ids::{check_name, check_word};
use crate::model::notification::{MESSAGE_BYTES_MAX, Notification, Priority, TITLE_CHARS_MAX};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ordinary<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    priority: Option<Cow<'a, str>>,
    #[serde(borrow)]
    category: Option<Cow<'a, str>>,
}

/// The notification that a body asks for, where it is an ordinary one and nothing is wrong with it.
pub fn ordinary(body: &[u8]) -> Option<Notification> {
    let Ordinary { user_id, kind, title, message, priority, category } = serde_json::from_slice(body).ok()?;
    let priority = match priority {
        Some(priority) => Priority::from_name(&priority)?,
        None => Priority::default(),
    };
    let category = category.unwrap_or(Cow::Borrowed(DEFAULT_CATEGORY));
    check_name("user_id", &user_id).ok()?;
    check_word("type", &kind).ok()?;
    check_word("category", &category).ok()?;
    // Bytes are at least as many as characters.
    let fits = |text: &str, most: usize| text.len() <= most && !text.trim().is_empty();
    (fits(&title, TITLE_CHARS_MAX) && fits(&message, MESSAGE_BYTES_MAX)).then(|| Notification {
        user_id: user_id.into_owned(),
        kind: kind.into_owned(),
        title: one_line(&title),
        message: message.into_owned(),
        priority,
        category: category.into_owned(),
        ..Notification::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::api::submission::plain;

    /// Texts that are right, that are nearly right, and that are anything.
    fn text(right: &'static [&'static str]) -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => select(right).prop_map(|text| json!(text)),
            1 => "\\PC{0,6}".prop_map(Value::String),
            1 => select(vec![json!(null), json!(7), json!(""), json!(" "), json!("x".repeat(300))]),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_the_short_way_is_what_the_long_way_makes_of_it(
            user in text(&["ada", "bob@example.org", "me", "a b"]),
            kind in text(&["system_alert", "Wrong", "x"]),
            title in text(&["Disk full", "two\nlines", "\"quoted\" \\ é", "☃"]),
            message in text(&["m", "line\nline", "\u{1}"]),
            priority in proptest::option::of(text(&["low", "high", "critical", "urgent"])),
            category in proptest::option::of(text(&["security", "system", "Bad"])),
            more in proptest::option::weighted(0.1, text(&["later"])),
        ) {
            let mut body = Map::new();
            let optional = [("priority", priority), ("category", category), ("send_at", more)];
            for (name, value) in [("user_id", user), ("type", kind), ("title", title), ("message", message)] {
                body.insert(name.to_owned(), value);
            }
            for (name, value) in optional {
                if let Some(value) = value {
                    body.insert(name.to_owned(), value);
                }
            }
            let body = Value::Object(body);
            let short = ordinary(body.to_string().as_bytes());
            if let Some(short) = short {
                prop_assert_eq!(Some(short), plain(&body, 1_700_000_000_000));
            }
        }
    }

    #[test]
    fn the_ordinary_goes_the_short_way_and_what_is_more_or_wrong_does_not() {
        let body = |more: &str| format!(r#"{{"user_id":"ada","type":"a","title":"t","message":"m"{more}}}"#);
        assert!(ordinary(body("").as_bytes()).is_some());
        assert!(ordinary(body(r#","priority":"high","category":"security""#).as_bytes()).is_some());
        for more in [r#","id":"x""#, r#","send_at":"2026-11-23T08:00:00Z""#, r#","priority":"loud""#, ","] {
            assert!(ordinary(body(more).as_bytes()).is_none(), "{more}");
        }
    }
}
