//! The wire form of a person's preferences: what they said, laid over what holds for everybody, and read back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::fields::{Fields, kind};
use super::policies;
use super::shapes;
use crate::clock::Millis;
use crate::engine::report::instant;
use crate::model::change::{Change, FieldChange};
use crate::model::channel::Channel;
use crate::model::digest::Digest;
use crate::model::ids::check_word;
use crate::model::invalid::Invalid;
use crate::model::preferences::{
    CATEGORIES_MAX, Choice, EVERY_CATEGORY, Preferences, SYSTEM_CATEGORIES, system_channel,
};
use crate::model::quiet_hours::QuietHours;
use crate::model::user::User;

/// What holds for a person, with the defaults where they have said nothing.
pub fn shape(user: &User) -> Value {
    let said = user.preferences.clone().unwrap_or_default();
    let mut body = wire(&said);
    let defaults = Channel::PREFERRED.map(|channel| (channel, system_channel(channel)));
    let mut channels = BTreeMap::from(defaults);
    channels.extend(said.channels);
    body["channels"] = policies::channels(&channels);
    if let Some(categories) = body["categories"].as_object_mut() {
        for (name, on) in SYSTEM_CATEGORIES {
            categories.entry(name).or_insert(json!(on));
        }
    }
    body["quiet_hours"]["timezone"] = json!(said.quiet_hours.zone_name(user.timezone.as_deref()));
    body["user_id"] = json!(user.id);
    body["updated_at"] = shapes::maybe_instant(said.updated_at);
    body
}

/// What the person said, and nothing else: what a change in part is merged into.
pub fn wire(said: &Preferences) -> Value {
    let categories: Map<String, Value> = said
        .categories
        .iter()
        .map(|(name, choice)| {
            let choice = match choice {
                Choice::Everywhere(on) => json!(on),
                Choice::PerChannel(channels) => policies::channels(channels),
            };
            (name.clone(), choice)
        })
        .collect();
    let digest: Map<String, Value> =
        said.digest.iter().map(|(name, policy)| (name.clone(), policies::digest(policy))).collect();
    let mut unsubscribed: Map<String, Value> = Map::new();
    for (name, channel) in &said.unsubscribed {
        let channels = unsubscribed.entry(name.clone()).or_insert_with(|| json!([]));
        if let Some(channels) = channels.as_array_mut() {
            channels.push(json!(channel.name()));
        }
    }
    json!({
        "channels": policies::channels(&said.channels),
        "categories": categories,
        "quiet_hours": policies::quiet_hours(&said.quiet_hours),
        "digest": digest,
        "unsubscribed": unsubscribed,
    })
}

/// Reads what a person says.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(body: &Value, now: Millis) -> Result<Preferences, Invalid> {
    let mut fields = Fields::of(body)?;
    let known = ["user_id", "channels", "categories", "quiet_hours", "digest", "unsubscribed", "updated_at"];
    fields.only(&known);
    let channels = fields.object("channels", |inner| policies::read_channels(inner, &Channel::PREFERRED));
    let categories = fields.object("categories", read_categories);
    let quiet_hours =
        fields.object("quiet_hours", |inner| policies::read_quiet_hours(inner, QuietHours::default()));
    let digest = fields.object("digest", read_digests);
    let unsubscribed = fields.object("unsubscribed", read_unsubscribed);
    fields.finish(Preferences {
        channels: channels.unwrap_or_default(),
        categories: categories.unwrap_or_default(),
        quiet_hours: quiet_hours.unwrap_or_default(),
        digest: digest.unwrap_or_default(),
        unsubscribed: unsubscribed.unwrap_or_default(),
        updated_at: Some(now),
    })
}

/// The names and values of an object by category; none where it has too many, and those that can be names.
fn by_category<'a>(fields: &mut Fields<'a>) -> Vec<(&'a str, &'a Value)> {
    let entries: Vec<_> = fields.entries().collect();
    if entries.len() > CATEGORIES_MAX {
        fields.wrong("*", format!("there can be at most {CATEGORIES_MAX} categories"));
        return Vec::new();
    }
    let mut named = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        match check_word(name, name) {
            Ok(()) => named.push((name.as_str(), value)),
            Err(_) if name == EVERY_CATEGORY => named.push((name.as_str(), value)),
            Err(error) => fields.wrong(name, error.detail),
        }
    }
    named
}

fn read_categories(fields: &mut Fields<'_>) -> BTreeMap<String, Choice> {
    let mut categories = BTreeMap::new();
    for (name, value) in by_category(fields) {
        let choice = match value {
            _ if name == EVERY_CATEGORY => {
                fields.wrong(name, "is no category; turn channels off instead");
                continue;
            }
            Value::Bool(on) => Choice::Everywhere(*on),
            Value::Object(_) => {
                let channels = fields.object(name, |inner| policies::read_channels(inner, &Channel::ALL));
                Choice::PerChannel(channels.unwrap_or_default())
            }
            other => {
                let detail = format!("must be true, false or an object of channels, not {}", kind(other));
                fields.wrong(name, detail);
                continue;
            }
        };
        categories.insert(name.to_owned(), choice);
    }
    categories
}

fn read_digests(fields: &mut Fields<'_>) -> BTreeMap<String, Digest> {
    let mut digests = BTreeMap::new();
    for (name, _) in by_category(fields) {
        if let Some(policy) = fields.object(name, policies::read_digest).flatten() {
            digests.insert(name.to_owned(), policy);
        }
    }
    digests
}

