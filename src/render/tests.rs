//! Claims about rendering: what the built-in templates say, what is refused, and what cannot get out of bounds.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::template::EmailTemplate;

fn renderer() -> Renderer {
    Renderer::new().unwrap()
}

fn template(message: &str) -> Template {
    Template {
        name: "own".to_owned(),
        kind: "own".to_owned(),
        title_template: "Title".to_owned(),
        message_template: message.to_owned(),
        variables: Vec::new(),
        optional: Vec::new(),
        priority: "low".to_owned(),
        category: "system".to_owned(),
        email: None,
    }
}

fn with_html(html: &str) -> Template {
    let email = EmailTemplate { html: Some(html.to_owned()), ..EmailTemplate::default() };
    Template { email: Some(email), ..template("Message") }
}

fn rendered(message: &str, values: &Value) -> Result<Rendered, RenderError> {
    let mut renderer = renderer();
    renderer.add(template(message))?;
    renderer.render("own", values)
}

fn refusal(source: &str) -> String {
    match renderer().add(template(source)) {
        Err(RenderError::Failed { template, variable: None, detail }) => {
            assert_eq!(template, "own/message");
            detail
        }
        other => panic!("expected a refusal of {source:?}, got {other:?}"),
    }
}

fn view<'a>(title: &'a str, message: &'a str) -> EmailView<'a> {
    EmailView {
        title,
        message,
        action: None,
        priority: "medium",
        category: "workflow",
        user_id: "alice",
        base_url: Some("https://belfry.test"),
    }
}

#[test]
fn a_renderer_is_shared_among_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&renderer());
}

#[test]
fn every_built_in_template_renders_with_what_it_requires_alone() {
    let renderer = renderer();
    let names: BTreeSet<&str> = renderer.templates().map(|template| template.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["workflow_completed", "workflow_failed", "workflow_review_required"]));
    let values = json!({"workflow_name": "Import", "stage": "final", "error": "disk full"});
    for name in names {
        let rendered = renderer.render(name, &values).unwrap();
        assert!(rendered.title.contains("Import"), "{rendered:?}");
        assert!(rendered.message.contains("Import"), "{rendered:?}");
    }
}

#[test]
fn optional_variables_appear_where_they_are_given() {
    let values = json!({
        "workflow_name": "Import", "stage": "final", "message": "Two rows look odd.", "review_url": "https://a.test/1",
    });
    let rendered = renderer().render("workflow_review_required", &values).unwrap();
    assert_eq!(rendered.title, "Review required: Import");
    assert_eq!(
        rendered.message,
        "The workflow \"Import\" waits for your review at the stage \"final\".\n\nTwo rows look odd.\n\n\
         Review it at https://a.test/1"
    );
}

#[test]
fn missing_variables_are_all_named_and_an_unknown_template_is_unknown() {
    let renderer = renderer();
    let missing = vec!["workflow_name".to_owned(), "error".to_owned()];
    assert_eq!(renderer.render("workflow_failed", &json!({})), Err(RenderError::MissingVariables(missing)));
    assert_eq!(renderer.render("nothing", &json!({})), Err(RenderError::UnknownTemplate));
}

#[test]
fn plain_text_is_not_escaped() {
    let values = json!({"workflow_name": "<A> & \"B\""});
    assert_eq!(
        renderer().render("workflow_completed", &values).unwrap().title,
        "Workflow completed: <A> & \"B\""
    );
}

#[test]
fn a_title_is_one_line_without_control_characters() {
    let values = json!({"workflow_name": "a\r\nBcc: x\u{2028}\u{7}b\u{1b}[31m  c"});
    assert_eq!(
        renderer().render("workflow_completed", &values).unwrap().title,
        "Workflow completed: a Bcc: x b [31m c"
    );
}

#[test]
fn a_variable_that_nobody_declared_is_named_when_it_is_absent() {
    let error = rendered("Hello {{whom}}", &json!({})).unwrap_err();
    let RenderError::Failed { template, variable, .. } = error else { panic!("{error:?}") };
    assert_eq!((template.as_str(), variable.as_deref()), ("own/message", Some("whom")));
}

#[test]
fn partials_decorators_and_unknown_blocks_are_refused() {
    for source in ["{{> own/message}}", "{{> (lookup a b)}}", "{{#> a}}x{{/a}}", "{{#if a}}{{> b}}{{/if}}"] {
        assert_eq!(refusal(source), "it includes a partial, which is not allowed", "{source}");
    }
    assert_eq!(refusal("{{#*inline \"a\"}}x{{/inline}}"), "it has a decorator, which is not allowed");
    assert!(refusal("{{#raw}}x{{/raw}}").starts_with("the block `raw` is not one of"));
    assert!(refusal("{{#if a}}").contains("syntax") || refusal("{{#if a}}").contains("if"));
}

#[test]
fn html_of_a_template_cannot_put_a_value_through_unescaped() {
    for source in ["<p>{{{a}}}</p>", "<p>{{& a}}</p>", "{{#if a}}{{{a}}}{{/if}}"] {
        assert!(renderer().add(with_html(source)).is_err(), "{source}");
    }
    let mut renderer = renderer();
    renderer.add(with_html("<b>{{a}}</b>")).unwrap();
    let rendered = renderer.render("own", &json!({"a": "<i>\"'&"})).unwrap();
    let html = rendered.email.html.unwrap();
    assert_eq!(html, "<b>&lt;i&gt;&quot;&#x27;&amp;</b>");
    let body = renderer.email_with(&view("T", "plain"), &html).unwrap();
    assert!(body.html.contains(&html) && !body.html.contains("plain"));
    assert!(body.text.contains("plain"));
}

