//! Claims about mails: what their headers say, and that nobody can write a header into them.

use proptest::prelude::*;

use super::*;

fn sender() -> Sender {
    Sender {
        from: "Bélfry <belfry@belfry.test>".parse().unwrap(),
        reply_to: Some("team@belfry.test".parse().unwrap()),
    }
}

fn message() -> Message {
    Message {
        delivery_id: "0198-a.email".to_owned(),
        notification_id: "0198-a".to_owned(),
        user_id: "alice".to_owned(),
        to: "alice@example.org".to_owned(),
        title: "Hello".to_owned(),
        text: "Plain".to_owned(),
        html: Some("<p>Rich</p>".to_owned()),
        unsubscribe: None,
        at_ms: 1_700_000_000_123,
    }
}

fn composed(message: &Message) -> String {
    String::from_utf8(compose(&sender(), message).unwrap().bytes).unwrap()
}

/// The headers, unfolded: names as written, values without the line breaks of folding.
fn headers(mail: &str) -> Vec<(String, String)> {
    let head = mail.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ").replace("\r\n\t", " ");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
        (name.to_owned(), value.to_owned())
    };
    head.split("\r\n").map(header).collect()
}

fn header(mail: &str, name: &str) -> String {
    headers(mail).into_iter().find(|(known, _)| known == name).unwrap().1
}

const NAMES: [&str; 9] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
];

#[test]
fn a_mail_has_these_headers_and_no_others() {
    let mail = composed(&message());
    let names: Vec<String> = headers(&mail).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, NAMES);
    assert_eq!(header(&mail, "To"), "alice@example.org");
    assert_eq!(header(&mail, "Reply-To"), "team@belfry.test");
    assert_eq!(header(&mail, "Message-ID"), "<0198-a.email@belfry.test>");
    assert_eq!(header(&mail, "Date"), "Tue, 14 Nov 2023 22:13:20 +0000");
    assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
    assert!(header(&mail, "Content-Type").starts_with("multipart/alternative;"));
}

#[test]
fn plain_text_comes_before_html_and_both_are_there() {
    let mail = composed(&message());
    let text = mail.find("text/plain; charset=utf-8").unwrap();
    let html = mail.find("text/html; charset=utf-8").unwrap();
    assert!(text < html && mail.contains("Plain") && mail.contains("<p>Rich</p>"));
}

#[test]
fn a_message_without_html_is_plain_text_alone() {
    let mail = composed(&Message { html: None, ..message() });
    assert_eq!(header(&mail, "Content-Type"), "text/plain; charset=utf-8");
}

#[test]
fn headers_and_bodies_are_ascii_on_the_wire_whatever_they_say() {
    let mail = composed(&Message {
        title: "Überprüfung ✓ 日本".to_owned(),
        text: "täxt".to_owned(),
        html: Some("<p>täxt</p>".to_owned()),
        ..message()
    });
    assert!(mail.is_ascii());
    assert!(header(&mail, "Subject").starts_with("=?utf-8?"), "{}", header(&mail, "Subject"));
    assert!(header(&mail, "From").ends_with("<belfry@belfry.test>"));
}

#[test]
fn a_long_subject_is_folded_into_short_lines() {
    for title in ["word ".repeat(390), "ü".repeat(2_000), "x".repeat(900)] {
        let mail = composed(&Message { title: title.trim_end().to_owned(), ..message() });
        let longest = mail.split("\r\n").map(str::len).max().unwrap();
        assert!(longest <= 998, "{longest}");
    }
}

#[test]
fn a_title_that_looks_like_an_encoded_word_is_not_decoded_into_another() {
    let title = "Grüße an alle, wörtlich =?utf-8?q?Gewonnen!?= und noch etwas mehr dahinter";
    let subject = header(&composed(&Message { title: title.to_owned(), ..message() }), "Subject");
    let words: Vec<&str> = subject.split(' ').collect();
    let decoded: Vec<u8> = words
        .iter()
        .flat_map(|word| {
            let inner = word
                .strip_prefix("=?utf-8?b?")
                .and_then(|word| word.strip_suffix("?="))
                .expect("an encoded word");
            STANDARD.decode(inner).expect("base64")
        })
        .collect();
    assert_eq!(String::from_utf8(decoded).expect("UTF-8"), title);
    assert!(words.len() > 1 && words.iter().all(|word| word.len() <= 75), "{words:?}");
}

#[test]
fn a_line_break_in_a_header_value_is_refused_by_name() {
    for sneak in ["a\r\nBcc: eve@evil.test", "a\nb", "a\rb", "a\0b", "a\u{85}b", "a\u{2028}b", "a\u{7f}"] {
        let title = Message { title: sneak.to_owned(), ..message() };
        assert_eq!(compose(&sender(), &title).unwrap_err(), Refusal::Control("title"));
        let to = Message { to: format!("{sneak}@example.org"), ..message() };
        assert_eq!(compose(&sender(), &to).unwrap_err(), Refusal::Control("recipient's address"));
        let id = Message { delivery_id: sneak.to_owned(), ..message() };
        assert_eq!(compose(&sender(), &id).unwrap_err(), Refusal::Control("delivery's id"));
    }
}

