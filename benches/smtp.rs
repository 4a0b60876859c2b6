//! How many mails a second leave the server, beside a bare loop of the mail library that sends the same.
//!
//! Both run on one and the same core, one after the other in rounds, so that a machine that is busy with other things
//! is busy for both; only the ratio means anything. The loop writes nothing down, plans nothing and renders nothing: a
//! connection for each of its eight tasks, asked whether it is still there before each mail, as the library's own pool
//! does. The mail server that takes everything answers the end of a mail as soon as a relay's disk would have it, and
//! in a second run at once.

#[path = "../tests/support/sink.rs"]
mod sink;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lettre::address::Envelope;
use lettre::message::MultiPart;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use serde_json::json;
use sink::Sink;
use support::{Outcome, Server, keep, line, median};
use tokio::net::TcpStream;

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 8;
const PEOPLE: usize = 1_000;
/// As long as the server's mail of the notification below.
const TEXT_BYTES: usize = 200;
const HTML_BYTES: usize = 1_900;
/// What a relay takes to have a mail on its disk. Postfix on a good one is slower.
const RELAY_WAIT: Duration = Duration::from_millis(5);
/// Until all that is published waits for its instant.
const LEAD: Duration = Duration::from_secs(6);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, port, mails] = arguments.as_slice()
        && mode == "bare-loop"
    {
        return one_thread(bare_loop(port.parse()?, mails.parse()?));
    }
    support::move_to_core(support::OUR_CORE)?;
    let mut results = Vec::new();
    for (name, wait, mails) in
        [("a relay with a disk", RELAY_WAIT, 6_000), ("no wait at all", Duration::ZERO, 12_000)]
    {
        let (mut bares, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            servers.push(one_thread(from_server(wait, mails))?);
            bares.push(one_thread(from_bare_loop(wait, mails))?);
        }
        let ratio = median(bares.iter().zip(&servers).map(|(bare, server)| server / bare).collect());
        println!(
            "mails over {CONNECTIONS} connections, one core each, medians of {ROUNDS} interleaved rounds: {name}"
        );
        let (bare, server) = (median(bares), median(servers));
        line("bare loop of the mail library", bare, "/s", None);
        line("server", server, "/s", None);
        let target = (!wait.is_zero()).then_some(("at least 0.9", ratio >= 0.9));
        line("server over bare loop", ratio, "", target);
        results.push(
            json!({ "relay": name, "bare_per_second": bare, "server_per_second": server, "ratio": ratio }),
        );
    }
    keep("smtp", &json!(results))
}

fn one_thread<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// When a tenth of what is expected had come, and when all of it had.
#[derive(Clone, Default)]
struct Marks {
    taken: Arc<AtomicUsize>,
    at: Arc<Mutex<Vec<Instant>>>,
}

impl Marks {
    /// A mail server that takes everything; its port.
    async fn server(&self, wait: Duration, expected: usize) -> Outcome<u16> {
        let marks = self.clone();
        let took = move |_: &str| {
            let taken = marks.taken.fetch_add(1, Ordering::Relaxed) + 1;
            if taken == expected / 10 || taken == expected {
                marks.at.lock().push(Instant::now());
            }
        };
        Ok(Sink { wait, refuses: Box::new(|_| None), took: Box::new(took) }.start().await?)
    }

    /// Mails a second over the last nine tenths of them, once all have come.
    async fn rate(&self, expected: usize) -> Outcome<f64> {
        let begun = Instant::now();
        loop {
            if let [first, last] = self.at.lock()[..] {
                return Ok((expected - expected / 10) as f64 / (last - first).as_secs_f64());
            }
            if begun.elapsed() > Duration::from_secs(120) {
                return Err(format!("{} of {expected} mails came", self.taken.load(Ordering::Relaxed)).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn from_bare_loop(wait: Duration, mails: usize) -> Outcome<f64> {
    let marks = Marks::default();
    let port = marks.server(wait, mails).await?.to_string();
    let mut child = tokio::process::Command::from(support::on_core(support::MEASURED_CORE))
        .arg(std::env::current_exe()?)
        .args(["bare-loop", &port, &mails.to_string()])
        .spawn()?;
    let rate = marks.rate(mails).await;
    let _ = child.kill().await;
    rate
}

async fn bare_loop(port: u16, mails: usize) -> Outcome<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let next = next.clone();
        tasks.push(tokio::task::spawn_local(async move {
            let sent = send_mails(port, mails, &next).await;
            sent.map_err(|error| error.to_string())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn send_mails(port: u16, mails: usize, next: &AtomicUsize) -> Outcome<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let hello = ClientId::default();
    let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await?;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= mails {
            return Ok(());
        }
        let mail = lettre::Message::builder()
            .from("Belfry <belfry@belfry.test>".parse()?)
            .to(format!("p{}@example.org", number % PEOPLE).parse()?)
            .subject("Disk almost full")
            .multipart(MultiPart::alternative_plain_html("x".repeat(TEXT_BYTES), "x".repeat(HTML_BYTES)))?;
        let envelope: &Envelope = mail.envelope();
        if !connection.test_connected().await {
            return Err("the connection is gone".into());
        }
        connection.send(envelope, &mail.formatted()).await?;
    }
}

/// Everything is published before its instant, so that what is measured is the sending alone.
async fn from_server(wait: Duration, mails: usize) -> Outcome<f64> {
    let marks = Marks::default();
    let port = marks.server(wait, mails).await?.to_string();
    let server = Server::start(&[
        ("BELFRY_CHANNELS__EMAIL__HOST", "127.0.0.1"),
        ("BELFRY_CHANNELS__EMAIL__PORT", &port),
        ("BELFRY_CHANNELS__EMAIL__TLS", "none"),
        ("BELFRY_CHANNELS__EMAIL__FROM", "Belfry <belfry@belfry.test>"),
        ("BELFRY_CHANNELS__EMAIL__MAX_CONNECTIONS", &CONNECTIONS.to_string()),
    ])?;
    for person in 0..PEOPLE {
        let body = format!(r#"{{"email":"p{person}@example.org"}}"#);
        support::request(server.address, "PUT", &format!("/v1/users/p{person}"), &body)?;
    }
    #[expect(clippy::disallowed_methods, reason = "the server that is measured goes by the wall clock")]
    let at = (SystemTime::now() + LEAD).duration_since(SystemTime::UNIX_EPOCH)?;
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis())?)?;
    let lines: String = (0..mails)
        .map(|number| {
            let person = number % PEOPLE;
            format!(
                "{{\"user_id\":\"p{person}\",\"type\":\"alert\",\"title\":\"Disk almost full\",\"priority\":\"medium\",\
                 \"message\":\"Host db-3 has 4 % left.\",\"channels\":[\"email\"],\"send_at\":\"{at}\"}}\n"
            )
        })
        .collect();
    let upload = support::head("POST", "/v1/notifications/batch", &lines, "Connection: close\r\n").replacen(
        "application/json",
        "application/x-ndjson",
        1,
    );
    let (status, answer) = support::exchange(server.address, &upload)?;
    if status != 202 || !answer.contains("\"failed\":0") {
        return Err(format!("the upload was answered {status}: {}", &answer[..answer.len().min(400)]).into());
    }
    marks.rate(mails).await
}
