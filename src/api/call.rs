//! One request as the handlers see it. Nothing is judged while it is put together; a handler asks for what it needs
//! and gets a [`Problem`] where that is not to be had.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::problem::Problem;
use crate::access::{Principal, Scope};
use crate::clock::within;
use crate::model::ids::check_name;

/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The page size of a list that names none, and the largest.
const PAGE_LEN: usize = 50;
const PAGE_LEN_MAX: usize = 200;

/// How much of a body that nobody wants is read all the same, and how long: a client that is still sending when the
/// connection closes would never see the answer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The stream of a body.
pub type Incoming = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, ()>> + Send + Sync>>;

/// One request.
pub struct Call {
    /// What everybody shares.
    pub api: Arc<Api>,
    /// The method.
    pub method: Method,
    /// The path as it was sent.
    pub path: String,
    /// The query as it was sent, without the question mark.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The right to take the connection over, where the client asked to upgrade it.
    pub upgrade: Option<OnUpgrade>,
    /// Ends the connection in the middle of an answer.
    pub cut: CancellationToken,
    /// The body.
    pub body: Body,
    /// Its place among the kept answers, where it carries an idempotency key.
    pub slotted: Option<super::idempotent::Slotted>,
}

/// A request's body, as far as it has not been read. Clones share it.
#[derive(Clone)]
pub struct Body(Arc<Mutex<Option<Incoming>>>);

impl Body {
    /// A body that comes in pieces.
    pub fn new<B: Buf, E>(pieces: impl Stream<Item = Result<B, E>> + Send + Sync + 'static) -> Body {
        let whole = |mut piece: B| piece.copy_to_bytes(piece.remaining());
        let pieces: Incoming = Box::pin(pieces.map(move |piece| piece.map(whole).map_err(|_| ())));
        Body(Arc::new(Mutex::new(Some(pieces))))
    }

    /// A body that is there already.
    pub fn of(bytes: Bytes) -> Body {
        Body::new(futures_util::stream::iter([Ok::<_, ()>(bytes)]))
    }

    /// The pieces of it, for whoever reads it while it comes.
    pub fn take(&self) -> Option<Incoming> {
        self.0.lock().take()
    }

    /// Gives back what is left of it, so that it can be drained.
    pub fn put_back(&self, pieces: Incoming) {
        *self.0.lock() = Some(pieces);
    }

    /// Reads what is left of it, within bounds, and forgets it.
    pub async fn drain(&self) {
        let Some(mut pieces) = self.take() else { return };
        let discard = async {
            let mut left = DRAINED_BYTES_MAX;
            while let Some(Ok(piece)) = pieces.next().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    return;
                }
            }
        };
        // Whoever sends more, or slower, loses the answer with the connection.
        let _ = tokio::time::timeout(DRAIN_TIME, discard).await;
    }
}

