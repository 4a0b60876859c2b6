//! Calls to URLs that users give: one client, guarded, for all of them.
//!
//! Whoever may name a URL could make this server call what only this server can reach: its own ports, the network
//! behind it, a cloud's metadata service. So the guard judges each URL when it is given, and once more each time it is
//! called: the client's own resolver asks for a name once, judges every address it gets, and the connection goes to one
//! of these. Redirects are not followed, a proxy is not used, an answer's body is read to a bound and the call as a
//! whole has an end.

mod address;
mod guard;
pub mod settings;

use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method};
use reqwest::{Certificate, Client, Url};

use crate::clock::Millis;

pub use address::Cidr;
pub use guard::{Guard, Refused, URL_BYTES_MAX};

/// The most bytes of a file of certificates.
const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long connecting may take: a host that is there answers sooner.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next call to the same host, and how many of them.
const IDLE_WAIT: Duration = Duration::from_secs(60);
const IDLE_PER_HOST_MAX: usize = 8;

/// Why calls cannot be made with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of certificates cannot be read.
    #[error("outbound.ca_file: failed to read {}: {source}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The file has no certificates that can be used.
    #[error("outbound.ca_file: {} has no certificate in PEM form that can be read", .0.display())]
    Certificates(PathBuf),
    /// TLS cannot be set up.
    #[error("failed to set up TLS for calls to other servers: {0}")]
    Tls(reqwest::Error),
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was not made.
    #[error("the URL {0}")]
    Refused(#[from] Refused),
    /// No connection, or one that broke.
    #[error("{0}")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers beside those that the client sets.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The most bytes of the answer's body to keep; the rest is not read.
    pub answer_bytes_max: usize,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code. A redirect is an answer like any other.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub body: Bytes,
}

impl Answer {
    /// How long the other side asks to be left alone (RFC 9110, section 10.2.3): so many seconds, or until a date.
    pub fn retry_after(&self, now: Millis) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
        Some(Duration::from_millis(u64::try_from(date - now).unwrap_or(0)))
    }
}

/// The client. Cheap to clone; all clones go by the same settings.
#[derive(Clone, Debug)]
pub struct Outbound {
    inner: Arc<ArcSwap<Inner>>,
}

#[derive(Debug)]
struct Inner {
    guard: Arc<Guard>,
    /// For https.
    sealed: Client,
    /// For plain http, inside what the operator allows.
    plain: Client,
    timeout: Duration,
}

impl Outbound {
    /// A client by these settings.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(settings: &settings::Outbound) -> Result<Outbound, SetupError> {
        Ok(Outbound { inner: Arc::new(ArcSwap::from_pointee(Inner::new(settings)?)) })
    }

    /// Goes on by other settings. Calls under way end by the old ones.
    ///
    /// # Errors
    /// Where they cannot be used; then the old ones hold.
    pub fn reload(&self, settings: &settings::Outbound) -> Result<(), SetupError> {
        self.inner.store(Arc::new(Inner::new(settings)?));
        Ok(())
    }

    /// The URL that somebody gives, if it may be called: to be asked before it is kept.
    ///
    /// # Errors
    /// Why it may not.
    pub async fn check(&self, url: &str) -> Result<Url, Refused> {
        let guard = self.inner.load().guard.clone();
        let url = guard.read(url)?;
        guard.look_up(&url).await?;
        Ok(url)
    }

    /// Makes one call. It ends by itself.
    ///
    /// # Errors
    /// Where there is no answer. Any answer is one, whatever its status says.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let inner = self.inner.load_full();
        inner.guard.judge(&call.url)?;
        tokio::time::timeout(inner.timeout, inner.make(call))
            .await
            .unwrap_or(Err(CallError::TimedOut(inner.timeout)))
    }
}

