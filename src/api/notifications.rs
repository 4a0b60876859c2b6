//! `/v1/notifications`: sending one or many, and asking what became of them.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;
use warp::reply::Response;

use super::Api;
use super::call::Call;
use super::fields::{Fields, parse_instant};
use super::idempotent::{Slotted, fingerprint};
use super::problem::{Problem, render_problem};
use super::shapes;
use crate::access::Scope;
use crate::engine::accept::{AcceptError, Keep, Submission, Taken};
use crate::engine::report::{self, Standing, instant};
use crate::model::channel::Channel;
use crate::model::delivery::Status;
use crate::model::ids::new_id;
use crate::model::invalid::Invalid;
use crate::model::notification::{
    Accepted, Action, LABEL_CHARS_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, Notification, Priority,
    TITLE_CHARS_MAX, URL_BYTES_MAX,
};

/// The longest that `Prefer: wait` waits, in seconds.
const WAIT_SECONDS_MAX: u64 = 30;
/// Ids that could not be asked for, because they are paths beside the notifications.
const RESERVED_IDS: [&str; 2] = ["batch", "simulate"];
/// The category of a notification that names none.
const DEFAULT_CATEGORY: &str = "system";

/// The largest body of a request: of a batch so many times that of any other, and no more than 64 MiB.
pub fn bytes_max(call: &Call) -> usize {
    let single = call.api.limits.load().body_bytes_max;
    if call.path == "/v1/notifications/batch" {
        single.saturating_mul(16).min(64 * 1024 * 1024)
    } else {
        single
    }
}

/// `POST /v1/notifications`.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let wait = prefer_wait(&call);
    let body = call.json().await?;
    if body.get("to").is_some_and(|to| !to.is_null()) {
        return create_for_many(call, body).await;
    }
    let submission = submission(&call.api, &body)?;
    let keep = call.slotted.take().map(keep_one);
    let taken = call.api.engine.accept(vec![submission], keep).await?;
    let taken = taken.into_iter().next().expect("one result for one submission")?;
    let accepted = taken.accepted();
    if let Some(longest) = wait {
        let settled = call.api.engine.settled(accepted.key, longest).await?;
        if let Some(standing) = call.api.engine.standing(accepted.key).await? {
            let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
            return Ok(shapes::json_response(status, &shapes::result(accepted, &standing)));
        }
    }
    Ok(shapes::json_response(StatusCode::ACCEPTED, &first_result(accepted)))
}

/// One body for several people: a notification for each, answered like a batch.
async fn create_for_many(call: Call, body: Value) -> Result<Response, Problem> {
    let people: Vec<String> = {
        let mut fields = Fields::of(&body)?;
        let to = fields.texts("to", call.api.limits.load().batch_len_max).unwrap_or_default();
        let mut seen = HashSet::new();
        let to: Vec<String> = to.into_iter().filter(|user| seen.insert(*user)).map(str::to_owned).collect();
        if to.is_empty() && fields.invalid.errors.is_empty() {
            fields.wrong("to", "must name at least one user");
        }
        for other in ["user_id", "topic", "id"] {
            if fields.raw(other).is_some() {
                fields.wrong(other, "does not go together with to");
            }
        }
        fields.finish(to)?
    };
    let items = people
        .into_iter()
        .map(|user| {
            let mut item = body.clone();
            if let Value::Object(fields) = &mut item {
                fields.remove("to");
                fields.insert("user_id".to_owned(), Value::String(user));
            }
            item
        })
        .collect();
    take_batch(call, items).await
}

/// `POST /v1/notifications/batch`.
pub async fn batch(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let bytes_max = bytes_max(&call);
    let body = call.json_up_to(bytes_max).await?;
    let items = {
        let mut fields = Fields::of(&body)?;
        let list = fields.list("notifications");
        let list = fields.required("notifications", list).unwrap_or_default();
        let most = call.api.limits.load().batch_len_max;
        if list.is_empty() && fields.invalid.errors.is_empty() {
            fields.wrong("notifications", "must not be empty");
        } else if list.len() > most {
            fields
                .wrong("notifications", format!("must have at most {most} entries, this has {}", list.len()));
        }
        fields.finish(list.to_vec())?
    };
    take_batch(call, items).await
}

