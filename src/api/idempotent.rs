//! `Idempotency-Key`: the same request again gets the first answer again, for a day, over restarts too.
//!
//! What accepts notifications keeps its answer in the very commit that accepts them ([`Slotted`]); every other POST
//! keeps it right after. Kept are the answers that the body decides: successes, and refusals of the body itself. What
//! failed for the moment (401, 403, 409, 429, 5xx) may be sent again. What is kept is sealed, see [`super::seal`].

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use ring::digest;
use warp::reply::Response;

use super::call::{Body, Call};
use super::problem::Problem;
use super::seal::Seal;
use super::shapes::raw_json;
use crate::access::Principal;
use crate::store::StoreError;
use crate::store::idempotency::{Kept, Slot};

/// The header that carries the key.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
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
    seal: Seal,
}

impl Slotted {
    /// An answer as it is kept.
    pub fn kept(&self, status: StatusCode, body: &str) -> Kept {
        Kept { request: self.request, status: status.as_u16(), sealed: self.seal.seal(body) }
    }

    /// Whether `kept` is that answer.
    fn is(&self, kept: &Kept, status: StatusCode, body: &str) -> bool {
        kept.status == status.as_u16() && self.seal.open(&kept.sealed).as_deref() == Some(body)
    }
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

/// By what a request with a key is recognised, and what seals its answer.
fn slot_of(call: &Call) -> Result<(Slot, Seal), Problem> {
    let key = call.header(HEADER.as_str()).unwrap_or("").to_owned();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad_request(format!(
            "Idempotency-Key must have 1 to {KEY_BYTES_MAX} visible characters"
        )));
    }
    let principal = call.principal()?;
    let caller = principal.label();
    // A person's token changes with every renewal, and no answer to a person holds a secret.
    let token = match principal {
        Principal::Key { .. } => call.bearer().unwrap_or("").to_owned(),
        Principal::User { .. } => caller.clone(),
    };
    let slot = fingerprint(&[caller.as_bytes(), call.path.as_bytes(), key.as_bytes()]);
    Ok((slot, Seal::new(&token, &key)))
}

/// Notes that a request is under way, unless it is already.
fn start(api: &super::Api, slot: Slot) -> Result<Run, Problem> {
    if api.running.0.lock().insert(slot) {
        return Ok(Run { running: api.running.clone(), slot });
    }
    Err(Problem::conflict("a request with this Idempotency-Key is still running; ask again in a moment"))
}

/// A request with a key whose body is too large to be read before it is handled: its body is hashed as it comes.
pub struct Streamed {
    slot: Slot,
    seal: Seal,
    body: digest::Context,
    kept: Option<Kept>,
    _run: Run,
}

impl Streamed {
    /// The request's place among the kept answers, where it carries a key.
    ///
    /// # Errors
    /// 400 for a bad key, 401 without a valid token, 409 while the same request runs.
    pub async fn of(call: &Call) -> Result<Option<Streamed>, Problem> {
        if !call.headers.contains_key(&HEADER) {
            return Ok(None);
        }
        let (slot, seal) = slot_of(call)?;
        let run = start(&call.api, slot)?;
        let kept = call.api.engine.store().kept_answer(slot, call.api.clock.now()).await?;
        Ok(Some(Streamed { slot, seal, body: digest::Context::new(&digest::SHA256), kept, _run: run }))
    }

    /// What it is recognised by.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Whether it was answered before: then it is to be read and not to be handled.
    pub fn is_repeat(&self) -> bool {
        self.kept.is_some()
    }

    /// Takes note of a piece of the body.
    pub fn follow(&mut self, piece: &[u8]) {
        self.body.update(piece);
    }

    /// The request once its body is known whole, and the first answer where there is one.
    pub fn end(self) -> (Slotted, Option<Result<Response, Problem>>) {
        let mut request = [0; 16];
        request.copy_from_slice(&self.body.finish().as_ref()[..16]);
        let slotted = Slotted { slot: self.slot, request, seal: self.seal };
        let again = self.kept.map(|kept| replay(&kept, &slotted));
        (slotted, again)
    }
}

/// Runs `handle` once for each key of each caller and path, and answers repeats with the first answer.
pub async fn once<'a>(
    mut call: Call,
    handle: impl FnOnce(Call) -> Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send + 'a>>,
) -> Result<Response, Problem> {
    let (slot, seal) = slot_of(&call)?;
    let api = call.api.clone();
    let body = call.bytes(super::batch::bytes_max(&call)).await?;
    let slotted = Slotted { slot, request: fingerprint(&[&body]), seal };
    let _run = start(&api, slot)?;
    if let Some(kept) = api.engine.store().kept_answer(slotted.slot, api.clock.now()).await? {
        return replay(&kept, &slotted);
    }
    call.body = Body::of(body);
    call.slotted = Some(slotted.clone());
    let response = handle(call).await.unwrap_or_else(Problem::into_response);
    if !decided_by_body(response.status()) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    keep(&api, &slotted, parts.status, &String::from_utf8_lossy(&bytes)).await?;
    Ok(Response::from_parts(parts, Response::new(bytes.into()).into_body()))
}

/// Whether the same request would get the same answer again.
fn decided_by_body(status: StatusCode) -> bool {
    status.is_success() || matches!(status.as_u16(), 400 | 404 | 415 | 422)
}

async fn keep(api: &super::Api, slotted: &Slotted, status: StatusCode, body: &str) -> Result<(), StoreError> {
    let (now, slot) = (api.clock.now(), slotted.slot);
    // The answer that a handler kept in its own commit is usually this very one.
    let kept = api.engine.store().kept_answer(slot, now).await?;
    if kept.is_some_and(|kept| slotted.is(&kept, status, body)) {
        return Ok(());
    }
    let kept = slotted.kept(status, body);
    api.engine.store().commit(move |txn| txn.keep_answer(&slot, now, &kept)).await
}

fn replay(kept: &Kept, slotted: &Slotted) -> Result<Response, Problem> {
    if kept.request != slotted.request {
        return Err(Problem::unprocessable(
            "idempotency_mismatch",
            "this Idempotency-Key was used with another body; use a new key for a new request",
        ));
    }
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    // The configured admin key keeps its id when its value changes, and cannot open what it sealed before.
    let body = slotted.seal.open(&kept.sealed).ok_or_else(|| {
        Problem::conflict("this Idempotency-Key was used with another token; use a new key for a new request")
    })?;
    let mut response = raw_json(status, body);
    if !status.is_success() {
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, problem);
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}
