//! What a template may contain, decided when it is compiled, and how many steps it takes over given values.
//!
//! Refused: partials and decorators (two that include each other would overflow the stack and end the process),
//! block helpers beside the four below, HTML put through unescaped, and nesting that a recursive parser would die of.

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use serde_json::Value;

/// The most bytes of one template's source.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// The most elements that one rendering visits, as an upper bound: about a second's work.
pub const STEPS_MAX: u64 = 1_000_000;

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
}

/// How many elements a template has outside of loops, inside one loop, inside two, and so on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps(Vec<u64>);

impl Steps {
    /// An upper bound for the elements that are visited when the template is rendered over `values`: each loop is
    /// taken to run over the longest list or object that there is.
    pub(super) fn over(&self, values: &Value) -> u64 {
        let longest = longest(values) as u64;
        let mut runs: u64 = 1;
        let mut sum: u64 = 0;
        for elements in &self.0 {
            sum = sum.saturating_add(elements.saturating_mul(runs));
            runs = runs.saturating_mul(longest);
        }
        sum
    }

    fn add(&mut self, loops: usize) {
        if self.0.len() <= loops {
            self.0.resize(loops + 1, 0);
        }
        self.0[loops] += 1;
    }
}

/// The length of the longest list or object in `values`. Request bodies bound how deep they nest.
fn longest(values: &Value) -> usize {
    match values {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        Value::Array(items) => items.iter().map(longest).max().unwrap_or(0).max(items.len()),
        Value::Object(fields) => fields.values().map(longest).max().unwrap_or(0).max(fields.len()),
    }
}

/// Compiles a template that may come from a stranger. The error finishes "failed to render".
pub(super) fn compile(kind: Kind, source: &str) -> Result<Compiled, String> {
    compile_with(source, kind == Kind::Text)
}

/// Compiles a layout of our own, which may put HTML through that was escaped before.
pub(super) fn compile_layout(source: &str) -> Result<Compiled, String> {
    compile_with(source, true)
}

fn compile_with(source: &str, raw_allowed: bool) -> Result<Compiled, String> {
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {TEMPLATE_BYTES_MAX}", source.len()));
    }
    refuse_deep_nesting(source)?;
    let template = handlebars::Template::compile(source).map_err(|error| error.to_string())?;
    let mut walk = Walk { raw_allowed, steps: Steps::default() };
    walk.template(&template, 0)?;
    Ok(Compiled { template, steps: walk.steps })
}

/// Looks at the source before the recursive parser does.
fn refuse_deep_nesting(source: &str) -> Result<(), String> {
    // One entry per open block: one level, and one more for each `{{else if}}` of its chain.
    let mut blocks: Vec<usize> = Vec::new();
    for expression in source.split("{{").skip(1) {
        let inside = expression.split("}}").next().unwrap_or_default();
        let inside = inside.trim_matches(|c: char| matches!(c, '~' | '{') || c.is_whitespace());
        match inside.as_bytes() {
            [b'#', ..] | [b'^', _, ..] => blocks.push(1),
            [b'/', ..] => drop(blocks.pop()),
            [b'e', b'l', b's', b'e', _, ..] => {
                if let Some(chain) = blocks.last_mut() {
                    *chain += 1;
                }
            }
            _ => {}
        }
        if blocks.iter().sum::<usize>() > NESTING_MAX || brackets(inside) > NESTING_MAX {
            return Err(format!("it nests deeper than {NESTING_MAX} levels"));
        }
    }
    Ok(())
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

struct Walk {
    raw_allowed: bool,
    steps: Steps,
}

impl Walk {
    fn template(&mut self, template: &handlebars::Template, loops: usize) -> Result<(), String> {
        template.elements.iter().try_for_each(|element| self.element(element, loops))
    }

    fn element(&mut self, element: &TemplateElement, loops: usize) -> Result<(), String> {
        self.steps.add(loops);
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) | TemplateElement::Expression(_) => {
                Ok(())
            }
            TemplateElement::HtmlExpression(_) if self.raw_allowed => Ok(()),
            TemplateElement::HtmlExpression(_) => {
                Err("a value in HTML is always escaped: write it with two braces".to_owned())
            }
            TemplateElement::HelperBlock(block) => self.block(block, loops),
            TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
                Err("it includes a partial, which is not allowed".to_owned())
            }
            TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                Err("it has a decorator, which is not allowed".to_owned())
            }
            // The crate may learn new elements: they are refused until they are known here.
            _ => Err("it has an element that is not allowed".to_owned()),
        }
    }

    fn block(&mut self, block: &HelperTemplate, loops: usize) -> Result<(), String> {
        let name = block.name.as_name().unwrap_or_default();
        if !BLOCKS.contains(&name) {
            return Err(format!("the block `{name}` is not one of {}", BLOCKS.join(", ")));
        }
        let inner = if name == "each" {
            if !matches!(block.params.first(), Some(Parameter::Path(_))) {
                return Err("`each` goes over a variable and nothing else".to_owned());
            }
            // A turn of a loop costs something even where its body is empty.
            self.steps.add(loops + 1);
            loops + 1
        } else {
            loops
        };
        block.template.iter().try_for_each(|template| self.template(template, inner))?;
        block.inverse.iter().try_for_each(|template| self.template(template, loops))
    }
}
