//! The configuration as a doctor sees it: what parses may still not be what somebody wants.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::Finding;
use crate::config::{Config, ConfigErrors};
use crate::model::channel::Mode;
use crate::settings::Origin;

/// The sender of mails that nobody has set.
const NOBODY: &str = "belfry@localhost";

/// A configuration that cannot be used: a finding for each fault.
pub fn faults(errors: &ConfigErrors) -> Vec<Finding> {
    let next = "mend it; `belfry config doc` explains every key";
    errors.faults().iter().map(|fault| Finding::fail("configuration", fault.to_string(), next)).collect()
}

/// One that can.
pub fn good(config: &Config) -> Vec<Finding> {
    let set = config.keys().filter(|key| *config.origin(&key.name) != Origin::Default).count();
    let file = config.source.as_ref();
    let from = file.map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let mut findings = vec![Finding::ok("configuration", format!("{from}, {set} keys set"))];
    let notices = config.notices.iter();
    findings.extend(notices.map(|notice| {
        Finding::warn("configuration", notice.to_string(), "take it out where that is not what you meant")
    }));
    findings.extend(file.and_then(|file| open_secrets(file, config)));
    findings.push(base_url(config.server.base_url.as_deref(), sends(config)));
    findings.extend(sender(config));
    findings.extend(push_contact(config));
    findings
}

/// Whether anything leaves this machine.
fn sends(config: &Config) -> bool {
    [config.channels.email.mode(), config.channels.sms.mode()].contains(&Mode::Live)
}

/// A file with secrets in it that others may read.
fn open_secrets(file: &Path, config: &Config) -> Option<Finding> {
    let secret =
        config.keys().any(|key| key.secret && matches!(config.origin(&key.name), Origin::File { .. }));
    let mode = std::fs::metadata(file).ok()?.mode();
    open_to_others(secret, mode).then(|| {
        let shown = file.display();
        Finding::warn(
            "configuration",
            format!("{shown} holds secrets and everybody on this machine can read it"),
            format!("chmod 640 {shown}, or name files for the secrets by their _FILE variables"),
        )
    })
}

const fn open_to_others(secret: bool, mode: u32) -> bool {
    secret && mode & 0o004 != 0
}

fn base_url(url: Option<&str>, sends: bool) -> Finding {
    let local = |url: &str| {
        ["http://localhost", "http://127.0.0.1", "http://[::1]"].iter().any(|l| url.starts_with(l))
    };
    match url {
        Some(url) if url.starts_with("https://") => Finding::ok("base_url", url),
        Some(url) if local(url) => Finding::ok("base_url", format!("{url}, for this machine alone")),
        Some(url) => Finding::warn(
            "base_url",
            format!("{url} is not https: browsers offer no push there, and tokens travel in the clear"),
            "put a proxy with TLS in front, and set server.base_url to its https address",
        ),
        None if sends => Finding::warn(
            "base_url",
            "server.base_url is not set: mails have no link to leave by, and providers cannot report back",
            "set server.base_url to the https address at which people reach this server",
        ),
        None => Finding::ok("base_url", "not set, and nothing is sent that would need it"),
    }
}

fn sender(config: &Config) -> Option<Finding> {
    let email = &config.channels.email;
    (email.mode() == Mode::Live && email.from.email.to_string() == NOBODY).then(|| {
        Finding::warn(
            "mail sender",
            format!("mails come from {NOBODY}, which most servers refuse"),
            "set channels.email.from to an address of yours",
        )
    })
}

/// Some push services refuse messages that name nobody.
fn push_contact(config: &Config) -> Option<Finding> {
    let push = &config.channels.browser_push;
    let known = push.subject.is_some()
        || config.server.base_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    (push.mode == Mode::Live).then(|| match known {
        true => Finding::ok("push contact", "push services are told whom to ask"),
        false => Finding::warn(
            "push contact",
            "push services are told nobody to ask; some refuse messages then",
            "set channels.browser_push.subject to mailto: and an address, or an https server.base_url",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn an_address_for_links_is_wanted_as_soon_as_something_is_sent() {
        for (url, sends, level) in [
            (Some("https://n.example.org"), true, Level::Ok),
            (Some("http://localhost:8470"), true, Level::Ok),
            (Some("http://n.example.org"), false, Level::Warn),
            (None, true, Level::Warn),
            (None, false, Level::Ok),
        ] {
            assert_eq!(base_url(url, sends).level, level, "{url:?}");
        }
    }

    #[test]
    fn only_a_file_with_secrets_needs_to_be_closed() {
        assert!(open_to_others(true, 0o100_644));
        assert!(!open_to_others(true, 0o100_640) && !open_to_others(false, 0o100_644));
    }

    #[test]
    fn a_sender_and_a_contact_that_nobody_has_set_are_told() {
        let env = [("BELFRY_CHANNELS__EMAIL__HOST".to_owned(), "mail.example.org".to_owned())];
        let config = crate::config::load(Some(Path::new("/dev/null")), &env, &[]).expect("good");
        let warned: Vec<&str> =
            good(&config).iter().filter(|f| f.level == Level::Warn).map(|f| f.check).collect();
        assert_eq!(warned, ["base_url", "mail sender", "push contact"]);
    }
}
