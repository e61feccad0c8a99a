//! Runs the proxy: listeners, one worker per core, signals, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use hickory_resolver::net::NetError;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::client::{Clients, Listener, Source};
use crate::config::Config;
use crate::dns::Resolver;
use crate::ledger::Ledger;
use crate::lists::{self, Catalog, Changes, Contents, Loaded};
use crate::notice::{self, notice};
use crate::reception::Reception;
use crate::service::{Arrival, Service};
use crate::upstream::Outbound;
use crate::{admin, credentials, expiry, tls};

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener.
    #[error("can't listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The files of the TLS listener.
    #[error("can't set up TLS")]
    Tls(#[source] tls::Error),
    /// The file of the users.
    #[error("can't set up proxy credentials")]
    Users(#[source] credentials::Error),
    /// The resolver's settings.
    #[error("can't set up DNS")]
    Resolver(#[source] NetError),
    /// Threads, signals, the event loop.
    #[error("can't start")]
    Start(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT, and then until the tunnels have ended or the time for that is over.
pub fn run(config: &Config, loaded: &Loaded, ledger: Ledger) -> Result<(), Error> {
    raise_descriptor_limit();
    let runtime = runtime()?;
    // Everything that can fail, and every signal, comes before the first word that we serve.
    let signals = {
        let _inside = runtime.enter();
        Signals::install()?
    };
    let reception = Reception::new(config).map_err(Error::Tls)?;
    let clients = Clients::load(config).map_err(Error::Users)?;
    let mut listeners = Listeners::bind(config)?;
    let service = Service::start(config, loaded, reception, clients);
    let (alive, gone) = mpsc::channel(1);
    let own: Arc<[SocketAddr]> = listeners.addresses()?.into();
    for sockets in std::mem::take(&mut listeners.workers) {
        let limits = config.limits.upstream;
        let outbound = Outbound {
            resolver: Resolver::new(&config.resolvers, limits.resolve).map_err(Error::Resolver)?,
            limits,
            rules: config.rules,
            listeners: Arc::clone(&own),
            parent: config.parent.clone(),
        };
        let worker = Worker { service: Arc::clone(&service), outbound, _alive: alive.clone() };
        worker.start(sockets)?;
    }
    drop(alive);
    notice::queue(service.metrics.notices_lost.clone());
    loaded.announce(1);
    listeners.announce(loaded)?;
    if let Some(parent) = &config.parent {
        notice(format_args!("through the parent proxy at {}", parent.address));
    }
    let (catalog, seen) = (config.catalog.clone(), loaded.contents.clone());
    let control = Control {
        service: Arc::clone(&service),
        signals,
        catalog,
        seen,
        ledger,
        drain: config.drain,
        identities: config.identity_files(),
        users: config.users.clone(),
    };
    LocalSet::new().block_on(&runtime, control.run(listeners.admin, gone))?;
    service.log.flush(FAREWELL);
    notice::flush(FAREWELL);
    // A file on a stuck mount may still be being read; nobody waits for it.
    runtime.shutdown_background();
    Ok(())
}

/// Watches over the workers: signals, reloads, the admin port.
struct Control {
    service: Arc<Service>,
    signals: Signals,
    catalog: Catalog,
    /// The files of certificates and users.
    identities: Vec<PathBuf>,
    users: Option<PathBuf>,
    /// What the list in force was loaded from.
    seen: Contents,
    /// What lists have been in force.
    ledger: Ledger,
    drain: Duration,
}

impl Control {
    async fn run(
        self,
        admin: StdListener,
        mut gone: mpsc::Receiver<Infallible>,
    ) -> Result<(), Error> {
        let Self { service, mut signals, catalog, identities, users, seen, ledger, drain } = self;
        let admin = TcpListener::from_std(admin).map_err(Error::Start)?;
        spawn_local(admin::serve(admin, Arc::clone(&service)));
        let reloads = reload_on_change(catalog, seen, ledger, Arc::clone(&service), signals.hangup);
        spawn_local(reloads);
        spawn_local(expiry::run(Arc::clone(&service)));
        if !identities.is_empty() {
            spawn_local(reload_identities(
                Arc::clone(&service),
                identities,
                users,
                signals.hangup_too,
            ));
        }

        signals.stop.asked().await;
        service.closing.cancel();
        notice(format_args!("draining {} connections", service.metrics.open.get()));
        tokio::select! {
            _ = gone.recv() => return Ok(()),
            () = sleep(drain) => {}
            () = signals.stop.asked() => {}
        }
        service.shared.cut.cancel();
        notice(format_args!("cutting {} connections", service.metrics.open.get()));
        // Each of them has its last words to say, and a line to log.
        let _ = timeout(FAREWELL, gone.recv()).await;
        Ok(())
    }
}

/// Reads the files again when they change, or when asked to.
async fn reload_on_change(
    catalog: Catalog,
    seen: Contents,
    mut ledger: Ledger,
    service: Arc<Service>,
    mut hangup: Signal,
) {
    let mut seen = Some(Ok(seen));
    loop {
        // A file on a stuck mount holds this up, but neither signals nor the admin port.
        let mut look = spawn_blocking({
            let catalog = catalog.clone();
            // The watch comes first: a change while we read is seen in the next round.
            move || (Changes::watch(catalog.paths()), catalog.read_settled())
        });
        let in_time = timeout(READ_LIMIT, &mut look).await;
        let looked = if let Ok(looked) = in_time {
            looked
        } else {
            service.reload(Err(lists::Error::Stuck));
            look.await
        };
        let Ok((mut changes, read)) = looked else {
            // The panic hook has said where. The next look may fare better, if it isn't at once.
            sleep(READ_LIMIT).await;
            continue;
        };
        // A folder may hold other files, too; what we have seen before needs no second look.
        let now = read.as_ref().map(Clone::clone).map_err(ToString::to_string);
        if seen.replace(now.clone()) != Some(now) {
            let loaded = read
                .and_then(Contents::load)
                .and_then(|loaded| loaded.judged(&ledger, SystemTime::now()))
                .and_then(|loaded| loaded.remembered(&mut ledger));
            service.reload(loaded);
        }
        tokio::select! {
            () = changes.changed() => {}
            _ = hangup.recv() => seen = None,
        }
    }
}

/// Reads certificates and users again when their files change, or when asked to.
async fn reload_identities(
    service: Arc<Service>,
    files: Vec<PathBuf>,
    users: Option<PathBuf>,
    mut hangup: Signal,
) {
    loop {
        // The watch comes first: a change while we read is seen in the next round.
        let look = spawn_blocking({
            let (service, files, users) = (Arc::clone(&service), files.clone(), users.clone());
            move || {
                let changes = Changes::watch(&files);
                service.reload_identities(users.as_deref());
                changes
            }
        });
        let Ok(mut changes) = look.await else {
            // The panic hook has said where. The next look may fare better, if it isn't at once.
            sleep(READ_LIMIT).await;
            continue;
        };
        tokio::select! {
            () = changes.changed() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// One thread's share of the work: its own listeners, way out and tunnels.
struct Worker {
    service: Arc<Service>,
    outbound: Outbound,
    /// Closes with the last worker.
    _alive: mpsc::Sender<Infallible>,
}

impl Worker {
    fn start(self, sockets: Vec<(Listener, StdListener)>) -> Result<(), Error> {
        let runtime = runtime()?;
        let serve = move || LocalSet::new().block_on(&runtime, self.serve(sockets));
        std::thread::Builder::new().name("worker".into()).spawn(serve).map_err(Error::Start)?;
        Ok(())
    }

    /// Accepts until closing, then waits for its connections to end.
    async fn serve(self, sockets: Vec<(Listener, StdListener)>) {
        let Self { service, outbound, _alive } = self;
        let outbound = Rc::new(outbound);
        let connections = TaskTracker::new();
        let accepting = sockets.into_iter().map(|(kind, socket)| {
            let socket = TcpListener::from_std(socket).expect("a bound, non-blocking listener");
            accept(kind, socket, &service, &outbound, &connections)
        });
        join_all(accepting).await;
        connections.close();
        connections.wait().await;
    }
}

/// Accepts on one socket until closing.
async fn accept(
    kind: Listener,
    socket: TcpListener,
    service: &Arc<Service>,
    outbound: &Rc<Outbound>,
    connections: &TaskTracker,
) {
    let closing = &service.closing;
    while let Some(accepted) = closing.run_until_cancelled(socket.accept()).await {
        let Ok((stream, peer)) = accepted else {
            // The peer has gone, or descriptors have run out; those come back when tunnels end.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (source, beginning) = (Source::new(peer, kind), service.begin());
        let arrival = Arrival { stream, source, beginning };
        // Until there is a free slot nobody else is accepted: the kernel's queue holds who comes.
        let slot = Arc::clone(&service.slots).acquire_owned();
        let slot = closing.run_until_cancelled(slot).await;
        let (service, outbound) = (Arc::clone(service), Rc::clone(outbound));
        connections.spawn_local(async move {
            service.connection(arrival, &outbound).await;
            drop(slot);
        });
    }
}

/// The signals we act on.
struct Signals {
    stop: Stop,
    /// SIGHUP.
    hangup: Signal,
    /// The same, for who reloads something else.
    hangup_too: Signal,
}

/// SIGTERM or SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> Result<Self, Error> {
        let install = |kind| signal(kind).map_err(Error::Start);
        let (terminate, interrupt) =
            (install(SignalKind::terminate())?, install(SignalKind::interrupt())?);
        let (hangup, hangup_too) = (install(SignalKind::hangup())?, install(SignalKind::hangup())?);
        Ok(Self { stop: Stop { terminate, interrupt }, hangup, hangup_too })
    }
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// All listeners of the process.
struct Listeners {
    /// Where clients connect, in the order of the configuration.
    clients: Vec<(Listener, SocketAddr)>,
    /// For each worker, one socket on each of those addresses.
    workers: Vec<Vec<(Listener, StdListener)>>,
    admin: StdListener,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, Error> {
        let mut clients = Vec::new();
        let mut workers: Vec<_> = (0..config.workers.get()).map(|_| Vec::new()).collect();
        for (kind, address) in &config.listeners {
            // With SO_REUSEPORT a second proxy could take half of our connections; so first see that we
            // are alone.
            let mut address = bind_alone(*address)?.local_addr().map_err(Error::Start)?;
            for worker in &mut workers {
                let listener =
                    bind_shared(address).map_err(|source| Error::Listen { address, source })?;
                address = listener.local_addr().map_err(Error::Start)?;
                worker.push((*kind, listener));
            }
            clients.push((*kind, address));
        }
        Ok(Self { clients, workers, admin: bind_alone(config.admin)? })
    }

    /// Says where clients can connect, and what to try.
    fn announce(&self, loaded: &Loaded) -> Result<(), Error> {
        for (kind, address) in &self.clients {
            match kind {
                Listener::Plain => notice(format_args!("listening on {address}")),
                Listener::Tls | Listener::H2 | Listener::Transparent => {
                    notice(format_args!("listening on {address} ({})", kind.name()));
                }
            }
        }
        notice(format_args!("admin on {}", self.admin.local_addr().map_err(Error::Start)?));
        if let (Some((Listener::Plain, address)), Some(url)) =
            (self.clients.first(), loaded.sample_url())
        {
            notice(format_args!("try curl -x http://{address} {url}"));
        }
        Ok(())
    }

    /// Where this process can be connected to.
    fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let admin = self.admin.local_addr().map_err(Error::Start)?;
        Ok(self.clients.iter().map(|(_, address)| *address).chain([admin]).collect())
    }
}

fn bind_alone(address: SocketAddr) -> Result<StdListener, Error> {
    let bind = || {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| Error::Listen { address, source })
}

fn bind_shared(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread().enable_all().build().map_err(Error::Start)
}

/// A tunnel takes two descriptors, and the usual soft limit is 1024.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, the limit stays, and accepting pauses when it is reached.
    let _ = setrlimit(Resource::Nofile, limit);
}

const BACKLOG: i32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const FAREWELL: Duration = Duration::from_secs(5);
const READ_LIMIT: Duration = Duration::from_secs(10);
