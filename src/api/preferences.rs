//! `/v1/users/{id}/preferences`: what a person wants.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::{Fields, kind};
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::ids::check_word;
use crate::model::invalid::Invalid;
use crate::model::notification::Priority;
use crate::model::preferences::{CATEGORIES_MAX, Choice, Preferences};
use crate::model::quiet_hours::{DAYS, QuietHours, clock_time, parse_clock_time, zone_exists};
use crate::model::user::User;
use crate::store::{StoreError, Txn};

/// Why preferences are not taken.
enum Refusal {
    Invalid(Invalid),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Store(error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        match refusal {
            Refusal::Invalid(invalid) => invalid.into(),
            Refusal::Store(error) => error.into(),
        }
    }
}

/// `GET`: what holds, with the defaults where the person has said nothing.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Read)?;
    let user = call.api.engine.store().user(&id).await?;
    let preferences = user.and_then(|user| user.preferences).unwrap_or_default();
    Ok(shapes::ok(&shape(&id, &preferences)))
}

/// `PUT`: these, and the defaults for what is left out.
pub async fn put(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Admin)?;
    let body = call.json().await?;
    write(&call, id, body, false).await
}

/// `PATCH`: what is given changes, at any depth; null puts a default back (RFC 7396).
pub async fn patch(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Admin)?;
    let body = call.json().await?;
    write(&call, id, body, true).await
}

async fn write(call: &Call, id: String, body: Value, onto_what_is: bool) -> Result<Response, Problem> {
    if !body.is_object() {
        return Err(Invalid::one("body", format!("must be a JSON object, not {}", kind(&body))).into());
    }
    let now = call.api.clock.now();
    let engine = &call.api.engine;
    // Read, merged and checked on the writer's thread: of two changes at once neither is lost.
    let preferences = engine
        .store()
        .commit(move |txn: &mut Txn<'_>| {
            let mut user = txn.user(&id)?.unwrap_or_else(|| User {
                id: id.clone(),
                created_at: now,
                updated_at: now,
                ..User::default()
            });
            let base = if onto_what_is {
                user.preferences.take().unwrap_or_default()
            } else {
                Preferences::default()
            };
            let mut merged = wire(&base);
            merge(&mut merged, body);
            let preferences = parse(&merged, now).map_err(Refusal::Invalid)?;
            user.preferences = Some(preferences.clone());
            user.updated_at = now;
            txn.put_user(&user)?;
            Ok::<_, Refusal>((id, preferences))
        })
        .await?;
    Ok(shapes::ok(&shape(&preferences.0, &preferences.1)))
}

/// JSON Merge Patch (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
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

fn shape(id: &str, preferences: &Preferences) -> Value {
    let mut body = wire(preferences);
    body["user_id"] = json!(id);
    body["updated_at"] = shapes::maybe_instant(preferences.updated_at);
    body
}

/// The part that can be written.
fn wire(preferences: &Preferences) -> Value {
    let per_channel = |channels: &BTreeMap<Channel, bool>| -> Value {
        channels
            .iter()
            .map(|(channel, on)| (channel.name().to_owned(), json!(on)))
            .collect::<Map<_, _>>()
            .into()
    };
    let categories: Map<String, Value> = preferences
        .categories
        .iter()
        .map(|(name, choice)| {
            let choice = match choice {
                Choice::Everywhere(on) => json!(on),
                Choice::PerChannel(channels) => per_channel(channels),
            };
            (name.clone(), choice)
        })
        .collect();
    let quiet = &preferences.quiet_hours;
    let days: Vec<&str> =
        DAYS.into_iter().zip(quiet.days).filter(|(_, on)| *on).map(|(day, _)| day).collect();
    json!({
        "channels": per_channel(&preferences.channels),
        "categories": categories,
        "quiet_hours": {
            "enabled": quiet.enabled,
            "start": clock_time(quiet.start),
            "end": clock_time(quiet.end),
            "timezone": quiet.timezone,
            "days": days,
            "override_priorities": quiet.override_priorities.iter().map(|p| p.name()).collect::<Vec<_>>(),
        },
    })
}

fn parse(body: &Value, now: Millis) -> Result<Preferences, Invalid> {
    let mut fields = Fields::of(body)?;
    fields.only(&["user_id", "channels", "categories", "quiet_hours", "digest", "updated_at"]);
    if fields.raw("digest").is_some() {
        fields.wrong("digest", "is not available in this version");
    }
    let mut preferences = Preferences { updated_at: Some(now), ..Preferences::default() };
    if let Some(channels) = fields.object("channels", |inner| read_channels(inner, &Channel::PREFERRED)) {
        preferences.channels.extend(channels);
    }
    if let Some(categories) = fields.object("categories", read_categories) {
        preferences.categories.extend(categories);
    }
    if let Some(quiet_hours) = fields.object("quiet_hours", read_quiet_hours) {
        preferences.quiet_hours = quiet_hours;
    }
    fields.finish(preferences)
}

