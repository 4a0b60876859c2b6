//! `/v1/users/{id}/preferences`: what a person wants.

use serde_json::Value;
use warp::reply::Response;

use super::call::Call;
use super::fields::kind;
use super::problem::Problem;
use super::shapes;
use super::wishes;
use crate::access::Scope;
use crate::model::invalid::Invalid;
use crate::model::preferences::Preferences;
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
    let user = user.unwrap_or_else(|| User { id, ..User::default() });
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

async fn write(call: &Call, id: String, body: Value, onto_what_is: bool) -> Result<Response, Problem> {
    if !body.is_object() {
        return Err(Invalid::one("body", format!("must be a JSON object, not {}", kind(&body))).into());
    }
    let now = call.api.clock.now();
    let engine = &call.api.engine;
    // Read, merged and checked on the writer's thread: of two changes at once neither is lost.
    let user = engine
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
            let mut merged = wishes::wire(&base);
            wishes::merge(&mut merged, body);
            user.preferences = Some(wishes::parse(&merged, now).map_err(Refusal::Invalid)?);
            user.updated_at = now;
            txn.put_user(&user)?;
            Ok::<_, Refusal>(user)
        })
        .await?;
    Ok(shapes::ok(&wishes::shape(&user)))
}
