//! The measurements, one after the other: connecting, fan-out, from request to arrival, durable accepts.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::figures::{Figures, Report};
use super::{ARRIVAL_WAIT, REQUESTS_AT_ONCE, Run, notification, progress};
use crate::cli::failure::Failure;
use crate::client::{Lost, Stream, Told, mint};

/// How long a user's token is good: longer than any run.
const TOKEN_SECONDS: u64 = 24 * 3_600;
/// People who join the topic by one request.
const MEMBERS_STEP: usize = 1_000;
/// Arrivals that may wait to be counted.
const ARRIVALS_MAX: usize = 4_096;

/// A notification that came over a live connection.
struct Arrival {
    id: String,
    at: Instant,
}

/// Measures everything.
///
/// # Errors
/// When the server refuses what the bench needs, or lets no connection in.
pub(super) async fn measure(run: &Run) -> Result<Report, Failure> {
    join_topic(run).await?;
    let (connecting, streams) = connect(run).await?;
    let connections = streams.len();
    let (arrivals, mut arrived) = mpsc::channel(ARRIVALS_MAX);
    let readers: FuturesUnordered<_> =
        streams.into_iter().map(|stream| read(stream, arrivals.clone())).collect();
    let measured = async {
        let fan_out = fan_out(run, connections, &mut arrived).await?;
        let end_to_end = end_to_end(run, connections, &mut arrived).await?;
        let accepting = accept(run, connections, &mut arrived).await?;
        let server = run.client.server().to_owned();
        Ok(Report { server, connecting, fan_out, end_to_end, accepting })
    };
    tokio::select! {
        report = measured => report,
        lost = any_lost(readers) => Err(Failure::from(lost)),
    }
}

async fn join_topic(run: &Run) -> Result<(), Failure> {
    let users: Vec<String> = (0..run.args.connections).map(|number| run.user(number)).collect();
    for step in users.chunks(MEMBERS_STEP) {
        let body = json!({ "user_ids": step });
        run.client.put(&["v1", "topics", &run.name, "members"], &body).await?;
    }
    Ok(())
}

/// Opens the connections. Those that the server does not let in are counted; if it lets none in, that is an error.
async fn connect(run: &Run) -> Result<(Figures, Vec<Stream>), Failure> {
    let bar = progress::bar("connecting", u64::from(run.args.connections));
    let channel = format!("topic:{}", run.name);
    let mut opening = futures_util::stream::iter(0..run.args.connections)
        .map(|number| open(run, number, &channel))
        .buffer_unordered(REQUESTS_AT_ONCE);
    let (mut streams, mut refused) = (Vec::new(), None);
    let mut figures = Figures { wanted: run.args.connections as usize, ..Figures::default() };
    let begun = Instant::now();
    while let Some(opened) = opening.next().await {
        bar.inc(1);
        match opened {
            Ok((stream, took)) => {
                figures.each.push(took);
                streams.push(stream);
            }
            Err(lost) => refused = Some(lost),
        }
    }
    figures.within = begun.elapsed();
    bar.finish_and_clear();
    match refused {
        Some(lost) if streams.is_empty() => Err(lost.into()),
        Some(_) | None => Ok((figures.sorted(), streams)),
    }
}

async fn open(run: &Run, number: u32, channel: &str) -> Result<(Stream, Duration), Lost> {
    let token = mint(&run.client, &run.user(number), TOKEN_SECONDS).await?;
    let mut stream = Stream::with_token(run.client.clone(), token);
    stream.subscribe(channel).await;
    let begun = Instant::now();
    stream.next().await?;
    let took = begun.elapsed();
    // The answer to the subscription.
    stream.next().await?;
    Ok((stream, took))
}

/// Passes on what comes, until the connection is lost for good.
async fn read(mut stream: Stream, arrivals: mpsc::Sender<Arrival>) -> Lost {
    #[derive(Deserialize)]
    struct Head {
        id: String,
    }
    loop {
        match stream.next().await {
            Ok(Told::Frame { kind, text, .. }) if kind == "notification" => {
                let at = Instant::now();
                if let Ok(Head { id }) = serde_json::from_str(&text) {
                    // Nobody counts any more at the end.
                    let _ = arrivals.send(Arrival { id, at }).await;
                }
            }
            Ok(_) => {}
            Err(lost) => return lost,
        }
    }
}

