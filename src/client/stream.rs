//! A live stream through cuts and restarts: it comes back by itself, resumes, and gives each notification once.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::live::{Heard, Live};
use super::rest::{Client, ClientError};
use super::resume::{Course, Hello};

/// How long a token that is made for a connection is valid, in seconds. Each connection gets a new one.
const TOKEN_SECONDS: u64 = 3_600;
/// How long the server may take to greet.
const HELLO_WAIT: Duration = Duration::from_secs(15);

/// What a stream tells.
#[derive(Debug)]
pub enum Told {
    /// The server has greeted: for the first time, or `again`. With a `gap`, something was missed that cannot be
    /// replayed; it is in the inbox.
    Greeted {
        /// The greeting.
        hello: Hello,
        /// Whether there was a connection before.
        again: bool,
        /// Whether something was missed.
        gap: bool,
    },
    /// A frame, heartbeats left out; a notification that came before is not told again.
    Frame {
        /// Its `type`.
        kind: String,
        /// Its place in the user's stream, on a notification.
        offset: Option<u64>,
        /// The frame as it came.
        text: String,
    },
    /// The connection is gone, and another one is tried after a wait.
    Broken {
        /// Why.
        why: Lost,
        /// How long it waits.
        wait: Duration,
    },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The server was not reached, or refused.
    #[error(transparent)]
    Refused(#[from] ClientError),
    /// The server closed it.
    #[error("{}", closed(*code, reason))]
    Closed {
        /// The close code.
        code: u16,
        /// The server's words; may be empty.
        reason: String,
    },
    /// It broke.
    #[error("connection lost: {0}")]
    Broken(String),
    /// What answers does not speak as a Belfry server does.
    #[error("the server's greeting is odd: {0}")]
    Odd(String),
    /// The attempts that the server advises are used up.
    #[error("gave up after {attempts} attempts to reconnect: {why}")]
    GaveUp {
        /// How many there were.
        attempts: u32,
        /// Why the last one failed.
        why: Box<Lost>,
    },
}

impl Lost {
    /// Whether trying again is of no use before a person has changed something.
    pub fn is_final(&self) -> bool {
        match self {
            Lost::Refused(ClientError::Refused(problem)) => matches!(problem.status, 401 | 403 | 404),
            Lost::Refused(_) | Lost::Broken(_) => false,
            Lost::Closed { code, .. } => (4500..4600).contains(code),
            Lost::Odd(_) | Lost::GaveUp { .. } => true,
        }
    }
}

/// By whose right a stream listens.
#[derive(Debug)]
enum Pass {
    /// The client's key makes a token of that user for every connection.
    Minted(String),
    /// A token.
    Token(SecretString),
}

/// A live stream. Nothing happens but in [`Stream::next`], which may be dropped at any time and called again.
#[derive(Debug)]
pub struct Stream {
    client: Client,
    pass: Pass,
    watched: Vec<String>,
    course: Course,
    live: Option<Live>,
    reopen_at: Option<Instant>,
    /// The token of the open connection: what the server repeats of it stays hidden.
    token: SecretString,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    offset: Option<u64>,
    user_id: Option<String>,
}

impl Stream {
    /// The stream of a user, with tokens that the client's key makes.
    pub fn of_user(client: Client, user: &str) -> Stream {
        Stream::new(client, Pass::Minted(user.to_owned()))
    }

    /// The stream of whoever the token belongs to.
    pub fn with_token(client: Client, token: SecretString) -> Stream {
        Stream::new(client, Pass::Token(token))
    }

    fn new(client: Client, pass: Pass) -> Stream {
        let (course, token) = (Course::default(), SecretString::default());
        Stream { client, pass, watched: Vec::new(), course, live: None, reopen_at: None, token }
    }

    /// Watches `workflow:<id>` or `topic:<name>`, now and after every reconnect. The server's answer comes as a frame.
    pub async fn subscribe(&mut self, channel: &str) {
        if !self.watched.iter().any(|watched| watched == channel) {
            self.watched.push(channel.to_owned());
            self.say(json!({ "type": "subscribe", "channel": channel })).await;
        }
    }

    /// Watches it no more.
    pub async fn unsubscribe(&mut self, channel: &str) {
        self.watched.retain(|watched| watched != channel);
        self.say(json!({ "type": "unsubscribe", "channel": channel })).await;
    }

    /// Marks notifications as `seen`, `read`, `unread` or `archived`. Answers false where there is no connection now: a
    /// mark that must not be lost goes by REST.
    pub async fn mark(&mut self, ids: &[&str], mark: &str) -> bool {
        self.say(json!({ "type": "mark", "ids": ids, "as": mark })).await
    }

    /// What a broken connection does not take is found out by [`Stream::next`].
    async fn say(&mut self, frame: Value) -> bool {
        match &mut self.live {
            Some(live) => live.tell(frame).await.is_ok(),
            None => false,
        }
    }

    /// Waits for what is told next, over as many connections as it takes.
    ///
    /// # Errors
    /// Where there is no connection and none is to be expected, see [`Lost::is_final`]: the first one cannot be opened,
    /// the server does not want this client, or the attempts are used up.
    pub async fn next(&mut self) -> Result<Told, Lost> {
        let Some(live) = &mut self.live else {
            if let Some(at) = self.reopen_at {
                tokio::time::sleep_until(at).await;
            }
            return match self.open().await {
                Ok(told) => Ok(told),
                Err(why) => self.lost(why),
            };
        };
        loop {
            let why = match live.hear().await {
                Heard::Frame(text) => {
                    let Ok(head) = serde_json::from_str::<Head>(&text) else { continue };
                    let old = head.kind == "notification" && !self.course.passes(head.offset);
                    if old || head.kind == "pong" {
                        continue;
                    }
                    return Ok(Told::Frame { kind: head.kind, offset: head.offset, text });
                }
                Heard::Closed { code, reason } => Lost::Closed { code, reason: hide(&self.token, &reason) },
                Heard::Lost(why) => Lost::Broken(why),
            };
            return self.lost(why);
        }
    }

