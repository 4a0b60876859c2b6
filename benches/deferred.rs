//! What it costs that much waits, and how fast it leaves when all of it is due at once.
//!
//! Accepts on an empty store; the outbox's sustained rate; then many deliveries that wait for one instant: accepts beside
//! them, the server's memory, and how fast they leave, with others served meanwhile. `DEFERRED=200000 cargo bench --bench
//! deferred` for fewer than a million.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use support::live::one_thread;
use support::{Asker, Outcome, Server, Tally, head, keep, line, median, request};

const CLIENTS: usize = 64;
const PEOPLE: usize = 10_000;
const MEASURED: Duration = Duration::from_secs(4);
/// Deliveries by which the sustained rate is told.
const SUSTAINED: usize = 50_000;
/// Lines in one upload.
const UPLOAD: usize = 50_000;
/// One in so many has an id by which it is asked for afterwards; what is left over by the four priorities takes turns.
const SAMPLED: usize = 401;
const PRIORITIES: [&str; 4] = ["critical", "high", "medium", "low"];
/// How long before they are due all of them are to be in.
const AHEAD: Duration = Duration::from_secs(30);

fn main() -> Outcome<()> {
    support::move_to_core(support::OUR_CORE)?;
    #[expect(clippy::disallowed_methods, reason = "whoever measures says how many")]
    let wanted = std::env::var("DEFERRED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    println!("{wanted} deferred deliveries, on one core");
    let server = Server::start(&[
        ("BELFRY_CHANNELS__EMAIL__MODE", "capture"),
        ("BELFRY_CHANNELS__SMS__MODE", "capture"),
        ("BELFRY_LIMITS__MAX_BODY_SIZE", "64MiB"),
        ("BELFRY_LIMITS__MAX_CAPTURED", "1000"),
    ])?;
    one_thread(people(server.address))?;
    let empty = one_thread(accepts(server.address))?;
    let sustained = sustained_rate(&server)?;
    let due_in = AHEAD + Duration::from_secs((wanted / 5_000) as u64);
    let (due, began) = (instant(due_in), Instant::now());
    upload(server.address, wanted, Some(&due))?;
    let (loaded, memory) = (began.elapsed(), server.resident_mib()?);
    let beside = one_thread(accepts(server.address))?;
    let left = due_in.saturating_sub(began.elapsed());
    line("uploading them", wanted as f64 / loaded.as_secs_f64(), "/s", None);
    line("resident memory with all of them waiting", memory, "MiB", Some(("under 300", memory < 300.0)));
    let ratio = beside.per_second() / empty.per_second();
    line("accepts, empty store", empty.per_second(), "/s", None);
    line("accepts beside them, over empty", ratio, "", Some(("at least 0.9", ratio >= 0.9)));
    if left.is_zero() {
        return Err("they were due before all of them were in; the machine is too slow for this bench".into());
    }
    std::thread::sleep(left);
    let (released, others) = watch(&server, sent(&server)?, wanted)?;
    let over = released / sustained;
    let ranks = ranks(&server, wanted)?;
    line("sustained rate of the outbox", sustained, "/s", None);
    line("release of all of them, over sustained", over, "", Some(("at least 1", over >= 1.0)));
    let ordered = ranks.windows(2).all(|two| two[0] < two[1]);
    for (priority, rank) in PRIORITIES.iter().zip(&ranks) {
        let target = (*priority == "low").then_some(("in this order", ordered));
        line(&format!("half of {priority} had left after this share of the time"), *rank, "", target);
    }
    line("a text to somebody else meanwhile, median", others.within_ms(0.5), "ms", None);
    line("the slowest of them", others.within_ms(1.0), "ms", None);
    let after = server.resident_mib()?;
    line("resident memory after the release", after, "MiB", None);
    keep(
        "deferred",
        &json!({
            "deferred": wanted, "accepts_empty": empty.to_json(), "accepts_beside": beside.to_json(),
            "resident_mib": memory, "resident_after_mib": after, "sustained_per_second": sustained, "released_per_second": released,
            "ranks": ranks, "others": others.to_json(),
        }),
    )
}

fn instant(from_now: Duration) -> String {
    #[expect(clippy::disallowed_methods, reason = "the server that is measured goes by the wall clock")]
    let at = SystemTime::now() + from_now;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    jiff::Timestamp::from_millisecond(since.as_millis() as i64)
        .map_or_else(|_| String::new(), |at| at.to_string())
}

async fn people(address: SocketAddr) -> Outcome<()> {
    let mut asker = Asker::connect(address).await?;
    for person in 0..PEOPLE {
        let body = format!(r#"{{"email":"p{person}@example.org"}}"#);
        asker.ask(head("PUT", &format!("/v1/users/p{person}"), &body, "").as_bytes()).await?;
    }
    asker.ask(head("PUT", "/v1/users/other", r#"{"phone":"+4915112345678"}"#, "").as_bytes()).await?;
    let wants = r#"{"channels":{"sms":true}}"#;
    asker.ask(head("PATCH", "/v1/users/other/preferences", wants, "").as_bytes()).await?;
    Ok(())
}

/// Publishes to inboxes from kept connections for a while.
async fn accepts(address: SocketAddr) -> Outcome<Tally> {
    let until = Instant::now() + MEASURED;
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        clients.push(tokio::task::spawn_local(async move {
            let (mut micros, mut person) = (Vec::new(), client * PEOPLE / CLIENTS);
            let mut asker = Asker::connect(address).await.map_err(|error| error.to_string())?;
            while Instant::now() < until {
                let body = one(person % PEOPLE, "in_app", None);
                let asked = Instant::now();
                asker
                    .ask(head("POST", "/v1/notifications", &body, "").as_bytes())
                    .await
                    .map_err(|e| e.to_string())?;
                micros.push(asked.elapsed().as_micros() as u32);
                person += 1;
            }
            Ok::<_, String>(micros)
        }));
    }
    let mut tally = Tally { micros: Vec::new(), seconds: MEASURED.as_secs_f64() };
    for client in clients {
        tally.micros.extend(client.await??);
    }
    Ok(tally)
}

fn one(person: usize, channel: &str, due: Option<&str>) -> String {
    let priority = PRIORITIES[person % 4];
    let when = due.map_or_else(String::new, |due| format!(r#","send_at":"{due}""#));
    format!(
        r#"{{"user_id":"p{person}","type":"system_alert","title":"Disk almost full","message":"host db-{person}","priority":"{priority}","channels":["{channel}"]{when}}}"#
    )
}

/// The same with an id, where it waits and is in the sample.
fn numbered(n: usize, body: String, due: Option<&str>) -> String {
    if due.is_none() || !n.is_multiple_of(SAMPLED) {
        return body;
    }
    body.replacen('{', &format!(r#"{{"id":"sample-{n}","#), 1)
}

fn upload(address: SocketAddr, count: usize, due: Option<&str>) -> Outcome<()> {
    let mut done = 0;
    while done < count {
        let lines: Vec<String> = (done..count.min(done + UPLOAD))
            .map(|n| numbered(n, one(n % PEOPLE, "email", due), due))
            .collect();
        let body = lines.join("\n");
        let head = head("POST", "/v1/notifications/batch", &body, "Connection: close\r\n");
        let request = head.replacen("application/json", "application/x-ndjson", 1);
        let (status, answer) = support::exchange(address, &request)?;
        if status != 202 || !answer.contains(r#""failed":0"#) {
            return Err(
                format!("an upload was answered {status}: {}", &answer[..answer.len().min(300)]).into()
            );
        }
        done += lines.len();
    }
    Ok(())
}

/// How many mails have been sent.
fn sent(server: &Server) -> Outcome<f64> {
    let (_, metrics) = request(server.address, "GET", "/metrics", "")?;
    let lines = metrics.lines().filter(|line| {
        line.starts_with("belfry_deliveries_total{")
            && line.contains(r#""email""#)
            && line.contains(r#""sent""#)
    });
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// How many mails a second leave that are due as soon as they are accepted.
fn sustained_rate(server: &Server) -> Outcome<f64> {
    let (before, began) = (sent(server)?, Instant::now());
    upload(server.address, SUSTAINED, None)?;
    wait_for(server, before + SUSTAINED as f64, || Ok(()))?;
    Ok(SUSTAINED as f64 / began.elapsed().as_secs_f64())
}

/// Waits until `count` more have left. Answers how many a second, and how long a text to somebody else took meanwhile.
fn watch(server: &Server, before: f64, count: usize) -> Outcome<(f64, Tally)> {
    let (began, mut micros) = (Instant::now(), Vec::new());
    let body = r#"{"user_id":"other","type":"system_alert","title":"t","message":"m","channels":["sms"]}"#;
    let text = head("POST", "/v1/notifications", body, "Prefer: wait=30\r\nConnection: close\r\n");
    wait_for(server, before + count as f64, || {
        let asked = Instant::now();
        let (status, answer) = support::exchange(server.address, &text)?;
        if status != 200 {
            return Err(format!("a text was answered {status}: {answer}").into());
        }
        micros.push(asked.elapsed().as_micros() as u32);
        Ok(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    Ok((count as f64 / seconds, Tally { micros, seconds }))
}

/// For each priority, after which share of the whole time half of its sample had left.
fn ranks(server: &Server, count: usize) -> Outcome<Vec<f64>> {
    let mut left: [Vec<f64>; 4] = Default::default();
    for n in (0..count).step_by(SAMPLED) {
        let (_, body) = request(server.address, "GET", &format!("/v1/notifications/sample-{n}/status"), "")?;
        let status: serde_json::Value = serde_json::from_str(&body)?;
        let at: jiff::Timestamp =
            status["delivered_at"].as_str().ok_or("one of the sample has not left")?.parse()?;
        left[n % PEOPLE % 4].push(at.as_millisecond() as f64);
    }
    let all = || left.iter().flatten().copied();
    let (first, last) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
    Ok(left.iter().map(|of_one| (median(of_one.clone()) - first) / (last - first).max(1.0)).collect())
}

fn wait_for(server: &Server, wanted: f64, mut meanwhile: impl FnMut() -> Outcome<()>) -> Outcome<()> {
    let (mut last, mut stalled) = (0.0, Instant::now());
    loop {
        let sent = sent(server)?;
        if sent >= wanted {
            return Ok(());
        }
        if sent > last {
            (last, stalled) = (sent, Instant::now());
        }
        if stalled.elapsed() > Duration::from_secs(60) {
            return Err(format!("nothing left for a minute, {} are missing", wanted - sent).into());
        }
        meanwhile()?;
        std::thread::sleep(Duration::from_millis(100));
    }
}