fn read_unsubscribed(fields: &mut Fields<'_>) -> BTreeSet<(String, Channel)> {
    let mut left = BTreeSet::new();
    for (name, _) in by_category(fields) {
        for (at, text) in fields.texts(name, Channel::ALL.len()).unwrap_or_default().into_iter().enumerate() {
            match Channel::from_name(text) {
                Some(channel) => drop(left.insert((name.to_owned(), channel))),
                None => fields.wrong(&format!("{name}[{at}]"), "must be the name of a channel"),
            }
        }
    }
    left
}

/// What differs between two forms of what a person said, leaf by leaf.
pub fn differences(before: &Value, after: &Value) -> Vec<FieldChange> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    leaves("", before, &mut old);
    leaves("", after, &mut new);
    let mut fields: Vec<&String> = old.keys().chain(new.keys()).collect();
    fields.sort();
    fields.dedup();
    let differs = |field: &&String| old.get(*field) != new.get(*field);
    fields
        .into_iter()
        .filter(differs)
        .map(|field| FieldChange {
            field: field.clone(),
            from: old.get(field).map(ToString::to_string),
            to: new.get(field).map(ToString::to_string),
        })
        .collect()
}

fn leaves<'a>(path: &str, value: &'a Value, found: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, found);
            }
        }
        leaf => drop(found.insert(path.to_owned(), leaf)),
    }
}

/// A change, as it is remembered.
pub fn change(change: &Change) -> Value {
    let fields: Vec<Value> = change
        .fields
        .iter()
        .map(|field| {
            json!({
                "field": field.field,
                "from": shapes::stored_json(field.from.as_deref()),
                "to": shapes::stored_json(field.to.as_deref()),
            })
        })
        .collect();
    json!({
        "at": instant(change.at),
        "changed_by": change.origin.way.name(),
        "principal": change.origin.principal,
        "changes": fields,
    })
}

/// JSON Merge Patch (RFC 7396).
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(fields) = target {
        for (name, value) in patch {
            if value.is_null() {
                fields.remove(&name);
            } else {
                merge(fields.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quiet_hours::ChannelHours;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let mut said = Preferences { updated_at: Some(7), ..Preferences::default() };
        said.channels.insert(Channel::Sms, true);
        said.quiet_hours.days = [true, false, true, false, true, false, false];
        said.quiet_hours.timezone = Some("Asia/Tokyo".into());
        let later = ChannelHours { end: Some(600), ..ChannelHours::default() };
        let never = ChannelHours { enabled: Some(false), ..ChannelHours::default() };
        said.quiet_hours.channels = BTreeMap::from([(Channel::Sms, later), (Channel::Email, never)]);
        let not_by_sms = Choice::PerChannel(BTreeMap::from([(Channel::Sms, false)]));
        said.categories.insert("billing".into(), not_by_sms);
        said.unsubscribed.insert(("news".into(), Channel::Email));
        for (at, policy) in [
            Digest::Off,
            Digest::Hourly,
            Digest::Fixed { window_seconds: 60 },
            Digest::Sliding { window_seconds: 60, max_seconds: 90 },
            Digest::Daily { at: 480 },
            Digest::Weekly { at: 481, weekday: 6 },
        ]
        .into_iter()
        .enumerate()
        {
            said.digest.insert(format!("c_{at}"), policy);
        }
        assert_eq!(parse(&wire(&said), 7), Ok(said));
    }

    #[test]
    fn a_part_changes_and_the_rest_stays() {
        let mut merged = wire(&Preferences::default());
        merge(&mut merged, json!({ "channels": { "sms": true }, "quiet_hours": { "enabled": true } }));
        let said = parse(&merged, 1).expect("it is valid");
        assert_eq!(said.channels, BTreeMap::from([(Channel::Sms, true)]));
        assert_eq!((said.quiet_hours.enabled, said.quiet_hours.start), (true, 22 * 60));
        merge(&mut merged, json!({ "channels": { "sms": null }, "quiet_hours": null }));
        let said = parse(&merged, 1).expect("it is valid");
        assert_eq!(said, Preferences { updated_at: Some(1), ..Preferences::default() });
    }

    #[test]
    fn everything_that_is_wrong_is_named_by_its_path() {
        let body = json!({
            "channels": { "pigeon": true, "email": "yes" },
            "quiet_hours": { "start": "25:00", "timezone": "Mars/Olympus", "days": ["someday"],
                "channels": { "sms": { "start": "09:00", "end": "09:00" }, "in_app": false, "email": 7 } },
            "categories": { "Bad Name": true, "system": 7, "*": false },
            "digest": { "billing": { "mode": "never" }, "news": { "mode": "sliding", "window_seconds": 60, "max_seconds": 5 },
                "system": { "mode": "weekly", "weekday": "Friday", "at": "8" }, "x": {}, "y": "daily" },
            "unsubscribed": { "news": ["pigeon"] },
        });
        let fields: Vec<String> =
            parse(&body, 1).expect_err("nothing is right").errors.into_iter().map(|e| e.field).collect();
        let mut expected = [
            "channels.pigeon",
            "channels.email",
            "categories.Bad Name",
            "categories.system",
            "categories.*",
            "quiet_hours.start",
            "quiet_hours.timezone",
            "quiet_hours.days[0]",
            "quiet_hours.channels.in_app",
            "quiet_hours.channels.sms.end",
            "quiet_hours.channels.email",
            "digest.billing.mode",
            "digest.news.max_seconds",
            "digest.system.weekday",
            "digest.x.mode",
            "digest.y",
            "unsubscribed.news[0]",
        ]
        .map(str::to_owned);
        let mut fields = fields;
        fields.sort();
        expected.sort();
        assert_eq!(fields, expected);
    }
}
