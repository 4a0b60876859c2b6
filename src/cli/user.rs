//! `belfry user`: who there is, what the server knows of one person, and how to make it forget them.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::options::{Options, id};
use super::pages;
use super::screen::{self, clean};
use crate::client::Client;

const ERASE_HELP: &str = "\
Examples:
  belfry user erase ada
  belfry user erase ada --yes      asks nothing, as scripts need it

What goes: the person, what they want and were sent, their inbox, browsers,
topics, schedules and hooks for them alone, their own endpoints. It cannot be
undone; backups that were made before still hold them.";

/// What to do with a person.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the people that there are, in the order of their ids
    #[command(after_help = "Examples:\n  belfry user list\n  belfry user list --json")]
    List {
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
    },
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
    /// Forget a person: everything that is stored of them
    #[command(after_help = ERASE_HELP)]
    Erase {
        /// The person's id
        #[arg(value_name = "USER", value_parser = id)]
        user: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
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
    match command {
        UserCommand::List { limit } => list(&client, limit, options).await,
        UserCommand::Get { user } => get(&client, &user, options).await,
        UserCommand::Export { user } => export(&client, &user).await,
        UserCommand::Erase { user, yes } => erase(&client, &user, yes, options).await,
    }
}

async fn list(client: &Client, limit: u32, options: &Options) -> Result<(), Failure> {
    let mut people = pages::up_to(client, &["v1", "users"], limit as usize).await?;
    let more = people.next_cursor.is_some() || people.data.len() > limit as usize;
    people.data.truncate(limit as usize);
    if options.json {
        return screen::say(&people.to_json()?);
    }
    screen::say(&rows(&people.read()))?;
    if more {
        screen::note("there are more: ask for them by --limit, or write out all by `belfry export`");
    }
    Ok(())
}

async fn get(client: &Client, user: &str, options: &Options) -> Result<(), Failure> {
    let answer = client.get(&["v1", "users", user], &[]).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    screen::say(&describe(&answer.read(client)?))
}

async fn erase(client: &Client, user: &str, yes: bool, options: &Options) -> Result<(), Failure> {
    let shown = clean(user);
    if !yes && !screen::confirm(&format!("Forget {shown} and everything that is stored of them?"), "--yes")? {
        return Err(Failure::Failed(format!("{shown} was not erased")));
    }
    client.delete(&["v1", "users", user]).await?;
    if options.json {
        return screen::say(&json!({ "id": user, "erased": true }).to_string());
    }
    screen::say(&format!("{shown} is erased"))
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

/// A line for each person.
fn rows(people: &[Map<String, Value>]) -> String {
    const COLUMNS: [&str; 5] = ["id", "email", "phone", "locale", "timezone"];
    let mut rows = vec![COLUMNS.map(str::to_ascii_uppercase).to_vec()];
    rows.extend(people.iter().map(|person| {
        let cell =
            |name: &str| person.get(name).and_then(Value::as_str).map_or_else(|| "-".to_owned(), clean);
        COLUMNS.map(cell).to_vec()
    }));
    screen::table(&rows)
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
    fn people_are_listed_in_columns_and_what_is_not_known_is_a_dash() {
        let people = [json!({ "id": "ada", "email": "ada@example.org", "timezone": "Europe/Berlin" })];
        let people: Vec<Map<String, Value>> =
            people.iter().map(|one| one.as_object().unwrap().clone()).collect();
        assert_eq!(
            rows(&people),
            "ID   EMAIL            PHONE  LOCALE  TIMEZONE\nada  ada@example.org  -      -       Europe/Berlin\n"
        );
    }

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
