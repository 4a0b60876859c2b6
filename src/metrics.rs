//! Every metric, typed, and the text that Prometheus reads: OpenMetrics 1.0, or the older text format 0.0.4.

use std::sync::OnceLock;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::model::channel::Channel;
use crate::model::delivery::{Reason, Status};

/// Where a delivery came to stand, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeliveryLabels {
    channel: &'static str,
    status: &'static str,
    reason: &'static str,
}

/// The counters of deliveries, each looked up once: every accepted notification counts on several of them.
struct Deliveries {
    family: Family<DeliveryLabels, Counter>,
    found: Box<[OnceLock<Counter>]>,
}

impl Deliveries {
    /// Every reason, and none.
    const REASONS: usize = Reason::ALL.len() + 1;

    fn new() -> Deliveries {
        let combinations = Channel::ALL.len() * Status::ALL.len() * Deliveries::REASONS;
        let found = std::iter::repeat_with(OnceLock::new).take(combinations).collect();
        Deliveries { family: Family::default(), found }
    }

    fn count(&self, channel: Channel, status: Status, reason: Option<Reason>) {
        let look = || {
            let reason = reason.map_or("", Reason::name);
            let labels = DeliveryLabels { channel: channel.name(), status: status.name(), reason };
            self.family.get_or_create_owned(&labels)
        };
        let reason = reason.map_or(0, |reason| 1 + reason as usize);
        let place = (channel as usize * Status::ALL.len() + status as usize) * Deliveries::REASONS + reason;
        self.found[place].get_or_init(look).inc();
    }
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    method: &'static str,
    status: u16,
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ChannelLabels {
    channel: &'static str,
}

/// A provider of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProviderLabels {
    channel: &'static str,
    provider: &'static str,
}

/// How a call to an endpoint ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointCallLabels {
    outcome: &'static str,
}

/// Why an endpoint is called no more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointDisabledLabels {
    reason: &'static str,
}

