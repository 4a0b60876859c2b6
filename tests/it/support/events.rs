//! A reader of Server-Sent Events by the letter of the HTML standard, over a TCP connection of its own.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;

/// One event stream.
pub struct Events {
    lines: BufReader<ReadHalf<TcpStream>>,
    _write: WriteHalf<TcpStream>,
    /// The header lines of the answer.
    pub head: Vec<String>,
    /// The id that a reader comes back with.
    pub last_id: Option<String>,
    /// Comments so far.
    pub beats: usize,
    /// The wait before coming back that was told.
    pub retry: Option<u64>,
}

/// One event.
#[derive(Debug)]
pub struct Told {
    pub name: String,
    pub data: Value,
    pub id: Option<String>,
}

impl Events {
    /// Opens a stream; `Err` is the status that refuses it, or 0 where the connection broke.
    pub async fn open(url: &str, query: &str, headers: &[(&str, &str)]) -> Result<Events, u16> {
        let socket = TcpSocket::new_v4().unwrap();
        // So that whoever does not read is soon seen not to.
        socket.set_recv_buffer_size(4_096).unwrap();
        let address = url.strip_prefix("http://").unwrap();
        let Ok(stream) = socket.connect(address.parse().unwrap()).await else { return Err(0) };
        let (read, mut write) = tokio::io::split(stream);
        // HTTP/1.0 knows no chunks: what comes is the stream itself.
        let mut request = format!("GET /v1/sse{query} HTTP/1.0\r\nhost: {address}\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if write.write_all(format!("{request}\r\n").as_bytes()).await.is_err() {
            return Err(0);
        }
        let mut events = Events {
            lines: BufReader::with_capacity(1_024, read),
            _write: write,
            head: Vec::new(),
            last_id: None,
            beats: 0,
            retry: None,
        };
        loop {
            let Some(line) = events.line().await else { return Err(0) };
            if line.is_empty() {
                break;
            }
            events.head.push(line);
        }
        match events.head[0].split(' ').nth(1).unwrap().parse().unwrap() {
            200 => Ok(events),
            status => Err(status),
        }
    }

    /// Opens one with a token in the header, and answers its `hello` too.
    pub async fn join(url: &str, token: &str, query: &str, last_id: Option<&str>) -> (Events, Told) {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(last_id.map(|id| ("last-event-id", id)));
        let mut events = Events::open(url, query, &headers).await.unwrap();
        let hello = events.next_of("hello").await;
        (events, hello)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.lines.read_line(&mut line)).await.expect("something in time");
        // A reset is an end too.
        (read.unwrap_or(0) > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Told> {
        let (mut name, mut data, mut id) = (String::new(), Vec::new(), None);
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                if data.is_empty() {
                    name.clear();
                    continue;
                }
                let data: Value = serde_json::from_str(&data.join("\n")).unwrap();
                assert_eq!(data["type"], name, "an event is named by its type");
                assert!(data["timestamp"].is_string(), "{data}");
                // Only now: an event that broke off in the middle has not been heard.
                if id.is_some() {
                    self.last_id.clone_from(&id);
                }
                return Some(Told { name, data, id });
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => self.beats += 1,
                "event" => name = value.to_owned(),
                "data" => data.push(value.to_owned()),
                "id" => id = Some(value.to_owned()),
                "retry" => self.retry = value.parse().ok(),
                other => panic!("an unknown field {other:?}"),
            }
        }
    }

    /// The next event, which must be of that type.
    #[track_caller]
    pub fn next_of(&mut self, name: &str) -> impl Future<Output = Told> {
        let caller = std::panic::Location::caller();
        async move {
            let told = self.next().await.unwrap_or_else(|| panic!("the stream has ended at {caller}"));
            assert_eq!(told.name, name, "{:?} at {caller}", told.data);
            told
        }
    }
}
