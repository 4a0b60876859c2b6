//! From the file, the environment and the flags to one [`Config`], refused before anything is opened when it is wrong.
//!
//! This is the only reader of the environment and of the file. What a key means is declared by the room that it
//! belongs to; this module gathers what the sources gave, lets the rooms take what is theirs, and judges what concerns
//! two of them. It reports everything that is wrong at once, so that an operator mends it in one go.

mod catalogue;
mod environment;
mod file;
mod print;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::settings::{Fault, Given, Key, Origin, Section, Settings, Violation, Written, show_duration};
use crate::{access, api, channel, engine, listen, outbound, store, telemetry, ws};

use catalogue::Catalogue;
pub use print::{document, init_file, show};

/// The file that is read when no other is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/belfry/belfry.toml";

/// Everything that the operator decides.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The listening socket.
    pub server: listen::settings::Server,
    /// The store.
    pub storage: store::settings::Storage,
    /// Who may come in.
    pub auth: access::settings::Auth,
    /// Live connections.
    pub websocket: ws::settings::Websocket,
    /// The ways out.
    pub channels: channel::settings::Channels,
    /// Calls to URLs that users give.
    pub outbound: outbound::settings::Outbound,
    /// When to try again.
    pub retry: engine::settings::Retry,
    /// How deliveries are worked off.
    pub delivery: engine::settings::Delivery,
    /// How long things are kept.
    pub retention: engine::settings::Retention,
    /// Backups at night.
    pub backup: engine::settings::Backup,
    /// The size of requests.
    pub limits: api::settings::Limits,
    /// The log.
    pub log: telemetry::Log,
    /// The file that was read, if one was.
    pub source: Option<PathBuf>,
    /// What is not wrong and should be known, such as public keys that are for something else.
    pub notices: Vec<Fault>,
    origins: BTreeMap<String, Origin>,
}

impl Config {
    fn read(given: &mut Given) -> Config {
        Config {
            server: Settings::read("server", given),
            storage: Settings::read("storage", given),
            auth: Settings::read("auth", given),
            websocket: Settings::read("websocket", given),
            channels: Settings::read("channels", given),
            outbound: Settings::read("outbound", given),
            retry: Settings::read("retry", given),
            delivery: Settings::read("delivery", given),
            retention: Settings::read("retention", given),
            backup: Settings::read("backup", given),
            limits: Settings::read("limits", given),
            log: Settings::read("log", given),
            source: None,
            notices: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Every section with its keys and their values, in the order of documents. Secrets are masked.
    pub fn sections(&self) -> Vec<Section> {
        [
            self.server.sections("server"),
            self.storage.sections("storage"),
            self.auth.sections("auth"),
            self.websocket.sections("websocket"),
            self.channels.sections("channels"),
            self.outbound.sections("outbound"),
            self.retry.sections("retry"),
            self.delivery.sections("delivery"),
            self.retention.sections("retention"),
            self.backup.sections("backup"),
            self.limits.sections("limits"),
            self.log.sections("log"),
        ]
        .concat()
    }

    /// Every key with its value. Secrets are masked.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.sections().into_iter().flat_map(|section| section.keys)
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// Everything that is wrong with a configuration: one line each, those of the file first and in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    faults: Vec<Fault>,
}

impl ConfigErrors {
    fn new(mut faults: Vec<Fault>) -> ConfigErrors {
        faults.sort_by_key(|fault| match &fault.origin {
            Origin::File { line, .. } => (0, *line),
            Origin::Environment(_) | Origin::Pointed { .. } | Origin::CommandLine | Origin::Default => {
                (1, None)
            }
        });
        ConfigErrors { faults }
    }

    /// What is wrong, one by one.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Composes the configuration: `overrides` (full key and raw text, from flags) before `env` before the file before
/// the defaults. The file is `file`, else [`DEFAULT_FILE`] if that exists. Of `env` only what starts with `BELFRY_`
/// counts.
///
/// # Errors
///
/// Everything that is wrong: unknown keys and variables, values that are not allowed, files that cannot be read,
/// keys that contradict each other.
pub fn load(
    file: Option<&Path>,
    env: &[(String, String)],
    overrides: &[(&str, String)],
) -> Result<Config, ConfigErrors> {
    let catalogue = Catalogue::new(&Config::default());
    let mut given = Given::default();
    let source = file::gather(file, &catalogue, &mut given);
    environment::gather(env, &catalogue, &mut given);
    for (key, value) in overrides {
        debug_assert!(catalogue.has_key(key), "a flag sets {key}, which is no key");
        given.put(key, Written::Raw(value.clone()), Origin::CommandLine);
    }
    let mut config = Config::read(&mut given);
    leases_outlive_sends(&config).into_iter().for_each(|violation| given.refuse(violation));
    let (origins, faults) = given.finish();
    if !faults.is_empty() {
        return Err(ConfigErrors::new(faults));
    }
    config.source = source;
    config.origins = origins;
    config.notices = passed_over(&config);
    Ok(config)
}

/// [`load`] with the environment of this process.
///
/// # Errors
///
/// As [`load`]; also a `BELFRY_` variable that is not UTF-8.
pub fn from_process(file: Option<&Path>, overrides: &[(&str, String)]) -> Result<Config, ConfigErrors> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    let env = environment::decode(std::env::vars_os()).map_err(ConfigErrors::new)?;
    load(file, &env, overrides)
}

/// Public keys that no token is checked with.
fn passed_over(config: &Config) -> Vec<Fault> {
    let key = "auth.jwt_keys";
    let notice = |why: &String| Fault {
        origin: config.origin(key).clone(),
        message: format!("{key}: {why}; it is passed over"),
    };
    config.auth.jwt_keys.skipped().iter().map(notice).collect()
}

/// A send that outlives its lease would be started a second time.
fn leases_outlive_sends(config: &Config) -> Option<Violation> {
    let (lease, timeout) = (&config.delivery.lease, &config.channels.email.timeout);
    // A send waits for a connection and then has its attempt, each within the timeout.
    let of_a_mail = ("channels.email.timeout", timeout);
    // A push message that is too large is sent once more.
    let of_a_call = ("outbound.timeout", &config.outbound.timeout);
    [of_a_mail, of_a_call].into_iter().find(|(_, timeout)| *lease <= **timeout * 2).map(|(key, timeout)| {
        Violation {
            keys: vec!["delivery.lease".to_owned(), key.to_owned()],
            message: format!(
                "delivery.lease is {}, but must be longer than twice {key}, which is {}",
                show_duration(lease),
                show_duration(timeout),
            ),
        }
    })
}
