//! `DELETE /v1/users/{id}`: a person is forgotten, and so is what others have set up for them: schedules and hooks.

use uuid::Uuid;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::{Api, shapes, users};
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
    let (mut before, mut any) = (None, false);
    loop {
        let page = api.engine.store().schedules(before, SCHEDULES_LEN).await?;
        for schedule in &page.items {
            match named_in(&schedule.body, user) {
                Named::Alone => drop(api.engine.delete_schedule(schedule.id).await?),
                Named::Among(others) => {
                    api.engine.change_schedule(schedule.id, move |schedule| schedule.body = others).await?;
                }
                Named::No => continue,
            }
            any = true;
        }
        before = match page.next.as_deref().and_then(|next| Uuid::parse_str(next).ok()) {
            Some(next) => Some(next),
            None => return Ok(any),
        };
    }
}

/// Whether what is sent names a person.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// It is for them alone.
    Alone,
    /// It is for others too: what is left without them.
    Among(String),
    /// It does not name them.
    No,
}

/// How a schedule's body names `user`.
pub fn named_in(body: &str, user: &str) -> Named {
    let mut body = shapes::stored_json(Some(body));
    if body["user_id"] == user {
        return Named::Alone;
    }
    let Some(users) = body["to"].as_array_mut() else { return Named::No };
    let before = users.len();
    users.retain(|named| named != user);
    match users.len() {
        left if left == before => Named::No,
        0 => Named::Alone,
        _ => Named::Among(body.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_who_is_forgotten_is_in_no_body() {
        for (body, wanted) in [
            (r#"{"user_id":"ada","title":"t"}"#, Named::Alone),
            (r#"{"to":["ada"]}"#, Named::Alone),
            (r#"{"to":["ada","bob"]}"#, Named::Among(r#"{"to":["bob"]}"#.to_owned())),
            (r#"{"to":["bob"]}"#, Named::No),
            (r#"{"to":[]}"#, Named::No),
            (r#"{"to":"all"}"#, Named::No),
            (r#"{"topic":"ada"}"#, Named::No),
            (r#"{"user_id":"bob"}"#, Named::No),
        ] {
            assert_eq!(named_in(body, "ada"), wanted, "{body}");
        }
    }
}
