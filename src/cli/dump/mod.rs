//! The portable dump: what an installation means, one line of JSON for each thing, in the order in which it is put back.
//!
//! The first line says what the file is; each other one is `{"kind":"user","data":{…}}`, where the data is what the API
//! takes to make such a thing. It is made of what the API gives, so there is no second shape of anything.

pub mod export;
pub mod import;
mod report;

use serde_json::{Map, Value, json};

/// The version of the format.
const FORMAT: u64 = 1;
/// What the first line is of.
const HEADER: &str = "belfry";

/// What a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A category.
    Category,
    /// A stored template, its present version.
    Template,
    /// A topic.
    Topic,
    /// A person.
    User,
    /// What a person said that they want.
    Preferences,
    /// Members of a topic.
    Members,
    /// A suppressed address.
    Suppression,
    /// A schedule.
    Schedule,
    /// An inbound webhook, without what it authenticates by.
    Hook,
    /// An outbound webhook, without its secret.
    Endpoint,
}

impl Kind {
    /// All of them, in the order of a dump: what others refer to comes first.
    pub const ALL: [Kind; 10] = [
        Kind::Category,
        Kind::Template,
        Kind::Topic,
        Kind::User,
        Kind::Preferences,
        Kind::Members,
        Kind::Suppression,
        Kind::Schedule,
        Kind::Hook,
        Kind::Endpoint,
    ];

    /// The name on a line.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Category => "category",
            Kind::Template => "template",
            Kind::Topic => "topic",
            Kind::User => "user",
            Kind::Preferences => "preferences",
            Kind::Members => "members",
            Kind::Suppression => "suppression",
            Kind::Schedule => "schedule",
            Kind::Hook => "hook",
            Kind::Endpoint => "endpoint",
        }
    }

    /// What is carried over of it, the field that it cannot be without first.
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Category => &[
                "name",
                "description",
                "channels",
                "required",
                "quiet_hours",
                "digest",
                "throttle",
                "retention_days",
            ],
            Kind::Template => &[
                "name",
                "type",
                "title_template",
                "message_template",
                "variables",
                "optional_variables",
                "priority",
                "category",
                "channels",
                "locales",
            ],
            Kind::Topic => &["name", "description"],
            Kind::User => &["id", "email", "phone", "locale", "timezone", "attributes"],
            Kind::Preferences => {
                &["user_id", "channels", "categories", "quiet_hours", "digest", "unsubscribed"]
            }
            Kind::Members => &["topic", "user_ids"],
            Kind::Suppression => &["address", "channel", "reason"],
            Kind::Schedule => {
                &["cron", "name", "timezone", "notification", "enabled", "starts_at", "ends_at"]
            }
            Kind::Hook => &["name", "preset", "user_id", "topic", "mapping"],
            Kind::Endpoint => &["url", "events", "user_id", "description", "disabled"],
        }
    }

    /// What says which one it is.
    fn identity(self, data: &Map<String, Value>) -> &str {
        data.get(self.fields()[0]).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What is carried over of a thing that the API gave: the fields that are said, without those that are not.
fn data(kind: Kind, item: &Map<String, Value>) -> Map<String, Value> {
    let said =
        |name: &&str| Some(((*name).to_owned(), item.get(*name).filter(|value| !value.is_null())?.clone()));
    kind.fields().iter().filter_map(said).collect()
}

/// The line of a thing.
fn line(kind: Kind, data: &Map<String, Value>) -> String {
    json!({ "kind": kind.name(), "data": data }).to_string()
}

/// The first line.
fn header(exported_at: &str) -> String {
    let about = json!({ "format": FORMAT, "version": env!("CARGO_PKG_VERSION"), "exported_at": exported_at });
    json!({ "kind": HEADER, "data": about }).to_string()
}

/// What a line says.
#[derive(Debug, PartialEq)]
enum Line {
    /// What the file is, in a format that is known.
    Header,
    /// A thing.
    Thing(Kind, Map<String, Value>),
}

/// Reads a line. One that is a user and nothing else is one too.
fn parse(text: &str) -> Result<Line, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let Value::Object(mut object) = value else { return Err("is not a JSON object".to_owned()) };
    let Some(named) = object.get("kind") else {
        return thing(Kind::User, object).map_err(|why| format!("{why} (a line without kind is a user)"));
    };
    let named = named.as_str().unwrap_or_default().to_owned();
    let Some(Value::Object(data)) = object.remove("data") else { return Err("has no data".to_owned()) };
    if named == HEADER {
        return match data.get("format").and_then(Value::as_u64) {
            Some(FORMAT) => Ok(Line::Header),
            _ => Err(format!("is of a format that this program does not know; it knows format {FORMAT}")),
        };
    }
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == named);
    let names = Kind::ALL.map(Kind::name).join(", ");
    thing(kind.ok_or_else(|| format!("has a kind that is none of {names}"))?, data)
}

fn thing(kind: Kind, data: Map<String, Value>) -> Result<Line, String> {
    if kind.identity(&data).is_empty() {
        return Err(format!("{} has no {}", kind.name(), kind.fields()[0]));
    }
    Ok(Line::Thing(kind, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_written_reads_back_and_what_nobody_said_is_left_out() {
        let shown = map(
            json!({ "id": "ada", "email": "a@b.c", "phone": null, "created_at": "2026-01-01T00:00:00Z" }),
        );
        let kept = data(Kind::User, &shown);
        assert_eq!(kept, map(json!({ "id": "ada", "email": "a@b.c" })));
        for kind in Kind::ALL {
            let one = map(json!({ kind.fields()[0]: "x" }));
            assert_eq!(parse(&line(kind, &one)), Ok(Line::Thing(kind, one)));
        }
        assert_eq!(parse(&header("2026-01-01T00:00:00Z")), Ok(Line::Header));
    }

    #[test]
    fn a_line_without_a_kind_is_a_user() {
        assert_eq!(
            parse(r#"{"id":"ada","email":"a@b.c"}"#),
            Ok(Line::Thing(Kind::User, map(json!({ "id": "ada", "email": "a@b.c" }))))
        );
    }

    #[test]
    fn what_cannot_be_put_back_says_why() {
        for (text, why) in [
            ("{", "is not JSON"),
            ("[]", "is not a JSON object"),
            (r#"{"email":"a@b.c"}"#, "user has no id"),
            (r#"{"kind":"pigeon","data":{}}"#, "none of category"),
            (r#"{"kind":"topic","data":{"name":""}}"#, "topic has no name"),
            (r#"{"kind":"topic"}"#, "has no data"),
            (r#"{"kind":"belfry","data":{"format":2}}"#, "does not know"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
