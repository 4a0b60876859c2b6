//! Operations for other systems: what they are told, and how they are listened to.

use serde_json::json;

use super::operation::Access::{Key, Public, Token};
use super::operation::{Operation, op};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = hooks();
    all.extend(endpoints());
    all.extend([receipt("get"), receipt("post")]);
    all
}

fn hooks() -> Vec<Operation> {
    let tag = "integrations";
    let admin = Key("admin");
    vec![
        op("get", "/v1/hooks", tag, admin, "List hooks").gives(200, "Hooks", "Every hook, without its token."),
        op("post", "/v1/hooks", tag, admin, "Make a hook")
            .about(
                "Other programs post to its `path`, with its `token` as Bearer or signed as their kind signs. What they send \
                 becomes a notification by the preset, and by a mapping in Handlebars over it.",
            )
            .takes("HookInput")
            .example(json!({ "name": "alerts", "preset": "alertmanager", "topic": "ops" }))
            .gives(201, "NewHook", "The hook with its token, shown this once."),
        op("get", "/v1/hooks/{id}", tag, admin, "Show a hook").gives(200, "Hook", "The hook."),
        op("delete", "/v1/hooks/{id}", tag, admin, "Remove a hook").gives_nothing(204, "It is gone."),
        op("post", "/v1/hooks/{id}/test", tag, admin, "Show what a payload would become")
            .about("The payload itself, or `{payload, headers}`. Nothing is sent.")
            .takes("HookTestInput")
            .gives(200, "HookTest", "What it would become."),
        op("post", "/in/{hook}", tag, Token("Needs the hook's token as Bearer, or the signature of its preset."), "Post to a hook")
            .takes("HookTestInput")
            .takes_raw("application/cloudevents+json", "A CloudEvent in structured mode.")
            .takes_raw("application/cloudevents-batch+json", "CloudEvents in batch mode.")
            .takes_raw("text/plain", "Anything, for the preset `raw`.")
            .gives(202, "HookResult", "What it became is on disk."),
        op("post", "/in/bounce", tag, Key("ingest:bounce"), "Hand in a mail that came back")
            .about(
                "A delivery status notification (RFC 3464) as it came, headers and all, as a mail server pipes it: \
                 `curl --fail --data-binary @-`. A failed delivery of ours is marked so, and where its recipient is unknown, \
                 nothing is sent to that address any more. What is about no mail of ours, or about another address than that \
                 was sent to, changes nothing.",
            )
            .takes_raw("text/plain", "The mail. Any content type is taken.")
            .gives(202, "BounceResult", "What it changed is on disk.")
            .fails(&[413]),
    ]
}

/// By GET and by POST, as the provider prefers.
fn receipt(method: &'static str) -> Operation {
    op(method, "/in/sms/{token}", "integrations", Public, "Report what became of a text message")
        .about("For providers of text messages: the token in the path is the right to report.")
        .gives_nothing(200, "It is taken.")
        .fails(&[400, 403, 408, 413, 503])
}

fn endpoints() -> Vec<Operation> {
    let tag = "integrations";
    let admin = Key("admin");
    vec![
        op("get", "/v1/endpoints", tag, admin, "List endpoints").lists("Endpoint"),
        op("post", "/v1/endpoints", tag, admin, "Make an endpoint")
            .about(
                "What becomes of notifications is posted to it, signed by the Standard Webhooks specification \
                 (`webhook-id`, `webhook-timestamp`, `webhook-signature`), and retried. Its URL must be one that users may \
                 name: see `outbound.allow_cidrs`.",
            )
            .takes("EndpointInput")
            .example(json!({ "url": "https://example.org/belfry", "events": ["notification.delivered", "notification.failed"] }))
            .gives(201, "EndpointWithSecret", "It was made; the secret is shown here and when it is rotated."),
        op("get", "/v1/endpoints/{id}", tag, admin, "Show an endpoint").gives(200, "Endpoint", "The endpoint."),
        op("patch", "/v1/endpoints/{id}", tag, admin, "Change an endpoint")
            .takes("EndpointPatch")
            .gives(200, "Endpoint", "The endpoint as it is now."),
        op("delete", "/v1/endpoints/{id}", tag, admin, "Remove an endpoint").gives_nothing(204, "It is gone."),
        op("get", "/v1/endpoints/{id}/attempts", tag, admin, "List attempts to reach an endpoint").lists("EndpointAttempt"),
        op("post", "/v1/endpoints/{id}/rotate", tag, admin, "Give an endpoint a new secret")
            .about("The one before stays good for a while.")
            .gives(200, "EndpointWithSecret", "The endpoint with its new secret."),
        op("post", "/v1/endpoints/{id}/test", tag, admin, "Send a test message to an endpoint")
            .gives(200, "EndpointAttempt", "What came of it."),
        op("post", "/v1/endpoints/{id}/recover", tag, admin, "Send again what an endpoint did not take")
            .takes("RecoverInput")
            .gives(200, "RecoverResult", "How many are sent again."),
    ]
}
