//! `GET /v1/analytics`: how many, on which channels, and how it went, over a range of the notifications' own timestamps.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::parse_instant;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::clock::Millis;
use crate::engine::report::instant;
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::model::invalid::Invalid;
use crate::model::notification::Priority;
use crate::store::rollups::{Cell, Counts, MINUTE_MS, bucket_end, priority_of, status_of};

/// The range where none is named: the last thirty days.
const RANGE_MS: Millis = 30 * 24 * 60 * MINUTE_MS;
/// The most points in a series.
const POINTS_MAX: i64 = 1_000;
/// The longest range, in days: ten years.
const RANGE_DAYS_MAX: Millis = 3_660;

/// `GET /v1/analytics`.
pub async fn show(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let (start, end) = range(&call)?;
    let step = step(&call, start, end)?;
    let store = call.api.engine.store();
    let mut body = summary(&store.counted(start, end).await?);
    body.insert("time_range".to_owned(), json!({ "start": instant(start), "end": instant(end) }));
    if let Some(step) = step {
        let mut series = Vec::new();
        let mut from = start.div_euclid(step) * step;
        while from <= end {
            let until = from + step - 1;
            let mut point = summary(&store.counted(from.max(start), until.min(end)).await?);
            point.insert("start".to_owned(), json!(instant(from)));
            series.push(Value::Object(point));
            from += step;
        }
        body.insert("series".to_owned(), Value::Array(series));
    }
    Ok(shapes::ok(&Value::Object(body)))
}

fn range(call: &Call) -> Result<(Millis, Millis), Problem> {
    let named = |name: &str| -> Result<Option<Millis>, Invalid> {
        let Some(text) = call.query(name) else { return Ok(None) };
        let wrong = || Invalid::one(name, "must be an instant such as 2026-11-24T08:00:00Z");
        parse_instant(&text).map(Some).ok_or_else(wrong)
    };
    let end = named("end")?.unwrap_or_else(|| call.api.clock.now());
    let start = named("start")?.unwrap_or(end.saturating_sub(RANGE_MS));
    if start > end {
        return Err(Invalid::one("start", "must not be after end").into());
    }
    if end - start > RANGE_DAYS_MAX * 24 * 60 * MINUTE_MS {
        return Err(Invalid::one("start", format!("must be at most {RANGE_DAYS_MAX} days before end")).into());
    }
    Ok((start, end))
}

/// How long a point of the series is, where one is asked for. The breakdowns are always there.
fn step(call: &Call, start: Millis, end: Millis) -> Result<Option<Millis>, Problem> {
    let step = match call.query("group_by").as_deref() {
        None | Some("channel" | "category" | "priority") => return Ok(None),
        Some("minute") => MINUTE_MS,
        Some("hour") => 60 * MINUTE_MS,
        Some("day") => 24 * 60 * MINUTE_MS,
        Some(_) => {
            let detail = "must be one of minute, hour, day, channel, category, priority";
            return Err(Invalid::one("group_by", detail).into());
        }
    };
    if (end - start) / step >= POINTS_MAX {
        let detail =
            format!("would give more than {POINTS_MAX} points; ask for a shorter range or a longer step");
        return Err(Invalid::one("group_by", detail).into());
    }
    Ok(Some(step))
}

/// How it went on one channel.
#[derive(Default)]
struct OnChannel {
    by_status: BTreeMap<&'static str, i64>,
    took: BTreeMap<u8, i64>,
}

