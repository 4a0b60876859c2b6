//! `GET /v1/captured`: what channels in capture mode kept instead of sending.

use serde_json::{Value, json};
use uuid::Uuid;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::report::instant;
use crate::model::channel::Channel;
use crate::model::invalid::Invalid;
use crate::store::captures::Capture;

/// The list, newest first.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let channel = match call.query("channel") {
        None => None,
        Some(name) => {
            Some(Channel::from_name(&name).ok_or_else(|| Invalid::one("channel", "is not a channel"))?)
        }
    };
    let before = page
        .cursor
        .map(|c| Uuid::parse_str(&c).map_err(|_| Invalid::one("cursor", "is not one that this list gave")))
        .transpose()?;
    let captures = call.api.engine.store().captures(channel, before, page.limit).await?;
    Ok(shapes::page(captures, |capture| shape(&capture)))
}

/// A kept message as the outside sees it.
pub fn shape(capture: &Capture) -> Value {
    json!({
        "id": capture.id.to_string(),
        "channel": capture.channel.name(),
        "notification_id": capture.message.notification_id,
        "user_id": capture.message.user_id,
        "to": capture.message.to,
        "title": capture.message.title,
        "text": capture.message.text,
        "html": capture.message.html,
        "at": instant(capture.at),
    })
}
