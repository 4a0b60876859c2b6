//! Whether a provider that fails costs the other channels anything: how soon messages reach a person's own endpoint, and
//! how soon a notification is answered, while texts go to a gateway that is well, hangs, drops, answers garbage or
//! trickles one byte a second. Rounds with and without the fault alternate in one run of one server, and are told as a ratio.

#[path = "../tests/it/support/fault.rs"]
#[allow(dead_code, reason = "what the tests have, of which this needs a part")]
mod fault;
mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fault::{Fault, TAKEN};
use serde_json::json;
use support::live::one_thread;
use support::{Asker, Outcome, Server, Tally, head, keep, line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 4;
const ROUND: Duration = Duration::from_secs(5);
/// Between two messages that are measured; as many texts go out beside them.
const EVERY: Duration = Duration::from_millis(20);
const RATIO_MAX: f64 = 1.1;
/// Memory that the server may take more than before, with all that waits.
const GROWTH_MIB_MAX: f64 = 64.0;

type Fate = Rc<Cell<Fault>>;
/// When the last message came to the endpoint, and how many have.
type Arrivals = Rc<Cell<(Option<Instant>, u64)>>;

fn main() -> Outcome<()> {
    support::move_to_core(support::OUR_CORE)?;
    one_thread(measure())
}

async fn measure() -> Outcome<()> {
    let (fate, arrivals): (Fate, Arrivals) = (Rc::new(Cell::new(Fault::None)), Rc::default());
    let (gateway, endpoint) = (listener().await?, listener().await?);
    let url = format!("http://{}/send", gateway.local_addr()?);
    let own = format!("http://{}/own", endpoint.local_addr()?);
    let at_gateway = fate.clone();
    tokio::task::spawn_local(accept(gateway, move |stream| text(stream, at_gateway.clone())));
    let at_endpoint = arrivals.clone();
    tokio::task::spawn_local(accept(endpoint, move |stream| message(stream, at_endpoint.clone())));
    let server = Server::start(&[
        ("BELFRY_CHANNELS__SMS__PROVIDER", "http"),
        ("BELFRY_CHANNELS__SMS__HTTP__URL", &url),
        ("BELFRY_CHANNELS__SMS__TIMEOUT", "2s"),
        ("BELFRY_DELIVERY__CIRCUIT_PROBE", "1s"),
        ("BELFRY_OUTBOUND__ALLOW_CIDRS", "[\"127.0.0.0/8\"]"),
    ])?;
    let mut asker = Asker::connect(server.address).await?;
    prepare(&mut asker, &own).await?;
    round(&mut asker, &arrivals).await?;
    drained(&mut asker).await?;
    let (before, mut results) = (server.resident_mib()?, serde_json::Map::new());
    for fault in [Fault::Hangs, Fault::Drops, Fault::Garbage, Fault::Trickles] {
        let (mut well, mut failing) = (Round::default(), Round::default());
        for _ in 0..ROUNDS {
            well.add(round(&mut asker, &arrivals).await?);
            fate.set(fault);
            failing.add(round(&mut asker, &arrivals).await?);
            fate.set(Fault::None);
            drained(&mut asker).await?;
        }
        println!("the gateway: {fault:?}");
        let ratio = |what: &str, share: f64, well: &Tally, failing: &Tally| {
            let ratio = failing.within_ms(share) / well.within_ms(share);
            line(what, ratio, "", Some(("at most 1.1", ratio <= RATIO_MAX)));
            ratio
        };
        let figures = json!({
            "arrival_p50": ratio("arrival at the endpoint, median, over well", 0.5, &well.arrival, &failing.arrival),
            "arrival_p90": ratio("arrival at the endpoint, p90, over well", 0.9, &well.arrival, &failing.arrival),
            "answer_p50": ratio("answer to the sender, median, over well", 0.5, &well.answer, &failing.answer),
            "well": well.arrival.to_json(), "failing": failing.arrival.to_json(),
        });
        results.insert(format!("{fault:?}").to_lowercase(), figures);
    }
    let growth = server.resident_mib()? - before;
    line("resident memory, more than before", growth, "MiB", Some(("at most 64", growth <= GROWTH_MIB_MAX)));
    results.insert("growth_mib".into(), json!(growth));
    keep("isolation", &results.into())
}

#[derive(Default)]
struct Round {
    arrival: Tally,
    answer: Tally,
}

impl Round {
    fn add(&mut self, other: Round) {
        self.arrival.micros.extend(other.arrival.micros);
        self.answer.micros.extend(other.answer.micros);
    }
}

async fn prepare(asker: &mut Asker, own: &str) -> Outcome<()> {
    let phone = r#"{"phone":"+491701234567"}"#;
    let wants = r#"{"channels":{"sms":true}}"#;
    let endpoint = json!({ "url": own, "user_id": "ada" }).to_string();
    for (method, path, body) in [
        ("PUT", "/v1/users/bob", phone),
        ("PATCH", "/v1/users/bob/preferences", wants),
        ("POST", "/v1/endpoints", &endpoint),
    ] {
        let status = asker.ask(head(method, path, body, "").as_bytes()).await?;
        if status >= 300 {
            return Err(format!("{method} {path} was answered {status}").into());
        }
    }
    Ok(())
}

/// A message and a text, again and again; how soon each message arrived.
async fn round(asker: &mut Asker, arrivals: &Arrivals) -> Outcome<Round> {
    let (mut round, until) = (Round::default(), Instant::now() + ROUND);
    while Instant::now() < until {
        ask(asker, "bob", "sms").await?;
        let (asked, (_, before)) = (Instant::now(), arrivals.get());
        ask(asker, "ada", "webhook").await?;
        round.answer.micros.push(asked.elapsed().as_micros() as u32);
        let deadline = asked + Duration::from_secs(5);
        let arrived = loop {
            match arrivals.get() {
                (Some(at), count) if count > before => break at,
                _ if Instant::now() > deadline => return Err("a message did not arrive within 5 s".into()),
                _ => tokio::time::sleep(Duration::from_micros(200)).await,
            }
        };
        round.arrival.micros.push(arrived.duration_since(asked).as_micros() as u32);
        tokio::time::sleep(EVERY).await;
    }
    Ok(round)
}

async fn ask(asker: &mut Asker, user: &str, channel: &str) -> Outcome<()> {
    let body = format!(
        r#"{{"user_id":"{user}","type":"system_alert","title":"Disk","message":"The disk is full.","priority":"medium","category":"system","channels":["{channel}"]}}"#
    );
    match asker.ask(head("POST", "/v1/notifications", &body, "").as_bytes()).await? {
        202 => Ok(()),
        status => Err(format!("a notification was answered {status}").into()),
    }
}

/// Waits until every text has left.
async fn drained(asker: &mut Asker) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let (_, body) = asker.ask_for_body(head("GET", "/v1/channels", "", "").as_bytes()).await?;
        let channels: serde_json::Value = serde_json::from_str(&body)?;
        let sms = channels["data"].as_array().and_then(|all| all.iter().find(|one| one["channel"] == "sms"));
        match sms.and_then(|sms| sms["queued"].as_u64()) {
            Some(0) => return Ok(()),
            left if Instant::now() > deadline => return Err(format!("texts are left: {left:?}").into()),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn listener() -> Outcome<TcpListener> {
    Ok(TcpListener::bind("127.0.0.1:0".parse::<SocketAddr>()?).await?)
}

async fn accept<F: Future<Output = ()> + 'static>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(serve(stream));
    }
}

/// Reads one request; whether there was one.
async fn request(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if read.len() >= end + 4 + length.unwrap_or(0_usize) {
                return true;
            }
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}

async fn message(mut stream: TcpStream, arrivals: Arrivals) {
    while request(&mut stream).await {
        arrivals.set((Some(Instant::now()), arrivals.get().1 + 1));
        if stream.write_all(TAKEN).await.is_err() {
            return;
        }
    }
}

async fn text(mut stream: TcpStream, fate: Fate) {
    while request(&mut stream).await && fate.get().answer(&mut stream).await {}
}
