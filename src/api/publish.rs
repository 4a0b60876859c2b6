//! `POST /p/{topic}`: one line publishes. The body is the message, headers say the rest: made for `curl` in a script.

use http::StatusCode;
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::parse_instant;
use super::problem::Problem;
use super::sends;
use super::shapes;
use super::submission::{Inbound, inbound};
use crate::access::Scope;
use crate::clock::Millis;
use crate::engine::expand::KeepSent;
use crate::model::ids::check_name;
use crate::model::invalid::Invalid;
use crate::model::notification::{MESSAGE_BYTES_MAX, Priority};
use crate::ws::protocol::broadcast;

/// The longest delay: a year.
const DELAY_MS_MAX: i64 = 366 * 86_400_000;

/// Publishes to the members of a topic and to those who watch it.
pub async fn create(mut call: Call, topic: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    check_name("topic", topic).map_err(|error| Invalid { errors: vec![error] })?;
    let now = call.api.clock.now();
    let mut fields = from_headers(&call, now)?;
    let bytes = call.bytes(MESSAGE_BYTES_MAX).await?;
    let message = std::str::from_utf8(&bytes)
        .map_err(|_| Problem::bad_request("the body is the message and must be UTF-8 text"))?;
    // ntfy's own clients send an empty body for "something happened".
    let message = if message.trim().is_empty() { "triggered" } else { message.trim_end() };
    fields.insert("message".to_owned(), json!(message));
    fields.entry("title").or_insert_with(|| json!(topic));
    fields.insert("type".to_owned(), json!("topic_message"));
    fields.insert("topic".to_owned(), json!(topic));
    let body = Value::Object(fields);
    let Inbound::Many(submission, target) = inbound(&call.api, &body).await? else {
        return Err(Problem::bad_request("a topic is for many"));
    };
    let live = submission.notification.send_at.is_none().then(|| live_message(&body));
    let keep = call.slotted.take().map(|slotted| -> KeepSent {
        let slot = slotted.slot;
        (slot, Box::new(move |sent| slotted.kept(StatusCode::ACCEPTED, &sends::result(sent).to_string())))
    });
    let sent = call.api.engine.accept_many(submission, target, keep).await?;
    if let Some(mut message) = live {
        message.insert("id".to_owned(), json!(sent.id));
        call.api.hub.to_channel(&format!("topic:{topic}"), &broadcast(&message, now));
    }
    Ok(shapes::json_response(StatusCode::ACCEPTED, &sends::result(&sent)))
}

/// What those who watch the topic are shown at once.
fn live_message(body: &Value) -> Map<String, Value> {
    let field = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
    let mut message = Map::new();
    message.insert("type".to_owned(), json!("notification"));
    message.insert("notification_type".to_owned(), field("type"));
    message.insert("title".to_owned(), field("title"));
    message.insert("message".to_owned(), field("message"));
    let or = |name: &str, otherwise: &str| match field(name) {
        Value::Null => json!(otherwise),
        given => given,
    };
    message.insert("priority".to_owned(), or("priority", Priority::default().name()));
    message.insert("category".to_owned(), or("category", "system"));
    message.insert("action".to_owned(), field("action"));
    message.insert("metadata".to_owned(), json!({ "topic": field("topic") }));
    message.insert("user_id".to_owned(), Value::Null);
    message
}

/// The fields that headers give, by their own names or by those that ntfy has.
fn from_headers(call: &Call, now: Millis) -> Result<Map<String, Value>, Problem> {
    let mut invalid = Invalid::default();
    let mut fields = Map::new();
    let mut text = |names: &[&str]| -> Option<String> {
        let value = names.iter().find_map(|name| call.headers.get(*name))?;
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Err(_) => {
                invalid.push(names[0], "must be UTF-8 text");
                None
            }
        }
    };
    let title = text(&["title", "x-title", "t", "ti"]);
    let priority = text(&["priority", "x-priority", "p", "prio"]);
    let category = text(&["category", "x-category"]);
    let click = text(&["click", "x-click"]);
    let delay = text(&["delay", "x-delay", "at", "x-at", "in", "x-in"]);
    if let Some(title) = title {
        fields.insert("title".to_owned(), json!(title));
    }
    if let Some(given) = priority {
        match priority_of(&given) {
            Some(priority) => drop(fields.insert("priority".to_owned(), json!(priority.name()))),
            None => invalid.push("Priority", "must be one of low, medium, high, critical, or from 1 to 5"),
        }
    }
    if let Some(category) = category {
        fields.insert("category".to_owned(), json!(category));
    }
    if let Some(url) = click {
        fields.insert("action".to_owned(), json!({ "label": "Open", "url": url }));
    }
    if let Some(given) = delay {
        match delay_until(&given, now) {
            Some(at) => {
                drop(fields.insert("send_at".to_owned(), json!(crate::engine::report::instant(at))));
            }
            None => invalid.push(
                "Delay",
                "must be a duration such as 30m or 2h, an instant in RFC 3339, or seconds since 1970, at most a year \
                 from now",
            ),
        }
    }
    Ok(invalid.or(fields)?)
}

/// A priority by its name, or by ntfy's names and numbers.
fn priority_of(text: &str) -> Option<Priority> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "2" | "min" => Some(Priority::Low),
        "3" | "default" => Some(Priority::Medium),
        "4" => Some(Priority::High),
        "5" | "max" | "urgent" => Some(Priority::Critical),
        name => Priority::from_name(name),
    }
}

/// When a delay ends: a duration from now, an instant, or seconds since 1970.
fn delay_until(text: &str, now: Millis) -> Option<Millis> {
    let at = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<i64>().ok()?.checked_mul(1_000)?
    } else {
        parse_instant(text).or_else(|| now.checked_add(duration_ms(text)?))?
    };
    (at > now.saturating_sub(60_000) && at <= now.saturating_add(DELAY_MS_MAX)).then_some(at)
}

/// A duration such as `30m`, `2h` or `1d12h`.
fn duration_ms(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0i64, String::new());
    let mut letters = text.trim().chars().filter(|c| *c != ' ').peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        let mut unit = letter.to_ascii_lowercase().to_string();
        while let Some(more) = letters.next_if(|c| c.is_ascii_alphabetic()) {
            unit.push(more.to_ascii_lowercase());
        }
        let unit = match unit.as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    (number.is_empty() && total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_duration_an_instant_or_seconds() {
        let now = 1_900_000_000_000;
        for (text, wanted) in [
            ("30m", Some(now + 1_800_000)),
            ("1d12h", Some(now + 129_600_000)),
            ("2 hours", Some(now + 7_200_000)),
            ("90s", Some(now + 90_000)),
            ("1900003600", Some(now + 3_600_000)),
            ("2030-03-17T18:46:40Z", Some(now + 3_600_000)),
            ("", None),
            ("soon", None),
            ("5", None),
            ("30", None),
            ("m", None),
            ("400d", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(delay_until(text, now), wanted, "{text:?}");
        }
    }

    #[test]
    fn priorities_have_ours_and_ntfys_names() {
        for (text, wanted) in [("high", Priority::High), ("5", Priority::Critical), ("min", Priority::Low)] {
            assert_eq!(priority_of(text), Some(wanted));
        }
        assert_eq!(priority_of("6"), None);
    }
}
