//! Somebody else's payload to the fields of a notification: one small template for each field.
//!
//! What a sender leaves out is empty and no error: a mapping is written for payloads that its writer does not control.

use std::collections::BTreeMap;

use handlebars::Handlebars;
use serde_json::Value;

use super::limit::LimitedText;
use super::policy::{self, Kind, STEPS_MAX, Steps};

/// The most bytes that one field may become.
const FIELD_BYTES_MAX: usize = 32 * 1024;

/// Templates by the fields that they fill, compiled.
#[derive(Debug)]
pub struct Mapping {
    handlebars: Handlebars<'static>,
    steps: BTreeMap<String, Steps>,
}

/// A field that cannot be filled, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfilled {
    /// The field.
    pub field: String,
    /// What is wrong.
    pub detail: String,
}

impl Mapping {
    /// Compiles the templates of all fields.
    ///
    /// # Errors
    /// Every field whose template does not compile or is not allowed.
    pub fn compile(fields: &BTreeMap<String, String>) -> Result<Mapping, Vec<Unfilled>> {
        let mut handlebars = super::handlebars(Kind::Text);
        handlebars.set_strict_mode(false);
        let (mut steps, mut wrong) = (BTreeMap::new(), Vec::new());
        for (field, source) in fields {
            match policy::compile(Kind::Text, source) {
                Ok(compiled) => {
                    handlebars.register_template(field, compiled.template);
                    steps.insert(field.clone(), compiled.steps);
                }
                Err(refusal) => wrong.push(Unfilled { field: field.clone(), detail: refusal.to_string() }),
            }
        }
        if wrong.is_empty() { Ok(Mapping { handlebars, steps }) } else { Err(wrong) }
    }

    /// Every field filled from `payload`. This is CPU work: see [`super`].
    ///
    /// # Errors
    /// The first field that cannot be filled.
    pub fn fill(&self, payload: &Value) -> Result<BTreeMap<String, String>, Unfilled> {
        let mut filled = BTreeMap::new();
        for (field, steps) in &self.steps {
            let failed = |detail: String| Unfilled { field: field.clone(), detail };
            let too_large = || failed("what it becomes is too large".to_owned());
            if steps.over(payload) > STEPS_MAX {
                return Err(too_large());
            }
            let mut out = LimitedText::new(FIELD_BYTES_MAX);
            let rendered = self.handlebars.render_to_write(field, payload, &mut out);
            if out.overflowed() {
                return Err(too_large());
            }
            rendered.map_err(|error| failed(error.reason().to_string()))?;
            filled.insert(field.clone(), super::cleaned(&out.into_text()));
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapping(fields: &[(&str, &str)]) -> Result<Mapping, Vec<Unfilled>> {
        Mapping::compile(&fields.iter().map(|(name, source)| ((*name).into(), (*source).into())).collect())
    }

    #[test]
    fn fields_are_filled_as_text_and_what_is_absent_is_empty() {
        let mapping =
            mapping(&[("title", "{{a.b}} <{{none}}>"), ("message", "{{#if c}}yes{{else}}no{{/if}}")]);
        let filled = mapping.expect("both compile").fill(&json!({ "a": { "b": "<&>" } })).expect("both fit");
        assert_eq!((filled["title"].as_str(), filled["message"].as_str()), ("<&> <>", "no"));
    }

    #[test]
    fn every_field_that_does_not_compile_is_named() {
        let wrong = mapping(&[("title", "{{#if}"), ("message", "fine"), ("type", "{{> other}}")]);
        let named: Vec<String> = wrong.expect_err("two are wrong").into_iter().map(|w| w.field).collect();
        assert_eq!(named, ["title", "type"]);
    }

    #[test]
    fn neither_a_long_list_nor_a_long_text_is_rendered_without_end() {
        let nested =
            mapping(&[("title", "{{#each a}}{{#each ../a}}{{#each ../../a}}x{{/each}}{{/each}}{{/each}}")]);
        let list: Vec<u32> = (0..500).collect();
        assert!(nested.expect("it compiles").fill(&json!({ "a": list })).is_err());
        let long = mapping(&[("title", "{{a}}{{a}}")]).expect("it compiles");
        assert!(long.fill(&json!({ "a": "x".repeat(20_000) })).is_err());
    }
}
