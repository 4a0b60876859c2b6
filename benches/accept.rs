//! How many notifications a second the server makes durable, beside a bare loop that writes the same bytes.
//!
//! Both run on one and the same core, one after the other in rounds, so that a machine that is busy with other things
//! is busy for both; only the ratio means anything. The bare loop is what the disk and sled allow: one thread that
//! groups up to 128 writes into one batch, one flush and one `fdatasync`.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Asker, Outcome, Server, Tally, keep, line, median};
use tokio::sync::{mpsc, oneshot};

const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(700);
const MEASURED: Duration = Duration::from_millis(3_500);
const CLIENTS: usize = 64;
const USERS: usize = 1_000;
/// As in the server.
const GROUP_LEN_MAX: usize = 128;
const CACHE_BYTES: u64 = 32 << 20;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, dir, shape] = arguments.as_slice()
        && mode == "bare-loop"
    {
        println!("{}", serde_json::to_string(&bare_loop(dir, &serde_json::from_str::<Vec<_>>(shape)?)?)?);
        return Ok(());
    }
    support::move_to_core(support::OUR_CORE)?;
    let (mut loops, mut servers, mut groups, mut shape) = (Vec::new(), Vec::new(), Vec::new(), None);
    for _ in 0..ROUNDS {
        let server = Server::start(&[])?;
        let tally = one_thread(ingest(server.address))?;
        groups
            .push(server.metric("belfry_store_writes_total")? / server.metric("belfry_store_flushes_total")?);
        let written = server.stop_and_read(shape_of)?;
        let shape = shape.get_or_insert(written);
        servers.push(tally);
        loops.push(run_bare_loop(shape)?);
    }
    let shape = shape.ok_or("no round")?;
    report(&shape, &loops, &servers, median(groups))
}

fn report(shape: &Value, loops: &[Tally], servers: &[Tally], group: f64) -> Outcome<()> {
    let each = |tallies: &[Tally], of: &dyn Fn(&Tally) -> f64| median(tallies.iter().map(of).collect());
    let (bare, server) = (each(loops, &Tally::per_second), each(servers, &Tally::per_second));
    let p99 = |tally: &Tally| tally.within_ms(0.99);
    let (bare_p99, server_p99) = (each(loops, &p99), each(servers, &p99));
    let pairs = || loops.iter().zip(servers);
    let ratio = median(pairs().map(|(bare, server)| server.per_second() / bare.per_second()).collect());
    let p99_ratio = median(pairs().map(|(bare, server)| p99(server) / p99(bare)).collect());
    println!("durable accepts, {CLIENTS} clients, one core each, medians of {ROUNDS} interleaved rounds");
    line("bare loop", bare, "/s", None);
    line("server, POST /v1/notifications", server, "/s", None);
    line("server over bare loop", ratio, "", Some(("at least 0.5", ratio >= 0.5)));
    line("bare loop, p99", bare_p99, "ms", None);
    line("server, p99", server_p99, "ms", None);
    line("server's p99 over the bare loop's", p99_ratio, "", Some(("at most 4", p99_ratio <= 4.0)));
    line("notifications in one flush of the server", group, "", None);
    let rounds: Vec<Value> =
        pairs().map(|(bare, server)| json!({ "bare": bare.to_json(), "server": server.to_json() })).collect();
    let result = json!({
        "ratio": ratio, "p99_ratio": p99_ratio, "bare_per_second": bare, "server_per_second": server,
        "bare_p99_ms": bare_p99, "server_p99_ms": server_p99, "group": group, "keys": shape, "rounds": rounds,
    });
    keep("accept", &result)
}

fn one_thread<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// A window of time in which every answer counts.
#[derive(Clone, Copy)]
struct Window {
    from: Instant,
    to: Instant,
}

impl Window {
    fn begin() -> Window {
        let from = Instant::now() + WARM_UP;
        Window { from, to: from + MEASURED }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.to
    }

    fn note(&self, asked: Instant, micros: &mut Vec<u32>) {
        let now = Instant::now();
        if asked >= self.from && now < self.to {
            micros.push((now - asked).as_micros() as u32);
        }
    }
}

/// Runs `client` so many times at once and adds up what they took.
async fn together<F>(client: impl Fn(usize) -> F) -> Outcome<Tally>
where
    F: Future<Output = Outcome<Vec<u32>>> + 'static,
{
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = client(number);
        clients
            .push(tokio::task::spawn_local(async move { client.await.map_err(|error| error.to_string()) }));
    }
    let mut tally = Tally { micros: Vec::new(), seconds: MEASURED.as_secs_f64() };
    for client in clients {
        tally.micros.extend(client.await??);
    }
    Ok(tally)
}

