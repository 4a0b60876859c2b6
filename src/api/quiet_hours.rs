//! `/v1/users/{id}/quiet-hours/preview`: the windows to come, as instants.

use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::report::instant;
use crate::model::channel::Channel;
use crate::model::invalid::Invalid;
use crate::model::user::User;

/// How far the preview looks where nothing is said, and at most.
const DAYS: i64 = 14;
const DAYS_MAX: i64 = 366;
const DAY_MS: i64 = 24 * 3_600_000;

/// `GET /v1/users/{id}/quiet-hours/preview?days=14&channel=email`: those that have an instant from now on. The one that
/// holds now is the first of them, with the start that it had.
pub async fn preview(call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Read)?;
    let mut invalid = Invalid::default();
    let days = match call.query("days").map(|text| text.parse::<i64>()) {
        None => DAYS,
        Some(Ok(days)) if (1..=DAYS_MAX).contains(&days) => days,
        Some(Ok(_) | Err(_)) => {
            invalid.push("days", format!("must be a whole number from 1 to {DAYS_MAX}"));
            DAYS
        }
    };
    let channel = call.query("channel").and_then(|name| {
        let channel = Channel::from_name(&name);
        if channel.is_none() {
            invalid.push("channel", format!("must be one of {}", Channel::ALL.map(Channel::name).join(", ")));
        }
        channel
    });
    invalid.or(())?;
    let user = call.api.engine.store().user(&id).await?.unwrap_or_else(|| User { id, ..User::default() });
    let quiet = user.preferences.map(|preferences| preferences.quiet_hours).unwrap_or_default();
    let home = user.timezone.as_deref();
    let daily = match channel {
        Some(channel) => quiet.on(channel, home),
        None => quiet.everywhere(home),
    };
    let now = call.api.clock.now();
    let windows = daily.as_ref().map(|daily| daily.windows(now, now + days * DAY_MS)).unwrap_or_default();
    let data: Vec<Value> = windows
        .into_iter()
        .map(|window| json!({ "start": instant(window.start), "end": instant(window.end) }))
        .collect();
    Ok(shapes::ok(&json!({
        "user_id": user.id,
        "enabled": daily.is_some(),
        "timezone": quiet.zone_name(home),
        "data": data,
        "next_cursor": null,
    })))
}
