//! Templates: what a kind of notification says, in which words on which channel and in which language.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::channel::Channel;
use crate::model::notification::Priority;

/// The most templates that are stored.
pub const TEMPLATES_MAX: usize = 2_000;
/// The most versions of one template that are kept.
pub const VERSIONS_MAX: usize = 50;
/// The most locales of one template.
pub const LOCALES_MAX: usize = 50;
/// The most bytes of all sources of one template together.
pub const SOURCES_BYTES_MAX: usize = 256 * 1024;
/// The most variables that one template declares.
pub const VARIABLES_MAX: usize = 200;

/// One text of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The title. What it renders to becomes one line.
    Title,
    /// The message as plain text; line breaks are kept.
    Message,
    /// A mail's subject, where it is not the title.
    EmailSubject,
    /// A mail's HTML: a piece that stands in the layout of every mail, or a whole document.
    EmailHtml,
    /// A mail's plain text.
    EmailText,
    /// A text message.
    SmsText,
    /// A push message's first line.
    PushTitle,
    /// A push message's body.
    PushBody,
}

impl Part {
    /// Every part, in the order in which errors name them.
    pub const ALL: [Part; 8] = [
        Part::Title,
        Part::Message,
        Part::EmailSubject,
        Part::EmailHtml,
        Part::EmailText,
        Part::SmsText,
        Part::PushTitle,
        Part::PushBody,
    ];

    /// The field that it is read from and shown as.
    pub const fn field(self) -> &'static str {
        match self {
            Part::Title => "title_template",
            Part::Message => "message_template",
            Part::EmailSubject => "channels.email.subject",
            Part::EmailHtml => "channels.email.html",
            Part::EmailText => "channels.email.text",
            Part::SmsText => "channels.sms.text",
            Part::PushTitle => "channels.browser_push.title",
            Part::PushBody => "channels.browser_push.body",
        }
    }

    /// The part of that field.
    pub fn of_field(field: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.field() == field)
    }

    /// The channel that alone says this; `None` for what every channel says that has nothing of its own.
    pub const fn channel(self) -> Option<Channel> {
        match self {
            Part::Title | Part::Message => None,
            Part::EmailSubject | Part::EmailHtml | Part::EmailText => Some(Channel::Email),
            Part::SmsText => Some(Channel::Sms),
            Part::PushTitle | Part::PushBody => Some(Channel::BrowserPush),
        }
    }

    /// True for what is shown in one line.
    pub const fn is_line(self) -> bool {
        matches!(self, Part::Title | Part::EmailSubject | Part::PushTitle)
    }
}

/// Sources in Handlebars, by what they are for.
pub type Texts = BTreeMap<Part, String>;

/// What a kind of notification says, in Handlebars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The name that a sender asks for it by.
    pub name: String,
    /// The notification's `type`.
    pub kind: String,
    /// What it says where no locale says it otherwise; [`Part::Title`] and [`Part::Message`] are always there.
    pub texts: Texts,
    /// What it says otherwise to those who read another language, by language tag.
    pub locales: BTreeMap<String, Texts>,
    /// The variables without which it does not render, in the order in which an error names them.
    pub variables: Vec<String>,
    /// Variables that may be absent; the template asks for them with `{{#if}}`.
    pub optional: Vec<String>,
    /// The priority where the sender gives none.
    pub priority: Priority,
    /// The category where the sender gives none.
    pub category: String,
}

/// What a workflow's event may carry beside what its template requires.
const WORKFLOW_OPTIONAL: [&str; 7] =
    ["workflow_id", "session_id", "project_id", "message", "progress", "status", "review_url"];

/// The longest part of a language tag is first, then each shorter one (RFC 4647, section 3.4): `pt-BR`, then `pt`.
pub fn lookups(locale: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(locale).filter(|tag| !tag.is_empty()), |tag: &&str| {
        tag.rfind(['-', '_']).and_then(|at| tag.get(..at))
    })
}

/// Whether two language tags are the same: neither case nor the kind of hyphen matters.
pub fn same_locale(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// Why `text` is not a language tag, if it is not.
pub fn check_locale(text: &str) -> Result<(), &'static str> {
    let subtag = |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if starts && text.len() <= 35 && text.split(['-', '_']).all(subtag) {
        Ok(())
    } else {
        Err("must be a language tag such as de or pt-BR")
    }
}

/// Why `text` cannot be a template's name, if it cannot.
pub fn check_template_name(text: &str) -> Result<(), &'static str> {
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
    if starts && text.len() <= 64 && text.bytes().all(rest) {
        Ok(())
    } else {
        Err(
            "must be a letter or a digit, then up to 63 letters, digits, dots, colons, hyphens or underscores",
        )
    }
}

