//! Claims about rendering: what the built-in templates say, what is refused, and what cannot get out of bounds.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::notification::Priority;

mod speaking;

fn renderer() -> Renderer {
    Renderer::new().unwrap()
}

fn template(message: &str) -> Template {
    Template {
        name: "own".to_owned(),
        kind: "own".to_owned(),
        texts: Texts::from([(Part::Title, "Title".to_owned()), (Part::Message, message.to_owned())]),
        locales: BTreeMap::new(),
        variables: Vec::new(),
        optional: Vec::new(),
        priority: Priority::Low,
        category: "system".to_owned(),
    }
}

fn with(part: Part, source: &str) -> Template {
    let mut template = template("Message");
    template.texts.insert(part, source.to_owned());
    template
}

fn rendered(message: &str, values: &Value) -> Result<Rendered, RenderError> {
    rendered_for(message, values, &Reader::default())
}

fn rendered_for(message: &str, values: &Value, reader: &Reader) -> Result<Rendered, RenderError> {
    let renderer = renderer();
    let loaded = renderer.compile(template(message)).unwrap();
    renderer.render(&loaded, values, reader)
}

fn built_in(name: &str, values: &Value) -> Result<Rendered, RenderError> {
    let renderer = renderer();
    renderer.render(&renderer.template(name).unwrap(), values, &Reader::default())
}

fn own(template: Template, channel: Channel, values: &Value) -> Result<Texts, RenderError> {
    let renderer = renderer();
    renderer.render_own(&renderer.compile(template).unwrap(), channel, values, &Reader::default())
}

fn refusal(source: &str) -> String {
    refused(source).detail
}

fn refused(source: &str) -> Refusal {
    let unfit = renderer().compile(template(source)).expect_err(source);
    let [(field, refusal)] = &unfit.errors[..] else { panic!("{unfit:?}") };
    assert_eq!(field, "message_template");
    refusal.clone()
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
        unsubscribe: None,
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
    let all = renderer.templates(None, 100);
    let names: Vec<&str> = all.iter().map(|loaded| loaded.template().name.as_str()).collect();
    assert_eq!(names, ["workflow_completed", "workflow_failed", "workflow_review_required"]);
    let values = json!({"workflow_name": "Import", "stage": "final", "error": "disk full"});
    for name in names {
        let rendered = built_in(name, &values).unwrap();
        assert!(rendered.title.contains("Import"), "{rendered:?}");
        assert!(rendered.message.contains("Import"), "{rendered:?}");
    }
}

#[test]
fn optional_variables_appear_where_they_are_given() {
    let values = json!({
        "workflow_name": "Import", "stage": "final", "message": "Two rows look odd.", "review_url": "https://a.test/1",
    });
    let rendered = built_in("workflow_review_required", &values).unwrap();
    assert_eq!(rendered.title, "Review required: Import");
    assert_eq!(
        rendered.message,
        "The workflow \"Import\" waits for your review at the stage \"final\".\n\nTwo rows look odd.\n\n\
         Review it at https://a.test/1"
    );
}

#[test]
fn missing_variables_are_all_named() {
    let missing = vec!["workflow_name".to_owned(), "error".to_owned()];
    assert_eq!(built_in("workflow_failed", &json!({})), Err(RenderError::MissingVariables(missing)));
}

#[test]
fn plain_text_is_not_escaped() {
    let values = json!({"workflow_name": "<A> & \"B\""});
    assert_eq!(built_in("workflow_completed", &values).unwrap().title, "Workflow completed: <A> & \"B\"");
}

#[test]
fn a_title_is_one_line_without_control_characters() {
    let values = json!({"workflow_name": "a\r\nBcc: x\u{2028}\u{7}b\u{1b}[31m  c"});
    assert_eq!(
        built_in("workflow_completed", &values).unwrap().title,
        "Workflow completed: a Bcc: x b [31m c"
    );
}

#[test]
fn partials_decorators_and_unknown_blocks_are_refused() {
    for source in ["{{> own/message}}", "{{> (lookup a b)}}", "{{#> a}}x{{/a}}", "{{#if a}}{{> b}}{{/if}}"] {
        assert_eq!(refusal(source), "it includes a partial, which is not allowed", "{source}");
    }
    assert_eq!(refusal("{{#*inline \"a\"}}x{{/inline}}"), "it has a decorator, which is not allowed");
    assert!(refusal("{{#raw}}x{{/raw}}").starts_with("the block `raw` is not one of"));
    for (source, at) in
        [("{{#if a}}", (1, 10)), ("ok\n  {{> b}}", (2, 3)), ("a\n\n{{nothing b}}", (3, 1)), ("{{a", (1, 4))]
    {
        assert_eq!(refused(source).at, Some(at), "{source}: {}", refusal(source));
    }
}

