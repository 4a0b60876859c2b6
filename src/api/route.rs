//! From a path and a method to a handler. A path that is known answers 405 with `Allow` for other methods.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::Method;
use http::header::{EXPECT, HOST};
use http::request::Parts;
use http_body_util::{BodyDataStream, Empty};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;
use warp::Filter;
use warp::reply::Response;

use super::call::{Body, Call};
use super::channels;
use super::endpoints;
use super::export;
use super::forget;
use super::hooks;
use super::problem::Problem;
use super::receipts;
use super::{
    Api, analytics, backups, batch, batches, bounces, broadcasts, captured, categories, connections, cors,
    health, idempotent, inbox, keys, live, ndjson, notifications, pages, preferences, publish, push,
    quiet_hours, schedules, simulate, suppressions, templates, topics, unsubscribe, users, workflow_events,
};
use crate::listen::Peer;

/// Runs the handler of the request's method, or answers 405 with the methods that there are. Each handler's future has a
/// box of its own: without, every request would carry room for the largest of them.
macro_rules! on {
    ($call:expr, $($method:ident => $handler:expr),+ $(,)?) => {{
        let call = $call;
        match call.method {
            $(Method::$method => Box::pin($handler(call)).await,)+
            // A HEAD is a GET whose body hyper leaves out.
            $(Method::HEAD if stringify!($method) == "GET" => Box::pin($handler(call)).await,)+
            _ => {
                let allowed: &[&str] = &[$(stringify!($method)),+];
                let head = if allowed.contains(&"GET") { ", HEAD" } else { "" };
                Err(Problem::method_not_allowed(&format!("{}{head}", allowed.join(", "))))
            }
        }
    }};
}

/// A request. It travels beside warp's filters: from a filter one only gets copies.
#[derive(Clone)]
struct Admitted(Arc<Mutex<Option<(Parts, Body)>>>);

/// Makes a request ready for [`routes`], or refuses what is a request to no path at all: one without a path, and
/// HTTP/1.1 without a host (RFC 9112, section 3.2).
///
/// # Errors
/// The refusal.
#[expect(clippy::result_large_err, reason = "it is an answer as much as an error, and is moved once")]
pub fn admit<B>(request: http::Request<B>) -> Result<http::Request<Empty<Bytes>>, Response>
where
    B: hyper::body::Body<Data: Buf> + Send + Sync + 'static,
{
    let problem = if request.method() == Method::CONNECT || request.uri().path_and_query().is_none() {
        Problem::method_not_allowed("GET, HEAD, POST, PUT, PATCH, DELETE")
    } else if request.version() == http::Version::HTTP_11 && !request.headers().contains_key(HOST) {
        Problem::bad_request("an HTTP/1.1 request needs a Host header")
    } else {
        let (head, body) = request.into_parts();
        let admitted = (head, Body::new(BodyDataStream::new(body)));
        let mut request = http::Request::new(Empty::new());
        request.extensions_mut().insert(Admitted(Arc::new(Mutex::new(Some(admitted)))));
        return Ok(request);
    };
    Err(problem.into_response())
}

/// Every route, as one filter that takes any request that [`admit`] let in.
pub fn routes(
    api: Arc<Api>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::ext::optional().then(move |admitted: Option<Admitted>| {
        let admitted = admitted.and_then(|admitted| admitted.0.lock().take());
        let call = admitted.map(|(head, body)| call(api.clone(), head, body));
        async {
            match call {
                Some(call) => answer(call).await,
                None => Problem::not_found("path").into_response(),
            }
        }
    })
}

fn call(api: Arc<Api>, mut head: Parts, body: Body) -> Call {
    Call {
        api,
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        upgrade: head.extensions.remove(),
        cut: head.extensions.remove::<Peer>().map(|peer| peer.cut).unwrap_or_default(),
        headers: head.headers,
        body,
        slotted: None,
    }
}

async fn answer(call: Call) -> Response {
    let (api, method, started) = (call.api.clone(), call.method.clone(), Instant::now());
    // A client that waits for our leave to send (RFC 9110, section 10.1.1) sends nothing to drain.
    let left = (!call.headers.contains_key(EXPECT)).then(|| call.body.clone());
    let response = cors::around(call, run).await;
    if let Some(left) = left.filter(|_| response.status().as_u16() >= 400) {
        left.drain().await;
    }
    let status = response.status().as_u16();
    api.metrics.request(&method, status);
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    api.figures.requests.fetch_add(1, Ordering::Relaxed);
    api.figures.micros.fetch_add(micros, Ordering::Relaxed);
    if status >= 500 {
        api.figures.failures.fetch_add(1, Ordering::Relaxed);
    }
    response
}

