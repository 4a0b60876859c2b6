//! A message as a mail (RFC 5322, MIME): headers and bodies, from nothing but the message and the sender.
//!
//! The same message always gives the same headers, whichever attempt it is. Everything that ends up in a header is
//! checked here first: a line break in it would let a stranger write headers of their own.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::{Address, Message as Mime};

use crate::model::message::Message;
use crate::render::cleaned;

/// The most bytes of one body. The renderer's limits are below it.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The most bytes of an address: RFC 5321, section 4.5.3.1.3, less the angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;
/// The most bytes of a `Message-ID`: well below the 998 of a line, RFC 5322, section 2.1.1.
const MESSAGE_ID_BYTES_MAX: usize = 900;
/// The most characters of a subject: a longer title belongs into the message.
const SUBJECT_CHARS_MAX: usize = 2_000;
/// The end of the year 9999, the last that a `Date` can show.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// Who the mails are from.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// The sender.
    pub(super) from: Mailbox,
    /// Where answers go, if not to the sender.
    pub(super) reply_to: Option<Mailbox>,
}

/// A mail that is ready for the wire.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    /// Who it is from, for the server.
    pub(super) from: Address,
    /// Whom it is for.
    pub(super) to: Address,
    /// Headers and bodies, with `\r\n` line ends. Dots are not doubled yet.
    pub(super) bytes: Vec<u8>,
}

/// Why a message cannot become a mail, now or ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The address is none that mail can be sent to.
    #[error("the recipient's address is not valid: {0}")]
    Address(String),
    /// A value that goes into a header has a line break or another control character.
    #[error("the {0} has a line break or another control character, which a mail header must not have")]
    Control(&'static str),
    /// A value that goes into a header is too long for one.
    #[error("the {0} is too long for a mail header")]
    Long(&'static str),
    /// A body is over [`BODY_BYTES_MAX`].
    #[error("the {0} has more than {BODY_BYTES_MAX} bytes")]
    Large(&'static str),
    /// The library refuses the combination.
    #[error("failed to compose the mail: {0}")]
    Compose(String),
}

/// How an encoded word begins (RFC 2047, section 2). A title that has it in plain text would be decoded by the reader's
/// program, so it is encoded whole.
const ENCODED_WORD: &str = "=?";
/// The most bytes in one encoded word: 75 characters at most, less its frame, in base64.
const ENCODED_BYTES_MAX: usize = 45;

fn with_subject(builder: MessageBuilder, title: &str) -> MessageBuilder {
    if !title.contains(ENCODED_WORD) {
        return builder.subject(title);
    }
    let name = HeaderName::new_from_ascii_str("Subject");
    builder.raw_header(HeaderValue::dangerous_new_pre_encoded(name, title.to_owned(), encoded_words(title)))
}

/// A text as encoded words, one a line.
fn encoded_words(text: &str) -> String {
    let (mut words, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (word, more) = rest.split_at(rest.floor_char_boundary(ENCODED_BYTES_MAX));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = more;
    }
    words.join("\r\n ")
}

/// Composes the mail.
pub(super) fn compose(sender: &Sender, message: &Message) -> Result<Mail, Refusal> {
    let to = recipient(&message.to)?;
    refuse_control("title", &message.title)?;
    if message.title.chars().count() > SUBJECT_CHARS_MAX {
        return Err(Refusal::Long("title"));
    }
    let html = message.html.as_deref();
    if message.text.len() > BODY_BYTES_MAX {
        return Err(Refusal::Large("text"));
    }
    if html.is_some_and(|html| html.len() > BODY_BYTES_MAX) {
        return Err(Refusal::Large("HTML"));
    }
    let addressed = Mime::builder().from(sender.from.clone()).to(Mailbox::new(None, to.clone()));
    let mut builder = with_subject(addressed, &message.title)
        .date(date(message.at_ms))
        .message_id(Some(message_id(&message.delivery_id, sender.from.email.domain())?))
        // RFC 3834: so that no holiday notice is sent back.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(url) = &message.unsubscribe {
        refuse_control("unsubscribe link", url)?;
        if url.len() > MESSAGE_ID_BYTES_MAX || !url.is_ascii() {
            return Err(Refusal::Long("unsubscribe link"));
        }
        // RFC 2369 and RFC 8058. A link is one word, which must not be folded.
        builder = builder.raw_header(plain("List-Unsubscribe", format!("<{url}>")));
        builder = builder.raw_header(plain("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    if let Some(reply_to) = &sender.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    // A lone `\r` would go out as it is, and servers disagree about whether it ends a line: that is how one mail is
    // smuggled into another.
    let text = cleaned(&message.text);
    let mime = match html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, cleaned(html))),
        None => builder.singlepart(SinglePart::plain(text)),
    };
    let mime = mime.map_err(|error| Refusal::Compose(error.to_string()))?;
    Ok(Mail { from: sender.from.email.clone(), to, bytes: mime.formatted() })
}

/// A header whose value goes out as it is.
fn plain(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

fn recipient(to: &str) -> Result<Address, Refusal> {
    refuse_control("recipient's address", to)?;
    if to.len() > ADDRESS_BYTES_MAX {
        return Err(Refusal::Long("recipient's address"));
    }
    // Quoted local parts are legal, practically unused, and may hold anything, `>` and blanks included.
    if to.contains(['"', '<', '>', '\\']) || to.contains(char::is_whitespace) {
        return Err(Refusal::Address(format!("`{to}` has a character that we do not send to")));
    }
    to.parse().map_err(|error| Refusal::Address(format!("`{to}`: {error}")))
}

fn refuse_control(what: &'static str, value: &str) -> Result<(), Refusal> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if value.chars().any(breaks) { Err(Refusal::Control(what)) } else { Ok(()) }
}

/// `<delivery id@domain>`. What an identifier must not have (RFC 5322, section 3.6.4) stands there as `=` and two hex
/// digits for each byte, so two deliveries never share one.
fn message_id(delivery_id: &str, domain: &str) -> Result<String, Refusal> {
    refuse_control("delivery's id", delivery_id)?;
    let id = format!("<{}@{}>", dot_atom(delivery_id), dot_atom(domain));
    if id.len() > MESSAGE_ID_BYTES_MAX { Err(Refusal::Long("delivery's id")) } else { Ok(id) }
}

fn dot_atom(text: &str) -> String {
    let mut atom = String::with_capacity(text.len());
    let mut after_dot = true;
    for (at, byte) in text.bytes().enumerate() {
        let dot_fits = byte == b'.' && !after_dot && at + 1 < text.len();
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || dot_fits {
            atom.push(char::from(byte));
        } else {
            atom.push_str(&format!("={byte:02X}"));
        }
        after_dot = dot_fits;
    }
    atom
}

/// The instant, moved into what a `Date` can show.
fn date(at_ms: i64) -> SystemTime {
    let seconds = u64::try_from(at_ms).map_or(0, |at_ms| (at_ms / 1_000).min(DATE_SECONDS_MAX));
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests;