async fn take_batch(mut call: Call, items: Vec<Value>) -> Result<Response, Problem> {
    let mut checked: Vec<Result<(), String>> = Vec::with_capacity(items.len());
    let mut submissions = Vec::with_capacity(items.len());
    for item in &items {
        match submission(&call.api, item) {
            Ok(submission) => {
                submissions.push(submission);
                checked.push(Ok(()));
            }
            Err(problem) => checked.push(Err(problem.summary())),
        }
    }
    let names: Vec<String> = items.iter().enumerate().map(|(at, item)| item_name(at, item)).collect();
    let batch_id = new_id(call.api.clock.now()).to_string();
    let answer = move |taken: &[Result<Taken, AcceptError>]| batch_result(&batch_id, &names, &checked, taken);
    let keep = call.slotted.take().map(|slotted| {
        let answer = answer.clone();
        Keep {
            slot: slotted.slot,
            answer: Box::new(move |taken| slotted.kept(StatusCode::ACCEPTED, &answer(taken).to_string())),
        }
    });
    let taken = call.api.engine.accept(submissions, keep).await?;
    let mut body = answer(&taken);
    let Some(longest) = prefer_wait(&call) else {
        return Ok(shapes::json_response(StatusCode::ACCEPTED, &body));
    };
    let settled = settle_all(&call, &taken, longest, &mut body).await?;
    let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(shapes::json_response(status, &body))
}

/// Waits for every notification of a batch, as long as is left, and puts what became of each into its answer.
async fn settle_all(
    call: &Call,
    taken: &[Result<Taken, AcceptError>],
    longest: Duration,
    body: &mut Value,
) -> Result<bool, Problem> {
    let deadline = tokio::time::Instant::now() + longest;
    let mut all_settled = true;
    for accepted in taken.iter().flatten().map(Taken::accepted) {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        all_settled &= call.api.engine.settled(accepted.key, left).await?;
        let Some(standing) = call.api.engine.standing(accepted.key).await? else { continue };
        let id = accepted.id();
        let results = body["results"].as_array_mut().into_iter().flatten();
        for result in results.filter(|result| result["notification_id"] == id.as_str()) {
            *result = json!(shapes::result(accepted, &standing));
        }
    }
    Ok(all_settled)
}

/// What an item of a batch is called in an error: its id, or its place.
fn item_name(at: usize, item: &Value) -> String {
    // An id that is refused may hold anything: what would break a line or a terminal is left out.
    let visible = |id: &str| id.chars().filter(|c| !c.is_control()).take(128).collect();
    item.get("id").and_then(Value::as_str).map_or_else(|| at.to_string(), visible)
}

fn batch_result(
    batch_id: &str,
    names: &[String],
    checked: &[Result<(), String>],
    taken: &[Result<Taken, AcceptError>],
) -> Value {
    let (mut results, mut errors, mut taken) = (Vec::new(), Vec::new(), taken.iter());
    for (name, checked) in names.iter().zip(checked) {
        let refused = match checked {
            Ok(()) => match taken.next() {
                Some(Ok(taken)) => {
                    results.push(json!(first_result(taken.accepted())));
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                None => "was not taken".to_owned(),
            },
            Err(why) => why.clone(),
        };
        errors.push(format!("{name}: {refused}"));
        results.push(json!({ "success": false, "notification_id": null, "errors": [refused] }));
    }
    let failed = errors.len();
    json!({
        "success": failed == 0,
        "total_sent": names.len(),
        "successful": names.len() - failed,
        "failed": failed,
        "errors": errors,
        "batch_id": batch_id,
        "results": results,
    })
}

/// What is answered the moment that a notification is accepted.
pub fn first_result(accepted: &Accepted) -> shapes::NotificationResult {
    shapes::result(accepted, &Standing::of(accepted, &[]))
}

/// Keeps the answer to a request for one notification in the commit that accepts it.
pub fn keep_one(slotted: Slotted) -> Keep {
    Keep {
        slot: slotted.slot,
        answer: Box::new(move |taken| {
            let body = match taken.first() {
                Some(Ok(taken)) => Some(first_result(taken.accepted())),
                Some(Err(_)) | None => None,
            };
            slotted.kept(StatusCode::ACCEPTED, &json!(body).to_string())
        }),
    }
}

/// `Prefer: wait=N` (RFC 7240, section 4.3).
fn prefer_wait(call: &Call) -> Option<Duration> {
    let prefer = call.header("prefer")?;
    let wait = prefer.split([',', ';']).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then_some(value)
    })?;
    let seconds: u64 = wait.trim().trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
}

