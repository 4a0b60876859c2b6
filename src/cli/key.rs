//! `belfry key`: API keys, made, listed and revoked.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::{Options, id};
use super::pages;
use super::screen::{self, clean};
use crate::access::principal::Scope;
use crate::client::{Client, ClientError};

/// The most keys that a list goes through.
const KEYS_MAX: usize = 10_000;

const CREATE_HELP: &str = "\
Examples:
  belfry key create ci --scope publish
  belfry key create dashboard --scope read --expires-in 2592000
  belfry key create grafana --scope ingest:grafana
  belfry key create ci --scope publish > ci.key

The token alone goes to the standard output. It is shown this once: the server
keeps only its hash.

Scopes:
  publish         send notifications, workflow events and broadcasts
  read            read anything
  admin           everything
  ingest:<hook>   post to one inbound hook";

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and show its token, once
    Create(CreateArgs),
    /// List the keys: what each may do, when it was last used and when it ends
    #[command(after_help = "Examples:\n  belfry key list\n  belfry key list --json")]
    List,
    /// Revoke a key at once
    #[command(after_help = "Example:\n  belfry key revoke 0198c5f0-7a44-7c1b-9d5f-2f8f6c1f0a11")]
    Revoke {
        /// The key's id, from `belfry key list`: not its token
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
}

/// What key to make.
#[derive(Args, Debug)]
#[command(after_help = CREATE_HELP)]
pub struct CreateArgs {
    /// A name to know it by
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it may do; may be repeated, or separated by commas
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',', value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// How long it is valid, in seconds [default: until it is revoked]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub expires_in: Option<u64>,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| "the scopes are publish, read, admin and ingest:<hook>".to_owned())
}

#[derive(Deserialize)]
struct Created {
    id: String,
    token: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    id: String,
    name: String,
    scopes: Vec<String>,
    #[serde(alias = "last_used")]
    last_used_at: Option<String>,
    expires_at: Option<String>,
}

/// Does it.
///
/// # Errors
/// When the server does not do it.
pub async fn run(command: KeyCommand, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    match command {
        KeyCommand::Create(args) => create(&args, &client, options).await,
        KeyCommand::List => list(&client, options).await,
        KeyCommand::Revoke { id } => revoke(&id, &client, options).await,
    }
}

async fn create(args: &CreateArgs, client: &Client, options: &Options) -> Result<(), Failure> {
    let scopes: Vec<String> = args.scopes.iter().map(Scope::to_string).collect();
    let mut body = json!({ "name": args.name, "scopes": scopes });
    if let Some(expires_in) = args.expires_in {
        body["expires_in"] = json!(expires_in);
    }
    let answer = client.post(&["v1", "keys"], &body, Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    let created: Created = answer.read(client)?;
    screen::note(&format!("key {} was made; this is its token, shown this once:", clean(&created.id)));
    screen::say(&clean(&created.token))
}

async fn list(client: &Client, options: &Options) -> Result<(), Failure> {
    let keys = pages::up_to(client, &["v1", "keys"], KEYS_MAX).await?;
    if options.json {
        return screen::say(&keys.to_json()?);
    }
    screen::say(&describe(&keys.read()))
}

async fn revoke(id: &str, client: &Client, options: &Options) -> Result<(), Failure> {
    client.delete(&["v1", "keys", id]).await.map_err(|error| masked(error, id))?;
    if options.json {
        return screen::say(&Value::to_string(&json!({ "id": id, "revoked": true })));
    }
    screen::say(&format!("key {} is revoked", screen::mask(&clean(id))))
}

/// A token given in the place of an id comes back from the server in its refusal, but not from here.
fn masked(error: ClientError, id: &str) -> ClientError {
    match error {
        ClientError::Refused(mut problem) => {
            problem.detail = problem.detail.replace(id, &screen::mask(id));
            ClientError::Refused(problem)
        }
        other @ (ClientError::Unreachable { .. }
        | ClientError::Unreadable { .. }
        | ClientError::Unusable(_)) => other,
    }
}

fn describe(keys: &[Key]) -> String {
    let mut rows = vec![["ID", "NAME", "SCOPES", "LAST USED", "EXPIRES"].map(str::to_owned).to_vec()];
    rows.extend(keys.iter().map(|key| {
        vec![
            clean(&key.id),
            clean(&key.name),
            clean(&key.scopes.join(",")),
            key.last_used_at.as_deref().map_or_else(|| "never".to_owned(), clean),
            key.expires_at.as_deref().map_or_else(|| "never".to_owned(), clean),
        ]
    }));
    screen::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_in_columns_with_their_last_use_and_end() {
        let key = Key {
            id: "k1".to_owned(),
            name: "ci\u{9b}31m".to_owned(),
            scopes: vec!["publish".to_owned(), "read".to_owned()],
            last_used_at: None,
            expires_at: Some("2026-12-24T00:00:00Z".to_owned()),
        };
        assert_eq!(
            describe(&[key]),
            "ID  NAME   SCOPES        LAST USED  EXPIRES\n\
             k1  ci31m  publish,read  never      2026-12-24T00:00:00Z\n"
        );
    }
}
