//! What the threads of the process share, and the two things that happen to it: a connection, a reload.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admission::budget::Budgets;
use crate::admission::{Admission, Place, Refused, Room, Slot};
use crate::client::identities::Error as IdentityError;
use crate::client::{Clients, Listener, Source};
use crate::config::Config;
use crate::lists::difference::Difference;
use crate::lists::vintage::{Rule, Standing};
use crate::lists::{Error as ListError, Loaded, LoadedList};
use crate::log::record::Beginning;
use crate::log::{self, Log};
use crate::metrics::Metrics;
use crate::notice::notice;
use crate::policy::{List, Rules};
use crate::probe::{self, Probes};
use crate::reason::Reason;
use crate::reception::dialled::Dialled;
use crate::reception::{Reception, Unreceived};
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
    /// The hosts that are tried in the background.
    pub probes: Probes,
    /// Set when the process has been told to stop: it is no longer ready, but may still serve.
    pub stopping: CancellationToken,
    /// Set when no new connection is accepted any more.
    pub closing: CancellationToken,
    /// Why the lists could not be loaded again, while that is so.
    reload_error: ArcSwapOption<String>,
    /// Why certificates or users could not be, while that is so.
    identity_error: ArcSwapOption<String>,
    /// How old the list in force is, for each group.
    pub standings: watch::Sender<Vec<Standing>>,
    /// What happens to a list that is past its end.
    expired: Rule,
    /// What the configuration says about addresses.
    rules: Rules,
    connections: AtomicU64,
    /// Who may come in.
    pub admission: Arc<Admission>,
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
    pub fn start(
        config: &Config,
        loaded: &Loaded,
        reception: Reception,
        clients: Clients,
        admission: Arc<Admission>,
    ) -> Result<Arc<Self>, Error> {
        let metrics = Metrics::default();
        let policy = loaded.policy(1, config.rules);
        metrics.describe(&policy);
        metrics.limit(admission.connections());
        metrics.describe_end(loaded.end());
        let probes = Probes::new(&config.probe, &config.groups, &policy)?;
        Ok(Arc::new(Self {
            reception,
            shared: Shared {
                clients,
                policy: ArcSwap::from_pointee(policy),
                generation: watch::Sender::new(1),
                cut: CancellationToken::new(),
                limits: config.limits,
                budgets: Budgets::new(config.budgets.clone()),
                meters: metrics.meters.clone(),
                dialled: Dialled::default(),
                log: Log::open(&config.log, metrics.log_lost.clone())?,
            },
            metrics,
            probes,
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
            reload_error: ArcSwapOption::empty(),
            identity_error: ArcSwapOption::empty(),
            standings: watch::Sender::new(loaded.standings()),
            expired: config.vintage.expired,
            rules: config.rules,
            connections: AtomicU64::new(0),
            admission,
        }))
    }

    /// Enforces what was loaded, or keeps what is in force and says so.
    pub fn reload(&self, loaded: Result<Loaded, ListError>) {
        match loaded {
            Err(error) => self.keep(&error),
            Ok(loaded) => {
                self.reload_error.store(None);
                self.metrics.describe_end(loaded.end());
                if self.enforces(&loaded) { self.renew(&loaded) } else { self.replace(&loaded) }
            }
        }
    }

    /// Whether these very lists are in force now.
    fn enforces(&self, loaded: &Loaded) -> bool {
        let stays = |(list, old): (&LoadedList, &List)| {
            *list.allowlist.hash() == *old.id().hash && !old.is_expired()
        };
        loaded.lists.iter().zip(self.shared.policy.load().lists()).all(stays)
    }

    /// Keeps the lists that are in force, because there are no others.
    fn keep(&self, error: &ListError) {
        self.metrics.reload_failures.inc();
        let error = crate::chain(error);
        let current = self.shared.policy.load();
        let mut expired = current.lists().iter().map(List::is_expired);
        let stays = match (expired.clone().all(|is| is), expired.any(|is| is)) {
            (true, _) => "past its end",
            (false, true) => "in force for those for whom it isn't past its end",
            (false, false) => "in force",
        };
        notice(format_args!("the old list stays {stays}: {error}"));
        self.reload_error.store(Some(Arc::new(error)));
    }

    /// Takes note of the age of the lists that are in force, which have been read again.
    fn renew(&self, loaded: &Loaded) {
        let standings = loaded.standings();
        let renewed = self.standings.send_replace(standings.clone()) != standings;
        let generation = self.shared.policy.load().generation();
        let what = if renewed { "only its age" } else { "nothing" };
        notice(format_args!("read again, and {what} has changed: generation {generation}"));
        if renewed {
            notice(loaded);
            loaded.tell_findings();
        }
    }

    /// Enforces other lists than those that were in force.
    fn replace(&self, loaded: &Loaded) {
        self.standings.send_replace(loaded.standings());
        let current = self.shared.policy.load();
        let generation = current.generation();
        let policy = loaded.policy(generation + 1, self.rules);
        self.metrics.describe(&policy);
        self.metrics.reloads.inc();
        let differences: Vec<Difference> = current
            .lists()
            .iter()
            .zip(policy.lists())
            .map(|(old, new)| Difference::between(old.entries(), new.entries()))
            .collect();
        self.shared.policy.store(Arc::new(policy));
        // Live tunnels ask the new list now.
        self.shared.generation.send_replace(generation + 1);
        loaded.announce(generation + 1);
        for (list, difference) in loaded.lists.iter().zip(differences) {
            let whose = list.group.whose();
            notice(format_args!("the list{whose} since generation {generation}: {difference}"));
        }
    }

    /// Takes note of what came of reading certificates and users again.
    pub fn identities(&self, loaded: Result<(), IdentityError>) {
        let error = loaded.err().map(|error| Arc::new(error.to_string()));
        if let Some(error) = &error {
            self.metrics.reload_failures.inc();
            notice(error);
        }
        self.identity_error.store(error);
    }

    /// Looks which groups' lists are past their end, and says so once. Unless that is tolerated, nothing is
    /// allowed to those groups from then on, until there are later lists.
    pub fn expire(&self, now: SystemTime) {
        let mut groups = Vec::new();
        self.standings.send_if_modified(|standings| {
            for (group, standing) in standings.iter_mut().enumerate() {
                let passed = standing.pass(now);
                if !passed.is_empty() {
                    groups.push(group);
                }
                passed.into_iter().for_each(notice);
            }
            !groups.is_empty()
        });
        if groups.is_empty() || self.expired == Rule::Warn {
            return;
        }
        let current = self.shared.policy.load();
        self.shared.policy.store(Arc::new(current.expire(&groups)));
        // Live tunnels ask again now.
        self.shared.generation.send_replace(current.generation());
        for (_, name) in
            self.shared.clients.names().enumerate().filter(|(at, _)| groups.contains(at))
        {
            let whose = name.whose();
            notice(format_args!(
                "the list{whose} has ended, so everything is denied until there is a later one"
            ));
        }
    }

    /// What an operator should look at while everything goes on.
    pub fn warning(&self) -> Option<String> {
        let errors = [&self.reload_error, &self.identity_error];
        let errors = errors.into_iter().filter_map(|error| error.load().as_deref().cloned());
        let policy = self.shared.policy.load();
        let closed = self.shared.clients.names().zip(policy.lists()).filter_map(|(name, list)| {
            let whose = name.whose();
            Some(format!("the list{whose} allows nothing: {}", list.closed()?.code()))
        });
        let standings = self.standings.borrow();
        let problems = standings.iter().flat_map(|standing| &standing.problems);
        let problems = problems.map(ToString::to_string);
        let warnings: Vec<String> = errors.chain(closed).chain(problems).collect();
        (!warnings.is_empty()).then(|| warnings.join("\n"))
    }

    /// Serves one connection, if there is a slot for it, and records it, once; one that speaks HTTP/2, once
    /// for each of its streams.
    pub async fn connection(
        self: &Arc<Self>,
        arrival: Arrival,
        slot: Result<Slot, Refused>,
        outbound: &Rc<Outbound>,
    ) {
        let Arrival { stream, source, beginning } = arrival;
        self.metrics.open.inc();
        // Answers are small and complete; neither side should wait for more.
        let _ = stream.set_nodelay(true);
        let from = source.clone();
        let came = async {
            match self.enter(stream, source, slot).await {
                Ok((wire, source, place)) => {
                    let (outcome, wire) = self.serve(wire, source, beginning, outbound).await;
                    (outcome, wire.map(|wire| (wire, Room::Place(place))))
                }
                Err((outcome, wire)) => {
                    (Some(outcome), wire.zip(self.admission.hearing().map(Room::Hearing)))
                }
            }
        };
        let (outcome, told) = guard(&from, came).await;
        if let Some(outcome) = outcome {
            self.conclude(outcome, told, beginning).await;
        }
        self.metrics.open.dec();
    }

    /// Lets a connection in: there is room for it, its client may have one more, and it begins as it should.
    async fn enter(
        &self,
        mut stream: TcpStream,
        source: Source,
        slot: Result<Slot, Refused>,
    ) -> Result<(Wire, Source, Place), (Outcome, Option<Wire>)> {
        let slot = match slot {
            Ok(slot) => slot,
            Err(refused) => {
                return Err((Outcome::Unadmitted(source, refused), Some(Wire::Tcp(stream))));
            }
        };
        let from = source.clone();
        let recognised = self.reception.recognise(&mut stream, source);
        let source = self.until_cut(&from, recognised).await?;
        let place = match self.admission.admit(slot, source.address.ip()) {
            Ok(place) => place,
            Err(refused) => {
                return Err((Outcome::Unadmitted(source, refused), Some(Wire::Tcp(stream))));
            }
        };
        let from = source.clone();
        let received = self.reception.receive(stream, source);
        let (wire, source) = self.until_cut(&from, received).await?;
        Ok((wire, source, place))
    }

    /// Receives, but not any longer than the proxy lives.
    async fn until_cut<T>(
        &self,
        from: &Source,
        received: impl Future<Output = Result<T, Unreceived>>,
    ) -> Result<T, (Outcome, Option<Wire>)> {
        let received = tokio::select! {
            received = received => received,
            () = self.shared.cut.cancelled() => {
                let (source, reason) = (from.clone(), Reason::Draining);
                Err(Unreceived { source, reason, detail: String::new() })
            }
        };
        received.map_err(|unreceived| (Outcome::Unreceived(unreceived), None))
    }

    async fn serve(
        self: &Arc<Self>,
        mut wire: Wire,
        source: Source,
        beginning: Beginning,
        outbound: &Rc<Outbound>,
    ) -> (Option<Outcome>, Option<Wire>) {
        let shared = &self.shared;
        match source.listener {
            Listener::Plain | Listener::Tls => {
                (Some(shared.serve(&mut wire, source, beginning, outbound).await), Some(wire))
            }
            Listener::H2 => (h2::serve(wire, source, self, outbound).await, None),
            Listener::Transparent => {
                let served = shared.serve_transparent(&mut wire, source, beginning, outbound);
                (Some(served.await), Some(wire))
            }
        }
    }

    /// Numbers what begins now.
    pub fn begin(&self) -> Beginning {
        let id = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Beginning { id, accepted: SystemTime::now(), started: Instant::now() }
    }

    /// Tells the counters, the log and the client, if that can be `told`, what became of it.
    pub async fn conclude(
        &self,
        outcome: Outcome,
        told: Option<(Wire, Room)>,
        beginning: Beginning,
    ) {
        let farewell = match told.zip(outcome.last_words()) {
            Some(((mut wire, room), words)) => {
                refusal::send(&mut wire, &words).await;
                Some((wire, room))
            }
            None => None,
        };
        let lasted = beginning.started.elapsed();
        self.metrics.count(&outcome, lasted);
        self.shared.log.ended(&outcome, beginning, lasted);
        if let Some((wire, room)) = farewell {
            let _room = self.admission.make_way(room);
            refusal::linger(wire).await;
        }
    }
}