#[test]
fn deep_nesting_is_refused_before_it_is_parsed_and_long_chains_of_blocks_are_not() {
    let deep = |n: usize| "{{#if a}}".repeat(n) + &"{{/if}}".repeat(n);
    assert!(refusal(&deep(4_000)).starts_with("it nests deeper"));
    assert!(refusal(&format!("{{{{a {}}}}}", "(b ".repeat(10_000))).starts_with("it nests deeper"));
    let chain = format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if a}}".repeat(4_000));
    assert!(refusal(&chain).starts_with("it nests deeper"));
    rendered(&deep(16), &json!({"a": 1})).unwrap();
    rendered(&"{{#if a}}x{{else if a}}y{{else}}z{{/if}}".repeat(200), &json!({"a": 0})).unwrap();
}

#[test]
fn a_template_over_its_size_is_refused() {
    assert!(refusal(&"a".repeat(TEMPLATE_BYTES_MAX + 1)).contains("more than 65536"));
}

#[test]
fn text_over_its_limit_is_too_large() {
    let values = json!({"a": "x".repeat(TEXT_BYTES_MAX)});
    assert_eq!(rendered("{{a}}", &values), Err(RenderError::TooLarge));
    assert_eq!(rendered("{{a}}{{a}}{{a}}", &values), Err(RenderError::TooLarge));
}

#[test]
fn loops_in_loops_over_long_lists_are_refused_even_where_they_print_nothing() {
    let source = "{{#each a}}{{#each ../a}}{{#each ../../a}}{{/each}}{{/each}}{{/each}}";
    let list = |n: usize| json!({"a": vec![1; n]});
    assert_eq!(rendered(source, &list(300)), Err(RenderError::TooLarge));
    assert_eq!(rendered(source, &list(10)).unwrap().message, "");
}

#[test]
fn a_mail_keeps_line_breaks_and_shows_its_action_and_why_it_came() {
    let action = Some(("Review & sign", "https://a.test/?x=1&y=2"));
    let body = renderer().email(&EmailView { action, ..view("Done", "one\ntwo\r\n\r\nthree") }).unwrap();
    assert!(body.html.contains("<p>one<br>two</p>") && body.html.contains("<p>three</p>"), "{}", body.html);
    assert!(body.html.contains(">Review &amp; sign</a>"), "{}", body.html);
    assert!(body.html.contains("alice has mail on for the category workflow"));
    assert!(body.html.contains("https://belfry.test"));
    assert!(
        body.text.contains("one\ntwo\r\n\r\nthree\n\nReview & sign: https://a.test/?x=1&y=2\n"),
        "{}",
        body.text
    );
    assert!(body.text.contains("Sent by Belfry at https://belfry.test"));
}

#[test]
fn an_action_that_would_run_something_is_left_out() {
    let renderer = renderer();
    for url in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "//a.test",
        "java\nscript:x",
        "",
        "https:",
    ] {
        let body = renderer.email(&EmailView { action: Some(("Go", url)), ..view("T", "M") }).unwrap();
        assert!(!body.html.contains("class=\"button\" href"), "{url}");
    }
    for url in ["HTTPS://a.test", "http://a.test", "mailto:a@b.test"] {
        let body = renderer.email(&EmailView { action: Some(("Go", url)), ..view("T", "M") }).unwrap();
        assert!(body.html.contains("class=\"button\" href"), "{url}");
    }
}

#[test]
fn a_mail_loads_nothing_from_elsewhere() {
    let html = renderer().email(&view("T", "M")).unwrap().html;
    for word in ["<img", "src=", "url(", "@import", "<link", "<script", "@font-face"] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn the_largest_message_still_fits_into_a_mail() {
    let renderer = renderer();
    for line in ["\"", "\"\n", "\"\n\n", "\n", "'"] {
        let message = line.repeat((TEXT_BYTES_MAX - 1) / line.len());
        renderer.email(&view("T", &message)).unwrap();
    }
    assert_eq!(renderer.email(&view("T", &"x".repeat(TEXT_BYTES_MAX))), Err(RenderError::TooLarge));
}

/// The names of all tags in `html`, in order.
fn tags(html: &str) -> Vec<String> {
    let name =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "/!".contains(*c)).collect();
    html.split('<')
        .skip(1)
        .map(name)
        .filter(|name: &String| name != "br" && name != "p" && name != "/p")
        .collect()
}

proptest! {
    #[test]
    fn no_title_message_or_action_breaks_out_of_the_html(
        title in "[<>\"'&a{}/=! \\n-]{0,40}", message in "(<script>|</div>|\\{\\{title\\}\\}|-->|[\"'<>& \\n]){0,12}",
        label in "[<>\"'&a]{1,20}", url in "https://[<>\"'&a]{0,20}",
    ) {
        let renderer = renderer();
        let plain = renderer.email(&EmailView { action: Some(("a", "https://a")), ..view("a", "a") }).unwrap();
        let body = renderer.email(&EmailView { action: Some((&label, &url)), ..view(&title, &message) }).unwrap();
        prop_assert_eq!(tags(&body.html), tags(&plain.html));
        let quotes = |html: &str| html.matches('"').count();
        prop_assert_eq!(quotes(&body.html), quotes(&plain.html));
    }

    #[test]
    fn no_source_of_a_template_makes_it_panic(source in "(\\{\\{|\\}\\}|#|/|if|each|else|\\^|~|@|>|\\*|[a-c(\\[ .é\"]){0,30}") {
        let mut renderer = renderer();
        if renderer.add(template(&source)).is_ok() {
            let rendered = renderer.render("own", &json!({"a": [1, 2], "b": {"c": "d"}, "c": null}));
            let answered = matches!(rendered, Ok(_) | Err(RenderError::Failed { .. }));
            prop_assert!(answered);
        }
    }
}
