//! The preset `alertmanager`: what Prometheus' Alertmanager sends, in version 4 of its webhook.

use serde_json::{Map, Value, json};

use super::alerts::{Alert, action, priority, said};

/// The fields of an alert's notification.
pub fn item(alert: &Alert<'_>) -> Map<String, Value> {
    let (title, message) = said(alert);
    let mut fields = Map::new();
    fields.insert("title".to_owned(), json!(title));
    fields.insert("message".to_owned(), json!(message));
    fields.insert("priority".to_owned(), json!(priority(alert)));
    if let Some(action) = action(alert.alert, &[("generatorURL", "Show the graph")]) {
        fields.insert("action".to_owned(), action);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::super::alerts::read;
    use super::super::preset::Sent;
    use super::*;

    #[test]
    fn a_request_as_alertmanager_sends_it_is_two_notifications() {
        let body = include_bytes!("fixtures/alertmanager_firing.json");
        let headers = http::HeaderMap::new();
        let items = read(&Sent { headers: &headers, body, now: 0 }, item).expect("a request of version 4");
        let fields: Vec<&Map<String, Value>> = items.iter().map(|item| &item.fields).collect();
        assert_eq!(
            (&fields[0]["title"], &fields[0]["priority"]),
            (&json!("Disk 95% full on db1"), &json!("critical"))
        );
        assert_eq!(
            (&fields[1]["title"], &fields[1]["priority"]),
            (&json!("Disk 85% full on db2"), &json!("medium"))
        );
        assert_eq!(fields[0]["message"], "/var grüße ✓");
        assert_eq!(fields[0]["action"]["url"], "http://prom.example/graph?g0.expr=x");
        assert_eq!(fields[1].get("action"), None);
        let body = include_bytes!("fixtures/alertmanager_resolved.json");
        let over = read(&Sent { headers: &headers, body, now: 0 }, item).expect("a request of version 4");
        assert_eq!(over[0].fields["title"], "Resolved: Disk 95% full on db1");
        assert_eq!(over[0].fields["collapse_key"], items[0].fields["collapse_key"]);
        assert_ne!(over[0].identity, items[0].identity);
    }
}
