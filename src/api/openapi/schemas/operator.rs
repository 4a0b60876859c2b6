//! Shapes of what is live, of templates and keys, and of how the server is doing.

use serde_json::json;

use super::*;

/// What is live.
pub(super) fn live() -> Schemas {
    vec![
        (
            "Connection",
            object(
                &["id", "user_id", "state", "connected_at"],
                json!({
                    "id": text("Its id."), "user_id": maybe_text("Whose it is."), "session_id": maybe_text("What it was opened for."), "state": text("How it is."),
                    "connected_at": instant("Since when."), "last_heartbeat": instant("When it last showed life."), "subscriptions": texts(),
                    "sent": count("Messages sent."), "queue": count("Messages waiting."),
                }),
            ),
        ),
        (
            "WebSocketHealth",
            object(
                &["status", "connections", "performance", "uptime"],
                json!({
                    "status": text("`healthy` or `degraded`."),
                    "connections": object(&["total", "active", "idle"], json!({ "total": count("All."), "active": count("Not idle."), "idle": count("Idle.") })),
                    "performance": object(&["messages_per_second", "average_response_time", "error_rate"], json!({
                        "messages_per_second": { "type": "number" }, "average_response_time": { "type": "number", "description": "Milliseconds." }, "error_rate": { "type": "number" },
                    })),
                    "uptime": count("Seconds."),
                }),
            ),
        ),
    ]
}

