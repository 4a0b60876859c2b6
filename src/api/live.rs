//! `GET /v1/ws` and `GET /v1/sse`: who may come in, and what the live door asks of the house.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::StreamExt;
use http::header::{CACHE_CONTROL, HeaderValue};

use serde_json::value::RawValue;
use warp::reply::{Reply, Response};

use super::call::Call;
use super::problem::Problem;
use crate::access::{Access, Principal, Refused as TokenRefused};
use crate::engine::Engine;
use crate::engine::inbox::Selection;
use crate::model::notification::Accepted;
use crate::store::StoreError;
use crate::store::inbox::Mark;
use crate::ws::events::{Event, Listener};
use crate::ws::protocol::{Action, Channel, NotificationFrame};
use crate::ws::{self, Head, MarkRefused, Missed, Refusal, Refused, Resume, Trouble, Visit};

/// The longest session id in a query.
const SESSION_BYTES_MAX: usize = 256;
/// The most ids in one `mark` frame.
const IDS_MAX: usize = 1_000;

/// The house behind the live door.
pub struct Backend {
    engine: Engine,
    access: Arc<Access>,
}

impl Backend {
    /// A house of that engine and those tokens.
    pub fn new(engine: Engine, access: Arc<Access>) -> Backend {
        Backend { engine, access }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble(error.to_string())
    }
}

impl ws::Backend for Backend {
    fn authenticate(&self, token: &str) -> Result<Principal, Refused> {
        self.access.authenticate(token).map_err(|refused| match refused {
            TokenRefused::Invalid => Refused::Invalid,
            TokenRefused::Expired => Refused::Expired,
        })
    }

    async fn head(&self, user: &str) -> Result<Head, Trouble> {
        let store = self.engine.store();
        let head = store.inbox_head(user).await?;
        Ok(Head { epoch: store.epoch().to_string(), offset: head.offset, unread: head.counts.unread })
    }

    async fn missed(&self, user: &str, after_offset: u64, limit: usize) -> Result<Missed, Trouble> {
        let store = self.engine.store();
        let entries = store.inbox_since(user, after_offset, limit).await?;
        // Asked last: what is let go of in between must not go unnoticed.
        let gap = after_offset < store.inbox_trimmed(user).await?;
        let more = entries.len() == limit;
        let entries = entries
            .into_iter()
            .map(|entry| (entry.accepted.offset, Arc::new(frame(&entry.accepted))))
            .collect();
        Ok(Missed { entries, more, gap })
    }

    async fn may_watch(&self, user: &str, channel: &Channel) -> Result<bool, Trouble> {
        let store = self.engine.store();
        let listed = match (channel.workflow(), channel.topic()) {
            (Some(workflow), _) => store.participates(user, workflow).await?,
            (None, Some(topic)) => store.is_topic_member(topic, user).await?,
            (None, None) => false,
        };
        Ok(listed)
    }

    fn stands(&self, principal: &Principal) -> bool {
        self.access.stands(principal)
    }

    async fn mark(&self, user: &str, ids: Vec<String>, op: &str) -> Result<(), MarkRefused> {
        let mark = Mark::from_name(op).ok_or_else(|| {
            MarkRefused::Invalid("as must be one of seen, read, unread, archived".to_owned())
        })?;
        if ids.len() > IDS_MAX {
            return Err(MarkRefused::Invalid(format!("ids must have at most {IDS_MAX} entries")));
        }
        self.engine.mark(user, Selection::Ids(ids), mark).await.map_err(Trouble::from)?;
        Ok(())
    }
}

/// A notification as it goes over the wire.
pub fn frame(accepted: &Accepted) -> NotificationFrame {
    let n = &accepted.notification;
    NotificationFrame {
        id: accepted.id(),
        user_id: n.user_id.clone(),
        title: n.title.clone(),
        message: n.message.clone(),
        priority: n.priority.name().to_owned(),
        category: n.category.clone(),
        action: n.action.as_ref().map(|a| Action { label: a.label.clone(), url: a.url.clone() }),
        metadata: n.metadata.clone().and_then(|text| RawValue::from_string(text).ok()),
        notification_type: n.kind.clone(),
        offset: accepted.offset,
        timestamp_ms: accepted.timestamp(),
        replay: false,
    }
}