/// Runs the handler. What changes something runs to its end even where the client hangs up: a write that is under way
/// cannot be called back, so what belongs to it must not stay undone.
async fn run(call: Call) -> Result<Response, Problem> {
    let reads = call.method == Method::GET || call.method == Method::HEAD;
    // Accepting a notification is one commit with all that belongs to it, so nothing can stay undone; and it is what the
    // server does most, so it is spared the task.
    let accepts = call.path == "/v1/notifications" && !call.headers.contains_key(&idempotent::HEADER);
    if reads || accepts {
        return dispatch(call).await;
    }
    let (answer, answered) = oneshot::channel();
    let supervisor = call.api.supervisor.clone();
    supervisor.spawn("request", async move {
        // Nobody waits for the answer any more where the client has gone.
        let _ = answer.send(dispatch(call).await);
    });
    answered
        .await
        .unwrap_or_else(|_| Err(Problem::overloaded("the request failed inside; the server's log says why")))
}

async fn dispatch(call: Call) -> Result<Response, Problem> {
    // What is too large to be read before it is handled looks after its key itself.
    // What other programs send to a hook is recognised by their own ids.
    // A copy of the store is no answer to keep in the store.
    let whole = !(call.path == batch::PATH && ndjson::is_ndjson(&call)
        || call.path.starts_with("/in/")
        || call.path == "/v1/backups");
    if whole && call.method == Method::POST && call.headers.contains_key(&idempotent::HEADER) {
        return idempotent::once(call, |call| Box::pin(handle(call))).await;
    }
    handle(call).await
}

async fn handle(call: Call) -> Result<Response, Problem> {
    let path = call.path.clone();
    let segments: Vec<Cow<'_, str>> = path
        .trim_start_matches('/')
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy())
        .collect();
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    match segments.as_slice() {
        ["v1", rest @ ..] => v1(call, rest).await,
        ["p", topic] => {
            on!(call, POST => |call| publish::create(call, topic), PUT => |call| publish::create(call, topic))
        }
        ["in", "bounce"] => on!(call, POST => bounces::take),
        ["in", hook] => on!(call,
            POST => |call| hooks::ingest::take(call, hook),
            OPTIONS => |call| hooks::ingest::handshake(call, hook),
        ),
        ["in", "sms", token] => {
            on!(call, GET => |call| receipts::take(call, token), POST => |call| receipts::take(call, token))
        }
        ["u", signed] => on!(call,
            GET => |call| unsubscribe::show(call, signed),
            POST => |call| unsubscribe::change(call, signed),
        ),
        ["healthz"] => on!(call, GET => health::alive),
        ["readyz"] => on!(call, GET => health::ready),
        ["metrics"] => on!(call, GET => health::metrics),
        _ => {
            let tag = call.header("if-none-match").map(str::to_owned);
            match pages::page(&path, tag.as_deref()) {
                Some(page) => on!(call, GET => |_| async { Ok(page_response(page)) }),
                None => Err(Problem::not_found("path")),
            }
        }
    }
}

