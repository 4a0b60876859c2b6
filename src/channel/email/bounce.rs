//! Mails that came back: what a delivery status notification (RFC 3464) says, and of which of our mails.
//!
//! Whoever knows where such mails are read can send one, so nothing here is believed beyond what it says: the engine
//! acts only on what fits a mail that we sent.

use std::borrow::Cow;

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use uuid::Uuid;

use super::super::words::tidy;
use super::verdict::{names_nobody, speaks_of_the_address};
use crate::model::channel::Channel;

/// The most recipients of one report. Each of our mails has one.
const RECIPIENTS_MAX: usize = 100;
/// The most bytes of an address (RFC 5321, section 4.5.3.1.3).
const ADDRESS_BYTES_MAX: usize = 256;

/// What a mail that came back says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which of our mails it is about, as far as that can be seen.
    pub about: Option<About>,
    /// What became of it for each recipient; at least one.
    pub recipients: Vec<Recipient>,
}

/// One of our mails, by its `Message-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The key of the delivery: a notification's or, where several went out as one mail, that mail's own.
    pub delivery: Uuid,
    /// The notification, the first where there were several.
    pub notification: Uuid,
}

/// What became of a mail for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address that it was last sent on to.
    pub address: String,
    /// The address that it was sent to at first, where that is told.
    pub original: Option<String>,
    /// What was done.
    pub action: Action,
    /// The status code (RFC 3463).
    pub status: String,
    /// Whether it says that there is nobody of that address.
    pub nobody: bool,
    /// What the other server said, or the status where that is not told.
    pub words: String,
}

/// What was done with a mail (RFC 3464, section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was given up.
    Failed,
    /// It is still tried.
    Delayed,
    /// It arrived.
    Delivered,
    /// It was handed on to where no more is reported from.
    Relayed,
    /// It was handed on to several.
    Expanded,
}

const ACTIONS: [Action; 5] =
    [Action::Failed, Action::Delayed, Action::Delivered, Action::Relayed, Action::Expanded];

impl Action {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }
}

/// Why a mail is not read as a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReport {
    /// It is none.
    #[error("the body is not a mail: it has no headers")]
    NoMail,
    /// It is another kind of mail.
    #[error("the mail is no delivery status notification: it has no message/delivery-status part")]
    NoReport,
    /// A field is missing or says nothing that can be understood.
    #[error("{field} {detail}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl BadReport {
    fn field(field: &'static str, detail: impl Into<String>) -> BadReport {
        BadReport::Field { field, detail: detail.into() }
    }
}

/// Reads a mail as it came, headers and all.
///
/// # Errors
/// [`BadReport`] says what is wrong with it.
pub fn read(mail: &[u8]) -> Result<Report, BadReport> {
    let mail = MessageParser::default().parse(mail).ok_or(BadReport::NoMail)?;
    let status = mail.parts.iter().find(|part| is_of(*part, "message", &STATUS_TYPES));
    let status = content(&status.ok_or(BadReport::NoReport)?.body).ok_or(BadReport::NoReport)?;
    // The first group is about the mail as a whole.
    let recipients: Vec<Recipient> = groups(&status)
        .skip(1)
        .take(RECIPIENTS_MAX + 1)
        .map(|group| recipient(&group))
        .collect::<Result<_, _>>()?;
    match recipients.len() {
        0 => Err(BadReport::field("Final-Recipient", "is missing: the report names no recipient")),
        1..=RECIPIENTS_MAX => Ok(Report { about: message_ids(&mail).find_map(|id| about(&id)), recipients }),
        _ => Err(BadReport::field("Final-Recipient", format!("is there more than {RECIPIENTS_MAX} times"))),
    }
}

const STATUS_TYPES: [&str; 2] = ["delivery-status", "global-delivery-status"];
const HEADER_TYPES: [&str; 2] = ["rfc822-headers", "global-headers"];

fn is_of<'m>(part: &impl MimeHeaders<'m>, kind: &str, subtypes: &[&str]) -> bool {
    part.content_type().is_some_and(|content_type| {
        content_type.ctype().eq_ignore_ascii_case(kind)
            && content_type
                .subtype()
                .is_some_and(|is| subtypes.iter().any(|one| one.eq_ignore_ascii_case(is)))
    })
}

fn content<'p>(body: &'p PartType<'_>) -> Option<Cow<'p, str>> {
    match body {
        PartType::Text(text) | PartType::Html(text) => Some(Cow::Borrowed(text)),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => Some(String::from_utf8_lossy(bytes)),
        PartType::Message(_) | PartType::Multipart(_) => None,
    }
}

