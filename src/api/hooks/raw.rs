//! The preset `raw`: JSON or plain text of any shape. What is named like a notification's field is taken for it; the rest
//! is for the mapping.

use serde_json::{Map, Value, json};

use super::preset::{Item, Sent};
use crate::model::invalid::Invalid;

/// The fields of a notification that are taken from JSON as they are.
const TAKEN: [&str; 7] = ["title", "message", "priority", "category", "type", "action", "metadata"];

/// One notification for each request.
pub fn read(sent: &Sent<'_>, hook: &str) -> Result<Vec<Item>, Invalid> {
    let is_json = sent
        .header("content-type")
        .is_none_or(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("json")));
    let parsed = serde_json::from_slice::<Value>(sent.body);
    let context = match (parsed, is_json) {
        (Ok(value @ Value::Object(_)), _) => value,
        (Ok(value), true) => json!({ "value": value }),
        (Err(error), true) if sent.header("content-type").is_some() => {
            return Err(Invalid::one("body", format!("is not valid JSON: {error}")));
        }
        (Ok(_) | Err(_), _) => {
            let text = std::str::from_utf8(sent.body)
                .map_err(|_| Invalid::one("body", "must be JSON, or plain text in UTF-8"))?;
            json!({ "text": text.trim() })
        }
    };
    let mut fields: Map<String, Value> =
        TAKEN.iter().filter_map(|name| Some(((*name).to_owned(), context.get(name)?.clone()))).collect();
    let default = |fields: &mut Map<String, Value>, name: &str, value: Value| {
        fields.entry(name).or_insert(value);
    };
    default(&mut fields, "type", json!("hook"));
    default(&mut fields, "title", json!(hook));
    let said = context.get("text").cloned().unwrap_or_else(|| json!(context.to_string()));
    default(&mut fields, "message", said);
    Ok(vec![Item { identity: None, attempt: None, context, fields }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(kind: Option<&str>, body: &[u8]) -> Result<Item, Invalid> {
        let mut headers = http::HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert("content-type", kind.parse().expect("a header"));
        }
        Ok(read(&Sent { headers: &headers, body, now: 0 }, "door")?.remove(0))
    }

    #[test]
    fn plain_text_is_the_message_and_the_hooks_name_the_title() {
        let item = read_one(Some("text/plain"), b"the door is open\n").expect("text");
        assert_eq!(
            (&item.fields["title"], &item.fields["message"]),
            (&json!("door"), &json!("the door is open"))
        );
        assert_eq!(read_one(None, b"open").expect("text").fields["message"], "open");
    }

    #[test]
    fn json_fills_the_fields_that_it_names_and_broken_json_is_refused() {
        let item = read_one(Some("application/json"), br#"{"title":"T","n":1}"#).expect("JSON");
        assert_eq!((&item.fields["title"], &item.context["n"]), (&json!("T"), &json!(1)));
        assert!(read_one(Some("application/json"), b"{").is_err());
        assert!(read_one(Some("text/plain"), &[0xff]).is_err());
    }
}