/// What is read off the store and the hub when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// Open live connections.
    pub connections: u64,
    /// Live messages sent so far.
    pub messages_sent: u64,
    /// Bytes that the store takes on the disk.
    pub store_bytes: u64,
    /// Writes so far.
    pub store_writes: u64,
    /// Flushes so far.
    pub store_groups: u64,
    /// Whether the store takes writes.
    pub store_writable: bool,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Deliveries that wait on each channel, in the order of [`Channel::ALL`].
    pub queued: [u64; 5],
    /// Events that wait for endpoints.
    pub endpoint_events_queued: u64,
}

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    notifications: Counter,
    deliveries: Deliveries,
    attempt_seconds: Family<ChannelLabels, Histogram>,
    circuits: Family<ChannelLabels, Gauge>,
    provider_circuits: Family<ProviderLabels, Gauge>,
    endpoint_circuits: Gauge,
    requests: Family<RequestLabels, Counter>,
    endpoint_calls: Family<EndpointCallLabels, Counter>,
    endpoint_call_seconds: Histogram,
    endpoints_disabled: Family<EndpointDisabledLabels, Counter>,
    connections: Gauge,
    messages_sent: Counter,
    store_bytes: Gauge,
    store_writes: Counter,
    store_groups: Counter,
    store_writable: Gauge,
    backed_up: Gauge,
    uptime: Gauge,
    queued: Family<ChannelLabels, Gauge>,
    endpoint_events_queued: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All at nought.
    pub fn new() -> Metrics {
        let attempt_seconds = Family::<ChannelLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 4.0, 8))
        });
        let mut metrics = Metrics {
            registry: Registry::with_prefix("belfry"),
            notifications: Counter::default(),
            deliveries: Deliveries::new(),
            attempt_seconds,
            circuits: Family::default(),
            provider_circuits: Family::default(),
            endpoint_circuits: Gauge::default(),
            requests: Family::default(),
            endpoint_calls: Family::default(),
            endpoint_call_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            endpoints_disabled: Family::default(),
            connections: Gauge::default(),
            messages_sent: Counter::default(),
            store_bytes: Gauge::default(),
            store_writes: Counter::default(),
            store_groups: Counter::default(),
            store_writable: Gauge::default(),
            backed_up: Gauge::default(),
            uptime: Gauge::default(),
            queued: Family::default(),
            endpoint_events_queued: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("notifications_accepted", "Notifications accepted", self.notifications.clone());
        registry.register(
            "deliveries",
            "Deliveries that came to stand somewhere, by channel, status and reason",
            self.deliveries.family.clone(),
        );
        registry.register_with_unit(
            "attempt_duration",
            "Time that one attempt took, by channel",
            Unit::Seconds,
            self.attempt_seconds.clone(),
        );
        registry.register(
            "circuit_open",
            "1 while no provider of a channel answers and all of them are left alone",
            self.circuits.clone(),
        );
        registry.register(
            "provider_circuit_open",
            "1 while a provider does not answer and is left alone",
            self.provider_circuits.clone(),
        );
        registry.register(
            "endpoint_circuits_open",
            "Endpoints that do not answer and are left alone for a while",
            self.endpoint_circuits.clone(),
        );
        registry.register("http_requests", "Requests answered, by method and status", self.requests.clone());
        registry.register(
            "endpoint_calls",
            "Calls to endpoints, by outcome: taken or failed",
            self.endpoint_calls.clone(),
        );
        registry.register_with_unit(
            "endpoint_call_duration",
            "Time that one call to an endpoint took",
            Unit::Seconds,
            self.endpoint_call_seconds.clone(),
        );
        registry.register(
            "endpoints_disabled",
            "Endpoints that are called no more since they were gone or failed for days, by reason",
            self.endpoints_disabled.clone(),
        );
        registry.register("connections", "Open live connections", self.connections.clone());
        registry.register(
            "live_messages_sent",
            "Live messages sent since the start",
            self.messages_sent.clone(),
        );
        registry.register_with_unit(
            "store_size",
            "Size of the store on disk",
            Unit::Bytes,
            self.store_bytes.clone(),
        );
        registry.register("store_writes", "Writes since the start", self.store_writes.clone());
        registry.register("store_flushes", "Flushes since the start", self.store_groups.clone());
        registry.register("store_writable", "1 while the store takes writes", self.store_writable.clone());
        registry.register_with_unit(
            "backup_last_success_timestamp",
            "When the last nightly backup that is whole was begun, in Unix time; 0 before the first",
            Unit::Seconds,
            self.backed_up.clone(),
        );
        registry.register(
            "queued",
            "Deliveries that are due or wait for their time, by channel",
            self.queued.clone(),
        );
        registry.register(
            "endpoint_events_queued",
            "Events that wait for their endpoints",
            self.endpoint_events_queued.clone(),
        );
        registry.register_with_unit("uptime", "Time since the start", Unit::Seconds, self.uptime.clone());
    }

    /// A notification was accepted.
    pub fn accepted(&self) {
        self.notifications.inc();
    }

    /// A delivery came to stand somewhere.
    pub fn delivery(&self, channel: Channel, status: Status, reason: Option<Reason>) {
        self.deliveries.count(channel, status, reason);
    }

    /// An attempt took that long.
    pub fn attempt(&self, channel: Channel, seconds: f64) {
        self.attempt_seconds.get_or_create(&ChannelLabels { channel: channel.name() }).observe(seconds);
    }

    /// A provider of a channel is left alone from now on, or no more.
    pub fn provider_circuit(&self, channel: Channel, provider: &'static str, open: bool) {
        let labels = ProviderLabels { channel: channel.name(), provider };
        self.provider_circuits.get_or_create(&labels).set(i64::from(open));
    }

    /// So many endpoints are left alone.
    pub fn endpoint_circuits(&self, open: usize) {
        self.endpoint_circuits.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// All providers of a channel are left alone from now on, or no more.
    pub fn circuit(&self, channel: Channel, open: bool) {
        self.circuits.get_or_create(&ChannelLabels { channel: channel.name() }).set(i64::from(open));
    }

    /// A call to an endpoint took that long, and was taken or failed.
    pub fn endpoint_call(&self, taken: bool, seconds: f64) {
        let outcome = if taken { "taken" } else { "failed" };
        self.endpoint_calls.get_or_create(&EndpointCallLabels { outcome }).inc();
        self.endpoint_call_seconds.observe(seconds);
    }

    /// An endpoint is called no more.
    pub fn endpoint_disabled(&self, reason: &'static str) {
        self.endpoints_disabled.get_or_create(&EndpointDisabledLabels { reason }).inc();
    }

    /// The last nightly backup that is whole was begun at that second.
    pub fn backed_up(&self, at_secs: i64) {
        self.backed_up.set(at_secs);
    }

    /// A request was answered. Methods that are not HTTP's usual ones count together.
    pub fn request(&self, method: &http::Method, status: u16) {
        const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
        let method = METHODS.into_iter().find(|name| *name == method.as_str()).unwrap_or("OTHER");
        self.requests.get_or_create(&RequestLabels { method, status }).inc();
    }

    /// The text that Prometheus reads, in OpenMetrics 1.0.
    pub fn text(&self, readings: Readings) -> String {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.connections.set(signed(readings.connections));
        self.messages_sent.inc_by(readings.messages_sent.saturating_sub(self.messages_sent.get()));
        self.store_bytes.set(signed(readings.store_bytes));
        self.store_writes.inc_by(readings.store_writes.saturating_sub(self.store_writes.get()));
        self.store_groups.inc_by(readings.store_groups.saturating_sub(self.store_groups.get()));
        self.store_writable.set(i64::from(readings.store_writable));
        self.uptime.set(signed(readings.uptime_seconds));
        for (channel, count) in Channel::ALL.into_iter().zip(readings.queued) {
            self.queued.get_or_create(&ChannelLabels { channel: channel.name() }).set(signed(count));
        }
        self.endpoint_events_queued.set(signed(readings.endpoint_events_queued));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing into a String cannot fail");
        text
    }

    /// The same in Prometheus' text format 0.0.4: there a counter's name has its `_total` in its description too, and
    /// nothing marks the end.
    pub fn plain_text(&self, readings: Readings) -> String {
        let mut plain = String::new();
        let text = self.text(readings);
        let counters: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
        for line in text.lines().filter(|line| !line.starts_with("# EOF") && !line.starts_with("# UNIT")) {
            let described = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
            let named = described.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?)));
            match named {
                Some((kind, (name, rest))) if counters.contains(&name) => {
                    plain.push_str(&format!("# {kind} {name}_total {rest}\n"));
                }
                _ => plain.push_str(&format!("{line}\n")),
            }
        }
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_name_a_counter_as_their_format_does() {
        let metrics = Metrics::new();
        metrics.request(&http::Method::GET, 200);
        let open = metrics.text(Readings::default());
        assert!(open.contains("# TYPE belfry_http_requests counter\n") && open.ends_with("# EOF\n"));
        let plain = metrics.plain_text(Readings::default());
        assert!(plain.contains("# TYPE belfry_http_requests_total counter\n"), "{plain}");
        assert!(plain.contains("belfry_http_requests_total{method=\"GET\",status=\"200\"} 1\n"), "{plain}");
        assert!(plain.contains("# TYPE belfry_connections gauge\n") && !plain.contains("# EOF"));
    }

    #[test]
    fn a_counter_read_off_elsewhere_never_falls() {
        let metrics = Metrics::new();
        metrics.text(Readings { store_writes: 7, ..Readings::default() });
        let text = metrics.text(Readings { store_writes: 5, ..Readings::default() });
        assert!(text.contains("belfry_store_writes_total 7\n"), "{text}");
    }
}
