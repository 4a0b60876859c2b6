//! A line between clients and a server: it keeps its address when the server gets another one, and can be cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The line.
pub struct Line {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<String>,
    open: std::sync::atomic::AtomicBool,
    next: AtomicU64,
    calls: Mutex<BTreeMap<u64, AbortHandle>>,
}

impl Line {
    /// A line to the server at `url`.
    pub async fn lay(url: &str) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            target: Mutex::new(address(url)),
            open: true.into(),
            next: AtomicU64::new(0),
            calls: Mutex::default(),
        });
        tokio::spawn(take_calls(listener, shared.clone()));
        Line { url: own, shared }
    }

    /// Its own address.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Leads to another address from here on.
    pub fn lead_to(&self, url: &str) {
        *self.shared.target.lock().unwrap() = address(url);
    }

    /// Cuts every connection in the middle of whatever it does.
    pub fn cut_all(&self) {
        for (_, call) in std::mem::take(&mut *self.shared.calls.lock().unwrap()) {
            call.abort();
        }
    }

    /// Cuts one of them.
    pub fn cut_one(&self, chance: u64) {
        let mut calls = self.shared.calls.lock().unwrap();
        calls.retain(|_, call| !call.is_finished());
        let chosen = calls.keys().nth((chance % calls.len().max(1) as u64) as usize).copied();
        if let Some(call) = chosen.and_then(|chosen| calls.remove(&chosen)) {
            call.abort();
        }
    }

    /// Cuts everything and lets nobody through.
    pub fn close(&self) {
        self.shared.open.store(false, Ordering::Relaxed);
        self.cut_all();
    }

    /// Lets people through again.
    pub fn open(&self) {
        self.shared.open.store(true, Ordering::Relaxed);
    }
}

fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

async fn take_calls(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((mut near, _)) = listener.accept().await {
        if !shared.open.load(Ordering::Relaxed) {
            continue;
        }
        let target = shared.target.lock().unwrap().clone();
        let call = tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.calls.lock().unwrap().insert(number, call.abort_handle());
    }
}
