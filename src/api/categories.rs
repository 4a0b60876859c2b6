//! `/v1/categories`: what the operator says of a category, for everybody who has not said otherwise.

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::policies;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::report::instant;
use crate::model::category::{CATEGORY_RECORDS_MAX, Category, DESCRIPTION_CHARS_MAX, RETENTION_DAYS_MAX};
use crate::model::channel::Channel;
use crate::model::ids::check_word;
use crate::model::invalid::Invalid;
use crate::model::quiet_hours::QuietHours;
use crate::store::{StoreError, Txn};

/// What the operator said of a category.
fn said(category: &Category) -> Value {
    json!({
        "name": category.name,
        "description": category.description,
        "channels": policies::channels(&category.channels),
        "required": category.required,
        "quiet_hours": category.quiet_hours.as_ref().map(policies::quiet_hours),
        "digest": category.digest.as_ref().map(policies::digest),
        "throttle": category.throttle.as_ref().map(policies::throttle),
        "retention_days": category.retention_days,
        "created_at": instant(category.created_at),
        "updated_at": instant(category.updated_at),
    })
}

/// The same, with the zone that its quiet hours are in where none was named and none is known of the person.
fn shape(category: &Category) -> Value {
    let mut body = said(category);
    if let Some(hours) = &category.quiet_hours {
        body["quiet_hours"]["timezone"] = json!(hours.zone_name(None));
    }
    body
}

/// `GET /v1/categories`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let categories = call.api.engine.store().categories().await?;
    let only_said = call.includes_said()?;
    let data: Vec<Value> = categories.iter().map(if only_said { said } else { shape }).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": null })))
}

/// `GET /v1/categories/{name}`.
pub async fn show(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let category = call.api.engine.store().category(name).await?;
    Ok(shapes::ok(&shape(&category.ok_or_else(|| Problem::not_found("category"))?)))
}

/// `PUT /v1/categories/{name}`: this, and nothing of what was said before.
pub async fn put(mut call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    check_word("name", name).map_err(|error| Invalid { errors: vec![error] })?;
    let body = call.json().await?;
    let mut category = read(&body, name)?;
    let now = call.api.clock.now();
    let store = call.api.engine.store();
    let written = store
        .commit(move |txn: &mut Txn<'_>| {
            let known = txn.category(&category.name)?;
            if known.is_none() && txn.categories()?.len() >= CATEGORY_RECORDS_MAX {
                return Ok(None);
            }
            let fresh = known.is_none();
            category.created_at = known.map_or(now, |known| known.created_at);
            category.updated_at = now;
            txn.put_category(&category)?;
            Ok::<_, StoreError>(Some((category, fresh)))
        })
        .await?;
    let (category, fresh) = written.ok_or_else(|| {
        Invalid::one("name", format!("there are {CATEGORY_RECORDS_MAX} categories already; delete one first"))
    })?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shapes::json_response(status, &shape(&category)))
}

/// `DELETE /v1/categories/{name}`: what holds for everybody holds for it again.
pub async fn delete(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let name = name.to_owned();
    let was_there = call
        .api
        .engine
        .store()
        .commit(move |txn: &mut Txn<'_>| {
            let was_there = txn.category(&name)?.is_some();
            txn.remove_category(&name)?;
            Ok::<_, StoreError>(was_there)
        })
        .await?;
    if was_there { Ok(shapes::no_content()) } else { Err(Problem::not_found("category")) }
}

fn read(body: &Value, name: &str) -> Result<Category, Invalid> {
    let mut fields = Fields::of(body)?;
    fields.only(&[
        "name",
        "description",
        "channels",
        "required",
        "quiet_hours",
        "digest",
        "throttle",
        "retention_days",
        "created_at",
        "updated_at",
    ]);
    if fields.word("name").is_some_and(|named| named != name) {
        fields.wrong("name", "must be the name in the path, or be left out");
    }
    let always = QuietHours { enabled: true, ..QuietHours::default() };
    let retention_days = fields.integer("retention_days", 1, i64::from(RETENTION_DAYS_MAX));
    let category = Category {
        name: name.to_owned(),
        description: fields.short_text("description", DESCRIPTION_CHARS_MAX).map(str::to_owned),
        channels: fields
            .object("channels", |inner| policies::read_channels(inner, &Channel::ALL))
            .unwrap_or_default(),
        required: fields.boolean("required").unwrap_or(false),
        quiet_hours: fields.object("quiet_hours", |inner| policies::read_quiet_hours(inner, always)),
        digest: fields.object("digest", policies::read_digest).flatten(),
        throttle: fields.object("throttle", policies::read_throttle).flatten(),
        retention_days: retention_days.and_then(|days| u32::try_from(days).ok()),
        created_at: 0,
        updated_at: 0,
    };
    fields.finish(category)
}
