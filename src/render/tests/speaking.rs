//! Claims about what templates say: which variables they need, their helpers, languages and channels.

use super::*;

fn message(source: &str, values: &Value) -> String {
    rendered(source, values).unwrap().message
}

/// What a template requires and what it can do without.
fn needs(source: &str) -> (Vec<String>, Vec<String>) {
    let loaded = renderer().compile(template(source)).unwrap();
    (loaded.template().variables.clone(), loaded.template().optional.clone())
}

#[test]
fn what_a_template_reads_without_declaring_it_is_required_and_what_it_asks_for_is_not() {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    for (source, required, optional) in [
        ("{{a}} {{b.c}} {{a}}", words(&["a", "b.c"]), words(&[])),
        ("{{#if a}}{{a}}{{b}}{{/if}}", words(&["b"]), words(&["a"])),
        ("{{#unless (eq a \"x\")}}{{default b \"y\"}}{{/unless}}", words(&[]), words(&["a", "b"])),
        ("{{#each items}}{{name}}{{../tail}}{{@index}}{{/each}}", words(&["items", "tail"]), words(&[])),
        ("{{#each items as |it|}}{{it.name}}{{else}}none{{/each}}", words(&[]), words(&["items"])),
        ("{{#with user}}{{name}}{{/with}}{{upper city}}", words(&["user", "user.name", "city"]), words(&[])),
        ("{{date}} {{number}} {{[a b]}}", words(&["date", "number", "a b"]), words(&[])),
    ] {
        assert_eq!(needs(source), (required, optional), "{source}");
    }
}

#[test]
fn what_is_missing_is_named_whether_it_was_declared_or_not() {
    let missing = |source, values| match rendered(source, &values) {
        Err(RenderError::MissingVariables(names)) => names,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        missing("{{whom}} {{user.name}} {{upper city}}", json!({"user": {}})),
        ["whom", "user.name", "city"]
    );
    assert_eq!(missing("{{#each items}}{{name}}{{/each}}", json!({"items": [{"name": 1}, {}]})), ["name"]);
    assert_eq!(message("{{#if a}}{{a.b}}{{else}}-{{/if}}{{default c \"d\"}}", &json!({})), "-d");
}

#[test]
fn a_call_that_cannot_work_is_refused_when_it_is_compiled() {
    for (source, why) in [
        ("{{shout a}}", "there is no helper `shout`"),
        ("{{plural n one=\"a\"}}", "`plural` needs the option `other`"),
        ("{{date a b}}", "`date` takes 1 values, and this gives it 2"),
        ("{{number a digits=2}}", "`number` knows no option `digits`; it knows: decimals"),
        ("{{#if (upper)}}x{{/if}}", "a call in brackets needs at least one value"),
        ("{{#if a b}}x{{/if}}", "`if` takes one value"),
        ("{{#if a x=(json b)}}x{{/if}}", "`if` has an option that it does not know"),
        ("{{#each (lookup a b)}}x{{/each}}", "`each` goes over a variable and nothing else"),
        ("{{#with (lookup a b)}}x{{/with}}", "`with` goes over a variable and nothing else"),
        ("{{each}}", "`each` is written as a block"),
        ("{{log a}}", "there is no helper `log`"),
    ] {
        assert!(refusal(source).starts_with(why), "{source}: {}", refusal(source));
    }
}

#[test]
fn helpers_write_as_the_reader_does() {
    let reader = Reader { locale: Some("de".to_owned()), zone: Some("Europe/Berlin".to_owned()) };
    let values = json!({"when": "2026-11-24T23:30:00Z", "n": 1234.5, "items": [1, 2], "none": 0});
    let said = |source| rendered_for(source, &values, &reader).unwrap().message;
    assert_eq!(said("{{date when}}"), "25.11.2026, 00:30");
    assert_eq!(said("{{date when format=\"%H:%M\" zone=\"Asia/Tokyo\"}}"), "08:30");
    assert_eq!(said("{{#each items}}{{number ../n decimals=2}} {{/each}}"), "1.234,50 1.234,50 ");
    assert_eq!(said("{{plural (len items) one=\"# Ding\" other=\"# Dinge\"}}"), "2 Dinge");
    assert_eq!(said("{{plural none zero=\"nichts\" one=\"# Ding\" other=\"# Dinge\"}}"), "nichts");
}

