//! Templates: what a kind of notification says, and which variables it needs to say it.

use serde_json::Value;

/// What a kind of notification says, in Handlebars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The name that a sender asks for it by, in snake_case.
    pub name: String,
    /// The notification's `type`.
    pub kind: String,
    /// The title. What it renders to becomes one line.
    pub title_template: String,
    /// The message as plain text; line breaks are kept.
    pub message_template: String,
    /// The variables without which it does not render, in the order in which an error names them.
    pub variables: Vec<String>,
    /// Variables that may be absent; the template asks for them with `{{#if}}`.
    pub optional: Vec<String>,
    /// The priority where the sender gives none.
    pub priority: String,
    /// The category where the sender gives none.
    pub category: String,
    /// What mail says instead, where that differs.
    pub email: Option<EmailTemplate>,
}

/// What a mail says instead of the title and the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmailTemplate {
    /// The subject.
    pub subject: Option<String>,
    /// The HTML that stands in the place of the message, inside the layout that every mail has.
    pub html: Option<String>,
    /// The plain text that stands in the place of the message.
    pub text: Option<String>,
}

/// What a workflow's event may carry beside what its template requires.
const WORKFLOW_OPTIONAL: [&str; 7] =
    ["workflow_id", "session_id", "project_id", "message", "progress", "status", "review_url"];

impl Template {
    /// Every required variable that is absent or null in `variables`, in declared order. Where `variables` is not
    /// an object, that is all of them.
    pub fn missing(&self, variables: &Value) -> Vec<String> {
        let given = |name: &String| variables.get(name.as_str()).is_some_and(|value| !value.is_null());
        self.variables.iter().filter(|name| !given(name)).cloned().collect()
    }

    /// The templates that exist before anybody stores one.
    pub fn built_in() -> Vec<Template> {
        vec![review_required(), completed(), failed()]
    }
}

fn review_required() -> Template {
    workflow(
        "workflow_review_required",
        "high",
        &["workflow_name", "stage"],
        "Review required: {{workflow_name}}",
        "The workflow \"{{workflow_name}}\" waits for your review at the stage \"{{stage}}\".\
         {{#if message}}\n\n{{message}}{{/if}}\
         {{#if review_url}}\n\nReview it at {{review_url}}{{/if}}",
    )
}

fn completed() -> Template {
    workflow(
        "workflow_completed",
        "medium",
        &["workflow_name"],
        "Workflow completed: {{workflow_name}}",
        "The workflow \"{{workflow_name}}\" has completed.\
         {{#if message}}\n\n{{message}}{{/if}}",
    )
}

fn failed() -> Template {
    workflow(
        "workflow_failed",
        "high",
        &["workflow_name", "error"],
        "Workflow failed: {{workflow_name}}",
        "The workflow \"{{workflow_name}}\" has failed: {{error}}\
         {{#if message}}\n\n{{message}}{{/if}}",
    )
}

fn workflow(name: &str, priority: &str, variables: &[&str], title: &str, message: &str) -> Template {
    Template {
        name: name.to_owned(),
        kind: name.to_owned(),
        title_template: title.to_owned(),
        message_template: message.to_owned(),
        variables: owned(variables),
        optional: owned(&WORKFLOW_OPTIONAL),
        priority: priority.to_owned(),
        category: "workflow".to_owned(),
        email: None,
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_missing_variables_are_named_at_once_in_declared_order() {
        let template = review_required();
        assert_eq!(template.missing(&json!({})), ["workflow_name", "stage"]);
        assert_eq!(template.missing(&json!({"stage": "final"})), ["workflow_name"]);
        assert_eq!(template.missing(&json!("no object")), ["workflow_name", "stage"]);
    }

    #[test]
    fn a_variable_that_is_null_is_missing_and_one_that_is_empty_or_zero_is_not() {
        let template = failed();
        assert_eq!(template.missing(&json!({"workflow_name": "", "error": null})), ["error"]);
        assert!(template.missing(&json!({"workflow_name": 0, "error": false})).is_empty());
    }
}
