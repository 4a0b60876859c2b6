//! The one layout of every mail: title, message, at most one button, and why the person got it.
//!
//! No image and nothing else is loaded from elsewhere, so opening a mail tells nobody anything.

use serde_json::{Value, json};

use super::{RenderError, Renderer, TEXT_BYTES_MAX};

/// The most bytes of a mail's HTML.
pub const HTML_BYTES_MAX: usize = 512 * 1024;

pub(super) const HTML_LAYOUT: &str = "email.html";
pub(super) const HTML_LAYOUT_SOURCE: &str = include_str!("../../assets/templates/email.html.hbs");
pub(super) const TEXT_LAYOUT: &str = "email.txt";
pub(super) const TEXT_LAYOUT_SOURCE: &str = include_str!("../../assets/templates/email.txt.hbs");

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
}

/// The two bodies of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailBody {
    /// A whole HTML document, everything in it escaped.
    pub html: String,
    /// The same as plain text.
    pub text: String,
}

impl Renderer {
    /// Renders the bodies of a mail.
    ///
    /// # Errors
    /// [`RenderError::TooLarge`] over [`HTML_BYTES_MAX`] or the limit of texts.
    pub fn email(&self, view: &EmailView<'_>) -> Result<EmailBody, RenderError> {
        self.email_body(view, None)
    }

    /// Renders the bodies of a mail with `html`, which [`Renderer::render`] gave, in the place of the message.
    ///
    /// # Errors
    /// As [`Renderer::email`].
    pub fn email_with(&self, view: &EmailView<'_>, html: &str) -> Result<EmailBody, RenderError> {
        self.email_body(view, Some(html))
    }

    fn email_body(&self, view: &EmailView<'_>, html: Option<&str>) -> Result<EmailBody, RenderError> {
        // Before anything is copied; the limits of what is rendered would come too late.
        if view.title.len() + view.message.len() > TEXT_BYTES_MAX {
            return Err(RenderError::TooLarge);
        }
        let values = values(view, html);
        Ok(EmailBody {
            html: self.html.render_own(HTML_LAYOUT, &values, HTML_BYTES_MAX)?,
            text: self.text.render_own(TEXT_LAYOUT, &values, TEXT_BYTES_MAX + TEXT_LAYOUT_BYTES_MAX)?,
        })
    }
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
    })
}

/// Paragraphs, each a list of lines: line breaks then survive mail programs that know no `white-space`.
fn paragraphs(message: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = message.lines().map(str::trim_end).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.map(<[&str]>::to_vec).collect()
}

/// True for a URL that may stand in a link: one that opens a page or a mail, and runs nothing.
fn may_link(url: &str) -> bool {
    let known =
        |scheme: &str| ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let plain = !url.chars().any(|c| c.is_control() || c.is_whitespace());
    plain && url.split_once(':').is_some_and(|(scheme, rest)| known(scheme) && !rest.is_empty())
}
