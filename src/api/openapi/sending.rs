//! Operations for sending: notifications, batches, workflow events, broadcasts and schedules.

use serde_json::json;

use super::operation::Access::Key;
use super::operation::{Operation, op};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = notifications();
    all.extend(batches());
    all.extend(schedules());
    all
}

fn notifications() -> Vec<Operation> {
    let tag = "notifications";
    let instant = || json!({ "type": "string", "format": "date-time" });
    let word = || json!({ "type": "string" });
    vec![
        op("post", "/v1/notifications", tag, Key("publish"), "Send a notification")
            .about(
                "To one person (`user_id`), to several (`to`), or to the members of a topic (`topic`). With \
                 `Prefer: wait=N` the answer waits until every channel has settled: 200 then, 202 after N seconds.",
            )
            .takes("NotificationInput")
            .example(json!({
                "user_id": "ada", "type": "build_finished", "title": "Build 42 is done",
                "message": "All tests have passed.", "priority": "medium", "category": "workflow",
                "action": { "label": "Open", "url": "https://ci.example.org/42" },
            }))
            .header("Prefer", "`wait=N`: wait up to N seconds, at most 30.")
            .gives(202, "NotificationResult", "It is on disk, and on its way.")
            .gives(200, "NotificationResult", "It has settled on every channel."),
        op("post", "/v1/notifications/simulate", tag, Key("publish"), "Ask what would become of a notification")
            .about("Nothing is written and nothing is sent. What the person was sent lately counts: repeats by `dedupe_key`, rates, digests that gather. A key with the scope `read` may ask too.")
            .takes("SimulationInput")
            .example(json!({
                "user_id": "ada", "type": "build_finished", "title": "Build 42 is done", "message": "All green.",
                "at": "2026-12-24T22:30:00Z",
            }))
            .gives(200, "Simulation", "The plan, and what each channel would carry."),
        op("get", "/v1/notifications", tag, Key("read"), "List notifications")
            .query("user_id", word(), "Those of one person.")
            .query("category", word(), "Those of one category.")
            .query("type", word(), "Those of one type.")
            .query("priority", json!({ "enum": ["low", "medium", "high", "critical"] }), "Those of one priority.")
            .query("status", super::schemas::status(), "Those that stand so overall.")
            .query("since", instant(), "Not before.")
            .query("until", instant(), "Not after.")
            .lists("Notification"),
        op("get", "/v1/notifications/{id}", tag, Key("read"), "Show a notification").gives(
            200,
            "Notification",
            "The notification.",
        ),
        op("get", "/v1/notifications/{id}/status", tag, Key("read"), "Show where a notification stands")
            .about("Of a send to many, what became of its notifications put together, with how many stand where.")
            .gives(200, "DeliveryStatus", "Where it stands on each channel."),
        op("get", "/v1/notifications/{id}/timeline", tag, Key("read"), "Tell a notification's story")
            .about("Every decision and attempt in order, skips and deferrals included, with the reason. Each notification of a send to many has its own.")
            .gives(200, "Timeline", "Its story."),
        op("post", "/v1/notifications/{id}/cancel", tag, Key("publish"), "Cancel what has not left yet")
            .gives(200, "CancelResult", "Where it stands now; of a send to many, how far it came."),
        op("post", "/v1/notifications/{id}/resend", tag, Key("publish"), "Send a notification again")
            .about("On the channels that are named, or else on those that failed.")
            .may_take("ResendInput")
            .example(json!({ "channels": ["email"] }))
            .gives(202, "NotificationResult", "It is on its way again."),
        publish("post"),
        publish("put"),
        op("post", "/v1/workflow-events", "workflows", Key("publish"), "Report a workflow's event")
            .about(
                "`workflow_review_required`, `workflow_completed` and `workflow_failed` notify `user_id` from the \
                 template of that name; `workflow_update` only pushes to those who watch. An unknown type is 422 \
                 `unknown_event_type`.",
            )
            .takes("WorkflowEvent")
            .example(json!({
                "type": "workflow_failed", "workflow_id": "nightly", "user_id": "ada", "message": "disk full",
            }))
            .gives(202, "NotificationResult", "It is on disk, and pushed."),
        op("post", "/v1/broadcasts", "live", Key("publish"), "Push a message to whoever is connected")
            .about("Kept nowhere: who is not connected does not get it.")
            .takes("Broadcast")
            .example(json!({
                "to": "all", "message": { "type": "notification", "title": "Maintenance", "message": "At noon." },
            }))
            .gives(202, "BroadcastResult", "It was handed to that many connections."),
    ]
}

