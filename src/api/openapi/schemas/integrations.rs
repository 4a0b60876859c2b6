//! Shapes of ways in and out for other systems.

use serde_json::json;

use super::{
    Schemas, count, flag, instant, list, maybe_instant, maybe_text, name, object, strict, text, texts,
};

/// Every one of them.
pub(super) fn schemas() -> Schemas {
    let endpoint = json!({
        "id": text("Its id."),
        "url": text("Where it listens."),
        "events": texts(),
        "user_id": maybe_text("Whose own endpoint it is, where it is one."),
        "description": maybe_text("What it is for."),
        "state": { "enum": ["ok", "degraded", "open", "disabled"], "description": "`open`: it does not answer, is left alone for a while, and probed until it does." },
        "opened_at": maybe_instant("Since when it is left alone."),
        "disabled": flag("Whether nothing is sent to it."),
        "disabled_reason": maybe_text("Why not."),
        "disabled_at": maybe_instant("Since when."),
        "failing_since": maybe_instant("Since when it has not taken anything."),
        "previous_secret_until": maybe_instant("Until when the secret before this one is good too."),
        "created_at": instant("When it was made."),
        "updated_at": instant("When it last changed."),
    });
    let mut with_secret = endpoint.clone();
    with_secret["secret"] = text("What its messages are signed with (`whsec_…`).");
    let required = ["id", "url", "events", "state", "disabled", "created_at"];
    let url =
        || json!({ "type": "string", "minLength": 1, "maxLength": 2048, "description": "An https address." });
    let description = || json!({ "type": "string", "minLength": 1, "maxLength": 256 });
    let hook = json!({
        "id": text("Its id."), "name": text("Its name."), "preset": text("What kind of sender it is for."), "user_id": maybe_text("Whom it notifies."),
        "topic": maybe_text("Or whose members."), "mapping": { "type": ["object", "null"], "description": "What fills the fields, in Handlebars." },
        "signed": flag("Whether senders sign."), "path": text("Where senders post to."), "created_at": instant("When it was made."),
    });
    let mut new_hook = hook.clone();
    new_hook["token"] = text("The token, shown this once.");
    new_hook["secret"] = text("What senders sign with.");
    let presets =
        json!({ "enum": ["alertmanager", "grafana", "github", "cloudevents", "standard-webhooks", "raw"] });
    vec![
        ("Hook", object(&["id", "name", "preset", "path", "created_at"], hook)),
        ("NewHook", object(&["id", "name", "preset", "path", "token"], new_hook)),
        (
            "Hooks",
            object(
                &["data", "next_cursor"],
                json!({ "data": list(super::schema("Hook")), "next_cursor": { "type": ["string", "null"] } }),
            ),
        ),
        (
            "HookInput",
            strict(
                &["name", "preset"],
                json!({
                    "name": name("Its name, which is part of its path."), "preset": presets, "user_id": name("Whom it notifies."), "topic": name("Or whose members."),
                    "mapping": { "type": "object", "description": "What fills the fields, in Handlebars." }, "secret": text("What senders sign with; made where it is left out."),
                }),
            ),
        ),
        ("HookTestInput", json!({ "description": "Whatever the sender sends." })),
        (
            "HookTest",
            object(
                &["success", "notifications"],
                json!({ "success": flag("Whether all of it fits."), "notifications": list(json!({ "type": "object" })) }),
            ),
        ),
        (
            "HookResult",
            object(
                &["accepted", "duplicates", "failed", "results"],
                json!({
                    "accepted": count("New notifications."), "duplicates": count("Known already."), "failed": count("Refused."), "results": list(json!({ "type": "object" })),
                }),
            ),
        ),
        (
            "BounceResult",
            object(
                &["notification_id", "results"],
                json!({
                    "notification_id": { "type": ["string", "null"], "description": "The notification that came back, if it is one of ours." },
                    "results": list(object(
                        &["recipient", "action", "status", "outcome"],
                        json!({
                            "recipient": text("The address that it could not be sent on to."),
                            "action": text("What the other mail server did: `failed`, `delayed`, `delivered`, `relayed` or `expanded`."),
                            "status": text("Its status code, such as `5.1.1`."),
                            "outcome": text("`suppressed`, `failed`, `delivered`, `noted`, `duplicate`, or `unknown` where it is about no mail of ours."),
                        }),
                    )),
                }),
            ),
        ),
        ("Endpoint", object(&required, endpoint)),
        ("EndpointWithSecret", object(&[&required[..], &["secret"]].concat(), with_secret)),
        (
            "EndpointInput",
            strict(
                &["url"],
                json!({
                    "url": url(),
                    "events": list(text("An event such as `notification.delivered`, or `*`.")),
                    "user_id": name("Whose own endpoint it is: it gets what goes to their `webhook` channel."),
                    "description": description(),
                }),
            ),
        ),
        (
            "EndpointPatch",
            strict(
                &[],
                json!({
                    "url": url(),
                    "events": list(text("An event, or `*`.")),
                    "description": description(),
                    "disabled": flag("Whether nothing is to be sent to it."),
                }),
            ),
        ),
        (
            "EndpointAttempt",
            object(
                &["id", "endpoint_id", "webhook_id", "type", "at", "success"],
                json!({
                    "id": text("Its id."),
                    "endpoint_id": text("Of which endpoint."),
                    "webhook_id": text("The message's id, the same in every attempt."),
                    "type": text("The event."),
                    "notification_id": maybe_text("Of which notification."),
                    "at": instant("When."),
                    "success": flag("Whether it was taken."),
                    "status": { "type": ["integer", "null"], "description": "The status that was answered." },
                    "latency_ms": { "type": ["integer", "null"] },
                    "response": maybe_text("The beginning of the answer."),
                    "error": maybe_text("What went wrong."),
                    "next_attempt_at": maybe_instant("When it is tried again."),
                }),
            ),
        ),
        (
            "RecoverInput",
            strict(&["since"], json!({ "since": instant("What failed since then is sent again.") })),
        ),
        (
            "RecoverResult",
            object(&["requeued"], json!({ "requeued": count("Messages that are sent again.") })),
        ),
    ]
}
