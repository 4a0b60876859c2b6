//! A frame of the live connection as a listener shows it: one line that cannot act on the terminal.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::screen::clean;

/// A frame, as far as a line of it needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Frame {
    /// Its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    timestamp: Option<String>,
    id: Option<String>,
    title: Option<String>,
    message: Option<Value>,
    priority: Option<String>,
    category: Option<String>,
    action: Option<Action>,
    /// Its place in the person's stream, on a notification.
    pub offset: Option<u64>,
    error: Option<String>,
    code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Action {
    label: String,
    url: String,
}

/// What a frame is to a listener.
#[derive(Debug, PartialEq, Eq)]
pub enum Role {
    /// Worth a line: a notification, an update, a broadcast.
    News,
    /// The server did not like something.
    Complaint,
    /// Between the two ends.
    Housekeeping,
}

impl Frame {
    /// What it is to a listener.
    pub fn role(&self) -> Role {
        match self.kind.as_str() {
            "hello" | "ping" | "pong" | "inbox" | "subscribed" | "unsubscribed" | "large_data_received" => {
                Role::Housekeeping
            }
            "error" => Role::Complaint,
            _ => Role::News,
        }
    }

    /// What the server did not like.
    pub fn complaint(&self) -> String {
        let said = self.error.as_deref().unwrap_or("something went wrong");
        match &self.code {
            Some(code) => format!("{} ({})", clean(said), clean(code)),
            None => clean(said),
        }
    }

    /// One line for it, with the time in `zone`:
    /// `09:15:00  high  Build failed: the test did not pass  [workflow, 0198…]`
    pub fn line(&self, zone: &TimeZone) -> String {
        let mut parts = vec![self.at(zone)];
        if self.kind == "notification" {
            parts.push(self.priority.as_deref().map_or_else(|| "-".to_owned(), clean));
        } else {
            parts.push(clean(&self.kind));
        }
        let message = match &self.message {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => None,
            Some(other) => Some(other.to_string()),
        };
        parts.push(match (&self.title, message) {
            (Some(title), Some(message)) if *title != message => {
                format!("{}: {}", clean(title), clean(&message))
            }
            (Some(title), _) => clean(title),
            (None, Some(message)) => clean(&message),
            (None, None) => "-".to_owned(),
        });
        if let Some(Action { label, url }) = &self.action {
            parts.push(format!("<{}: {}>", clean(label), clean(url)));
        }
        let tail: Vec<String> =
            [&self.category, &self.id].into_iter().flatten().map(|text| clean(text)).collect();
        if !tail.is_empty() {
            parts.push(format!("[{}]", tail.join(", ")));
        }
        parts.join("  ")
    }

    fn at(&self, zone: &TimeZone) -> String {
        match self.timestamp.as_deref().map(str::parse::<Timestamp>) {
            Some(Ok(at)) => at.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S").to_string(),
            Some(Err(_)) | None => "--:--:--".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(frame: Value) -> String {
        serde_json::from_value::<Frame>(frame).unwrap().line(&TimeZone::get("Europe/Zurich").unwrap())
    }

    #[test]
    fn a_notification_is_one_line_that_cannot_act_on_the_terminal() {
        let frame = json!({
            "type": "notification", "timestamp": "2026-11-24T08:15:00Z", "id": "n1", "title": "Build\u{1b}[2J failed",
            "message": "two\nlines", "priority": "high", "category": "workflow", "offset": 3,
            "action": {"label": "Open", "url": "https://ci.example.org/1"},
        });
        assert_eq!(
            line(frame),
            "09:15:00  high  Build[2J failed: two lines  <Open: https://ci.example.org/1>  [workflow, n1]"
        );
    }

    #[test]
    fn a_broadcast_of_any_type_is_shown_by_that_type() {
        let frame = json!({"type": "maintenance", "timestamp": "2026-11-24T08:15:00Z", "message": "at noon"});
        assert_eq!(line(frame), "09:15:00  maintenance  at noon");
    }
}
