//! The log: where it goes, how loud it is, and what it must never do to the terminal that shows it.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use tracing::Subscriber;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{MakeWriter, time::SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::settings::{Kind, one_of, parsed, settings};

/// The shape of a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object in each line.
    Json,
}

settings! {
    /// The log, which goes to standard error.
    pub struct Log {
        /// `text` is for people, `json` writes one object in each line.
        format: Format = Format::Text, one_of(&[("text", Format::Text), ("json", Format::Json)]);
        /// How much is logged: a level, or directives that give parts of the program levels of their own, as
        /// `info,belfry::ws=debug`.
        level: String = "info".to_owned(), level();
    }
}

fn level() -> Kind<String> {
    let allowed = "error, warn, info, debug, trace or off, or directives as info,belfry::ws=debug";
    parsed(allowed, |text| is_filter(text).then(|| text.to_owned()), String::clone)
}

/// The filter's own parser takes any word for the name of a module, so `inof` would silence the log without a word.
fn is_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_directive =
        |part: &str| part.contains('=') || LEVELS.contains(&part.to_ascii_lowercase().as_str());
    text.split(',').all(is_directive) && EnvFilter::builder().parse(text).is_ok()
}

/// Changes what is logged while the process runs.
#[derive(Clone, Debug)]
pub struct Volume(Option<reload::Handle<EnvFilter, Registry>>);

impl Volume {
    /// Takes over the level of new settings. The format stays as it was at the start.
    pub fn set(&self, log: &Log) {
        if let Some(handle) = &self.0 {
            // Fails only when the subscriber is gone, and then nobody logs.
            let _ = handle.reload(filter(log));
        }
    }
}

/// Starts the log of this process, on standard error, in colour when that is a terminal. A second call changes nothing.
pub fn init(log: &Log) -> Volume {
    let (log, volume) = assemble(log, io::stderr().is_terminal(), io::stderr);
    if log.try_init().is_ok() { volume } else { Volume(None) }
}

/// Libraries that say at their lower levels what is ours to keep: the renderer logs the text of messages. The one that
/// verifies certificates cries out for each that somebody else's server has wrong; the call that fails says so as well.
const CAPPED: &str = "handlebars=warn,sled=warn,rustls_platform_verifier=off";

fn assemble<W>(log: &Log, ansi: bool, out: W) -> (impl Subscriber + Send + Sync, Volume)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(log));
    let lines = lines(log.format, ansi, out).with_filter(filter);
    (tracing_subscriber::registry().with(lines), Volume(Some(handle)))
}

fn filter(log: &Log) -> EnvFilter {
    EnvFilter::builder().parse_lossy(format!("{},{CAPPED}", log.level))
}

fn lines<S, W>(format: Format, ansi: bool, out: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_timer(SystemTime);
    match format {
        Format::Text => {
            let fields = debug_fn(|out, field, value| write_field(out, field.name(), value));
            layer
                .with_ansi(ansi)
                .fmt_fields(tracing_subscriber::field::MakeExt::delimited(fields, " "))
                .with_writer(out)
                .boxed()
        }
        Format::Json => layer.json().flatten_event(true).with_writer(Harmless(out)).boxed(),
    }
}

fn write_field(out: &mut Writer<'_>, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
    let value = escape(&format!("{value:?}"), |c| c.escape_unicode().to_string());
    if name == "message" { write!(out, "{value}") } else { write!(out, "{name}={value}") }
}

/// The text with everything escaped that could move a cursor, break a line or turn the direction of writing.
fn escape(text: &str, escaped: impl Fn(char) -> String) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        if is_harmful(c) {
            safe.push_str(&escaped(c))
        } else {
            safe.push(c)
        }
        safe
    })
}

fn is_harmful(c: char) -> bool {
    let breaks_line = matches!(c, '\u{2028}' | '\u{2029}');
    let turns_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || breaks_line || turns_direction
}

/// A writer of JSON lines. JSON escapes the first 32 characters by itself and leaves the other harmful ones, which can
/// stand only in its strings, so each of them becomes an escape of JSON.
struct Harmless<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Harmless<W> {
    type Writer = Harmless<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Harmless(self.0.make_writer())
    }
}

