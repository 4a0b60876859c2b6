//! From what the engine has made durable to the frames of those who are connected, each encoded once.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::live;
use crate::clock::Clock;
use crate::engine::Watcher;
use crate::hub::{Hub, Leave};
use crate::model::notification::Accepted;
use crate::model::workflow::Progress;
use crate::store::inbox::{Counts, Mark};
use crate::ws::protocol::{self, InboxChange, WorkflowUpdate};

/// Tells the hub.
pub struct HubWatcher {
    hub: Hub,
    clock: Clock,
}

impl HubWatcher {
    /// A watcher that tells `hub`.
    pub fn new(hub: Hub, clock: Clock) -> Arc<HubWatcher> {
        Arc::new(HubWatcher { hub, clock })
    }
}

impl Watcher for HubWatcher {
    fn arrived(&self, accepted: &Accepted, _counts: Counts) {
        let user = &accepted.notification.user_id;
        if self.hub.has_user(user) {
            self.hub.to_user(user, &live::frame(accepted).encode());
        }
    }

    fn moved(&self, progress: &Progress) {
        let workflow = format!("workflow:{}", progress.workflow_id);
        let session = progress.session_id.as_ref().map(|session| format!("workflow:{session}"));
        let frame = WorkflowUpdate {
            session_id: progress.session_id.clone(),
            workflow_id: progress.workflow_id.clone(),
            stage: progress.stage.clone(),
            progress: progress.progress,
            status: Some(progress.status.clone()),
            message: progress.message.clone(),
            metadata: progress.metadata.clone().and_then(|text| RawValue::from_string(text).ok()),
            timestamp_ms: progress.at,
        }
        .encode();
        let channels: Vec<&str> = std::iter::once(workflow.as_str()).chain(session.as_deref()).collect();
        self.hub.to_channels(&channels, &frame);
    }

    fn marked(&self, user: &str, mark: Mark, ids: &[String], counts: Counts) {
        if !self.hub.has_user(user) {
            return;
        }
        let change = InboxChange {
            op: mark.name().to_owned(),
            ids: ids.to_vec(),
            counts: protocol::Counts { total: counts.total, unread: counts.unread, unseen: counts.unseen },
            timestamp_ms: self.clock.now(),
        };
        self.hub.to_user(user, &change.encode());
    }

    fn left(&self, topic: &str, users: &[String]) {
        for user in users {
            self.hub.withdraw(&Leave::Member { user: user.clone(), channel: format!("topic:{topic}") });
        }
    }
}