/// The same by POST and by PUT, since some tools know only one of them.
fn publish(method: &'static str) -> Operation {
    op(method, "/p/{topic}", "notifications", Key("publish"), "Publish to a topic with one line")
        .about("The body is the message; headers say the rest: `curl -d \"Backup done\" …/p/ops`.")
        .takes_raw("text/plain", "The message.")
        .header("Title", "The title; the topic's name where it is left out.")
        .header("Priority", "low, medium, high, critical, or 1 to 5.")
        .header("Category", "The category.")
        .header("Click", "Where the button leads.")
        .header("Delay", "When, as an instant or a duration such as 30m.")
        .gives(202, "NotificationResult", "It is on disk, and on its way.")
}

fn batches() -> Vec<Operation> {
    let tag = "batches";
    vec![
        op("post", "/v1/notifications/batch", tag, Key("publish"), "Send many notifications")
            .about(
                "A JSON list of up to 1,000, or a stream of up to 100,000 lines (`application/x-ndjson`). Invalid items \
                 fail alone.",
            )
            .takes("BatchInput")
            .takes_raw("application/x-ndjson", "One notification a line.")
            .header("Prefer", "`wait=N`: wait up to N seconds, at most 30.")
            .gives(202, "BatchResult", "What was taken is on disk.")
            .gives(200, "BatchResult", "What was taken has settled."),
        op("get", "/v1/batches", tag, Key("read"), "List batches").lists("Batch"),
        op("get", "/v1/batches/{id}", tag, Key("read"), "Show how far a batch is").gives(
            200,
            "Batch",
            "How far it is.",
        ),
        op("post", "/v1/batches/{id}/cancel", tag, Key("publish"), "Cancel what of a batch has not left yet").gives(
            200,
            "Batch",
            "How far it came.",
        ),
    ]
}

fn schedules() -> Vec<Operation> {
    let tag = "schedules";
    vec![
        op("get", "/v1/schedules", tag, Key("read"), "List schedules").lists("Schedule"),
        op("post", "/v1/schedules", tag, Key("publish"), "Make a schedule")
            .about("A cron expression of five fields on the wall clock of an IANA time zone.")
            .takes("ScheduleInput")
            .example(json!({
                "name": "standup", "cron": "30 9 * * mon-fri", "timezone": "Europe/Berlin",
                "notification": { "user_id": "ada", "type": "reminder", "title": "Stand-up", "message": "In 5 minutes." },
            }))
            .gives(201, "Schedule", "It was made; `next_fire_times` are the next five."),
        op("get", "/v1/schedules/{id}", tag, Key("read"), "Show a schedule").gives(200, "Schedule", "The schedule."),
        op("put", "/v1/schedules/{id}", tag, Key("publish"), "Replace a schedule")
            .takes("ScheduleInput")
            .gives(200, "Schedule", "The schedule as it is now."),
        op("patch", "/v1/schedules/{id}", tag, Key("publish"), "Change a schedule")
            .takes("SchedulePatch")
            .gives(200, "Schedule", "The schedule as it is now."),
        op("delete", "/v1/schedules/{id}", tag, Key("publish"), "Remove a schedule")
            .gives_nothing(204, "It is gone."),
        op("post", "/v1/schedules/{id}/run", tag, Key("publish"), "Run a schedule now")
            .gives(202, "NotificationResult", "It was sent as if it were time."),
    ]
}
