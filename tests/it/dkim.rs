//! Claims about signed mails: that a library which is not ours verifies what a mail server receives.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::client::{hello, with};
use crate::support::mail::header;
use crate::support::{MailServer, Server};

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A new key in a file, and the record that publishes it.
fn key(path: &Path, algorithm: &[&str], name: &str) -> String {
    let path = path.to_str().unwrap();
    openssl(&[&["genpkey", "-out", path][..], algorithm].concat());
    let public = openssl(&["pkey", "-in", path, "-pubout", "-outform", "DER"]);
    // RFC 8463, section 4: the bare key, which is the end of it.
    let bare = if name == "ed25519" { &public[public.len() - 32..] } else { &public[..] };
    format!("v=DKIM1; k={name}; p={}", STANDARD.encode(bare))
}

fn verified(cases: &[(String, &str)]) -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "the test is told which Python has the library")]
    let python = std::env::var("BELFRY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/verify_dkim.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for (mail, record) in cases {
        writeln!(input, "{}", json!({ "mail": mail, "record": record })).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_signature_holds_over_headers_bodies_and_the_unsubscribe_link_and_breaks_with_any_of_them() {
    let directory = tempfile::tempdir().unwrap();
    for (name, algorithm) in [
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..]),
        ("ed25519", &["-algorithm", "ED25519"]),
    ] {
        let path = directory.path().join(name);
        let record = key(&path, algorithm, name);
        let (mail, path) = (MailServer::start(), path.to_str().unwrap().to_owned());
        let port = mail.port();
        let mut settings = mail.settings(&port, "[\"1h\"]");
        settings.extend([
            ("SERVER__BASE_URL", "https://notify.belfry.test"),
            ("CHANNELS__EMAIL__DKIM__SELECTOR", "s2026"),
            ("CHANNELS__EMAIL__DKIM__PRIVATE_KEY_FILE", path.as_str()),
        ]);
        let server = Server::start_with(&settings).await;
        let admin = server.admin();
        admin.person("ada").await;
        let texts = [
            json!({ "title": "Hello", "message": "There." }),
            json!({ "title": format!("Über {} ✓", "lange Wörter ".repeat(18)), "message": "a  b \t\n.\n\n  c\n\n\n" }),
            json!({ "title": "=?utf-8?q?x?=", "message": "x".repeat(3_000) }),
        ];
        for text in texts {
            let sent = admin.notify(&with(hello("ada"), text)).await;
            admin.comes_to(sent["notification_id"].as_str().unwrap(), "email", "sent").await;
        }
        let mails: Vec<Value> = mail.mails();
        let mut cases = Vec::new();
        for one in &mails {
            let source = one["source"].as_str().unwrap();
            assert!(header(one, "List-Unsubscribe").contains("/u/"));
            cases.push((source.to_owned(), record.as_str()));
        }
        let first = mails[0]["source"].as_str().unwrap();
        for (from, to) in [
            ("There.", "Here."),
            ("To: ada@", "To: eve@"),
            ("https://notify.belfry.test/u/", "https://evil.example.org/u/"),
            ("List-Unsubscribe=One-Click", "List-Unsubscribe=Never"),
            ("From: Belfry", "From: Eve <eve@example.org>\r\nFrom: Belfry"),
            ("Subject: Hello", "Subject: Pay now\r\nSubject: Hello"),
        ] {
            assert!(first.contains(from), "{from}");
            cases.push((first.replace(from, to), &record));
        }
        let answers = verified(&cases);
        assert_eq!(answers[..3], ["s2026._domainkey.belfry.test"; 3], "{name}");
        assert_eq!(answers[3..], ["no"; 6], "{name}");
        assert!(!server.log().contains("PRIVATE KEY"));
    }
}

#[tokio::test]
async fn a_key_that_cannot_sign_or_half_a_signature_is_refused_by_its_name() {
    let refused = [
        (
            vec![("DKIM__SELECTOR", "s"), ("DKIM__PRIVATE_KEY", "rubbish")],
            "CHANNELS__EMAIL__DKIM__PRIVATE_KEY",
        ),
        (vec![("DKIM__SELECTOR", "s")], "channels.email.dkim.private_key"),
    ];
    for (settings, named) in refused {
        let settings: Vec<(String, &str)> =
            settings.iter().map(|(name, value)| (format!("CHANNELS__EMAIL__{name}"), *value)).collect();
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let output = Server::prepare(&settings).command().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(named) && !said.contains("rubbish"), "{said}");
    }
}
