//! `POST /v1/notifications/batch` as `application/x-ndjson`: a notification on each line, up to 100,000 of them, taken
//! in while they come.
//!
//! Nothing but the lines of one group is ever held: a group is committed as soon as it is full, or nothing more comes for
//! a moment. So what was taken when an upload breaks off is on disk, and the batch says how much that is. The same upload
//! with the same `Idempotency-Key` then goes on behind those lines, in the same batch. A line that is no notification
//! fails alone.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use ring::digest::{Context, SHA256};
use serde_json::Value;
use uuid::Uuid;
use warp::reply::Response;

use super::batch::{item, refused, summary};
use super::call::{BODY_TIMEOUT, Call, Incoming};
use super::idempotent::Streamed;
use super::problem::Problem;
use super::shapes;
use crate::clock::Millis;
use crate::engine::batch::{Item, KeepClosed};
use crate::model::batch::{Batch, BatchState};
use crate::store::idempotency::Slot;
use crate::store::uploads::Upload as Before;

/// The most lines of one upload.
const LINES_MAX: usize = 100_000;
/// Lines of one commit.
const GROUP_LEN_MAX: usize = 128;
/// Bytes of lines that wait for one commit.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// How long lines wait for more before they are committed.
const GROUP_WAIT: Duration = Duration::from_millis(20);
/// How long an upload may take.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(3_600);
/// Refused lines that are answered one by one; how many there are is counted beyond it.
const FAILURES_LEN_MAX: usize = 1_000;

/// Whether a request says that its body is lines of JSON.
pub fn is_ndjson(call: &Call) -> bool {
    let value = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    ["application/x-ndjson", "application/ndjson", "application/jsonl"].contains(&essence.as_str())
}

/// Takes an upload in. The caller's right to is checked.
pub async fn create(call: Call) -> Result<Response, Problem> {
    if call.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::unsupported_media_type("application/x-ndjson, with no Content-Encoding"));
    }
    let mut keyed = Streamed::of(&call).await?;
    let Some(mut pieces) = call.body.take() else { return Err(Problem::bad_request("there is no body")) };
    if keyed.as_ref().is_some_and(Streamed::is_repeat) {
        return repeat(keyed, pieces).await;
    }
    let mut upload = Upload::begin(&call, keyed.as_ref()).await?;
    let taken = tokio::time::timeout(UPLOAD_TIME_MAX, upload.take_in(&mut pieces, &mut keyed)).await;
    if let Err(problem) = taken.unwrap_or_else(|_| Err(Problem::timeout())) {
        call.body.put_back(pieces);
        call.api.engine.close_batch(upload.batch, BatchState::Interrupted, None).await?;
        return Err(problem);
    }
    let (id, failures) = (upload.batch, upload.failures);
    let keep = keyed.map(|keyed| -> KeepClosed {
        let ((slotted, _), failures) = (keyed.end(), failures.clone());
        let slot = slotted.slot;
        let answer =
            move |batch: &Batch| slotted.kept(StatusCode::ACCEPTED, &summary(batch, &failures).to_string());
        (slot, Box::new(answer))
    });
    let closed = call.api.engine.close_batch(id, BatchState::Completed, keep).await?;
    let batch = closed.ok_or_else(|| canceled(id))?;
    Ok(shapes::json_response(StatusCode::ACCEPTED, &summary(&batch, &failures)))
}

fn canceled(batch: Uuid) -> Problem {
    Problem::conflict(format!("the batch {batch} was canceled"))
}

/// Reads a request that was answered before, and gives the first answer if it is the same.
async fn repeat(keyed: Option<Streamed>, mut pieces: Incoming) -> Result<Response, Problem> {
    let Some(mut keyed) = keyed else { return Err(Problem::bad_request("there is no Idempotency-Key")) };
    while let Some(piece) = next(&mut pieces, BODY_TIMEOUT).await? {
        keyed.follow(&piece);
    }
    let (_, again) = keyed.end();
    again.unwrap_or_else(|| Err(Problem::conflict("the first answer to this Idempotency-Key has run out")))
}

async fn next(pieces: &mut Incoming, patience: Duration) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(patience, pieces.next()).await {
        Err(_) => Err(Problem::timeout()),
        Ok(Some(Err(()))) => Err(Problem::bad_request("the body broke off")),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(None) => Ok(None),
    }
}

