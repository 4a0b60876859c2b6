//! The connections to the mail server: made, protected, logged in, kept for the next mail, and given up.
//!
//! The library's own pool is not used. It takes a connection back that a timeout cut off in the middle, and the next
//! mail would then read the answers to the previous one. Here a connection is kept only after a complete yes.

use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Quit, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::compose::Mail;
use super::stream::Measured;
use super::tls::{self, advice, root};
use super::verdict::{Stage, Trouble};
use super::{Options, SetupError, Tls};

/// How long a connection is kept unused. Servers give up on silent clients after five minutes at least (RFC 5321,
/// section 4.5.3.2.7), relays under load much sooner.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long to wait for the answer to a question that is only a courtesy.
const COURTESY_WAIT: Duration = Duration::from_secs(1);

/// The mail server, and the connections to it.
pub(super) struct Relay {
    host: String,
    port: u16,
    tls: Tls,
    parameters: Option<TlsParameters>,
    login: Option<(String, SecretString)>,
    hello: ClientId,
    timeout: Duration,
    /// One permit for each connection in use. Those that are parked have none: they are reused first.
    permits: Semaphore,
    parked: Mutex<Vec<Parked>>,
}

/// A connection between two mails.
struct Parked {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Relay {
    /// Sets everything up and connects to nothing.
    pub(super) fn new(options: Options) -> Result<Relay, SetupError> {
        let bad = |key, detail: &str| Err(SetupError::Key { key, detail: detail.to_owned() });
        if options.host.is_empty() || options.host.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return bad("host", "it is empty, or has a blank or a control character");
        }
        if options.connections_max == 0 || options.connections_max > Semaphore::MAX_PERMITS {
            return bad("connections_max", "it is not between 1 and what the system can hold");
        }
        if options.timeout.is_zero() {
            return bad("timeout", "it is zero, so that no mail could be sent in time");
        }
        let login = match (options.username, options.password) {
            (Some(username), Some(password)) => Some((username, password)),
            (None, None) => None,
            (Some(_), None) => return bad("password", "it is missing, and username is set"),
            (None, Some(_)) => return bad("username", "it is missing, and password is set"),
        };
        let parameters = match options.tls {
            Tls::None => {
                if login.is_some() {
                    tracing::warn!(host = %options.host, "channels.email.tls is none: the password goes in the clear");
                }
                None
            }
            Tls::StartTls | Tls::Implicit | Tls::Opportunistic => {
                Some(tls::parameters(&options.host, options.ca_file)?)
            }
        };
        Ok(Relay {
            host: options.host,
            port: options.port,
            tls: options.tls,
            parameters,
            login,
            hello: ClientId::default(),
            timeout: options.timeout,
            permits: Semaphore::new(options.connections_max),
            parked: Mutex::new(Vec::new()),
        })
    }

