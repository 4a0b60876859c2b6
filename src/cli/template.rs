//! `belfry template`: what notifications say, stored, tried out and brought back.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::options::{Options, id};
use super::pages;
use super::screen::{self, clean};
use crate::client::Client;

/// The most bytes of a template's file: more than the server takes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The most templates that a list goes through.
const TEMPLATES_MAX: usize = 10_000;

const PUT_HELP: &str = "\
Examples:
  belfry template put order_shipped order_shipped.json
  belfry template put order_shipped - < order_shipped.json

The file holds what the API takes:
  {\"title_template\": …, \"message_template\": …, \"variables\": […],
   \"channels\": {\"email\": {…}, \"sms\": {…}}, \"locales\": {\"de\": {…}}}";

const RENDER_HELP: &str = "\
Examples:
  belfry template render workflow_completed --var workflow_name=Import
  belfry template render shipped --variables order.json --locale de
  belfry template render shipped --variables order.json --channel sms

A value of --var that is JSON is taken as JSON (3, true, [1,2]), anything
else as text.";

/// What to do with templates.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// List the templates
    #[command(after_help = "Examples:\n  belfry template list\n  belfry template list --json")]
    List,
    /// Store a template as a new version, which holds at once
    #[command(after_help = PUT_HELP)]
    Put {
        /// The template's name
        #[arg(value_name = "NAME", value_parser = id)]
        name: String,
        /// The file with the template as JSON; - reads the standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show what a template would say; nothing is sent
    Render(RenderArgs),
    /// Bring back an older version
    #[command(after_help = "Example:\n  belfry template rollback order_shipped 3")]
    Rollback {
        /// The template's name
        #[arg(value_name = "NAME", value_parser = id)]
        name: String,
        /// The version that is to hold
        #[arg(value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
    },
}

/// What to render.
#[derive(Args, Debug)]
#[command(after_help = RENDER_HELP)]
pub struct RenderArgs {
    /// The template's name
    #[arg(value_name = "NAME", value_parser = id)]
    pub name: String,
    /// A variable; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub vars: Vec<(String, Value)>,
    /// A file with the variables as a JSON object; - reads the standard input
    #[arg(long, value_name = "FILE")]
    pub variables: Option<PathBuf>,
    /// The language to say it in
    #[arg(long, value_name = "TAG")]
    pub locale: Option<String>,
    /// The person to say it to: their language and time zone
    #[arg(long, value_name = "USER", value_parser = id)]
    pub user: Option<String>,
    /// One channel alone
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
}

fn variable(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a variable is given as NAME=VALUE")?;
    if name.is_empty() {
        return Err("a variable is given as NAME=VALUE".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// Does it.
///
/// # Errors
/// When the server does not do it, or a file cannot be read.
pub async fn run(command: TemplateCommand, options: &Options) -> Result<(), Failure> {
    match command {
        TemplateCommand::List => list(&options.client()?, options).await,
        TemplateCommand::Put { name, file } => {
            let body = read_json(&file)?;
            let client = options.client()?;
            let answer = client.put(&["v1", "templates", &name], &body).await?;
            stored(&answer.text, answer.read(&client)?, "is stored as version", options)
        }
        TemplateCommand::Render(args) => render(args, options).await,
        TemplateCommand::Rollback { name, version } => {
            let client = options.client()?;
            let body = json!({ "version": version });
            let answer = client.post(&["v1", "templates", &name, "rollback"], &body, Duration::ZERO).await?;
            stored(&answer.text, answer.read(&client)?, "is back at version", options)
        }
    }
}

fn stored(text: &str, template: Map<String, Value>, what: &str, options: &Options) -> Result<(), Failure> {
    if options.json {
        return screen::say(&screen::json_line(text));
    }
    screen::say(&format!("template {} {what} {}", shown(&template, "name"), shown(&template, "version")))
}

async fn list(client: &Client, options: &Options) -> Result<(), Failure> {
    let all = pages::up_to(client, &["v1", "templates"], TEMPLATES_MAX).await?;
    if options.json {
        return screen::say(&all.to_json()?);
    }
    screen::say(&describe(&all.read()))
}

fn describe(templates: &[Map<String, Value>]) -> String {
    let mut rows =
        vec![["NAME", "VERSION", "TYPE", "PRIORITY", "CATEGORY", "VARIABLES"].map(str::to_owned).to_vec()];
    rows.extend(templates.iter().map(|template| {
        let version = if template.get("built_in") == Some(&Value::Bool(true)) {
            "built in".to_owned()
        } else {
            shown(template, "version")
        };
        let variables = template.get("variables").and_then(Value::as_array);
        let variables: Vec<&str> = variables.into_iter().flatten().filter_map(Value::as_str).collect();
        let [name, kind, priority, category] =
            ["name", "type", "priority", "category"].map(|name| shown(template, name));
        vec![name, version, kind, priority, category, clean(&variables.join(","))]
    }));
    screen::table(&rows)
}

fn shown(template: &Map<String, Value>, name: &str) -> String {
    let value = template.get(name).unwrap_or(&Value::Null);
    clean(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

async fn render(args: RenderArgs, options: &Options) -> Result<(), Failure> {
    let mut variables = match &args.variables {
        None => json!({}),
        Some(file) => read_json(file)?,
    };
    let Value::Object(fields) = &mut variables else {
        return Err(Failure::Usage("the variables must be a JSON object".to_owned()));
    };
    fields.extend(args.vars);
    let client = options.client()?;
    let mut body = json!({ "variables": variables });
    for (name, value) in [("locale", args.locale), ("user_id", args.user), ("channel", args.channel)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    let answer = client.post(&["v1", "templates", &args.name, "render"], &body, Duration::ZERO).await?;
    if options.json {
        return screen::say(&screen::json_line(&answer.text));
    }
    screen::say(&preview(&answer.read(&client)?))
}

/// Title and message, then what each channel says otherwise.
fn preview(rendered: &Map<String, Value>) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let lines = |text: &str| text.lines().map(clean).collect::<Vec<_>>().join("\n");
    let mut shown =
        format!("{}\n\n{}\n", clean(&text(rendered.get("title"))), lines(&text(rendered.get("message"))));
    for (channel, says) in rendered.get("channels").and_then(Value::as_object).into_iter().flatten() {
        shown.push_str(&format!("\n--- {}\n", clean(channel)));
        for name in ["subject", "title", "text", "body"] {
            if let Some(value) = says.get(name) {
                shown.push_str(&format!("{name}: {}\n", lines(&text(Some(value)))));
            }
        }
    }
    shown
}

/// A file, or the standard input, as JSON.
fn read_json(file: &Path) -> Result<Value, Failure> {
    let failed =
        |error: std::io::Error| Failure::Failed(format!("failed to read {}: {error}", file.display()));
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(file).map_err(failed)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)
    };
    read.map_err(failed)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Failed(format!("{} is not valid JSON: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_json_where_it_can_be_and_text_otherwise() {
        assert_eq!(variable("n=3"), Ok(("n".to_owned(), json!(3))));
        assert_eq!(variable("name=Ada L."), Ok(("name".to_owned(), json!("Ada L."))));
        assert_eq!(variable("q=a=b"), Ok(("q".to_owned(), json!("a=b"))));
        assert!(variable("name").is_err() && variable("=x").is_err());
    }

    #[test]
    fn templates_are_listed_in_columns() {
        let built_in = json!({ "name": "hello", "type": "greeting", "priority": "low", "category": "system",
            "variables": ["a", "b"], "version": 0, "built_in": true });
        let mut mine = built_in.clone();
        mine["version"] = json!(4);
        mine["built_in"] = json!(false);
        let all: Vec<Map<String, Value>> =
            [built_in, mine].iter().map(|one| one.as_object().unwrap().clone()).collect();
        assert_eq!(
            describe(&all),
            "NAME   VERSION   TYPE      PRIORITY  CATEGORY  VARIABLES\n\
             hello  built in  greeting  low       system    a,b\n\
             hello  4         greeting  low       system    a,b\n"
        );
    }

    #[test]
    fn a_preview_shows_each_channel_and_nothing_that_a_terminal_would_obey() {
        let rendered = json!({ "title": "T\u{1b}[31m", "message": "one\ntwo", "channels": { "sms": { "text": "short" } } });
        assert_eq!(preview(rendered.as_object().unwrap()), "T[31m\n\none\ntwo\n\n--- sms\ntext: short\n");
    }
}
