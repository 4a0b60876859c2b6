//! What a template may contain, decided when it is compiled, and how many steps it takes over given values.
//!
//! Refused: partials and decorators (two that include each other would overflow the stack and end the process),
//! block helpers beside the four below, helpers that there are not, HTML put through unescaped, and nesting that a
//! recursive parser would die of.

use handlebars::template::{BlockParam, HelperTemplate, Parameter, TemplateElement};
use serde_json::Value;

use super::helpers;
use super::needs::{Needs, Scope};

/// The most bytes of one template's source.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// The most elements that one rendering visits, as an upper bound: about a second's work.
pub const STEPS_MAX: u64 = 1_000_000;

/// The bytes of values that a helper goes through in the time that an element takes.
const BYTES_PER_STEP: u64 = 64;

/// The deepest nesting of blocks, and of brackets inside one expression. Far more than a person writes, far less
/// than the parser's recursion bears on a small stack.
const NESTING_MAX: usize = 16;

const BLOCKS: [&str; 4] = ["if", "unless", "each", "with"];

/// What a template renders to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Plain text, nothing escaped.
    Text,
    /// HTML, every value escaped.
    Html,
}

/// A template that is allowed.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The template.
    pub(super) template: handlebars::Template,
    /// What it costs.
    pub(super) steps: Steps,
    /// What it asks for.
    pub(super) needs: Needs,
}

/// Why a source is not allowed, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub detail: String,
    /// Line and column, both from 1, where they are known.
    pub at: Option<(usize, usize)>,
}

