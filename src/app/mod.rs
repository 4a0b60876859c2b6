//! The house put together: a configuration, a listener and a clock become a running server.

mod configured;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;

pub use self::configured::email;
use self::configured::{hub_limits, limits, live_limits, rules, ways};
use crate::access::{Access, CONFIGURED_KEY_ID, SecretError, Vault, signing_secret};
use crate::api::live::Backend;
use crate::api::{self, Api, HubWatcher};
use crate::channel::email::SetupError;
use crate::channel::sms;
use crate::channel::webhook::Webhook;
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::engine::{Engine, Parts};
use crate::hub::{Hub, Leave};
use crate::listen;
use crate::metrics::Metrics;
use crate::outbound::{self, Outbound};
use crate::render::{RenderError, Renderer};
use crate::store::{self, OpenError, Store, StoreError};
use crate::supervise::Supervisor;
use crate::ws::{self, close};

/// The close code at a shutdown: reconnect.
const CLOSE_SHUTDOWN: u16 = 4001;
/// How often it is noted beside the store how much it holds: what is written after the last note could be cut off
/// unnoticed.
const NOTE_PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the disk takes writes again.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_secs(2);
/// What must fit on the disk before the store is opened again.
const ROOM_BYTES: usize = 4 * 1024 * 1024;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store was opened and cannot be used.
    #[error("failed to prepare the store: {0}")]
    Store(#[from] StoreError),
    /// The signing secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Mail cannot be sent with this configuration.
    #[error(transparent)]
    Email(#[from] SetupError),
    /// Text messages cannot be sent with this configuration.
    #[error(transparent)]
    Sms(#[from] sms::SetupError),
    /// Calls to URLs that users give cannot be made with this configuration.
    #[error(transparent)]
    Outbound(#[from] outbound::SetupError),
    /// A built-in template does not compile.
    #[error("failed to compile the templates: {0}")]
    Templates(#[from] RenderError),
    /// The listener is not usable.
    #[error("failed to listen: {0}")]
    Listen(std::io::Error),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As asked, with everything finished or safely on disk.
    Stopped,
    /// The disk had failed and takes writes again: the store is to be opened anew.
    Reopen,
    /// A task that must not die keeps dying.
    Broken,
}

/// A server that is ready to run.
pub struct App {
    api: Arc<Api>,
    listener: TcpListener,
    address: SocketAddr,
    first_key: Option<SecretString>,
    config: ArcSwap<Config>,
}

impl App {
    /// Opens the store and puts everything together. Nothing is served or sent before [`App::run`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(config: Config, listener: TcpListener, clock: Clock) -> Result<App, StartError> {
        let address = listener.local_addr().map_err(StartError::Listen)?;
        let supervisor = Supervisor::new();
        crate::channel::install_crypto();
        let options =
            store::Options { path: config.storage.path.clone(), cache_bytes: config.storage.cache_capacity };
        let opening = supervisor.clone();
        let store = supervisor
            .blocking("store-open", move || Store::open(&options, &opening))
            .await
            .unwrap_or_else(|| Err(OpenError::Thread(std::io::Error::other("opening the store panicked"))))?;
        let secret = signing(&config, &store)?;
        let access = Arc::new(
            Access::open(store.clone(), clock.clone(), secret.as_bytes(), config.auth.issuers()).await?,
        );
        let first_key = access.bootstrap(config.auth.admin_key.as_ref()).await?;
        let hub = Hub::new(hub_limits(&config), clock.clone());
        let metrics = Arc::new(Metrics::new());
        let outbound = Outbound::new(&config.outbound)?;
        let vault = Vault::open_at(store.path())?;
        let ways = ways(&config, secret.as_bytes(), &store, &outbound, clock.now()).await?;
        let engine = Engine::new(Parts {
            store: store.clone(),
            clock: clock.clone(),
            watcher: HubWatcher::new(hub.clone(), clock.clone()),
            ways: Arc::new(ways),
            webhook: Webhook::new(outbound.clone()),
            vault: vault.clone(),
            renderer: Arc::new(Renderer::new()?),
            metrics: metrics.clone(),
            supervisor: supervisor.clone(),
            rules: rules(&config),
        });
        engine.load_templates().await?;
        engine.load_endpoints().await?;
        let backend = Arc::new(Backend::new(engine.clone(), access.clone()));
        let door =
            ws::Door::new(backend, hub.clone(), live_limits(&config), clock.clone(), supervisor.clone());
        let api = Arc::new(Api {
            engine,
            access,
            hub,
            live: ArcSwap::from_pointee(door),
            allowed_origins: ArcSwap::from_pointee(config.server.allowed_origins.clone()),
            started_at: clock.now(),
            clock,
            metrics,
            supervisor,
            outbound,
            limits: ArcSwap::from_pointee(limits(&config)),
            hooks: api::Hooks::load(store.clone(), vault.clone()).await?,
            figures: api::Figures::default(),
            running: api::idempotent::Running::default(),
        });
        let composer: std::sync::Weak<Api> = Arc::downgrade(&api);
        api.engine.compose_by(composer);
        Ok(App { api, listener, address, first_key, config: ArcSwap::from_pointee(config) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin key that was made because there was none: to be printed, once.
    pub fn first_key(&self) -> Option<&SecretString> {
        self.first_key.as_ref()
    }

    /// What decides and stores.
    pub fn engine(&self) -> &Engine {
        &self.api.engine
    }

    /// Who knows tokens.
    pub fn access(&self) -> &Access {
        &self.api.access
    }

    /// Asks the running server to stop.
    pub fn stop(&self) {
        self.api.supervisor.stop();
    }

    /// Goes on by another configuration: everything but the listen address, the store and the limits of HTTP
    /// connections, which hold until the next start.
    ///
    /// # Errors
    /// Where it cannot be used; then the old one holds.
    pub async fn reload(&self, config: Config) -> Result<(), StartError> {
        let store = self.api.engine.store();
        let secret = signing(&config, store)?;
        let (outbound, now) = (&self.api.outbound, self.api.clock.now());
        let ways = ways(&config, secret.as_bytes(), store, outbound, now).await?;
        let rules = rules(&config);
        self.api.outbound.reload(&config.outbound)?;
        let old = self.config.load_full();
        self.api.access.sign_with(secret.as_bytes(), config.auth.issuers());
        if signing(&old, store)? != secret || old.auth.issuers().take_more_than(&config.auth.issuers()) {
            self.api.hub.close_users(close::INVALID_TOKEN);
        }
        if let Some(key) = &config.auth.admin_key {
            self.api.access.bootstrap(Some(key)).await?;
            if is_another(key, old.auth.admin_key.as_ref()) {
                self.api.hub.withdraw(&Leave::Key(CONFIGURED_KEY_ID.to_owned()));
            }
        }
        self.api.engine.reconfigure(rules, ways);
        self.api.engine.plan_backups().await?;
        self.api.hub.set_limits(hub_limits(&config));
        self.api.limits.store(Arc::new(limits(&config)));
        self.api.allowed_origins.store(Arc::new(config.server.allowed_origins.clone()));
        let door = self.api.live.load().with_limits(live_limits(&config));
        self.api.live.store(Arc::new(door));
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Whether the writer answers: what the watchdog wants to know.
    pub async fn is_alive(&self) -> bool {
        let store = self.api.engine.store();
        // A store that takes no writes is reported by /readyz; restarting the process would not mend the disk.
        store.broken().is_some() || store.commit(|_| Ok::<_, StoreError>(())).await.is_ok()
    }

    /// Serves until `shutdown` completes, then stops in order: no new connections, live ones closed with 4001, what is
    /// in flight finished within the drain time.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) -> Ended {
        let supervisor = self.api.supervisor.clone();
        self.start();
        let broken = supervisor.broken();
        let ended = tokio::select! {
            () = shutdown => Ended::Stopped,
            () = supervisor_stopped(&supervisor) => Ended::Stopped,
            () = broken.cancelled() => Ended::Broken,
            () = self.disk_is_back() => Ended::Reopen,
        };
        self.drain().await;
        ended
    }

    fn start(self: &Arc<Self>) {
        let (supervisor, engine) = (&self.api.supervisor, self.api.engine.clone());
        let (dispatch, endpoints) = (engine.clone(), engine.clone());
        supervisor.keep("dispatch", move || dispatch.clone().run_dispatch());
        supervisor.keep("endpoints", move || endpoints.clone().run_endpoints());
        let zones = engine.clone();
        supervisor.keep("time-zones", move || zones.clone().run_zones());
        supervisor.keep("retention", move || engine.clone().run_retention());
        // One for each core: a crowd is with one of them at a time.
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (hub, stopping) = (self.api.hub.clone(), supervisor.stopping());
            supervisor.keep("fan-out", move || hub.clone().run_fan_out(stopping.clone()));
        }
        let store = self.clone();
        supervisor.keep("store-marker", move || store.clone().note_progress());
        let keys = self.clone();
        supervisor.keep("last-used", move || keys.clone().note_key_use());
        // Handing the listener over needs it twice: the loop is made again when it dies.
        let app = self.clone();
        supervisor.keep("listen", move || app.clone().listen());
    }

    async fn listen(self: Arc<Self>) {
        let config = self.config.load_full();
        let limits = listen::Limits {
            connections_max: config.server.max_connections,
            connections_per_ip_max: config.server.max_connections_per_ip,
            header_timeout: config.server.header_timeout,
            idle_timeout: config.server.idle_timeout,
        };
        let routes = TowerToHyperService::new(warp::service(api::routes(self.api.clone())));
        let service = service_fn(move |request| {
            let (admitted, routes) = (api::admit(request), routes.clone());
            async move {
                match admitted {
                    Ok(request) => routes.call(request).await,
                    Err(refusal) => Ok(refusal),
                }
            }
        });
        listen::serve(&self.listener, service, limits, self.api.supervisor.clone()).await;
    }

    async fn note_progress(self: Arc<Self>) {
        let stopping = self.api.supervisor.stopping();
        while !stopping.is_cancelled() {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(NOTE_PROGRESS_EVERY) => {}
            }
            if let Err(error) = self.api.engine.store().note_progress().await {
                tracing::warn!(%error, "failed to note how much the store holds");
            }
        }
    }

    async fn note_key_use(self: Arc<Self>) {
        let stopping = self.api.supervisor.stopping();
        loop {
            let next: Millis = self.api.clock.now() + 60_000;
            let stopped = tokio::select! {
                () = stopping.cancelled() => true,
                () = self.api.clock.sleep_until(next) => false,
            };
            if let Err(error) = self.api.access.flush_last_used().await {
                tracing::warn!(%error, "failed to note when keys were last used");
            }
            if stopped {
                return;
            }
        }
    }

    /// Completes once the store had failed and its disk takes writes again.
    async fn disk_is_back(&self) {
        loop {
            tokio::time::sleep(LOOK_AT_DISK_EVERY).await;
            if self.api.engine.store().broken().is_none() {
                continue;
            }
            let path = self.api.engine.store().path().to_owned();
            let writable = self.api.supervisor.blocking("disk-probe", move || has_room(&path)).await;
            if writable == Some(true) {
                tracing::warn!("the disk takes writes again, opening the store anew");
                return;
            }
        }
    }

    async fn drain(&self) {
        let grace = self.config.load().server.drain_time;
        self.api.supervisor.stop();
        self.api.hub.close_all(CLOSE_SHUTDOWN);
        if !self.api.supervisor.drained(grace).await {
            let left = self.api.supervisor.tasks();
            tracing::warn!(
                left,
                "the drain time is over; what is still under way will be taken up at the next start"
            );
        }
        self.api.engine.close_ways().await;
    }
}

/// The secret that signs: the one that is configured, else our own.
fn signing(config: &Config, store: &Store) -> Result<String, SecretError> {
    match &config.auth.jwt_secret {
        Some(secret) => Ok(secret.expose_secret().to_owned()),
        None => signing_secret(store.path()),
    }
}

fn is_another(secret: &SecretString, old: Option<&SecretString>) -> bool {
    old.is_none_or(|old| old.expose_secret() != secret.expose_secret())
}

async fn supervisor_stopped(supervisor: &Supervisor) {
    supervisor.stopping().cancelled_owned().await;
}

/// Whether a few MiB can be written and synced under `path`.
fn has_room(path: &std::path::Path) -> bool {
    use std::io::Write;
    let probe = || -> std::io::Result<()> {
        let mut file = tempfile::tempfile_in(path)?;
        file.write_all(&vec![0; ROOM_BYTES])?;
        file.sync_all()
    };
    probe().is_ok()
}
