//! The preset `cloudevents`: CloudEvents 1.0 over HTTP, in binary, structured and batch mode. The same source and id is
//! one event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::preset::{Item, Sent, text};
use crate::api::fields::parse_instant;
use crate::model::invalid::Invalid;

/// What the header of every attribute in binary mode begins with.
const PREFIX: &str = "ce-";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// One notification for each event.
pub fn read(sent: &Sent<'_>) -> Result<Vec<Item>, Invalid> {
    let kind = sent.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        STRUCTURED => Ok(vec![item(sent.json()?, "")?]),
        BATCH => {
            let Value::Array(events) = sent.json()? else {
                return Err(Invalid::one("body", "must be a list of events in batch mode"));
            };
            let (mut items, mut invalid) = (Vec::with_capacity(events.len()), Invalid::default());
            for (at, event) in events.into_iter().enumerate() {
                match item(event, &format!("[{at}].")) {
                    Ok(item) => items.push(item),
                    Err(wrong) => invalid.errors.extend(wrong.errors),
                }
            }
            invalid.or(items)
        }
        other if other.starts_with("application/cloudevents") => {
            Err(Invalid::one("Content-Type", format!("must be {STRUCTURED}, {BATCH}, or that of the data")))
        }
        _ => Ok(vec![item(binary(sent, &kind)?, PREFIX)?]),
    }
}

/// The event whose attributes are in the headers and whose data is the body, as it would be in structured mode.
fn binary(sent: &Sent<'_>, kind: &str) -> Result<Value, Invalid> {
    let mut event = Map::new();
    for (name, value) in sent.headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
        let value = String::from_utf8_lossy(value.as_bytes());
        event.insert(name.to_owned(), json!(percent_decode_str(&value).decode_utf8_lossy()));
    }
    if !sent.body.is_empty() {
        let data = if kind.is_empty() || kind.ends_with("json") {
            sent.json()?
        } else {
            std::str::from_utf8(sent.body)
                .map_or_else(|_| json!(STANDARD.encode(sent.body)), |text| json!(text))
        };
        event.insert("data".to_owned(), data);
    }
    Ok(Value::Object(event))
}

/// An event that has what every event must have. `path` is what stands before the name of an attribute in an error.
fn item(mut event: Value, path: &str) -> Result<Item, Invalid> {
    let mut invalid = Invalid::default();
    if !event.is_object() {
        let field = path.trim_end_matches('.');
        return Err(Invalid::one(
            if field.is_empty() { "body" } else { field },
            "must be an event, a JSON object",
        ));
    }
    for name in ["id", "source", "type"] {
        if text(&event, &[name]).is_none() {
            invalid.push(format!("{path}{name}"), "is required");
        }
    }
    if text(&event, &["specversion"]) != Some("1.0") {
        invalid.push(format!("{path}specversion"), "must be 1.0");
    }
    if let Some(encoded) = event.get("data_base64") {
        let decoded = encoded.as_str().and_then(|encoded| STANDARD.decode(encoded).ok());
        match decoded.map(|bytes| {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
        }) {
            Some(data) => event["data"] = data,
            None => invalid.push(format!("{path}data_base64"), "must be in Base64"),
        }
    }
    let fields = fields(&event);
    let identity = Some(format!("{}\n{}", event["source"], event["id"]));
    invalid.or(Item { identity, attempt: None, context: event, fields })
}

fn fields(event: &Value) -> Map<String, Value> {
    let kind = text(event, &["type"]).unwrap_or("event");
    let find = |names: &[&str]| names.iter().find_map(|name| text(event, &["data", name]));
    let subject = text(event, &["subject"]);
    let named = || subject.map_or_else(|| kind.to_owned(), |subject| format!("{kind}: {subject}"));
    let said = || match event.get("data") {
        Some(Value::String(text)) => text.clone(),
        Some(data) => data.to_string(),
        None => named(),
    };
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(kind));
    fields.insert("title".to_owned(), json!(find(&["title", "name"]).map_or_else(named, str::to_owned)));
    let message = find(&["message", "text", "description"]).map_or_else(said, str::to_owned);
    fields.insert("message".to_owned(), json!(message));
    if let Some(time) = text(event, &["time"]).filter(|time| parse_instant(time).is_some()) {
        fields.insert("timestamp".to_owned(), json!(time));
    }
    let attributes = event.as_object().into_iter().flatten();
    let attributes: Map<String, Value> = attributes
        .filter(|(name, _)| !name.starts_with("data"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    fields.insert("metadata".to_owned(), Value::Object(attributes));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(headers: &[(&'static str, &str)], body: &str) -> Result<Vec<Item>, Invalid> {
        let headers: http::HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a header")))
            .collect();
        read(&Sent { headers: &headers, body: body.as_bytes(), now: 0 })
    }

    const BINARY: [(&str, &str); 6] = [
        ("ce-specversion", "1.0"),
        ("ce-id", "A234-1234"),
        ("ce-source", "/ci/42"),
        ("ce-type", "com.example.workflow.failed"),
        ("ce-subject", "build%20%E2%9C%93"),
        ("content-type", "application/json"),
    ];

    #[test]
    fn an_event_is_the_same_in_every_mode() {
        let event = json!({ "specversion": "1.0", "id": "A234-1234", "source": "/ci/42", "subject": "build ✓",
            "type": "com.example.workflow.failed", "data": { "text": "grüße ✓" } });
        let binary = read_as(&BINARY, "{\"text\":\"grüße ✓\"}").expect("binary");
        let structured = read_as(&[("content-type", STRUCTURED)], &event.to_string()).expect("structured");
        let batch = read_as(&[("content-type", BATCH)], &json!([event, event]).to_string()).expect("a batch");
        assert_eq!(binary, structured);
        assert_eq!(batch, [structured[0].clone(), structured[0].clone()]);
        assert_eq!(binary[0].fields["message"], "grüße ✓");
        assert_eq!(binary[0].fields["title"], "com.example.workflow.failed: build ✓");
    }

    #[test]
    fn whatever_an_event_lacks_is_named() {
        let named = |result: Result<Vec<Item>, Invalid>| -> Vec<String> {
            result.expect_err("it lacks something").errors.into_iter().map(|error| error.field).collect()
        };
        assert_eq!(named(read_as(&[], "{}")), ["ce-id", "ce-source", "ce-type", "ce-specversion"]);
        assert_eq!(named(read_as(&BINARY[1..], "{}")), ["ce-specversion"]);
        let batch = json!([{ "specversion": "1.0", "id": "1", "source": "s" }, 7]);
        assert_eq!(named(read_as(&[("content-type", BATCH)], &batch.to_string())), ["[0].type", "[1]"]);
        assert_eq!(named(read_as(&BINARY, "{")), ["body"]);
        assert_eq!(named(read_as(&[("content-type", "application/cloudevents+avro")], "")), ["Content-Type"]);
    }

    #[test]
    fn data_in_base64_is_opened() {
        let event = json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "eyJ0ZXh0IjoiaGkifQ==" });
        let items = read_as(&[("content-type", STRUCTURED)], &event.to_string()).expect("an event");
        assert_eq!(items[0].fields["message"], "hi");
    }
}
