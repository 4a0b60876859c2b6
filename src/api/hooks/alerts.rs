//! Requests with a list of alerts, as Alertmanager made them and Grafana took them over: one notification for each.
//!
//! An alert is known by its fingerprint, its status and its beginning: the same one repeated is one notification, and
//! that it is resolved is another, with the same collapse key.

use serde_json::{Map, Value, json};

use super::preset::{Item, Sent, is_web, text};
use crate::api::idempotent::fingerprint;
use crate::model::invalid::Invalid;

/// One alert in its request.
pub struct Alert<'a> {
    /// The alert.
    pub alert: &'a Value,
    /// Whether it is over.
    pub resolved: bool,
    /// What its rule is called.
    pub name: &'a str,
}

/// Every alert, with the fields that `fields` makes of it.
///
/// # Errors
/// What is wrong with the request.
pub fn read(sent: &Sent<'_>, fields: fn(&Alert<'_>) -> Map<String, Value>) -> Result<Vec<Item>, Invalid> {
    let body = sent.json()?;
    let alerts = body
        .get("alerts")
        .and_then(Value::as_array)
        .ok_or_else(|| Invalid::one("alerts", "is required and must be a list of alerts"))?;
    let mut invalid = Invalid::default();
    let mut items = Vec::with_capacity(alerts.len());
    for (at, alert) in alerts.iter().enumerate() {
        match read_alert(&body, alert, fields) {
            Ok(item) => items.push(item),
            Err(detail) => invalid.push(format!("alerts[{at}]"), detail),
        }
    }
    invalid.or(items)
}

fn read_alert(
    body: &Value,
    alert: &Value,
    fields: fn(&Alert<'_>) -> Map<String, Value>,
) -> Result<Item, String> {
    let labels = alert.get("labels").filter(|labels| labels.is_object());
    let labels = labels.ok_or("must be an object with labels")?;
    let resolved = match text(alert, &["status"]) {
        Some("firing") => false,
        Some("resolved") => true,
        _ => return Err("must have a status: firing or resolved".to_owned()),
    };
    let print = text(alert, &["fingerprint"]).map_or_else(|| hashed(labels), str::to_owned);
    let begun = text(alert, &["startsAt"]).unwrap_or_default();
    let status = if resolved { "resolved" } else { "firing" };
    let read = Alert { alert, resolved, name: text(labels, &["alertname"]).unwrap_or("Alert") };
    let mut made = fields(&read);
    made.insert("type".to_owned(), json!(format!("alert_{status}")));
    made.insert("collapse_key".to_owned(), json!(format!("alert:{print}")));
    let metadata = json!({
        "status": status,
        "labels": labels,
        "annotations": alert.get("annotations"),
        "fingerprint": print,
        "starts_at": begun,
    });
    made.insert("metadata".to_owned(), metadata);
    Ok(Item {
        identity: Some(format!("{print}\n{status}\n{begun}")),
        attempt: None,
        context: context(body, alert),
        fields: made,
    })
}

/// What a mapping sees: what all alerts of the request have, over it the alert's own, and the alert by itself.
fn context(body: &Value, alert: &Value) -> Value {
    let mut context = body.as_object().cloned().unwrap_or_default();
    context.remove("alerts");
    context.extend(alert.as_object().cloned().unwrap_or_default());
    context.insert("alert".to_owned(), alert.clone());
    Value::Object(context)
}

fn hashed(labels: &Value) -> String {
    // Maps of serde_json are sorted, so the same labels give the same text.
    fingerprint(&[labels.to_string().as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an alert says, however its rule's author put it.
pub fn said(alert: &Alert<'_>) -> (String, String) {
    let summary = text(alert.alert, &["annotations", "summary"]);
    let description =
        ["description", "message"].iter().find_map(|name| text(alert.alert, &["annotations", name]));
    let mark = if alert.resolved { "Resolved: " } else { "" };
    let title = format!("{mark}{}", summary.unwrap_or(alert.name));
    let message = description.or(summary).map_or_else(|| labels_of(alert.alert), str::to_owned);
    (title, message)
}

/// The labels in one line each, where an alert has nothing to say in words.
fn labels_of(alert: &Value) -> String {
    let labels = alert.get("labels").and_then(Value::as_object);
    let line = |(name, value): (&String, &Value)| format!("{name}: {}", value.as_str().unwrap_or_default());
    let lines: Vec<String> = labels.into_iter().flatten().map(line).collect();
    if lines.is_empty() { "The alert has no labels.".to_owned() } else { lines.join("\n") }
}

/// How much an alert matters, by the label that people use for it. That it is over can wait.
pub fn priority(alert: &Alert<'_>) -> &'static str {
    if alert.resolved {
        return "medium";
    }
    let severity =
        ["severity", "priority", "level"].iter().find_map(|name| text(alert.alert, &["labels", name]));
    match severity.unwrap_or_default().to_ascii_lowercase().as_str() {
        "critical" | "page" | "emergency" | "disaster" | "fatal" | "p1" => "critical",
        "error" | "high" | "major" | "p2" => "high",
        "info" | "low" | "none" | "informational" | "minor" | "p4" | "p5" => "low",
        _ => "medium",
    }
}

/// A button that leads to the first of those links that the alert has.
pub fn action(alert: &Value, links: &[(&str, &str)]) -> Option<Value> {
    links.iter().find_map(|(name, label)| {
        let url = text(alert, &[name]).filter(|url| is_web(url))?;
        Some(json!({ "label": label, "url": url }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(body: &Value) -> Result<Vec<Item>, Invalid> {
        let (headers, body) = (http::HeaderMap::new(), body.to_string());
        read(&Sent { headers: &headers, body: body.as_bytes(), now: 0 }, |_| Map::new())
    }

    #[test]
    fn an_alert_is_itself_again_when_repeated_and_another_once_it_is_over_or_begins_anew() {
        let alert = |status: &str, begun: &str| json!({ "status": status, "labels": { "alertname": "A" }, "startsAt": begun });
        let all = json!({ "alerts": [alert("firing", "1"), alert("firing", "1"), alert("resolved", "1"), alert("firing", "2")] });
        let items = read_all(&all).expect("four alerts");
        let ids: Vec<_> = items.iter().map(|item| item.identity.clone()).collect();
        assert_eq!(ids[0], ids[1]);
        assert!(ids[1] != ids[2] && ids[0] != ids[3]);
        assert!(items.iter().all(|item| item.fields["collapse_key"] == items[0].fields["collapse_key"]));
    }

    #[test]
    fn each_alert_that_is_none_is_named() {
        let wrong =
            json!({ "alerts": [7, { "labels": {}, "status": "odd" }, { "labels": {}, "status": "firing" }] });
        let fields: Vec<String> =
            read_all(&wrong).expect_err("two are wrong").errors.into_iter().map(|e| e.field).collect();
        assert_eq!(fields, ["alerts[0]", "alerts[1]"]);
        assert!(read_all(&json!({ "alert": [] })).is_err() && read_all(&json!([])).is_err());
    }
}
