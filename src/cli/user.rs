//! `belfry user`: what the server knows of one person.

use clap::Subcommand;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::options::{Options, id};
use super::screen::{self, clean};

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
}

/// Does it.
///
/// # Errors
/// When the server does not answer as asked.
pub async fn run(command: UserCommand, options: &Options) -> Result<(), Failure> {
    let UserCommand::Get { user } = command;
    let client = options.client()?;
    let answer = client.get(&["v1", "users", &user], &[]).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    screen::say(&describe(&answer.read(&client)?))
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
