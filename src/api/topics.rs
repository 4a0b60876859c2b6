//! `/v1/topics`: named sets of users, and who is in them.

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::report::instant;
use crate::model::ids::check_name;
use crate::model::invalid::Invalid;
use crate::store::topics::Topic;

/// The most people in one request.
const MEMBERS_MAX: usize = 10_000;
/// The longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1_000;

fn shape(topic: &Topic) -> Value {
    json!({
        "name": topic.name,
        "description": topic.description,
        "members": topic.members,
        "created_at": instant(topic.created_at),
        "updated_at": instant(topic.updated_at),
    })
}

/// `GET /v1/topics`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let topics = call.api.engine.store().topics(page.cursor, page.limit).await?;
    Ok(shapes::page(topics, |topic| shape(&topic)))
}

/// `GET /v1/topics/{name}`.
pub async fn show(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let topic = call.api.engine.store().topic(name).await?.ok_or_else(unknown)?;
    Ok(shapes::ok(&shape(&topic)))
}

/// `PUT /v1/topics/{name}`: makes it, or describes it anew; the members stay.
pub async fn put(mut call: Call, name: &str) -> Result<Response, Problem> {
    let name = admin_names(&call, name)?;
    let body = call.optional_json().await?;
    let mut fields = Fields::of(&body)?;
    if fields.name("name").is_some_and(|named| named != name) {
        fields.wrong("name", "must be the name in the path, or be left out");
    }
    let description = fields.short_text("description", DESCRIPTION_CHARS_MAX).map(str::to_owned);
    let description = fields.finish(description)?;
    let (topic, fresh) = call.api.engine.put_topic(&name, description).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shapes::json_response(status, &shape(&topic)))
}

/// `DELETE /v1/topics/{name}`.
pub async fn delete(call: Call, name: &str) -> Result<Response, Problem> {
    let name = admin_names(&call, name)?;
    if !call.api.engine.delete_topic(&name).await? {
        return Err(unknown());
    }
    Ok(shapes::no_content())
}

/// `GET /v1/topics/{name}/members`, in the order of their ids.
pub async fn members(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let store = call.api.engine.store();
    store.topic(name).await?.ok_or_else(unknown)?;
    let members = store.topic_members(name, page.cursor, page.limit).await?;
    Ok(shapes::page(members, |member| json!({ "user_id": member.user_id, "since": instant(member.since) })))
}

/// `PUT /v1/topics/{name}/members`: those people join; a topic that there is none of comes into being.
pub async fn join(mut call: Call, name: &str) -> Result<Response, Problem> {
    let name = admin_names(&call, name)?;
    let users = read_users(&call.json().await?)?;
    let done = call.api.engine.join_topic(&name, &users).await?;
    Ok(shapes::ok(&json!({ "success": true, "added": done.changed, "members": done.members })))
}

/// `DELETE /v1/topics/{name}/members`: those people leave.
pub async fn leave(mut call: Call, name: &str) -> Result<Response, Problem> {
    let name = admin_names(&call, name)?;
    let users = read_users(&call.json().await?)?;
    let done = call.api.engine.leave_topic(&name, &users).await?.ok_or_else(unknown)?;
    Ok(shapes::ok(&json!({ "success": true, "removed": done.changed, "members": done.members })))
}

/// `GET /v1/users/{id}/topics`: the topics that a person is a member of.
pub async fn of_user(call: Call, id: &str) -> Result<Response, Problem> {
    let user = call.person(id, &Scope::Read)?;
    let page = call.page()?;
    let topics = call.api.engine.store().topics_of(&user, page.cursor, page.limit).await?;
    Ok(shapes::page(topics, |(name, since)| json!({ "name": name, "since": instant(since) })))
}

fn unknown() -> Problem {
    Problem::not_found("topic")
}

fn admin_names(call: &Call, name: &str) -> Result<String, Problem> {
    call.holder_of(&Scope::Admin)?;
    check_name("name", name).map_err(|error| Invalid { errors: vec![error] })?;
    Ok(name.to_owned())
}

fn read_users(body: &Value) -> Result<Vec<String>, Problem> {
    let mut fields = Fields::of(body)?;
    let users = fields.texts("user_ids", MEMBERS_MAX);
    let mut users = fields.required("user_ids", users).unwrap_or_default();
    for (at, user) in users.iter().enumerate() {
        if let Err(error) = check_name("user_ids", user) {
            fields.wrong(&format!("user_ids[{at}]"), error.detail);
        }
    }
    users.sort_unstable();
    users.dedup();
    Ok(fields.finish(users.into_iter().map(str::to_owned).collect())?)
}
