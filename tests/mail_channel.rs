//! Claims about the mail channel, over real sockets and TLS, against a server that misbehaves on demand.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use belfry::channel::email::{Email, Options, Tls};
use belfry::channel::{NoCircuits, Ways};
use belfry::model::channel::Channel;
use belfry::model::delivery::{Outcome, Reason};
use belfry::model::message::Message;
use serde_json::Value;

const PASSWORD: &str = "correct horse";

/// A running server. Its process ends when the standard input that it reads is closed.
struct Server {
    process: Child,
    port: u16,
    ca: PathBuf,
    stranger: PathBuf,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "the test is told which Python has the server's library"
        )]
        let python = std::env::var("BELFRY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut process = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/mail.py"))
            .arg(directory.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`{python}` does not start ({error}): run `make setup`"));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            let mut why = String::new();
            process.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("the mail server does not start with `{python}`: run `make setup`\n{why}");
        };
        Server {
            port: said["port"].as_u64().unwrap().try_into().unwrap(),
            ca: said["ca"].as_str().unwrap().into(),
            stranger: said["stranger"].as_str().unwrap().into(),
            process,
            directory,
        }
    }

    fn options(&self) -> Options {
        Options {
            host: "localhost".to_owned(),
            port: self.port,
            tls: Tls::StartTls,
            username: Some("belfry".to_owned()),
            password: Some(PASSWORD.into()),
            from: "Belfry <belfry@belfry.test>".to_owned(),
            reply_to: None,
            ca_file: Some(self.ca.clone()),
            timeout: Duration::from_secs(10),
            connections_max: 4,
            dkim: None,
            base_url: None,
        }
    }

    fn email(&self) -> Email {
        Email::new(self.options()).unwrap()
    }

    fn lines(&self, file: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join(file)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn mails(&self) -> Vec<Value> {
        self.lines("mails.jsonl")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn to(local: &str) -> Message {
    Message {
        delivery_id: format!("n-{local}.email"),
        notification_id: format!("n-{local}"),
        user_id: "alice".to_owned(),
        to: format!("{local}@example.org"),
        title: "Überprüfung ✓".to_owned(),
        text: "Guten Tag\n.\nEnde".to_owned(),
        html: Some("<p>Guten Tag</p>".to_owned()),
        unsubscribe: None,
        at_ms: 1_700_000_000_000,
    }
}

fn failed(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { reason: Reason::ProviderRejected, error } | Outcome::NoSuchAddress { error } => {
            error
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn retry(outcome: Outcome) -> String {
    match outcome {
        Outcome::Retry { reason: Reason::ProviderUnreachable, error, after: None }
        | Outcome::Down { error, .. } => error,
        other => panic!("expected another try, got {other:?}"),
    }
}

fn sent(outcome: Outcome) -> String {
    match outcome {
        Outcome::Sent { detail } => detail,
        other => panic!("expected it to be sent, got {other:?}"),
    }
}

/// The value of a header of a stored mail.
fn header<'m>(mail: &'m Value, name: &str) -> &'m str {
    let source = mail["source"].as_str().unwrap();
    source.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
}

#[tokio::test]
async fn a_mail_goes_out_over_starttls_with_a_login_and_the_servers_words_come_back() {
    let server = Server::start(&[]);
    let ways = Ways { email: Some(server.email()), ..Ways::default() };
    let words = sent(ways.send(Channel::Email, &to("alice"), &NoCircuits).await);
    assert_eq!(words, "250 2.0.0 Stored as number 1");
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!((&mails[0]["tls"], &mails[0]["login"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(mails[0]["to"][0], "alice@example.org");
    assert_eq!(mails[0]["mail_from"], "belfry@belfry.test");
    assert_eq!(header(&mails[0], "Message-ID"), "<n-alice.email@belfry.test>");
    assert_eq!(header(&mails[0], "Auto-Submitted"), "auto-generated");
    assert!(mails[0]["source"].as_str().unwrap().contains("Ende"), "a lone dot ended the mail");
    ways.close().await;
}

#[tokio::test]
async fn implicit_tls_works_as_well_and_so_does_the_mechanism_login() {
    let server = Server::start(&["--tls", "implicit", "--mechanisms", "LOGIN"]);
    sent(Email::new(Options { tls: Tls::Implicit, ..server.options() }).unwrap().send(&to("alice")).await);
    assert_eq!(server.lines("events.jsonl")[0]["mechanism"], "LOGIN");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_mail() {
    let server = Server::start(&[]);
    let email = server.email();
    for _ in 0..3 {
        sent(email.send(&to("alice")).await);
    }
    let connections: Vec<Value> = server.mails().iter().map(|mail| mail["connection"].clone()).collect();
    assert_eq!(connections.len(), 3);
    assert!(connections.iter().all(|connection| *connection == connections[0]), "{connections:?}");
}

#[tokio::test]
async fn there_are_never_more_connections_than_allowed() {
    let server = Server::start(&[]);
    let email = Email::new(Options { connections_max: 2, ..server.options() }).unwrap();
    let messages: Vec<Message> = (0..12).map(|n| to(&format!("alice+{n}"))).collect();
    for outcome in futures_util::future::join_all(messages.iter().map(|message| email.send(message))).await {
        sent(outcome);
    }
    let connections: std::collections::BTreeSet<u64> =
        server.mails().iter().map(|mail| mail["connection"].as_u64().unwrap()).collect();
    assert_eq!((server.mails().len(), connections.len()), (12, 2));
}

#[tokio::test]
async fn a_no_for_now_is_tried_again_and_a_no_for_good_has_failed() {
    let server = Server::start(&[]);
    let email = server.email();
    assert_eq!(retry(email.send(&to("busy")).await), "450 4.2.1 The mailbox is busy");
    assert_eq!(retry(email.send(&to("later")).await), "451 4.3.0 Come back later");
    assert_eq!(retry(email.send(&to("goodbye")).await), "421 4.3.2 Closing");
    assert_eq!(failed(email.send(&to("nobody")).await), "550 5.1.1 Nobody of that name lives here");
    assert_eq!(failed(email.send(&to("refused")).await), "554 5.7.1 We do not like what it says");
    assert_eq!(failed(email.send(&to("rude")).await), "550 5.7.1 [31mNo entry");
    let large = email.send(&to("too-big")).await;
    assert!(matches!(large, Outcome::Failed { reason: Reason::PayloadTooLarge, .. }), "{large:?}");
    assert!(server.mails().is_empty());
    sent(email.send(&to("alice")).await);
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_goes_out_again_under_the_same_message_id() {
    let server = Server::start(&[]);
    let email = server.email();
    for _ in 0..2 {
        let error = retry(email.send(&to("lost")).await);
        assert!(error.contains("may or may not have the mail"), "{error}");
    }
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
    assert_eq!(header(&mails[0], "Date"), header(&mails[1], "Date"));
}

#[tokio::test]
async fn a_server_that_cuts_talks_nonsense_or_answers_out_of_place_is_tried_again() {
    let server = Server::start(&[]);
    let email = server.email();
    for fate in ["cut", "garbage", "continue"] {
        let error = retry(email.send(&to(fate)).await);
        assert!(error.contains("mail server broke off"), "{fate}: {error}");
    }
    assert!(server.mails().is_empty());
    sent(email.send(&to("alice")).await);
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off_long_before_the_timeout() {
    for (tls, name) in [(Tls::StartTls, "starttls"), (Tls::Implicit, "implicit")] {
        let server = Server::start(&["--tls", name]);
        let email =
            Email::new(Options { tls, timeout: Duration::from_secs(60), ..server.options() }).unwrap();
        let error = retry(email.send(&to("endless")).await);
        assert!(error.contains("answer has no end"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_long_answer_does_not_become_a_long_error() {
    let server = Server::start(&[]);
    let outcome = server.email().send(&to("chatty")).await;
    let (Outcome::Failed { error, .. }
    | Outcome::NoSuchAddress { error }
    | Outcome::Retry { error, .. }
    | Outcome::Down { error, .. }) = outcome
    else {
        panic!("{outcome:?}")
    };
    assert!(error.chars().count() <= 500);
}

#[tokio::test]
async fn a_server_that_never_answers_holds_a_mail_no_longer_than_the_timeout() {
    let server = Server::start(&[]);
    let email = Email::new(Options { timeout: Duration::from_secs(1), ..server.options() }).unwrap();
    let begun = Instant::now();
    let error = retry(email.send(&to("hang")).await);
    assert!(error.contains("did not answer within 1000 ms") && error.contains("may or may not"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_answer_to_one_mail_is_never_taken_for_the_answer_to_the_next() {
    let server = Server::start(&[]);
    let options = Options { timeout: Duration::from_secs(1), connections_max: 1, ..server.options() };
    let email = Email::new(options).unwrap();
    retry(email.send(&to("slow")).await);
    assert_eq!(failed(email.send(&to("nobody")).await), "550 5.1.1 Nobody of that name lives here");
    assert_eq!(sent(email.send(&to("alice")).await), "250 2.0.0 Stored as number 2");
}

#[tokio::test]
async fn a_wrong_password_costs_no_recipient_the_delivery_and_is_told_to_nobody() {
    let server = Server::start(&[]);
    let options = Options { password: Some("hunter2".into()), ..server.options() };
    let debug = format!("{options:?}");
    let email = Email::new(options).unwrap();
    let error = retry(email.send(&to("alice")).await);
    assert!(error.contains("channels.email.username and channels.email.password"), "{error}");
    assert!(error.contains("535"), "{error}");
    for told in [debug, format!("{email:?}"), error] {
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_wants_a_login_where_none_is_configured_names_the_keys() {
    let server = Server::start(&[]);
    let email = Email::new(Options { username: None, password: None, ..server.options() }).unwrap();
    let error = retry(email.send(&to("alice")).await);
    assert!(error.contains("channels.email.username") && error.contains("530"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_any_secret_is_said() {
    let server = Server::start(&[]);
    for ca_file in [None, Some(server.stranger.clone())] {
        let email = Email::new(Options { ca_file, ..server.options() }).unwrap();
        let error = retry(email.send(&to("alice")).await);
        assert!(error.contains("UnknownIssuer") && error.contains("channels.email.ca_file"), "{error}");
    }
    assert!(server.lines("events.jsonl").is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = Server::start(&["--certificate", "elsewhere"]);
    let error = retry(server.email().send(&to("alice")).await);
    assert!(error.contains("channels.email.host"), "{error}");
}

#[tokio::test]
async fn a_self_signed_authority_as_server_certificate_is_refused_with_what_to_do() {
    let server = Server::start(&["--certificate", "selfsigned"]);
    let error = retry(server.email().send(&to("alice")).await);
    assert!(error.contains("CaUsedAsEndEntity") && error.contains("channels.email.ca_file"), "{error}");
}

#[tokio::test]
async fn credentials_never_go_in_the_clear_unless_tls_is_none() {
    let server = Server::start(&["--tls", "none", "--login", "offered"]);
    for tls in [Tls::StartTls, Tls::Opportunistic] {
        let email = Email::new(Options { tls, ..server.options() }).unwrap();
        let error = retry(email.send(&to("alice")).await);
        assert!(error.contains("does not offer STARTTLS"), "{tls:?}: {error}");
    }
    assert!(server.lines("events.jsonl").is_empty());
    sent(Email::new(Options { tls: Tls::None, ..server.options() }).unwrap().send(&to("alice")).await);
    assert_eq!(server.mails()[0]["login"], true);
}

#[tokio::test]
async fn opportunistic_tls_is_used_where_it_is_offered_and_left_where_it_is_not() {
    for (offered, arguments) in
        [(true, ["--login", "none"].as_slice()), (false, &["--tls", "none", "--login", "none"])]
    {
        let server = Server::start(arguments);
        let options = Options { tls: Tls::Opportunistic, username: None, password: None, ..server.options() };
        sent(Email::new(options).unwrap().send(&to("alice")).await);
        assert_eq!(server.mails()[0]["tls"], offered);
    }
}

#[tokio::test]
async fn an_address_beyond_ascii_is_sent_where_the_server_takes_it_and_failed_where_it_does_not() {
    let server = Server::start(&[]);
    sent(server.email().send(&to("jörg")).await);
    assert_eq!(server.mails()[0]["to"][0], "jörg@example.org");
    let old = Server::start(&["--no-utf8"]);
    assert!(failed(old.email().send(&to("jörg")).await).contains("SMTPUTF8"));
}

#[tokio::test]
async fn header_injection_fails_before_anything_is_sent() {
    let server = Server::start(&[]);
    let email = server.email();
    let title = Message { title: "a\r\nBcc: eve@evil.test".to_owned(), ..to("alice") };
    assert!(failed(email.send(&title).await).contains("title has a line break"));
    let address = Message { to: "alice@example.org>\r\nRCPT TO:<eve@evil.test".to_owned(), ..to("alice") };
    assert!(failed(email.send(&address).await).contains("address has a line break"));
    assert!(server.lines("events.jsonl").is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = Options {
        host: "127.0.0.1".to_owned(),
        port: gone,
        tls: Tls::None,
        username: None,
        password: None,
        from: "belfry@belfry.test".to_owned(),
        reply_to: None,
        ca_file: None,
        timeout: Duration::from_secs(5),
        connections_max: 1,
        dkim: None,
        base_url: None,
    };
    let error = retry(Email::new(options.clone()).unwrap().send(&to("alice")).await);
    assert!(error.contains("failed to reach the mail server") && error.contains("refused"), "{error}");
    for (key, options) in [
        ("channels.email.from", Options { from: "nobody".to_owned(), ..options.clone() }),
        ("channels.email.from", Options { from: "a@b.test\r\nBcc: c@d.test".to_owned(), ..options.clone() }),
        ("channels.email.reply_to", Options { reply_to: Some("@".to_owned()), ..options.clone() }),
        ("channels.email.host", Options { host: String::new(), ..options.clone() }),
        ("channels.email.password", Options { username: Some("a".to_owned()), ..options.clone() }),
        ("channels.email.username", Options { password: Some("a".into()), ..options.clone() }),
        ("channels.email.timeout", Options { timeout: Duration::ZERO, ..options.clone() }),
        ("channels.email.connections_max", Options { connections_max: 0, ..options.clone() }),
        (
            "channels.email.ca_file",
            Options { tls: Tls::StartTls, ca_file: Some("/nowhere".into()), ..options.clone() },
        ),
    ] {
        let error = Email::new(options).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{key}: ")), "{key}: {error}");
    }
}