/// Every one of them.
pub(super) fn schemas() -> Schemas {
    let source =
        |about: &str| json!({ "type": "string", "minLength": 1, "maxLength": 65536, "description": about });
    let channels = strict(
        &[],
        json!({
            "email": strict(&[], json!({ "subject": source("The subject."), "html": source("HTML, in the layout of every mail, or a whole document."), "text": source("Plain text.") })),
            "sms": strict(&[], json!({ "text": source("The text.") })),
            "browser_push": strict(&[], json!({ "title": source("The first line."), "body": source("The rest.") })),
        }),
    );
    let own = strict(
        &[],
        json!({
            "title_template": source("The title."), "message_template": source("The message."), "channels": channels,
        }),
    );
    let template = json!({
        "name": text("Its name."), "type": word("The notification's type."), "title_template": source("The title, in Handlebars."),
        "message_template": source("The message, in Handlebars."),
        "variables": { "type": "array", "items": { "type": "string" }, "maxItems": 200, "description": "Those without which it does not render." },
        "priority": schema("Priority"), "category": word("The notification's category."), "channels": channels,
        "locales": { "type": "object", "additionalProperties": own, "description": "Other words by language tag: the reader's locale, then their language, then the default." },
    });
    let mut shown = template.clone();
    for (name, shape) in [
        ("optional_variables", texts()),
        ("version", count("Its version; 0 for a built-in one.")),
        ("built_in", flag("Whether it is built in.")),
        ("updated_at", maybe_instant("When this version was stored.")),
        ("error", text("Why it does not render any more.")),
    ] {
        shown[name] = shape;
    }
    let mut version = shown.clone();
    version["current"] = flag("Whether this one holds.");
    let key = json!({
        "id": text("Its id."), "name": text("Its name."), "scopes": texts(), "created_at": instant("When it was made."),
        "expires_at": maybe_instant("Until when it holds."), "last_used_at": maybe_instant("When it was last used."),
    });
    let mut new_key = key.clone();
    new_key["token"] = text("The token, shown this once.");
    let keys = object(&["id", "name", "scopes", "created_at"], key);
    vec![
        (
            "TemplateInput",
            json!({ "type": "object", "required": ["title_template", "message_template"], "properties": template }),
        ),
        (
            "Template",
            object(
                &[
                    "name",
                    "type",
                    "title_template",
                    "message_template",
                    "variables",
                    "priority",
                    "category",
                    "version",
                ],
                shown,
            ),
        ),
        ("TemplateVersion", object(&["name", "version", "current"], version)),
        (
            "Analytics",
            object(
                &[
                    "total_notifications",
                    "successful_deliveries",
                    "failed_deliveries",
                    "channel_breakdown",
                    "category_breakdown",
                    "priority_breakdown",
                    "time_range",
                ],
                json!({
                    "total_notifications": count("Accepted."), "successful_deliveries": count("Sent or delivered."),
                    "failed_deliveries": count("Given up."), "skipped": count("Not sent, with a reason."), "deferred": count("Held."),
                    "channel_breakdown": { "type": "object" }, "category_breakdown": { "type": "object" }, "priority_breakdown": { "type": "object" },
                    "reason_breakdown": { "type": "object" }, "channels": { "type": "object" },
                    "time_range": object(&["start", "end"], json!({ "start": instant("From."), "end": instant("To.") })),
                    "series": list(json!({ "type": "object" })),
                }),
            ),
        ),
        (
            "ChannelHealths",
            object(
                &["data", "next_cursor", "endpoints"],
                json!({
                    "data": list(object(
                        &["channel", "mode", "state", "queued", "in_flight", "failures"],
                        json!({
                            "channel": schema("Channel"), "mode": { "enum": ["live", "capture", "off"] },
                            "state": { "enum": ["ok", "degraded", "open", "disabled"], "description": "`open`: its provider is left alone for a while." },
                            "reason": maybe_text("Why."), "provider": maybe_text("Who carries it, the first to be asked."), "providers": list(schema("ProviderHealth")),
                            "queued": count("Deliveries that are due or wait for their time, those under way included."),
                            "in_flight": count("Deliveries under way."), "failures": count("Failures in a row, of the provider that has the most."),
                            "last_error": maybe_text("What went wrong last."), "last_error_at": maybe_instant("When."),
                            "last_success_at": maybe_instant("When it last worked."), "opened_at": maybe_instant("Since when it is left alone."),
                        }),
                    )),
                    "next_cursor": { "type": ["string", "null"] },
                    "endpoints": object(&["total", "disabled", "open", "queued"], json!({
                        "total": count("Outbound webhooks."), "disabled": count("Of these, called no more."),
                        "open": count("Of these, left alone for a while since they do not answer."), "queued": count("Events that wait for them."),
                    })),
                }),
            ),
        ),
        (
            "ProviderHealth",
            object(
                &["name", "state", "failures"],
                json!({
                    "name": text("Its name."), "state": { "enum": ["ok", "degraded", "open"], "description": "`open`: it does not answer and is passed over, and probed until it does." },
                    "failures": count("Failures in a row."), "last_error": maybe_text("What went wrong last."), "last_error_at": maybe_instant("When."),
                    "last_success_at": maybe_instant("When it last took a message."), "opened_at": maybe_instant("Since when it is left alone."),
                }),
            ),
        ),
        ("ChannelTestInput", strict(&["to"], json!({ "to": text("A mail address, or a phone number.") }))),
        (
            "ChannelTest",
            object(
                &["channel", "to", "mode", "success", "at", "steps"],
                json!({
                    "channel": schema("Channel"), "to": text("The address."), "mode": { "enum": ["live", "capture", "off"] },
                    "success": flag("Whether it was taken."), "reason": maybe_text("Why not."), "at": instant("When."),
                    "steps": list(object(&["after_ms", "step"], json!({ "after_ms": count("Since the beginning."), "step": text("What."), "detail": maybe_text("What was said.") }))),
                }),
            ),
        ),
        (
            "RollbackInput",
            object(
                &["version"],
                json!({ "version": { "type": "integer", "minimum": 1, "maximum": u32::MAX } }),
            ),
        ),
        (
            "RenderInput",
            json!({ "type": "object", "properties": {
            "variables": { "type": "object" }, "locale": text("A language tag."), "timezone": text("An IANA time zone."),
            "user_id": name("For whom: their locale and zone are taken where none is given."), "channel": schema("Channel"),
        } }),
        ),
        (
            "RenderResult",
            object(
                &["success", "title", "message", "priority", "category"],
                json!({
                    "success": flag("Always."), "title": text("The title."), "message": text("The message."), "priority": schema("Priority"), "category": text("The category."),
                    "channel": schema("Channel"), "channels": { "type": "object" }, "subject": text("A mail's subject."), "html": text("A mail's HTML."), "text": text("Plain text."), "body": text("A push message's body."),
                }),
            ),
        ),
        (
            "Keys",
            object(
                &["data", "next_cursor"],
                json!({ "data": list(keys), "next_cursor": { "type": ["string", "null"] } }),
            ),
        ),
        (
            "KeyInput",
            object(
                &["name", "scopes"],
                json!({
                    "name": { "type": "string", "minLength": 1, "maxLength": 128 },
                    "scopes": { "type": "array", "minItems": 1, "items": text("publish, read, admin or ingest:<hook>.") },
                    "expires_in": { "type": "integer", "minimum": 1, "maximum": 315_360_000, "description": "Seconds." },
                }),
            ),
        ),
        ("NewKey", object(&["id", "name", "scopes", "token"], new_key)),
        (
            "Captured",
            object(
                &["id", "channel", "to", "title", "text"],
                json!({
                    "id": text("Its id."), "channel": schema("Channel"), "notification_id": text("Whose message."), "user_id": text("For whom."), "to": text("The address."),
                    "title": text("The title."), "text": text("The text."), "html": maybe_text("The HTML."),
                }),
            ),
        ),
        (
            "Alive",
            object(
                &["status", "version", "uptime"],
                json!({ "status": text("`ok`."), "version": text("The version."), "uptime": count("Seconds.") }),
            ),
        ),
        (
            "Ready",
            object(
                &["status", "reasons"],
                json!({ "status": text("`ready` or `not_ready`."), "reasons": texts(), "version": text("The version."), "uptime": count("Seconds.") }),
            ),
        ),
    ]
}
