//! Whether the server is alive, whether it can do its work, and how it is doing.

use std::sync::atomic::Ordering;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::{Api, shapes};
use crate::clock::rfc3339;
use crate::engine::lanes::Health;
use crate::metrics::Readings;
use crate::model::channel::Channel;

/// `GET /healthz`: the process answers.
pub async fn alive(call: Call) -> Result<Response, Problem> {
    Ok(shapes::ok(
        &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"), "uptime": uptime(&call.api) }),
    ))
}

/// `GET /readyz`: it can take notifications, or why not. The reasons name no path: anybody may ask.
pub async fn ready(call: Call) -> Result<Response, Problem> {
    let mut reasons: Vec<String> = Vec::new();
    if call.api.engine.store().broken().is_some() {
        reasons.push("the store takes no writes: the disk is full or failing".to_owned());
    }
    if call.api.supervisor.stopping().is_cancelled() {
        reasons.push("the server is stopping".to_owned());
    }
    let channels = call.api.engine.channels();
    let failed = call.api.engine.backups().failed.map(|(at, _)| {
        format!("backup_failed: the nightly backup failed at {}; the log says why", rfc3339(at))
    });
    let lesser: Vec<String> = channels.iter().flat_map(troubles).chain(failed).collect();
    let (status, word) = if reasons.is_empty() {
        // It takes notifications all the same, and keeps them.
        (StatusCode::OK, if lesser.is_empty() { "ready" } else { "degraded" })
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    reasons.extend(lesser);
    let body = json!({
        "status": word,
        "reasons": reasons,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": uptime(&call.api),
    });
    Ok(shapes::json_response(status, &body))
}

/// What of a channel wants an operator's eye.
fn troubles(health: &Health) -> Vec<String> {
    let channel = health.channel;
    // Which push services there are is said by people's browsers, and nothing of that is told to everybody.
    let ours = health.providers.iter().filter(|_| channel != Channel::BrowserPush);
    let open = ours.filter(|provider| provider.opened_at.is_some());
    let mut troubles: Vec<String> = match health.opened_at {
        Some(_) => vec![format!("circuit_open: the provider of {channel} does not answer")],
        None => open
            .map(|provider| {
                format!(
                    "circuit_open: the provider {} of {channel} does not answer; others take over",
                    provider.name
                )
            })
            .collect(),
    };
    if health.refused {
        troubles.push(format!("provider_rejected: messages of {channel} are refused; see its last error"));
    }
    troubles
}

/// `GET /metrics`: the text that Prometheus reads.
pub async fn metrics(call: Call) -> Result<Response, Problem> {
    let store = call.api.engine.store();
    let readings = Readings {
        connections: call.api.hub.totals(call.api.clock.now()).total as u64,
        messages_sent: call.api.hub.counters().sent,
        store_bytes: store.bytes_on_disk().await,
        store_writes: store.figures().writes.load(Ordering::Relaxed),
        store_groups: store.figures().groups.load(Ordering::Relaxed),
        store_writable: store.broken().is_none(),
        uptime_seconds: uptime(&call.api),
        queued: Channel::ALL.map(|channel| store.backlog().of_channel(channel)),
        endpoint_events_queued: store.backlog().of_endpoints(),
    };
    let open = call.header("accept").is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let (text, kind) = if open {
        (call.api.metrics.text(readings), "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (call.api.metrics.plain_text(readings), "text/plain; version=0.0.4; charset=utf-8")
    };
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    Ok(response)
}

/// `GET /v1/websocket/health`.
pub async fn websocket(call: Call) -> Result<Response, Problem> {
    let now = call.api.clock.now();
    let (totals, counters) = (call.api.hub.totals(now), call.api.hub.counters());
    let figures = &call.api.figures;
    let requests = figures.requests.load(Ordering::Relaxed);
    #[expect(clippy::cast_precision_loss, reason = "figures to look at, not to count with")]
    let average_ms = figures.micros.load(Ordering::Relaxed) as f64 / 1_000.0 / requests.max(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "figures to look at, not to count with")]
    let error_rate = counters.errors as f64 / (counters.sent + counters.errors).max(1) as f64;
    Ok(shapes::ok(&json!({
        "status": if call.api.engine.store().broken().is_none() { "healthy" } else { "degraded" },
        "connections": { "total": totals.total, "active": totals.active, "idle": totals.idle },
        "performance": {
            "messages_per_second": rate(&call.api, counters.sent),
            "average_response_time": average_ms,
            "error_rate": error_rate,
        },
        "uptime": uptime(&call.api),
    })))
}

fn uptime(api: &Api) -> u64 {
    u64::try_from((api.clock.now() - api.started_at) / 1_000).unwrap_or(0)
}

/// Live messages a second, since somebody last asked at least a second ago.
fn rate(api: &Api, sent: u64) -> f64 {
    let now = api.clock.now();
    let mut last = api.figures.rate.lock();
    let (since, before, rate) = if last.0 == 0 { (api.started_at, 0, 0.0) } else { *last };
    let elapsed_ms = now - since;
    if elapsed_ms < 1_000 && last.0 != 0 {
        return rate;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at, not to count with")]
    let fresh = sent.saturating_sub(before) as f64 * 1_000.0 / elapsed_ms.max(1) as f64;
    *last = (now, sent, fresh);
    fresh
}
