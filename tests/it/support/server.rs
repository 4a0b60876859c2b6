//! The binary as a child process with a data directory of its own, killed and started again at will.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Client, PATIENCE};

/// The admin key of every server here.
pub const ADMIN_KEY: &str = "an-admin-key-for-tests-only";
/// The secret by which every server here signs.
pub const JWT_SECRET: &str = "a-signing-secret-for-tests-only-0123456789";

/// The program under test.
pub fn binary() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the test is told which binary to test")]
    let given = std::env::var_os("BELFRY_BIN");
    given.map_or_else(|| env!("CARGO_BIN_EXE_belfry").into(), PathBuf::from)
}

/// A server process. Dropping it kills the process and fails the test where the log has a panic.
pub struct Server {
    child: Option<Child>,
    url: String,
    home: TempDir,
    environment: Vec<(String, String)>,
    config: Option<PathBuf>,
}

impl Server {
    /// A server with every default but its port, its directory, its keys and mail in capture mode.
    pub async fn start() -> Server {
        Server::start_with(&[]).await
    }

    /// The same with other settings, as environment variables without `BELFRY_`.
    pub async fn start_with(settings: &[(&str, &str)]) -> Server {
        let mut server = Server::prepare(settings);
        server.start_again().await;
        server
    }

    /// The same with a configuration file.
    pub async fn start_with_file(text: &str) -> Server {
        let mut server = Server::prepare(&[]);
        server.unset("CHANNELS__EMAIL__MODE");
        let file = server.home.path().join("belfry.toml");
        fs::write(&file, text).unwrap();
        server.config = Some(file);
        server.start_again().await;
        server
    }

    /// What [`Server::start_with`] starts, before it is started.
    pub fn prepare(settings: &[(&str, &str)]) -> Server {
        let home = tempfile::tempdir().unwrap();
        let mut server =
            Server { child: None, url: String::new(), home, environment: Vec::new(), config: None };
        server.set("SERVER__LISTEN", "127.0.0.1:0");
        server.set("STORAGE__PATH", &server.data().to_string_lossy());
        server.set("AUTH__ADMIN_KEY", ADMIN_KEY);
        server.set("AUTH__JWT_SECRET", JWT_SECRET);
        if !settings.iter().any(|(name, _)| name.starts_with("CHANNELS__EMAIL__")) {
            server.set("CHANNELS__EMAIL__MODE", "capture");
        }
        for (name, value) in settings {
            server.set(name, value);
        }
        server
    }

    /// Sets a variable for the starts to come.
    pub fn set(&mut self, name: &str, value: &str) {
        let name = format!("BELFRY_{name}");
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
    }

    /// Puts its clock into our hands: from its next start it shows our own time moved by what [`Server::shift`] says.
    pub fn fake_clock(&mut self) {
        let library = fs::read_dir("/usr/lib").unwrap().flatten().find_map(|dir| {
            Some(dir.path().join("faketime/libfaketimeMT.so.1")).filter(|library| library.exists())
        });
        let library = library.expect("libfaketime is not installed: run `make setup`");
        let shift = self.home.path().join("clock");
        for (name, value) in [
            ("LD_PRELOAD", library.to_string_lossy()),
            ("FAKETIME_TIMESTAMP_FILE", shift.to_string_lossy()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ] {
            self.environment.push((name.to_owned(), value.into_owned()));
        }
        self.shift(0);
    }

    /// Moves a clock that is in our hands to so many seconds after our own.
    pub fn shift(&self, seconds: i64) {
        let (path, fresh) = (self.home.path().join("clock"), self.home.path().join("clock.new"));
        fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    /// Leaves a setting to the file or the default.
    pub fn unset(&mut self, name: &str) {
        let name = format!("BELFRY_{name}");
        self.environment.retain(|(other, _)| *other != name);
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The configuration file of [`Server::start_with_file`].
    pub fn config(&self) -> &Path {
        self.config.as_deref().unwrap()
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A client with the admin key.
    pub fn admin(&self) -> Client {
        Client::new(&self.url, ADMIN_KEY)
    }

    /// A client with another token.
    pub fn with(&self, token: &str) -> Client {
        Client::new(&self.url, token)
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default()
    }

    /// What it has written to standard output since its last start.
    pub fn said(&self) -> String {
        fs::read_to_string(self.home.path().join("stdout")).unwrap_or_default()
    }

    /// The command that serves, for a test that wants to see it end by itself.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("serve");
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(self.home.path());
        command.stdin(Stdio::null());
        command
    }

    /// Starts it on the directory that it has, and waits until it says where it listens.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let log = File::options().create(true).append(true).open(self.home.path().join("stderr")).unwrap();
        let said = File::create(self.home.path().join("stdout")).unwrap();
        self.child = Some(self.command().stdout(said).stderr(log).spawn().unwrap());
        let begun = Instant::now();
        self.url = loop {
            let said = self.said();
            let line = said.lines().find_map(|line| line.split_once("listening on "));
            if let (Some((_, url)), true) = (line, said.contains('\n')) {
                break url.trim().to_owned();
            }
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not start:\n{}", self.log());
            tokio::time::sleep(super::LOOK_EVERY).await;
        };
    }

    /// Ends it as a power cut would: at once, in the middle of whatever it does (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it and starts it again.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        super::until("the process to end", || {
            let ended = child.try_wait().unwrap();
            async move { ended }
        })
        .await
    }

    /// Waits until the log has `words` more than `seen` times.
    pub async fn logs(&self, words: &str, seen: usize) {
        super::until(&format!("{words:?} in the log"), || async {
            (self.log().matches(words).count() > seen).then_some(())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("---- the server's log ----\n{}", tail(&log));
        } else {
            for sign in ["panicked", "task died", "panic="] {
                assert!(!log.contains(sign), "the server panicked:\n{}", tail(&log));
            }
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
