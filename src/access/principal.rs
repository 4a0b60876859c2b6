//! Who is asking, and what they may do.

use crate::clock::Millis;

/// A right that an API key carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Send notifications, workflow events and broadcasts.
    Publish,
    /// Read anything.
    Read,
    /// Everything.
    Admin,
    /// Post to one inbound hook.
    Ingest(String),
}

impl Scope {
    /// The scope of that spelling.
    pub fn parse(text: &str) -> Option<Scope> {
        match text {
            "publish" => Some(Scope::Publish),
            "read" => Some(Scope::Read),
            "admin" => Some(Scope::Admin),
            _ => match text.strip_prefix("ingest:") {
                Some(hook) if !hook.is_empty() => Some(Scope::Ingest(hook.to_owned())),
                _ => None,
            },
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scope::Publish => f.write_str("publish"),
            Scope::Read => f.write_str("read"),
            Scope::Admin => f.write_str("admin"),
            Scope::Ingest(hook) => write!(f, "ingest:{hook}"),
        }
    }
}

/// The names that a user token grants: none, some, or all (`["*"]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// No name.
    #[default]
    None,
    /// These names.
    Some(Vec<String>),
    /// Every name.
    All,
}

impl Grant {
    /// Whether `name` is granted.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Grant::None => false,
            Grant::Some(names) => names.iter().any(|granted| granted == name),
            Grant::All => true,
        }
    }
}

/// Whoever a valid token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The holder of an API key.
    Key {
        /// The key's id.
        id: String,
        /// What it may do.
        scopes: Vec<Scope>,
        /// When it ends, if it does.
        expires_at: Option<Millis>,
    },
    /// A person, by a JWT.
    User {
        /// The token's `sub`.
        id: String,
        /// The workflows that the token names.
        workflows: Grant,
        /// The topics that the token names.
        topics: Grant,
        /// The token's `exp`.
        expires_at: Millis,
    },
}

impl Principal {
    /// Whether an API key of this principal carries `scope`; `admin` carries all of them. A person has no scope.
    pub fn has(&self, scope: &Scope) -> bool {
        match self {
            Principal::Key { scopes, .. } => scopes.contains(&Scope::Admin) || scopes.contains(scope),
            Principal::User { .. } => false,
        }
    }

    /// A short stable name for logs and for scoping idempotency keys: never a secret.
    pub fn label(&self) -> String {
        match self {
            Principal::Key { id, .. } => format!("key:{id}"),
            Principal::User { id, .. } => format!("user:{id}"),
        }
    }

    /// When the token behind this principal ends, if it does.
    pub fn expires_at(&self) -> Option<Millis> {
        match self {
            Principal::Key { expires_at, .. } => *expires_at,
            Principal::User { expires_at, .. } => Some(*expires_at),
        }
    }

    /// Whether this principal may watch `workflow:<workflow>`.
    pub fn may_watch_workflow(&self, workflow: &str) -> bool {
        match self {
            Principal::Key { .. } => self.has(&Scope::Read),
            Principal::User { workflows, .. } => workflows.allows(workflow),
        }
    }

    /// Whether this principal may watch `topic:<topic>` by its token alone.
    pub fn may_watch_topic(&self, topic: &str) -> bool {
        match self {
            Principal::Key { .. } => self.has(&Scope::Read),
            Principal::User { topics, .. } => topics.allows(topic),
        }
    }
}
