//! `belfry user`: what the server knows of one person.

use clap::Subcommand;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean};
use crate::client::Client;

/// What to do with a person.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Show what the server knows of a person
    #[command(after_help = "Examples:\n  belfry user get ada\n  belfry user get ada --json")]
    Get {
        /// The person's id
        #[arg(value_name = "USER", value_parser = id)]
        user: String,
    },
    /// Write out everything that the server has stored of a person, as JSON
    #[command(after_help = "Examples:\n  belfry user export ada > ada.json")]
    Export {
        /// The person's id
        #[arg(value_name = "USER", value_parser = id)]
        user: String,
    },
}

/// The most documents of one export that are put together.
const DOCUMENTS_MAX: usize = 1_000;

/// Does it.
///
/// # Errors
/// When the server does not answer as asked.
pub async fn run(command: UserCommand, options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
    let user = match command {
        UserCommand::Get { user } => user,
        UserCommand::Export { user } => return export(&client, &user).await,
    };
    let answer = client.get(&["v1", "users", &user], &[]).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    screen::say(&describe(&answer.read(&client)?))
}

/// One document, put together of as many as the server gives.
async fn export(client: &Client, user: &str) -> Result<(), Failure> {
    let path = ["v1", "users", user, "export"];
    let mut whole: Value = client.get(&path, &[]).await?.read(client)?;
    for _ in 1..DOCUMENTS_MAX {
        let Some(cursor) = whole["next_cursor"].as_str().map(str::to_owned) else { break };
        let mut more: Value = client.get(&path, &[("cursor", &cursor)]).await?.read(client)?;
        if let (Some(all), Some(more)) =
            (whole["notifications"].as_array_mut(), more["notifications"].as_array_mut())
        {
            all.append(more);
        }
        whole["next_cursor"] = more["next_cursor"].take();
    }
    screen::say(&screen::json_line(&whole.to_string()))
}

/// A line for each thing that is known, the contract's first and in its order.
fn describe(user: &Map<String, Value>) -> String {
    const FIRST: [&str; 6] = ["id", "email", "phone", "locale", "timezone", "attributes"];
    let others = user.keys().map(String::as_str).filter(|name| !FIRST.contains(name));
    let rows: Vec<Vec<String>> = FIRST
        .into_iter()
        .chain(others)
        .filter_map(|name| Some((name, user.get(name)?)))
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![clean(name), clean(&value)]
        })
        .collect();
    screen::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_shown_by_what_is_known_in_the_order_of_the_contract() {
        let user = serde_json::json!({
            "created_at": "2026-11-24T07:00:00Z", "email": "ada@example.org", "id": "ada", "phone": null,
            "attributes": {"team": "core"},
        });
        assert_eq!(
            describe(user.as_object().unwrap()),
            "id          ada\nemail       ada@example.org\nattributes  {\"team\":\"core\"}\n\
             created_at  2026-11-24T07:00:00Z\n"
        );
    }
}