#[test]
fn helpers_for_words_do_what_their_names_say() {
    let values = json!({
        "a": "Grüße", "long": "one two three", "o": {"k": [1, "x"]}, "n": 2, "e": "", "date": "today",
    });
    for (source, wanted) in [
        ("{{upper a}}{{lower a}}", "GRÜSSEgrüße"),
        (
            "{{truncate long 8}}|{{truncate long length=5 ending=\"\"}}|{{truncate a 9}}",
            "one two…|one t|Grüße",
        ),
        ("{{json o}}", "{\"k\":[1,\"x\"]}"),
        ("{{default e \"none\"}} {{coalesce e o.z n}}", "none 2"),
        ("{{#if (and (eq n 2) (not (gt n 2)) (lte n 2))}}yes{{/if}}", "yes"),
        ("{{#if (or (eq a \"x\") (ne n 2) (lt n absent))}}yes{{else}}no{{/if}}", "no"),
        ("{{lookup o.k 1}}{{lookup o \"k\"}}", "x[1, x]"),
        ("{{date}}", "today"),
    ] {
        assert_eq!(message(source, &values), wanted, "{source}");
    }
    assert!(message("{{json this}}", &values).starts_with("{\"a\""), "nothing of ours is shown");
    let error = rendered("{{date a}}", &values).unwrap_err().to_string();
    assert!(
        error.contains("own/message_template") && error.contains("date a: must be an instant"),
        "{error}"
    );
}

#[test]
fn each_text_is_in_the_readers_locale_or_the_nearest_that_there_is() {
    let renderer = renderer();
    let mut template = with(Part::SmsText, "sms");
    let text = |part, text: &str| (part, text.to_owned());
    template.locales = BTreeMap::from([
        ("pt".to_owned(), Texts::from([text(Part::Title, "pt"), text(Part::SmsText, "sms-pt")])),
        ("pt-BR".to_owned(), Texts::from([text(Part::Title, "br")])),
    ]);
    let loaded = renderer.compile(template).unwrap();
    for (locale, title, sms) in [("pt-BR", "br", "sms-pt"), ("pt_PT", "pt", "sms-pt"), ("de", "Title", "sms")]
    {
        let reader = Reader { locale: Some(locale.to_owned()), zone: None };
        let rendered = renderer.render(&loaded, &json!({}), &reader).unwrap();
        assert_eq!((rendered.title.as_str(), rendered.message.as_str()), (title, "Message"));
        let own = renderer.render_own(&loaded, Channel::Sms, &json!({}), &reader).unwrap();
        assert_eq!(own, Texts::from([text(Part::SmsText, sms)]));
    }
}

#[test]
fn a_channel_says_its_own_text_and_what_is_said_everywhere_where_it_has_none() {
    let renderer = renderer();
    let composed = |channel, own| renderer.compose(channel, &view("T", "M"), own).unwrap();
    let plain = composed(Channel::Sms, Texts::new());
    assert_eq!((plain.title.as_str(), plain.text.as_str(), plain.html), ("T", "M", None));
    let sms = own(with(Part::SmsText, "{{a}}"), Channel::Sms, &json!({"a": "<short>"})).unwrap();
    assert_eq!(composed(Channel::Sms, sms).text, "<short>");
    let push = own(with(Part::PushTitle, "a\nb"), Channel::BrowserPush, &json!({})).unwrap();
    let push = composed(Channel::BrowserPush, push);
    assert_eq!((push.title.as_str(), push.text.as_str()), ("a b", "M"));
    let subject = own(with(Part::EmailSubject, "S"), Channel::Email, &json!({})).unwrap();
    let mail = composed(Channel::Email, subject);
    assert!(mail.title == "S" && mail.text.contains('M') && mail.html.unwrap().contains("<p>M</p>"));
    let text = composed(Channel::Email, Texts::from([(Part::EmailText, "other".to_owned())]));
    assert!(text.text.contains("other") && !text.text.contains("\nM\n"), "{}", text.text);
    assert!(text.html.unwrap().contains("<p>M</p>"));
    let whole = composed(Channel::Email, Texts::from([(Part::EmailHtml, " <!DOCTYPE html><p>x".to_owned())]));
    assert_eq!(whole.html.as_deref(), Some(" <!DOCTYPE html><p>x"));
    assert_eq!(own(with(Part::SmsText, "x"), Channel::Email, &json!({})).unwrap(), Texts::new());
}

#[test]
fn what_is_kept_takes_the_place_of_what_is_built_in_until_it_is_forgotten() {
    let renderer = renderer();
    let mut mine = template("mine");
    mine.name = "workflow_failed".to_owned();
    renderer.keep(Arc::new(renderer.compile(mine).unwrap().as_version(3, 7)));
    assert_eq!((renderer.template("workflow_failed").unwrap().version(), renderer.stored_len()), (3, 1));
    renderer.forget("workflow_failed");
    assert_eq!((renderer.template("workflow_failed").unwrap().version(), renderer.stored_len()), (0, 0));
    renderer.keep(Arc::new(renderer.compile(template("x")).unwrap().as_version(1, 7)));
    renderer.forget("own");
    assert!(renderer.template("own").is_none());
}

#[test]
fn a_stored_template_that_does_not_compile_any_more_renders_to_an_error_and_not_to_a_crash() {
    let renderer = renderer();
    let broken = Loaded::broken(template("{{#if"), 2, 7, "message_template: no".to_owned());
    let error = renderer.render(&broken, &json!({}), &Reader::default()).unwrap_err();
    assert!(error.to_string().contains("message_template: no"), "{error}");
    assert!(broken.trouble().is_some() && !broken.is_heavy(&json!({})));
}
