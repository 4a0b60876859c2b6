//! Shapes of people: who they are, what they want, what they got.

use serde_json::json;

use super::*;

/// Every one of them.
pub(super) fn schemas() -> Schemas {
    let user = json!({
        "email": { "type": ["string", "null"], "maxLength": 254 }, "phone": { "type": ["string", "null"], "description": "In E.164, as +491701234567." },
        "locale": { "type": ["string", "null"], "description": "A language tag such as de or en-GB." },
        "timezone": { "type": ["string", "null"], "description": "An IANA time zone." }, "attributes": anything("Your own data."),
    });
    let mut shown = user.clone();
    for (name, shape) in [
        ("id", text("Their id.")),
        ("created_at", instant("When we first heard of them.")),
        ("updated_at", instant("When anything changed.")),
    ] {
        shown[name] = shape;
    }
    let channels = || json!({ "type": "object", "additionalProperties": { "type": "boolean" } });
    let quiet = object(
        &[],
        json!({
            "enabled": flag("Whether they hold."), "start": text("HH:MM, inclusive."), "end": text("HH:MM, exclusive."), "timezone": text("An IANA time zone."),
            "days": texts(), "override_priorities": list(schema("Priority")),
        }),
    );
    let preferences = json!({
        "channels": channels(), "categories": { "type": "object", "description": "For each category on or off, or on or off for each channel." },
        "quiet_hours": quiet, "digest": { "type": "object", "description": "How each category gathers." },
        "unsubscribed": { "type": "object", "description": "What a link in a message turned off." },
    });
    let mut known = preferences.clone();
    known["user_id"] = text("Whose they are.");
    known["updated_at"] = maybe_instant("When they last changed.");
    let category = json!({
        "description": { "type": ["string", "null"] }, "channels": channels(), "required": flag("Whether nobody can turn it off."),
        "quiet_hours": anything("Quiet hours of its own."), "digest": anything("How it gathers."), "throttle": anything("How many are let through."),
        "retention_days": { "type": ["integer", "null"], "minimum": 1 },
    });
    let mut category_shown = category.clone();
    category_shown["name"] = text("Its name.");
    let entry = json!({ "allOf": [schema("Notification"), object(&["seen", "read", "archived"], json!({
        "seen": flag("Shown."), "read": flag("Read."), "archived": flag("Put away."),
    }))] });
    vec![
        ("UserInput", json!({ "type": "object", "properties": user })),
        ("User", object(&["id", "created_at", "updated_at"], shown)),
        (
            "PushSubscription",
            object(
                &["id", "endpoint", "created_at"],
                json!({
                    "id": text("Its id."), "endpoint": text("Part of its endpoint."), "created_at": instant("Since when."),
                    "expires_at": maybe_instant("Until when."), "last_success": maybe_instant("When it last took a message."),
                }),
            ),
        ),
        (
            "PushSubscriptions",
            object(
                &["data", "next_cursor"],
                json!({ "data": list(schema("PushSubscription")), "next_cursor": { "type": ["string", "null"] } }),
            ),
        ),
        (
            "PushSubscriptionInput",
            object(
                &["endpoint", "keys"],
                json!({
                    "endpoint": text("Where the browser's push service listens."), "expirationTime": { "type": ["number", "null"] },
                    "keys": object(&["p256dh", "auth"], json!({ "p256dh": text("In base64url."), "auth": text("In base64url.") })),
                    "applicationServerKey": text("The key it was subscribed with; the present one, where it is left out."),
                }),
            ),
        ),
        (
            "Suppression",
            object(
                &["id", "channel", "address", "source", "since"],
                json!({
                    "id": text("Its id."), "channel": { "enum": ["email", "sms"] }, "address": text("The address."),
                    "reason": maybe_text("Why."), "source": { "enum": ["api", "provider", "bounce"] }, "since": instant("Since when."),
                }),
            ),
        ),
        (
            "SuppressionInput",
            strict(
                &["channel", "address"],
                json!({ "channel": { "enum": ["email", "sms"] }, "address": text("The address."), "reason": maybe_text("Why.") }),
            ),
        ),
        (
            "PushRenewal",
            object(
                &["old", "subscription"],
                json!({ "old": schema("PushSubscriptionInput"), "subscription": schema("PushSubscriptionInput") }),
            ),
        ),
        (
            "PushKey",
            object(
                &["public_key"],
                json!({ "public_key": text("In base64url."), "applicationServerKey": text("The same.") }),
            ),
        ),
        (
            "UserExport",
            object(
                &["user", "preferences", "notifications", "next_cursor"],
                json!({
                    "user": schema("User"), "preferences": schema("Preferences"), "preferences_history": list(json!({ "type": "object" })),
                    "topics": list(schema("TopicOfUser")), "notifications": list(json!({ "type": "object" })),
                    "schedules": list(schema("Schedule")), "hooks": list(schema("Hook")), "endpoints": list(schema("Endpoint")),
                    "suppressions": list(schema("Suppression")), "captured": list(schema("Captured")), "workflows": texts(),
                    "push_subscriptions": list(schema("PushSubscription")),
                    "next_cursor": { "type": ["string", "null"] }, "exported_at": instant("When."),
                }),
            ),
        ),
        (
            "TokenInput",
            strict(
                &[],
                json!({
                    "expires_in": { "type": "integer", "minimum": 1, "maximum": 31536000, "default": 3600, "description": "Seconds." },
                    "workflows": list(text("A workflow, or `*`.")), "topics": list(text("A topic.")),
                }),
            ),
        ),
        (
            "Token",
            object(
                &["token", "user_id", "expires_at"],
                json!({
                    "token": text("The token."), "user_id": text("Whose it is."), "expires_at": instant("Until when it holds."),
                }),
            ),
        ),
        ("PreferencesInput", json!({ "type": "object", "properties": preferences })),
        ("Preferences", object(&["user_id", "channels", "categories", "quiet_hours"], known)),
        (
            "EffectivePreferences",
            object(
                &["user_id", "data"],
                json!({ "user_id": text("Whose they are."), "data": list(object(
            &["category", "channel", "value", "layer"],
            json!({ "category": text("The category."), "channel": schema("Channel"), "value": flag("On or off."), "layer": text("What decided."), "because": text("In words.") }),
        )) }),
            ),
        ),
        (
            "PreferencesHistory",
            object(
                &["data"],
                json!({ "data": list(object(&["at", "changes"], json!({ "at": instant("When."), "changes": list(json!({ "type": "object" })) }))) }),
            ),
        ),
        (
            "QuietHoursPreview",
            object(
                &["user_id", "enabled", "data"],
                json!({
                    "user_id": text("Whose they are."), "enabled": flag("Whether there are any."), "timezone": text("Whose clock."),
                    "data": list(object(&["start", "end"], json!({ "start": instant("Inclusive."), "end": instant("Exclusive.") }))),
                }),
            ),
        ),
        ("CategoryInput", json!({ "type": "object", "properties": category })),
        ("Category", object(&["name", "required"], category_shown)),
        ("InboxEntry", entry),
        (
            "Counts",
            object(
                &["total", "unread", "unseen"],
                json!({ "total": count("In the inbox."), "unread": count("Not read."), "unseen": count("Not shown.") }),
            ),
        ),
        (
            "MarkInput",
            object(
                &["as"],
                json!({
                    "ids": { "type": "array", "items": { "type": "string" } }, "all": flag("All of them."), "as": { "enum": ["seen", "read", "unread", "archived"] },
                }),
            ),
        ),
        (
            "MarkResult",
            object(
                &["success", "marked", "counts"],
                json!({ "success": flag("Always."), "marked": count("How many changed."), "counts": schema("Counts") }),
            ),
        ),
        ("TopicInput", json!({ "type": "object", "properties": { "description": { "type": "string" } } })),
        (
            "Topic",
            object(
                &["name", "members", "created_at"],
                json!({
                    "name": text("Its name."), "description": maybe_text("What it is for."), "members": count("How many belong to it."),
                    "created_at": instant("When it was made."), "updated_at": instant("When it last changed."),
                }),
            ),
        ),
        (
            "TopicOfUser",
            object(
                &["name", "since"],
                json!({ "name": text("The topic."), "since": instant("Since when.") }),
            ),
        ),
        (
            "Member",
            object(
                &["user_id", "since"],
                json!({ "user_id": text("The user."), "since": instant("Since when.") }),
            ),
        ),
        ("MembersInput", object(&["user_ids"], json!({ "user_ids": texts() }))),
        (
            "MembersAdded",
            object(
                &["success", "added", "members"],
                json!({ "success": flag("Always."), "added": count("New ones."), "members": count("All of them.") }),
            ),
        ),
        (
            "MembersRemoved",
            object(
                &["success", "removed", "members"],
                json!({ "success": flag("Always."), "removed": count("Gone."), "members": count("All that are left.") }),
            ),
        ),
    ]
}
