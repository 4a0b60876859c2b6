//! A notification as it comes in: read field by field, everything that is wrong with it named at once.

use serde_json::{Value, json};

use super::Api;
use super::fields::Fields;
use super::idempotent::fingerprint;
use super::problem::{Problem, draft_problem};
use super::recipients::{Recipients, recipients};
use super::templates::variables;
use crate::clock::Millis;
use crate::engine::accept::Submission;
use crate::engine::templates::{Draft, DraftError};
use crate::model::audience::Target;
use crate::model::channel::Channel;
use crate::model::invalid::Invalid;
use crate::model::notification::{
    Action, KEY_CHARS_MAX, LABEL_CHARS_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, Notification, Priority,
    TITLE_CHARS_MAX, URL_BYTES_MAX,
};
use crate::render::RenderError;

/// Ids that could not be asked for, because they are paths beside the notifications.
const RESERVED_IDS: [&str; 2] = ["batch", "simulate"];
/// The category of a notification that names none.
pub(super) const DEFAULT_CATEGORY: &str = "system";

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
pub async fn inbound(api: &Api, body: &Value) -> Result<Inbound, Problem> {
    inbound_at(api, body, api.clock.now()).await
}

/// The same for a body that comes in at `now`.
///
/// # Errors
/// 422, naming every field that is wrong.
pub async fn inbound_at(api: &Api, body: &Value, now: Millis) -> Result<Inbound, Problem> {
    let mut fields = Fields::of(body)?;
    let draft = draft(api, &mut fields).await?;
    let to = recipients(&mut fields);
    let user_id = match &to {
        Some(Recipients::User(user)) => user.clone(),
        Some(Recipients::Many(_)) | None => String::new(),
    };
    let notification = notification(&mut fields, user_id, draft, now);
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
async fn draft(api: &Api, fields: &mut Fields<'_>) -> Result<Option<Draft>, Problem> {
    let Some(name) = fields.text("template") else { return Ok(None) };
    let variables = variables(fields);
    if variables.is_none() && fields.raw("variables").is_some() {
        return Ok(None);
    }
    let user = fields.raw("user_id").and_then(Value::as_str);
    let drafted = api.engine.draft(name, &variables.unwrap_or_else(|| json!({})), user).await;
    match drafted {
        Ok(draft) => Ok(Some(draft)),
        Err(DraftError::Render(RenderError::UnknownTemplate)) => {
            Err(Invalid::one("template", "there is no template of that name").into())
        }
        Err(error) => Err(draft_problem(name, error)),
    }
}

fn notification(
    fields: &mut Fields<'_>,
    user_id: String,
    draft: Option<Draft>,
    now: Millis,
) -> Option<Notification> {
    let template = draft.as_ref().map(|draft| draft.loaded.template());
    let rendered = draft.as_ref().map(|draft| &draft.rendered);
    let mut key = |field| fields.short_text(field, KEY_CHARS_MAX).map(str::to_owned);
    let (dedupe_key, collapse_key, digest_key) = (key("dedupe_key"), key("collapse_key"), key("digest_key"));
    let kind = fields.word("type").map(str::to_owned).or_else(|| template.map(|t| t.kind.clone()));
    let kind = fields.required("type", kind);
    let title = fields.short_text("title", TITLE_CHARS_MAX).map(one_line);
    let title = title.or_else(|| rendered.map(|t| t.title.chars().take(TITLE_CHARS_MAX).collect()));
    let title = fields.required("title", title);
    let message = fields.short_text("message", MESSAGE_BYTES_MAX).map(str::to_owned);
    let message = message.or_else(|| rendered.map(|t| t.message.clone()));
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
        priority: priority.or_else(|| template.map(|t| t.priority)).unwrap_or_default(),
        category: category
            .or_else(|| template.map(|t| t.category.clone()))
            .unwrap_or_else(|| DEFAULT_CATEGORY.to_owned()),
        timestamp,
        action,
        metadata,
        channels,
        send_at,
        expires_at,
        dedupe_key,
        collapse_key,
        digest_key,
        template: draft.and_then(|draft| draft.used),
        content: None,
        batch: None,
        workflow_id: None,
    })
}

/// A title is one line: what would break it becomes a space.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
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

pub(super) fn read_channels(fields: &mut Fields<'_>) -> Option<Vec<Channel>> {
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

/// What a body without a template asks for one person, or nothing where something is wrong with it.
#[cfg(test)]
pub(super) fn plain(body: &Value, now: Millis) -> Option<Notification> {
    let mut fields = Fields::of(body).ok()?;
    let Some(Recipients::User(user_id)) = recipients(&mut fields) else { return None };
    let notification = notification(&mut fields, user_id, None, now);
    fields.finish(notification).ok()?
}
