//! `/v1/connections`: who is connected now, and sending somebody off.

use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::engine::report::instant;
use crate::hub::View;

/// The close code of a kick: do not reconnect.
const CLOSE_KICKED: u16 = 4503;

fn shape(view: &View) -> Value {
    json!({
        "id": view.id.to_string(),
        "user_id": view.user_id,
        "session_id": view.session_id,
        "state": view.state,
        "connected_at": instant(view.connected_at),
        "last_heartbeat": instant(view.last_heartbeat),
        "subscriptions": view.subscriptions,
        "acked": view.acked,
        "sent": view.sent,
        "queue": view.queue,
    })
}

/// `GET`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let user = call.query("user_id");
    let (views, next) = call.api.hub.list(page.cursor.as_deref(), page.limit, user.as_deref());
    let data: Vec<Value> = views.iter().map(shape).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": next })))
}

/// `GET /{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let view = call.api.hub.get(id).ok_or_else(|| Problem::not_found("connection"))?;
    Ok(shapes::ok(&shape(&view)))
}

/// `DELETE /{id}`.
pub async fn kick(call: Call, id: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    if !call.api.hub.kick(id, CLOSE_KICKED) {
        return Err(Problem::not_found("connection"));
    }
    Ok(shapes::no_content())
}
