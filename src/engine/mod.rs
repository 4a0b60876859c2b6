//! Deciding: whether, when and on which channels a notification goes out, and seeing it through.
//!
//! [`accept`] is the only writer of new deliveries, [`plan`] decides and does nothing else, [`dispatch`] takes what is
//! due and records what came of it, [`report`] says where everything stands.

pub mod accept;
pub mod backup;
pub mod batch;
pub mod bounce;
mod crowd;
mod deliver;
mod digest;
pub mod dispatch;
pub mod endpoints;
pub mod erase;
pub mod expand;
mod history;
mod hold;
mod hosts;
pub mod inbox;
pub mod lanes;
mod night;
pub mod overview;
pub mod plan;
pub mod preferences;
pub mod providers;
mod push;
pub mod push_keys;
mod push_services;
pub mod receipt;
mod release;
pub mod report;
pub mod resend;
pub mod retention;
pub mod schedule;
pub mod settings;
pub mod simulate;
mod tally;
pub mod templates;
#[cfg(test)]
mod tests;
pub mod topics;
mod trial;
mod waiting;
pub mod workflow;
pub mod zones;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::access::Vault;
use crate::channel::Ways;
use crate::channel::webhook::Webhook;
use crate::clock::{Clock, Millis};
use crate::metrics::Metrics;
use crate::model::breaker::Patience;
use crate::model::channel::{Channel, Mode};
use crate::model::ids::new_id;
use crate::model::notification::Accepted;
use crate::model::rate::Rate;
use crate::model::workflow::Progress;
use crate::render::Renderer;
use crate::store::Store;
use crate::store::inbox::{Counts, Mark};
use crate::store::nightly::Backups;
use crate::store::outbox::Due;
use crate::supervise::Supervisor;
use waiting::Waiting;

/// Who is told at once of what has just become durable. Called on the store's writer thread, in the order of the
/// writes: an implementation hands over and returns.
pub trait Watcher: Send + Sync + 'static {
    /// A notification came into its person's inbox.
    fn arrived(&self, accepted: &Accepted, counts: Counts);
    /// A workflow moved.
    fn moved(&self, progress: &Progress);
    /// A person's entries were marked.
    fn marked(&self, user: &str, mark: Mark, ids: &[String], counts: Counts);
    /// People are members of a topic no more.
    fn left(&self, topic: &str, users: &[String]);
}

/// What the configuration says about the ways out; replaced whole when it is loaded again.
#[derive(Debug)]
pub struct Rules {
    /// The mode of each channel.
    pub modes: Modes,
    /// The retry schedule of each channel, in the order of [`Channel::ALL`].
    pub schedules: [Vec<Duration>; 5],
    /// How many deliveries of each channel are under way at once, in the order of [`Channel::ALL`].
    pub slots: [usize; 5],
    /// How fast each channel may go at most, in the order of [`Channel::ALL`].
    pub rates: [Option<Rate>; 5],
    /// How fast mail may go to each mail host at most.
    pub rate_per_host: Option<Rate>,
    /// After how long a delivery is given up whose provider was left alone all the time.
    pub give_up_after: Duration,
    /// When a provider that does not answer is left alone.
    pub patience: Patience,
    /// How long a delivery may be under way before it is taken again.
    pub lease: Duration,
    /// Where people reach this server, for links in messages.
    pub base_url: Option<String>,
    /// How many days notifications are kept, where their category does not say.
    pub retention_days: u32,
    /// How many kept messages there are at most.
    pub captures_max: usize,
    /// The nightly backups, where some are wanted.
    pub backup: Option<backup::Nightly>,
}

/// The mode of each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Mail.
    pub email: Mode,
    /// Web Push.
    pub browser_push: Mode,
    /// Text messages.
    pub sms: Mode,
    /// Webhooks of a person's own.
    pub webhook: Mode,
}

impl Modes {
    /// The mode of `channel`. The inbox is always live.
    pub fn of(&self, channel: Channel) -> Mode {
        match channel {
            Channel::InApp => Mode::Live,
            Channel::Email => self.email,
            Channel::BrowserPush => self.browser_push,
            Channel::Sms => self.sms,
            Channel::Webhook => self.webhook,
        }
    }
}

impl Rules {
    /// The retry schedule of `channel`.
    pub fn schedule(&self, channel: Channel) -> &[Duration] {
        &self.schedules[place(channel)]
    }

    /// Whether the schedule has no try on `channel` after the one that is due.
    pub fn is_last_try(&self, channel: Channel, due: &Due) -> bool {
        usize::try_from(due.attempts).is_ok_and(|made| made >= self.schedule(channel).len())
    }

    /// How many deliveries of `channel` are under way at once.
    pub fn slots(&self, channel: Channel) -> usize {
        self.slots[place(channel)]
    }
}