/// An upload that is being taken in.
struct Upload<'a> {
    call: &'a Call,
    batch: Uuid,
    begun_at: Millis,
    lines: Lines,
    /// Lines that were not empty.
    count: usize,
    items: Vec<Item>,
    bytes: usize,
    failures: Vec<Value>,
    keyed: Option<Followed>,
}

/// What is noted of an upload with an idempotency key, so that it can go on.
struct Followed {
    slot: Slot,
    /// A hash over its lines.
    print: Context,
    /// How far it was when it broke off, until that is reached again.
    before: Option<Before>,
}

impl Followed {
    fn print(&self) -> [u8; 16] {
        let mut print = [0; 16];
        print.copy_from_slice(&self.print.clone().finish().as_ref()[..16]);
        print
    }
}

impl<'a> Upload<'a> {
    /// Begins a batch, or finds the one that the same upload was taken in as before it broke off.
    async fn begin(call: &'a Call, keyed: Option<&Streamed>) -> Result<Upload<'a>, Problem> {
        let engine = &call.api.engine;
        let slot = keyed.map(Streamed::slot);
        let before = match slot {
            Some(slot) => engine.store().upload(slot, call.api.clock.now()).await?,
            None => None,
        };
        let (batch, begun_at) = match &before {
            Some(before) => (before.batch, before.begun_at),
            None => {
                let batch = engine.open_batch().await?;
                (batch.id, batch.created_at)
            }
        };
        Ok(Upload {
            call,
            batch,
            begun_at,
            lines: Lines::new(call.api.limits.load().body_bytes_max),
            count: 0,
            items: Vec::new(),
            bytes: 0,
            failures: Vec::new(),
            keyed: slot.map(|slot| Followed { slot, print: Context::new(&SHA256), before }),
        })
    }

    /// Takes note of a line; answers whether it was taken in before.
    async fn follow(&mut self, line: &Line) -> Result<bool, Problem> {
        let Some(keyed) = &mut self.keyed else { return Ok(false) };
        let (kind, bytes): (u8, &[u8]) = match line {
            Line::Whole(bytes) => (0, bytes),
            Line::TooLong => (1, &[]),
        };
        keyed.print.update(&[kind]);
        keyed.print.update(&(bytes.len() as u64).to_be_bytes());
        keyed.print.update(bytes);
        let Some(before) = keyed.before else { return Ok(false) };
        if self.count as u64 + 1 == before.lines {
            if keyed.print() != before.print {
                return Err(another(&before));
            }
            keyed.before = None;
            let batch = self.call.api.engine.reopen_batch(self.batch).await?;
            let errors = batch.ok_or_else(|| canceled(self.batch))?.errors;
            self.failures = errors.iter().map(|error| failure_again(error)).collect();
        }
        Ok(true)
    }

    async fn take_in(&mut self, pieces: &mut Incoming, keyed: &mut Option<Streamed>) -> Result<(), Problem> {
        loop {
            let piece = match tokio::time::timeout(GROUP_WAIT, next(pieces, BODY_TIMEOUT)).await {
                Ok(piece) => piece?,
                Err(_) => {
                    self.commit().await?;
                    next(pieces, BODY_TIMEOUT).await?
                }
            };
            let Some(piece) = piece else { break };
            if let Some(keyed) = keyed {
                keyed.follow(&piece);
            }
            for line in self.lines.push(&piece) {
                self.take_line(line).await?;
            }
        }
        if let Some(line) = self.lines.end() {
            self.take_line(line).await?;
        }
        if let Some(Followed { before: Some(before), .. }) = &self.keyed {
            return Err(another(before));
        }
        self.commit().await
    }

    async fn take_line(&mut self, line: Line) -> Result<(), Problem> {
        let at = self.count;
        if matches!(&line, Line::Whole(bytes) if bytes.iter().all(u8::is_ascii_whitespace)) {
            return Ok(());
        }
        if at < LINES_MAX && self.follow(&line).await? {
            self.count += 1;
            return Ok(());
        }
        let item = match line {
            Line::Whole(bytes) => {
                self.bytes += bytes.len();
                match serde_json::from_slice::<Value>(&bytes) {
                    Ok(body) => item(&self.call.api, at, &body).await,
                    Err(error) => {
                        Item { name: at.to_string(), read: Err(format!("is not valid JSON: {error}")) }
                    }
                }
            }
            Line::TooLong => {
                let why = format!("is longer than {} bytes", self.lines.line_bytes_max);
                Item { name: at.to_string(), read: Err(why) }
            }
        };
        if at == LINES_MAX {
            self.commit().await?;
            return Err(Problem::too_many(format!(
                "a batch takes at most {LINES_MAX} lines; those are taken in as the batch {}, the rest is not",
                self.batch
            )));
        }
        self.count += 1;
        self.items.push(item);
        if self.items.len() == GROUP_LEN_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.commit().await?;
        }
        Ok(())
    }

