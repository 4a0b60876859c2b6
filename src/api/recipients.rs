//! Whom a notification is for: `user_id`, `to` or `topic`, one of them.

use std::collections::HashSet;

use serde_json::Value;

use super::fields::Fields;
use crate::model::audience::Target;
use crate::model::ids::check_name;

/// The most people that one body names.
const USERS_MAX: usize = 10_000;

/// Whom a notification is for.
pub enum Recipients {
    /// One person.
    User(String),
    /// More than that, or nobody knows how many.
    Many(Target),
}

/// Reads whom a notification is for.
pub fn recipients(fields: &mut Fields<'_>) -> Option<Recipients> {
    let named: Vec<&str> =
        ["to", "user_id", "topic"].into_iter().filter(|name| fields.raw(name).is_some()).collect();
    match named.as_slice() {
        [] => {
            fields.wrong("user_id", "is required, or to, or topic");
            None
        }
        ["user_id"] => fields.name("user_id").map(|user| Recipients::User(user.to_owned())),
        ["topic"] => fields.name("topic").map(|name| Recipients::Many(Target::Topic(name.to_owned()))),
        ["to"] => to(fields).map(Recipients::Many),
        [first, others @ ..] => {
            for other in others {
                fields.wrong(other, format!("does not go together with {first}"));
            }
            None
        }
    }
}

fn to(fields: &mut Fields<'_>) -> Option<Target> {
    match fields.raw("to")? {
        Value::String(all) if all == "all" => return Some(Target::Everyone),
        Value::Array(_) => {}
        _ => {
            fields.wrong("to", "must be a list of user ids, or \"all\"");
            return None;
        }
    }
    let names = fields.texts("to", USERS_MAX)?;
    let (mut seen, mut users) = (HashSet::new(), Vec::with_capacity(names.len()));
    for (at, name) in names.into_iter().enumerate() {
        let path = fields.path(&format!("to[{at}]"));
        match check_name(&path, name) {
            Ok(()) if seen.insert(name) => users.push(name.to_owned()),
            Ok(()) => {}
            Err(error) => fields.invalid.errors.push(error),
        }
    }
    if users.is_empty() && fields.invalid.errors.is_empty() {
        fields.wrong("to", "must name at least one user");
    }
    Some(Target::Users(users))
}