impl<W: Write> Write for Harmless<W> {
    /// Each line comes in one piece, so no character is cut in two.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let body = text.trim_end_matches('\n');
        let mut safe = escape(body, |c| format!("\\u{:04x}", u32::from(c)));
        safe.push_str(&text[body.len()..]);
        self.0.write_all(safe.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// How much of a mail domain a masked address keeps.
const DOMAIN_CHARS_MAX: usize = 64;

/// An address so that its owner would know it and nobody else: `a***@example.org`, `+49…**89`. What is neither mail
/// address nor telephone number becomes `***`.
pub fn mask_address(address: &str) -> String {
    const HIDDEN: &str = "***";
    if let Some((local, domain)) = address.rsplit_once('@') {
        let first: String = local.chars().take(1).collect();
        let domain: String = domain.chars().take(DOMAIN_CHARS_MAX).collect();
        return escape(&format!("{first}{HIDDEN}@{domain}"), |c| c.escape_unicode().to_string());
    }
    let digits = address.strip_prefix('+').unwrap_or_default();
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        format!("+{}…**{}", &digits[..2], &digits[digits.len() - 2..])
    } else {
        HIDDEN.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A log that stays in memory.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log holds after `speak`.
    fn logged(format: Format, level: &str, speak: impl FnOnce(&Volume)) -> String {
        let page = Page::default();
        let out = page.clone();
        let (log, volume) = assemble(&Log { format, level: level.to_owned() }, false, move || out.clone());
        tracing::subscriber::with_default(log, || speak(&volume));
        let bytes = page.0.lock().expect("one thread").clone();
        String::from_utf8(bytes).expect("text")
    }

    const ATTACK: &str = "a\u{1b}[2Jb\r\n2026 INFO c\u{9b}d\u{7f}e\u{202e}f";

    fn speak(_: &Volume) {
        let _span = tracing::info_span!("request", path = %ATTACK).entered();
        tracing::info!(text = ATTACK, shown = %ATTACK, "said {ATTACK}");
    }

    #[test]
    fn no_control_character_of_a_stranger_reaches_the_terminal_as_text() {
        let line = logged(Format::Text, "info", speak);
        assert!(line.contains("said a\\u{1b}[2Jb"), "{line}");
        assert_eq!(line.chars().filter(|c| is_harmful(*c)).collect::<String>(), "\n");
    }

    #[test]
    fn no_control_character_of_a_stranger_reaches_the_terminal_as_json() {
        let line = logged(Format::Json, "info", speak);
        assert_eq!(line.chars().filter(|c| is_harmful(*c)).collect::<String>(), "\n");
        let object: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!(object["text"], ATTACK);
        assert_eq!(object["span"]["path"], ATTACK);
    }

    #[test]
    fn what_is_quieter_than_the_level_is_not_logged() {
        let line = logged(Format::Text, "warn", |_| {
            tracing::info!("quiet");
            tracing::warn!("loud");
        });
        assert!(line.contains("loud") && !line.contains("quiet"), "{line}");
    }

    #[test]
    fn the_level_changes_while_the_log_runs() {
        let line = logged(Format::Text, "warn", |volume| {
            tracing::info!("before");
            volume.set(&Log { level: "info".to_owned(), ..Log::default() });
            tracing::info!("after");
        });
        assert!(line.contains("after") && !line.contains("before"), "{line}");
    }

    #[test]
    fn a_level_is_one_of_the_words_or_a_directive() {
        for text in ["info", "WARN", "off", "info,belfry::ws=debug", "warn,belfry=trace"] {
            assert!(is_filter(text), "{text}");
        }
        for text in ["inof", "", "info,", "belfry", "belfry=loud", "info;debug", "info, warn"] {
            assert!(!is_filter(text), "{text}");
        }
    }

    #[test]
    fn a_masked_address_is_known_to_its_owner_alone() {
        let cases = [
            ("anna@example.org", "a***@example.org"),
            ("+4915112345689", "+49…**89"),
            ("@example.org", "***@example.org"),
            ("a@b@example.org", "a***@example.org"),
            ("+491", "***"),
            ("+49x5112345689", "***"),
            ("https://example.org/secret", "***"),
            ("", "***"),
            ("a@b\u{1b}[2J", "a***@b\\u{1b}[2J"),
        ];
        for (address, masked) in cases {
            assert_eq!(mask_address(address), masked, "{address}");
        }
    }
}