    /// Makes durable what has come.
    async fn commit(&mut self) -> Result<(), Problem> {
        if self.items.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let items = std::mem::take(&mut self.items);
        let names: Vec<String> = items.iter().map(|item| item.name.clone()).collect();
        let progress = self.keyed.as_ref().map(|keyed| {
            let (batch, begun_at, lines) = (self.batch, self.begun_at, self.count as u64);
            (keyed.slot, Before { batch, begun_at, lines, print: keyed.print() })
        });
        let taken = self.call.api.engine.extend_batch(self.batch, items, progress).await?;
        let results = taken.ok_or_else(|| canceled(self.batch))?;
        for (name, result) in names.into_iter().zip(results) {
            if let (Err(why), true) = (result, self.failures.len() < FAILURES_LEN_MAX) {
                let mut failure = refused(&why);
                failure["item"] = Value::String(name);
                self.failures.push(failure);
            }
        }
        Ok(())
    }
}

/// The answer to an upload that does not begin with the lines that were taken under its key.
fn another(before: &Before) -> Problem {
    let detail = format!(
        "an upload with this Idempotency-Key broke off after {} lines, and this one does not begin with them; use a new key \
         for another upload",
        before.lines
    );
    Problem::unprocessable("idempotency_mismatch", detail)
}

/// What was answered for a line that failed before the upload broke off, from what its batch remembers.
fn failure_again(error: &str) -> Value {
    let (name, why) = error.split_once(": ").unwrap_or(("", error));
    let mut failure = refused(why);
    failure["item"] = Value::String(name.to_owned());
    failure
}

/// A line of an upload.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Its bytes, without its end.
    Whole(Vec<u8>),
    /// It has more bytes than are held.
    TooLong,
}

/// Pieces of a body become lines; at most one line's bytes are held.
struct Lines {
    line_bytes_max: usize,
    rest: Vec<u8>,
    too_long: bool,
}

impl Lines {
    fn new(line_bytes_max: usize) -> Lines {
        Lines { line_bytes_max, rest: Vec::new(), too_long: false }
    }

    /// The lines that end within `piece`.
    fn push(&mut self, piece: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut parts = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            if self.rest.len() + part.len() > self.line_bytes_max {
                (self.rest, self.too_long) = (Vec::new(), true);
            } else if !self.too_long {
                self.rest.extend_from_slice(part);
            }
            if parts.peek().is_some() {
                lines.push(self.cut());
            }
        }
        lines
    }

    /// What is left when the body has ended: a last line needs no end.
    fn end(&mut self) -> Option<Line> {
        (self.too_long || !self.rest.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> Line {
        let line = std::mem::take(&mut self.rest);
        if std::mem::take(&mut self.too_long) { Line::TooLong } else { Line::Whole(line) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn a_line_that_is_too_long_is_one_line_and_holds_nothing() {
        let mut lines = Lines::new(4);
        assert_eq!(lines.push(b"abcd\nabc"), [whole("abcd")]);
        assert_eq!(lines.push(b"de"), []);
        assert!(lines.rest.is_empty());
        assert_eq!(lines.push(b"fghijk\nx\n"), [Line::TooLong, whole("x")]);
        assert_eq!(lines.end(), None);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_come_in_pieces(text in "[a-c\n]{0,60}", size in 1usize..9) {
            let mut lines = Lines::new(1_000);
            let mut found: Vec<Line> = text.as_bytes().chunks(size).flat_map(|piece| lines.push(piece)).collect();
            found.extend(lines.end());
            let mut wanted: Vec<Line> = text.split('\n').map(whole).collect();
            if wanted.last() == Some(&whole("")) {
                wanted.pop();
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
