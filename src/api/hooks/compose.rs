//! From what a sender asks for to a notification: the preset's fields, over them the hook's mapping, and then the same
//! door that every notification goes through.

use serde_json::{Map, Value, json};

use super::preset::Item;
use super::registry::Hook;
use crate::api::idempotent::fingerprint;
use crate::model::notification::{LABEL_CHARS_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, TITLE_CHARS_MAX};
use crate::render::mapping::Unfilled;

/// The fields that a mapping can fill.
pub const MAPPED: [&str; 12] = [
    "title",
    "message",
    "priority",
    "category",
    "type",
    "user_id",
    "topic",
    "action.label",
    "action.url",
    "collapse_key",
    "id",
    "skip",
];
/// The most characters of a word such as a type.
const WORD_CHARS_MAX: usize = 64;
/// What a button says whose mapping gives it only an address.
const LABEL: &str = "Open";

/// A notification that a hook makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// The body that would be posted for it.
    pub body: Value,
    /// What it is recognised by when it comes again: a hash of its identity, and of the try where there is one.
    pub content: [u8; 16],
    /// Whether the same content again is a replay and not another try.
    pub replays: bool,
}

/// The notification that `item` becomes; `None` where the mapping leaves it out. This is CPU work.
///
/// # Errors
/// The field of the mapping that cannot be filled.
pub fn compose(hook: &Hook, item: Item) -> Result<Option<Composed>, Unfilled> {
    let mut filled = hook.mapping.fill(&item.context)?;
    filled.retain(|_, text| !text.trim().is_empty());
    if filled.remove("skip").is_some_and(|skip| skip.trim() != "false") {
        return Ok(None);
    }
    let mut fields = item.fields;
    let identity = filled.remove("id").or(item.identity);
    let receiver = [("user_id", &hook.record.user_id), ("topic", &hook.record.topic)];
    let mapped = filled.contains_key("user_id") || filled.contains_key("topic");
    for (name, value) in receiver.into_iter().filter(|_| !mapped) {
        if let Some(value) = value {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    let label = filled.remove("action.label");
    match (filled.remove("action.url"), label) {
        (Some(url), label) => {
            let label = label.unwrap_or_else(|| LABEL.to_owned());
            fields.insert("action".to_owned(), json!({ "label": label.trim(), "url": url.trim() }));
        }
        (None, Some(label)) => {
            if let Some(action) = fields.get_mut("action").filter(|action| action.is_object()) {
                action["label"] = json!(label.trim());
            }
        }
        (None, None) => {}
    }
    for (name, text) in filled {
        fields.insert(name, json!(text.trim()));
    }
    fit(&mut fields);
    let key = identity.as_deref().unwrap_or_default();
    let content = match &item.attempt {
        Some(attempt) => fingerprint(&[key.as_bytes(), attempt.as_bytes()]),
        None => fingerprint(&[key.as_bytes()]),
    };
    if identity.is_some() {
        let print = fingerprint(&[hook.record.id.as_bytes(), key.as_bytes()]);
        let hex: String = print.iter().map(|byte| format!("{byte:02x}")).collect();
        fields.insert("id".to_owned(), json!(format!("hook-{hex}")));
    }
    Ok(Some(Composed { body: Value::Object(fields), content, replays: item.attempt.is_some() }))
}

/// Makes fit what a sender could not know the bounds of: words become words, long texts are cut. What is no text at all
/// stays as it is, for the door to name it.
fn fit(fields: &mut Map<String, Value>) {
    let mut change = |name: &str, change: &dyn Fn(&str) -> String| {
        if let Some(Value::String(text)) = fields.get_mut(name) {
            *text = change(text);
        }
    };
    change("type", &|text| word(text));
    change("category", &|text| word(text));
    change("priority", &|text| text.to_ascii_lowercase());
    change("title", &|text| text.chars().take(TITLE_CHARS_MAX).collect());
    change("message", &|text| cut(text, MESSAGE_BYTES_MAX).to_owned());
    if let Some(Value::String(label)) = fields.get_mut("action").and_then(|action| action.get_mut("label")) {
        *label = label.chars().take(LABEL_CHARS_MAX).collect();
    }
    if fields.get("metadata").is_some_and(|metadata| metadata.to_string().len() > METADATA_BYTES_MAX) {
        fields.remove("metadata");
    }
}

/// A text as a word of an open set: `com.example.Failed` is `com_example_failed`.
fn word(text: &str) -> String {
    let spelled: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(WORD_CHARS_MAX)
        .collect();
    if spelled.is_empty() { text.to_owned() } else { spelled }
}

/// The beginning of a text, so many bytes at most.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::super::preset::Preset;
    use super::*;
    use crate::store::hooks::HookRecord;

    fn hook(mapping: &[(&str, &str)]) -> Hook {
        let mapping = mapping.iter().map(|(name, source)| ((*name).into(), (*source).into())).collect();
        let record = HookRecord {
            id: uuid::Uuid::from_u128(1),
            name: "ci".into(),
            preset: "raw".into(),
            user_id: Some("anna".into()),
            topic: None,
            mapping,
            token_hash: [0; 32],
            secret: None,
            created_at: 0,
        };
        Hook::of(record, Preset::Raw).expect("it compiles")
    }

    fn item(fields: Value, context: Value) -> Item {
        Item { fields: fields.as_object().cloned().unwrap_or_default(), context, ..Item::default() }
    }

    fn composed(hook: &Hook, item: Item) -> Value {
        compose(hook, item).expect("it can be filled").expect("it is not left out").body
    }

    #[test]
    fn a_mapping_goes_over_what_the_preset_says_and_an_empty_field_of_it_does_not() {
        let hook = hook(&[
            ("title", "{{a}}"),
            ("message", "{{none}}"),
            ("user_id", "{{who}}"),
            ("action.url", "https://x.example/{{a}}"),
        ]);
        let item = item(json!({ "title": "t", "message": "m" }), json!({ "a": "A", "who": "bob" }));
        assert_eq!(
            composed(&hook, item),
            json!({ "title": "A", "message": "m", "user_id": "bob",
                "action": { "label": "Open", "url": "https://x.example/A" } })
        );
    }

    #[test]
    fn what_no_sender_can_know_the_bounds_of_is_made_to_fit() {
        let fields = json!({ "type": "com.example.Failed", "title": "x".repeat(300), "message": "ü".repeat(20_000),
            "priority": "High", "metadata": { "a": "x".repeat(40_000) } });
        let body = composed(&hook(&[]), item(fields, json!({})));
        assert_eq!((&body["type"], &body["priority"]), (&json!("com_example_failed"), &json!("high")));
        assert_eq!(body["title"].as_str().map(|title| title.chars().count()), Some(TITLE_CHARS_MAX));
        assert_eq!(body["message"].as_str().map(str::len), Some(MESSAGE_BYTES_MAX));
        assert_eq!(body.get("metadata"), None);
    }

    #[test]
    fn a_mapping_can_leave_out_and_can_name_what_is_the_same() {
        let skipping = hook(&[("skip", "{{#if quiet}}yes{{/if}}")]);
        assert_eq!(compose(&skipping, item(json!({}), json!({ "quiet": true }))), Ok(None));
        assert!(compose(&skipping, item(json!({}), json!({}))).expect("it can be filled").is_some());
        let naming = hook(&[("id", "{{key}}")]);
        let id = |key: &str| composed(&naming, item(json!({}), json!({ "key": key })))["id"].clone();
        assert!(id("1") == id("1") && id("1") != id("2") && id("").is_null());
    }
}
