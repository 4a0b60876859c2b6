//! `/v1/channels`: how the ways out are doing, and a test message on one of them.

use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::lanes::Health;
use crate::engine::providers::ProviderHealth;
use crate::engine::report::instant;
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::{Outcome, Reason};
use crate::model::user::{EMAIL_BYTES_MAX, check_email, check_phone};

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Capture => "capture",
        Mode::Off => "off",
    }
}

/// One word for how a channel is doing.
fn state(health: &Health) -> &'static str {
    match health {
        Health { mode: Mode::Off, .. } => "disabled",
        Health { opened_at: Some(_), .. } => "open",
        Health { refused: true, .. } => "degraded",
        Health { providers, .. } if providers.iter().any(|provider| provider.failures > 0) => "degraded",
        Health { .. } => "ok",
    }
}

fn reason(health: &Health) -> Option<Reason> {
    match health {
        Health { opened_at: Some(_), .. } => Some(Reason::CircuitOpen),
        Health { refused: true, .. } => Some(Reason::ProviderRejected),
        Health { .. } => None,
    }
}

fn provider_state(provider: &ProviderHealth) -> &'static str {
    match provider {
        ProviderHealth { opened_at: Some(_), .. } => "open",
        ProviderHealth { failures: 1.., .. } => "degraded",
        ProviderHealth { .. } => "ok",
    }
}

fn provider_shape(provider: &ProviderHealth) -> Value {
    json!({
        "name": provider.name,
        "state": provider_state(provider),
        "failures": provider.failures,
        "last_error": provider.last_error.as_ref().map(|(_, error)| error),
        "last_error_at": shapes::maybe_instant(provider.last_error.as_ref().map(|(at, _)| *at)),
        "last_success_at": shapes::maybe_instant(provider.last_success_at),
        "opened_at": shapes::maybe_instant(provider.opened_at),
    })
}

fn shape(health: &Health) -> Value {
    json!({
        "channel": health.channel.name(),
        "mode": mode(health.mode),
        "state": state(health),
        "reason": reason(health).map(Reason::name),
        "provider": health.providers.first().map(|provider| &provider.name),
        "providers": health.providers.iter().map(provider_shape).collect::<Vec<_>>(),
        "queued": health.queued,
        "in_flight": health.in_flight,
        "failures": health.providers.iter().map(|provider| provider.failures).max().unwrap_or(0),
        "last_error": health.last_error.as_ref().map(|(_, error)| error),
        "last_error_at": shapes::maybe_instant(health.last_error.as_ref().map(|(at, _)| *at)),
        "last_success_at": shapes::maybe_instant(health.last_success_at),
        "opened_at": shapes::maybe_instant(health.opened_at),
    })
}

/// `GET /v1/channels`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let data: Vec<Value> = call.api.engine.channels().iter().map(shape).collect();
    let endpoints = call.api.engine.endpoint_figures();
    Ok(shapes::ok(&json!({
        "data": data,
        "next_cursor": null,
        "endpoints": {
            "total": endpoints.total,
            "disabled": endpoints.disabled,
            "open": endpoints.open,
            "queued": endpoints.queued,
        },
    })))
}

/// `POST /v1/channels/{channel}/test`: sends a message now, and says what happened step by step.
pub async fn test(mut call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let channel = Channel::from_name(name).ok_or_else(|| Problem::not_found("channel"))?;
    let body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    fields.only(&["to"]);
    let given = fields.short_text("to", EMAIL_BYTES_MAX);
    let given = fields.required("to", given).unwrap_or_default();
    let (to, checked) = match channel {
        Channel::Email => (given.to_owned(), check_email(given)),
        Channel::Sms => {
            let country = call.api.limits.load().calling_code;
            let to = country.map_or(given.to_owned(), |country| country.complete(given));
            let checked = check_phone(&to);
            (to, checked)
        }
        Channel::InApp | Channel::BrowserPush | Channel::Webhook => {
            return Err(Problem::conflict(
                "this channel is not reached by an address; send a notification to a user, or test an endpoint by \
                 /v1/endpoints/{id}/test",
            ));
        }
    };
    if let (false, Err(detail)) = (given.is_empty(), checked) {
        fields.wrong("to", detail);
    }
    let to = fields.finish(to)?;
    let trial = call.api.engine.try_channel(channel, &to).await;
    let (success, reason) = match &trial.outcome {
        Outcome::Sent { .. } | Outcome::Delivered { .. } => (true, None),
        Outcome::Retry { reason, .. } | Outcome::Failed { reason, .. } | Outcome::Skipped { reason } => {
            (false, Some(reason.name()))
        }
        Outcome::NoSuchAddress { .. } => (false, Some(Reason::ProviderRejected.name())),
        Outcome::Down { .. } => (false, Some(Reason::ProviderUnreachable.name())),
    };
    let ms = |duration: &std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let steps: Vec<Value> = trial
        .steps
        .iter()
        .map(|(after, step, detail)| json!({ "after_ms": ms(after), "step": step, "detail": detail }))
        .collect();
    Ok(shapes::ok(&json!({
        "channel": channel.name(),
        "to": to,
        "mode": mode(trial.mode),
        "success": success,
        "reason": reason,
        "at": instant(call.api.clock.now()),
        "steps": steps,
    })))
}
