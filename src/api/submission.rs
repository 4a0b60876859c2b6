//! A notification as it comes in: read field by field, everything that is wrong with it named at once.

use serde_json::{Value, json};

use super::Api;
use super::fields::Fields;
use super::idempotent::fingerprint;
use super::problem::{Problem, render_problem};
use super::recipients::{Recipients, recipients};
use crate::engine::accept::Submission;
use crate::model::audience::Target;
use crate::model::channel::Channel;
use crate::model::invalid::Invalid;
use crate::model::notification::{
    Action, LABEL_CHARS_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, Notification, Priority, TITLE_CHARS_MAX,
    URL_BYTES_MAX,
};

/// Ids that could not be asked for, because they are paths beside the notifications.
const RESERVED_IDS: [&str; 2] = ["batch", "simulate"];
/// The category of a notification that names none.
const DEFAULT_CATEGORY: &str = "system";

/// What a body asks for.
pub enum Inbound {
    /// A notification for one person.
    One(Submission),
    /// A notification for each of many; the one that is in it names nobody.
    Many(Submission, Target),
}

/// A body as what it asks for.
///
/// # Errors
/// 422, naming every field that is wrong.
pub fn inbound(api: &Api, body: &Value) -> Result<Inbound, Problem> {
    let mut fields = Fields::of(body)?;
    let rendered = render(api, &mut fields)?;
    let to = recipients(&mut fields);
    let user_id = match &to {
        Some(Recipients::User(user)) => user.clone(),
        Some(Recipients::Many(_)) | None => String::new(),
    };
    let notification = notification(&mut fields, user_id, rendered, api.clock.now());
    let (to, notification) =
        fields.finish(to.zip(notification))?.ok_or_else(|| Invalid::one("body", "is incomplete"))?;
    let content = match &notification.given_id {
        // Maps of serde_json are sorted, so the same content is the same text however it was spelled.
        Some(_) => fingerprint(&[body.to_string().as_bytes()]),
        None => [0; 16],
    };
    let submission = Submission { notification, content };
    Ok(match to {
        Recipients::User(_) => Inbound::One(submission),
        Recipients::Many(target) => Inbound::Many(submission, target),
    })
}

/// What a template gives, where one is named.
struct FromTemplate {
    kind: String,
    title: String,
    message: String,
    priority: Option<Priority>,
    category: String,
}

fn render(api: &Api, fields: &mut Fields<'_>) -> Result<Option<FromTemplate>, Problem> {
    let Some(name) = fields.text("template") else { return Ok(None) };
    let Some(template) = api.engine.renderer().template(name) else {
        return Err(Invalid::one("template", "there is no template of that name").into());
    };
    let variables = match fields.raw("variables") {
        None => json!({}),
        Some(object @ Value::Object(_)) => object.clone(),
        Some(_) => {
            fields.wrong("variables", "must be an object");
            return Ok(None);
        }
    };
    let rendered =
        api.engine.renderer().render(name, &variables).map_err(|error| render_problem(name, error))?;
    Ok(Some(FromTemplate {
        kind: template.kind.to_string(),
        title: rendered.title,
        message: rendered.message,
        priority: Priority::from_name(&template.priority),
        category: template.category.to_string(),
    }))
}

fn notification(
    fields: &mut Fields<'_>,
    user_id: String,
    template: Option<FromTemplate>,
    now: crate::clock::Millis,
) -> Option<Notification> {
    for later in ["dedupe_key", "collapse_key", "digest_key"] {
        if fields.raw(later).is_some() {
            fields.wrong(later, "is not available in this version");
        }
    }
    let kind = fields.word("type").map(str::to_owned).or_else(|| template.as_ref().map(|t| t.kind.clone()));
    let kind = fields.required("type", kind);
    let title = fields.short_text("title", TITLE_CHARS_MAX).map(one_line);
    let title = title.or_else(|| template.as_ref().map(|t| t.title.chars().take(TITLE_CHARS_MAX).collect()));
    let title = fields.required("title", title);
    let message = fields.short_text("message", MESSAGE_BYTES_MAX).map(str::to_owned);
    let message = message.or_else(|| template.as_ref().map(|t| t.message.clone()));
    let message = fields.required("message", message);
    if message.as_ref().is_some_and(|message| message.len() > MESSAGE_BYTES_MAX) {
        fields.wrong("message", format!("must be at most {MESSAGE_BYTES_MAX} bytes"));
    }
    let priorities = Priority::ALL.map(Priority::name);
    let priority = fields.one_of("priority", &priorities, Priority::from_name);
    let category = fields.word("category").map(str::to_owned);
    let given_id = fields.name("id").map(str::to_owned);
    if given_id.as_deref().is_some_and(|id| RESERVED_IDS.contains(&id)) {
        fields.wrong("id", "is the name of a path; choose another");
    }
    let timestamp = fields.instant("timestamp");
    let action = fields.object("action", read_action).flatten();
    let metadata = fields.json_object("metadata", METADATA_BYTES_MAX);
    let channels = read_channels(fields);
    let send_at = fields.instant("send_at");
    let expires_at = fields.instant("expires_at");
    if expires_at.is_some_and(|at| at <= now.max(send_at.unwrap_or(0))) {
        fields.wrong("expires_at", "must be in the future, and after send_at");
    }
    Some(Notification {
        given_id,
        user_id,
        kind: kind?,
        title: title?,
        message: message?,
        priority: priority.or_else(|| template.as_ref()?.priority).unwrap_or_default(),
        category: category
            .or_else(|| template.map(|t| t.category))
            .unwrap_or_else(|| DEFAULT_CATEGORY.to_owned()),
        timestamp,
        action,
        metadata,
        channels,
        send_at,
        expires_at,
        dedupe_key: None,
        collapse_key: None,
        digest_key: None,
        template: None,
        content: None,
        batch: None,
        workflow_id: None,
    })
}

/// A title is one line: what would break it becomes a space.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn read_action(fields: &mut Fields<'_>) -> Option<Action> {
    let label = fields.short_text("label", LABEL_CHARS_MAX);
    let label = fields.required("label", label);
    let url = fields.short_text("url", URL_BYTES_MAX);
    let url = fields.required("url", url)?;
    // Anything else, javascript: above all, would run in the reader's page.
    let leads_somewhere = ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let on_this_site = url.starts_with('/') && !url.starts_with("//") && !url.starts_with("/\\");
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) || !(leads_somewhere || on_this_site) {
        fields.wrong("url", "must be an http, https or mailto address, or a path that begins with a slash");
        return None;
    }
    Some(Action { label: one_line(label?), url: url.to_owned() })
}

fn read_channels(fields: &mut Fields<'_>) -> Option<Vec<Channel>> {
    let names = fields.texts("channels", Channel::ALL.len() * 2)?;
    let mut channels = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match Channel::from_name(name) {
            Some(channel) if !channels.contains(&channel) => channels.push(channel),
            Some(_) => {}
            None => {
                let known = Channel::ALL.map(Channel::name).join(", ");
                fields.wrong(&format!("channels[{at}]"), format!("must be one of {known}"));
            }
        }
    }
    if names.is_empty() {
        fields.wrong(
            "channels",
            "must name at least one channel; leave it out to follow the user's preferences",
        );
    }
    Some(channels)
}
