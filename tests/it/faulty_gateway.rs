//! Claims about a gateway that hangs, drops, answers garbage, trickles or is down: nothing else waits for it, and when it
//! is back everything is delivered, what matters most first.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::client::{hello, with};
use crate::support::fault::Fault;
use crate::support::{Server, until};

/// People who get a text of each priority.
const PEOPLE: usize = 8;
/// The calmest is sent first, so that order of arrival is not the order of urgency.
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// A gateway that remembers the texts that it took.
struct Gateway {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    taken: Arc<Mutex<Vec<String>>>,
    listens: Option<JoinHandle<()>>,
}

impl Gateway {
    async fn start() -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut gateway =
            Gateway { port, fault: Arc::new(Mutex::new(Fault::None)), taken: Arc::default(), listens: None };
        gateway.listen(listener);
        gateway
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the gateway runs beside the test, as long as the test does"
    )]
    fn listen(&mut self, listener: TcpListener) {
        let (fault, taken) = (self.fault.clone(), self.taken.clone());
        self.listens = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, fault.clone(), taken.clone()));
            }
        }));
    }

    async fn becomes(&mut self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
        if fault == Fault::Down {
            let listens = self.listens.take().unwrap();
            listens.abort();
            let _ = listens.await;
        } else if self.listens.is_none() {
            self.listen(TcpListener::bind(("127.0.0.1", self.port)).await.unwrap());
        }
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, fault: Arc<Mutex<Fault>>, taken: Arc<Mutex<Vec<String>>>) {
    while let Some(text) = text(&mut stream).await {
        let fault = *fault.lock().unwrap();
        if fault == Fault::None {
            taken.lock().unwrap().push(text);
        }
        if !fault.answer(&mut stream).await {
            return;
        }
    }
}

/// The text of the next request.
async fn text(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n")
            && let Ok(body) = serde_json::from_slice::<Value>(&read[end + 4..])
        {
            return Some(body["text"].as_str().unwrap().to_owned());
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn everything_arrives_when_it_is_back(fault: Fault) {
    let mut gateway = Gateway::start().await;
    let url = format!("http://127.0.0.1:{}/send", gateway.port);
    let server = Server::start_with(&[
        ("CHANNELS__SMS__PROVIDER", "http"),
        ("CHANNELS__SMS__HTTP__URL", &url),
        ("CHANNELS__SMS__TIMEOUT", "400ms"),
        // So that they leave one after the other.
        ("CHANNELS__SMS__RATE", "4/s"),
        ("CHANNELS__EMAIL__MODE", "capture"),
        ("RETRY__SMS__SCHEDULE", "[\"100ms\"]"),
        ("DELIVERY__CIRCUIT_FAILURES", "2"),
        ("DELIVERY__CIRCUIT_PROBE", "300ms"),
    ])
    .await;
    let admin = server.admin();
    for n in 0..PEOPLE {
        let person = json!({ "phone": format!("+4917012345{n:02}"), "email": format!("p{n}@example.org") });
        admin.put(&format!("/v1/users/p{n}"), &person).await.is(201);
        let wants = json!({ "channels": { "sms": true } });
        admin.patch(&format!("/v1/users/p{n}/preferences"), &wants).await.is(200);
    }
    gateway.becomes(fault).await;
    let mut ids = Vec::new();
    for priority in PRIORITIES {
        for n in 0..PEOPLE {
            let wanted =
                json!({ "message": format!("{priority}-{n}"), "priority": priority, "channels": ["sms"] });
            let sent = admin.notify(&with(hello(&format!("p{n}")), wanted)).await;
            ids.push(sent["notification_id"].as_str().unwrap().to_owned());
        }
    }
    until("the gateway to be left alone", || async {
        (admin.channel("sms").await["state"] == "open").then_some(())
    })
    .await;
    let mail = admin.notify(&with(hello("p0"), json!({ "channels": ["email"] }))).await;
    admin.comes_to(mail["notification_id"].as_str().unwrap(), "email", "sent").await;
    // More probes than a text has attempts.
    let probed = |log: &str| log.matches("a provider of text messages does not work").count();
    until("a few probes", || async { (probed(&server.log()) >= 5).then_some(()) }).await;
    assert_eq!(admin.channel("sms").await["queued"], ids.len());
    gateway.becomes(Fault::None).await;
    for id in &ids {
        let standing = admin.comes_to(id, "sms", "sent").await;
        assert!(standing["attempts"].as_u64().unwrap() <= 2, "{standing}");
    }
    let taken = gateway.taken();
    let mut once = taken.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((once.len(), taken.len()), (ids.len(), ids.len()), "each once: {taken:?}");
    // What matters least goes first at every eighth look, so that it is not starved: the order holds on the whole.
    let rank = |priority: &str| {
        let places = taken.iter().enumerate().filter(|(_, text)| text.starts_with(priority));
        places.map(|(place, _)| place).sum::<usize>()
    };
    assert!(PRIORITIES[..3].iter().all(|other| rank("critical") < rank(other)), "{taken:?}");
    until("nothing to be queued", || async { (admin.channel("sms").await["queued"] == 0).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_gateway_that_hangs_delays_nothing_else_and_gets_everything_when_it_is_back() {
    everything_arrives_when_it_is_back(Fault::Hangs).await;
}

#[tokio::test]
async fn a_gateway_that_drops_its_connections_gets_everything_when_it_is_back() {
    everything_arrives_when_it_is_back(Fault::Drops).await;
}

#[tokio::test]
async fn a_gateway_that_answers_garbage_gets_everything_when_it_is_back() {
    everything_arrives_when_it_is_back(Fault::Garbage).await;
}

#[tokio::test]
async fn a_gateway_that_trickles_gets_everything_when_it_is_back() {
    everything_arrives_when_it_is_back(Fault::Trickles).await;
}

#[tokio::test]
async fn a_gateway_that_is_down_gets_everything_when_it_is_back() {
    everything_arrives_when_it_is_back(Fault::Down).await;
}
