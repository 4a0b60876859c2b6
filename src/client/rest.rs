//! The REST client: one request, one answer, and every way in which that can fail sorted by what it means.
//!
//! It goes to its address and nowhere else: no proxy, no redirect, because the key travels with it.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url, Version};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::refusal::Problem;
use super::words::clean;

/// How long a TCP and TLS connection may take to come about.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long an answer may take, over and above what the server was asked to wait.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// The most bytes of an answer's body.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most characters of one sentence of the server that are repeated.
const SENTENCE_CHARS_MAX: usize = 500;

/// A way to ask one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

/// What the server answered to a request that it carried out.
#[derive(Debug)]
pub struct Answer {
    /// The body as it came; empty where there was none.
    pub text: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered in time.
    #[error("no answer from {server}: {cause}")]
    Unreachable {
        /// The address that was asked.
        server: String,
        /// What stood in the way.
        cause: String,
    },
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// Such an address cannot be asked.
    #[error("{0}")]
    Unusable(String),
    /// Something answered, but not as a Belfry server does.
    #[error("{what} at {server}; is it a Belfry server?")]
    Unreadable {
        /// The address that was asked.
        server: String,
        /// What was wrong.
        what: String,
    },
}

impl Answer {
    /// The body as what it should be.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read<T: DeserializeOwned>(&self, client: &Client) -> Result<T, ClientError> {
        serde_json::from_str(&self.text)
            .map_err(|error| client.unreadable(format!("the answer has an unknown shape ({error})")))
    }
}

impl Client {
    /// A client of the server at `base`, which may have a path, with an API key or a user token.
    ///
    /// # Errors
    /// When the address is not one of http or https, or the system's certificates cannot be loaded.
    pub fn new(base: Url, key: Option<SecretString>) -> Result<Client, ClientError> {
        if !matches!(base.scheme(), "http" | "https") {
            return Err(ClientError::Unusable("the address must begin with http:// or https://".to_owned()));
        }
        // Somebody else may have installed it in this process already, and it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("belfry/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WAIT);
        if base.scheme() == "http" {
            // No certificate will be looked at: a machine that has none can still be a client.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| ClientError::Unusable(format!("failed to set up TLS: {}", innermost(&error))))?;
        Ok(Client { http, base, key })
    }

    /// The server's address, to show.
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// `GET` of a path, given as its segments.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, ClientError> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(self.http.request(Method::GET, url), Duration::ZERO).await
    }

    /// `POST` of a JSON body. `wait` is how long the server is asked to wait for the outcome, in whole seconds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &[&str], body: &Value, wait: Duration) -> Result<Answer, ClientError> {
        let mut request = self.http.request(Method::POST, self.url(path)).json(body);
        if !wait.is_zero() {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        self.ask(request, wait).await
    }

    /// `PUT` of a JSON body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, path: &[&str], body: &Value) -> Result<Answer, ClientError> {
        self.ask(self.http.request(Method::PUT, self.url(path)).json(body), Duration::ZERO).await
    }

    /// `PATCH` of a JSON body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn patch(&self, path: &[&str], body: &Value) -> Result<Answer, ClientError> {
        self.ask(self.http.request(Method::PATCH, self.url(path)).json(body), Duration::ZERO).await
    }

    /// `DELETE` of a path, given as its segments.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, path: &[&str]) -> Result<Answer, ClientError> {
        self.ask(self.http.request(Method::DELETE, self.url(path)), Duration::ZERO).await
    }

    /// `POST` without a body whose answer may be long: `take` is given its pieces as they come. Gives what `take` said
    /// where it would not go on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn download(
        &self,
        path: &[&str],
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>, ClientError> {
        let mut request = self.http.request(Method::POST, self.url(path));
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, bearer(key));
        }
        let mut response = self.in_time(Duration::ZERO, request.send()).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await?.into());
        }
        while let Some(piece) = self.in_time(Duration::ZERO, response.chunk()).await? {
            if let Err(error) = take(&piece) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// `GET` of a path that should become another protocol: gives the answer's head, whatever it says, with the body
    /// unread. Carries `headers` and no key.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] alone.
    pub async fn knock(
        &self,
        path: &[&str],
        headers: &[(&'static str, String)],
    ) -> Result<Response, ClientError> {
        let mut request = self.http.request(Method::GET, self.url(path)).version(Version::HTTP_11);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.in_time(Duration::ZERO, request.send()).await
    }

    /// What a refusing answer says.
    ///
    /// # Errors
    /// When the rest of the answer does not arrive.
    pub async fn refusal(&self, response: Response) -> Result<Problem, ClientError> {
        let status = response.status();
        let headers = response.headers().clone();
        let text = self.in_time_bounded(Duration::ZERO, response).await?;
        Ok(Problem::read(status, &headers, &text, |said| self.sentence(said)))
    }

    /// An answer that no Belfry server would give.
    pub fn unreadable(&self, what: String) -> ClientError {
        ClientError::Unreadable { server: self.server().to_owned(), what: self.sentence(&what) }
    }

    async fn ask(&self, mut request: RequestBuilder, wait: Duration) -> Result<Answer, ClientError> {
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, bearer(key));
        }
        let response = self.in_time(wait, request.send()).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await?.into());
        }
        Ok(Answer { text: self.in_time_bounded(Duration::ZERO, response).await? })
    }

    async fn in_time<T>(
        &self,
        wait: Duration,
        work: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, ClientError> {
        let deadline = ANSWER_WAIT + wait;
        match tokio::time::timeout(deadline, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.unreachable(innermost(&error.without_url()))),
            Err(_) => Err(self.unreachable(format!("nothing came within {} s", deadline.as_secs()))),
        }
    }

    async fn in_time_bounded(&self, wait: Duration, mut response: Response) -> Result<String, ClientError> {
        let mut body = Vec::new();
        let whole = self
            .in_time(wait, async {
                while let Some(chunk) = response.chunk().await? {
                    if body.len() + chunk.len() > BODY_BYTES_MAX {
                        return Ok(false);
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(true)
            })
            .await?;
        if !whole {
            return Err(self.unreadable(format!("the answer is longer than {BODY_BYTES_MAX} bytes")));
        }
        String::from_utf8(body).map_err(|_| self.unreadable("the answer is not UTF-8".to_owned()))
    }

    fn unreachable(&self, cause: String) -> ClientError {
        ClientError::Unreachable { server: self.server().to_owned(), cause: self.sentence(&cause) }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an http URL has a path, see new").pop_if_empty().extend(path);
        url
    }

    /// What somebody else wrote, fit for the terminal: short, clean, and without the key even where the server
    /// repeats it.
    pub fn sentence(&self, text: &str) -> String {
        let text = match &self.key {
            // Before it is cut, so that no half of the key is left at the end.
            Some(key) => text.replace(key.expose_secret(), "[the key]"),
            None => text.to_owned(),
        };
        clean(&text).chars().take(SENTENCE_CHARS_MAX).collect()
    }
}

/// The header that carries `token`, marked so that nothing prints it.
pub fn bearer(token: &SecretString) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

/// The innermost cause: it is the one that helps ("connection refused"), and those around it are the library's.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