fn place(channel: Channel) -> usize {
    Channel::ALL.iter().position(|c| *c == channel).unwrap_or_default()
}

/// Everything that the engine needs, given from outside.
pub struct Parts {
    /// What outlives the process.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who is told at once.
    pub watcher: Arc<dyn Watcher>,
    /// The ways out.
    pub ways: Arc<Ways>,
    /// The way to endpoints.
    pub webhook: Webhook,
    /// What opens the secrets that sign.
    pub vault: Vault,
    /// Templates to text.
    pub renderer: Arc<Renderer>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Who runs the deliveries.
    pub supervisor: Supervisor,
    /// What the configuration says.
    pub rules: Rules,
}

/// The engine. Clones share it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    clock: Clock,
    watcher: Arc<dyn Watcher>,
    ways: ArcSwap<Ways>,
    webhook: Webhook,
    vault: Vault,
    endpoints: endpoints::Endpoints,
    renderer: Arc<Renderer>,
    metrics: Arc<Metrics>,
    supervisor: Supervisor,
    rules: ArcSwap<Rules>,
    /// Rung when something may have become due.
    wake: Notify,
    waiting: Waiting,
    leases: dispatch::Leases,
    lanes: lanes::Lanes,
    /// Which mail hosts are sent to how fast.
    hosts: hosts::Hosts,
    push_services: push_services::PushServices,
    /// Who is sent too much at once.
    crowd: crowd::Crowd,
    backups: Mutex<Backups>,
    /// Turns of the dispatcher so far.
    turns: AtomicU64,
    /// Who reads the bodies of schedules.
    composer: OnceLock<Weak<dyn schedule::Composer>>,
    /// This run of the program: what belongs to another has ended with it.
    run: Uuid,
}

impl Engine {
    /// An engine over those parts. Nothing is sent before [`dispatch`]'s loop runs.
    pub fn new(parts: Parts) -> Engine {
        let run = new_id(parts.clock.now());
        let lanes = lanes::Lanes::new(&parts.ways);
        Engine {
            shared: Arc::new(Shared {
                store: parts.store,
                clock: parts.clock,
                watcher: parts.watcher,
                ways: ArcSwap::new(parts.ways),
                webhook: parts.webhook,
                vault: parts.vault,
                endpoints: endpoints::Endpoints::default(),
                renderer: parts.renderer,
                metrics: parts.metrics,
                supervisor: parts.supervisor,
                rules: ArcSwap::from_pointee(parts.rules),
                wake: Notify::new(),
                waiting: Waiting::default(),
                leases: dispatch::Leases::default(),
                lanes,
                hosts: hosts::Hosts::default(),
                push_services: push_services::PushServices::default(),
                crowd: crowd::Crowd::default(),
                backups: Mutex::default(),
                turns: AtomicU64::new(1),
                composer: OnceLock::new(),
                run,
            }),
        }
    }

    /// Goes on by other rules from here, as after a changed configuration.
    pub fn reconfigure(&self, rules: Rules, ways: Ways) {
        self.shared.rules.store(Arc::new(rules));
        self.shared.lanes.follow(&ways);
        self.shared.ways.store(Arc::new(ways));
        self.shared.wake.notify_one();
    }

    /// The key that browsers subscribe with, where Web Push is set up.
    pub fn push_public_key(&self) -> Option<Vec<u8>> {
        Some(self.shared.ways.load().push.as_ref()?.signer().public()?.to_vec())
    }

    /// Whether browsers that subscribed with that key can still be reached.
    pub fn has_push_key(&self, public: &[u8]) -> bool {
        self.shared.ways.load().push.as_ref().is_some_and(|push| push.signer().has(public))
    }

    /// Says goodbye on the ways out, once nothing is sent any more.
    pub async fn close_ways(&self) {
        self.shared.ways.load_full().close().await;
    }

    /// The store that this engine writes to.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The templates.
    pub fn renderer(&self) -> &Arc<Renderer> {
        &self.shared.renderer
    }

    /// The present instant.
    pub fn now(&self) -> Millis {
        self.shared.clock.now()
    }

    /// This run of the program, told from every other.
    pub fn run(&self) -> Uuid {
        self.shared.run
    }

    /// Waits until nothing of the notification `key` is on its way any more, at most `longest`. Deferred counts as
    /// settled: it is known when it goes on.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn settled(&self, key: Uuid, longest: Duration) -> Result<bool, crate::store::StoreError> {
        let wait = self.shared.waiting.join(key);
        let deadline = tokio::time::Instant::now() + longest;
        loop {
            let changed = wait.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let Some(standing) = self.standing(key).await? else { return Ok(true) };
            if standing.is_settled() {
                return Ok(true);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(false);
            }
        }
    }
}