fn read_channels(fields: &mut Fields<'_>, known: &[Channel]) -> BTreeMap<Channel, bool> {
    let names: Vec<&str> = known.iter().map(|channel| channel.name()).collect();
    fields.only(&names);
    known.iter().filter_map(|channel| Some((*channel, fields.boolean(channel.name())?))).collect()
}

fn read_categories(fields: &mut Fields<'_>) -> BTreeMap<String, Choice> {
    let entries: Vec<_> = fields.entries().collect();
    if entries.len() > CATEGORIES_MAX {
        fields.wrong("*", format!("there can be at most {CATEGORIES_MAX} categories"));
        return BTreeMap::new();
    }
    let mut categories = BTreeMap::new();
    for (name, value) in entries {
        if let Err(error) = check_word(name, name) {
            fields.wrong(name, error.detail);
            continue;
        }
        let choice = match value {
            Value::Bool(on) => Choice::Everywhere(*on),
            Value::Object(_) => {
                let channels = fields.object(name, |inner| read_channels(inner, &Channel::ALL));
                Choice::PerChannel(channels.unwrap_or_default())
            }
            other => {
                fields.wrong(
                    name,
                    format!("must be true, false or an object of channels, not {}", kind(other)),
                );
                continue;
            }
        };
        categories.insert(name.clone(), choice);
    }
    categories
}

fn read_quiet_hours(fields: &mut Fields<'_>) -> QuietHours {
    fields.only(&["enabled", "start", "end", "timezone", "days", "override_priorities"]);
    let mut quiet = QuietHours::default();
    if let Some(enabled) = fields.boolean("enabled") {
        quiet.enabled = enabled;
    }
    for (name, place) in [("start", &mut quiet.start), ("end", &mut quiet.end)] {
        match fields.text(name).map(parse_clock_time) {
            Some(Some(minutes)) => *place = minutes,
            Some(None) => fields.wrong(name, "must be a time of the day as HH:MM, from 00:00 to 23:59"),
            None => {}
        }
    }
    if quiet.start == quiet.end {
        fields.wrong("end", "must differ from start; turn a channel off to silence it all day");
    }
    if let Some(zone) = fields.text("timezone") {
        if zone_exists(zone) {
            zone.clone_into(&mut quiet.timezone);
        } else {
            fields.wrong("timezone", "must be an IANA time zone such as Europe/Berlin");
        }
    }
    if let Some(days) = fields.texts("days", 14) {
        quiet.days = [false; 7];
        for (at, day) in days.iter().enumerate() {
            match DAYS.iter().position(|known| known == day) {
                Some(position) => quiet.days[position] = true,
                None => fields.wrong(&format!("days[{at}]"), format!("must be one of {}", DAYS.join(", "))),
            }
        }
    }
    if let Some(names) = fields.texts("override_priorities", 8) {
        quiet.override_priorities = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match Priority::from_name(name) {
                Some(priority) => quiet.override_priorities.push(priority),
                None => {
                    let detail = "must be one of low, medium, high, critical";
                    fields.wrong(&format!("override_priorities[{at}]"), detail);
                }
            }
        }
    }
    quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let mut preferences = Preferences { updated_at: Some(7), ..Preferences::default() };
        preferences.quiet_hours.days = [true, false, true, false, true, false, false];
        let only_mail = Choice::PerChannel(BTreeMap::from([(Channel::Sms, false)]));
        preferences.categories.insert("billing".into(), only_mail);
        assert_eq!(parse(&wire(&preferences), 7), Ok(preferences));
    }

    #[test]
    fn a_part_changes_and_the_rest_stays() {
        let mut merged = wire(&Preferences::default());
        merge(&mut merged, json!({ "channels": { "sms": true }, "quiet_hours": { "enabled": true } }));
        let preferences = parse(&merged, 1).expect("it is valid");
        assert!(preferences.wants_channel(Channel::Sms) && preferences.wants_channel(Channel::Email));
        assert_eq!((preferences.quiet_hours.enabled, preferences.quiet_hours.start), (true, 22 * 60));
    }

    #[test]
    fn everything_that_is_wrong_is_named_by_its_path() {
        let body = json!({
            "channels": { "pigeon": true, "email": "yes" },
            "quiet_hours": { "start": "25:00", "timezone": "Mars/Olympus", "days": ["someday"] },
            "categories": { "Bad Name": true, "system": 7 },
        });
        let fields: Vec<String> =
            parse(&body, 1).expect_err("nothing is right").errors.into_iter().map(|e| e.field).collect();
        assert_eq!(
            fields,
            [
                "channels.pigeon",
                "channels.email",
                "categories.Bad Name",
                "categories.system",
                "quiet_hours.start",
                "quiet_hours.timezone",
                "quiet_hours.days[0]"
            ]
        );
    }
}
