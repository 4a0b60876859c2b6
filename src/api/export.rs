//! `/v1/users/{id}/export`: everything that is stored of a person, as one JSON document.

use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::forget;
use super::problem::Problem;
use super::{captured, endpoints, hooks, inbox, push, schedules, shapes, suppressions, users, wishes};
use crate::access::Scope;
use crate::engine::report::{Standing, instant};
use crate::model::invalid::Invalid;
use crate::model::user::User;
use crate::store::Store;
use crate::store::inbox::{Entry, Shelf};

/// How much of a person's notifications one document holds, in bytes of JSON; the cursor leads to the rest.
const NOTIFICATIONS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Notifications and topics that are read at once.
const STEP: usize = 200;
/// The most topics, workflows and kept messages in a document, each.
const LISTED_MAX: usize = 10_000;

/// `GET`: who they are, what they want and how that came to be, where they are a member, what is set up for them, and what
/// they were sent with where it stands and what they marked, newest first. Where that is too much for one document `next_cursor` leads to
/// older notifications.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Read)?;
    let before: Option<u64> = call
        .query("cursor")
        .map(|cursor| cursor.parse().map_err(|_| Invalid::one("cursor", "is not one that an export gave")))
        .transpose()?;
    let store = call.api.engine.store();
    let user = store.user(&id).await?.ok_or_else(|| Problem::not_found("user"))?;
    let mut document = known_of(store, &user).await?;
    set_up_for(&call, &user, &mut document).await?;
    let (notifications, next) = notifications_of(store, &id, before).await?;
    document["notifications"] = json!(notifications);
    document["next_cursor"] = json!(next);
    document["exported_at"] = json!(instant(call.api.clock.now()));
    Ok(shapes::ok(&document))
}

/// All of it but the notifications. What else comes to be stored of people belongs here.
async fn known_of(store: &Store, user: &User) -> Result<Value, Problem> {
    let changes = store.history(&user.id).await?;
    let browsers = store.push_subscriptions(&user.id).await?;
    let (mut topics, mut after) = (Vec::new(), None);
    loop {
        let page = store.topics_of(&user.id, after, STEP).await?;
        let of_page = page.items.into_iter();
        topics.extend(of_page.map(|(name, since)| json!({ "name": name, "since": instant(since) })));
        after = page.next;
        if after.is_none() || topics.len() >= LISTED_MAX {
            break;
        }
    }
    Ok(json!({
        "user": users::shape(user),
        "preferences": wishes::shape(user),
        "preferences_history": changes.iter().map(wishes::change).collect::<Vec<_>>(),
        "topics": topics,
        "push_subscriptions": browsers.iter().map(push::shape).collect::<Vec<_>>(),
    }))
}

/// What others have set up for a person, and what is kept of their addresses. Nobody else whom it names is shown.
async fn set_up_for(call: &Call, user: &User, document: &mut Value) -> Result<(), Problem> {
    let (api, store, now) = (&call.api, call.api.engine.store(), call.api.clock.now());
    let recurring = forget::schedules_naming(store, &user.id).await?.into_iter().map(|(schedule, _)| {
        let mut shown = schedules::shape(&schedule, now);
        if shown["notification"]["to"].is_array() {
            shown["notification"]["to"] = json!([user.id]);
        }
        shown
    });
    let mut suppressed = Vec::new();
    for (channel, address) in user.addresses() {
        let suppression = store.suppression_of(channel, &address).await?;
        suppressed.extend(suppression.iter().map(suppressions::shape));
    }
    let kept = store.captures_of(&user.id, LISTED_MAX).await?;
    let mut theirs = api.engine.endpoints();
    theirs.retain(|endpoint| endpoint.user_id.as_deref() == Some(user.id.as_str()));
    document["schedules"] = recurring.collect();
    document["hooks"] = api.hooks.naming(&user.id).iter().map(|hook| hooks::shape(hook)).collect();
    document["endpoints"] = theirs.iter().map(|endpoint| endpoints::shape(call, endpoint)).collect();
    document["suppressions"] = json!(suppressed);
    document["captured"] = kept.iter().map(captured::shape).collect();
    document["workflows"] = json!(store.workflows_of(&user.id, LISTED_MAX).await?);
    Ok(())
}

/// As many notifications as there is room for, and where the rest begins.
async fn notifications_of(
    store: &Store,
    user: &str,
    before: Option<u64>,
) -> Result<(Vec<Value>, Option<String>), Problem> {
    let (mut found, mut bytes, mut before) = (Vec::new(), 0, before);
    loop {
        let page = store.inbox(user, Shelf::Everything, before, STEP, |_| true).await?;
        for entry in page.items {
            // A cursor is the offset of the last that was given.
            let offset = entry.accepted.offset;
            let shown = notification(store, &entry).await?;
            bytes += shown.to_string().len();
            found.push(shown);
            if bytes > NOTIFICATIONS_BYTES_MAX {
                return Ok((found, Some(offset.to_string())));
            }
        }
        before = match page.next.map(|next| next.parse()) {
            Some(Ok(next)) => Some(next),
            Some(Err(_)) | None => return Ok((found, None)),
        };
    }
}

async fn notification(store: &Store, entry: &Entry) -> Result<Value, Problem> {
    let events = store.events(entry.accepted.key).await?;
    let standing = Standing::of(&entry.accepted, &events);
    let channels = standing.channels.iter().map(|channel| {
        json!({
            "channel": channel.channel.name(),
            "status": channel.status.name(),
            "reason": channel.reason.map(|reason| reason.name()),
            "delivered_at": shapes::maybe_instant(channel.delivered_at),
        })
    });
    let mut shown = inbox::shape(entry);
    shown["status"] = json!(standing.overall().name());
    shown["channel_statuses"] = channels.collect();
    Ok(shown)
}
