//! `/v1/users/{id}/inbox`: what a person has been sent, and what they have read.

use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::inbox::Selection;
use crate::model::invalid::Invalid;
use crate::store::inbox::{Counts, Entry, Mark, Shelf};

/// The most ids in one request.
const IDS_MAX: usize = 1_000;

/// The counters as the outside sees them.
pub fn counts_shape(counts: Counts) -> Value {
    json!({ "total": counts.total, "unread": counts.unread, "unseen": counts.unseen })
}

/// `GET`.
pub async fn list(call: Call, id: &str) -> Result<Response, Problem> {
    let user = call.person(id, &Scope::Read)?;
    let page = call.page()?;
    let shelf = match call.query("status").as_deref() {
        None | Some("all") => Shelf::All,
        Some("unread") => Shelf::Unread,
        Some("archived") => Shelf::Archived,
        Some(_) => return Err(Invalid::one("status", "must be one of unread, all, archived").into()),
    };
    let before = page
        .cursor
        .map(|cursor| cursor.parse().map_err(|_| Invalid::one("cursor", "is not one that this list gave")))
        .transpose()?;
    let category = call.query("category");
    let entries = call
        .api
        .engine
        .store()
        .inbox(&user, shelf, before, page.limit, move |accepted| {
            category.as_ref().is_none_or(|category| *category == accepted.notification.category)
        })
        .await?;
    Ok(shapes::page(entries, |entry| shape(&entry)))
}

/// The notification, whole, and its marks.
pub fn shape(entry: &Entry) -> Value {
    let mut body = shapes::notification(&entry.accepted);
    for (name, mark) in
        [("seen", entry.marks.seen), ("read", entry.marks.read), ("archived", entry.marks.archived)]
    {
        body[name] = json!(mark);
    }
    body
}

/// `GET …/counts`.
pub async fn counts(call: Call, id: &str) -> Result<Response, Problem> {
    let user = call.person(id, &Scope::Read)?;
    let head = call.api.engine.store().inbox_head(&user).await?;
    Ok(shapes::ok(&counts_shape(head.counts)))
}

/// `POST …/mark`.
pub async fn mark(mut call: Call, id: &str) -> Result<Response, Problem> {
    let user = call.person(id, &Scope::Admin)?;
    let body = call.json().await?;
    let (selection, mark) = read(&body)?;
    let marked = call.api.engine.mark(&user, selection, mark).await?;
    Ok(shapes::ok(
        &json!({ "success": true, "marked": marked.changed, "counts": counts_shape(marked.counts) }),
    ))
}

fn read(body: &Value) -> Result<(Selection, Mark), Problem> {
    let mut fields = Fields::of(body)?;
    let mark = fields.one_of("as", &["seen", "read", "unread", "archived"], Mark::from_name);
    let mark = fields.required("as", mark);
    let ids = fields.texts("ids", IDS_MAX);
    let all = fields.boolean("all").unwrap_or(false);
    let selection = match (ids, all) {
        (Some(ids), false) => Some(Selection::Ids(ids.into_iter().map(str::to_owned).collect())),
        (None, true) => Some(Selection::All),
        (None, false) | (Some(_), true) => {
            fields.wrong("ids", "name either ids or all: true");
            None
        }
    };
    let read = fields.finish(selection.zip(mark))?;
    Ok(read.ok_or_else(|| Invalid::one("body", "is incomplete"))?)
}