/// What a request for a live connection says, whatever carries it.
struct Wish {
    principal: Option<Principal>,
    session_id: Option<String>,
    resume: Option<Resume>,
}

impl Wish {
    fn read(call: &Call) -> Result<Wish, Problem> {
        let principal = match call.bearer().map(str::to_owned).or_else(|| call.query("token")) {
            Some(token) => Some(call.api.access.authenticate(&token)?),
            None => None,
        };
        let session_id = call.query("session_id").filter(|session| !session.is_empty());
        if session_id.as_ref().is_some_and(|session| session.len() > SESSION_BYTES_MAX) {
            let detail = format!("session_id must be at most {SESSION_BYTES_MAX} bytes");
            return Err(Problem::bad_request(detail));
        }
        if session_id.as_ref().is_some_and(|session| session.chars().any(char::is_control)) {
            return Err(Problem::bad_request("session_id must hold no control characters"));
        }
        let resume = match (call.query("epoch"), call.query("offset").map(|text| text.parse())) {
            (Some(epoch), Some(Ok(offset))) => Some(Resume { epoch, offset }),
            (_, Some(Err(_))) => return Err(Problem::bad_request("offset must be a whole number")),
            _ => None,
        };
        Ok(Wish { principal, session_id, resume })
    }
}

/// Takes the connection over, or answers why not.
pub async fn open(mut call: Call) -> Result<Response, Problem> {
    let Wish { principal, session_id, resume } = Wish::read(&call)?;
    let Some(upgrade) = call.upgrade.take() else {
        return Err(refused(Refusal::NotAWebSocket));
    };
    let origins = call.api.allowed_origins.load_full();
    let visit = Visit {
        method: &call.method,
        headers: &call.headers,
        allowed_origins: &origins,
        principal,
        session_id,
        resume,
        upgrade,
    };
    match call.api.live.load().open(visit) {
        Ok(switching) => Ok(switching.map(|()| Response::default().into_body())),
        Err(refusal) => Err(refused(refusal)),
    }
}

/// `GET /v1/sse`: the same stream as Server-Sent Events.
pub async fn listen(call: Call) -> Result<Response, Problem> {
    let Wish { principal, session_id, resume } = Wish::read(&call)?;
    // An event source says by itself what it heard last, so that is newer than what its address says.
    let last = call.header("last-event-id").map(str::to_owned).or_else(|| call.query("last_event_id"));
    let resume = last.as_deref().and_then(read_event_id).or(resume);
    let mut subscribe = Vec::new();
    for name in call.query_all("channel") {
        let channel = Channel::parse(&name).ok_or_else(|| {
            Problem::bad_request("channel must be workflow:<id> or topic:<name>, once for each")
        })?;
        subscribe.push(channel);
    }
    let listener = Listener { principal, session_id, resume, subscribe, cut: call.cut.clone() };
    let mut events = call.api.live.load().listen(listener).map_err(refused)?;
    let stream = futures_util::stream::poll_fn(move |cx| events.poll_recv(cx));
    let mut response =
        warp::sse::reply(stream.map(|event| Ok::<_, Infallible>(written(event)))).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that gathers answers before it passes them on would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// `<epoch>:<offset>`. What is no such id is none of ours, and begins nothing.
fn read_event_id(text: &str) -> Option<Resume> {
    let (epoch, offset) = text.trim().rsplit_once(':')?;
    Some(Resume { epoch: epoch.to_owned(), offset: offset.parse().ok()? })
}

fn written(event: Event) -> warp::sse::Event {
    let written = warp::sse::Event::default();
    match event {
        Event::Beat => written.comment(" beat"),
        Event::Frame { name, id, data, retry } => {
            let written = written.event(name).data(data);
            let written = if let Some(id) = id { written.id(id) } else { written };
            if let Some(retry) = retry { written.retry(retry) } else { written }
        }
    }
}

fn refused(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::Full => Problem::overloaded(detail),
        Refusal::Anonymous => Problem::unauthorized(detail),
        Refusal::Forbidden | Refusal::ForeignOrigin => Problem::forbidden(detail),
        Refusal::BadKey => Problem::bad_request(detail),
        Refusal::NotAWebSocket | Refusal::WrongVersion => Problem::upgrade_required(detail),
    }
}
