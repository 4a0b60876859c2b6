//! What a workflow engine tells us of its runs.

use crate::clock::Millis;

/// The four events that a workflow can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It moved on. Pushed to those who watch, and kept nowhere.
    Update,
    /// Somebody has to look at it.
    ReviewRequired,
    /// It is done.
    Completed,
    /// It broke.
    Failed,
}

impl EventKind {
    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<EventKind> {
        match name {
            "workflow_update" => Some(EventKind::Update),
            "workflow_review_required" => Some(EventKind::ReviewRequired),
            "workflow_completed" => Some(EventKind::Completed),
            "workflow_failed" => Some(EventKind::Failed),
            _ => None,
        }
    }

    /// The name of the kind, which is the name of its template too.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Update => "workflow_update",
            EventKind::ReviewRequired => "workflow_review_required",
            EventKind::Completed => "workflow_completed",
            EventKind::Failed => "workflow_failed",
        }
    }

    /// The status that such an event means, where the sender names none.
    pub const fn implied_status(self) -> &'static str {
        match self {
            EventKind::Update => "running",
            EventKind::ReviewRequired => "review_required",
            EventKind::Completed => "completed",
            EventKind::Failed => "failed",
        }
    }
}

/// The statuses that a workflow can be in.
pub const STATUSES: [&str; 6] = ["starting", "running", "completed", "failed", "review_required", "canceled"];

/// Where a workflow stands, for those who watch it.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The workflow.
    pub workflow_id: String,
    /// The run of it, where the sender tells runs apart.
    pub session_id: Option<String>,
    /// The step it is in.
    pub stage: Option<String>,
    /// How far it is, from 0 to 1.
    pub progress: Option<f64>,
    /// One of [`STATUSES`].
    pub status: String,
    /// A line for people.
    pub message: Option<String>,
    /// The sender's own data, as JSON text of an object.
    pub metadata: Option<String>,
    /// When it was reported.
    pub at: Millis,
}