impl Inner {
    fn new(settings: &settings::Outbound) -> Result<Inner, SetupError> {
        // Somebody else may have installed it in this process already, and it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Arc::new(Guard::new(settings.allow_cidrs.clone()));
        let extra = settings.ca_file.as_deref().map(certificates).transpose()?;
        let builder = |plain: bool| {
            Client::builder()
                .user_agent(concat!("belfry/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                .https_only(!plain)
                .dns_resolver(guard::Checked { guard: guard.clone(), plain })
                .connect_timeout(CONNECT_WAIT)
                .pool_idle_timeout(IDLE_WAIT)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        };
        // No certificate is looked at where nothing is encrypted.
        let plain = builder(true).tls_certs_only([]).build().map_err(SetupError::Tls)?;
        let sealed = match extra {
            Some(extra) => builder(false).tls_certs_merge(extra).build().map_err(SetupError::Tls)?,
            None => builder(false).build().or_else(|error| {
                tracing::warn!(
                    cause = innermost(&error),
                    "this machine has no certificate authorities: calls to other servers over https will fail \
                     until it has (package ca-certificates) or outbound.ca_file names some"
                );
                builder(false).tls_certs_only([]).build().map_err(SetupError::Tls)
            })?,
        };
        Ok(Inner { guard, sealed, plain, timeout: settings.timeout })
    }

    async fn make(&self, call: Call) -> Result<Answer, CallError> {
        let client = if call.url.scheme() == "http" { &self.plain } else { &self.sealed };
        let request = client.request(call.method, call.url).headers(call.headers).body(call.body);
        let mut response = request.send().await.map_err(failure)?;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        while body.len() < call.answer_bytes_max {
            // The status has come: an answer that breaks off in its body is an answer.
            let Ok(Some(piece)) = response.chunk().await else { break };
            body.extend_from_slice(&piece[..piece.len().min(call.answer_bytes_max - body.len())]);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let read = || {
        let mut pem = Vec::new();
        std::fs::File::open(path)?.take(CA_FILE_BYTES_MAX).read_to_end(&mut pem)?;
        Ok(pem)
    };
    let pem = read().map_err(|source| SetupError::CaFile { path: path.to_owned(), source })?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() { Err(SetupError::Certificates(path.to_owned())) } else { Ok(found) }
}

/// The guard's word where it was the guard, else the innermost cause: those around it only say where it was met, and
/// some of them the URL.
fn failure(error: reqwest::Error) -> CallError {
    let mut cause: &dyn Error = &error;
    loop {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return CallError::Refused(refused.clone());
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return CallError::Unreachable(cause.to_string()),
        }
    }
}

fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn outbound(allowed: &[&str]) -> Outbound {
        let allow_cidrs = allowed.iter().map(|text| text.parse().expect("a block")).collect();
        Outbound::new(&settings::Outbound {
            allow_cidrs,
            timeout: Duration::from_millis(500),
            ..Default::default()
        })
        .expect("a client")
    }

    fn call(url: &str) -> Call {
        Call {
            method: Method::POST,
            url: url.parse().expect("a URL"),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"hello"),
            answer_bytes_max: 16,
        }
    }

    /// Answers one connection with `answer`, then keeps it open.
    async fn answering(answer: &'static [u8]) -> (u16, impl Future<Output = String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let served = async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut seen = vec![0; 4096];
            let read = socket.read(&mut seen).await.expect("a request");
            socket.write_all(answer).await.expect("a reader");
            let _ = socket.read(&mut [0; 1]).await;
            String::from_utf8_lossy(&seen[..read]).into_owned()
        };
        (port, served)
    }

    #[tokio::test]
    async fn an_inner_address_is_not_called() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        for url in [
            format!("http://127.0.0.1:{port}/"),
            format!("https://[::ffff:127.0.0.1]:{port}/"),
            format!("http://localhost:{port}/"),
        ] {
            let refused = outbound(&[]).call(call(&url)).await.expect_err("refused");
            assert!(matches!(refused, CallError::Refused(_)), "{url}: {refused}");
        }
        let name = outbound(&["10.0.0.0/8"]).call(call(&format!("https://localhost:{port}/"))).await;
        assert!(matches!(name, Err(CallError::Refused(Refused::Inside { .. }))), "by the resolver: {name:?}");
        let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(accepted.is_err(), "nobody connected");
    }

    #[tokio::test]
    async fn an_allowed_address_is_called_by_its_name_too() {
        let (port, served) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let outbound = outbound(&["127.0.0.0/8", "::1"]);
        let url = format!("http://localhost:{port}/path");
        let (answer, _) = tokio::join!(outbound.call(call(&url)), async {
            let _ = tokio::time::timeout(Duration::from_secs(2), served).await;
        });
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.body.as_ref()), (200, b"ok".as_ref()));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (port, served) =
            answering(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
                .await;
        let outbound = outbound(&["127.0.0.1"]);
        let url = format!("http://127.0.0.1:{port}/");
        let (answer, _) = tokio::join!(outbound.call(call(&url)), async {
            let _ = tokio::time::timeout(Duration::from_secs(2), served).await;
        });
        assert_eq!(answer.expect("an answer").status, 302);
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let (port, served) =
            answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n20\r\n0123456789abcdef0123456789abcdef\r\n")
                .await;
        let outbound = outbound(&["127.0.0.1"]);
        let url = format!("http://127.0.0.1:{port}/");
        let call = outbound.call(call(&url));
        let answer = tokio::select! {
            answer = call => answer,
            _ = served => panic!("the server goes on"),
        };
        assert_eq!(answer.expect("an answer").body.as_ref(), b"0123456789abcdef");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let (port, served) = answering(b"").await;
        let outbound = outbound(&["127.0.0.1"]);
        let url = format!("http://127.0.0.1:{port}/");
        let failed = tokio::select! {
            answer = outbound.call(call(&url)) => answer.expect_err("no answer"),
            _ = served => panic!("the server goes on"),
        };
        assert!(matches!(failed, CallError::TimedOut(_)), "{failed}");
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let settings = settings::Outbound { ca_file: Some(file.path().to_owned()), ..Default::default() };
        let refused = Outbound::new(&settings).expect_err("no certificates").to_string();
        assert!(refused.starts_with("outbound.ca_file: ") && refused.contains("no certificate"), "{refused}");
        let settings = settings::Outbound { ca_file: Some("/nowhere/ca.pem".into()), ..Default::default() };
        let refused = Outbound::new(&settings).expect_err("no file").to_string();
        assert!(refused.contains("/nowhere/ca.pem"), "{refused}");
    }
}
