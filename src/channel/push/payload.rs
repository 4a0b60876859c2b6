//! A note as the JSON that the service worker shows, made to fit.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json, value::RawValue};

use crate::model::push::Note;

/// The most bytes that are sent at first: push services take 4096 with what encryption adds.
pub(super) const BYTES_MAX: usize = 3 * 1024;
/// The most bytes once a push service has said that it was too much.
pub(super) const BYTES_MAX_SMALL: usize = 1024;

/// The name by which a newer message takes the place of an older one: what is allowed of it (RFC 8030, section 5.4) is
/// less than what a key may be, so it is a hash.
pub(super) fn topic(collapse_key: &str) -> String {
    let sum = digest(&SHA256, collapse_key.as_bytes());
    URL_SAFE_NO_PAD.encode(&sum.as_ref()[..24])
}

/// The JSON of a note in at most `bytes_max`. What does not fit is left out in the order in which it is missed least: the
/// sender's own data, the end of the text, the button, the end of the title.
pub(super) fn payload(note: &Note, bytes_max: usize) -> Vec<u8> {
    let mut note = note.clone();
    let whole = render(&note);
    if whole.len() <= bytes_max {
        return whole;
    }
    note.metadata = None;
    if let Some(fitting) = cut(&mut note, bytes_max, |note| &mut note.message) {
        return fitting;
    }
    note.action = None;
    cut(&mut note, bytes_max, |note| &mut note.title).unwrap_or_else(|| render(&note))
}

/// Shortens one text of a note until its JSON fits; `None` where it does not even without that text.
fn cut(note: &mut Note, bytes_max: usize, text: fn(&mut Note) -> &mut String) -> Option<Vec<u8>> {
    const MORE: &str = "…";
    loop {
        let rendered = render(note);
        if rendered.len() <= bytes_max {
            return Some(rendered);
        }
        let over = rendered.len() - bytes_max;
        let text = text(note);
        let whole = text.strip_suffix(MORE).unwrap_or(text);
        if whole.is_empty() {
            text.clear();
            return Some(render(note)).filter(|rendered| rendered.len() <= bytes_max);
        }
        // Escaped, a character can take six times its bytes: what is cut at once must not be too much.
        let keep = whole.len() - whole.len().min((over + MORE.len()).div_ceil(6).max(1));
        let keep = whole.floor_char_boundary(keep);
        *text = format!("{}{MORE}", &whole[..keep]);
    }
}

fn render(note: &Note) -> Vec<u8> {
    let mut body = json!({
        "id": note.id,
        "title": note.title,
        "message": note.message,
        "category": note.category,
        "priority": note.priority,
        "timestamp": note.timestamp,
    });
    if let Some((label, url)) = &note.action {
        body["action"] = json!({ "label": label, "url": url });
    }
    if let Some(key) = &note.collapse_key {
        body["tag"] = json!(topic(key));
    }
    if let Some(metadata) = &note.metadata {
        body["metadata"] = stored(metadata);
    }
    body.to_string().into_bytes()
}

fn stored(json: &str) -> Value {
    let raw: Option<&RawValue> = serde_json::from_str(json).ok();
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note() -> Note {
        Note {
            id: "n1".into(),
            title: "Deployed".into(),
            message: "Version 7 is out.".into(),
            action: Some(("Look".into(), "/deploys/7".into())),
            category: "system".into(),
            priority: "high",
            timestamp: "2026-11-25T00:00:00.000Z".into(),
            metadata: Some(r#"{"build":7}"#.into()),
            collapse_key: None,
            expires_at: None,
        }
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn a_small_note_is_sent_whole() {
        assert_eq!(
            read(&payload(&note(), BYTES_MAX)),
            json!({
                "id": "n1", "title": "Deployed", "message": "Version 7 is out.", "category": "system",
                "priority": "high", "timestamp": "2026-11-25T00:00:00.000Z",
                "action": { "label": "Look", "url": "/deploys/7" }, "metadata": { "build": 7 },
            })
        );
    }

    #[test]
    fn the_senders_data_goes_before_the_text_is_cut() {
        let large = Note { metadata: Some(format!("{{\"x\":\"{}\"}}", "y".repeat(4000))), ..note() };
        let sent = read(&payload(&large, BYTES_MAX));
        assert_eq!((&sent["metadata"], &sent["message"]), (&Value::Null, &json!("Version 7 is out.")));
        let long = Note { message: "grüße ".repeat(2000), ..large };
        let sent = payload(&long, BYTES_MAX);
        assert!(sent.len() <= BYTES_MAX && sent.len() > BYTES_MAX - 64, "{}", sent.len());
        let message = read(&sent)["message"].as_str().expect("text").to_owned();
        assert!(message.starts_with("grüße grüße") && message.ends_with('…'));
    }

    #[test]
    fn the_same_key_has_the_same_topic_of_at_most_32_characters_that_are_allowed() {
        let name = topic("builds/7 grüße");
        assert_eq!(name, topic("builds/7 grüße"));
        assert_ne!(name, topic("builds/8"));
        assert!(name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_fits_and_is_json(
            title in "\\PC{0,256}", message in "[\\x00-\\x7f\\u{e4}\\u{1f514}]{0,3000}",
            label in "\\PC{0,80}", url in "[\"a]{0,2048}", small: bool,
        ) {
            let bytes_max = if small { BYTES_MAX_SMALL } else { BYTES_MAX };
            let hostile = Note { title, message, action: Some((label, url)), ..note() };
            let sent = payload(&hostile, bytes_max);
            prop_assert!(sent.len() <= bytes_max, "{}", sent.len());
            prop_assert_eq!(&read(&sent)["id"], "n1");
        }
    }
}