async fn any_lost(mut readers: FuturesUnordered<impl Future<Output = Lost>>) -> Lost {
    match readers.next().await {
        Some(lost) => lost,
        None => match std::future::pending::<Infallible>().await {},
    }
}

/// Broadcasts to the topic, each when the one before has reached everybody.
async fn fan_out(
    run: &Run,
    connections: usize,
    arrived: &mut mpsc::Receiver<Arrival>,
) -> Result<Figures, Failure> {
    let bar = progress::bar("fan-out", u64::from(run.args.messages));
    let mut figures = Figures { wanted: run.args.messages as usize * connections, ..Figures::default() };
    let begun = Instant::now();
    for number in 0..run.args.messages {
        let id = format!("fan-out-{number}");
        let body = json!({
            "message": { "type": "notification", "id": id, "title": "Bench", "message": "To everybody." },
            "to": { "topic": run.name },
        });
        let sent = Instant::now();
        run.client.post(&["v1", "broadcasts"], &body, Duration::ZERO).await?;
        await_arrivals(&id, connections, sent, arrived, &mut figures).await;
        bar.inc(1);
    }
    figures.within = begun.elapsed();
    bar.finish_and_clear();
    Ok(figures.sorted())
}

/// Publishes to one user after the other, each when the one before has arrived.
async fn end_to_end(
    run: &Run,
    connections: usize,
    arrived: &mut mpsc::Receiver<Arrival>,
) -> Result<Figures, Failure> {
    let bar = progress::bar("request to arrival", u64::from(run.args.messages));
    let mut figures = Figures { wanted: run.args.messages as usize, ..Figures::default() };
    let begun = Instant::now();
    for number in 0..run.args.messages {
        let id = format!("{}-arrival-{number}", run.name);
        let body = notification(&to(run, number, connections), &id);
        let sent = Instant::now();
        run.client.post(&["v1", "notifications"], &body, Duration::ZERO).await?;
        await_arrivals(&id, 1, sent, arrived, &mut figures).await;
        bar.inc(1);
    }
    figures.within = begun.elapsed();
    bar.finish_and_clear();
    Ok(figures.sorted())
}

/// Publishes from many publishers at once and counts the answers, which mean that it is on disk.
async fn accept(
    run: &Run,
    connections: usize,
    arrived: &mut mpsc::Receiver<Arrival>,
) -> Result<Figures, Failure> {
    let bar = progress::bar("durable accepts", u64::from(run.args.notifications));
    let mut figures = Figures { wanted: run.args.notifications as usize, ..Figures::default() };
    let mut publishing = futures_util::stream::iter(0..run.args.notifications)
        .map(|number| async move {
            let id = format!("{}-accept-{number}", run.name);
            let body = notification(&to(run, number, connections), &id);
            let sent = Instant::now();
            let answer = run.client.post(&["v1", "notifications"], &body, Duration::ZERO).await;
            answer.map(|_| sent.elapsed())
        })
        .buffer_unordered(run.args.publishers as usize);
    let begun = Instant::now();
    let mut refused = None;
    loop {
        tokio::select! {
            answer = publishing.next() => match answer {
                None => break,
                Some(Ok(took)) => figures.each.push(took),
                Some(Err(error)) => refused = Some(error),
            },
            // What arrives is taken, so that the readers go on.
            _ = arrived.recv() => continue,
        }
        bar.inc(1);
    }
    figures.within = begun.elapsed();
    bar.finish_and_clear();
    match refused {
        Some(error) if figures.each.is_empty() => Err(error.into()),
        Some(_) | None => Ok(figures.sorted()),
    }
}

/// Whose turn it is: the users are taken in order, and only as many as there are connections.
fn to(run: &Run, number: u32, connections: usize) -> String {
    let connections = u32::try_from(connections).unwrap_or(u32::MAX).max(1);
    run.user(number % connections)
}

/// Takes arrivals until `id` has come so often, or has not for too long.
async fn await_arrivals(
    id: &str,
    often: usize,
    sent: Instant,
    arrived: &mut mpsc::Receiver<Arrival>,
    figures: &mut Figures,
) {
    let mut left = often;
    let deadline = tokio::time::Instant::from_std(sent) + ARRIVAL_WAIT;
    while left > 0 {
        let Ok(Some(arrival)) = tokio::time::timeout_at(deadline, arrived.recv()).await else { return };
        if arrival.id == id {
            figures.each.push(arrival.at.duration_since(sent));
            left -= 1;
        }
    }
}