/// The ids of the mail that came back: in its headers, which most servers send along, else in what the report answers.
fn message_ids(report: &Message<'_>) -> impl Iterator<Item = String> {
    let mut ids = Vec::new();
    for part in &report.parts {
        match &part.body {
            PartType::Message(returned) => ids.extend(returned.message_id().map(str::to_owned)),
            body if is_of(part, "text", &HEADER_TYPES) || is_of(part, "message", &HEADER_TYPES) => {
                let headers = content(body).unwrap_or_default();
                let headers = MessageParser::default().parse_headers(headers.as_bytes());
                ids.extend(headers.and_then(|headers| headers.message_id().map(str::to_owned)));
            }
            _ => {}
        }
    }
    for answered in [report.in_reply_to(), report.references()] {
        ids.extend(answered.as_text_list().into_iter().flatten().map(|id| id.to_string()));
    }
    ids.into_iter()
}

/// The other way round from what `compose` makes of a delivery's id.
fn about(message_id: &str) -> Option<About> {
    let (delivery, _) = message_id.trim_matches(['<', '>', ' ']).split_once('@')?;
    let mut parts = delivery.split('.');
    let key = Uuid::parse_str(parts.next()?).ok()?;
    if parts.next()? != Channel::Email.name() {
        return None;
    }
    let first = parts.next().and_then(|part| Uuid::parse_str(part).ok());
    Some(About { delivery: key, notification: first.unwrap_or(key) })
}

/// The groups of fields, unfolded (RFC 3464, section 2.1).
fn groups(text: &str) -> impl Iterator<Item = Vec<(&str, String)>> {
    let mut groups: Vec<Vec<(&str, String)>> = vec![Vec::new()];
    for line in text.lines() {
        let group = groups.len() - 1;
        if line.trim().is_empty() {
            if !groups[group].is_empty() {
                groups.push(Vec::new());
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = groups[group].last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            groups[group].push((name.trim(), value.trim().to_owned()));
        }
    }
    groups.into_iter().filter(|group| !group.is_empty())
}

fn recipient(group: &[(&str, String)]) -> Result<Recipient, BadReport> {
    let given = |name: &str| {
        group.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let needed =
        |name: &'static str| given(name).ok_or_else(|| BadReport::field(name, "is missing for a recipient"));
    let address = address(needed("Final-Recipient")?);
    if address.is_empty() || address.len() > ADDRESS_BYTES_MAX {
        return Err(BadReport::field("Final-Recipient", "is no address"));
    }
    let done = word(needed("Action")?).to_ascii_lowercase();
    let action = ACTIONS.into_iter().find(|action| action.name() == done).ok_or_else(|| {
        let names = ACTIONS.map(Action::name).join(", ");
        BadReport::field("Action", format!("is not one of {names}"))
    })?;
    let status = word(needed("Status")?);
    if !is_status(status) {
        return Err(BadReport::field("Status", "is no status code such as 5.1.1"));
    }
    let said =
        given("Diagnostic-Code").map(|said| said.split_once(';').map_or(said, |(_, words)| words).trim());
    let words = said.filter(|said| !said.is_empty()).unwrap_or(status);
    let nobody = action == Action::Failed && status.starts_with('5') && is_nobody(status, words);
    Ok(Recipient {
        address: address.to_owned(),
        original: given("Original-Recipient").map(|text| self::address(text).to_owned()),
        action,
        status: status.to_owned(),
        nobody,
        words: tidy(words),
    })
}

/// `rfc822; anna@example.org` (RFC 3464, section 2.3.1).
fn address(text: &str) -> &str {
    let address = text.split_once(';').map_or(text, |(_, address)| address);
    address.trim().trim_start_matches('<').trim_end_matches('>')
}

/// What is before a comment.
fn word(text: &str) -> &str {
    text.split([' ', '\t', '(', ';']).next().unwrap_or_default()
}

/// Class, subject and detail: RFC 3463, section 2.
fn is_status(text: &str) -> bool {
    let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && matches!(parts[0], "2" | "4" | "5") && parts.iter().all(|part| is_number(part))
}

/// By the status or, where that does not go into detail, by the answer of the other server.
fn is_nobody(status: &str, words: &str) -> bool {
    if !status.ends_with(".0.0") {
        return speaks_of_the_address(status);
    }
    let (code, said) = words.split_once([' ', '-']).unwrap_or((words, ""));
    code.parse().is_ok_and(|code| names_nobody(code, said.trim_start()))
}

#[cfg(test)]
mod tests;
