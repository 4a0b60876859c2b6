//! Template and values to text, by Handlebars.
//!
//! Each kind of output has a registry of its own, since HTML escapes what plain text must not. Templates are
//! compiled once and kept. A template and its values may both come from strangers, so everything has a bound: the
//! source, the nesting, the steps a rendering takes and the bytes it gives.
//!
//! **Rendering is CPU work**: tens of microseconds for an ordinary template, and by the bounds below at most in the
//! order of a second for a hostile one. Callers that render templates or values of strangers do it off the async
//! threads.

mod email;
mod limit;
mod policy;

use std::collections::BTreeMap;

use handlebars::{Handlebars, RenderErrorReason};
use serde_json::{Map, Value};

use crate::model::template::Template;

pub use email::{EmailBody, EmailView, HTML_BYTES_MAX};
use limit::LimitedText;
use policy::{Compiled, Kind};
pub use policy::{STEPS_MAX, TEMPLATE_BYTES_MAX};

/// The most bytes that a title and its message have together once they are rendered.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A title and a message without a template left in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// One line, without control characters.
    pub title: String,
    /// Plain text; line breaks are `\n`.
    pub message: String,
    /// What the template says instead in mail.
    pub email: RenderedEmail,
}

/// What a template says instead in mail; `None` where mail says the same as everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedEmail {
    /// The subject, in one line.
    pub subject: Option<String>,
    /// HTML with every value escaped, for [`Renderer::email_with`].
    pub html: Option<String>,
    /// Plain text.
    pub text: Option<String>,
}

/// Why a template was refused or did not render.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Required variables are absent or null: all of them, in declared order.
    #[error("missing variables: {}", .0.join(", "))]
    MissingVariables(Vec<String>),
    /// There is no such template.
    #[error("there is no template of that name")]
    UnknownTemplate,
    /// The template is not acceptable, or these values do not fit it.
    #[error("failed to render template `{template}`{}: {detail}", at(.variable))]
    Failed {
        /// The template and the part of it, such as `workflow_failed/title`.
        template: String,
        /// The variable at fault, where it is one.
        variable: Option<String>,
        /// What is wrong.
        detail: String,
    },
    /// What it renders to has more bytes than allowed, or takes more steps than allowed.
    #[error("what the template renders to is too large")]
    TooLarge,
}

fn at(variable: &Option<String>) -> String {
    variable.as_ref().map_or_else(String::new, |name| format!(" at variable `{name}`"))
}

/// Every template, compiled.
#[derive(Debug)]
pub struct Renderer {
    templates: BTreeMap<String, Template>,
    text: Registry,
    html: Registry,
}

impl Renderer {
    /// A renderer with the built-in templates and the layout of mails.
    ///
    /// # Errors
    /// [`RenderError::Failed`] if one of them does not compile.
    pub fn new() -> Result<Renderer, RenderError> {
        let mut renderer = Renderer {
            templates: BTreeMap::new(),
            text: Registry::new(Kind::Text),
            html: Registry::new(Kind::Html),
        };
        renderer.text.add_layout(email::TEXT_LAYOUT, email::TEXT_LAYOUT_SOURCE)?;
        renderer.html.add_layout(email::HTML_LAYOUT, email::HTML_LAYOUT_SOURCE)?;
        for template in Template::built_in() {
            renderer.add(template)?;
        }
        Ok(renderer)
    }

    /// Compiles `template` and keeps it in the place of one of the same name.
    ///
    /// # Errors
    /// [`RenderError::Failed`] names the part that does not compile or is not allowed; nothing has changed then.
    pub fn add(&mut self, template: Template) -> Result<(), RenderError> {
        let (text, html) = parts(&template);
        let compile = |registry: &Registry, parts: Sources<'_>| {
            let compile = |(name, source): (String, &str)| Ok((registry.compile(&name, source)?, name));
            parts.into_iter().map(compile).collect::<Result<Vec<_>, RenderError>>()
        };
        let (text, html) = (compile(&self.text, text)?, compile(&self.html, html)?);
        self.text.keep(text);
        self.html.keep(html);
        self.templates.insert(template.name.clone(), template);
        Ok(())
    }

    /// The template of that name.
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.templates.get(name)
    }

    /// Every template, in the order of their names.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.values()
    }

    /// Renders a template's title and message, and what it says in mail.
    ///
    /// # Errors
    /// Every way of [`RenderError`]; nothing that `variables` can be makes it panic.
    pub fn render(&self, name: &str, variables: &Value) -> Result<Rendered, RenderError> {
        let template = self.templates.get(name).ok_or(RenderError::UnknownTemplate)?;
        let missing = template.missing(variables);
        if !missing.is_empty() {
            return Err(RenderError::MissingVariables(missing));
        }
        let values = with_nulls(variables, &template.optional);
        let part = |registry: &Registry, part: &str, bytes_max: usize| {
            registry.render(&part_name(name, part), &values, bytes_max)
        };
        let title = one_line(&part(&self.text, TITLE, TEXT_BYTES_MAX)?);
        let message = cleaned(&part(&self.text, MESSAGE, TEXT_BYTES_MAX.saturating_sub(title.len()))?);
        let mut email = RenderedEmail::default();
        if let Some(own) = &template.email {
            if own.subject.is_some() {
                email.subject = Some(one_line(&part(&self.text, SUBJECT, TEXT_BYTES_MAX)?));
            }
            if own.text.is_some() {
                email.text = Some(cleaned(&part(&self.text, TEXT, TEXT_BYTES_MAX)?));
            }
            if own.html.is_some() {
                email.html = Some(part(&self.html, HTML, HTML_BYTES_MAX)?);
            }
        }
        Ok(Rendered { title, message, email })
    }
}

