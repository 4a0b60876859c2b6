//! Whom something is for, where that is not one person.

/// The receivers of a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everyone who is connected.
    All,
    /// Every connection of one person.
    User(String),
    /// Everyone who watches a topic.
    Topic(String),
}

/// The people whom a notification goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These, each once.
    Users(Vec<String>),
    /// The members of a topic.
    Topic(String),
    /// Everybody who is known.
    Everyone,
}
