//! Template and values to text, by Handlebars.
//!
//! Each kind of output has a registry of its own, since HTML escapes what plain text must not. Templates are
//! compiled once and kept. A template and its values may both come from strangers, so everything has a bound: the
//! source, the nesting, the steps a rendering takes and the bytes it gives.
//!
//! **Rendering is CPU work**: tens of microseconds for an ordinary template, and by the bounds below at most in the
//! order of a second for a hostile one. [`Loaded::is_heavy`] says what belongs off the async threads.

mod digest;
mod email;
mod helpers;
mod limit;
mod loaded;
pub mod mapping;
mod needs;
mod page;
mod policy;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use handlebars::{Context, Handlebars, RenderContext, RenderErrorReason, Renderable, WriteOutput};
use serde_json::{Map, Value};

use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::template::{Part, Template, Texts};

pub use digest::{DigestBody, DigestItem, DigestView};
pub use email::{Composed, EmailBody, EmailView, HTML_BYTES_MAX};
pub use helpers::Reader;
use limit::LimitedText;
pub use loaded::{Loaded, Unfit};
pub use page::{PageRow, PageView};
use policy::{Compiled, Kind};
pub use policy::{Refusal, STEPS_MAX, TEMPLATE_BYTES_MAX};

/// The most bytes that a title and its message have together once they are rendered.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A title and a message without a template left in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// One line, without control characters.
    pub title: String,
    /// Plain text; line breaks are `\n`.
    pub message: String,
}

/// Why a template did not render.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Required variables are absent or null: all of them, in declared order.
    #[error("missing variables: {}", .0.join(", "))]
    MissingVariables(Vec<String>),
    /// There is no such template.
    #[error("there is no template of that name")]
    UnknownTemplate,
    /// These values do not fit the template, or it was stored by a version that allowed more.
    #[error("failed to render template `{template}`: {detail}")]
    Failed {
        /// The template and the part of it, such as `workflow_failed/title_template`.
        template: String,
        /// What is wrong.
        detail: String,
    },
    /// What it renders to has more bytes than allowed, or takes more steps than allowed.
    #[error("what the template renders to is too large")]
    TooLarge,
}

/// Every template, compiled.
#[derive(Debug)]
pub struct Renderer {
    text: Handlebars<'static>,
    html: Handlebars<'static>,
    layout: email::Layout,
    digest: digest::Layout,
    page: page::Page,
    built_in: BTreeMap<String, Arc<Loaded>>,
    /// Those that are asked for by name: what is stored, and what is built in where nothing of that name is.
    templates: ArcSwap<BTreeMap<String, Arc<Loaded>>>,
}

impl Renderer {
    /// A renderer with the built-in templates and the layout of mails.
    ///
    /// # Errors
    /// [`RenderError::Failed`] if one of them does not compile.
    pub fn new() -> Result<Renderer, RenderError> {
        let failed =
            |template: &str, detail: String| RenderError::Failed { template: template.to_owned(), detail };
        let layout = email::Layout::compile().map_err(|refusal| failed("layout", refusal.to_string()))?;
        let digest = digest::Layout::compile().map_err(|refusal| failed("digest", refusal.to_string()))?;
        let page = page::Page::compile().map_err(|refusal| failed("preferences", refusal.to_string()))?;
        let mut built_in = BTreeMap::new();
        for template in Template::built_in() {
            let name = template.name.clone();
            let compiled = loaded::compile(template).map_err(|unfit| failed(&name, unfit.to_string()))?;
            built_in.insert(name, Arc::new(compiled));
        }
        Ok(Renderer {
            text: handlebars(Kind::Text),
            html: handlebars(Kind::Html),
            layout,
            digest,
            page,
            templates: ArcSwap::from_pointee(built_in.clone()),
            built_in,
        })
    }

    /// Compiles a template without keeping it. A template is compiled off the async threads.
    ///
    /// # Errors
    /// Everything in it that does not compile or is not allowed.
    pub fn compile(&self, template: Template) -> Result<Loaded, Unfit> {
        loaded::compile(template)
    }

    /// Keeps a template in the place of one of the same name.
    pub fn keep(&self, loaded: Arc<Loaded>) {
        self.change(|templates| drop(templates.insert(loaded.template().name.clone(), loaded.clone())));
    }

