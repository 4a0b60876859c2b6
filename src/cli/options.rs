//! What every subcommand understands: where the server is, with which key to ask it, and how to print.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::failure::Failure;
use super::screen;
use crate::client::Client;

/// The server that is asked where none is named.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8470";
/// The most bytes of a key file that are read.
const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;
/// The longest path segment that a person's or a thing's id may be, in bytes.
const ID_BYTES_MAX: usize = 512;

/// The options that stand before or after any subcommand.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Options {
    /// The server to talk to
    #[arg(
        long,
        visible_alias = "url",
        global = true,
        value_name = "URL",
        env = "BELFRY_URL",
        hide_env_values = true,
        default_value = DEFAULT_SERVER
    )]
    pub server: String,
    /// The API key to use; BELFRY_KEY or --key-file keep it out of the list of processes
    #[arg(long, global = true, value_name = "TOKEN", env = "BELFRY_KEY", hide_env_values = true, value_parser = secret)]
    pub key: Option<SecretString>,
    /// A file that holds the API key; goes before --key and BELFRY_KEY
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Print JSON instead of text, errors included
    #[arg(long, global = true)]
    pub json: bool,
}

impl Options {
    /// A client of the server and with the key that were given.
    ///
    /// # Errors
    /// When the address or the key cannot be used, or the system's certificates cannot be loaded.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(base_url(&self.server)?, self.token()?)?)
    }

    /// The key to use, if one was given. It has the form of a header value, so that nothing later on has a reason to
    /// put it into an error message.
    ///
    /// # Errors
    /// When the key file cannot be read, or what was given cannot be a key. The words never hold the key.
    pub fn token(&self) -> Result<Option<SecretString>, Failure> {
        let (token, from) = match (&self.key_file, &self.key) {
            (Some(path), _) => (read_key_file(path)?, "the key file"),
            (None, Some(key)) => (key.expose_secret().trim().to_owned(), "--key or BELFRY_KEY"),
            (None, None) => return Ok(None),
        };
        if token.is_empty() && self.key_file.is_none() {
            return Ok(None);
        }
        let plausible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !plausible {
            return Err(Failure::Usage(format!(
                "what {from} gives is not an API key: it must be one line of printable ASCII without spaces"
            )));
        }
        Ok(Some(SecretString::from(token)))
    }
}

/// Takes any text, because a value that clap refuses is shown in clap's message.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap asks of a value parser")]
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

fn base_url(text: &str) -> Result<Url, Failure> {
    let shown = screen::mask(&screen::clean(text));
    let url = Url::parse(text.trim())
        .map_err(|error| Failure::Usage(format!("--server {shown:?} is not a URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Shown without its value: a password stands in it.
        return Err(Failure::Usage(
            "--server must not hold a user name or password; use --key-file".to_owned(),
        ));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::Usage(format!("--server {shown:?} must begin with http:// or https://")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Failure::Usage(format!("--server {shown:?} must end before any ? or #")));
    }
    Ok(url)
}

fn read_key_file(path: &Path) -> Result<String, Failure> {
    // A token given in the place of its file must not come back in the message.
    let shown = screen::mask(&screen::clean(&path.display().to_string()));
    let failed = |error: std::io::Error| Failure::Usage(format!("failed to read key file {shown}: {error}"));
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(KEY_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text.trim().to_owned())
}

/// Parses an id that becomes one segment of a URL's path.
///
/// # Errors
/// For what cannot be one: nothing at all, the dot segments (which a URL swallows), control characters, and more than
/// 512 bytes.
pub fn id(text: &str) -> Result<String, String> {
    match text {
        "" => Err("an id has at least one character".to_owned()),
        "." | ".." => Err("that is not an id".to_owned()),
        _ if text.len() > ID_BYTES_MAX => Err(format!("an id has at most {ID_BYTES_MAX} bytes")),
        _ if text.chars().any(char::is_control) => Err("an id has no control characters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}