async fn v1(call: Call, path: &[&str]) -> Result<Response, Problem> {
    match *path {
        ["notifications"] => on!(call, GET => notifications::list, POST => notifications::create),
        ["notifications", "batch"] => on!(call, POST => batch::create),
        ["notifications", "simulate"] => on!(call, POST => simulate::simulate),
        ["notifications", id] => on!(call, GET => |call| notifications::show(call, id)),
        ["notifications", id, "status"] => on!(call, GET => |call| notifications::status(call, id)),
        ["notifications", id, "timeline"] => on!(call, GET => |call| notifications::timeline(call, id)),
        ["notifications", id, "resend"] => on!(call, POST => |call| notifications::resend(call, id)),
        ["notifications", id, "cancel"] => on!(call, POST => |call| notifications::cancel(call, id)),
        ["schedules"] => on!(call, GET => schedules::list, POST => schedules::create),
        ["schedules", id] => on!(call,
            GET => |call| schedules::show(call, id),
            PUT => |call| schedules::put(call, id),
            PATCH => |call| schedules::patch(call, id),
            DELETE => |call| schedules::delete(call, id),
        ),
        ["schedules", id, "run"] => on!(call, POST => |call| schedules::run(call, id)),
        ["batches"] => on!(call, GET => batches::list),
        ["batches", id] => on!(call, GET => |call| batches::show(call, id)),
        ["batches", id, "cancel"] => on!(call, POST => |call| batches::cancel(call, id)),
        ["workflow-events"] => on!(call, POST => workflow_events::create),
        ["broadcasts"] => on!(call, POST => broadcasts::create),
        ["hooks"] => on!(call, GET => hooks::list, POST => hooks::create),
        ["hooks", id] => {
            on!(call, GET => |call| hooks::show(call, id), DELETE => |call| hooks::remove(call, id))
        }
        ["hooks", id, "test"] => on!(call, POST => |call| hooks::test(call, id)),
        ["endpoints"] => on!(call, GET => endpoints::list, POST => endpoints::create),
        ["endpoints", id] => on!(call,
            GET => |call| endpoints::show(call, id),
            PATCH => |call| endpoints::patch(call, id),
            DELETE => |call| endpoints::remove(call, id),
        ),
        ["endpoints", id, "attempts"] => on!(call, GET => |call| endpoints::attempts(call, id)),
        ["endpoints", id, "rotate"] => on!(call, POST => |call| endpoints::rotate(call, id)),
        ["endpoints", id, "test"] => on!(call, POST => |call| endpoints::test(call, id)),
        ["endpoints", id, "recover"] => on!(call, POST => |call| endpoints::recover(call, id)),
        ["users"] => on!(call, GET => users::list),
        ["users", id] => on!(call,
            GET => |call| users::show(call, id),
            PUT => |call| users::put(call, id),
            PATCH => |call| users::patch(call, id),
            DELETE => |call| forget::erase(call, id),
        ),
        ["users", id, "push-subscriptions"] => on!(call,
            GET => |call| push::list(call, id),
            POST => |call| push::create(call, id),
            DELETE => |call| push::delete_by_endpoint(call, id),
        ),
        ["users", id, "push-subscriptions", subscription] => {
            on!(call, DELETE => |call| push::delete_by_id(call, id, subscription))
        }
        ["push", "vapid-public-key"] => on!(call, GET => push::public_key),
        ["users", id, "export"] => on!(call, GET => |call| export::show(call, id)),
        ["push", "renew"] => on!(call, POST => push::renew),
        ["users", id, "tokens"] => on!(call, POST => |call| users::mint(call, id)),
        ["users", id, "preferences"] => on!(call,
            GET => |call| preferences::show(call, id),
            PUT => |call| preferences::put(call, id),
            PATCH => |call| preferences::patch(call, id),
        ),
        ["users", id, "preferences", "effective"] => {
            on!(call, GET => |call| preferences::effective(call, id))
        }
        ["users", id, "preferences", "history"] => on!(call, GET => |call| preferences::history(call, id)),
        ["users", id, "quiet-hours", "preview"] => on!(call, GET => |call| quiet_hours::preview(call, id)),
        ["users", id, "inbox"] => on!(call, GET => |call| inbox::list(call, id)),
        ["users", id, "inbox", "counts"] => on!(call, GET => |call| inbox::counts(call, id)),
        ["users", id, "inbox", "mark"] => on!(call, POST => |call| inbox::mark(call, id)),
        ["categories"] => on!(call, GET => categories::list),
        ["categories", name] => on!(call,
            GET => |call| categories::show(call, name),
            PUT => |call| categories::put(call, name),
            DELETE => |call| categories::delete(call, name),
        ),
        ["templates"] => on!(call, GET => templates::list),
        ["templates", name] => on!(call,
            GET => |call| templates::show(call, name),
            PUT => |call| templates::put(call, name),
            DELETE => |call| templates::remove(call, name),
        ),
        ["templates", name, "versions"] => on!(call, GET => |call| templates::versions(call, name)),
        ["templates", name, "rollback"] => on!(call, POST => |call| templates::roll_back(call, name)),
        ["templates", name, "render"] => on!(call, POST => |call| templates::render(call, name)),
        ["users", id, "topics"] => on!(call, GET => |call| topics::of_user(call, id)),
        ["suppressions"] => on!(call, GET => suppressions::list, POST => suppressions::create),
        ["suppressions", id] => on!(call, DELETE => |call| suppressions::delete(call, id)),
        ["topics"] => on!(call, GET => topics::list),
        ["topics", name] => on!(call,
            GET => |call| topics::show(call, name),
            PUT => |call| topics::put(call, name),
            DELETE => |call| topics::delete(call, name),
        ),
        ["topics", name, "members"] => on!(call,
            GET => |call| topics::members(call, name),
            PUT => |call| topics::join(call, name),
            DELETE => |call| topics::leave(call, name),
        ),
        ["keys"] => on!(call, GET => keys::list, POST => keys::create),
        ["keys", id] => on!(call, DELETE => |call| keys::revoke(call, id)),
        ["connections"] => on!(call, GET => connections::list),
        ["connections", id] => on!(call,
            GET => |call| connections::show(call, id),
            DELETE => |call| connections::kick(call, id),
        ),
        ["analytics"] => on!(call, GET => analytics::show),
        ["openapi.json"] => on!(call, GET => super::openapi::show),
        ["websocket", "health"] => on!(call, GET => health::websocket),
        ["channels"] => on!(call, GET => channels::list),
        ["channels", name, "test"] => on!(call, POST => |call| channels::test(call, name)),
        ["captured"] => on!(call, GET => captured::list),
        ["backups"] => on!(call, POST => backups::create),
        ["sse"] => on!(call, GET => live::listen),
        ["ws"] => on!(call, GET => live::open),
        _ => Err(Problem::not_found("path")),
    }
}

fn page_response(page: http::Response<bytes::Bytes>) -> Response {
    let (parts, body) = page.into_parts();
    http::Response::from_parts(parts, warp::reply::Response::new(body.into()).into_body())
}