    /// Forgets a stored template; one that is built in comes back.
    pub fn forget(&self, name: &str) {
        self.change(|templates| match self.built_in.get(name) {
            Some(built_in) => drop(templates.insert(name.to_owned(), built_in.clone())),
            None => drop(templates.remove(name)),
        });
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<String, Arc<Loaded>>)) {
        self.templates.rcu(|templates| {
            let mut templates = BTreeMap::clone(templates);
            change(&mut templates);
            templates
        });
    }

    /// The template of that name.
    pub fn template(&self, name: &str) -> Option<Arc<Loaded>> {
        self.templates.load().get(name).cloned()
    }

    /// The built-in template of that name, whether or not another stands in its place.
    pub fn built_in(&self, name: &str) -> Option<Arc<Loaded>> {
        self.built_in.get(name).cloned()
    }

    /// Templates in the order of their names, after `after`.
    pub fn templates(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Loaded>> {
        let templates = self.templates.load();
        let later = templates.iter().filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
        later.take(limit).map(|(_, loaded)| loaded.clone()).collect()
    }

    /// How many templates are stored.
    pub fn stored_len(&self) -> usize {
        self.templates.load().values().filter(|loaded| loaded.version() > 0).count()
    }

    /// Renders a template's title and message for `reader`.
    ///
    /// # Errors
    /// Every way of [`RenderError`]; nothing that `variables` can be makes it panic.
    pub fn render(
        &self,
        loaded: &Loaded,
        variables: &Value,
        reader: &Reader,
    ) -> Result<Rendered, RenderError> {
        let context = loaded.context(variables, reader)?;
        let title = self.part(loaded, Part::Title, &context, reader, TEXT_BYTES_MAX)?.unwrap_or_default();
        let left = TEXT_BYTES_MAX.saturating_sub(title.len());
        let message = self.part(loaded, Part::Message, &context, reader, left)?.unwrap_or_default();
        Ok(Rendered { title, message })
    }

    /// Renders what a template says on `channel` alone. Empty where it says the same there as everywhere.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn render_own(
        &self,
        loaded: &Loaded,
        channel: Channel,
        variables: &Value,
        reader: &Reader,
    ) -> Result<Texts, RenderError> {
        let mut own = Texts::new();
        if !loaded.speaks_on(channel) {
            return Ok(own);
        }
        let context = loaded.context(variables, reader)?;
        for part in Part::ALL.into_iter().filter(|part| part.channel() == Some(channel)) {
            let bytes_max = if part == Part::EmailHtml { HTML_BYTES_MAX } else { TEXT_BYTES_MAX };
            if let Some(text) = self.part(loaded, part, &context, reader, bytes_max)? {
                own.insert(part, text);
            }
        }
        Ok(own)
    }

    fn part(
        &self,
        loaded: &Loaded,
        part: Part,
        context: &Context,
        reader: &Reader,
        bytes_max: usize,
    ) -> Result<Option<String>, RenderError> {
        let Some(compiled) = loaded.part(part, reader.locale.as_deref())? else { return Ok(None) };
        if compiled.steps.over(context.data()) > STEPS_MAX {
            return Err(RenderError::TooLarge);
        }
        let registry = if part == Part::EmailHtml { &self.html } else { &self.text };
        let name = || format!("{}/{}", loaded.template().name, part.field());
        let text = run(registry, compiled, context, bytes_max, name)?;
        Ok(Some(match part {
            Part::EmailHtml => text,
            line if line.is_line() => one_line(&text),
            _ => cleaned(&text),
        }))
    }
}

/// Renders into at most `bytes_max` bytes.
fn run(
    registry: &Handlebars<'static>,
    compiled: &Compiled,
    context: &Context,
    bytes_max: usize,
    name: impl FnOnce() -> String,
) -> Result<String, RenderError> {
    let mut text = LimitedText::new(bytes_max);
    let mut state = RenderContext::new(None);
    let result = compiled.template.render(registry, context, &mut state, &mut WriteOutput::new(&mut text));
    if text.overflowed() {
        return Err(RenderError::TooLarge);
    }
    result.map_err(|error| match error.reason() {
        RenderErrorReason::MissingVariable(Some(path)) => RenderError::MissingVariables(vec![path.clone()]),
        reason => RenderError::Failed { template: name(), detail: reason.to_string() },
    })?;
    Ok(text.into_text())
}

/// The registry of one kind of output: its helpers, and how it escapes.
fn handlebars(kind: Kind) -> Handlebars<'static> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    helpers::register(&mut handlebars);
    match kind {
        Kind::Text => handlebars.register_escape_fn(handlebars::no_escape),
        Kind::Html => handlebars.register_escape_fn(handlebars::html_escape),
    }
    handlebars
}

/// One line: every run of white space and control characters is a single space.
fn one_line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || c.is_whitespace();
    text.split(breaks).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Plain text with `\n` for every line break, and no control character but that and the tabulator.
pub fn cleaned(text: &str) -> String {
    let unix = text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}'], "\n");
    unix.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests;