impl Refusal {
    fn whole(detail: String) -> Refusal {
        Refusal { detail, at: None }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

/// How many elements and calls of helpers a template has outside of loops, inside one loop, inside two, and so on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps(Vec<(u64, u64)>);

impl Steps {
    /// An upper bound for the elements that are visited when the template is rendered over `values`: each loop is
    /// taken to run over the longest list or object that there is, and each helper to go through all values.
    pub(super) fn over(&self, values: &Value) -> u64 {
        let Size { longest, bytes } = Size::of(values);
        let call = 1 + bytes / BYTES_PER_STEP;
        let mut runs: u64 = 1;
        let mut sum: u64 = 0;
        for (elements, calls) in &self.0 {
            let once = elements.saturating_add(calls.saturating_mul(call));
            sum = sum.saturating_add(once.saturating_mul(runs));
            runs = runs.saturating_mul(longest);
        }
        sum
    }

    fn level(&mut self, loops: usize) -> &mut (u64, u64) {
        if self.0.len() <= loops {
            self.0.resize(loops + 1, (0, 0));
        }
        &mut self.0[loops]
    }
}

/// How much there is of some values.
struct Size {
    /// The length of the longest list or object.
    longest: u64,
    /// About how many bytes they are as text.
    bytes: u64,
}

impl Size {
    /// Request bodies bound how deep values nest.
    fn of(values: &Value) -> Size {
        let inside = |sizes: &mut dyn Iterator<Item = Size>, len: usize| {
            let start = Size { longest: (len as u64).max(1), bytes: 2 };
            sizes.fold(start, |sum, size| Size {
                longest: sum.longest.max(size.longest),
                bytes: sum.bytes.saturating_add(size.bytes),
            })
        };
        match values {
            Value::Null | Value::Bool(_) | Value::Number(_) => Size { longest: 1, bytes: 8 },
            Value::String(text) => Size { longest: 1, bytes: text.len() as u64 },
            Value::Array(items) => inside(&mut items.iter().map(Size::of), items.len()),
            Value::Object(fields) => inside(
                &mut fields.iter().map(|(name, value)| {
                    let size = Size::of(value);
                    Size { bytes: size.bytes.saturating_add(name.len() as u64), ..size }
                }),
                fields.len(),
            ),
        }
    }
}

/// Compiles a template that may come from a stranger.
pub(super) fn compile(kind: Kind, source: &str) -> Result<Compiled, Refusal> {
    compile_with(source, kind == Kind::Text)
}

/// Compiles a layout of our own, which may put HTML through that was escaped before.
pub(super) fn compile_layout(source: &str) -> Result<Compiled, Refusal> {
    compile_with(source, true)
}

fn compile_with(source: &str, raw_allowed: bool) -> Result<Compiled, Refusal> {
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(Refusal::whole(format!("it has {} bytes, more than {TEMPLATE_BYTES_MAX}", source.len())));
    }
    refuse_deep_nesting(source)?;
    let template = handlebars::Template::compile(source)
        .map_err(|error| Refusal { detail: error.reason().to_string(), at: error.pos() })?;
    let mut walk = Walk { raw_allowed, steps: Steps::default(), needs: Needs::default() };
    walk.template(&template, Place::default())?;
    Ok(Compiled { template, steps: walk.steps, needs: walk.needs })
}

/// Looks at the source before the recursive parser does.
fn refuse_deep_nesting(source: &str) -> Result<(), Refusal> {
    // One entry per open block: one level, and one more for each `{{else if}}` of its chain.
    let mut blocks: Vec<usize> = Vec::new();
    let mut levels = 0;
    let mut at = source.split("{{").next().map_or(0, str::len);
    for expression in source.split("{{").skip(1) {
        let inside = expression.split("}}").next().unwrap_or_default();
        let inside = inside.trim_matches(|c: char| matches!(c, '~' | '{') || c.is_whitespace());
        match inside.as_bytes() {
            [b'#', ..] | [b'^', _, ..] => {
                blocks.push(1);
                levels += 1;
            }
            [b'/', ..] => levels -= blocks.pop().unwrap_or_default(),
            [b'e', b'l', b's', b'e', _, ..] => {
                if let Some(chain) = blocks.last_mut() {
                    *chain += 1;
                    levels += 1;
                }
            }
            _ => {}
        }
        if levels > NESTING_MAX || brackets(inside) > NESTING_MAX {
            let detail = format!("it nests deeper than {NESTING_MAX} levels");
            return Err(Refusal { detail, at: Some(position(source, at)) });
        }
        at += 2 + expression.len();
    }
    Ok(())
}

/// The line and the column of a byte of `source`.
fn position(source: &str, at: usize) -> (usize, usize) {
    let before = source.get(..at).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// How deep the brackets inside one expression nest. Those inside a quoted text count as well, which only makes it
/// stricter.
fn brackets(expression: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Where in a template an element stands.
#[derive(Clone, Default)]
struct Place {
    loops: usize,
    scope: Scope,
}

struct Walk {
    raw_allowed: bool,
    steps: Steps,
    needs: Needs,
}

impl Walk {
    fn template(&mut self, template: &handlebars::Template, place: Place) -> Result<(), Refusal> {
        template.elements.iter().enumerate().try_for_each(|(index, element)| {
            let at = template.mapping.get(index).map(|at| (at.0, at.1));
            let element = self.element(element, &place);
            element.map_err(|refusal| Refusal { at: refusal.at.or(at), ..refusal })
        })
    }

    fn element(&mut self, element: &TemplateElement, place: &Place) -> Result<(), Refusal> {
        self.steps.level(place.loops).0 += 1;
        let refuse = |detail: &str| Err(Refusal::whole(detail.to_owned()));
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => Ok(()),
            TemplateElement::Expression(expression) => self.expression(expression, place, false),
            TemplateElement::HtmlExpression(expression) if self.raw_allowed => {
                self.expression(expression, place, false)
            }
            TemplateElement::HtmlExpression(_) => {
                refuse("a value in HTML is always escaped: write it with two braces")
            }
            TemplateElement::HelperBlock(block) => self.block(block, place),
            TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
                refuse("it includes a partial, which is not allowed")
            }
            TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                refuse("it has a decorator, which is not allowed")
            }
            // The crate may learn new elements: they are refused until they are known here.
            _ => refuse("it has an element that is not allowed"),
        }
    }

