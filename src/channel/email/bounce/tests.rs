//! Claims about what a mail that came back says, held against mails of a real Postfix.

use proptest::prelude::*;

use super::*;

const BOUNCED: &str = include_str!("../../../../tests/support/bounced.eml");
const DELAYED: &str = include_str!("../../../../tests/support/delayed.eml");
const KEY: &str = "01a210aa-1db6-76d3-8411-e74cac127b4e";

fn filled(mail: &str) -> String {
    mail.replace("ADDRESS", "ada@elsewhere.test").replace("MESSAGE_ID", &format!("<{KEY}.email@belfry.test>"))
}

fn changed(from: &str, to: &str) -> Result<Report, BadReport> {
    let mail = filled(BOUNCED);
    assert!(mail.contains(from), "{from}");
    read(mail.replace(from, to).as_bytes())
}

fn key() -> Uuid {
    Uuid::parse_str(KEY).expect("a key")
}

#[test]
fn a_mail_that_postfix_sent_back_says_who_does_not_live_there_and_which_mail_it_was() {
    let report = read(filled(BOUNCED).as_bytes()).expect("a report");
    assert_eq!(report.about, Some(About { delivery: key(), notification: key() }));
    let [one] = &report.recipients[..] else { panic!("{report:?}") };
    assert_eq!(
        (one.address.as_str(), one.original.as_deref()),
        ("ada@elsewhere.test", Some("ada@elsewhere.test"))
    );
    assert_eq!((one.action, one.status.as_str(), one.nobody), (Action::Failed, "5.1.1", true));
    let words = "550 5.1.1 <ada@elsewhere.test>: Recipient address rejected: Nobody of that name lives here";
    assert_eq!(one.words, words);
}

#[test]
fn a_delay_is_no_failure_and_is_read_from_headers_alone_and_from_windows_line_ends() {
    for mail in [filled(DELAYED), filled(DELAYED).replace('\n', "\r\n")] {
        let report = read(mail.as_bytes()).expect("a report");
        assert_eq!(report.about.map(|about| about.notification), Some(key()));
        let one = &report.recipients[0];
        assert_eq!((one.action, one.status.as_str(), one.nobody), (Action::Delayed, "4.4.1", false));
        assert_eq!(one.words, "connect to 127.0.0.1[127.0.0.1]:25: Connection refused");
    }
}

#[test]
fn only_a_failure_for_good_that_speaks_of_the_address_says_that_nobody_is_there() {
    for (status, diagnosis, nobody) in [
        ("5.1.1", "smtp; 550 5.1.1 no", true),
        ("5.1.10", "smtp; 550 5.1.10 null MX", true),
        ("5.2.2", "smtp; 552 5.2.2 mailbox full", false),
        ("5.7.1", "smtp; 550 5.7.1 user unknown to our policy", false),
        ("4.4.1", "smtp; 450 user unknown", false),
        ("5.0.0", "smtp; 550 user unknown", true),
        ("5.0.0", "smtp; 550-5.1.1 user unknown", true),
        ("5.0.0", "smtp; 554 user unknown", false),
        ("5.0.0", "x-unix; user unknown", false),
    ] {
        let fields = format!("Status: {status}\nDiagnostic-Code: {diagnosis}\nX-Rest: smtp; 1");
        let report = changed("Status: 5.1.1", &fields).expect("a report");
        assert_eq!(report.recipients[0].nobody, nobody, "{fields}");
    }
}

#[test]
fn a_field_that_is_missing_or_makes_no_sense_is_named() {
    for (from, to, field) in [
        ("Final-Recipient: rfc822; ada@elsewhere.test\n", "", "Final-Recipient"),
        ("Final-Recipient: rfc822; ada@elsewhere.test\n", "Final-Recipient: rfc822;\n", "Final-Recipient"),
        ("Action: failed\n", "", "Action"),
        ("Action: failed", "Action: exploded", "Action"),
        ("Status: 5.1.1\n", "", "Status"),
        ("Status: 5.1.1", "Status: 9.1.1", "Status"),
        ("Status: 5.1.1", "Status: 5.1", "Status"),
    ] {
        let bad = changed(from, to).expect_err(to);
        assert!(matches!(&bad, BadReport::Field { field: named, .. } if *named == field), "{to}: {bad}");
    }
    assert_eq!(changed("message/delivery-status", "text/plain"), Err(BadReport::NoReport));
    assert_eq!(read(b""), Err(BadReport::NoMail));
    assert!(read(b"Subject: Hello\r\n\r\nAre you there?").is_err());
}

#[test]
fn a_mail_that_is_none_of_ours_is_about_nothing() {
    for id in
        ["<x@y>", "<01a210aa.email@belfry.test>", "<01a210aa-1db6-76d3-8411-e74cac127b4e.sms@b>", "", "<@>"]
    {
        let mail = BOUNCED.replace("ADDRESS", "ada@elsewhere.test").replace("MESSAGE_ID", id);
        assert_eq!(read(mail.as_bytes()).expect("a report").about, None, "{id}");
    }
}

#[test]
fn a_mail_for_several_notifications_and_one_that_was_sent_again_name_theirs() {
    let first = Uuid::from_u128(7);
    assert_eq!(
        about(&format!("{KEY}.email.{first}@b")),
        Some(About { delivery: key(), notification: first })
    );
    assert_eq!(about(&format!("{KEY}.email.r2@b")), Some(About { delivery: key(), notification: key() }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_change_to_a_report_makes_it_panic(
        at in any::<prop::sample::Index>(), gone in 0usize..80, put in prop::collection::vec(any::<u8>(), 0..40)
    ) {
        let mut mail = filled(BOUNCED).into_bytes();
        let from = at.index(mail.len());
        mail.splice(from..(from + gone).min(mail.len()), put);
        let _ = read(&mail);
    }
}
