//! `/v1/schedules`: what is sent again and again, on the clocks of a time zone.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;
use warp::reply::Response;

use super::Api;
use super::call::{Call, parse_json};
use super::fields::Fields;
use super::notifications::first_result;
use super::problem::Problem;
use super::submission::inbound;
use super::{sends, shapes};
use crate::access::Scope;
use crate::clock::Millis;
use crate::engine::batch::{Entry, Received};
use crate::engine::report::instant;
use crate::engine::schedule::{Composer, Composing};
use crate::model::cron::Cron;
use crate::model::invalid::Invalid;
use crate::model::schedule::Schedule;
use crate::model::zone::check_zone;

/// How many of the next times are shown.
const UPCOMING_LEN: usize = 5;
/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 128;
const FIELDS: [&str; 7] = ["name", "cron", "timezone", "notification", "enabled", "starts_at", "ends_at"];

impl Composer for Api {
    fn compose<'a>(&'a self, body: &'a str) -> Composing<'a> {
        Box::pin(async move {
            let body = parse_json(body.as_bytes()).map_err(|problem| problem.summary())?;
            inbound(self, &body).await.map(Entry::from).map_err(|problem| problem.summary())
        })
    }
}

/// `POST /v1/schedules`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let body = call.json().await?;
    let schedule = read(&call, &body, None).await?;
    let schedule = call.api.engine.add_schedule(schedule).await?;
    Ok(shapes::json_response(StatusCode::CREATED, &shape(&schedule, call.api.clock.now())))
}

/// `GET /v1/schedules`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let bad_cursor = || Invalid::one("cursor", "is not one that this list gave");
    let before = page.cursor.map(|cursor| Uuid::parse_str(&cursor).map_err(|_| bad_cursor())).transpose()?;
    let found = call.api.engine.store().schedules(before, page.limit).await?;
    let now = call.api.clock.now();
    Ok(shapes::page(found, |schedule| shape(&schedule, now)))
}

/// `GET /v1/schedules/{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let schedule = found(&call, id).await?;
    Ok(shapes::ok(&shape(&schedule, call.api.clock.now())))
}

/// `PUT /v1/schedules/{id}`: all of it anew.
pub async fn put(mut call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let body = call.json().await?;
    let schedule = found(&call, id).await?;
    let wanted = read(&call, &body, None).await?;
    change(&call, schedule.id, wanted).await
}

/// `PATCH /v1/schedules/{id}`: what is named anew; null takes a bound or a name away.
pub async fn patch(mut call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let body = call.json().await?;
    let schedule = found(&call, id).await?;
    let wanted = read(&call, &body, Some(&schedule)).await?;
    change(&call, schedule.id, wanted).await
}

/// `DELETE /v1/schedules/{id}`.
pub async fn delete(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    if !call.api.engine.delete_schedule(key(id)?).await? {
        return Err(unknown());
    }
    Ok(shapes::no_content())
}

/// `POST /v1/schedules/{id}/run`: fires it now, enabled or not, beside its times.
pub async fn run(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let result = call.api.engine.run_schedule(key(id)?).await?.ok_or_else(unknown)?;
    let body = match result {
        Ok(Received::One(taken)) => json!(first_result(taken.accepted())),
        Ok(Received::Many(sent)) => sends::result(&sent),
        Err(why) => return Err(Invalid::one("notification", why).into()),
    };
    Ok(shapes::json_response(StatusCode::ACCEPTED, &body))
}

fn unknown() -> Problem {
    Problem::not_found("schedule")
}

fn key(id: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(id).map_err(|_| unknown())
}

async fn found(call: &Call, id: &str) -> Result<Schedule, Problem> {
    call.api.engine.store().schedule(key(id)?).await?.ok_or_else(unknown)
}

async fn change(call: &Call, id: Uuid, wanted: Schedule) -> Result<Response, Problem> {
    let changed = call.api.engine.change_schedule(id, move |schedule| {
        let Schedule { name, cron, timezone, body, enabled, starts_at, ends_at, .. } = wanted;
        *schedule = Schedule { name, cron, timezone, body, enabled, starts_at, ends_at, ..schedule.clone() };
    });
    let schedule = changed.await?.ok_or_else(unknown)?;
    Ok(shapes::ok(&shape(&schedule, call.api.clock.now())))
}

