//! Claims about the mail channel against a real Postfix and a real Dovecot, started from a directory of their own.
//!
//! Ignored by default: it needs root and Debian's packages. `cargo test --test mail_real -- --ignored` runs it.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use belfry::channel::email::{Email, Options, Tls};
use belfry::model::delivery::{Outcome, Reason};
use belfry::model::message::Message;
use belfry::render::{EmailView, Reader, Renderer};
use serde_json::{Value, json};

struct Servers {
    directory: tempfile::TempDir,
    said: Value,
}

impl Servers {
    fn start() -> Servers {
        let directory = tempfile::tempdir().unwrap();
        let said = script("up", directory.path(), &[]);
        Servers { said: serde_json::from_str(&said).unwrap(), directory }
    }

    fn email(&self, tls: Tls, password: &str) -> Email {
        let port = if tls == Tls::Implicit { "smtps" } else { "smtp" };
        Email::new(Options {
            host: "localhost".to_owned(),
            port: self.said[port].as_u64().unwrap().try_into().unwrap(),
            tls,
            username: Some("belfry".to_owned()),
            password: Some(password.into()),
            from: "Bélfry <belfry@belfry.test>".to_owned(),
            reply_to: Some("team@belfry.test".to_owned()),
            ca_file: Some(self.said["ca"].as_str().unwrap().into()),
            timeout: Duration::from_secs(20),
            connections_max: 4,
            dkim: None,
            base_url: None,
        })
        .unwrap()
    }

    /// The person's mails, once there are at least `count`.
    fn mails(&self, user: &str, count: usize) -> Vec<Value> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let mails: Vec<Value> =
                serde_json::from_str(&script("fetch", self.directory.path(), &[user])).unwrap();
            if mails.len() >= count {
                return mails;
            }
            assert!(Instant::now() < end, "{user} has {} of {count} mails", mails.len());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        script("down", self.directory.path(), &[]);
    }
}

fn script(verb: &str, directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/real_mta.py"))
        .arg(verb)
        .arg(directory)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "real_mta.py {verb} failed: are postfix, dovecot-imapd and dovecot-lmtpd there?"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn to(local: &str, delivery: &str) -> Message {
    let renderer = Renderer::new().unwrap();
    let values =
        json!({"workflow_name": "Über <import>", "stage": "final", "message": "Zeile eins\n.\nZeile drei ✓"});
    let template = renderer.template("workflow_review_required").unwrap();
    let rendered = renderer.render(&template, &values, &Reader::default()).unwrap();
    let view = EmailView {
        title: &rendered.title,
        message: &rendered.message,
        action: Some(("Review", "https://belfry.test/r?a=1&b=2")),
        priority: "high",
        category: "workflow",
        user_id: local,
        base_url: Some("https://belfry.test"),
        unsubscribe: None,
    };
    let body = renderer.email(&view).unwrap();
    Message {
        delivery_id: format!("{delivery}.email"),
        notification_id: delivery.to_owned(),
        user_id: local.to_owned(),
        to: format!("{local}@belfry.test"),
        title: rendered.title,
        text: body.text,
        html: Some(body.html),
        unsubscribe: None,
        at_ms: 1_700_000_000_000,
    }
}

#[tokio::test]
#[ignore = "needs root, Postfix and Dovecot"]
async fn a_mail_arrives_in_a_real_mailbox_as_it_was_written_and_refusals_are_understood() {
    let servers = Servers::start();
    let (starttls, implicit) =
        (servers.email(Tls::StartTls, "correct-horse"), servers.email(Tls::Implicit, "correct-horse"));
    for (email, delivery) in [(&starttls, "n-1"), (&implicit, "n-2")] {
        let outcome = email.send(&to("alice", delivery)).await;
        assert!(matches!(&outcome, Outcome::Sent { detail } if detail.contains("queued as")), "{outcome:?}");
    }
    let mails = servers.mails("alice", 2);
    let mut ids: Vec<&str> = mails.iter().map(|mail| mail["message_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["<n-1.email@belfry.test>", "<n-2.email@belfry.test>"]);
    let written = to("alice", "n-1");
    for mail in &mails {
        assert_eq!(mail["subject"], "Review required: Über <import>");
        assert_eq!(mail["from"], "Bélfry <belfry@belfry.test>");
        assert_eq!(mail["text"].as_str().unwrap().trim_end(), written.text.trim_end());
        assert_eq!(mail["html"].as_str().unwrap().trim_end(), written.html.as_deref().unwrap().trim_end());
    }

    for (local, code, retried) in
        [("busy", "450", true), ("full", "452", true), ("nobody", "550", false), ("unwanted", "554", false)]
    {
        let outcome = starttls.send(&to(local, local)).await;
        let (reason, error, again) = match outcome {
            Outcome::Retry { reason, error, .. } => (reason, error, true),
            Outcome::Down { error, .. } => (Reason::ProviderUnreachable, error, true),
            // That nobody lives there is told from any other refusal: it suppresses the address.
            Outcome::NoSuchAddress { error } if local == "nobody" => (Reason::ProviderRejected, error, false),
            Outcome::Failed { reason, error } if local != "nobody" => (reason, error, false),
            other => panic!("{local}: {other:?}"),
        };
        let expected = if retried { Reason::ProviderUnreachable } else { Reason::ProviderRejected };
        assert_eq!((reason, again), (expected, retried), "{local}: {error}");
        assert!(error.starts_with(code), "{local}: {error}");
        println!("{local}: {error}");
    }

    let outcome = servers.email(Tls::StartTls, "wrong").send(&to("alice", "n-3")).await;
    let (Outcome::Retry { error, .. } | Outcome::Down { error, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(error.contains("535") && error.contains("channels.email.password"), "{error}");
    println!("wrong password: {error}");
}

#[tokio::test]
#[ignore = "needs root, Postfix and Dovecot"]
async fn two_hundred_mails_arrive_once_each() {
    let servers = Servers::start();
    let email = servers.email(Tls::StartTls, "correct-horse");
    let messages: Vec<Message> = (0..200).map(|n| to("bob", &format!("n-{n}"))).collect();
    let begun = Instant::now();
    for outcome in futures_util::future::join_all(messages.iter().map(|message| email.send(message))).await {
        assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    }
    println!("200 mails over 4 connections in {:?}", begun.elapsed());
    let mails = servers.mails("bob", 200);
    let ids: std::collections::BTreeSet<&str> =
        mails.iter().map(|mail| mail["message_id"].as_str().unwrap()).collect();
    assert_eq!((mails.len(), ids.len()), (200, 200));
    email.close().await;
}