impl Template {
    /// Every required variable that is absent or null in `variables`, in declared order. Where `variables` is not
    /// an object, that is all of them. A name with dots is looked for as it is and as a path.
    pub fn missing(&self, variables: &Value) -> Vec<String> {
        let given = |name: &String| {
            let path = || name.split('.').try_fold(variables, |value, step| value.get(step));
            variables.get(name.as_str()).or_else(path).is_some_and(|value| !value.is_null())
        };
        self.variables.iter().filter(|name| !given(name)).cloned().collect()
    }

    /// The source of `part` for somebody who reads `locale`, and the locale that it is from: the person's, then
    /// their language's, then the default.
    pub fn source(&self, part: Part, locale: Option<&str>) -> Option<(Option<&str>, &str)> {
        let own = |tag: &str| {
            let (name, texts) = self.locales.iter().find(|(name, _)| same_locale(name, tag))?;
            Some((Some(name.as_str()), texts.get(&part)?.as_str()))
        };
        locale
            .and_then(|locale| lookups(locale).find_map(own))
            .or_else(|| Some((None, self.texts.get(&part)?.as_str())))
    }

    /// Every source, with the locale that it is for.
    pub fn sources(&self) -> impl Iterator<Item = (Option<&str>, Part, &str)> {
        let own = self.locales.iter().map(|(locale, texts)| (Some(locale.as_str()), texts));
        std::iter::once((None, &self.texts)).chain(own).flat_map(|(locale, texts)| {
            texts.iter().map(move |(part, source)| (locale, *part, source.as_str()))
        })
    }

    /// The templates that exist before anybody stores one.
    pub fn built_in() -> Vec<Template> {
        vec![review_required(), completed(), failed()]
    }
}

fn review_required() -> Template {
    workflow(
        "workflow_review_required",
        Priority::High,
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
        Priority::Medium,
        &["workflow_name"],
        "Workflow completed: {{workflow_name}}",
        "The workflow \"{{workflow_name}}\" has completed.\
         {{#if message}}\n\n{{message}}{{/if}}",
    )
}

fn failed() -> Template {
    workflow(
        "workflow_failed",
        Priority::High,
        &["workflow_name", "error"],
        "Workflow failed: {{workflow_name}}",
        "The workflow \"{{workflow_name}}\" has failed: {{error}}\
         {{#if message}}\n\n{{message}}{{/if}}",
    )
}

fn workflow(name: &str, priority: Priority, variables: &[&str], title: &str, message: &str) -> Template {
    Template {
        name: name.to_owned(),
        kind: name.to_owned(),
        texts: BTreeMap::from([(Part::Title, title.to_owned()), (Part::Message, message.to_owned())]),
        locales: BTreeMap::new(),
        variables: owned(variables),
        optional: owned(&WORKFLOW_OPTIONAL),
        priority,
        category: "workflow".to_owned(),
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

    #[test]
    fn a_text_is_looked_for_in_the_locale_then_in_the_language_then_in_the_default() {
        let mut template = completed();
        let title = |text: &str| BTreeMap::from([(Part::Title, text.to_owned())]);
        template.locales =
            BTreeMap::from([("pt".to_owned(), title("pt")), ("pt-BR".to_owned(), title("br"))]);
        let of = |locale: &str| template.source(Part::Title, Some(locale)).unwrap().1;
        assert_eq!((of("pt-BR"), of("PT_br"), of("pt-BR-x-y")), ("br", "br", "br"));
        assert_eq!((of("pt-PT"), of("pt")), ("pt", "pt"));
        let default = template.texts[&Part::Title].as_str();
        assert_eq!((of("p"), of("de"), of("")), (default, default, default));
        assert_eq!(template.source(Part::Message, Some("pt")).unwrap().0, None);
        assert_eq!(template.source(Part::SmsText, Some("pt")), None);
    }

    #[test]
    fn a_nested_variable_is_missing_where_any_step_of_its_path_is() {
        let mut template = failed();
        template.variables = owned(&["user.name", "a.b"]);
        assert_eq!(template.missing(&json!({"user": {"name": "Ada"}, "a": 1})), ["a.b"]);
        assert!(template.missing(&json!({"user": {"name": "Ada"}, "a.b": 1})).is_empty());
    }

    #[test]
    fn names_and_locales_hold_nothing_that_a_path_or_a_page_could_trip_over() {
        for good in ["welcome", "order.shipped-v2", "a:b", "9"] {
            assert_eq!(check_template_name(good), Ok(()), "{good}");
        }
        for wrong in ["", ".", "..", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(check_template_name(wrong).is_err(), "{wrong:?}");
        }
        assert!(["de", "pt-BR", "zh_Hant_TW"].iter().all(|good| check_locale(good).is_ok()));
        assert!(
            ["", "-", "de-", "1a", "de DE", "toolongasubtag"]
                .iter()
                .all(|wrong| check_locale(wrong).is_err())
        );
    }
}