/// A body as a submission.
///
/// # Errors
/// 422, naming every field that is wrong.
pub fn submission(api: &Api, body: &Value) -> Result<Submission, Problem> {
    let mut fields = Fields::of(body)?;
    let rendered = render(api, &mut fields)?;
    let notification = notification(&mut fields, rendered, api.clock.now());
    let notification = fields.finish(notification)?.ok_or_else(|| Invalid::one("body", "is incomplete"))?;
    let content = match &notification.given_id {
        // Maps of serde_json are sorted, so the same content is the same text however it was spelled.
        Some(_) => fingerprint(&[body.to_string().as_bytes()]),
        None => [0; 16],
    };
    Ok(Submission { notification, content })
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
    template: Option<FromTemplate>,
    now: crate::clock::Millis,
) -> Option<Notification> {
    if fields.raw("topic").is_some() {
        fields.wrong("topic", "sending to a topic is not available in this version; name user_id or to");
    }
    for later in ["dedupe_key", "collapse_key", "digest_key"] {
        if fields.raw(later).is_some() {
            fields.wrong(later, "is not available in this version");
        }
    }
    let user_id = fields.name("user_id");
    let user_id = fields.required("user_id", user_id);
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
        user_id: user_id?.to_owned(),
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

async fn found(call: &Call, id: &str) -> Result<Accepted, Problem> {
    let found = call.api.engine.store().notification(id).await?;
    found.ok_or_else(|| Problem::not_found("notification"))
}

/// `GET /v1/notifications/{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let accepted = found(&call, id).await?;
    let events = call.api.engine.store().events(accepted.key).await?;
    let mut body = shapes::notification(&accepted);
    body["status"] = json!(Standing::of(&accepted, &events).overall().name());
    Ok(shapes::ok(&body))
}

/// `GET /v1/notifications/{id}/status`.
pub async fn status(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let accepted = found(&call, id).await?;
    let events = call.api.engine.store().events(accepted.key).await?;
    let standing = Standing::of(&accepted, &events);
    let channels: Vec<Value> = standing
        .channels
        .iter()
        .map(|channel| {
            json!({
                "channel": channel.channel.name(),
                "status": channel.status.name(),
                "reason": channel.reason.map(|reason| reason.name()),
                "attempts": channel.attempts,
                "last_error": channel.last_error,
                "not_before": shapes::maybe_instant(channel.not_before),
                "delivered_at": shapes::maybe_instant(channel.delivered_at),
            })
        })
        .collect();
    let error = standing
        .channels
        .iter()
        .find_map(|channel| channel.last_error.as_ref().map(|error| format!("{}: {error}", channel.channel)));
    Ok(shapes::ok(&json!({
        "notification_id": accepted.id(),
        "overall_status": standing.overall().name(),
        "channel_statuses": channels,
        "retry_attempts": shapes::retries(&standing),
        "last_attempt": shapes::maybe_instant(standing.channels.iter().filter_map(|c| c.last_attempt).max()),
        "error_message": error,
        "delivered_at": shapes::maybe_instant(standing.channels.iter().filter_map(|c| c.delivered_at).min()),
    })))
}

