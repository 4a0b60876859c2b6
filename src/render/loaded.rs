//! A template ready to be rendered: every source of it compiled, and what it asks for known.

use std::collections::BTreeMap;
use std::fmt;

use handlebars::Context;

use super::policy::{self, Compiled, Kind, Refusal};
use super::{Map, Millis, Reader, RenderError, Value};
use crate::model::channel::Channel;
use crate::model::template::{Part, Template};
use crate::render::needs::Needs;

/// More steps than this take longer than an async thread may be held.
const HEAVY_STEPS: u64 = 2_000;

/// Everything that keeps a template from being taken, each under its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The field, such as `locales.de.channels.sms.text`, and what is wrong with it.
    pub errors: Vec<(String, Refusal)>,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.errors.iter().map(|(field, refusal)| format!("{field}: {refusal}"));
        f.write_str(&each.collect::<Vec<_>>().join("; "))
    }
}

type Parts = BTreeMap<Part, Compiled>;

/// A template with all that was compiled of it.
#[derive(Debug)]
pub struct Loaded {
    template: Template,
    version: u32,
    stored_at: Option<Millis>,
    /// Under the empty text what holds for everybody; an error where it was stored by a version that allowed it.
    parts: Result<BTreeMap<String, Parts>, String>,
}

impl Loaded {
    /// The template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Its version; 0 for one that is built in.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// When this version was stored.
    pub fn stored_at(&self) -> Option<Millis> {
        self.stored_at
    }

    /// Why it cannot be rendered, where it was stored and does not compile any more.
    pub fn trouble(&self) -> Option<&str> {
        self.parts.as_ref().err().map(String::as_str)
    }

    /// The same as version `version`, stored at `at`.
    pub fn as_version(self, version: u32, at: Millis) -> Loaded {
        Loaded { version, stored_at: Some(at), ..self }
    }

    /// A stored template that does not compile: it is kept, shown and reported, and renders to nothing.
    pub fn broken(template: Template, version: u32, at: Millis, why: String) -> Loaded {
        Loaded { template, version, stored_at: Some(at), parts: Err(why) }
    }

    /// Whether rendering it over `variables` may take longer than an async thread may be held.
    pub fn is_heavy(&self, variables: &Value) -> bool {
        let parts = self.parts.iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        parts.map(|compiled| compiled.steps.over(variables)).max().unwrap_or(0) > HEAVY_STEPS
    }

    /// Whether it says something else on some channel or in some language.
    pub fn varies(&self) -> bool {
        !self.template.locales.is_empty() || self.template.texts.keys().any(|part| part.channel().is_some())
    }

    /// Whether its title or its message is there in the words of `locale`.
    pub fn knows(&self, locale: Option<&str>) -> bool {
        [Part::Title, Part::Message]
            .into_iter()
            .any(|part| self.template.source(part, locale).is_some_and(|(from, _)| from.is_some()))
    }

    /// Whether it says something of its own on `channel`, in any language.
    pub fn speaks_on(&self, channel: Channel) -> bool {
        let mut parts = self.template.sources().map(|(_, part, _)| part);
        parts.any(|part| part.channel() == Some(channel))
    }

    /// What it is rendered over: `variables`, null where an optional one is absent, and what the helpers need.
    pub(super) fn context(&self, variables: &Value, reader: &Reader) -> Result<Context, RenderError> {
        let missing = self.template.missing(variables);
        if !missing.is_empty() {
            return Err(RenderError::MissingVariables(missing));
        }
        let mut values = variables.as_object().cloned().unwrap_or_else(Map::new);
        // Strict mode refuses a variable that is absent: optional ones are null instead.
        for name in &self.template.optional {
            values.entry(name.as_str()).or_insert(Value::Null);
        }
        reader.join(&mut values);
        Ok(Context::from(Value::Object(values)))
    }

    /// What is compiled of `part`, in the words of `locale` or the nearest that there are.
    pub(super) fn part(&self, part: Part, locale: Option<&str>) -> Result<Option<&Compiled>, RenderError> {
        let parts = self.parts.as_ref().map_err(|why| RenderError::Failed {
            template: self.template.name.clone(),
            detail: why.clone(),
        })?;
        let Some((from, _)) = self.template.source(part, locale) else { return Ok(None) };
        Ok(parts.get(from.unwrap_or_default()).and_then(|parts| parts.get(&part)))
    }
}

/// Compiles every source of `template`, and adds to its variables what it reads and does not declare.
pub(super) fn compile(mut template: Template) -> Result<Loaded, Unfit> {
    let mut parts: BTreeMap<String, Parts> = BTreeMap::new();
    let (mut needs, mut errors) = (Needs::default(), Vec::new());
    for (locale, part, source) in template.sources() {
        let kind = if part == Part::EmailHtml { Kind::Html } else { Kind::Text };
        match policy::compile(kind, source) {
            Ok(mut compiled) => {
                needs.add(std::mem::take(&mut compiled.needs));
                parts.entry(locale.unwrap_or_default().to_owned()).or_default().insert(part, compiled);
            }
            Err(refusal) => {
                let prefix = locale.map(|locale| format!("locales.{locale}.")).unwrap_or_default();
                errors.push((format!("{prefix}{}", part.field()), refusal));
            }
        }
    }
    if !errors.is_empty() {
        return Err(Unfit { errors });
    }
    let declared = |template: &Template, path: &str| {
        let root = path.split('.').next().unwrap_or_default();
        template.variables.iter().any(|name| name == path)
            || template.optional.iter().any(|name| name == path || name == root)
    };
    for path in needs.required() {
        if !declared(&template, path) {
            template.variables.push(path.to_owned());
        }
    }
    for name in needs.optional() {
        let known = template.variables.iter().chain(&template.optional).any(|known| known == name);
        if !known {
            template.optional.push(name.to_owned());
        }
    }
    Ok(Loaded { template, version: 0, stored_at: None, parts: Ok(parts) })
}
