//! `belfry listen`: a person's notifications as they arrive, through cuts and restarts of the server.

use std::convert::Infallible;
use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use super::client::Client;
use super::failure::{Exit, Failure};
use super::frame::{Frame, Role};
use super::live::{Heard, Live};
use super::options::{Options, id};
use super::resume::{Course, Hello};
use super::screen::{self, clean};
use super::token;

/// How long a connection's token is valid, in seconds. Each connection gets a new one.
const TOKEN_SECONDS: u64 = 3_600;
/// How long the server may take to greet.
const HELLO_WAIT: Duration = Duration::from_secs(15);

const EXAMPLES: &str = "\
Examples:
  belfry listen ada
  belfry listen ada --json | jq -r .title

It needs a key with the scope admin (BELFRY_KEY), with which it makes a token
for that person. It comes back after a cut and shows what it missed; it gives up
after as many attempts as the server advises. Control-C ends it.";

/// Whose notifications.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ListenArgs {
    /// The person's id
    #[arg(value_name = "USER", value_parser = id)]
    pub user: String,
}

/// Watches until Control-C.
///
/// # Errors
/// When it cannot begin, may not go on, or the attempts to come back are used up.
pub async fn run(args: ListenArgs, options: &Options) -> Result<(), Failure> {
    let mut listener = Listener {
        user: args.user,
        client: Client::new(options)?,
        json: options.json,
        zone: TimeZone::system(),
        course: Course::default(),
        live: None,
    };
    let outcome = tokio::select! {
        outcome = listener.follow() => outcome.map(|never| match never {}),
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(|error| Failure::Failed(format!("failed to wait for Control-C: {error}")))
        }
    };
    if let Some(live) = listener.live.take() {
        live.close().await;
    }
    outcome
}

struct Listener {
    user: String,
    client: Client,
    json: bool,
    zone: TimeZone,
    course: Course,
    /// The open connection, kept here so that it can be closed in order whenever listening is broken off.
    live: Option<Live>,
}

/// How a connection ended.
#[derive(Debug)]
enum Ended {
    /// For good.
    Stop(Failure),
    /// For now.
    Again(Failure),
}

impl From<Failure> for Ended {
    /// What a person has to change first is for good; the rest may pass.
    fn from(failure: Failure) -> Ended {
        match failure.exit() {
            Exit::Ok | Exit::Usage | Exit::NotAllowed | Exit::NotFound => Ended::Stop(failure),
            Exit::Failed | Exit::Unavailable => Ended::Again(failure),
        }
    }
}

impl Listener {
    async fn follow(&mut self) -> Result<Infallible, Failure> {
        loop {
            let why = match self.attend().await {
                Err(Ended::Stop(failure)) => return Err(failure),
                // Nothing to come back to yet, and no advice how.
                Err(Ended::Again(failure)) if !self.course.begun() => return Err(failure),
                Err(Ended::Again(failure)) => failure,
                Ok(never) => match never {},
            };
            let attempts = self.course.attempts();
            let Some(wait) = self.course.next_attempt(chance()) else {
                return Err(Failure::Failed(format!(
                    "gave up after {attempts} attempts to reconnect: {why}"
                )));
            };
            screen::note(&format!("belfry: {why}; trying again in {:.1} s", wait.as_secs_f64()));
            tokio::time::sleep(wait).await;
        }
    }

