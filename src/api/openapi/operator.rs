//! Operations for whoever runs the server: templates, keys, what was captured, and how it is doing.

use serde_json::json;

use super::operation::Access::{Key, Public};
use super::operation::{Operation, op};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = templates();
    all.extend(running());
    all
}

fn templates() -> Vec<Operation> {
    let tag = "templates";
    vec![
        op("get", "/v1/templates", tag, Key("read"), "List templates").about("In the order of their names.").lists("Template"),
        op("get", "/v1/templates/{name}", tag, Key("read"), "Show a template").gives(200, "Template", "The version that holds."),
        op("put", "/v1/templates/{name}", tag, Key("admin"), "Store a template")
            .about(
                "As a new version, which holds at once. Texts are Handlebars with `{{#if}}`, `{{#unless}}`, `{{#each}}` and \
                 `{{#with}}`, and the helpers `date`, `number`, `plural`, `upper`, `lower`, `truncate`, `default`, \
                 `coalesce`, `json`, `len`, `lookup`, `eq`, `ne`, `lt`, `lte`, `gt`, `gte`, `and`, `or` and `not`. Dates, \
                 numbers and plurals follow the reader's locale and time zone. What does not compile is refused with field, \
                 line and column; what is read and not declared is added to `variables`.",
            )
            .takes("TemplateInput")
            .example(json!({
                "type": "order_shipped", "title_template": "Order {{number}} is on its way",
                "message_template": "It arrives {{date arrives format=\"date\"}} in {{plural parcels one=\"# parcel\" other=\"# parcels\"}}.",
                "variables": ["number", "arrives", "parcels"], "priority": "medium", "category": "orders",
                "channels": { "sms": { "text": "Order {{number}} arrives {{date arrives format=\"date\"}}." } },
                "locales": { "de": { "title_template": "Bestellung {{number}} ist unterwegs" } },
            }))
            .gives(200, "Template", "It is the newest version of a template that there was.")
            .gives(201, "Template", "It is the first version.")
            .fails(&[409]),
        op("delete", "/v1/templates/{name}", tag, Key("admin"), "Remove a template")
            .about("With all its versions. A built-in one that it stood in for comes back.")
            .gives_nothing(204, "It is gone.")
            .fails(&[409]),
        op("get", "/v1/templates/{name}/versions", tag, Key("read"), "List a template's versions")
            .about("The newest 50 are kept.")
            .lists("TemplateVersion"),
        op("post", "/v1/templates/{name}/rollback", tag, Key("admin"), "Bring back a version of a template")
            .takes("RollbackInput")
            .gives(200, "Template", "The version that holds now."),
        op("post", "/v1/templates/{name}/render", tag, Key("read"), "Try a template out")
            .about(
                "Nothing is sent. Without `channel` the answer shows every channel; with one, `title` and `message` are what \
                 that channel says. Missing variables are 422 `missing_variables`, all of them named.",
            )
            .takes("RenderInput")
            .example(json!({ "variables": { "workflow_name": "Import", "error": "disk full" }, "locale": "de" }))
            .gives(200, "RenderResult", "What it says."),
    ]
}

fn running() -> Vec<Operation> {
    let tag = "operation";
    let channels = json!({ "enum": ["in_app", "email", "browser_push", "sms", "webhook"] });
    vec![
        op("get", "/v1/keys", tag, Key("admin"), "List API keys").gives(
            200,
            "Keys",
            "Every key, without its token.",
        ),
        op("post", "/v1/keys", tag, Key("admin"), "Make an API key")
            .takes("KeyInput")
            .example(json!({ "name": "ci", "scopes": ["publish"] }))
            .gives(201, "NewKey", "The key with its token, shown this once."),
        op("delete", "/v1/keys/{id}", tag, Key("admin"), "Revoke an API key")
            .gives_nothing(204, "It holds no more.")
            .fails(&[409]),
        op("get", "/v1/analytics", tag, Key("read"), "Count notifications and deliveries")
            .about("Over the notifications' own timestamps, both ends included, to the millisecond (to the second where very much happened in it, to the minute where notifications of that age are kept no more); the last 30 days where nothing is named.")
            .query("start", json!({ "type": "string", "format": "date-time" }), "From.")
            .query("end", json!({ "type": "string", "format": "date-time" }), "To.")
            .query(
                "group_by",
                json!({ "enum": ["minute", "hour", "day", "channel", "category", "priority"] }),
                "A series by time, for the first three; the others are always there.",
            )
            .gives(200, "Analytics", "The figures."),
        op("get", "/v1/captured", tag, Key("read"), "List captured messages")
            .about("What channels in `capture` mode kept instead of sending.")
            .query("channel", channels, "Those of one channel.")
            .lists("Captured"),
        op("get", "/v1/channels", tag, Key("read"), "Show how each channel is doing")
            .gives(200, "ChannelHealths", "Each channel, with its mode, its state and what went wrong last."),
        op("post", "/v1/channels/{channel}/test", tag, Key("admin"), "Send a test message on a channel")
            .about("To an address, at once and outside every plan; the answer is a transcript.")
            .takes("ChannelTestInput")
            .example(json!({ "to": "ada@example.org" }))
            .gives(200, "ChannelTest", "What came of it, step by step."),
        op("post", "/v1/backups", tag, Key("admin"), "Copy everything that is stored")
            .about("A consistent copy, made while the server works; `belfry restore` takes it. One that breaks off is no copy.")
            .gives_raw(200, "application/octet-stream", "The copy, with its checksum at the end."),
        op("get", "/v1/openapi.json", tag, Public, "Describe the API").gives_raw(
            200,
            "application/json",
            "This document.",
        ),
        op("get", "/healthz", tag, Public, "Say whether the process answers").gives(200, "Alive", "It does."),
        op("get", "/readyz", tag, Public, "Say whether the server can do its work")
            .gives(200, "Ready", "It can.")
            .gives(503, "Ready", "It cannot; `reasons` say why."),
        op("get", "/metrics", tag, Public, "Show figures for Prometheus")
            .gives_raw(200, "text/plain", "Prometheus text.")
            .gives_raw(200, "application/openmetrics-text", "OpenMetrics text, where `Accept` asks for it."),
    ]
}
