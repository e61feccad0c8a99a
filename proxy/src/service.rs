//! What the threads of the process share, and the two things that happen to it: a connection, a reload.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::client;
use crate::config::Config;
use crate::difference::Difference;
use crate::lines::Lines;
use crate::lists::{Error as ListError, Loaded};
use crate::metrics::Metrics;
use crate::notice::notice;
use crate::policy::Policy;
use crate::record::{self, Circumstances};
use crate::refusal;
use crate::tunnel::{Outcome, Shared};
use crate::upstream::Resolver;
use crate::vintage::{Rule, Standing};
use crate::wire::Wire;

/// What the threads of the process share.
pub struct Service {
    /// What connections share.
    pub shared: Shared,
    /// The counters.
    pub metrics: Metrics,
    /// Set when no new connection is accepted any more.
    pub closing: CancellationToken,
    /// Why the files could not be loaded again, while that is so.
    pub reload_error: ArcSwapOption<String>,
    /// How old the list in force is.
    pub standing: watch::Sender<Standing>,
    /// What happens to a list that is past its end.
    expired: Rule,
    /// The access log.
    pub log: Lines,
    connections: AtomicU64,
    /// One for each connection that may be open.
    pub slots: Arc<Semaphore>,
}

impl Service {
    /// Makes it, and starts the access log.
    pub fn start(config: &Config, loaded: &Loaded) -> Arc<Self> {
        let metrics = Metrics::default();
        let policy = Policy::new(&loaded.allowlist, 1);
        metrics.describe(&policy);
        metrics.describe_end(loaded.standing.end());
        Arc::new(Self {
            shared: Shared {
                policy: ArcSwap::from_pointee(policy),
                generation: watch::Sender::new(1),
                cut: CancellationToken::new(),
                limits: config.limits,
                meters: metrics.meters.clone(),
            },
            log: Lines::to(io::stdout(), metrics.log_lost.clone()),
            metrics,
            closing: CancellationToken::new(),
            reload_error: ArcSwapOption::empty(),
            standing: watch::Sender::new(loaded.standing.clone()),
            expired: config.rules.expired,
            connections: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(config.connections.get().min(Semaphore::MAX_PERMITS))),
        })
    }

    /// Enforces what was loaded, or keeps what is in force and says so.
    pub fn reload(&self, loaded: Result<Loaded, ListError>) {
        let current = self.shared.policy.load();
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                self.metrics.reload_failures.inc();
                let error = crate::chain(&error);
                let stays = if current.is_expired() { "past its end" } else { "in force" };
                notice(format_args!("the old list stays {stays}: {error}"));
                self.reload_error.store(Some(Arc::new(error)));
                return;
            }
        };
        self.reload_error.store(None);
        self.metrics.describe_end(loaded.standing.end());
        let renewed = self.standing.send_replace(loaded.standing.clone()) != loaded.standing;
        let generation = current.id.generation;
        if *loaded.allowlist.hash() == *current.id.hash && !current.is_expired() {
            let what = if renewed { "only its age" } else { "nothing" };
            notice(format_args!("read again, and {what} has changed: generation {generation}"));
            if renewed {
                notice(&loaded);
                loaded.tell_findings();
            }
            return;
        }
        let policy = Policy::new(&loaded.allowlist, generation + 1);
        self.metrics.describe(&policy);
        self.metrics.reloads.inc();
        let difference = Difference::between(current.entries(), policy.entries());
        self.shared.policy.store(Arc::new(policy));
        // Live tunnels ask the new list now.
        self.shared.generation.send_replace(generation + 1);
        loaded.announce(generation + 1);
        notice(format_args!("since generation {generation}: {difference}"));
    }

    /// Looks which lists are past their end, and says so once. Unless that is tolerated, nothing is allowed
    /// from then on, until there is a later list.
    pub fn expire(&self, now: SystemTime) {
        let mut passed = Vec::new();
        self.standing.send_if_modified(|standing| {
            passed = standing.pass(now);
            !passed.is_empty()
        });
        if passed.is_empty() {
            return;
        }
        for problem in passed {
            notice(problem);
        }
        if self.expired == Rule::Refuse {
            let current = self.shared.policy.load();
            self.shared.policy.store(Arc::new(current.expire()));
            // Live tunnels ask again now.
            self.shared.generation.send_replace(current.id.generation);
            notice("everything is denied until there is a later list");
        }
    }

    /// What an operator should look at while everything goes on.
    pub fn warning(&self) -> Option<String> {
        let reload_error = self.reload_error.load().as_deref().cloned();
        let standing = self.standing.borrow();
        let problems = standing.problems.iter().map(ToString::to_string);
        let warnings: Vec<String> = reload_error.into_iter().chain(problems).collect();
        (!warnings.is_empty()).then(|| warnings.join("\n"))
    }

    /// Serves one connection and records it, once.
    pub async fn connection(&self, arrival: Arrival, resolver: &Resolver) {
        let Arrival { stream, peer, accepted, started } = arrival;
        let id = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let client = client::identify(peer);
        self.metrics.open.inc();
        // Answers are small and complete; neither side should wait for more.
        let _ = stream.set_nodelay(true);
        let mut stream = Wire::Tcp(stream);
        let served = AssertUnwindSafe(self.shared.serve(&mut stream, client.clone(), resolver));
        // The panic hook says where; one connection ends, the others never notice.
        let outcome = served.catch_unwind().await.unwrap_or(Outcome::Panicked(client));
        let last_words = outcome.last_words();
        if let Some(words) = &last_words {
            refusal::send(&mut stream, words).await;
        }
        let lasted = started.elapsed();
        self.metrics.count(&outcome, lasted);
        self.log.push(record::line(&outcome, Circumstances { id, accepted, lasted }));
        if last_words.is_some() {
            refusal::linger(stream).await;
        }
        self.metrics.open.dec();
    }
}

/// A connection, and when it came.
pub struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    accepted: SystemTime,
    started: Instant,
}

impl Arrival {
    /// Notes that it came now.
    pub fn now(stream: TcpStream, peer: SocketAddr) -> Self {
        Self { stream, peer, accepted: SystemTime::now(), started: Instant::now() }
    }
}
