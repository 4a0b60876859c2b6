//! `/v1/users/{id}/preferences`: what a person wants, what then holds, and how it came to be so.

use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::kind;
use super::problem::Problem;
use super::{policies, shapes, wishes};
use crate::access::Scope;
use crate::clock::Millis;
use crate::engine::preferences::Changed;
use crate::model::category::Category;
use crate::model::change::{Origin, Way};
use crate::model::channel::Channel;
use crate::model::ids::check_word;
use crate::model::invalid::Invalid;
use crate::model::preferences::{
    Choice, EVERY_CATEGORY, Layer, Preferences, SYSTEM_CATEGORIES, decide, digest_policy,
};
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

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Refusal {
        Refusal::Invalid(invalid)
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
    let user = person(&call, id).await?;
    Ok(shapes::ok(&wishes::shape(&user)))
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

/// `GET …/effective`: for each category on each channel whether it goes out, and which layer decided. `?category=` adds
/// one that nothing is said of.
pub async fn effective(call: Call, id: &str) -> Result<Response, Problem> {
    let user = person(&call, id).await?;
    let records = call.api.engine.store().categories().await?;
    let said = user.preferences.as_ref();
    let mut names = known_categories(said, &records);
    if let Some(asked) = call.query("category") {
        check_word("category", &asked).map_err(|error| Invalid { errors: vec![error] })?;
        names.push(asked);
    }
    names.sort();
    names.dedup();
    let (mut cells, mut digests) = (Vec::new(), Vec::new());
    for name in &names {
        let record = records.iter().find(|category| category.name == *name);
        for channel in Channel::PREFERRED {
            let decided = decide(said, record, name, channel);
            cells.push(json!({
                "category": name,
                "channel": channel.name(),
                "value": decided.on,
                "layer": decided.layer().name(),
                "because": decided.because(name, channel),
            }));
        }
        if let Some(policy) = digest_policy(said, record, name) {
            let of_category = record.and_then(|record| record.digest.as_ref()) == Some(policy)
                && digest_policy(said, None, name).is_none();
            let layer = if of_category { Layer::Category } else { Layer::User };
            digests.push(json!({
                "category": name, "policy": policies::digest(policy), "layer": layer.name(),
            }));
        }
    }
    let whole = wishes::shape(&user);
    Ok(shapes::ok(&json!({
        "user_id": user.id,
        "data": cells,
        "digests": digests,
        "quiet_hours": whole["quiet_hours"],
        "next_cursor": null,
    })))
}

/// `GET …/history`: who changed what, when and by which way, newest first.
pub async fn history(call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Read)?;
    let changes = call.api.engine.store().history(&id).await?;
    let data: Vec<Value> = changes.iter().map(wishes::change).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": null })))
}

/// The categories that anything is said of: by the system, by a record, by the person. Sorted.
pub fn known_categories(said: Option<&Preferences>, records: &[Category]) -> Vec<String> {
    let mut names: Vec<String> = SYSTEM_CATEGORIES.map(|(name, _)| name.to_owned()).into();
    names.extend(records.iter().map(|category| category.name.clone()));
    if let Some(said) = said {
        names.extend(said.categories.keys().cloned());
        names.extend(said.unsubscribed.iter().map(|(name, _)| name.clone()));
        names.extend(said.digest.keys().filter(|name| *name != EVERY_CATEGORY).cloned());
    }
    names.sort();
    names.dedup();
    names
}

async fn person(call: &Call, id: &str) -> Result<User, Problem> {
    let id = call.person(id, &Scope::Read)?;
    let user = call.api.engine.store().user(&id).await?;
    Ok(user.unwrap_or_else(|| User { id, ..User::default() }))
}

async fn write(call: &Call, id: String, body: Value, onto_what_is: bool) -> Result<Response, Problem> {
    if !body.is_object() {
        return Err(Invalid::one("body", format!("must be a JSON object, not {}", kind(&body))).into());
    }
    let now = call.api.clock.now();
    let origin = Origin { way: Way::Api, principal: call.principal()?.label() };
    let named = id.clone();
    let change = move |txn: &Txn<'_>, known: Option<User>| {
        let mut user = known.unwrap_or_else(|| User { id: named, ..User::default() });
        let before = user.preferences.take().unwrap_or_default();
        let after = changed(&before, body, onto_what_is, now)?;
        check_required(txn, &before, &after)?;
        let fields = wishes::differences(&wishes::wire(&before), &wishes::wire(&after));
        user.preferences = Some(after);
        Ok::<_, Refusal>(Some(Changed { user, fields }))
    };
    let person = call.api.engine.change_person(&id, origin, change).await?;
    let person = person.ok_or_else(|| Problem::not_found("user"))?;
    Ok(shapes::ok(&wishes::shape(&person.user)))
}

/// What `body` makes of `before`.
fn changed(
    before: &Preferences,
    body: Value,
    onto_what_is: bool,
    now: Millis,
) -> Result<Preferences, Invalid> {
    if !onto_what_is {
        return wishes::parse(&body, now);
    }
    let mut base = before.clone();
    // Who turns a category on wants it again, whatever link they once followed.
    for (name, choice) in body["categories"].as_object().into_iter().flatten() {
        base.unsubscribed.retain(|(left, channel)| {
            let wanted_again = choice == true || choice[channel.name()] == true;
            left != name || !wanted_again
        });
    }
    let mut merged = wishes::wire(&base);
    wishes::merge(&mut merged, body);
    wishes::parse(&merged, now)
}

/// Refuses to turn off what nobody can. What was off before it was required stays off and counts for nothing.
fn check_required(txn: &Txn<'_>, before: &Preferences, after: &Preferences) -> Result<(), Refusal> {
    let mut invalid = Invalid::default();
    for (name, choice) in &after.categories {
        let off: Vec<String> = match choice {
            _ if before.categories.get(name) == Some(choice) => continue,
            Choice::Everywhere(on) => (!on).then(|| format!("categories.{name}")).into_iter().collect(),
            Choice::PerChannel(channels) => {
                let off = channels.iter().filter(|(_, on)| !**on);
                off.map(|(channel, _)| format!("categories.{name}.{channel}")).collect()
            }
        };
        if !off.is_empty() && txn.category(name)?.is_some_and(|record| record.required) {
            for field in off {
                invalid.push(field, format!("the category {name} is required and cannot be switched off"));
            }
        }
    }
    Ok(invalid.or(())?)
}
