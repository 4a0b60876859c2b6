//! What the measurements share: the real server on a core of its own, tiny HTTP clients, and numbers on paper.
#![allow(dead_code, reason = "each measurement uses its own part of this")]
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement is no part of the house: it may read the environment"
)]

pub mod live;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The core of whatever is measured, and the core of whoever measures.
pub const MEASURED_CORE: &str = "0";
pub const OUR_CORE: &str = "1";
/// The admin key of every server that is started here.
pub const ADMIN_KEY: &str = "bk_a-key-for-measuring-and-nothing-else";

/// Errors end the measurement; nothing is to be mended.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The program under test: `BELFRY_BIN`, or else what cargo has just built.
pub fn program() -> PathBuf {
    std::env::var_os("BELFRY_BIN").map_or_else(|| env!("CARGO_BIN_EXE_belfry").into(), PathBuf::from)
}

/// A directory on the disk that the build is on: a temporary directory may be in memory, where a flush costs nothing.
pub fn scratch() -> Outcome<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// Command line that runs on one core.
pub fn on_core(core: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]);
    command
}

/// Moves this process, and what it starts from here on, to one core.
pub fn move_to_core(core: &str) -> Outcome<()> {
    let pid = std::process::id().to_string();
    let moved = Command::new("taskset").args(["-a", "-cp", core, &pid]).stdout(Stdio::null()).status()?;
    if moved.success() { Ok(()) } else { Err("failed to move to a core with taskset".into()) }
}

/// A running server. It is stopped when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// From the start of the process to the first 200 of `/readyz`.
    pub ready_after: Duration,
    data: tempfile::TempDir,
}

impl Server {
    /// Starts the program on an empty store, pinned to the measured core, with `settings` in its environment.
    pub fn start(settings: &[(&str, &str)]) -> Outcome<Server> {
        let data = scratch()?;
        let began = Instant::now();
        let mut child = on_core(MEASURED_CORE)
            .arg(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            // Ours to read; to the server it would be a setting that it does not know.
            .env_remove("BELFRY_BIN")
            .env("BELFRY_AUTH__ADMIN_KEY", ADMIN_KEY)
            .env("BELFRY_LOG__LEVEL", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().ok_or("a server without output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line.trim().rsplit("http://").next().unwrap_or_default().parse()?;
        while request(address, "GET", "/readyz", "").map_or(0, |(status, _)| status) != 200 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Server { child, address, ready_after: began.elapsed(), data })
    }

    /// A value of `/proc/<pid>/<file>`, in KiB.
    fn kib(&self, file: &str, name: &str) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such figure")?;
        Ok(line.split_whitespace().next().ok_or("an empty figure")?.parse()?)
    }

    /// Resident memory, in MiB.
    pub fn resident_mib(&self) -> Outcome<f64> {
        Ok(self.kib("status", "VmRSS:")? / 1024.0)
    }

    /// Proportional memory, in KiB.
    pub fn proportional_kib(&self) -> Outcome<f64> {
        self.kib("smaps_rollup", "Pss:")
    }

    /// Seconds of processor time so far, of user and system.
    pub fn cpu_seconds(&self) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        // Linux counts in hundredths of a second for whoever reads this file.
        Ok((ticks(11).ok_or("no user time")? + ticks(12).ok_or("no system time")?) / 100.0)
    }

    /// A figure of `/metrics`.
    pub fn metric(&self, name: &str) -> Outcome<f64> {
        let (_, text) = request(self.address, "GET", "/metrics", "")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.ok_or("no such metric")?.parse()?)
    }

    /// Stops the server in order and looks at what it has stored.
    pub fn stop_and_read<T>(mut self, read: impl FnOnce(&sled::Db) -> Outcome<T>) -> Outcome<T> {
        self.terminate();
        read(&sled::Config::new().path(self.data.path().join("store")).open()?)
    }

    fn terminate(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// One request on a connection of its own: status and body.
pub fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Outcome<(u16, String)> {
    exchange(address, &head(method, path, body, "Connection: close\r\n"))
}

/// A whole request that closes its connection: status and body.
pub fn exchange(address: SocketAddr, request: &str) -> Outcome<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
    Ok((head.get(9..12).ok_or("a short answer")?.parse()?, body.to_owned()))
}

/// A whole request as bytes.
pub fn head(method: &str, path: &str, body: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

/// A kept HTTP connection that asks one thing after the other.
pub struct Asker {
    stream: tokio::net::TcpStream,
    answer: Vec<u8>,
}

impl Asker {
    pub async fn connect(address: SocketAddr) -> Outcome<Asker> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Asker { stream, answer: Vec::with_capacity(4096) })
    }

    /// As [`Asker::ask`], and gives the body too.
    pub async fn ask_for_body(&mut self, request: &[u8]) -> Outcome<(u16, String)> {
        let status = self.ask(request).await?;
        let start = self.answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |end| end + 4);
        Ok((status, String::from_utf8(self.answer[start..].to_vec())?))
    }

    /// Sends a request and reads the whole answer; gives its status.
    pub async fn ask(&mut self, request: &[u8]) -> Outcome<u16> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let mut wanted = None;
        while wanted.is_none_or(|length| self.answer.len() < length) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if wanted.is_none() {
                wanted = whole_length(&self.answer);
            }
        }
        Ok(std::str::from_utf8(&self.answer[9..12])?.parse()?)
    }
}

/// The length of head and body, once the head is there.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    Some(end + length.trim().parse::<usize>().ok()?)
}

/// How often something was done, and how long each time took.
#[derive(Debug, Default)]
pub struct Tally {
    pub micros: Vec<u32>,
    pub seconds: f64,
}

impl Tally {
    pub fn per_second(&self) -> f64 {
        self.micros.len() as f64 / self.seconds
    }

    /// The latency that `share` of all stayed within, in milliseconds.
    pub fn within_ms(&self, share: f64) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let place = (sorted.len() as f64 * share) as usize;
        f64::from(sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)) / 1_000.0
    }

    pub fn to_json(&self) -> Value {
        json!({ "per_second": self.per_second(), "p50_ms": self.within_ms(0.5), "p99_ms": self.within_ms(0.99) })
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A line of the result: what, how much, and what it should be.
pub fn line(what: &str, value: f64, unit: &str, target: Option<(&str, bool)>) {
    let verdict = match target {
        Some((target, true)) => format!("target {target}: holds"),
        Some((target, false)) => format!("target {target}: MISSED"),
        None => String::new(),
    };
    println!("  {what:<48} {value:>12.2} {unit:<6} {verdict}");
}

/// Keeps a result as JSON beside the build, and says where.
pub fn keep(name: &str, result: &Value) -> Outcome<()> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
    fs::write(&path, format!("{result:#}\n"))?;
    println!("  {result}\n  kept in {}", path.display());
    Ok(())
}
