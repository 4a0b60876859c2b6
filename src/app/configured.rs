//! What each part of the house is told of the configuration, in its own terms.

use secrecy::ExposeSecret;

use super::StartError;
use crate::channel::Ways;
use crate::channel::email::{self, Email, SetupError};
use crate::channel::push::Push;
use crate::channel::push::vapid::{Signer, read_private};
use crate::channel::settings::Tls;
use crate::channel::sms::receipt::Receipts;
use crate::channel::sms::{self, Sms};
use crate::clock::Millis;
use crate::config::Config;
use crate::engine::backup::Nightly;
use crate::engine::push_keys::push_keys;
use crate::engine::{self, Modes, Rules};
use crate::model::breaker::Patience;
use crate::model::channel::{Channel, Mode};
use crate::outbound::Outbound;
use crate::store::{Store, StoreError};
use crate::{api, hub, ws};

/// The most bytes that wait for one live connection.
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Deliveries of one channel under way at once, where the channel itself has no bound.
const SLOTS: usize = 64;

pub(super) fn hub_limits(config: &Config) -> hub::Limits {
    hub::Limits {
        connections_max: config.websocket.max_connections,
        connections_per_user_max: config.websocket.max_connections_per_user.unwrap_or(usize::MAX),
        queue_len_max: config.websocket.message_queue_size,
        queue_bytes_max: QUEUE_BYTES_MAX,
    }
}

pub(super) fn live_limits(config: &Config) -> ws::Limits {
    let settings = &config.websocket;
    ws::Limits {
        heartbeat_interval: settings.heartbeat_interval,
        connection_timeout: settings.connection_timeout,
        reconnect_attempts_max: settings.max_reconnect_attempts,
        reconnect_delay: settings.reconnect_delay,
        message_bytes_max: settings.max_message_size,
        require_authentication: settings.require_authentication,
    }
}

pub(super) fn limits(config: &Config) -> api::Limits {
    api::Limits {
        body_bytes_max: config.limits.max_body_size,
        batch_len_max: config.limits.max_batch_items,
        calling_code: config.channels.sms.default_country,
    }
}

pub(super) fn rules(config: &Config) -> Rules {
    let mode = |channel| config.channels.mode(channel);
    Rules {
        modes: Modes {
            email: mode(Channel::Email),
            browser_push: mode(Channel::BrowserPush),
            sms: mode(Channel::Sms),
            webhook: mode(Channel::Webhook),
        },
        schedules: Channel::ALL.map(|channel| config.retry.schedule(channel).to_vec()),
        slots: Channel::ALL.map(|channel| match (channel, mode(channel)) {
            // Half as many again are made ready while the others are sent.
            (Channel::Email, Mode::Live) => (config.channels.email.max_connections * 3).div_ceil(2),
            (_, Mode::Live | Mode::Capture | Mode::Off) => SLOTS,
        }),
        rates: Channel::ALL.map(|channel| config.channels.rate(channel)),
        rate_per_host: config.channels.email.rate_per_host,
        give_up_after: config.delivery.give_up_after,
        patience: Patience {
            failures_max: config.delivery.circuit_failures,
            wait_max_ms: Millis::try_from(config.delivery.circuit_probe.as_millis()).unwrap_or(Millis::MAX),
        },
        lease: config.delivery.lease,
        base_url: config.server.base_url.clone(),
        retention_days: config.retention.notifications_days,
        captures_max: config.limits.max_captured,
        backup: nightly(&config.backup),
    }
}

fn nightly(settings: &engine::settings::Backup) -> Option<Nightly> {
    let (keep, at) = (settings.keep, settings.at);
    settings.dir.clone().map(|dir| Nightly { dir, keep, at })
}

pub(super) async fn ways(
    config: &Config,
    secret: &[u8],
    store: &Store,
    outbound: &Outbound,
    now: Millis,
) -> Result<Ways, StartError> {
    let push = Some(push(config, store, outbound, now).await?);
    Ok(Ways { email: email(config)?, push, sms: sms(config, secret)? })
}

async fn push(config: &Config, store: &Store, outbound: &Outbound, now: Millis) -> Result<Push, StoreError> {
    let settings = &config.channels.browser_push;
    let given = settings.vapid_private_key.as_ref();
    let keys = push_keys(store, given.and_then(|key| read_private(key.expose_secret())), now).await?;
    let page = config.server.base_url.clone().filter(|url| url.starts_with("https://"));
    let signer = Signer::new(keys, settings.subject.clone().or(page));
    Ok(Push::new(outbound.clone(), signer, settings.ttl))
}

/// Text messages. Reports on them need an address that providers can reach.
fn sms(config: &Config, secret: &[u8]) -> Result<Option<Sms>, sms::SetupError> {
    let settings = &config.channels.sms;
    if settings.mode() != Mode::Live {
        return Ok(None);
    }
    let receipts = config.server.base_url.as_deref().map(|base_url| Receipts::new(base_url, secret));
    Sms::new(settings, receipts).map(Some)
}

fn dkim(settings: &crate::channel::settings::Email) -> Option<email::Dkim> {
    let (selector, private_key) = (settings.dkim_selector.clone()?, settings.dkim_private_key.clone()?);
    Some(email::Dkim { domain: settings.dkim_domain.clone(), selector, private_key })
}

/// Mail as the configuration has it, where it is to be sent.
///
/// # Errors
/// [`SetupError`] names the key whose value cannot work.
pub fn email(config: &Config) -> Result<Option<Email>, SetupError> {
    let settings = &config.channels.email;
    let Some(host) = settings.host.clone().filter(|_| settings.mode() == Mode::Live) else {
        return Ok(None);
    };
    let email = Email::new(email::Options {
        host,
        port: settings.port(),
        tls: match settings.tls {
            Tls::None => email::Tls::None,
            Tls::Starttls => email::Tls::StartTls,
            Tls::Implicit => email::Tls::Implicit,
            Tls::Opportunistic => email::Tls::Opportunistic,
        },
        username: settings.username.clone(),
        password: settings.password.clone(),
        dkim: dkim(settings),
        from: settings.from.to_string(),
        reply_to: settings.reply_to.as_ref().map(ToString::to_string),
        ca_file: settings.ca_file.clone(),
        timeout: settings.timeout,
        connections_max: settings.max_connections,
        base_url: config.server.base_url.clone(),
    })?;
    Ok(Some(email))
}
