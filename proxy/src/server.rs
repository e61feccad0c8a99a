//! Runs the proxy: starts everything, and accepts on one worker per core. What goes on beside that is in files
//! of its own: `reload`, `expiry`, `probe`, `admin`, and the end in `drain`.

pub mod drain;
pub mod signals;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hickory_resolver::net::NetError;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::admission::descriptors::{self, Reserve};
use crate::admission::{Admission, Limits, Queue, Refused};
use crate::client::identities::Identities;
use crate::client::{Clients, Listener, Source};
use crate::config::Config;
use crate::lists::ledger::Ledger;
use crate::lists::{Lists, Loaded};
use crate::notice::{self, notice};
use crate::policy::Rules;
use crate::reason::Reason;
use crate::reception::Reception;
use crate::server::drain::FAREWELL;
use crate::server::signals::Signals;
use crate::service::{self, Arrival, Service};
use crate::upstream::dns::Resolver;
use crate::upstream::parent::Parent;
use crate::upstream::{self, Outbound};
use crate::{admin, client::credentials, lists::expiry, probe, reception::tls, reload};

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
    /// What its threads share.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The resolver's settings.
    #[error("can't set up DNS")]
    Resolver(#[source] NetError),
    /// Threads, signals, the event loop.
    #[error("can't start")]
    Start(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT, and then until the tunnels have ended or the time for that is over.
pub fn run(config: &Config, loaded: &Loaded, ledger: Ledger) -> Result<(), Error> {
    descriptors::raise_limit();
    let runtime = runtime()?;
    // Everything that can fail, and every signal, comes before the first word that we serve.
    let signals = {
        let _inside = runtime.enter();
        Signals::install().map_err(Error::Start)?
    };
    let identities = Identities::look(config);
    let reception = Reception::new(config).map_err(Error::Tls)?;
    let clients = Clients::load(config).map_err(Error::Users)?;
    let mut listeners = Listeners::bind(config)?;
    let admission = admission(config);
    let service = Service::start(config, loaded, reception, clients, Arc::clone(&admission))?;
    let (alive, gone) = mpsc::channel(1);
    let ways = Ways::new(config, listeners.addresses()?.into());
    for sockets in std::mem::take(&mut listeners.workers) {
        let outbound = ways.out().map_err(Error::Resolver)?;
        let worker = Worker { service: Arc::clone(&service), outbound, _alive: alive.clone() };
        worker.start(sockets)?;
    }
    drop(alive);
    notice::queue(service.metrics.notices_lost.clone()).map_err(Error::Start)?;
    loaded.announce(1);
    config.remark().into_iter().for_each(notice);
    announce_fewer(config.admission.connections, admission.connections());
    listeners.announce(loaded)?;
    if let Some(parent) = &config.parent {
        notice(format_args!("through the parent proxy at {}", parent.address));
    }
    let service_too = Arc::clone(&service);
    let control =
        Control { service: service_too, signals, ways, config, loaded, identities, ledger };
    LocalSet::new().block_on(&runtime, control.run(listeners.admin, gone))?;
    if !service.shared.log.flush(FAREWELL) {
        notice("the end of the access log could not be written");
    }
    notice::flush(FAREWELL);
    // A file on a stuck mount may still be being read; nobody waits for it.
    runtime.shutdown_background();
    Ok(())
}

/// Lets in as many connections as the configuration says, or fewer if descriptors don't suffice.
fn admission(config: &Config) -> Arc<Admission> {
    let connections = descriptors::affordable(config.admission.connections, config.workers);
    Admission::new(Limits { connections, ..config.admission })
}

fn announce_fewer(wanted: NonZeroUsize, affordable: NonZeroUsize) {
    if affordable < wanted {
        let limit = descriptors::limit().unwrap_or(u64::MAX);
        notice(format_args!(
            "taking {affordable} connections at once, not {wanted}: each needs two descriptors, and the limit is \
             {limit}; raise it (ulimit -n, LimitNOFILE=), or lower `limits.connections`"
        ));
    }
}

/// Makes ways out, which are all alike, but for their own caches.
struct Ways {
    resolvers: Vec<SocketAddr>,
    limits: upstream::Limits,
    rules: Rules,
    listeners: Arc<[SocketAddr]>,
    parent: Option<Arc<Parent>>,
}

impl Ways {
    fn new(config: &Config, listeners: Arc<[SocketAddr]>) -> Self {
        Self {
            resolvers: config.resolvers.clone(),
            limits: config.limits.upstream,
            rules: config.rules,
            listeners,
            parent: config.parent.clone(),
        }
    }

    fn out(&self) -> Result<Outbound, NetError> {
        Ok(Outbound {
            resolver: Resolver::new(&self.resolvers, self.limits.resolve)?,
            limits: self.limits,
            rules: self.rules,
            listeners: Arc::clone(&self.listeners),
            parent: self.parent.clone(),
        })
    }
}

/// Watches over the workers: signals, reloads, probes, the admin port.
struct Control<'a> {
    service: Arc<Service>,
    signals: Signals,
    ways: Ways,
    config: &'a Config,
    /// What is in force.
    loaded: &'a Loaded,
    /// Who is who.
    identities: Identities,
    /// What lists have been in force.
    ledger: Ledger,
}

impl Control<'_> {
    async fn run(self, admin: StdListener, gone: mpsc::Receiver<Infallible>) -> Result<(), Error> {
        let Self { service, signals, ways, config, loaded, identities, ledger } = self;
        let Signals { stop, hangup } = signals;
        let admin = TcpListener::from_std(admin).map_err(Error::Start)?;
        spawn_local(admin::serve(admin, Arc::clone(&service)));
        // The access log's file is begun anew, whatever else a hangup does.
        let log = service.shared.log.clone();
        let hangups = hangup.fan_out(move || log.reopen());
        let lists = Lists { catalog: config.catalog.clone(), ledger };
        let service_too = Arc::clone(&service);
        let tell = move |read| service_too.reload(read);
        spawn_local(reload::run(lists, loaded.contents.clone(), hangups.clone(), tell));
        spawn_local(expiry::run(Arc::clone(&service)));
        spawn_local(identities.keep(Arc::clone(&service), hangups));
        spawn_local(probe::run(Arc::clone(&service), move || ways.out()));

        drain::run(&service, stop, gone, config).await;
        Ok(())
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
        let reserve = Rc::new(Reserve::default());
        let connections = TaskTracker::new();
        let accepting = sockets.into_iter().map(|(kind, socket)| {
            let socket = TcpListener::from_std(socket).expect("a bound, non-blocking listener");
            accept(kind, socket, &service, &outbound, &reserve, &connections)
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
    reserve: &Rc<Reserve>,
    connections: &TaskTracker,
) {
    let (closing, admission) = (&service.closing, &service.admission);
    let mut queue = Queue::default();
    reserve.fill();
    while let Some(accepted) = closing.run_until_cancelled(socket.accept()).await {
        let (accepted, slot) = match accepted {
            // Until there is a free slot nobody else is accepted: the kernel's queue holds who comes.
            Ok(accepted) => {
                let slot = closing.run_until_cancelled(admission.slot(&mut queue)).await;
                (accepted, slot.unwrap_or(Err(Refused::from(Reason::Draining))))
            }
            Err(error) => {
                let Some(accepted) = make_room(&error, reserve, &socket) else {
                    // The peer has gone, or descriptors have run out; those come back when tunnels end.
                    reserve.fill();
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                (accepted, Err(Refused::from(Reason::Capacity)))
            }
        };
        let (stream, peer) = accepted;
        let arrival =
            Arrival { stream, source: Source::new(peer, kind), beginning: service.begin() };
        let (service, outbound) = (Arc::clone(service), Rc::clone(outbound));
        let reserve = Rc::clone(reserve);
        connections.spawn_local(async move {
            service.connection(arrival, slot, &outbound).await;
            reserve.fill();
        });
    }
}

/// When descriptors have run out, gives one of the reserve to whoever is at the head of the queue, who would
/// otherwise hang there until tunnels end.
fn make_room(
    error: &io::Error,
    reserve: &Reserve,
    socket: &TcpListener,
) -> Option<(TcpStream, SocketAddr)> {
    if !descriptors::exhausted(error) || !reserve.give() {
        return None;
    }
    socket.accept().now_or_never()?.ok()
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
                let listener = bind_shared(*kind, address)
                    .map_err(|source| Error::Listen { address, source })?;
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

fn bind_shared(kind: Listener, address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if kind == Listener::Transparent {
        // TPROXY hands over connections to other addresses only to a socket that says so, which takes
        // CAP_NET_ADMIN. REDIRECT needs neither. The bit is one for both families (ip(7)).
        let _ = socket.set_ip_transparent_v4(true);
    }
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

const BACKLOG: i32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
