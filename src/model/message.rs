//! A message as a channel sends it: rendered, addressed, and with no template left in it.

/// One rendered message for one person on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Stable over every attempt of the delivery: the provider sees the same id again after a crash.
    /// `<notification id>` and the channel's name, joined by `.`.
    pub delivery_id: String,
    /// The notification that this belongs to.
    pub notification_id: String,
    /// The person.
    pub user_id: String,
    /// The address on the channel: a mail address, a phone number in E.164, a URL.
    pub to: String,
    /// The title: a mail's subject, a push message's first line.
    pub title: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML, on channels that can show it. Already escaped.
    pub html: Option<String>,
    /// Where the person can unsubscribe from what this is about, on channels that say so in a header.
    pub unsubscribe: Option<String>,
    /// When the notification was accepted, in milliseconds since 1970-01-01 UTC: the mail's `Date`.
    pub at_ms: i64,
}
