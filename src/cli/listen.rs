//! `belfry listen`: a person's notifications as they arrive, through cuts and restarts of the server.

use clap::Args;
use jiff::tz::TimeZone;

use super::failure::Failure;
use super::frame::{Frame, Role};
use super::options::{Options, id};
use super::screen::{self, clean};
use crate::client::{Stream, Told};

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
    let mut stream = Stream::of_user(options.client()?, &args.user);
    let zone = TimeZone::system();
    let outcome = loop {
        let told = tokio::select! {
            told = stream.next() => told,
            pressed = tokio::signal::ctrl_c() => {
                break pressed.map_err(|error| Failure::Failed(format!("failed to wait for Control-C: {error}")));
            }
        };
        let shown = match told {
            Ok(told) => show(&told, &args.user, &stream, options.json, &zone),
            Err(lost) => Err(lost.into()),
        };
        if shown.is_err() {
            break shown;
        }
    };
    stream.close().await;
    outcome
}

fn show(told: &Told, user: &str, stream: &Stream, json: bool, zone: &TimeZone) -> Result<(), Failure> {
    match told {
        Told::Greeted { gap: true, .. } => {
            screen::note("belfry: back, but some notifications may have been missed; they are in the inbox");
        }
        Told::Greeted { again: true, .. } => screen::note("belfry: back"),
        Told::Greeted { hello, .. } => screen::note(&format!(
            "listening to {} (connection {})",
            clean(user),
            clean(&hello.connection_id)
        )),
        Told::Broken { why, wait } => {
            screen::note(&format!("belfry: {why}; trying again in {:.1} s", wait.as_secs_f64()));
        }
        Told::Frame { text, .. } => {
            let Ok(frame) = serde_json::from_str::<Frame>(text) else {
                screen::note("belfry: the server sent a frame that cannot be read");
                return Ok(());
            };
            match frame.role() {
                Role::Housekeeping => {}
                Role::Complaint => {
                    let complaint = stream.hide_token(&frame.complaint());
                    screen::note(&format!("belfry: the server says: {complaint}"));
                }
                Role::News if json => screen::say(&screen::json_line(text))?,
                Role::News => screen::say(&frame.line(zone))?,
            }
        }
    }
    Ok(())
}
