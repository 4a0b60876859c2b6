//! What must wait for the backend: joining the hub, and reading what a client has missed.
//!
//! The order makes it exactly once: attach first, so that nothing published from now on is lost; then read the store.
//! While that is read, the hub leaves out what has an offset; then it queues again, and one more read of the store
//! closes the gap between the two. What comes live up to the last offset read is dropped.

use super::out::Out;
use super::protocol::{self, Connect, Echo, ErrorCode, Hello, Resume};
use super::rights;
use super::session::{Closing, Mark, Need, Session};
use super::{Backend, Head, MarkRefused, Missed, Shared, Trouble, close};
use crate::access::Principal;
use crate::hub::{Newcomer, Seat};

/// Notifications in one read of the store, and so in memory for one resuming client.
const PAGE_LEN: usize = 256;

/// Who joins.
#[derive(Debug)]
pub(super) enum Who {
    /// Somebody new; `None` is an anonymous listener.
    New(Option<Principal>),
    /// Whoever has joined already.
    Same,
}

/// A wish to join, or to resume after having joined.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) who: Who,
    pub(super) connect: Connect,
    pub(super) id: Option<Echo>,
}

/// A replay under way.
#[derive(Debug)]
pub(super) struct Replay {
    after: u64,
    /// Where what was sent live begins, for a client that resumes after its `hello`.
    upto: Option<u64>,
    page: Option<Missed>,
    /// The hub queues again; one more read and the replay is over.
    settled: bool,
}

/// Joins and says `hello`. Answers what there is to replay.
pub(super) async fn join<B: Backend>(
    session: &mut Session,
    shared: &Shared<B>,
    seat: Option<Seat>,
    join: Join,
    out: &mut Out,
) -> Result<Option<Box<Replay>>, Closing> {
    let Join { who, connect, id } = join;
    match who {
        Who::New(principal) => sit_down(session, shared, seat, principal, &connect, id.as_ref(), out)?,
        Who::Same if connect.token.is_some() => rights::review(session, shared, out).await,
        Who::Same => {}
    }
    if shared.stopping.is_cancelled() {
        return Err(Closing { code: close::SHUTDOWN, reason: "shutdown" });
    }
    let (head, replay) = match resume(session, shared, connect.resume).await {
        Ok(found) => found,
        Err(trouble) => return Err(in_trouble(&trouble, shared, out)),
    };
    let now = shared.clock.now();
    greet(session, shared, head.as_ref(), replay.is_some(), out);
    if let Some(session_id) = &connect.session_id {
        rights::watch_session(session, shared, session_id).await;
    }
    for channel in &connect.subscribe {
        let need = match session.on_subscribe(channel, id.as_ref(), now, out) {
            Need::Watch(watch) => rights::watch(session, shared, *watch, out).await,
            need => need,
        };
        if let Need::Close(closing) = need {
            return Err(closing);
        }
    }
    Ok(replay)
}

fn sit_down<B: Backend>(
    session: &mut Session,
    shared: &Shared<B>,
    seat: Option<Seat>,
    principal: Option<Principal>,
    connect: &Connect,
    id: Option<&Echo>,
    out: &mut Out,
) -> Result<(), Closing> {
    // Whoever was an anonymous listener gives that place up first.
    session.attachment = None;
    let now = shared.clock.now();
    let Some(seat) = seat.or_else(|| shared.hub.reserve().ok()) else { return Err(full(shared, id, out)) };
    let user_id = match &principal {
        Some(Principal::User { id, .. }) => Some(id.clone()),
        Some(Principal::Key { .. }) | None => None,
    };
    let session_id = connect.session_id.clone();
    let Ok(attachment) = seat.attach(Newcomer { user_id, session_id, connected_at_ms: now }) else {
        return Err(full(shared, id, out));
    };
    attachment.replaying(connect.resume.is_some());
    session.principal = principal;
    session.attachment = Some(attachment);
    (session.floor, session.resumed) = (None, false);
    if !session.stand_by_key(shared) {
        return Err(Closing { code: close::INVALID_TOKEN, reason: "the key was revoked" });
    }
    Ok(())
}

fn full<B>(shared: &Shared<B>, id: Option<&Echo>, out: &mut Out) -> Closing {
    let error = "there are as many connections as are allowed";
    shared.hub.count_error();
    out.reply(protocol::error(ErrorCode::SystemError, error, None, id, shared.clock.now()));
    Closing { code: close::CONNECTION_LIMIT, reason: "connection limit" }
}

