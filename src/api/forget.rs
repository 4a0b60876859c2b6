//! `DELETE /v1/users/{id}`: a person is forgotten, and so is what others have set up for them: schedules and hooks.

use uuid::Uuid;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::{Api, shapes, users};
use crate::model::schedule::Schedule;
use crate::store::{Store, StoreError};
use crate::ws::close;

/// Schedules in one read.
const SCHEDULES_LEN: usize = 100;

/// `DELETE`.
pub async fn erase(call: Call, id: &str) -> Result<Response, Problem> {
    let id = users::admin_names(&call, id)?;
    // Nobody stays connected as somebody who is forgotten.
    call.api.hub.close_user(&id, close::KICKED);
    let scheduled = forget_schedules(&call.api, &id).await?;
    let hooked = call.api.hooks.forget(&id).await?;
    let known = call.api.engine.erase_user(&id).await?;
    if !(known || scheduled || hooked) {
        return Err(Problem::not_found("user"));
    }
    Ok(shapes::no_content())
}

/// Takes a person out of what recurs: schedules for them alone go, lists are shortened. Answers whether there were any.
async fn forget_schedules(api: &Api, user: &str) -> Result<bool, Problem> {
    let theirs = schedules_naming(api.engine.store(), user).await?;
    let any = !theirs.is_empty();
    for (schedule, named) in theirs {
        match named {
            Named::Alone => drop(api.engine.delete_schedule(schedule.id).await?),
            Named::Among(others) => {
                api.engine.change_schedule(schedule.id, move |schedule| schedule.body = others).await?;
            }
        }
    }
    Ok(any)
}

/// How what is sent names a person.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// It is for them alone.
    Alone,
    /// It is for others too: what is left without them.
    Among(String),
}

/// The schedules that name a person, and how, newest first.
///
/// # Errors
/// Where the store cannot be read.
pub async fn schedules_naming(store: &Store, user: &str) -> Result<Vec<(Schedule, Named)>, StoreError> {
    let (mut before, mut found) = (None, Vec::new());
    loop {
        let page = store.schedules(before, SCHEDULES_LEN).await?;
        let named = page.items.into_iter().filter_map(|schedule| {
            let named = named_in(&schedule.body, user)?;
            Some((schedule, named))
        });
        found.extend(named);
        before = page.next.as_deref().and_then(|next| Uuid::parse_str(next).ok());
        if before.is_none() {
            return Ok(found);
        }
    }
}

/// How a schedule's body names `user`, if it does.
fn named_in(body: &str, user: &str) -> Option<Named> {
    let mut body = shapes::stored_json(Some(body));
    if body["user_id"] == user {
        return Some(Named::Alone);
    }
    let users = body["to"].as_array_mut()?;
    let before = users.len();
    users.retain(|named| named != user);
    match users.len() {
        left if left == before => None,
        0 => Some(Named::Alone),
        _ => Some(Named::Among(body.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_who_is_forgotten_is_in_no_body() {
        for (body, wanted) in [
            (r#"{"user_id":"ada","title":"t"}"#, Some(Named::Alone)),
            (r#"{"to":["ada"]}"#, Some(Named::Alone)),
            (r#"{"to":["ada","bob"]}"#, Some(Named::Among(r#"{"to":["bob"]}"#.to_owned()))),
            (r#"{"to":["bob"]}"#, None),
            (r#"{"to":[]}"#, None),
            (r#"{"to":"all"}"#, None),
            (r#"{"topic":"ada"}"#, None),
            (r#"{"user_id":"bob"}"#, None),
        ] {
            assert_eq!(named_in(body, "ada"), wanted, "{body}");
        }
    }
}
