//! What the threads of the process share, and the two things that happen to it: a connection, a reload.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::client::{Clients, Listener, Source};
use crate::config::Config;
use crate::lists::{Error as ListError, Loaded};
use crate::log::{self, Log};
use crate::metrics::Metrics;
use crate::notice::notice;
use crate::probe::{self, Probes};
use crate::reception::Reception;
use crate::record::Beginning;
use crate::refusal;
use crate::tunnel::{Outcome, Shared};
use crate::upstream::Resolver;
use crate::wire::Wire;

/// What the threads of the process share.
pub struct Service {
    /// How connections are received.
    pub reception: Reception,
    /// What connections share.
    pub shared: Shared,
    /// The counters.
    pub metrics: Metrics,
    /// The hosts that are tried in the background.
    pub probes: Probes,
    /// Set when the process has been told to stop: it is no longer ready, but may still serve.
    pub stopping: CancellationToken,
    /// Set when no new connection is accepted any more.
    pub closing: CancellationToken,
    /// Why the files could not be loaded again, while that is so.
    pub reload_error: ArcSwapOption<String>,
    connections: AtomicU64,
    /// One for each connection that may be open.
    pub slots: Arc<Semaphore>,
}

/// Why there is nothing to share.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no access log.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// Nothing can be probed.
    #[error(transparent)]
    Probe(#[from] probe::Error),
}

impl Service {
    /// Makes it, and opens the access log.
    pub fn start(config: &Config, loaded: &Loaded) -> Result<Arc<Self>, Error> {
        let metrics = Metrics::default();
        let policy = loaded.policy(1);
        let probes = Probes::new(&config.probe, &config.groups, &policy)?;
        metrics.describe(&policy);
        Ok(Arc::new(Self {
            reception: Reception {
                balancers: config.balancers.clone(),
                time: config.limits.head.time,
            },
            shared: Shared {
                clients: Clients::new(config.groups.clone()),
                policy: ArcSwap::from_pointee(policy),
                generation: watch::Sender::new(1),
                cut: CancellationToken::new(),
                limits: config.limits,
                meters: metrics.meters.clone(),
                log: Log::open(&config.log, metrics.log_lost.clone())?,
            },
            metrics,
            probes,
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
            reload_error: ArcSwapOption::empty(),
            connections: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(config.connections.get().min(Semaphore::MAX_PERMITS))),
        }))
    }

    /// Enforces what was loaded, or keeps what is in force and says so.
    pub fn reload(&self, loaded: Result<Loaded, ListError>) {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                self.metrics.reload_failures.inc();
                let error = crate::chain(&error);
                notice(format_args!("the old list stays in force: {error}"));
                self.reload_error.store(Some(Arc::new(error)));
                return;
            }
        };
        self.reload_error.store(None);
        let current = self.shared.policy.load();
        let generation = current.generation();
        let hashes = loaded.lists.iter().map(|list| list.allowlist.hash());
        if hashes.eq(current.lists().iter().map(|list| &*list.id().hash)) {
            notice(format_args!("read again, and nothing has changed: generation {generation}"));
            return;
        }
        let policy = loaded.policy(generation + 1);
        self.metrics.describe(&policy);
        self.metrics.reloads.inc();
        self.shared.policy.store(Arc::new(policy));
        // Live tunnels ask the new list now.
        self.shared.generation.send_replace(generation + 1);
        loaded.announce(generation + 1);
    }

    /// Serves one connection and records it, once.
    pub async fn connection(&self, arrival: Arrival, resolver: &Resolver) {
        let Arrival { stream, source, accepted, started } = arrival;
        let id = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let beginning = Beginning { id, accepted, started };
        self.metrics.open.inc();
        // Answers are small and complete; neither side should wait for more.
        let _ = stream.set_nodelay(true);
        let panicked = Outcome::Panicked(source.clone());
        let (outcome, wire) = match guard(self.reception.receive(stream, source)).await {
            Ok(Ok((mut wire, source))) => {
                let panicked = Outcome::Panicked(source.clone());
                let served = guard(self.serve(&mut wire, source, beginning, resolver)).await;
                (served.unwrap_or(panicked), Some(wire))
            }
            Ok(Err(unreceived)) => (Outcome::Unreceived(unreceived), None),
            Err(Panicked) => (panicked, None),
        };
        self.conclude(outcome, wire, beginning).await;
        self.metrics.open.dec();
    }

    async fn serve(
        &self,
        wire: &mut Wire,
        source: Source,
        beginning: Beginning,
        resolver: &Resolver,
    ) -> Outcome {
        match source.listener {
            Listener::Plain | Listener::Tls | Listener::H2 => {
                self.shared.serve(wire, source, beginning, resolver).await
            }
            Listener::Transparent => {
                self.shared.serve_transparent(wire, source, beginning, resolver).await
            }
        }
    }

    /// Tells the client, the counters and the log what became of it.
    async fn conclude(&self, outcome: Outcome, wire: Option<Wire>, beginning: Beginning) {
        let farewell = wire.zip(outcome.last_words());
        let farewell = match farewell {
            Some((mut wire, words)) => {
                refusal::send(&mut wire, &words).await;
                Some(wire)
            }
            None => None,
        };
        let lasted = beginning.started.elapsed();
        self.metrics.count(&outcome, lasted);
        self.shared.log.ended(&outcome, beginning, lasted);
        if let Some(wire) = farewell {
            refusal::linger(wire).await;
        }
    }
}

/// Something panicked; the panic hook has said where.
#[derive(Debug, PartialEq, Eq)]
struct Panicked;

/// Ends one connection where something in it panics; the others never notice.
async fn guard<T>(body: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(body).catch_unwind().await.map_err(|_| Panicked)
}

/// A connection, and when it came.
pub struct Arrival {
    stream: TcpStream,
    source: Source,
    accepted: SystemTime,
    started: Instant,
}

impl Arrival {
    /// Notes that it came now.
    pub fn now(stream: TcpStream, source: Source) -> Self {
        Self { stream, source, accepted: SystemTime::now(), started: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic can't be provoked from outside, as far as we know; so this one is our own.
    #[tokio::test]
    async fn a_panic_ends_one_connection_and_is_counted() {
        let source = Source::new("10.0.0.4:50000".parse().expect("an address"), Listener::Plain);
        let panicking = async {
            tokio::task::yield_now().await;
            panic!("as this test wants it");
        };
        let panicked = Outcome::Panicked(source.clone());
        let outcome = guard::<Outcome>(panicking).await.unwrap_or(panicked);
        assert!(matches!(&outcome, Outcome::Panicked(from) if *from == source));
        assert!(outcome.last_words().is_none());

        let metrics = Metrics::default();
        metrics.count(&outcome, std::time::Duration::from_millis(1));
        let page = String::from_utf8(metrics.encode()).expect("text");
        assert!(page.contains("\nringfence_panics_total 1\n"), "{page}");
        assert_eq!(guard(async { 7 }).await, Ok(7));
    }
}
