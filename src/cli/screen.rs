//! The only way to the terminal: what others wrote is cleaned, what is secret is masked, and a reader who leaves is
//! no error.

use std::io::{BufRead, ErrorKind, IsTerminal, Read, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::failure::Failure;
use crate::client::words::acts_on_terminal;
pub use crate::client::words::clean;

/// The most bytes of an answer to a question that are read.
const ANSWER_BYTES_MAX: u64 = 64;
/// The shortest run of token characters that is taken for a token. A UUID has 36 of them and is let through.
const TOKEN_CHARS_MIN: usize = 24;
/// How much of a token is shown, so that its owner can tell which one it was.
const TOKEN_CHARS_SHOWN: usize = 6;

/// Prints lines of the command's answer. `text` must be clean already, see [`clean`].
///
/// # Errors
/// [`Failure::PipeClosed`] when nobody reads any more, [`Failure::Failed`] when the output cannot be written.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::PipeClosed,
        _ => Failure::Failed(format!("failed to write the output: {error}")),
    })
}

/// Prints a remark beside the answer. Where it cannot be shown there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Asks whoever is at the terminal a question that is answered with yes or no.
///
/// # Errors
/// [`Failure::Usage`] where nobody is there: then `instead` is the flag to give.
pub fn confirm(question: &str, instead: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::Usage(format!("nobody is there to be asked; give {instead} to do it")));
    }
    let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer);
    read.map_err(|error| Failure::Failed(format!("failed to read the answer: {error}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Prints what clap has to say: help to the output, a mistake to the error output with every token in it masked, as a
/// line of JSON where that is wanted.
pub fn show_clap(error: &clap::Error, json: bool) {
    if !error.use_stderr() {
        let _ = error.print();
        return;
    }
    let text = error.render();
    if json {
        note(&Failure::Usage(mask(text.to_string().trim())).to_json());
        return;
    }
    let text = if std::io::stderr().is_terminal() { text.ansi().to_string() } else { text.to_string() };
    let _ = write!(std::io::stderr().lock(), "{}", mask(&text));
}

/// JSON text on one line, as it came but for characters that act on a terminal: those stand only inside strings,
/// so they are escaped there, and the line breaks between tokens become spaces.
pub fn json_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            _ if acts_on_terminal(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => line.push(c),
        }
    }
    line
}

/// The text with everything in it that looks like a token cut down to its first characters. Words, file names and
/// UUIDs stay.
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(token_char) {
        let (before, run) = rest.split_at(start);
        let end = run.find(|c| !token_char(c)).unwrap_or(run.len());
        let (run, after) = run.split_at(end);
        masked.push_str(before);
        if looks_like_token(run) {
            masked.push_str(&run[..TOKEN_CHARS_SHOWN]);
            masked.push('…');
        } else {
            masked.push_str(run);
        }
        rest = after;
    }
    masked + rest
}

const fn token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '=')
}

fn looks_like_token(run: &str) -> bool {
    run.len() >= TOKEN_CHARS_MIN
        && run.bytes().any(|byte| byte.is_ascii_digit())
        && run.bytes().any(|byte| byte.is_ascii_alphabetic())
        && uuid::Uuid::try_parse(run).is_err()
}

/// An instant of the server (RFC 3339) as the person at the terminal reads it: in `zone`, with UTC behind it. What is
/// no instant is shown as it came.
pub fn instant(text: &str, zone: &TimeZone) -> String {
    let Ok(at) = text.parse::<Timestamp>() else { return clean(text) };
    let utc = at.strftime("%H:%M:%S%.3fZ");
    let local = at.to_zoned_datetime(zone.clone());
    if local.offset().is_zero() {
        return at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string();
    }
    format!("{} ({utc})", local.strftime("%Y-%m-%d %H:%M:%S%.3f"))
}

/// Rows as columns, each as wide as its widest cell. The last one is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
