//! `/in/sms/{token}`: what providers of text messages report. The token in the path is the right to report.

use http::header::CONTENT_TYPE;
use serde_json::Value;
use warp::reply::Response;

use super::call::{Call, parse_json, parse_pairs};
use super::problem::Problem;
use crate::channel::sms::Parameters;
use crate::engine::receipt::ReceiptError;

/// The largest report. They are a few short words.
const REPORT_BYTES_MAX: usize = 64 * 1024;
/// The most parameters that are looked at.
const PARAMETERS_MAX: usize = 64;

/// `GET` and `POST /in/sms/{token}`.
pub async fn take(mut call: Call, token: &str) -> Result<Response, Problem> {
    let body = call.bytes(REPORT_BYTES_MAX).await?;
    let is_json = call
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"));
    let body = match (is_json, std::str::from_utf8(&body)) {
        (true, _) => texts(&parse_json(&body)?),
        (false, Ok(form)) => parse_pairs(form).take(PARAMETERS_MAX).collect(),
        (false, Err(_)) => return Err(Problem::bad_request("the body is not a form")),
    };
    let query = parse_pairs(&call.query).take(PARAMETERS_MAX).collect();
    let signature = call.header("x-twilio-signature").map(str::to_owned);
    let parameters = Parameters { query, body };
    match call.api.engine.take_receipt(token, &parameters, signature.as_deref()).await {
        // Kannel takes 200 and nothing else for a yes.
        Ok(()) => Ok(Response::new(String::new().into())),
        Err(ReceiptError::Unknown) => Err(Problem::not_found("delivery")),
        Err(error @ ReceiptError::Unsigned) => Err(Problem::forbidden(error.to_string())),
        Err(error @ ReceiptError::Busy) => Err(Problem::overloaded(error.to_string())),
        Err(ReceiptError::Store(error)) => Err(error.into()),
    }
}

/// The texts and numbers of a JSON object.
fn texts(body: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let entries = body.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), text(value)?))).take(PARAMETERS_MAX).collect()
}
