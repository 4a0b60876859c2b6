//! What a client may watch, where its token alone does not say: membership of a topic, part in a workflow. And what it
//! may no more.

use super::out::Out;
use super::protocol::{self, Channel, Echo, ErrorCode};
use super::session::{Closing, Need, Session};
use super::{Backend, Shared, Trouble, close};
use crate::access::Principal;
use crate::clock::Millis;
use crate::hub::{Leave, Leaves};

/// A wish to watch a channel that the backend must be asked about.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) channel: Channel,
    pub(super) id: Option<Echo>,
}

/// Watches a channel, if the token or the backend allows it, and says so either way.
pub(super) async fn watch<B: Backend>(
    session: &mut Session,
    shared: &Shared<B>,
    watch: Watch,
    out: &mut Out,
) -> Need {
    let Watch { channel, id } = watch;
    let allowed = allowed(session, shared, &channel).await;
    let now = shared.clock.now();
    match allowed {
        Ok(true) => session.subscribe(&channel, id.as_ref(), now, out),
        Ok(false) => session.forbid(&channel, id.as_ref(), now, out),
        Err(trouble) => {
            tracing::warn!(%trouble, "failed to read what a live connection may watch");
            let error = "the server cannot do that now";
            session.fail(ErrorCode::SystemError, error, Some(channel.as_str()), id.as_ref(), now, out)
        }
    }
}

/// Watches the session's own workflow without a word, if the client may.
pub(super) async fn watch_session<B: Backend>(session: &mut Session, shared: &Shared<B>, session_id: &str) {
    let Some(channel) = Channel::of_workflow(session_id) else { return };
    if matches!(allowed(session, shared, &channel).await, Ok(true))
        && let Some(attachment) = &session.attachment
    {
        // A connection that watches a thousand channels already has no claim to one more.
        let _ = attachment.subscribe(channel.as_str());
    }
}

/// Looks at everything that is watched again, after a fresh token that may allow less.
pub(super) async fn review<B: Backend>(session: &mut Session, shared: &Shared<B>, out: &mut Out) {
    let Some(attachment) = &session.attachment else { return };
    let Some(view) = shared.hub.get(&attachment.id().to_string()) else { return };
    for channel in view.subscriptions.iter().filter_map(|name| Channel::parse(name)) {
        if let Ok(false) = allowed(session, shared, &channel).await {
            session.unsubscribe(&channel, None, shared.clock.now(), out);
        }
    }
}

async fn allowed<B: Backend>(
    session: &mut Session,
    shared: &Shared<B>,
    channel: &Channel,
) -> Result<bool, Trouble> {
    if session.may_watch(channel) {
        return Ok(true);
    }
    let Some(user) = session.user().map(str::to_owned) else { return Ok(false) };
    // Nobody is taken out of a workflow: to have had part in it stays true.
    if channel.topic().is_some() {
        session.leaves(&shared.hub).ask(member(&user, channel));
    }
    let allowed = shared.backend.may_watch(&user, channel).await;
    if !matches!(allowed, Ok(true)) {
        session.give_back(channel);
    }
    allowed
}

fn member(user: &str, channel: &Channel) -> Leave {
    Leave::Member { user: user.to_owned(), channel: channel.as_str().to_owned() }
}

impl Session {
    fn leaves(&mut self, hub: &crate::hub::Hub) -> &mut Leaves {
        self.leaves.get_or_insert_with(|| Box::new(Leaves::new(hub)))
    }

    /// Learns from now on when its API key is revoked. Answers false if that has happened already.
    pub(super) fn stand_by_key(&mut self, shared: &Shared<impl Backend>) -> bool {
        let Some(Principal::Key { id, .. }) = &self.principal else { return true };
        let leave = Leave::Key(id.clone());
        self.leaves(&shared.hub).ask(leave);
        self.principal.as_ref().is_none_or(|principal| shared.backend.stands(principal))
    }

    /// Watches a channel no more, and says so.
    pub(super) fn unsubscribe(
        &mut self,
        channel: &Channel,
        id: Option<&Echo>,
        now: Millis,
        out: &mut Out,
    ) -> Need {
        let Some(attachment) = &self.attachment else { return Need::Nothing };
        attachment.unsubscribe(channel.as_str());
        self.give_back(channel);
        out.reply(protocol::subscribed(false, channel, id, now));
        Need::Nothing
    }

    /// Holds the leave to watch a channel no more.
    pub(super) fn give_back(&mut self, channel: &Channel) {
        let user = self.attachment.as_ref().and_then(|attachment| attachment.user_id());
        if let (Some(user), Some(leaves)) = (user, &mut self.leaves) {
            leaves.give_back(&member(user, channel));
        }
    }

    /// What follows from leaves that were withdrawn.
    pub(super) fn on_withdrawn(&mut self, now: Millis, out: &mut Out) -> Need {
        let withdrawn = self.leaves.as_mut().map(|leaves| leaves.withdrawn()).unwrap_or_default();
        for leave in withdrawn {
            match leave {
                Leave::Key(_) => {
                    let code = close::INVALID_TOKEN;
                    return Need::Close(Closing { code, reason: "the key was revoked" });
                }
                Leave::Member { channel, .. } => {
                    if let Some(channel) = Channel::parse(&channel).filter(|channel| !self.may_watch(channel))
                    {
                        self.unsubscribe(&channel, None, now, out);
                    }
                }
            }
        }
        Need::Nothing
    }
}