fn summary(counts: &Counts) -> Map<String, Value> {
    let (mut categories, mut priorities, mut reasons) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut channels: BTreeMap<Channel, OnChannel> = BTreeMap::new();
    let mut total = 0;
    for (cell, count) in counts {
        match cell {
            Cell::Accepted(category, priority) => {
                total += count;
                *categories.entry(category.as_str()).or_insert(0) += count;
                let priority = priority_of(*priority).map_or("unknown", Priority::name);
                *priorities.entry(priority).or_insert(0) += count;
            }
            Cell::Reached(channel, status, reason) => {
                let Some(status) = status_of(*status) else { continue };
                *channels.entry(*channel).or_default().by_status.entry(status.name()).or_insert(0) += count;
                if let Some(reason) = reason {
                    *reasons.entry(reason.name()).or_insert(0) += count;
                }
            }
            Cell::Took(channel, bucket) => {
                *channels.entry(*channel).or_default().took.entry(*bucket).or_insert(0) += count;
            }
        }
    }
    let all = |status: Status| -> i64 { channels.values().map(|on| on.of(status)).sum() };
    let successful: BTreeMap<&str, i64> =
        channels.iter().map(|(channel, on)| (channel.name(), on.successful())).collect();
    let details: BTreeMap<&str, Value> =
        channels.iter().map(|(channel, on)| (channel.name(), on.shape())).collect();
    let body = json!({
        "total_notifications": total,
        "successful_deliveries": successful.values().sum::<i64>(),
        "failed_deliveries": all(Status::Failed),
        "skipped": all(Status::Skipped),
        "deferred": all(Status::Deferred) + all(Status::Batched),
        "canceled": all(Status::Canceled),
        "expired": all(Status::Expired),
        "channel_breakdown": successful,
        "category_breakdown": categories,
        "priority_breakdown": priorities,
        "reason_breakdown": reasons,
        "channels": details,
    });
    match body {
        Value::Object(body) => body,
        _ => Map::new(),
    }
}

impl OnChannel {
    fn of(&self, status: Status) -> i64 {
        self.by_status.get(status.name()).copied().unwrap_or(0)
    }

    fn successful(&self) -> i64 {
        self.of(Status::Sent) + self.of(Status::Delivered)
    }

    fn shape(&self) -> Value {
        json!({
            "statuses": self.by_status,
            "latency_ms": {
                "p50": self.within(0.5),
                "p90": self.within(0.9),
                "p99": self.within(0.99),
            },
        })
    }

    /// The time within which that share of what left had left after it was due; a fifth too long at most.
    fn within(&self, share: f64) -> Option<i64> {
        let total: i64 = self.took.values().sum();
        let wanted = (total as f64 * share).ceil() as i64;
        let mut so_far = 0;
        self.took.iter().find_map(|(bucket, count)| {
            so_far += count;
            (total > 0 && so_far >= wanted).then(|| bucket_end(*bucket).round() as i64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::Reason;

    #[test]
    fn counts_are_added_up_by_what_they_are_of() {
        let counts = Counts::from([
            (Cell::accepted("system", Priority::High), 3),
            (Cell::accepted("billing", Priority::High), 1),
            (Cell::reached(Channel::Email, Status::Sent, None), 2),
            (Cell::reached(Channel::InApp, Status::Delivered, None), 4),
            (Cell::reached(Channel::Email, Status::Failed, Some(Reason::ProviderRejected)), 1),
            (Cell::reached(Channel::Email, Status::Batched, Some(Reason::Batched)), 1),
            (Cell::took(Channel::Email, 10), 9),
            (Cell::took(Channel::Email, 1_000), 1),
        ]);
        let body = summary(&counts);
        assert_eq!((&body["total_notifications"], &body["successful_deliveries"]), (&json!(4), &json!(6)));
        assert_eq!((&body["failed_deliveries"], &body["deferred"]), (&json!(1), &json!(1)));
        assert_eq!(body["channel_breakdown"], json!({ "email": 2, "in_app": 4 }));
        assert_eq!(body["category_breakdown"], json!({ "billing": 1, "system": 3 }));
        assert_eq!(body["reason_breakdown"], json!({ "batched": 1, "provider_rejected": 1 }));
        let latency = &body["channels"]["email"]["latency_ms"];
        assert_eq!(latency["p50"], 10);
        assert!(latency["p99"].as_i64().is_some_and(|p99| (1_000..=1_200).contains(&p99)), "{latency}");
    }
}
