//! Shapes of what is sent and of what becomes of it.

use serde_json::{Map, Value, json};

use super::*;

fn notification_fields() -> Map<String, Value> {
    let fields = json!({
        "type": word("What kind of thing happened: an open set."),
        "title": { "type": "string", "minLength": 1, "maxLength": 256, "description": "One line." },
        "message": { "type": "string", "minLength": 1, "maxLength": 32768, "description": "Plain text." },
        "priority": schema("Priority"),
        "category": word("What it is about: an open set, which people turn on and off."),
        "timestamp": instant("When it happened."),
        "action": schema("Action"),
        "metadata": { "type": "object", "description": "Your own data, up to 32 KiB." },
        "channels": { "type": "array", "items": schema("Channel"), "minItems": 1, "description": "The channels to consider; left out, the person's preferences say." },
        "send_at": instant("Not before."),
        "expires_at": instant("Not after."),
    });
    fields.as_object().cloned().unwrap_or_default()
}

/// Every one of them.
pub(super) fn schemas() -> Schemas {
    let mut input = notification_fields();
    let more = json!({
        "id": name("Your own id: a repeat with the same content is the same notification, with other content 409."),
        "user_id": name("The person."),
        "to": { "description": "Several people instead.", "type": "array", "items": { "type": "string" } },
        "topic": name("The members of a topic instead."),
        "template": text("The template to say it with; `title`, `message`, `type`, `priority` and `category` then come from it."),
        "variables": { "type": "object", "description": "What the template is rendered with." },
        "dedupe_key": { "type": "string", "maxLength": 256, "description": "A second one with this key within a day is a duplicate." },
        "collapse_key": { "type": "string", "maxLength": 256, "description": "A newer one with this key takes the place of an older one that has not left yet." },
        "digest_key": { "type": "string", "maxLength": 256, "description": "What gathers in one digest." },
    });
    input.extend(more.as_object().cloned().unwrap_or_default());
    let result = json!({
        "success": flag("Whether it goes out on any channel."), "notification_id": maybe_text("Its id."),
        "channels_sent": list(schema("Channel")), "channels_failed": list(schema("Channel")),
        "channels_pending": list(schema("Channel")),
        "channels_deferred": list(object(&["channel", "until"], json!({ "channel": schema("Channel"), "until": maybe_instant("Until when.") }))),
        "channels_skipped": list(object(&["channel", "reason"], json!({ "channel": schema("Channel"), "reason": { "oneOf": [schema("Reason"), { "type": "null" }] } }))),
        "retry_attempts": count("Attempts beyond each channel's first."),
        "quiet_hours_overridden": flag("Whether it went out in quiet hours because of its priority."),
        "timestamp": instant("When it happened."), "errors": texts(),
        "batch_id": text("Where it went to many: what to follow it by."),
        "results": list(schema("NotificationResult")),
    });
    let mut shown = notification_fields();
    for (name, nullable) in [("timestamp", false), ("send_at", true), ("expires_at", true)] {
        let shape = if nullable { maybe_instant("") } else { instant("") };
        shown.insert(name.to_owned(), shape);
    }
    let more = json!({
        "id": text("Its id."), "user_id": maybe_text("The person; null for a send to many."), "created_at": instant("When it was accepted."),
        "action": { "oneOf": [schema("Action"), { "type": "null" }] }, "metadata": anything("Your own data."),
        "channels": { "type": ["array", "null"], "items": schema("Channel") },
        "offset": { "type": ["integer", "null"], "minimum": 0, "description": "Its place in the person's inbox; null for a send to many." },
        "status": schema("Status"), "batch": schema("Batch"),
    });
    shown.extend(more.as_object().cloned().unwrap_or_default());
    let standing = object(
        &["channel", "status", "attempts"],
        json!({
            "channel": schema("Channel"), "status": schema("Status"),
            "reason": { "oneOf": [schema("Reason"), { "type": "null" }] }, "attempts": count("Attempts so far."),
            "last_error": maybe_text("What went wrong last."), "not_before": maybe_instant("When it goes on."),
            "delivered_at": maybe_instant("When it arrived."),
            "counts": { "type": "object", "additionalProperties": { "type": "integer" }, "description": "Of a send to many: how many stand where." },
        }),
    );
    let schedule = json!({
        "name": { "type": ["string", "null"], "maxLength": 128 }, "cron": text("Five fields: minute, hour, day, month, weekday."),
        "timezone": text("An IANA time zone."), "notification": schema("NotificationInput"), "enabled": flag("Whether it runs."),
        "starts_at": maybe_instant("Not before."), "ends_at": maybe_instant("Not after."),
    });
    let mut scheduled = schedule.clone();
    scheduled["notification"] = json!({ "type": "object" });
    for (name, shape) in [
        ("id", text("Its id.")),
        ("next_fire_times", list(instant("The next five."))),
        ("last_fired_at", maybe_instant("When it ran last.")),
        ("last_result", anything("What came of it.")),
    ] {
        scheduled[name] = shape;
    }
    vec![
        ("NotificationInput", json!({ "type": "object", "properties": input })),
        (
            "NotificationResult",
            object(
                &[
                    "success",
                    "notification_id",
                    "channels_sent",
                    "channels_failed",
                    "channels_pending",
                    "channels_deferred",
                    "channels_skipped",
                    "errors",
                ],
                result,
            ),
        ),
        (
            "Notification",
            object(
                &[
                    "id",
                    "user_id",
                    "type",
                    "title",
                    "message",
                    "priority",
                    "category",
                    "timestamp",
                    "created_at",
                ],
                Value::Object(shown),
            ),
        ),
        (
            "DeliveryStatus",
            object(
                &["notification_id", "overall_status", "channel_statuses"],
                json!({
                    "notification_id": text("Its id."), "overall_status": schema("Status"), "channel_statuses": list(standing),
                    "retry_attempts": count("Attempts beyond each channel's first."), "last_attempt": maybe_instant("The last attempt."),
                    "error_message": maybe_text("What went wrong."), "delivered_at": maybe_instant("When it first arrived."),
                    "counted": count("Of a send to many: how many of its notifications are put together here, at most 1,000."), "batch": schema("Batch"),
                }),
            ),
        ),
        (
            "Timeline",
            object(
                &["data"],
                json!({ "data": list(object(&["at", "event"], json!({
            "at": instant("When."), "event": text("What."), "channel": { "oneOf": [schema("Channel"), { "type": "null" }] },
            "reason": { "oneOf": [schema("Reason"), { "type": "null" }] }, "detail": maybe_text("More in words."),
        }))), "next_cursor": { "type": ["string", "null"] } }),
            ),
        ),
        ("ResendInput", json!({ "type": "object", "properties": { "channels": list(schema("Channel")) } })),
        ("CancelResult", json!({ "anyOf": [schema("NotificationResult"), schema("Batch")] })),
        (
            "SimulationInput",
            json!({ "allOf": [schema("NotificationInput"), object(&[], json!({ "at": instant("When it would come in; now, where it is left out.") }))] }),
        ),
        (
            "Simulation",
            object(
                &["at", "user_id", "plan", "quiet_hours_overridden", "supersedes", "rendered"],
                json!({
                    "at": instant("When it would come in."), "user_id": text("The person."),
                    "plan": list(object(&["channel", "decision"], json!({
                        "channel": schema("Channel"), "decision": { "enum": ["send", "deferred", "skipped"] },
                        "until": instant("Until when."), "reason": schema("Reason"), "because": text("The evidence, in words."),
                    }))),
                    "quiet_hours_overridden": flag("Whether it goes out in quiet hours because of its priority."),
                    "supersedes": { "anyOf": [{ "type": "null" }, object(&["notification_id", "channels"], json!({
                        "notification_id": text("The earlier notification with its `collapse_key`."),
                        "channels": list(schema("Channel")),
                    }))], "description": "What would not be sent any more, since this takes its place." },
                    "rendered": { "type": "object", "description": "What it says in the inbox and on each channel." },
                }),
            ),
        ),
        (
            "WorkflowEvent",
            object(
                &["type", "workflow_id"],
                json!({
                    "type": { "enum": ["workflow_review_required", "workflow_completed", "workflow_failed", "workflow_update"] },
                    "workflow_id": name("The workflow."), "session_id": name("The run."), "user_id": name("Who must know; not needed for an update."),
                    "project_id": text("Your project."), "stage": text("Where it is."),
                    "progress": { "type": "number", "minimum": 0, "maximum": 1 },
                    "status": { "enum": crate::model::workflow::STATUSES }, "message": text("What happened."),
                    "variables": { "type": "object", "description": "More for the template." }, "metadata": { "type": "object" },
                }),
            ),
        ),
        (
            "Broadcast",
            object(
                &["message", "to"],
                json!({
                    "message": object(&["type"], json!({ "type": { "enum": ["notification", "workflow_update"] } })),
                    "to": { "oneOf": [{ "const": "all" }, object(&[], json!({ "user_id": name("One user."), "topic": name("Those who watch a topic.") }))] },
                }),
            ),
        ),
        (
            "BroadcastResult",
            object(
                &["success", "broadcast_id", "connections"],
                json!({
                    "success": flag("Always."), "broadcast_id": text("Its id."), "connections": count("Connections that it was handed to."),
                }),
            ),
        ),
        (
            "BatchInput",
            object(
                &["notifications"],
                json!({
                    "notifications": { "type": "array", "items": schema("NotificationInput"), "minItems": 1 },
                }),
            ),
        ),
        (
            "BatchResult",
            object(
                &["success", "total_sent", "successful", "failed", "errors", "batch_id"],
                json!({
                    "success": flag("Whether all were taken."), "total_sent": count("Items."), "successful": count("Taken."),
                    "failed": count("Refused."), "errors": texts(), "batch_id": text("What to follow it by."), "results": list(json!({ "type": "object" })),
                }),
            ),
        ),
        (
            "Batch",
            object(
                &["id", "state", "total", "processed", "successful", "failed", "created_at"],
                json!({
                    "id": text("Its id."), "state": { "enum": ["running", "completed", "interrupted", "canceled"] }, "total": count("Items, as far as known."),
                    "processed": count("Items looked at, from the first on; of an upload that was interrupted, the lines that were taken."), "successful": count("Taken."), "failed": count("Refused."),
                    "canceled": count("Taken back."), "errors": texts(), "created_at": instant("When it began."), "finished_at": maybe_instant("When it ended."),
                }),
            ),
        ),
        ("ScheduleInput", strict(&["cron", "notification"], schedule.clone())),
        ("SchedulePatch", strict(&[], schedule)),
        (
            "Schedule",
            object(&["id", "cron", "timezone", "notification", "enabled", "next_fire_times"], scheduled),
        ),
    ]
}
