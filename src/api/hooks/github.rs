//! The preset `github`: what GitHub's webhooks send, signed by `X-Hub-Signature-256`, which others use as well.

use ring::hmac;
use serde_json::{Map, Value, json};

use super::preset::{Item, Sent, Signed, is_web, text, unhex};
use crate::model::invalid::Invalid;

const SIGNATURE: &str = "x-hub-signature-256";

/// What the signature is worth: `sha256=` and HMAC-SHA256 in hexadecimal over the body.
pub fn verify(secret: &[u8], sent: &Sent<'_>) -> Signed {
    let Some(signature) = sent.header(SIGNATURE) else { return Signed::No };
    let Some(signature) = signature.strip_prefix("sha256=").and_then(unhex) else {
        return Signed::Badly(format!("{SIGNATURE} is not sha256= and hexadecimal"));
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    match hmac::verify(&key, sent.body, &signature) {
        Ok(()) => Signed::Yes,
        Err(_) => Signed::Badly(format!("{SIGNATURE} does not fit the body and the hook's secret")),
    }
}

/// One notification for each event. The ping that GitHub sends when a webhook is made asks for none.
pub fn read(sent: &Sent<'_>) -> Result<Vec<Item>, Invalid> {
    let Some(event) = sent.header("x-github-event") else {
        return Err(Invalid::one("X-GitHub-Event", "is a header that is required"));
    };
    let body = sent.json()?;
    if !body.is_object() {
        return Err(Invalid::one("body", "must be a JSON object"));
    }
    if event == "ping" {
        return Ok(Vec::new());
    }
    let delivery = sent.header("x-github-delivery").map(str::to_owned);
    let mut context = body.clone();
    context["event"] = json!(event);
    context["delivery"] = json!(delivery);
    Ok(vec![Item { identity: delivery, attempt: None, context, fields: fields(event, &body) }])
}

fn fields(event: &str, body: &Value) -> Map<String, Value> {
    let repository =
        text(body, &["repository", "full_name"]).or_else(|| text(body, &["organization", "login"]));
    let sender = text(body, &["sender", "login"]);
    // What it is about, where the event is about one thing.
    let about = ["issue", "pull_request", "release", "workflow_run", "check_run", "discussion", "alert"]
        .iter()
        .find_map(|name| body.get(name).filter(|about| about.is_object()));
    let what = about
        .and_then(|about| {
            ["title", "name", "display_title", "tag_name"].iter().find_map(|name| text(about, &[name]))
        })
        .or_else(|| text(body, &["head_commit", "message"]).and_then(|message| message.lines().next()))
        .or_else(|| text(body, &["ref"]));
    let spoken = event.replace('_', " ");
    let happened = match text(body, &["action"]) {
        Some(action) => format!("{spoken} {}", action.replace('_', " ")),
        None => spoken,
    };
    let title = match repository {
        Some(repository) => format!("{repository}: {happened}"),
        None => happened.clone(),
    };
    let message = match (what, sender) {
        (Some(what), Some(sender)) => format!("{what}\n\nby {sender}"),
        (Some(what), None) => what.to_owned(),
        (None, Some(sender)) => format!("{happened} by {sender}"),
        (None, None) => happened,
    };
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(format!("github_{event}")));
    fields.insert("title".to_owned(), json!(title));
    fields.insert("message".to_owned(), json!(message));
    let url = about
        .and_then(|about| text(about, &["html_url"]))
        .or_else(|| text(body, &["compare"]))
        .or_else(|| text(body, &["repository", "html_url"]))
        .filter(|url| is_web(url));
    if let Some(url) = url {
        fields.insert("action".to_owned(), json!({ "label": "Show on GitHub", "url": url }));
    }
    fields
        .insert("metadata".to_owned(), json!({ "event": event, "repository": repository, "sender": sender }));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> http::HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("ascii")))
            .collect()
    }

    /// The example in GitHub's documentation.
    #[test]
    fn the_documented_example_is_verified_and_no_other_body_is() {
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = headers(&[(SIGNATURE, signature)]);
        let verify = |body| verify(b"It's a Secret to Everybody", &Sent { headers: &headers, body, now: 0 });
        assert_eq!(verify(b"Hello, World!"), Signed::Yes);
        assert!(matches!(verify(b"Hello, World?"), Signed::Badly(_)));
    }

    #[test]
    fn an_event_says_where_what_and_who() {
        let headers = headers(&[("x-github-event", "issues"), ("x-github-delivery", "d-1")]);
        let body =
            br#"{"action":"opened","issue":{"title":"Boom","html_url":"https://github.example/o/r/issues/1"},
            "repository":{"full_name":"o/r"},"sender":{"login":"octo"}}"#;
        let items = read(&Sent { headers: &headers, body, now: 0 }).expect("an event");
        let fields = &items[0].fields;
        assert_eq!(
            (&fields["title"], &fields["message"]),
            (&json!("o/r: issues opened"), &json!("Boom\n\nby octo"))
        );
        assert_eq!(items[0].identity.as_deref(), Some("d-1"));
    }

    #[test]
    fn a_ping_asks_for_nothing() {
        let headers = headers(&[("x-github-event", "ping")]);
        assert_eq!(read(&Sent { headers: &headers, body: b"{}", now: 0 }), Ok(Vec::new()));
    }
}
