//! Counts what became of connections. Every label value is known in advance, so a client can't make new
//! series.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use ringfence_config::allowlist::ROLE_NAMES;
use ringfence_config::issue::Moment;

use crate::admission::descriptors;
use crate::policy::{Policy, Target};
use crate::reason::Reason;
use crate::relay::{End, Meters, Stop};
use crate::tunnel::{Outcome, Verdict};

/// The counters of the process. Every label value is known in advance.
pub struct Metrics {
    registry: Registry,
    /// Connections by outcome: `tunnel`, or the reason's code.
    connections: IntCounterVec,
    /// Tunnels by the role of their host.
    tunnels: IntCounterVec,
    /// Tunnels that only audit mode carried, by the reason for which they would have been refused.
    would_deny: IntCounterVec,
    /// Tunnels by their end.
    ends: IntCounterVec,
    tunnel_seconds: Histogram,
    resolve_seconds: Histogram,
    connect_seconds: Histogram,
    /// Bytes of all tunnels.
    pub meters: Meters,
    /// Connections now open.
    pub open: IntGauge,
    limit: IntGauge,
    descriptors_open: IntGauge,
    descriptors_limit: IntGauge,
    /// Reloads that worked.
    pub reloads: IntCounter,
    /// Reloads that did not, of identities, too; what was in force stayed.
    pub reload_failures: IntCounter,
    entries: IntGauge,
    generation: IntGauge,
    not_after: IntGauge,
    /// Log lines that were not written.
    pub log_lost: IntCounter,
    /// Notices that were not written.
    pub notices_lost: IntCounter,
    panics: IntCounter,
    log_up: IntGauge,
    endpoint_up: IntGaugeVec,
    certificate_expiry: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let new = Registrar(Registry::new());
        new.build_info();
        let bytes = new.counters(
            "ringfence_bytes_total",
            "Bytes relayed, by direction as the client sees it",
            "direction",
            ["sent", "received"],
        );
        Self {
            connections: new.counters(
                "ringfence_connections_total",
                "Connections that have ended: `tunnel`, or the code of the reason",
                "outcome",
                ["tunnel"].into_iter().chain(Reason::ALL.iter().map(|reason| reason.code())),
            ),
            tunnels: new.counters(
                "ringfence_tunnels_total",
                "Tunnels that have ended, by the role of the host",
                "role",
                ROLE_NAMES.into_iter().chain([UNLISTED]),
            ),
            would_deny: new.counters(
                "ringfence_would_deny_total",
                "Tunnels carried in audit mode that enforcing would refuse, by reason",
                "reason",
                [Reason::NotInPolicy, Reason::PortNotAllowed].map(Reason::code),
            ),
            ends: new.counters(
                "ringfence_tunnel_ends_total",
                "Tunnels that have ended, by who or what ended them",
                "end",
                End::ALL.map(End::name),
            ),
            tunnel_seconds: new.histogram(
                "ringfence_tunnel_seconds",
                "How long tunnels lived",
                TUNNEL_BUCKETS,
            ),
            resolve_seconds: new.histogram(
                "ringfence_resolve_seconds",
                "How long lookups took",
                STEP_BUCKETS,
            ),
            connect_seconds: new.histogram(
                "ringfence_connect_seconds",
                "How long connecting took",
                STEP_BUCKETS,
            ),
            meters: Meters {
                sent: bytes.with_label_values(&["sent"]),
                received: bytes.with_label_values(&["received"]),
            },
            open: new.gauge("ringfence_connections_open", "Connections now open"),
            limit: new.gauge(
                "ringfence_connections_limit",
                "Connections that may be open, as far as descriptors allow",
            ),
            descriptors_open: new
                .gauge("ringfence_descriptors_open", "File descriptors of the process"),
            descriptors_limit: new.gauge(
                "ringfence_descriptors_limit",
                "File descriptors that the process may have; 0 if there is no limit",
            ),
            reloads: new.counter("ringfence_reloads_total", "Allowlists loaded after the first"),
            reload_failures: new.counter(
                "ringfence_reload_failures_total",
                "Lists, certificates or users that could not be loaded, so that the old ones stayed",
            ),
            entries: new.gauge("ringfence_allowlist_entries", "Entries of the list in force"),
            generation: new
                .gauge("ringfence_allowlist_generation", "Lists enforced since the start"),
            not_after: new.gauge(
                "ringfence_allowlist_not_after_seconds",
                "When the first of the lists in force ends, in seconds since 1970; 0 if none does",
            ),
            log_lost: new
                .counter("ringfence_log_lost_total", "Access log lines that were not written"),
            notices_lost: new.counter(
                "ringfence_notices_lost_total",
                "Notices to the operator that were not written",
            ),
            panics: new.counter("ringfence_panics_total", "Connections that ended in a panic"),
            log_up: new.gauge("ringfence_log_up", "Whether the access log is being written"),
            endpoint_up: new.gauges(
                "ringfence_endpoint_up",
                "Whether a probed host is reached, with a valid certificate",
                "host",
            ),
            certificate_expiry: new.gauges(
                "ringfence_endpoint_certificate_expiry_seconds",
                "When a probed host's certificate ends, as last seen; Unix time",
                "host",
            ),
            registry: new.0,
        }
    }
}

