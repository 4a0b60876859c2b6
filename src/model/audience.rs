//! Whom a broadcast is for.

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