    /// One connection, from its token to its end.
    async fn attend(&mut self) -> Result<Infallible, Ended> {
        self.live = None;
        let token = token::mint(&self.client, &self.user, TOKEN_SECONDS).await.map_err(Failure::from)?;
        let mut live = Live::open(&self.client).await.map_err(Failure::from)?;
        let mut connect = json!({ "type": "connect", "token": token });
        if let Some(resume) = self.course.resume() {
            connect["resume"] = resume;
        }
        live.tell(connect).await.map_err(|broken| Ended::Again(Failure::Unavailable(broken)))?;
        let hello = tokio::time::timeout(HELLO_WAIT, greeting(&mut live, &self.user, &token))
            .await
            .map_err(|_| Ended::Again(Failure::Unavailable("the server did not greet".to_owned())))??;
        self.greeted(&hello);
        let live = self.live.insert(live);
        loop {
            let text = match live.hear().await {
                Heard::Frame(text) => text,
                Heard::Closed { code, reason } => {
                    return Err(closed(code, &reason.replace(&token, "[token]")));
                }
                Heard::Lost(why) => {
                    return Err(Ended::Again(Failure::Unavailable(format!("connection lost: {why}"))));
                }
            };
            let Ok(frame) = serde_json::from_str::<Frame>(&text) else {
                screen::note("belfry: the server sent a frame that cannot be read");
                continue;
            };
            match frame.role() {
                Role::Housekeeping => {}
                Role::Complaint => {
                    screen::note(&format!("belfry: the server says: {}", frame.complaint(&token)))
                }
                Role::News if !self.course.passes(frame.offset) => {}
                Role::News if self.json => screen::say(&screen::json_line(&text))?,
                Role::News => screen::say(&frame.line(&self.zone))?,
            }
        }
    }

    fn greeted(&mut self, hello: &Hello) {
        let came_back = self.course.begun();
        if self.course.greeted(hello) {
            screen::note("belfry: back, but some notifications may have been missed; they are in the inbox");
        } else if came_back {
            screen::note("belfry: back");
        } else {
            screen::note(&format!(
                "listening to {} (connection {})",
                clean(&self.user),
                clean(&hello.connection_id)
            ));
        }
    }
}

/// Waits for the greeting that is meant for `user`: a server that lets strangers in may greet those first.
async fn greeting(live: &mut Live, user: &str, token: &str) -> Result<Hello, Ended> {
    loop {
        let text = match live.hear().await {
            Heard::Frame(text) => text,
            Heard::Closed { code, reason } => return Err(closed(code, &reason.replace(token, "[token]"))),
            Heard::Lost(why) => return Err(Ended::Again(Failure::Unavailable(why))),
        };
        let Ok(frame) = serde_json::from_str::<Frame>(&text) else { continue };
        if frame.role() == Role::Complaint {
            screen::note(&format!("belfry: the server says: {}", frame.complaint(token)));
        }
        if frame.kind != "hello" {
            continue;
        }
        let hello: Hello = serde_json::from_str(&text).map_err(|error| {
            Ended::Stop(Failure::Failed(format!("the server's greeting is odd: {error}")))
        })?;
        if hello.user_id.as_deref().is_none_or(|greeted| greeted == user) {
            return Ok(hello);
        }
    }
}

/// What a close code means for a listener. From 4500 up it is not to come back.
fn closed(code: u16, reason: &str) -> Ended {
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
    let text = if reason.is_empty() {
        format!("{meaning} (close code {code})")
    } else {
        format!("{meaning} (close code {code}: {reason})")
    };
    match code {
        4500 | 4507 => Ended::Stop(Failure::NotAllowed(text)),
        4504 => Ended::Stop(Failure::Unavailable(text)),
        4501..=4599 => Ended::Stop(Failure::Failed(text)),
        _ => Ended::Again(Failure::Unavailable(text)),
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
        for code in 4500..=4599 {
            assert!(matches!(closed(code, ""), Ended::Stop(_)), "{code}");
        }
        for code in [1000, 1001, 1005, 1006, 4001, 4005, 4008, 4012, 4013] {
            assert!(matches!(closed(code, ""), Ended::Again(_)), "{code}");
        }
    }

    #[test]
    fn a_refused_token_ends_as_not_allowed() {
        let Ended::Stop(failure) = closed(4500, "expired") else { panic!("a refused token is for good") };
        assert_eq!(failure.exit(), Exit::NotAllowed);
        assert_eq!(failure.to_string(), "the token is not valid (close code 4500: expired)");
    }
}