/// `GET /v1/notifications/{id}/timeline`.
pub async fn timeline(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let accepted = found(&call, id).await?;
    let events = call.api.engine.store().events(accepted.key).await?;
    let data: Vec<Value> = report::timeline(&accepted, &events)
        .into_iter()
        .map(|moment| {
            json!({
                "at": instant(moment.at),
                "event": moment.event,
                "channel": moment.channel.map(Channel::name),
                "reason": moment.reason.map(|reason| reason.name()),
                "detail": moment.detail,
            })
        })
        .collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": null })))
}

/// `POST /v1/notifications/{id}/cancel`.
pub async fn cancel(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Publish)?;
    let accepted = found(&call, id).await?;
    call.api.engine.cancel(accepted.key).await?;
    let events = call.api.engine.store().events(accepted.key).await?;
    Ok(shapes::ok(&shapes::result(&accepted, &Standing::of(&accepted, &events))))
}

/// `GET /v1/notifications`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let filter = Filter::of(&call)?;
    let store = call.api.engine.store();
    let status = filter.status.clone();
    let bad_cursor = || Invalid::one("cursor", "is not one that this list gave");
    // One person's notifications are read off their own lines; everybody's off the whole list.
    let page = match filter.user_id.clone() {
        Some(user) => {
            let before =
                page.cursor.map(|cursor| cursor.parse::<u64>().map_err(|_| bad_cursor())).transpose()?;
            let wanted = move |accepted: &Accepted| filter.takes(accepted);
            let found = store
                .inbox(&user, crate::store::inbox::Shelf::Everything, before, page.limit, wanted)
                .await?;
            crate::store::users::Page {
                items: found.items.into_iter().map(|entry| entry.accepted).collect(),
                next: found.next,
            }
        }
        None => {
            let before =
                page.cursor.map(|cursor| Uuid::parse_str(&cursor).map_err(|_| bad_cursor())).transpose()?;
            store.notifications(before, page.limit, move |accepted| filter.takes(accepted)).await?
        }
    };
    let mut data = Vec::with_capacity(page.items.len());
    for accepted in &page.items {
        let events = store.events(accepted.key).await?;
        let overall = Standing::of(accepted, &events).overall().name();
        // Where a notification stands follows from its events, so this filter comes last and a page may be short.
        if status.as_deref().is_none_or(|wanted| wanted == overall) {
            let mut item = shapes::notification(accepted);
            item["status"] = json!(overall);
            data.push(item);
        }
    }
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": page.next })))
}

struct Filter {
    user_id: Option<String>,
    status: Option<String>,
    category: Option<String>,
    kind: Option<String>,
    priority: Option<Priority>,
    since: Option<i64>,
    until: Option<i64>,
}

impl Filter {
    fn of(call: &Call) -> Result<Filter, Problem> {
        let mut invalid = Invalid::default();
        let mut instant = |name: &str| {
            let text = call.query(name)?;
            let at = parse_instant(&text);
            if at.is_none() {
                invalid.push(name, "must be an instant in RFC 3339, such as 2026-11-23T08:00:00Z");
            }
            at
        };
        let (since, until) = (instant("since"), instant("until"));
        let priority = call.query("priority").and_then(|name| {
            let priority = Priority::from_name(&name);
            if priority.is_none() {
                invalid.push("priority", "must be one of low, medium, high, critical");
            }
            priority
        });
        let status = call.query("status");
        if status.as_ref().is_some_and(|name| !Status::ALL.iter().any(|status| status.name() == name)) {
            invalid.push("status", format!("must be one of {}", Status::ALL.map(Status::name).join(", ")));
        }
        Ok(invalid.or(Filter {
            user_id: call.query("user_id"),
            status,
            category: call.query("category"),
            kind: call.query("type"),
            priority,
            since,
            until,
        })?)
    }

    fn takes(&self, accepted: &Accepted) -> bool {
        let n = &accepted.notification;
        let at = accepted.timestamp();
        self.category.as_ref().is_none_or(|category| *category == n.category)
            && self.kind.as_ref().is_none_or(|kind| *kind == n.kind)
            && self.priority.is_none_or(|priority| priority == n.priority)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until)
    }
}