    /// Sends one mail and gives the server's words.
    pub(super) async fn deliver(&self, mail: &Mail) -> Result<String, Trouble> {
        // No more wait than there are connections, and each of those is free again once its own time is over.
        let _permit = match timeout(self.timeout + COURTESY_WAIT, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Trouble::silent(Stage::Wait, "the channel is closed")),
            Err(_) => {
                return Err(Trouble::silent(Stage::Wait, self.said_nothing("no connection became free")));
            }
        };
        let stage = Mutex::new(Stage::Connect);
        let attempt = async {
            let mut connection = match self.unpark().await {
                Some(connection) => connection,
                None => self.connect(&stage).await?,
            };
            let result = converse(&mut connection, mail, &stage).await;
            Ok((connection, result))
        };
        let Ok(attempted) = timeout(self.timeout, attempt).await else {
            // The connection was dropped with the attempt: its state is unknown.
            let stage = *stage.lock();
            return Err(Trouble::silent(stage, self.said_nothing("the mail server did not answer")));
        };
        let (connection, result) = attempted?;
        match &result {
            Ok(_) => self.parked.lock().push(Parked { connection, since: Instant::now() }),
            // After a refusal servers count against the connection, and some then refuse the next mail as well.
            Err(Trouble { code: Some(_), .. }) => farewell(connection).await,
            Err(_) => drop(connection),
        }
        result
    }

    /// Makes a connection that is ready for a mail, and gives it up.
    pub(super) async fn greet(&self) -> Result<(), Trouble> {
        let stage = Mutex::new(Stage::Connect);
        let connected = timeout(self.timeout, self.connect(&stage)).await;
        let silent =
            |_| Err(Trouble::silent(*stage.lock(), self.said_nothing("the mail server did not answer")));
        farewell(connected.unwrap_or_else(silent)?).await;
        Ok(())
    }

    /// Says goodbye on every parked connection.
    pub(super) async fn close(&self) {
        self.permits.close();
        let parked = std::mem::take(&mut *self.parked.lock());
        futures_util::future::join_all(parked.into_iter().map(|parked| farewell(parked.connection))).await;
    }

    fn said_nothing(&self, what: &str) -> String {
        format!("{what} within {} ms", self.timeout.as_millis())
    }

    /// A parked connection that still answers.
    async fn unpark(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let Parked { mut connection, since } = self.parked.lock().pop()?;
            if since.elapsed() > IDLE_MAX {
                // The one parked last is the freshest: the others are too old as well.
                self.parked.lock().clear();
                return None;
            }
            if timeout(COURTESY_WAIT, connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    async fn connect(&self, stage: &Mutex<Stage>) -> Result<AsyncSmtpConnection, Trouble> {
        let trouble = |error| trouble(*stage.lock(), &error);
        let server = (self.host.as_str(), self.port);
        let stream = TcpStream::connect(server)
            .await
            .map_err(|error| Trouble::silent(Stage::Connect, error.to_string()))?;
        // A mail and its final dot are two writes: without this the second waits for the first one's delayed
        // acknowledgement, some 40 ms for each mail. A connection that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let stream = Measured::new(stream);
        let stream: Box<dyn AsyncTokioStream> =
            match self.parameters.clone().filter(|_| self.tls == Tls::Implicit) {
                Some(parameters) => Box::new(stream.wrapped(parameters).await.map_err(trouble)?),
                None => Box::new(stream),
            };
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await.map_err(trouble)?;
        let upgrade = match self.tls {
            Tls::None | Tls::Implicit => false,
            Tls::StartTls => true,
            Tls::Opportunistic => self.login.is_some() || connection.can_starttls(),
        };
        if let Some(parameters) = self.parameters.clone().filter(|_| upgrade) {
            if !connection.can_starttls() {
                farewell(connection).await;
                return Err(Trouble::silent(
                    Stage::Connect,
                    "the server does not offer STARTTLS, and nothing is sent in the clear unless channels.email.tls \
                     is `none`",
                ));
            }
            connection.starttls(parameters, &self.hello).await.map_err(trouble)?;
        }
        if let Some((username, password)) = &self.login {
            *stage.lock() = Stage::Login;
            let credentials = Credentials::new(username.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(trouble)?;
        }
        Ok(connection)
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("login", &self.login.is_some())
            .finish_non_exhaustive()
    }
}

/// One mail over a connection that is ready for one.
async fn converse(
    connection: &mut AsyncSmtpConnection,
    mail: &Mail,
    stage: &Mutex<Stage>,
) -> Result<String, Trouble> {
    *stage.lock() = Stage::Envelope;
    let from = MailFrom::new(Some(mail.from.clone()), mail_parameters(connection, mail)?);
    let envelope = |error| trouble(Stage::Envelope, &error);
    connection.command(from).await.map_err(envelope)?;
    let recipient = |error| trouble(Stage::Recipient, &error);
    connection.command(Rcpt::new(mail.to.clone(), Vec::new())).await.map_err(recipient)?;
    connection.command(Data).await.map_err(envelope)?;
    *stage.lock() = Stage::Content;
    let answer = connection.message(&mail.bytes).await.map_err(|error| trouble(Stage::Content, &error))?;
    match answer.code().severity {
        Severity::PositiveCompletion => Ok(words(&answer)),
        Severity::PositiveIntermediate
        | Severity::TransientNegativeCompletion
        | Severity::PermanentNegativeCompletion => {
            Err(Trouble::silent(Stage::Content, format!("an answer out of place: {}", words(&answer))))
        }
    }
}

/// What the server must know to take this mail: RFC 6531 for addresses, RFC 6152 for contents beyond ASCII.
fn mail_parameters(connection: &AsyncSmtpConnection, mail: &Mail) -> Result<Vec<MailParameter>, Trouble> {
    let server = connection.server_info();
    let mut parameters = Vec::new();
    let addresses: [&str; 2] = [mail.from.as_ref(), mail.to.as_ref()];
    if !addresses.iter().all(|address| address.is_ascii()) {
        if !server.supports_feature(Extension::SmtpUtfEight) {
            let words = "the mail server takes no addresses beyond ASCII (it does not offer SMTPUTF8)";
            return Err(Trouble { hopeless: true, ..Trouble::silent(Stage::Envelope, words) });
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !mail.bytes.is_ascii() && server.supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(parameters)
}

fn words(answer: &Response) -> String {
    let lines: Vec<&str> = answer.message().collect();
    format!("{} {}", answer.code(), lines.join(" "))
}

/// QUIT, and the answer to it if it comes soon.
async fn farewell(mut connection: AsyncSmtpConnection) {
    let _ = timeout(COURTESY_WAIT, connection.command(Quit)).await;
}

/// The library's error as trouble, with the server's words where it answered.
fn trouble(stage: Stage, error: &lettre::transport::smtp::Error) -> Trouble {
    let code = error.status().map(u16::from);
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match code {
        Some(_) => Trouble { stage, code, words: said, hopeless: false },
        None => Trouble::silent(stage, format!("{}{}", root(error), advice(error))),
    }
}
