//! A change of what a person wants: who made it, when, and by which way.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// By which way a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// The preference page.
    Page,
    /// A request.
    Api,
    /// A link in a message (RFC 8058).
    OneClick,
    /// A mail that came back.
    Bounce,
    /// An import.
    Import,
}

impl Way {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Page => "page",
            Way::Api => "api",
            Way::OneClick => "one_click",
            Way::Bounce => "bounce",
            Way::Import => "import",
        }
    }
}

/// Who makes a change, and by which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// By which way.
    pub way: Way,
    /// Who: the name of a principal, never a secret.
    pub principal: String,
}

/// What one field was and what it is, as JSON text; `None` where nothing was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The field's path.
    pub field: String,
    /// What it was.
    pub from: Option<String>,
    /// What it is.
    pub to: Option<String>,
}

/// One change, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Millis,
    /// Who and how.
    pub origin: Origin,
    /// What.
    pub fields: Vec<FieldChange>,
}

/// The most changes that are remembered of one person; older ones are forgotten.
pub const HISTORY_LEN_MAX: usize = 50;
/// The most fields that are remembered of one change.
pub const FIELDS_LEN_MAX: usize = 100;
