//! What the server takes before and while it does nothing, and how soon a thousand people are served.
//!
//! Cold start and idle memory on an empty store; memory for each idle authenticated connection; and a thousand
//! connections on the default limits, each sent a notification of its own and then all of them one broadcast.

mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::live::{connect, name, one_thread, tokens};
use support::{Asker, Outcome, Server, Tally, keep, line, median};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const STARTS: usize = 9;
/// The default of `websocket.max_connections`.
const SERVED: usize = 1_000;
const IDLE: usize = 6_000;
const PUBLISHERS: usize = 64;
/// How long the server may settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);
const NOTIFICATION: &[u8; 21] = b"\"type\":\"notification\"";
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Outcome<()> {
    support::move_to_core(support::OUR_CORE)?;
    println!("starting, idling and serving, on one core");
    let start = cold_start()?;
    let idle = one_thread(idle_connections())?;
    let served = one_thread(serve_a_thousand())?;
    keep("live", &json!({ "start": start, "idle_connection": idle, "served": served }))
}

fn cold_start() -> Outcome<Value> {
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for round in 0..STARTS {
        let server = Server::start(&[])?;
        starts.push(server.ready_after.as_secs_f64() * 1_000.0);
        if round < 3 {
            std::thread::sleep(SETTLE);
            memory.push(server.resident_mib()?);
        }
    }
    let (start, memory) = (median(starts), median(memory));
    line("from start to ready, empty store", start, "ms", Some(("under 100", start < 100.0)));
    line("resident memory, idle", memory, "MiB", Some(("under 40", memory < 40.0)));
    Ok(json!({ "ready_ms": start, "resident_mib": memory }))
}

async fn idle_connections() -> Outcome<Value> {
    let server = Server::start(&[("BELFRY_WEBSOCKET__MAX_CONNECTIONS", "100000")])?;
    let tokens = tokens(server.address, IDLE).await?;
    tokio::time::sleep(SETTLE).await;
    let before = server.proportional_kib()?;
    let began = Instant::now();
    let lines = connect(server.address, &tokens).await?;
    let seconds = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let each = (server.proportional_kib()? - before) / lines.len() as f64;
    let whole = server.resident_mib()?;
    line("memory for each idle connection (growth of PSS)", each, "KiB", Some(("at most 8", each <= 8.0)));
    line("resident memory with so many connections", whole, "MiB", None);
    line("connections, opened and greeted", IDLE as f64 / seconds, "/s", None);
    Ok(
        json!({ "connections": IDLE, "kib": each, "resident_mib": whole, "connects_per_second": IDLE as f64 / seconds }),
    )
}

async fn serve_a_thousand() -> Outcome<Value> {
    let server = Server::start(&[])?;
    let tokens = tokens(server.address, SERVED).await?;
    let lines = connect(server.address, &tokens).await?;
    let began = Instant::now();
    let ears: Vec<_> = lines.into_iter().map(|line| tokio::task::spawn_local(listen(line, began))).collect();
    let sent = publish_to_each(server.address).await?;
    let mut publisher = Asker::connect(server.address).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let message =
        r#"{"message":{"type":"notification","title":"To all","message":"A broadcast"},"to":"all"}"#;
    let broadcast = began.elapsed();
    publisher.ask(support::head("POST", "/v1/broadcasts", message, "").as_bytes()).await?;
    let (mut own, mut all) = (Tally::default(), Tally::default());
    for (ear, sent) in ears.into_iter().zip(sent) {
        let [first, second] = tokio::time::timeout(PATIENCE, ear).await???;
        own.micros.push((first - sent).as_micros() as u32);
        all.micros.push((second - broadcast).as_micros() as u32);
    }
    let (slowest, last) = (own.within_ms(1.0), all.within_ms(1.0));
    line("1,000 notifications, from asking to the socket, p50", own.within_ms(0.5), "ms", None);
    line("1,000 notifications, the slowest", slowest, "ms", Some(("under 1000", slowest < 1_000.0)));
    line("a broadcast to 1,000, the last", last, "ms", Some(("under 1000", last < 1_000.0)));
    Ok(json!({ "own_p50_ms": own.within_ms(0.5), "own_slowest_ms": slowest, "broadcast_last_ms": last }))
}

/// Sends each person a notification from 64 connections. Answers when each was sent.
async fn publish_to_each(address: SocketAddr) -> Outcome<Vec<Duration>> {
    let began = Instant::now();
    let next = Rc::new(Cell::new(0));
    let mut publishers = Vec::new();
    for _ in 0..PUBLISHERS {
        let next = next.clone();
        publishers.push(tokio::task::spawn_local(async move {
            let mut asker = Asker::connect(address).await.map_err(|error| error.to_string())?;
            let mut sent = Vec::new();
            while next.get() < SERVED {
                let user = next.replace(next.get() + 1);
                sent.push((user, began.elapsed()));
                let status = asker.ask(&publish(user)).await.map_err(|error| error.to_string())?;
                if status != 202 {
                    return Err(format!("a publisher was answered {status}"));
                }
            }
            Ok(sent)
        }));
    }
    let mut all = vec![Duration::ZERO; SERVED];
    for publisher in publishers {
        for (user, at) in publisher.await?? {
            all[user] = at;
        }
    }
    Ok(all)
}

fn publish(user: usize) -> Vec<u8> {
    let body =
        json!({ "user_id": name(user), "type": "system_alert", "title": "Disk", "message": "almost full" });
    support::head("POST", "/v1/notifications", &body.to_string(), "").into_bytes()
}

/// When the first two notifications came.
async fn listen(mut stream: TcpStream, began: Instant) -> Result<[Duration; 2], String> {
    let mut heard = Vec::with_capacity(4_096);
    let mut came = Vec::new();
    while came.len() < 2 {
        if stream.read_buf(&mut heard).await.map_err(|error| error.to_string())? == 0 {
            return Err("the server closed a live connection".to_owned());
        }
        let count = heard.windows(21).filter(|window| *window == NOTIFICATION).count();
        while came.len() < count {
            came.push(began.elapsed());
        }
    }
    Ok([came[0], came[1]])
}
