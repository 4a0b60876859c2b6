//! `POST /v1/workflow-events`: what a workflow engine reports, pushed to those who watch and sent to who must know.

use http::StatusCode;
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::notifications::{first_result, keep_one};
use super::problem::{Problem, draft_problem};
use super::shapes;
use crate::access::Scope;
use crate::engine::accept::Submission;
use crate::engine::templates::Draft;
use crate::model::invalid::Invalid;
use crate::model::notification::{METADATA_BYTES_MAX, Notification, TITLE_CHARS_MAX};
use crate::model::workflow::{EventKind, Progress, STATUSES};

/// The longest stage, project and message that an event carries, in characters.
const TEXT_CHARS_MAX: usize = 4_096;

struct Event {
    kind: EventKind,
    user_id: Option<String>,
    project_id: Option<String>,
    variables: Map<String, Value>,
    progress: Progress,
}

/// Takes an event.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let body = call.json().await?;
    let event = read(&body, call.api.clock.now())?;
    if let Some(user) = &event.user_id {
        call.api.engine.keep_participation(user, &event.progress).await?;
    }
    if event.kind == EventKind::Update {
        call.api.engine.push_progress(&event.progress);
        return Ok(shapes::json_response(
            StatusCode::ACCEPTED,
            &json!({
                "success": true,
                "notification_id": null,
                "channels_sent": [],
                "channels_failed": [],
                "channels_pending": [],
                "channels_deferred": [],
                "channels_skipped": [],
                "timestamp": crate::engine::report::instant(event.progress.at),
                "errors": [],
            }),
        ));
    }
    let name = event.kind.name();
    let variables = Value::Object(template_variables(&event));
    let draft = call.api.engine.draft(name, &variables, event.user_id.as_deref()).await;
    let Draft { loaded, rendered, .. } = draft.map_err(|error| draft_problem(name, error))?;
    let template = loaded.template();
    let notification = Notification {
        user_id: event.user_id.clone().ok_or_else(|| Invalid::one("user_id", "is required"))?,
        kind: name.to_owned(),
        title: rendered.title.chars().take(TITLE_CHARS_MAX).collect(),
        message: rendered.message,
        priority: template.priority,
        category: template.category.clone(),
        metadata: Some(metadata(&event)),
        workflow_id: Some(event.progress.workflow_id.clone()),
        ..Notification::default()
    };
    let keep = call.slotted.take().map(keep_one);
    let taken = call.api.engine.accept(vec![Submission { notification, content: [0; 16] }], keep).await?;
    let taken = taken.into_iter().next().expect("one result for one submission")?;
    call.api.engine.push_progress(&event.progress);
    Ok(shapes::result_response(StatusCode::ACCEPTED, &first_result(taken.accepted())))
}

fn read(body: &Value, now: i64) -> Result<Event, Problem> {
    let mut fields = Fields::of(body)?;
    let kind = fields.text("type");
    let kind = match fields.required("type", kind) {
        Some(text) => match EventKind::from_name(text) {
            Some(kind) => Some(kind),
            None => {
                return Err(Problem::unprocessable(
                    "unknown_event_type",
                    "type must be one of workflow_review_required, workflow_completed, workflow_failed, workflow_update",
                ));
            }
        },
        None => None,
    };
    let workflow_id = fields.name("workflow_id");
    let workflow_id = fields.required("workflow_id", workflow_id).map(str::to_owned);
    let session_id = fields.name("session_id").map(str::to_owned);
    let user_id = fields.name("user_id").map(str::to_owned);
    if kind.is_some_and(|kind| kind != EventKind::Update) {
        fields.required("user_id", user_id.as_ref());
    }
    let mut text = |name| fields.short_text(name, TEXT_CHARS_MAX).map(str::to_owned);
    let (project_id, stage, message) = (text("project_id"), text("stage"), text("message"));
    let progress = fields.number("progress", 0.0, 1.0);
    let status = fields.one_of("status", &STATUSES, |name| STATUSES.into_iter().find(|s| *s == name));
    let metadata = fields.json_object("metadata", METADATA_BYTES_MAX);
    let variables = fields.object("variables", |inner| {
        inner.entries().map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
    });
    let variables_bytes = fields.raw("variables").map_or(0, |value| value.to_string().len());
    if variables_bytes > METADATA_BYTES_MAX {
        fields.wrong("variables", format!("must be at most {METADATA_BYTES_MAX} bytes of JSON"));
    }
    let kind_or_update = kind.unwrap_or(EventKind::Update);
    let event = Event {
        kind: kind_or_update,
        user_id,
        project_id,
        variables: variables.unwrap_or_default(),
        progress: Progress {
            workflow_id: workflow_id.unwrap_or_default(),
            session_id,
            stage,
            progress,
            status: status.unwrap_or(kind_or_update.implied_status()).to_owned(),
            message,
            metadata,
            at: now,
        },
    };
    Ok(fields.finish(event)?)
}

/// What the template can use: the event's own fields, the sender's variables over them, and names where the sender
/// gives none.
fn template_variables(event: &Event) -> Map<String, Value> {
    let progress = &event.progress;
    let mut variables = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::String);
    set("workflow_id", Some(json!(progress.workflow_id)));
    set("workflow_name", Some(json!(progress.workflow_id)));
    set("session_id", text(&progress.session_id));
    set("project_id", text(&event.project_id));
    set("stage", Some(text(&progress.stage).unwrap_or_else(|| json!("review"))));
    // A failure's message is its error; said once is enough.
    if event.kind == EventKind::Failed {
        set("error", Some(text(&progress.message).unwrap_or_else(|| json!("no reason was given"))));
    } else {
        set("message", text(&progress.message));
    }
    set("progress", progress.progress.map(|progress| json!(progress)));
    set("status", Some(json!(progress.status)));
    let given = event.variables.iter().filter(|(_, value)| !value.is_null());
    variables.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    variables
}

/// What the notification carries of its event, so that a page can lead back to it.
fn metadata(event: &Event) -> String {
    let mut fields = Map::new();
    let progress = &event.progress;
    fields.insert("workflow_id".to_owned(), json!(progress.workflow_id));
    for (name, value) in
        [("session_id", &progress.session_id), ("project_id", &event.project_id), ("stage", &progress.stage)]
    {
        if let Some(value) = value {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    Value::Object(fields).to_string()
}
