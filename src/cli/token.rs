//! `belfry token`: a token with which one person, or their browser, reaches their own notifications.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean};

const EXAMPLES: &str = "\
Examples:
  belfry token ada
  belfry token ada --expires-in 600
  TOKEN=$(belfry token ada)
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8470/v1/users/me/inbox

The token alone goes to the standard output. It needs a key with the scope admin
(BELFRY_KEY).";

/// Whose token.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TokenArgs {
    /// The person's id
    #[arg(value_name = "USER", value_parser = id)]
    pub user: String,
    /// How long it is valid, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub expires_in: u64,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    #[serde(default)]
    expires_at: Option<String>,
}

/// Makes a token and shows it.
///
/// # Errors
/// When the server makes none.
pub async fn run(args: TokenArgs, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let path = ["v1", "users", &args.user, "tokens"];
    let answer = client.post(&path, &json!({ "expires_in": args.expires_in }), Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    let minted: Minted = answer.read(&client)?;
    screen::say(&clean(&minted.token))?;
    if let Some(expires_at) = minted.expires_at {
        screen::note(&format!("valid until {}", clean(&expires_at)));
    }
    Ok(())
}