    /// Says goodbye.
    pub async fn close(&mut self) {
        if let Some(live) = self.live.take() {
            live.close().await;
        }
    }

    /// What the server said, without the token of the connection even where it repeats it.
    pub fn hide_token(&self, text: &str) -> String {
        hide(&self.token, text)
    }

    async fn open(&mut self) -> Result<Told, Lost> {
        let token = match &self.pass {
            Pass::Minted(user) => mint(&self.client, user, TOKEN_SECONDS).await?,
            Pass::Token(token) => token.clone(),
        };
        let mut live = Live::open(&self.client).await?;
        let mut connect = json!({ "type": "connect", "token": token.expose_secret() });
        if let Some(resume) = self.course.resume() {
            connect["resume"] = resume;
        }
        if !self.watched.is_empty() {
            connect["subscribe"] = json!(self.watched);
        }
        live.tell(connect).await.map_err(Lost::Broken)?;
        let hello = tokio::time::timeout(HELLO_WAIT, greeting(&self.pass, &mut live, &token))
            .await
            .map_err(|_| Lost::Broken("the server did not greet".to_owned()))??;
        let again = self.course.begun();
        let gap = self.course.greeted(&hello);
        (self.live, self.token, self.reopen_at) = (Some(live), token, None);
        Ok(Told::Greeted { hello, again, gap })
    }

    fn lost(&mut self, why: Lost) -> Result<Told, Lost> {
        self.live = None;
        // Without a first greeting there is nothing to come back to, and no advice how.
        if why.is_final() || !self.course.begun() {
            return Err(why);
        }
        let attempts = self.course.attempts();
        let Some(wait) = self.course.next_attempt(chance()) else {
            return Err(Lost::GaveUp { attempts, why: Box::new(why) });
        };
        self.reopen_at = Some(Instant::now() + wait);
        Ok(Told::Broken { why, wait })
    }
}

/// Waits for the greeting that is meant for us: a server that lets strangers in may greet those first.
async fn greeting(pass: &Pass, live: &mut Live, token: &SecretString) -> Result<Hello, Lost> {
    loop {
        let text = match live.hear().await {
            Heard::Frame(text) => text,
            Heard::Closed { code, reason } => {
                return Err(Lost::Closed { code, reason: hide(token, &reason) });
            }
            Heard::Lost(why) => return Err(Lost::Broken(why)),
        };
        let Ok(head) = serde_json::from_str::<Head>(&text) else { continue };
        let ours = match (pass, &head.user_id) {
            (Pass::Minted(user), Some(greeted)) => greeted == user,
            (Pass::Minted(_), None) | (Pass::Token(_), _) => true,
        };
        if head.kind == "hello" && ours {
            return serde_json::from_str(&text).map_err(|error| Lost::Odd(error.to_string()));
        }
    }
}

/// A token of `user`, valid for so many seconds, by the client's key.
///
/// # Errors
/// When the server makes none.
pub async fn mint(client: &Client, user: &str, expires_in_seconds: u64) -> Result<SecretString, ClientError> {
    #[derive(Deserialize)]
    struct Minted {
        token: String,
    }
    let body = json!({ "expires_in": expires_in_seconds });
    let answer = client.post(&["v1", "users", user, "tokens"], &body, Duration::ZERO).await?;
    Ok(answer.read::<Minted>(client)?.token.into())
}

fn hide(token: &SecretString, text: &str) -> String {
    match token.expose_secret() {
        "" => text.to_owned(),
        token => text.replace(token, "[token]"),
    }
}

/// What a close code means for whoever listens.
fn closed(code: u16, reason: &str) -> String {
    let meaning = match code {
        4001 => "the server is stopping",
        4005 => "the token ran out",
        4008 => "this listener is too slow",
        4012 => "the server heard nothing from here",
        4013 => "too many messages from here",
        4500 => "the token is not valid",
        4502 => "the token came too late",
        4503 => "an operator closed the connection",
        4504 => "the server has as many connections as it allows",
        4507 => "this token may not listen",
        _ => "the server closed the connection",
    };
    if reason.is_empty() {
        format!("{meaning} (close code {code})")
    } else {
        format!("{meaning} (close code {code}: {reason})")
    }
}

/// Random, from 0 to 1. Without randomness the waits are just not spread.
fn chance() -> f64 {
    let mut bytes = [0_u8; 2];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
        Err(ring::error::Unspecified) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_from_4500_up_are_for_good() {
        let is_final = |code| Lost::Closed { code, reason: String::new() }.is_final();
        assert!((4500..=4599).all(is_final));
        assert!(![1000, 1001, 1005, 1006, 4001, 4005, 4008, 4012, 4013].into_iter().any(is_final));
    }

    #[test]
    fn a_close_code_is_told_in_words() {
        let lost = Lost::Closed { code: 4500, reason: "expired".to_owned() };
        assert_eq!(lost.to_string(), "the token is not valid (close code 4500: expired)");
    }
}