    /// A value, or a call of a helper. What a caller can do without is `guarded`.
    fn expression(
        &mut self,
        expression: &HelperTemplate,
        place: &Place,
        guarded: bool,
    ) -> Result<(), Refusal> {
        let name = expression.name.as_name().unwrap_or_default();
        if expression.params.is_empty() && expression.hash.is_empty() {
            if BLOCKS.contains(&name) {
                return Err(Refusal::whole(format!("`{name}` is written as a block: {{{{#{name} …}}}}")));
            }
            return self.parameter(&expression.name, place, guarded);
        }
        let helper = helpers::named(name).ok_or_else(|| {
            let known = helpers::names().collect::<Vec<_>>().join(", ");
            Refusal::whole(format!("there is no helper `{name}`; there are {known}"))
        })?;
        let takes = &helper.takes;
        if !takes.contains(&expression.params.len()) {
            let wanted = if takes.start() == takes.end() {
                takes.start().to_string()
            } else {
                format!("{} to {}", takes.start(), takes.end())
            };
            let given = expression.params.len();
            return Err(Refusal::whole(format!("`{name}` takes {wanted} values, and this gives it {given}")));
        }
        for option in expression.hash.keys() {
            if !helper.options.contains(&option.as_str()) {
                let known = helper.options.join(", ");
                let known = if known.is_empty() { "none".to_owned() } else { known };
                return Err(Refusal::whole(format!(
                    "`{name}` knows no option `{option}`; it knows: {known}"
                )));
            }
        }
        if let Some(option) = helper.must.iter().find(|option| !expression.hash.contains_key(**option)) {
            return Err(Refusal::whole(format!("`{name}` needs the option `{option}`")));
        }
        self.steps.level(place.loops).1 += 1;
        let guarded = guarded || helper.guards;
        let params = expression.params.iter().chain(expression.hash.values());
        params.into_iter().try_for_each(|param| self.parameter(param, place, guarded))
    }

    fn parameter(&mut self, parameter: &Parameter, place: &Place, guarded: bool) -> Result<(), Refusal> {
        match parameter {
            Parameter::Literal(_) => Ok(()),
            Parameter::Path(_) | Parameter::Name(_) => {
                let path = parameter.as_name().unwrap_or_default();
                if guarded {
                    place.scope.guard(path, &mut self.needs);
                }
                place.scope.read(path, &mut self.needs);
                Ok(())
            }
            Parameter::Subexpression(inner) => match inner.as_element() {
                TemplateElement::Expression(expression) => {
                    // As a value, unlike on its own, a name in brackets is a call even without parameters.
                    if expression.params.is_empty() {
                        return Err(Refusal::whole("a call in brackets needs at least one value".to_owned()));
                    }
                    self.expression(expression, place, guarded)
                }
                _ => Err(Refusal::whole("it has an element that is not allowed".to_owned())),
            },
            _ => Err(Refusal::whole("it has a value that is not allowed".to_owned())),
        }
    }

    fn block(&mut self, block: &HelperTemplate, place: &Place) -> Result<(), Refusal> {
        let name = block.name.as_name().unwrap_or_default();
        if !BLOCKS.contains(&name) {
            return Err(Refusal::whole(format!("the block `{name}` is not one of {}", BLOCKS.join(", "))));
        }
        let [subject] = block.params.as_slice() else {
            return Err(Refusal::whole(format!("`{name}` takes one value")));
        };
        let asks = matches!(name, "if" | "unless");
        let plain = |(option, value): (&String, &Parameter)| {
            asks && option == "includeZero" && matches!(value, Parameter::Literal(_))
        };
        if !block.hash.iter().all(plain) {
            return Err(Refusal::whole(format!("`{name}` has an option that it does not know")));
        }
        self.parameter(subject, place, asks || block.inverse.is_some())?;
        if !asks && !matches!(subject, Parameter::Path(_)) {
            return Err(Refusal::whole(format!("`{name}` goes over a variable and nothing else")));
        }
        let path = subject.as_name().unwrap_or_default();
        let inner = match name {
            "each" => {
                // A turn of a loop costs something even where its body is empty.
                self.steps.level(place.loops + 1).0 += 1;
                Place { loops: place.loops + 1, scope: place.scope.in_loop(given(block)) }
            }
            "with" => Place { loops: place.loops, scope: place.scope.in_with(path, given(block)) },
            _ => place.clone(),
        };
        block.template.iter().try_for_each(|template| self.template(template, inner.clone()))?;
        block.inverse.iter().try_for_each(|template| self.template(template, place.clone()))
    }
}

/// The names that a block gives to what it goes over: `as |item index|`.
fn given(block: &HelperTemplate) -> Vec<String> {
    let name = |parameter: &Parameter| parameter.as_name().map(str::to_owned);
    match &block.block_param {
        Some(BlockParam::Single(item)) => name(item).into_iter().collect(),
        Some(BlockParam::Pair((item, index))) => name(item).into_iter().chain(name(index)).collect(),
        _ => Vec::new(),
    }
}