/// A body as a schedule; what it does not name is as in `known`, where that is given.
async fn read(call: &Call, body: &Value, known: Option<&Schedule>) -> Result<Schedule, Problem> {
    let mut fields = Fields::of(body)?;
    fields.only(&FIELDS);
    let mut schedule = known.cloned().unwrap_or_else(blank);
    if let Some(cron) = read_cron(&mut fields, known.is_some()) {
        schedule.cron = cron;
    }
    match fields.text("timezone").map(check_zone) {
        Some(Ok(zone)) => schedule.timezone = zone,
        Some(Err(detail)) => fields.wrong("timezone", detail),
        None => {}
    }
    // Null is not the same as absent here: it takes away.
    let cleared = |name| body.get(name) == Some(&Value::Null);
    if fields.raw("name").is_some() || cleared("name") {
        schedule.name = fields.short_text("name", NAME_CHARS_MAX).map(str::to_owned);
    }
    if fields.raw("starts_at").is_some() || cleared("starts_at") {
        schedule.starts_at = fields.instant("starts_at");
    }
    if fields.raw("ends_at").is_some() || cleared("ends_at") {
        schedule.ends_at = fields.instant("ends_at");
    }
    schedule.enabled = fields.boolean("enabled").unwrap_or(schedule.enabled);
    let notification = fields.object("notification", |inner| {
        if inner.raw("id").is_some() {
            inner.wrong("id", "is not for schedules: each run has an id of its own");
        }
    });
    if known.is_none() {
        fields.required("notification", notification);
    }
    let mut schedule = fields.finish(schedule)?;
    if let Some(notification) = body.get("notification").filter(|value| value.is_object()) {
        // What could not be sent now is refused now, and not when nobody looks.
        inbound(&call.api, notification).await.map_err(|problem| problem.under("notification"))?;
        schedule.body = notification.to_string();
    }
    if schedule.enabled && schedule.next_after(call.api.clock.now()).is_none() {
        return Err(Invalid::one("ends_at", "lies before the first time at which it would run").into());
    }
    Ok(schedule)
}

fn read_cron(fields: &mut Fields<'_>, optional: bool) -> Option<String> {
    let text = fields.text("cron");
    let text = if optional { text } else { fields.required("cron", text) }?;
    match Cron::parse(text) {
        Ok(_) => Some(text.trim().to_owned()),
        Err(error) => {
            fields.wrong("cron", error.to_string());
            None
        }
    }
}

fn blank() -> Schedule {
    Schedule {
        id: Uuid::nil(),
        name: None,
        cron: String::new(),
        timezone: "UTC".to_owned(),
        body: String::new(),
        enabled: true,
        starts_at: None,
        ends_at: None,
        created_at: 0,
        updated_at: 0,
        next_at: None,
        runs: 0,
        last: None,
    }
}

/// A schedule as the outside sees it.
pub fn shape(schedule: &Schedule, now: Millis) -> Value {
    let upcoming: Vec<String> = schedule.upcoming(now, UPCOMING_LEN).into_iter().map(instant).collect();
    let last = schedule.last.as_ref();
    json!({
        "id": schedule.id.to_string(),
        "name": schedule.name,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "notification": shapes::stored_json(Some(&schedule.body)),
        "enabled": schedule.enabled,
        "starts_at": shapes::maybe_instant(schedule.starts_at),
        "ends_at": shapes::maybe_instant(schedule.ends_at),
        "next_fire_times": upcoming,
        "runs": schedule.runs,
        "last_fired_at": shapes::maybe_instant(last.map(|run| run.at)),
        "last_result": last.map(|run| json!({
            "success": run.result.is_ok(),
            "notification_id": run.result.as_ref().ok(),
            "error": run.result.as_ref().err(),
        })),
        "created_at": instant(schedule.created_at),
        "updated_at": instant(schedule.updated_at),
    })
}
