//! `Idempotency-Key`: the same request again gets the first answer again, for a day, over restarts too.
//!
//! What accepts notifications keeps its answer in the very commit that accepts them ([`Slotted`]); every other POST
//! keeps it right after. Only answers of success are kept: a request that failed may be put right and sent again.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use ring::digest;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes::raw_json;
use crate::store::StoreError;
use crate::store::idempotency::{Kept, Slot};

/// The header that carries the key.
pub const HEADER: &str = "idempotency-key";
/// The longest key.
const KEY_BYTES_MAX: usize = 255;

/// The requests with a key that are under way.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<Mutex<HashSet<Slot>>>);

/// One of them; it is forgotten when dropped.
struct Run {
    running: Running,
    slot: Slot,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.running.0.lock().remove(&self.slot);
    }
}

/// A request's place among the kept answers, for a handler that keeps its answer itself.
#[derive(Clone, Debug)]
pub struct Slotted {
    /// What the request is recognised by.
    pub slot: Slot,
    /// A hash of its body.
    pub request: [u8; 16],
}

/// The first 128 bits of SHA-256 over the parts, each with its length in front so that no two lists collide.
pub fn fingerprint(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut print = [0; 16];
    print.copy_from_slice(&context.finish().as_ref()[..16]);
    print
}

/// Runs `handle` once for each key of each caller and path, and answers repeats with the first answer.
pub async fn once<'a>(
    mut call: Call,
    handle: impl FnOnce(Call) -> Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send + 'a>>,
) -> Result<Response, Problem> {
    let key = call.header(HEADER).unwrap_or("").to_owned();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad_request(format!(
            "Idempotency-Key must have 1 to {KEY_BYTES_MAX} visible characters"
        )));
    }
    let caller = call.principal()?.label();
    let api = call.api.clone();
    let body = call.bytes(super::notifications::batch_bytes_max(&api)).await?;
    let slotted = Slotted {
        slot: fingerprint(&[caller.as_bytes(), call.path.as_bytes(), key.as_bytes()]),
        request: fingerprint(&[&body]),
    };
    if !api.running.0.lock().insert(slotted.slot) {
        return Err(Problem::conflict(
            "a request with this Idempotency-Key is still running; ask again in a moment",
        ));
    }
    let _run = Run { running: api.running.clone(), slot: slotted.slot };
    if let Some(kept) = api.engine.store().kept_answer(slotted.slot, api.clock.now()).await? {
        return replay(kept, &slotted);
    }
    call.body = Some(super::call::incoming(futures_util::stream::iter([Ok::<_, ()>(body)])));
    call.slotted = Some(slotted.clone());
    let response = handle(call).await?;
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let kept = Kept {
        request: slotted.request,
        status: parts.status.as_u16(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    keep(&api, slotted.slot, kept).await?;
    Ok(Response::from_parts(parts, warp_body(bytes)))
}

async fn keep(api: &super::Api, slot: Slot, kept: Kept) -> Result<(), StoreError> {
    let now = api.clock.now();
    // The answer that a handler kept in its own commit is usually this very one.
    if api.engine.store().kept_answer(slot, now).await?.as_ref() == Some(&kept) {
        return Ok(());
    }
    api.engine.store().commit(move |txn| txn.keep_answer(&slot, now, &kept)).await
}

fn replay(kept: Kept, slotted: &Slotted) -> Result<Response, Problem> {
    if kept.request != slotted.request {
        return Err(Problem::unprocessable(
            "idempotency_mismatch",
            "this Idempotency-Key was used with another body; use a new key for a new request",
        ));
    }
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let mut response = raw_json(status, kept.body);
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

fn warp_body(bytes: Bytes) -> <Response as BodyOf>::Body {
    Response::new(bytes.into()).into_body()
}

trait BodyOf {
    type Body;
}

impl<B> BodyOf for http::Response<B> {
    type Body = B;
}