/// Which slice of a list is wanted.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// Items at most.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl Call {
    /// A header, where it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A value in the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_all(name).next()
    }

    /// Every value of a name in the query, decoded.
    pub fn query_all(&self, name: &str) -> impl Iterator<Item = String> {
        self.query.split('&').filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(&value.replace('+', " ")))
        })
    }

    /// The token in the `Authorization` header (RFC 6750, section 2.1).
    pub fn bearer(&self) -> Option<&str> {
        let value = self.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// Whoever asks.
    ///
    /// # Errors
    /// 401 without a valid token.
    pub fn principal(&self) -> Result<Principal, Problem> {
        let token = self.bearer().ok_or_else(|| {
            Problem::unauthorized("send a token: Authorization: Bearer <API key or user token>")
        })?;
        let principal = self.api.access.authenticate(token)?;
        if let Principal::Key { id, .. } = &principal {
            self.api.access.note_use(id);
        }
        Ok(principal)
    }

    /// Whoever asks, if their key carries `scope`.
    ///
    /// # Errors
    /// 401 without a valid token, 403 without the scope.
    pub fn holder_of(&self, scope: &Scope) -> Result<Principal, Problem> {
        let principal = self.principal()?;
        if principal.has(scope) {
            return Ok(principal);
        }
        Err(Problem::forbidden(match principal {
            Principal::Key { .. } => format!("this key does not carry the scope {scope}"),
            Principal::User { .. } => "a user token reaches that user's own resources only".to_owned(),
        }))
    }

    /// The person that a path names, where the caller is that person or holds `scope`. `me` is the caller.
    ///
    /// # Errors
    /// 401 without a valid token, 403 for somebody else's, 422 for what cannot be an id.
    pub fn person(&self, id: &str, scope: &Scope) -> Result<String, Problem> {
        let principal = self.principal()?;
        match &principal {
            Principal::User { id: own, .. } if id == "me" || id == own => Ok(own.clone()),
            Principal::User { .. } => {
                Err(Problem::forbidden("a user token reaches that user's own resources only"))
            }
            Principal::Key { .. } if id == "me" => {
                Err(Problem::forbidden("an API key belongs to no user; name the user's id"))
            }
            Principal::Key { .. } if principal.has(scope) => {
                check_name("id", id)
                    .map_err(|error| Problem::from(crate::model::invalid::Invalid { errors: vec![error] }))?;
                Ok(id.to_owned())
            }
            Principal::Key { .. } => {
                Err(Problem::forbidden(format!("this key does not carry the scope {scope}")))
            }
        }
    }

    /// The slice of a list that the query asks for.
    ///
    /// # Errors
    /// 422 where `limit` is not from 1 to 200.
    pub fn page(&self) -> Result<PageQuery, Problem> {
        let limit = match self.query("limit") {
            None => PAGE_LEN,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=PAGE_LEN_MAX).contains(limit)).ok_or_else(|| {
                    let detail = format!("must be a whole number from 1 to {PAGE_LEN_MAX}");
                    Problem::from(crate::model::invalid::Invalid::one("limit", detail))
                })?
            }
        };
        Ok(PageQuery { limit, cursor: self.query("cursor").filter(|cursor| !cursor.is_empty()) })
    }

    /// Whether `?include=said` asks for what was said alone, without what holds where nothing was: what can be put back.
    ///
    /// # Errors
    /// 422 where it asks for something else.
    pub fn includes_said(&self) -> Result<bool, Problem> {
        match self.query("include").as_deref() {
            None => Ok(false),
            Some("said") => Ok(true),
            Some(_) => Err(crate::model::invalid::Invalid::one("include", "must be said").into()),
        }
    }

    /// The body, at most `bytes_max` of it.
    ///
    /// # Errors
    /// 413 where it is larger, 408 where it does not arrive, 400 where it breaks off.
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Bytes, Problem> {
        let announced = self.headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > bytes_max) {
            return Err(Problem::payload_too_large(bytes_max));
        }
        let Some(mut body) = self.body.take() else { return Ok(Bytes::new()) };
        let read = async {
            let mut whole = BytesMut::new();
            let mut first: Option<Bytes> = None;
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|()| Problem::bad_request("the body broke off"))?;
                if whole.len() + first.as_ref().map_or(0, Bytes::len) + piece.len() > bytes_max {
                    return Ok(None);
                }
                // A body that came in one piece is taken as it is.
                match first.take() {
                    None if whole.is_empty() => first = Some(piece),
                    None => whole.extend_from_slice(&piece),
                    Some(start) => {
                        whole.extend_from_slice(&start);
                        whole.extend_from_slice(&piece);
                    }
                }
            }
            Ok(Some(first.unwrap_or_else(|| whole.freeze())))
        };
        match within(BODY_TIMEOUT, read).await {
            Err(_) => Err(Problem::timeout()),
            Ok(Err(problem)) => Err(problem),
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Ok(None)) => {
                // The rest is still to be drained.
                self.body.put_back(body);
                Err(Problem::payload_too_large(bytes_max))
            }
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 400 where it is not JSON, and those of [`Call::json_bytes`].
    pub async fn json(&mut self) -> Result<Value, Problem> {
        parse_json(&self.json_bytes().await?)
    }

    /// The body, which is said to be JSON.
    ///
    /// # Errors
    /// 415 where it says that it is something else, and those of [`Call::bytes`].
    pub async fn json_bytes(&mut self) -> Result<Bytes, Problem> {
        self.wants_json()?;
        let bytes_max = self.api.limits.load().body_bytes_max;
        self.bytes(bytes_max).await
    }

    /// The body as JSON, or an empty object where there is no body.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub async fn optional_json(&mut self) -> Result<Value, Problem> {
        let bytes_max = self.api.limits.load().body_bytes_max;
        let bytes = self.bytes(bytes_max).await?;
        if bytes.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        self.wants_json()?;
        parse_json(&bytes)
    }

    /// The body as JSON, with a bound of its own.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub async fn json_up_to(&mut self, bytes_max: usize) -> Result<Value, Problem> {
        self.wants_json()?;
        let bytes = self.bytes(bytes_max).await?;
        parse_json(&bytes)
    }

    /// Refuses a body that says that it is not JSON. One that says nothing is read as JSON.
    ///
    /// # Errors
    /// 415.
    pub fn wants_json(&self) -> Result<(), Problem> {
        if self.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Problem::unsupported_media_type("application/json, with no Content-Encoding"));
        }
        let Some(content_type) = self.headers.get(CONTENT_TYPE) else { return Ok(()) };
        let essence = content_type.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
        let essence = essence.to_ascii_lowercase();
        if essence == "application/json" || essence.ends_with("+json") {
            return Ok(());
        }
        Err(Problem::unsupported_media_type("application/json"))
    }
}

/// JSON from bytes.
///
/// # Errors
/// 400 `invalid_json`, saying where it goes wrong.
pub fn parse_json(bytes: &[u8]) -> Result<Value, Problem> {
    // serde_json refuses more than 128 levels of nesting by itself.
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::invalid_json(format!("the body is not valid JSON: {error}")))
}

/// The names and values of a query or a form, decoded.
pub fn parse_pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let plain = |text: &str| decode(&text.replace('+', " "));
    text.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(name), plain(value))
    })
}

/// A query value without its percent-encoding.
fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
