//! The page that links in messages lead to, as HTML that needs no script.

use handlebars::Context;
use serde_json::json;

use super::policy::{self, Compiled, Refusal};
use super::{HTML_BYTES_MAX, RenderError, Renderer, run};

const SOURCE: &str = include_str!("../../assets/templates/preferences.html.hbs");

/// One category on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRow {
    /// The category's name.
    pub name: String,
    /// What is said of it, if anything.
    pub note: Option<String>,
    /// Whether it is on.
    pub on: bool,
    /// Whether it cannot be changed here.
    pub fixed: bool,
}

/// What the page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageView {
    /// The heading.
    pub title: String,
    /// What has just happened.
    pub notice: Option<String>,
    /// What can be done here.
    pub detail: Option<String>,
    /// The label of the button that unsubscribes, where there is one.
    pub leave: Option<String>,
    /// Whose page it is.
    pub user_id: String,
    /// The channel, in words.
    pub channel: String,
    /// The categories.
    pub rows: Vec<PageRow>,
}

/// The page as it is compiled.
#[derive(Debug)]
pub(super) struct Page(Compiled);

impl Page {
    /// The page that is built in.
    pub(super) fn compile() -> Result<Page, Refusal> {
        policy::compile_layout(SOURCE).map(Page)
    }
}

impl Renderer {
    /// Renders the page; everything in it is escaped.
    ///
    /// # Errors
    /// [`RenderError::TooLarge`] over [`HTML_BYTES_MAX`].
    pub fn preference_page(&self, view: &PageView) -> Result<String, RenderError> {
        let rows: Vec<_> = view
            .rows
            .iter()
            .map(|row| json!({ "name": row.name, "note": row.note, "on": row.on, "fixed": row.fixed }))
            .collect();
        let values = Context::from(json!({
            "title": view.title,
            "notice": view.notice,
            "detail": view.detail,
            "leave": view.leave,
            "user_id": view.user_id,
            "channel": view.channel,
            "rows": rows,
        }));
        run(&self.html, &self.page.0, &values, HTML_BYTES_MAX, || "preferences".to_owned())
    }
}