impl Metrics {
    /// Counts one connection.
    pub fn count(&self, outcome: &Outcome, lasted: Duration) {
        match outcome.verdict() {
            Verdict::Tunnel | Verdict::Ended(_) => {
                self.connections.with_label_values(&["tunnel"]).inc();
            }
            Verdict::Refused(reason) => self.connections.with_label_values(&[reason.code()]).inc(),
            Verdict::Panicked => self.panics.inc(),
        }
        if let Outcome::Carried(permit, route, transfer) = outcome {
            let role = permit.entry().map_or(UNLISTED, |entry| entry.role.name());
            self.tunnels.with_label_values(&[role]).inc();
            if let Some(reason) = permit.would_deny() {
                self.would_deny.with_label_values(&[reason.code()]).inc();
            }
            self.ends.with_label_values(&[transfer.end.name()]).inc();
            self.tunnel_seconds.observe(lasted.as_secs_f64());
            self.resolve_seconds.observe(route.resolve.as_secs_f64());
            self.connect_seconds.observe(route.connect.as_secs_f64());
        }
    }

    /// Shows which list is in force.
    pub fn describe(&self, policy: &Policy) {
        self.entries.set(i64::try_from(policy.len()).unwrap_or(i64::MAX));
        self.generation.set(i64::try_from(policy.generation()).unwrap_or(i64::MAX));
    }

    /// Shows how many connections may be open.
    pub fn limit(&self, connections: NonZeroUsize) {
        self.limit.set(i64::try_from(connections.get()).unwrap_or(i64::MAX));
    }

    /// Shows when the first of the lists in force ends.
    pub fn describe_end(&self, end: Option<Moment>) {
        let since_1970 = end.and_then(|end| end.time().duration_since(UNIX_EPOCH).ok());
        let seconds = since_1970.map_or(0, |duration| duration.as_secs());
        self.not_after.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Shows whether the access log is being written.
    pub fn log_is_up(&self, up: bool) {
        self.log_up.set(i64::from(up));
    }

    /// Shows whether a probed host is reached. Its name is one of the configuration's.
    pub fn endpoint(&self, target: &Target, up: bool) {
        self.endpoint_up.with_label_values(&[&target.to_string()]).set(i64::from(up));
    }

    /// Shows when a probed host's certificate ends.
    pub fn certificate_ends(&self, target: &Target, end: SystemTime) {
        let end = end.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let gauge = self.certificate_expiry.with_label_values(&[&target.to_string()]);
        gauge.set(i64::try_from(end).unwrap_or(i64::MAX));
    }

    /// How many tunnels have ended by themselves or by their limits, and how many because the proxy stops.
    pub fn tunnels_ended(&self) -> (u64, u64) {
        let ends = |end: End| self.ends.with_label_values(&[end.name()]).get();
        let cut = ends(End::Stopped(Stop::Drain));
        (End::ALL.into_iter().map(ends).sum::<u64>() - cut, cut)
    }

    /// The text exposition format.
    pub fn encode(&self) -> Vec<u8> {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.descriptors_open.set(number(descriptors::open()));
        self.descriptors_limit.set(number(descriptors::limit().unwrap_or(0)));
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("a buffer takes everything");
        text
    }
}

/// Makes metrics and registers them. The names are ours, so nothing here can fail.
struct Registrar(Registry);

impl Registrar {
    fn register<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("a valid metric");
        self.0.register(Box::new(metric.clone())).expect("a new metric");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    /// A gauge for each value that is set; the values are the configuration's.
    fn gauges(&self, name: &str, help: &str, label: &str) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), &[label]))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options))
    }

    /// A counter for each of `values`, which all start at 0 and are never joined by others.
    fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'static str>,
    ) -> IntCounterVec {
        let counters = self.register(IntCounterVec::new(Opts::new(name, help), &[label]));
        for value in values {
            counters.with_label_values(&[value]);
        }
        counters
    }

    fn build_info(&self) {
        let options = Opts::new("ringfence_build_info", "The running program; always 1");
        let info = IntGauge::with_opts(options.const_label("version", env!("CARGO_PKG_VERSION")));
        self.register(info).set(1);
    }
}

/// The role of a host that is on no list; audit mode carries those.
const UNLISTED: &str = "unlisted";
const TUNNEL_BUCKETS: &[f64] = &[0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0];
const STEP_BUCKETS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0];
