//! The one layout of every mail: title, message, at most one button, and why the person got it.
//!
//! No image and nothing else is loaded from elsewhere, so opening a mail tells nobody anything.

use handlebars::Context;
use serde_json::{Value, json};

use super::policy::{self, Compiled, Refusal};
use super::{RenderError, Renderer, TEXT_BYTES_MAX, run};
use crate::model::channel::Channel;
use crate::model::template::{Part, Texts};

/// The most bytes of a mail's HTML.
pub const HTML_BYTES_MAX: usize = 512 * 1024;

const HTML_LAYOUT_SOURCE: &str = include_str!("../../assets/templates/email.html.hbs");
const TEXT_LAYOUT_SOURCE: &str = include_str!("../../assets/templates/email.txt.hbs");

/// What the layout puts around a message, in bytes at most: added to the limit of the text.
const TEXT_LAYOUT_BYTES_MAX: usize = 16 * 1024;

/// A notification as its mail shows it. All of it is plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmailView<'a> {
    /// The title.
    pub title: &'a str,
    /// The message; line breaks are kept.
    pub message: &'a str,
    /// The label and the URL of the button. Left out unless the URL is `http`, `https` or `mailto`.
    pub action: Option<(&'a str, &'a str)>,
    /// The priority's name.
    pub priority: &'a str,
    /// The category's name.
    pub category: &'a str,
    /// Whom it is for.
    pub user_id: &'a str,
    /// Where the server is reached, for the footer.
    pub base_url: Option<&'a str>,
    /// Where the person can unsubscribe, for the footer.
    pub unsubscribe: Option<&'a str>,
}

/// The two bodies of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailBody {
    /// A whole HTML document, everything in it escaped.
    pub html: String,
    /// The same as plain text.
    pub text: String,
}

/// What stands around every message in mail. Its own templates alone may put HTML through as it is.
#[derive(Debug)]
pub(super) struct Layout {
    html: Compiled,
    text: Compiled,
}

impl Layout {
    /// The layout that is built in.
    pub(super) fn compile() -> Result<Layout, Refusal> {
        Ok(Layout {
            html: policy::compile_layout(HTML_LAYOUT_SOURCE)?,
            text: policy::compile_layout(TEXT_LAYOUT_SOURCE)?,
        })
    }
}

/// A message as one channel carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// A mail's subject, a push message's first line.
    pub title: String,
    /// The body as plain text.
    pub text: String,
    /// The body as a whole HTML document, on channels that show it.
    pub html: Option<String>,
}

impl Renderer {
    /// Puts a message together for `channel`, from the notification and from what its template says there of its own
    /// ([`Renderer::render_own`]).
    ///
    /// # Errors
    /// [`RenderError::TooLarge`] over [`HTML_BYTES_MAX`] or the limit of texts.
    pub fn compose(
        &self,
        channel: Channel,
        view: &EmailView<'_>,
        mut own: Texts,
    ) -> Result<Composed, RenderError> {
        let mut own = |part: Part| own.remove(&part);
        let plain = |text: &str| text.to_owned();
        Ok(match channel {
            Channel::Email => {
                let subject = own(Part::EmailSubject).unwrap_or_else(|| plain(view.title));
                let (html, text) = (own(Part::EmailHtml), own(Part::EmailText));
                let body = self.email_body(view, html.as_deref(), text.as_deref())?;
                Composed { title: subject, text: body.text, html: Some(body.html) }
            }
            Channel::Sms => {
                let text = own(Part::SmsText).unwrap_or_else(|| plain(view.message));
                Composed { title: plain(view.title), text, html: None }
            }
            Channel::BrowserPush => Composed {
                title: own(Part::PushTitle).unwrap_or_else(|| plain(view.title)),
                text: own(Part::PushBody).unwrap_or_else(|| plain(view.message)),
                html: None,
            },
            Channel::InApp | Channel::Webhook => {
                Composed { title: plain(view.title), text: plain(view.message), html: None }
            }
        })
    }

    /// Renders the bodies of a mail.
    ///
    /// # Errors
    /// [`RenderError::TooLarge`] over [`HTML_BYTES_MAX`] or the limit of texts.
    pub fn email(&self, view: &EmailView<'_>) -> Result<EmailBody, RenderError> {
        self.email_body(view, None, None)
    }

    pub(super) fn email_body(
        &self,
        view: &EmailView<'_>,
        html: Option<&str>,
        text: Option<&str>,
    ) -> Result<EmailBody, RenderError> {
        // Before anything is copied; the limits of what is rendered would come too late.
        if view.title.len() + view.message.len() > TEXT_BYTES_MAX {
            return Err(RenderError::TooLarge);
        }
        let layout = |name: &'static str| move || name.to_owned();
        let values = Context::from(values(view, html));
        let in_layout = || run(&self.html, &self.layout.html, &values, HTML_BYTES_MAX, layout("layout/html"));
        let html = match html.filter(|html| is_document(html)) {
            Some(whole) => whole.to_owned(),
            None => in_layout()?,
        };
        let bytes_max = TEXT_BYTES_MAX + TEXT_LAYOUT_BYTES_MAX;
        let text = match text {
            Some(text) => {
                let values = Context::from(self::values(&EmailView { message: text, ..*view }, None));
                run(&self.text, &self.layout.text, &values, bytes_max, layout("layout/text"))?
            }
            None => run(&self.text, &self.layout.text, &values, bytes_max, layout("layout/text"))?,
        };
        Ok(EmailBody { html, text })
    }
}

/// Whether HTML is a whole document, which needs no layout around it.
fn is_document(html: &str) -> bool {
    let start = html.trim_start();
    ["<!doctype", "<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|s| s.eq_ignore_ascii_case(tag)))
}

fn values(view: &EmailView<'_>, html: Option<&str>) -> Value {
    let action = view.action.filter(|(_, url)| may_link(url));
    json!({
        "title": view.title,
        "message": view.message,
        "paragraphs": paragraphs(view.message),
        "html": html,
        "action": action.map(|(label, url)| {
            json!({"label": if label.trim().is_empty() { "Open" } else { label }, "url": url})
        }),
        "priority": view.priority,
        "urgent": matches!(view.priority, "high" | "critical"),
        "category": view.category,
        "user_id": view.user_id,
        "base_url": view.base_url.filter(|url| may_link(url)),
        "unsubscribe": view.unsubscribe.filter(|url| may_link(url)),
    })
}

/// Paragraphs, each a list of lines: line breaks then survive mail programs that know no `white-space`.
fn paragraphs(message: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = message.lines().map(str::trim_end).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.map(<[&str]>::to_vec).collect()
}

/// True for a URL that may stand in a link: one that opens a page or a mail, and runs nothing.
pub(super) fn may_link(url: &str) -> bool {
    let known =
        |scheme: &str| ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let plain = !url.chars().any(|c| c.is_control() || c.is_whitespace());
    plain && url.split_once(':').is_some_and(|(scheme, rest)| known(scheme) && !rest.is_empty())
}
