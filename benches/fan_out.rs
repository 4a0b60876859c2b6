//! What it costs to tell many at once, and how soon a herd that comes back is whole again.
//!
//! A topic with a thousand and with ten thousand watchers, one message under way at a time and eight: deliveries for
//! each second of the server's processor time, and how long a message takes to reach the last one. Then a thousand
//! people who have each missed a hundred notifications and come back at once.

mod support;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::live::{count, greeted, handshake, name, one_thread, open, tokens};
use support::{Asker, Outcome, Server, Tally, keep, line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const SECONDS: f64 = 4.0;
const HERD: usize = 1_000;
const MISSED: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Outcome<()> {
    support::move_to_core(support::OUR_CORE)?;
    println!("telling many, on one core");
    let mut rounds = Vec::new();
    for watchers in [1_000, 10_000] {
        for window in [1, 8] {
            rounds.push(one_thread(fan_out(watchers, window))?);
        }
    }
    let herd = one_thread(herd_comes_back())?;
    keep("fan_out", &json!({ "fan_out": rounds, "herd": herd }))
}

/// What all watchers together have heard.
#[derive(Default)]
struct Heard {
    deliveries: Cell<usize>,
    more: Notify,
}

async fn fan_out(watchers: usize, window: usize) -> Outcome<Value> {
    let server = Server::start(&[("BELFRY_WEBSOCKET__MAX_CONNECTIONS", "100000")])?;
    let heard = Rc::new(Heard::default());
    for _ in 0..watchers {
        let stream = watch(server.address).await?;
        tokio::task::spawn_local(listen(stream, heard.clone()));
    }
    let (sent, took) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Tally::default())));
    let (began, cpu_before) = (Instant::now(), server.cpu_seconds()?);
    let mut publishers = Vec::new();
    for _ in 0..window {
        let (heard, sent, address) = (heard.clone(), sent.clone(), server.address);
        publishers.push(tokio::task::spawn_local(async move {
            let publishing = publish(address, watchers, window, began, &heard, &sent).await;
            publishing.map_err(|error| error.to_string())
        }));
    }
    let following = follow(watchers, &heard, &sent, &took);
    let publishing = async {
        for publisher in publishers {
            publisher.await??;
        }
        Outcome::Ok(())
    };
    tokio::select! {
        () = following => {}
        published = publishing => published?,
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), server.cpu_seconds()? - cpu_before);
    let deliveries = heard.deliveries.get() as f64;
    let (per_cpu, p99) = (deliveries / cpu, took.borrow().within_ms(0.99));
    let what = format!("{watchers} watchers, {window} under way");
    line(&format!("{what}: deliveries"), per_cpu, "/cpu-s", None);
    line(&format!("{what}: to the last, p99"), p99, "ms", None);
    Ok(json!({
        "watchers": watchers, "window": window, "per_cpu_second": per_cpu,
        "per_second": deliveries / seconds, "complete_p99_ms": p99,
    }))
}

/// A connection that watches the topic.
async fn watch(address: SocketAddr) -> Outcome<TcpStream> {
    let mut stream = open(address, support::ADMIN_KEY).await?;
    let wish = br#"{"type":"subscribe","channel":"topic:t"}"#;
    // A client's frame is masked; a mask of zeros leaves the text as it is.
    let mut frame = vec![0x81, 0x80 | wish.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(wish);
    stream.write_all(&frame).await?;
    let mut answer = Vec::new();
    while !answer.windows(12).any(|window| window == b"\"subscribed\"") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("the server closed a live connection".into());
        }
    }
    Ok(stream)
}

async fn listen(mut stream: TcpStream, heard: Rc<Heard>) {
    let mut input = Vec::with_capacity(4_096);
    while stream.read_buf(&mut input).await.is_ok_and(|length| length > 0) {
        let found = count(&mut input, b"\"workflow_update\"");
        if found > 0 {
            heard.deliveries.set(heard.deliveries.get() + found);
            heard.more.notify_waiters();
        }
    }
}

/// Sends for a while, never more than `window` messages ahead of the slowest watcher.
async fn publish(
    address: SocketAddr,
    watchers: usize,
    window: usize,
    began: Instant,
    heard: &Heard,
    sent: &RefCell<Vec<Instant>>,
) -> Outcome<()> {
    let text = "x".repeat(150);
    let message =
        json!({ "type": "workflow_update", "workflow_id": "w", "status": "running", "message": text });
    let body = json!({ "message": message, "to": { "topic": "t" } }).to_string();
    let request = support::head("POST", "/v1/broadcasts", &body, "");
    let mut asker = Asker::connect(address).await?;
    while began.elapsed().as_secs_f64() < SECONDS {
        let more = heard.more.notified();
        if sent.borrow().len() < heard.deliveries.get() / watchers + window {
            sent.borrow_mut().push(Instant::now());
            asker.ask(request.as_bytes()).await?;
        } else {
            tokio::time::timeout(PATIENCE, more).await?;
        }
    }
    Ok(())
}

/// Notes how long each message took to its last watcher.
async fn follow(watchers: usize, heard: &Heard, sent: &RefCell<Vec<Instant>>, took: &RefCell<Tally>) {
    loop {
        heard.more.notified().await;
        while took.borrow().micros.len() < heard.deliveries.get() / watchers {
            let mut took = took.borrow_mut();
            let Some(at) = sent.borrow().get(took.micros.len()).copied() else { break };
            took.micros.push(at.elapsed().as_micros() as u32);
        }
    }
}

async fn herd_comes_back() -> Outcome<Value> {
    let server = Server::start(&[("BELFRY_WEBSOCKET__MAX_CONNECTIONS", "100000")])?;
    let tokens = tokens(server.address, HERD).await?;
    let mut asker = Asker::connect(server.address).await?;
    for user in 0..HERD {
        let one =
            json!({ "user_id": name(user), "type": "info", "title": "Missed", "message": "x".repeat(100) });
        let body = json!({ "notifications": vec![one; MISSED] }).to_string();
        let status =
            asker.ask(support::head("POST", "/v1/notifications/batch", &body, "").as_bytes()).await?;
        if status >= 300 {
            return Err(format!("a batch was answered {status}").into());
        }
    }
    let (_, hello) = greeted(server.address, &tokens[0]).await?;
    let epoch =
        hello.split("\"epoch\":\"").nth(1).and_then(|rest| rest.split('"').next()).ok_or("no epoch")?;
    let query = format!("?epoch={epoch}&offset=0");
    let (began, cpu_before) = (Instant::now(), server.cpu_seconds()?);
    let mut herd = Vec::new();
    for token in tokens {
        let (query, address) = (query.clone(), server.address);
        herd.push(tokio::task::spawn_local(async move {
            come_back(address, &query, &token).await.map_err(|error| error.to_string())
        }));
    }
    for one in herd {
        tokio::time::timeout(PATIENCE, one).await???;
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), server.cpu_seconds()? - cpu_before);
    line("1,000 back at once, 100 missed each: all whole", seconds, "s", Some(("under 5", seconds < 5.0)));
    line("the server's processor time for it", cpu, "s", None);
    Ok(json!({ "whole_after_s": seconds, "server_cpu_s": cpu }))
}

async fn come_back(address: SocketAddr, query: &str, token: &str) -> Outcome<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(handshake(query, token).as_bytes()).await?;
    let (mut input, mut found) = (Vec::with_capacity(16 * 1024), 0);
    while found < MISSED {
        if stream.read_buf(&mut input).await? == 0 {
            return Err("the server closed a live connection".into());
        }
        found += count(&mut input, b"\"type\":\"notification\"");
    }
    Ok(())
}