/// Where the user's stream stands, and the replay, if the client can be given all it has missed.
async fn resume<B: Backend>(
    session: &mut Session,
    shared: &Shared<B>,
    resume: Option<Resume>,
) -> Result<(Option<Head>, Option<Box<Replay>>), Trouble> {
    let (Some(user), Some(attachment)) = (session.user().map(str::to_owned), &session.attachment) else {
        if let Some(attachment) = &session.attachment {
            attachment.replaying(false);
        }
        return Ok((None, None));
    };
    let backend = &shared.backend;
    let mut head = backend.head(&user).await?;
    // After a first `hello` everything above the floor goes out live.
    let upto = session.floor;
    let first = upto.is_none() && !session.resumed;
    let mut replay = None;
    if let Some(resume) = resume.filter(|_| !session.resumed)
        && resume.epoch == head.epoch
        && resume.offset <= head.offset
    {
        let page = backend.missed(&user, resume.offset, PAGE_LEN).await?;
        if !page.gap {
            let settled = upto.is_some();
            replay = Some(Box::new(Replay { after: resume.offset, upto, page: Some(page), settled }));
            session.resumed = true;
        }
    }
    if replay.is_none() && first {
        // The hub queues from here on; what came before is below the head that is read next.
        attachment.replaying(false);
        head = backend.head(&user).await?;
        session.floor = Some(head.offset);
        attachment.floor(head.offset);
    }
    Ok((Some(head), replay))
}

fn greet<B>(session: &Session, shared: &Shared<B>, head: Option<&Head>, recovered: bool, out: &mut Out) {
    let Some(attachment) = &session.attachment else { return };
    let hello = Hello {
        connection_id: attachment.id().to_string(),
        user_id: attachment.user_id(),
        session_id: attachment.session_id(),
        epoch: head.map(|head| head.epoch.as_str()),
        offset: head.map_or(0, |head| head.offset),
        recovered,
        unread: head.map_or(0, |head| head.unread),
    };
    out.reply(protocol::hello(&hello, &shared.limits, shared.clock.now()));
}

/// Sends one page of what was missed. Answers the replay if there is more of it.
pub(super) async fn replay<B: Backend>(
    session: &mut Session,
    shared: &Shared<B>,
    mut replay: Box<Replay>,
    out: &mut Out,
) -> Result<Option<Box<Replay>>, Closing> {
    let (Some(user), Some(attachment)) = (session.user(), &session.attachment) else { return Ok(None) };
    let page = match replay.page.take() {
        Some(page) => page,
        None => match shared.backend.missed(user, replay.after, PAGE_LEN).await {
            Ok(page) => page,
            Err(trouble) => return Err(in_trouble(&trouble, shared, out)),
        },
    };
    let upto = replay.upto.unwrap_or(u64::MAX);
    let mut reached_live = false;
    for (offset, notification) in &page.entries {
        reached_live |= *offset > upto;
        if *offset > replay.after && !reached_live {
            out.reply(notification.encode_as(true));
            replay.after = *offset;
        }
    }
    // A page that promises more but brings nothing would be asked for for ever.
    if page.more && !page.entries.is_empty() && !reached_live {
        return Ok(Some(replay));
    }
    if !replay.settled {
        attachment.replaying(false);
        replay.settled = true;
        return Ok(Some(replay));
    }
    let floor = session.floor.unwrap_or(0).max(replay.after);
    session.floor = Some(floor);
    attachment.floor(floor);
    Ok(None)
}

/// Marks notifications in the user's inbox.
pub(super) async fn mark<B: Backend>(
    session: &mut Session,
    shared: &Shared<B>,
    mark: Mark,
    out: &mut Out,
) -> Need {
    let Mark { user, ids, op, id } = mark;
    match shared.backend.mark(&user, ids, &op).await {
        Ok(()) => Need::Nothing,
        Err(MarkRefused::Invalid(why)) => {
            let (code, now) = (ErrorCode::InvalidMessageFormat, shared.clock.now());
            session.fail(code, &why, None, id.as_ref(), now, out)
        }
        Err(MarkRefused::Trouble(trouble)) => {
            tracing::warn!(%trouble, "failed to mark notifications for a live connection");
            let (code, now) = (ErrorCode::SystemError, shared.clock.now());
            session.fail(code, "the server cannot do that now", None, id.as_ref(), now, out)
        }
    }
}

fn in_trouble<B>(trouble: &Trouble, shared: &Shared<B>, out: &mut Out) -> Closing {
    tracing::warn!(%trouble, "failed to read notifications for a live connection");
    let now = shared.clock.now();
    shared.hub.count_error();
    out.reply(protocol::error(ErrorCode::SystemError, "the server cannot do that now", None, None, now));
    Closing { code: close::INTERNAL_ERROR, reason: "system error" }
}
