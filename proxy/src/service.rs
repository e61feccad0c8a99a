//! What the threads of the process share, and the two things that happen to it: a connection, a reload.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;

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
use crate::credentials::Users;
use crate::dialled::Dialled;
use crate::lines::Lines;
use crate::lists::{Error as ListError, Loaded};
use crate::metrics::Metrics;
use crate::notice::notice;
use crate::policy::Rules;
use crate::reception::Reception;
use crate::record::{self, Circumstances};
use crate::tunnel::{Outcome, Shared};
use crate::upstream::Outbound;
use crate::wire::Wire;
use crate::{h2, refusal};

/// What the threads of the process share.
pub struct Service {
    /// How connections are received.
    pub reception: Reception,
    /// What connections share.
    pub shared: Shared,
    /// The counters.
    pub metrics: Metrics,
    /// Set when no new connection is accepted any more.
    pub closing: CancellationToken,
    /// Why the files could not be loaded again, while that is so.
    pub reload_error: ArcSwapOption<String>,
    /// The access log.
    pub log: Lines,
    /// What the configuration says about addresses.
    rules: Rules,
    connections: AtomicU64,
    /// One for each connection that may be open.
    pub slots: Arc<Semaphore>,
}

impl Service {
    /// Makes it, and starts the access log.
    pub fn start(
        config: &Config,
        loaded: &Loaded,
        reception: Reception,
        clients: Clients,
    ) -> Arc<Self> {
        let metrics = Metrics::default();
        let policy = loaded.policy(1, config.rules);
        metrics.describe(&policy);
        Arc::new(Self {
            reception,
            shared: Shared {
                clients,
                policy: ArcSwap::from_pointee(policy),
                generation: watch::Sender::new(1),
                cut: CancellationToken::new(),
                limits: config.limits,
                meters: metrics.meters.clone(),
                dialled: Dialled::default(),
            },
            log: Lines::to(io::stdout(), metrics.log_lost.clone()),
            metrics,
            closing: CancellationToken::new(),
            reload_error: ArcSwapOption::empty(),
            rules: config.rules,
            connections: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(config.connections.get().min(Semaphore::MAX_PERMITS))),
        })
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
        let policy = loaded.policy(generation + 1, self.rules);
        self.metrics.describe(&policy);
        self.metrics.reloads.inc();
        self.shared.policy.store(Arc::new(policy));
        // Live tunnels ask the new list now.
        self.shared.generation.send_replace(generation + 1);
        loaded.announce(generation + 1);
    }

    /// Reads certificates and users again, for who comes from now on. This blocks.
    pub fn reload_identities(&self, users: Option<&Path>) {
        if let Some(tls) = &self.reception.tls {
            match tls.reload() {
                Ok(warnings) => warnings.into_iter().for_each(notice),
                Err(error) => self.keep("certificates", &error),
            }
        }
        if let (Some(path), Some(verifier)) = (users, self.shared.clients.verifier()) {
            match Users::load(path) {
                Ok(users) => verifier.replace(users),
                Err(error) => self.keep("users", &error),
            }
        }
    }

    fn keep(&self, what: &str, error: &dyn std::error::Error) {
        self.metrics.reload_failures.inc();
        notice(format_args!("the old {what} stay in force: {}", crate::chain(error)));
    }

    /// Serves one connection and records it, once; one that speaks HTTP/2, once for each of its streams.
    pub async fn connection(self: &Arc<Self>, arrival: Arrival, outbound: &Rc<Outbound>) {
        let Arrival { stream, source, beginning } = arrival;
        self.metrics.open.inc();
        // Answers are small and complete; neither side should wait for more.
        let _ = stream.set_nodelay(true);
        let (outcome, wire) = match self.reception.receive(stream, source).await {
            Ok((wire, source)) => self.serve(wire, source, outbound).await,
            Err(unreceived) => (Some(Outcome::Unreceived(unreceived)), None),
        };
        if let Some(outcome) = outcome {
            self.conclude(outcome, wire, beginning).await;
        }
        self.metrics.open.dec();
    }

    async fn serve(
        self: &Arc<Self>,
        mut wire: Wire,
        source: Source,
        outbound: &Rc<Outbound>,
    ) -> (Option<Outcome>, Option<Wire>) {
        let (from, shared) = (source.clone(), &self.shared);
        let served = async {
            match source.listener {
                Listener::Plain | Listener::Tls => {
                    (Some(shared.serve(&mut wire, source, outbound).await), Some(wire))
                }
                Listener::H2 => (h2::serve(wire, source, self, outbound).await, None),
                Listener::Transparent => {
                    (Some(shared.serve_transparent(&mut wire, source, outbound).await), Some(wire))
                }
            }
        };
        self.guard(&from, served).await
    }

    /// Runs what serves a connection from `source`. If it panics, that connection ends, and the others never
    /// notice; the panic hook says where it was.
    pub async fn guard<O: From<Outcome>>(
        &self,
        source: &Source,
        served: impl Future<Output = (O, Option<Wire>)>,
    ) -> (O, Option<Wire>) {
        let panicked = |_| (Outcome::Panicked(source.clone()).into(), None);
        AssertUnwindSafe(served).catch_unwind().await.unwrap_or_else(panicked)
    }

    /// Numbers what begins now.
    pub fn begin(&self) -> Beginning {
        let id = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Beginning { id, accepted: SystemTime::now(), started: Instant::now() }
    }

    /// Tells the client, the counters and the log what became of it.
    pub async fn conclude(&self, outcome: Outcome, wire: Option<Wire>, beginning: Beginning) {
        let Beginning { id, accepted, started } = beginning;
        let farewell = wire.zip(outcome.last_words());
        let farewell = match farewell {
            Some((mut wire, words)) => {
                refusal::send(&mut wire, &words).await;
                Some(wire)
            }
            None => None,
        };
        let lasted = started.elapsed();
        self.metrics.count(&outcome, lasted);
        self.log.push(record::line(&outcome, Circumstances { id, accepted, lasted }));
        if let Some(wire) = farewell {
            refusal::linger(wire).await;
        }
    }
}

/// When a connection came, and its number.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    id: u64,
    accepted: SystemTime,
    started: Instant,
}

/// A connection, and when it came.
pub struct Arrival {
    /// As it was accepted.
    pub stream: TcpStream,
    /// Where it comes from.
    pub source: Source,
    /// When it came.
    pub beginning: Beginning,
}
