//! `POST /in/bounce`: mails that came back, as the mail server that got them hands them on.

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes;
use crate::access::Scope;
use crate::channel::email::bounce::{self, BadReport};
use crate::engine::receipt::ReceiptError;
use crate::model::invalid::Invalid;

/// The name of this way in: of the scope, and of no hook.
pub const NAME: &str = "bounce";
/// The largest mail. Servers send back the start of what they could not deliver, or all of it.
const MAIL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `POST`.
pub async fn take(mut call: Call) -> Result<Response, Problem> {
    let principal = call.holder_of(&Scope::Ingest(NAME.to_owned()))?.label();
    let mail = call.bytes(MAIL_BYTES_MAX).await?;
    let read = call.api.supervisor.blocking("bounce", move || bounce::read(&mail)).await;
    let read =
        read.ok_or_else(|| Problem::overloaded("the mail failed inside; the server's log says why"))?;
    let report = read.map_err(bad)?;
    let recipients = report.recipients.clone();
    let taken = call.api.engine.take_bounce(report, principal).await.map_err(|error| match error {
        error @ ReceiptError::Busy => Problem::overloaded(error.to_string()),
        ReceiptError::Store(error) => error.into(),
        ReceiptError::Unknown | ReceiptError::Unsigned => Problem::not_found("delivery"),
    })?;
    let results: Vec<Value> = recipients
        .iter()
        .zip(&taken.fates)
        .map(|(recipient, fate)| {
            json!({
                "recipient": recipient.address,
                "action": recipient.action.name(),
                "status": recipient.status,
                "outcome": fate.name(),
            })
        })
        .collect();
    let body = json!({ "notification_id": taken.notification, "results": results });
    Ok(shapes::json_response(StatusCode::ACCEPTED, &body))
}

fn bad(bad: BadReport) -> Problem {
    match bad {
        BadReport::NoMail => Problem::bad_request(bad.to_string()),
        BadReport::NoReport => {
            Invalid::one("message/delivery-status", "is missing: the mail reports on no delivery").into()
        }
        BadReport::Field { field, detail } => Invalid::one(field, detail).into(),
    }
}
