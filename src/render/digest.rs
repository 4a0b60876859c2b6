//! Many notifications as one message: in order, the newest last, with counts.

use std::collections::BTreeMap;

use handlebars::Context;
use serde_json::{Value, json};

use super::email::{EmailBody, EmailView, HTML_BYTES_MAX, may_link};
use super::policy::{self, Compiled, Refusal};
use super::{RenderError, Renderer, TEXT_BYTES_MAX, run};

/// The most notifications that a digest shows; what came before them is counted.
pub const ITEMS_MAX: usize = 50;
/// The most characters of each one's message.
const MESSAGE_CHARS_MAX: usize = 400;
/// The most characters of a digest where there is room for a line only: three parts of a text message.
const BRIEF_CHARS_MAX: usize = 459;
/// The most categories that are counted by name.
const COUNTED_MAX: usize = 4;

const HTML_SOURCE: &str = include_str!("../../assets/templates/digest.html.hbs");
const TEXT_SOURCE: &str = include_str!("../../assets/templates/digest.txt.hbs");

/// What lists the notifications of a digest, within the layout of mails.
#[derive(Debug)]
pub(super) struct Layout {
    html: Compiled,
    text: Compiled,
}

impl Layout {
    /// The lists that are built in.
    pub(super) fn compile() -> Result<Layout, Refusal> {
        Ok(Layout { html: policy::compile_layout(HTML_SOURCE)?, text: policy::compile_layout(TEXT_SOURCE)? })
    }
}

/// One notification as a digest shows it. All of it is plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestItem<'a> {
    /// The title.
    pub title: &'a str,
    /// The message.
    pub message: &'a str,
    /// The category's name.
    pub category: &'a str,
    /// The priority's name.
    pub priority: &'a str,
    /// When it came, as the person's clocks showed it.
    pub time: String,
    /// Where its button leads.
    pub url: Option<&'a str>,
}

/// A digest: its items, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestView<'a> {
    /// What is in it.
    pub items: Vec<DigestItem<'a>>,
    /// Whom it is for.
    pub user_id: &'a str,
    /// Where the server is reached.
    pub base_url: Option<&'a str>,
    /// Where the person can unsubscribe.
    pub unsubscribe: Option<&'a str>,
}

/// A digest as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestBody {
    /// One line that says how many there are.
    pub title: String,
    /// The titles, the newest last, for where there is little room; older ones are left out first.
    pub brief: String,
    /// As a mail.
    pub email: EmailBody,
}

impl Renderer {
    /// Renders a digest.
    ///
    /// # Errors
    /// [`RenderError::TooLarge`] over the limits of mails.
    pub fn digest(&self, view: &DigestView<'_>) -> Result<DigestBody, RenderError> {
        let title = format!("{} notifications", view.items.len());
        let (values, name) = (Context::from(values(view)), || "digest".to_owned());
        let text = run(&self.text, &self.digest.text, &values, TEXT_BYTES_MAX, name)?;
        let html = run(&self.html, &self.digest.html, &values, HTML_BYTES_MAX, name)?;
        let inbox = view.base_url.map(|base| format!("{}/inbox", base.trim_end_matches('/')));
        let email = EmailView {
            title: &title,
            message: text.trim_end(),
            action: inbox.as_deref().map(|url| ("Open the inbox", url)),
            priority: "medium",
            category: view.items.last().map_or("", |item| item.category),
            user_id: view.user_id,
            base_url: view.base_url,
            unsubscribe: view.unsubscribe,
        };
        let email = self.email_body(&email, Some(&html), None)?;
        Ok(DigestBody { brief: brief(view), title, email })
    }
}

fn values(view: &DigestView<'_>) -> Value {
    let earlier = view.items.len().saturating_sub(ITEMS_MAX);
    let items = view.items.iter().skip(earlier).map(|item| {
        json!({
            "title": item.title,
            "message": shortened(item.message, MESSAGE_CHARS_MAX),
            "category": item.category,
            "priority": item.priority,
            "urgent": matches!(item.priority, "high" | "critical"),
            "time": item.time,
            "url": item.url.filter(|url| may_link(url)),
        })
    });
    json!({ "summary": summary(view), "earlier": (earlier > 0).then_some(earlier), "items": items.collect::<Vec<Value>>() })
}

/// How many there are of each category, the most first.
fn summary(view: &DigestView<'_>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &view.items {
        *counts.entry(item.category).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others: usize = counts.iter().skip(COUNTED_MAX).map(|(_, count)| count).sum();
    let mut parts: Vec<String> =
        counts.iter().take(COUNTED_MAX).map(|(name, count)| format!("{count} {name}")).collect();
    if others > 0 {
        parts.push(format!("{others} other"));
    }
    parts.join(", ")
}

fn brief(view: &DigestView<'_>) -> String {
    let mut lines = Vec::new();
    let mut left = BRIEF_CHARS_MAX;
    for item in view.items.iter().rev() {
        let line = shortened(item.title, 100);
        let Some(rest) = left.checked_sub(line.chars().count() + 1) else { break };
        left = rest;
        lines.push(line);
    }
    lines.reverse();
    lines.join("\n")
}

fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(count: usize, title: &'static str) -> DigestView<'static> {
        let item = |n: usize| DigestItem {
            title,
            message: "<b>full</b>",
            category: if n.is_multiple_of(3) { "workflow" } else { "system" },
            priority: "high",
            time: format!("Nov {n}, 22:15"),
            url: Some("javascript:alert(1)"),
        };
        DigestView {
            items: (1..=count).map(item).collect(),
            user_id: "anna",
            base_url: Some("https://b.example/"),
            unsubscribe: None,
        }
    }

    fn digest(view: &DigestView<'_>) -> DigestBody {
        Renderer::new().expect("our own templates").digest(view).expect("within the limits")
    }

    #[test]
    fn a_digest_counts_and_lists_with_the_newest_last() {
        let body = digest(&view(5, "Disk <almost> full"));
        assert_eq!(body.title, "5 notifications");
        for text in [&body.email.text, &body.email.html] {
            assert!(text.contains("4 system, 1 workflow"), "{text}");
            let at = |n: usize| text.find(&format!("Nov {n}, ")).expect("it is listed");
            assert!((1..5).all(|n| at(n) < at(n + 1)));
            assert!(!text.contains("javascript:"));
        }
        assert!(body.email.html.contains("Disk &lt;almost&gt; full") && !body.email.html.contains("<b>"));
        assert!(body.email.text.contains("Open the inbox: https://b.example/inbox"));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_the_newest_is_kept() {
        let body = digest(&view(1_000, "Disk"));
        assert!(body.email.text.contains("950 earlier ones are in your inbox."));
        assert!(body.email.text.contains("Nov 1000,") && !body.email.text.contains("Nov 950,"));
    }

    #[test]
    fn the_brief_form_fits_a_text_message() {
        let body = digest(&view(1_000, "A title that is somewhat longer than the others"));
        assert!(body.brief.chars().count() <= BRIEF_CHARS_MAX && body.brief.lines().count() > 5);
    }
}