#[test]
fn html_of_a_template_cannot_put_a_value_through_unescaped() {
    for source in ["<p>{{{a}}}</p>", "<p>{{& a}}</p>", "{{#if a}}{{{a}}}{{/if}}"] {
        assert!(renderer().compile(with(Part::EmailHtml, source)).is_err(), "{source}");
    }
    let html = |source| {
        let mut own = own(with(Part::EmailHtml, source), Channel::Email, &json!({"a": "<i>\"'&"})).unwrap();
        own.remove(&Part::EmailHtml).unwrap()
    };
    assert_eq!(html("<b>{{a}}</b>"), "<b>&lt;i&gt;&quot;&#x27;&amp;</b>");
    assert_eq!(
        html("{{upper a}}{{json a}}"),
        "&lt;I&gt;&quot;&#x27;&amp;&quot;&lt;i&gt;\\&quot;&#x27;&amp;&quot;"
    );
    let (renderer, html) = (renderer(), html("<b>{{a}}</b>"));
    let own = Texts::from([(Part::EmailHtml, html.clone())]);
    let mail = renderer.compose(Channel::Email, &view("T", "plain"), own).unwrap();
    let whole = mail.html.unwrap();
    assert!(whole.contains(&html) && !whole.contains("plain"));
    assert!(mail.text.contains("plain"));
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
fn helpers_that_would_go_through_much_for_nothing_are_refused_before_they_start() {
    let source = "{{#each a}}{{#if (eq (json ../b) \"x\")}}{{/if}}{{/each}}";
    let values = |items: usize, bytes: usize| json!({"a": vec![1; items], "b": "x".repeat(bytes)});
    assert_eq!(rendered(source, &values(5_000, 30_000)), Err(RenderError::TooLarge));
    assert_eq!(rendered(source, &values(100, 1_000)).unwrap().message, "");
}

#[test]
fn sources_that_a_parser_could_go_round_in_circles_over_are_done_at_once() {
    let started = std::time::Instant::now();
    for piece in [
        "{{#if a}}",
        "{{else if a}}",
        "{{a (",
        "{{{{raw}}}}",
        "{{!--",
        "\\{{",
        "{{#a}}{{^}}",
        "{{a b=",
        "{{[",
        "{{a \"",
        "{",
    ] {
        let _ = renderer().compile(template(&piece.repeat(TEMPLATE_BYTES_MAX / piece.len())));
        let _ = renderer().compile(template(&format!("{{{{#if a}}}}{}{{{{/if}}}}", piece.repeat(15))));
    }
    let long = "{{#if (eq a (upper b))}}{{json c}}{{else}}{{d.e.f}}{{/if}}";
    renderer().compile(template(&long.repeat(TEMPLATE_BYTES_MAX / long.len()))).unwrap();
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
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
    fn no_source_of_a_template_makes_it_panic_or_hang(
        source in "(\\{\\{#?(if|each|with|unless|else if|else|/if|/each|date|plural|lookup|json|truncate)? ?(a|b.c|this|\\.\\./a|@index|\\(eq a 1\\)|\"x\"|format=\"%\"|other=\"#\")?\\}\\}|text|\\n){0,40}",
    ) {
        let started = std::time::Instant::now();
        let renderer = renderer();
        if let Ok(loaded) = renderer.compile(template(&source)) {
            let values = json!({"a": ["1", {"b": 2}], "b": {"c": "2026-01-01T00:00:00Z"}});
            let rendered = renderer.render(&loaded, &values, &Reader::default());
            prop_assert!(rendered.is_ok() || !rendered.unwrap_err().to_string().is_empty());
        }
        prop_assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn no_characters_of_a_template_make_it_panic(source in "(\\{\\{|\\}\\}|#|/|if|each|else|\\^|~|@|>|\\*|[a-c(\\[ .é\"]){0,30}") {
        let renderer = renderer();
        if let Ok(loaded) = renderer.compile(template(&source)) {
            let values = json!({"a": [1, 2], "b": {"c": "d"}, "c": null});
            let rendered = renderer.render(&loaded, &values, &Reader::default());
            let answered = matches!(
                rendered,
                Ok(_) | Err(RenderError::Failed { .. } | RenderError::MissingVariables(_) | RenderError::TooLarge)
            );
            prop_assert!(answered);
        }
    }
}
