//! The ways out: whether the mail server greets us as it will be asked to, and whether gateways can be reached.

use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::finding::Finding;
use crate::app;
use crate::channel::sms::settings::Provider;
use crate::config::Config;
use crate::model::channel::Mode;

/// How long one server may take.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Whether the mail server resolves, answers and speaks the TLS that is asked of it; with `deep` also whether it lets us
/// in. No mail is sent.
pub async fn mail(config: &Config, deep: bool) -> Vec<Finding> {
    let settings = &config.channels.email;
    let Some(host) = settings.host.clone().filter(|_| settings.mode() == Mode::Live) else {
        let how = if settings.mode() == Mode::Capture { "captured, not sent" } else { "off" };
        return vec![Finding::ok("mail", how)];
    };
    if let Err(why) = resolved(&host, settings.port()).await {
        return vec![Finding::fail(
            "mail",
            why,
            "check channels.email.host and the name servers of this machine",
        )];
    }
    let mut trial = config.clone();
    if !deep {
        (trial.channels.email.username, trial.channels.email.password) = (None, None);
    }
    let email = match app::email(&trial) {
        Ok(Some(email)) => email,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![Finding::fail("mail", error.to_string(), "mend channels.email")],
    };
    let greeted = timeout(ANSWER_WAIT, email.greet()).await;
    let greeted = greeted.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_WAIT.as_secs())));
    vec![judge_mail(&format!("{host}:{}", settings.port()), greeted, (settings.username.is_some(), deep))]
}

fn judge_mail(server: &str, greeted: Result<(), String>, (login, deep): (bool, bool)) -> Finding {
    match greeted {
        Ok(()) if login && !deep => {
            Finding::ok("mail", format!("{server} answers; the login was not tried (--deep)"))
        }
        Ok(()) => Finding::ok("mail", format!("{server} answers")),
        Err(why) => Finding::fail(
            "mail",
            format!("{server}: {why}"),
            "check channels.email.{host,port,tls}, the firewall and the mail server; mails wait meanwhile",
        ),
    }
}

/// Whether each provider of texts can be reached. Nothing is asked of it.
pub async fn texts(config: &Config) -> Vec<Finding> {
    let settings = &config.channels.sms;
    if settings.mode() != Mode::Live {
        return vec![Finding::ok(
            "texts",
            if settings.mode() == Mode::Capture { "captured, not sent" } else { "off" },
        )];
    }
    let mut findings = Vec::new();
    for provider in settings.chain() {
        let url = match provider {
            Provider::Http => settings.http_url.as_deref().and_then(origin),
            Provider::Kannel => settings.kannel_url.as_ref().and_then(|url| origin(url.as_str())),
            Provider::Twilio => origin(settings.twilio_base_url.as_str()),
        };
        let name = provider.name();
        let Some((host, port)) = url else {
            findings
                .push(Finding::ok("texts", format!("{name}: where it is called is decided for each text")));
            continue;
        };
        findings.push(judge_gateway(name, &format!("{host}:{port}"), connected(&host, port).await));
    }
    findings
}

fn judge_gateway(name: &str, server: &str, connected: Result<(), String>) -> Finding {
    match connected {
        Ok(()) => Finding::ok("texts", format!("{name}: {server} can be reached")),
        Err(why) => Finding::fail(
            "texts",
            format!("{name}: {server}: {why}"),
            format!("check channels.sms.{name}, the firewall and the gateway; texts wait meanwhile"),
        ),
    }
}

/// The host and port of a URL; nothing where they depend on what is sent.
fn origin(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // What follows may hold placeholders, which are no part of a URL yet.
    let url: reqwest::Url = format!("{scheme}://{authority}/").parse().ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    (!authority.contains("{{")).then_some((host, url.port_or_known_default()?))
}

async fn resolved(host: &str, port: u16) -> Result<(), String> {
    match timeout(ANSWER_WAIT, lookup_host((host, port))).await {
        Ok(Ok(mut found)) => found.next().map(drop).ok_or_else(|| format!("{host} has no address")),
        Ok(Err(error)) => Err(format!("{host} cannot be resolved: {error}")),
        Err(_) => Err(format!("{host} is not resolved within {} s", ANSWER_WAIT.as_secs())),
    }
}

async fn connected(host: &str, port: u16) -> Result<(), String> {
    resolved(host, port).await?;
    match timeout(ANSWER_WAIT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_WAIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_gateway_is_found_in_a_template_and_nothing_secret_of_it() {
        for (url, found) in [
            ("https://g.example.org/send?to={{to}}&key=abc", Some(("g.example.org", 443))),
            ("http://127.0.0.1:13013/cgi-bin/sendsms", Some(("127.0.0.1", 13013))),
            ("http://user:pass@[::1]:81/x", Some(("::1", 81))),
            ("https://{{to}}.example.org/", None),
        ] {
            assert_eq!(origin(url), found.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }

    #[test]
    fn a_login_that_was_not_tried_is_told() {
        let seen = |deep| judge_mail("m:587", Ok(()), (true, deep)).seen;
        assert!(seen(false).contains("--deep") && !seen(true).contains("--deep"));
        assert_eq!(judge_mail("m:587", Err("refused".to_owned()), (false, false)).level, Level::Fail);
    }
}