const TITLE: &str = "title";
const MESSAGE: &str = "message";
const SUBJECT: &str = "email.subject";
const TEXT: &str = "email.text";
const HTML: &str = "email.html";

/// The name of one part of a template in a registry. The layouts' names have no `/`, so they cannot meet.
fn part_name(template: &str, part: &str) -> String {
    format!("{template}/{part}")
}

/// Sources under the names that they have in a registry.
type Sources<'t> = Vec<(String, &'t str)>;

/// The parts of a template: those that are plain text, and those that are HTML.
fn parts(template: &Template) -> (Sources<'_>, Sources<'_>) {
    let name = |part: &str| part_name(&template.name, part);
    let mut text = vec![
        (name(TITLE), template.title_template.as_str()),
        (name(MESSAGE), template.message_template.as_str()),
    ];
    let mut html = Vec::new();
    if let Some(email) = &template.email {
        text.extend(email.subject.as_deref().map(|source| (name(SUBJECT), source)));
        text.extend(email.text.as_deref().map(|source| (name(TEXT), source)));
        html.extend(email.html.as_deref().map(|source| (name(HTML), source)));
    }
    (text, html)
}

/// Strict mode refuses a variable that is absent even inside `{{#if}}`: optional ones are null instead.
fn with_nulls(variables: &Value, optional: &[String]) -> Value {
    let mut values = variables.as_object().cloned().unwrap_or_else(Map::new);
    for name in optional {
        values.entry(name.as_str()).or_insert(Value::Null);
    }
    Value::Object(values)
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

/// The compiled templates of one kind of output.
#[derive(Debug)]
struct Registry {
    kind: Kind,
    handlebars: Handlebars<'static>,
    steps: BTreeMap<String, policy::Steps>,
}

impl Registry {
    fn new(kind: Kind) -> Registry {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        // A template has no business in the server's log.
        handlebars.unregister_helper("log");
        handlebars.unregister_helper("raw");
        match kind {
            Kind::Text => handlebars.register_escape_fn(handlebars::no_escape),
            Kind::Html => handlebars.register_escape_fn(handlebars::html_escape),
        }
        Registry { kind, handlebars, steps: BTreeMap::new() }
    }

    fn compile(&self, name: &str, source: &str) -> Result<Compiled, RenderError> {
        policy::compile(self.kind, source).map_err(|detail| failed(name, None, detail))
    }

    fn keep(&mut self, compiled: Vec<(Compiled, String)>) {
        for (compiled, name) in compiled {
            self.handlebars.register_template(&name, compiled.template);
            self.steps.insert(name, compiled.steps);
        }
    }

    /// Adds a layout of our own, which alone may put HTML through as it is.
    fn add_layout(&mut self, name: &str, source: &str) -> Result<(), RenderError> {
        let compiled = policy::compile_layout(source).map_err(|detail| failed(name, None, detail))?;
        self.keep(vec![(compiled, name.to_owned())]);
        Ok(())
    }

    fn render(&self, name: &str, values: &Value, bytes_max: usize) -> Result<String, RenderError> {
        let steps = self.steps.get(name).ok_or(RenderError::UnknownTemplate)?;
        if steps.over(values) > STEPS_MAX {
            return Err(RenderError::TooLarge);
        }
        self.render_own(name, values, bytes_max)
    }

    /// Renders a template whose steps are known to be few: a layout visits each line of its message once.
    fn render_own(&self, name: &str, values: &Value, bytes_max: usize) -> Result<String, RenderError> {
        let mut out = LimitedText::new(bytes_max);
        let result = self.handlebars.render_to_write(name, values, &mut out);
        if out.overflowed() {
            return Err(RenderError::TooLarge);
        }
        result.map_err(|error| {
            let variable = match error.reason() {
                RenderErrorReason::MissingVariable(variable) => variable.clone(),
                _ => None,
            };
            failed(name, variable, error.reason().to_string())
        })?;
        Ok(out.into_text())
    }
}

fn failed(template: &str, variable: Option<String>, detail: String) -> RenderError {
    RenderError::Failed { template: template.to_owned(), variable, detail }
}

#[cfg(test)]
mod tests;