/// Runs what serves a connection from `source`. If it panics, that connection ends, and the others never
/// notice; the panic hook says where it was.
pub async fn guard<O: From<Outcome>, W>(
    source: &Source,
    served: impl Future<Output = (O, Option<W>)>,
) -> (O, Option<W>) {
    let panicked = |_| (Outcome::Panicked(source.clone()).into(), None);
    AssertUnwindSafe(served).catch_unwind().await.unwrap_or_else(panicked)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A panic can't be provoked from outside, as far as we know; so this one is our own.
    #[tokio::test]
    async fn a_panic_ends_one_connection_and_is_counted() {
        let source = Source::new("10.0.0.4:50000".parse().expect("an address"), Listener::Plain);
        let panicking = async {
            tokio::task::yield_now().await;
            panic!("as this test wants it");
        };
        let (outcome, wire): (Outcome, Option<Wire>) = guard(&source, panicking).await;
        assert!(matches!(&outcome, Outcome::Panicked(from) if *from == source));
        assert!(wire.is_none() && outcome.last_words().is_none());

        let metrics = Metrics::default();
        metrics.count(&outcome, Duration::from_millis(1));
        let page = String::from_utf8(metrics.encode()).expect("text");
        assert!(page.contains("\nringfence_panics_total 1\n"), "{page}");
    }
}