/// Publishes from 64 kept connections, each waiting for its answer before it asks again.
async fn ingest(address: SocketAddr) -> Outcome<Tally> {
    let requests: Arc<Vec<Vec<u8>>> = Arc::new((0..USERS).map(publish).collect());
    let window = Window::begin();
    together(|number| {
        let requests = requests.clone();
        async move {
            let mut asker = Asker::connect(address).await?;
            let (mut micros, mut at) = (Vec::new(), number * USERS / CLIENTS);
            while !window.is_over() {
                let asked = Instant::now();
                let status = asker.ask(&requests[at % USERS]).await?;
                if status != 202 {
                    return Err(format!("a publisher was answered {status}").into());
                }
                window.note(asked, &mut micros);
                at += 1;
            }
            Ok(micros)
        }
    })
    .await
}

/// A notification of 200 bytes.
fn publish(user: usize) -> Vec<u8> {
    let mut body = format!(
        r#"{{"user_id":"user-{user:04}","type":"system_alert","title":"Disk almost full","priority":"high","message":""#
    );
    while body.len() < 198 {
        body.push('x');
    }
    body.push_str("\"}");
    support::head("POST", "/v1/notifications", &body, "").into_bytes()
}

/// The keys that the server wrote for each notification: `[[space, length of key, length of value], …]`.
fn shape_of(store: &sled::Db) -> Outcome<Value> {
    let mut seen: std::collections::BTreeMap<u8, (usize, usize, usize)> = Default::default();
    for pair in store.iter() {
        let (key, value) = pair?;
        let (count, keys, values) = seen.entry(key[0]).or_default();
        (*count, *keys, *values) = (*count + 1, *keys + key.len(), *values + value.len());
    }
    let notifications = seen.get(&b'n').ok_or("nothing was stored")?.0;
    let each = seen.iter().filter(|(_, (count, _, _))| *count > notifications / 2);
    Ok(each.map(|(space, (count, keys, values))| json!([space, keys / count, values / count])).collect())
}

fn run_bare_loop(shape: &Value) -> Outcome<Tally> {
    let dir = support::scratch()?;
    let ran = support::on_core(support::MEASURED_CORE)
        .arg(std::env::current_exe()?)
        .arg("bare-loop")
        .arg(dir.path())
        .arg(shape.to_string())
        .output()?;
    let micros =
        serde_json::from_slice(&ran.stdout).map_err(|_| String::from_utf8_lossy(&ran.stderr).into_owned())?;
    Ok(Tally { micros, seconds: MEASURED.as_secs_f64() })
}

/// One write of the bare loop: its pairs, and who waits for it.
struct Write {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    done: oneshot::Sender<()>,
}

/// The loop with its clients, in a process of their own. Gives the latencies in microseconds.
fn bare_loop(dir: &str, shape: &[(u8, usize, usize)]) -> Outcome<Vec<u32>> {
    let store =
        sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(10_000)).open()?;
    store.flush()?;
    let log = std::fs::File::open(Path::new(dir).join("db"))?;
    let (writes, waiting) = mpsc::channel::<Write>(1_024);
    let writer = std::thread::Builder::new().spawn(move || write_groups(waiting, &store, &log))?;
    let shape = Arc::new(shape.to_vec());
    let tally = one_thread(async move {
        let window = Window::begin();
        together(|number| {
            let (writes, shape) = (writes.clone(), shape.clone());
            async move {
                let (mut micros, mut at) = (Vec::new(), number * USERS / CLIENTS);
                while !window.is_over() {
                    let asked = Instant::now();
                    let (done, is_done) = oneshot::channel();
                    let pairs = shape.iter().map(|space| pair(*space, at)).collect();
                    writes.send(Write { pairs, done }).await.map_err(|_| "the writer is gone")?;
                    is_done.await?;
                    window.note(asked, &mut micros);
                    at += 1;
                }
                Ok(micros)
            }
        })
        .await
    })?;
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(tally.micros)
}

/// A pair as long as the server's, and sorted like it: inbox lines by user, everything else in the order of time.
fn pair((space, key_len, value_len): (u8, usize, usize), at: usize) -> (Vec<u8>, Vec<u8>) {
    static ORDER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let order = ORDER.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes();
    let mut key = vec![space];
    if space == b'i' {
        key.extend_from_slice(format!("user-{:04}\0", at % USERS).as_bytes());
    }
    key.extend_from_slice(&order);
    key.resize(key_len, 7);
    (key, vec![b'x'; value_len])
}

fn write_groups(
    mut waiting: mpsc::Receiver<Write>,
    store: &sled::Db,
    log: &std::fs::File,
) -> Result<(), String> {
    let mut group = Vec::with_capacity(GROUP_LEN_MAX);
    while waiting.blocking_recv_many(&mut group, GROUP_LEN_MAX) > 0 {
        let mut batch = sled::Batch::default();
        for write in &mut group {
            for (key, value) in write.pairs.drain(..) {
                batch.insert(key, value);
            }
        }
        store.apply_batch(batch).map_err(|error| error.to_string())?;
        store.flush().map_err(|error| error.to_string())?;
        log.sync_data().map_err(|error| error.to_string())?;
        for write in group.drain(..) {
            let _ = write.done.send(());
        }
    }
    Ok(())
}
