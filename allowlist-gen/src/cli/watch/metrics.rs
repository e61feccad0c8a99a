//! Counts what `watch` sees. Every label value is known in advance.

use std::time::{SystemTime, UNIX_EPOCH};

use allowlist_gen::drift::answer::Unsettled;
use allowlist_gen::drift::{Drift, Reason};
use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub(super) struct Metrics {
    registry: Registry,
    drift: IntGaugeVec,
    not_compared: IntGaugeVec,
    polls: IntCounter,
    poll_failures: IntCounter,
    last_success: IntGauge,
    applies: IntCounterVec,
}

/// What has become of a list that was to be written.
#[derive(Clone, Copy)]
pub(super) enum Apply {
    Applied,
    /// What would have been written goes beyond what may be.
    Refused,
    /// All that would have been written was held back.
    Held,
    /// Somebody else has changed the list meanwhile.
    Changed,
    /// The file system said no.
    Failed,
}

impl Apply {
    const NAMES: [&str; 5] = ["applied", "refused", "held", "changed", "failed"];

    fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Changed => "changed",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let new = Registrar(&registry);
        let build = new.gauges(
            "allowlist_gen_build_info",
            "1; the version is in the label",
            "version",
            &[env!("CARGO_PKG_VERSION")],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            drift: new.gauges(
                "allowlist_gen_drift",
                "Differences between the list and what Azure says, by the code of the reason",
                "reason",
                &Reason::CODES,
            ),
            not_compared: new.gauges(
                "allowlist_gen_not_compared",
                "What could not be compared at the last poll, by code",
                "code",
                &Unsettled::CODES,
            ),
            polls: new.counter(
                "allowlist_gen_polls_total",
                "Polls that have ended, failed ones among them",
            ),
            poll_failures: new.counter(
                "allowlist_gen_poll_failures_total",
                "Polls after which nothing could be compared",
            ),
            last_success: new.gauge(
                "allowlist_gen_last_successful_poll_timestamp_seconds",
                "When a poll was last compared, in seconds since 1970; 0 before the first",
            ),
            applies: new.counters(
                "allowlist_gen_applies_total",
                "Lists that were to be written, by what has become of them",
                "result",
                &Apply::NAMES,
            ),
            registry: registry.clone(),
        }
    }

    pub(super) fn polled(&self) {
        self.polls.inc();
    }

    pub(super) fn failed(&self) {
        self.poll_failures.inc();
    }

    /// Shows what is left between the list and the answer.
    pub(super) fn compared(&self, drift: &Drift, unsettled: &[Unsettled]) {
        for code in Reason::CODES {
            let differences = drift.differences().filter(|(_, reason, _)| reason.code() == code);
            self.drift.with_label_values(&[code]).set(number(differences.count()));
        }
        for code in Unsettled::CODES {
            let open = unsettled.iter().filter(|open| open.code() == code);
            self.not_compared.with_label_values(&[code]).set(number(open.count()));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        self.last_success.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    pub(super) fn applied(&self, apply: Apply) {
        self.applies.with_label_values(&[apply.name()]).inc();
    }

    /// The text exposition format.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("a buffer takes everything");
        text
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Makes metrics with every series that they will ever have.
struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect("every name is used once");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help).expect(VALID))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect(VALID))
    }

    fn counters(&self, name: &str, help: &str, label: &str, values: &[&str]) -> IntCounterVec {
        let vec = IntCounterVec::new(Opts::new(name, help), &[label]).expect(VALID);
        for value in values {
            vec.with_label_values(&[*value]);
        }
        self.register(vec)
    }

    fn gauges(&self, name: &str, help: &str, label: &str, values: &[&str]) -> IntGaugeVec {
        let vec = IntGaugeVec::new(Opts::new(name, help), &[label]).expect(VALID);
        for value in values {
            vec.with_label_values(&[*value]);
        }
        self.register(vec)
    }
}

const VALID: &str = "names and labels are valid";