#[test]
fn addresses_that_are_none_are_refused() {
    let bad = [
        "",
        "alice",
        "@example.org",
        "alice@",
        "a b@example.org",
        "alice@exa mple.org",
        "\"a>b\"@example.org",
        "alice@example.org, eve@evil.test",
        "Alice <alice@example.org>",
        "alice@example.org> SIZE=1",
        "a@b@c.test",
    ];
    for to in bad {
        let refusal = compose(&sender(), &Message { to: to.to_owned(), ..message() }).unwrap_err();
        assert!(matches!(refusal, Refusal::Address(_)), "{to:?}: {refusal:?}");
    }
    let long = format!("{}@example.org", "a".repeat(250));
    let refusal = compose(&sender(), &Message { to: long, ..message() }).unwrap_err();
    assert_eq!(refusal, Refusal::Long("recipient's address"));
}

#[test]
fn deliveries_never_share_a_message_id() {
    let ids = ["a", "a.b", "a=2Eb", "a.", ".a", "a..b", "a b", "a@b", "<a>", "é", "=C3=A9"];
    let made: std::collections::BTreeSet<String> =
        ids.iter().map(|id| message_id(id, "b.test").unwrap()).collect();
    assert_eq!(made.len(), ids.len(), "{made:?}");
    assert_eq!(message_id(&"é".repeat(200), "b.test"), Err(Refusal::Long("delivery's id")));
}

#[test]
fn an_impossible_instant_is_no_panic() {
    for at_ms in [i64::MIN, -1, 0, i64::MAX] {
        let mail = composed(&Message { at_ms, ..message() });
        assert!(header(&mail, "Date").ends_with(" +0000"));
    }
}

#[test]
fn a_body_over_its_limit_is_refused() {
    let text = Message { text: "x".repeat(BODY_BYTES_MAX + 1), ..message() };
    assert_eq!(compose(&sender(), &text).unwrap_err(), Refusal::Large("text"));
    let html = Message { html: Some("x".repeat(BODY_BYTES_MAX + 1)), ..message() };
    assert_eq!(compose(&sender(), &html).unwrap_err(), Refusal::Large("HTML"));
}

#[test]
fn a_lone_carriage_return_and_control_characters_do_not_reach_the_wire() {
    let text = "a\r.\rb\0c\u{1b}[1m\td\n.\r\nQUIT".to_owned();
    let mail = composed(&Message { html: Some(text.clone()), text, ..message() });
    assert!(!mail.replace("\r\n", "").contains(|c: char| c.is_control() && c != '\t'), "{mail:?}");
    assert_eq!(mail.matches("a\r\n.\r\nbc[1m\td\r\n.\r\nQUIT").count(), 2, "{mail:?}");
}

proptest! {
    #[test]
    fn no_message_can_add_a_header_or_end_the_headers(
        title in "(\\PC|: |Bcc: |=\\?utf-8\\?q\\?=0D=0A|[\"<>\\\\é✓]| {1,80}){0,60}",
        text in "(\r\n|\r|\n|\r\n\r\n|\\.\r\n|Bcc: a@b.test|--|[a-zé]){0,30}",
        id in "[a-z.=<>@ é]{0,40}",
    ) {
        let title = title.replace(['\u{2028}', '\u{2029}'], " ");
        let html = Some(text.clone());
        let mail = composed(&Message { title, text, html, delivery_id: id, ..message() });
        let names: Vec<String> = headers(&mail).into_iter().map(|(name, _)| name).collect();
        prop_assert_eq!(names, NAMES);
        prop_assert!(mail.is_ascii());
        prop_assert!(!mail.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn no_control_character_gets_through_in_a_title_or_an_address(
        before in "[a-z]{0,5}", control in "[\u{0}-\u{1f}\u{7f}-\u{9f}]", after in "(Bcc: |[a-z: ]){0,5}",
    ) {
        let sneak = format!("{before}{control}{after}");
        let title = compose(&sender(), &Message { title: sneak.clone(), ..message() });
        prop_assert_eq!(title.unwrap_err(), Refusal::Control("title"));
        let to = compose(&sender(), &Message { to: format!("a@b.test{sneak}"), ..message() });
        prop_assert_eq!(to.unwrap_err(), Refusal::Control("recipient's address"));
    }

    #[test]
    fn an_address_is_refused_or_goes_to_the_server_as_it_is(to in "[a-zé\"<>, ;:\\\\@.]{0,24}") {
        match compose(&sender(), &Message { to: to.clone(), ..message() }) {
            Ok(mail) => {
                prop_assert_eq!(AsRef::<str>::as_ref(&mail.to), to.as_str());
                prop_assert!(!to.contains(['<', '>', ' ', ',', '"']));
            }
            Err(refusal) => prop_assert!(matches!(refusal, Refusal::Address(_))),
        }
    }
}
