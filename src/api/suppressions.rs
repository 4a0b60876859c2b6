//! `/v1/suppressions`: addresses that nothing is sent to, put there by hand, by a provider or by a mail that came back.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::clock::Millis;
use crate::engine::report::instant;
use crate::model::channel::Channel;
use crate::model::ids::new_id;
use crate::model::invalid::Invalid;
use crate::model::suppression::{CHANNELS, REASON_CHARS_MAX, Source, Suppression};
use crate::model::user::{check_email, check_phone};
use crate::store::Txn;

/// A suppression as the outside sees it.
pub fn shape(suppression: &Suppression) -> Value {
    json!({
        "id": suppression.id.to_string(),
        "channel": suppression.channel.name(),
        "address": suppression.address,
        "reason": suppression.reason,
        "source": suppression.source.name(),
        "since": instant(suppression.since),
    })
}

/// `GET`: the list, newest first; `?channel=` for one channel's.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let channel = match call.query("channel") {
        None => None,
        Some(name) => Some(channel(&name).ok_or_else(|| Invalid::one("channel", "must be email or sms"))?),
    };
    let before = page
        .cursor
        .map(|c| Uuid::parse_str(&c).map_err(|_| Invalid::one("cursor", "is not one that this list gave")))
        .transpose()?;
    let suppressions = call.api.engine.store().suppressions(channel, before, page.limit).await?;
    Ok(shapes::page(suppressions, |suppression| shape(&suppression)))
}

/// `POST`: one more. An address that is on the list already stays as it is there.
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let suppression = read(&call.json().await?, call.api.clock.now())?;
    let store = call.api.engine.store();
    let (suppression, fresh) = store.commit(move |txn: &mut Txn<'_>| txn.suppress(&suppression)).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shapes::json_response(status, &shape(&suppression)))
}

/// `DELETE /{id or channel:address}`: mail or messages go there again.
pub async fn delete(call: Call, which: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let id = Uuid::parse_str(which).ok();
    let address =
        which.split_once(':').and_then(|(name, address)| Some((channel(name)?, address.to_owned())));
    let off = call.api.engine.store().commit(move |txn: &mut Txn<'_>| match (id, &address) {
        (Some(id), _) => txn.unsuppress_id(id),
        (None, Some((channel, address))) => txn.unsuppress(*channel, address),
        (None, None) => Ok(false),
    });
    if off.await? { Ok(shapes::no_content()) } else { Err(Problem::not_found("suppression")) }
}

fn channel(name: &str) -> Option<Channel> {
    CHANNELS.into_iter().find(|channel| channel.name() == name)
}

fn read(body: &Value, now: Millis) -> Result<Suppression, Invalid> {
    let mut fields = Fields::of(body)?;
    fields.only(&["channel", "address", "reason"]);
    let channel = fields.one_of("channel", &CHANNELS.map(Channel::name), channel);
    let channel = fields.required("channel", channel);
    let address = fields.text("address");
    let address = fields.required("address", address).unwrap_or_default();
    let checked = match channel {
        Some(Channel::Email) => check_email(address),
        Some(_) => check_phone(address),
        None => Ok(()),
    };
    if let (Err(detail), true) = (checked, body["address"].is_string()) {
        fields.wrong("address", detail);
    }
    let reason = fields.short_text("reason", REASON_CHARS_MAX);
    if reason.is_some_and(|reason| reason.chars().any(char::is_control)) {
        fields.wrong("reason", "must hold no control characters");
    }
    let suppression = Suppression {
        id: new_id(now),
        channel: channel.unwrap_or(Channel::Email),
        address: address.to_owned(),
        reason: reason.map(str::to_owned),
        source: Source::Api,
        since: now,
    };
    fields.finish(suppression)
}
