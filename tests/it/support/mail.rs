//! A mail server that takes, refuses and delays on demand: `tests/support/mail.py` says what.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The password that it takes.
pub const PASSWORD: &str = "correct horse";

/// A running mail server. Its process ends when the standard input that it reads is closed.
pub struct MailServer {
    process: Child,
    port: u16,
    ca: String,
    directory: tempfile::TempDir,
}

impl MailServer {
    /// With STARTTLS and a login.
    pub fn start() -> MailServer {
        let directory = tempfile::tempdir().unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "the test is told which Python has the server's library"
        )]
        let python = std::env::var("BELFRY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut process = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/mail.py"))
            .arg(directory.path())
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
        MailServer {
            port: said["port"].as_u64().unwrap().try_into().unwrap(),
            ca: said["ca"].as_str().unwrap().to_owned(),
            process,
            directory,
        }
    }

    /// The settings by which a server sends its mail here, retrying after those waits.
    pub fn settings<'a>(&'a self, port: &'a str, schedule: &'a str) -> Vec<(&'static str, &'a str)> {
        vec![
            ("CHANNELS__EMAIL__HOST", "localhost"),
            ("CHANNELS__EMAIL__PORT", port),
            ("CHANNELS__EMAIL__TLS", "starttls"),
            ("CHANNELS__EMAIL__USERNAME", "belfry"),
            ("CHANNELS__EMAIL__PASSWORD", PASSWORD),
            ("CHANNELS__EMAIL__FROM", "Belfry <belfry@belfry.test>"),
            ("CHANNELS__EMAIL__CA_FILE", &self.ca),
            ("RETRY__EMAIL__SCHEDULE", schedule),
        ]
    }

    /// Its port.
    pub fn port(&self) -> String {
        self.port.to_string()
    }

    /// Every mail that it has stored.
    pub fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("mails.jsonl")).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The value of a header of a stored mail.
pub fn header<'m>(mail: &'m Value, name: &str) -> &'m str {
    let source = mail["source"].as_str().unwrap();
    let found = source.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {source}"))
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
