//! Runs the proxy: listeners, one worker per core, signals, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::config::Config;
use crate::lists::{Changes, Loaded, Sources};
use crate::notice::notice;
use crate::service::Service;
use crate::upstream::Resolver;

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
    /// The resolver's settings.
    #[error("can't set up DNS")]
    Resolver(#[source] NetError),
    /// Threads, signals, the event loop.
    #[error("can't start")]
    Start(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT, and then until the tunnels have ended or the time for that is over.
pub fn run(config: &Config, loaded: &Loaded) -> Result<(), Error> {
    raise_descriptor_limit();
    let workers = bind_workers(config)?;
    let admin = bind_alone(config.admin)?;
    let (service, written) = Service::start(config, loaded);
    notice(loaded);
    notice(format_args!("listening on {}", workers.address));
    notice(format_args!("admin on {}", admin.local_addr().map_err(Error::Start)?));
    if let Some(entry) = loaded.allowlist.entries().first() {
        notice(format_args!(
            "try curl -x http://{} https://{}:{}/v2/",
            workers.address,
            entry.host,
            entry.ports.first()
        ));
    }
    let (alive, gone) = mpsc::channel(1);
    for listener in workers.listeners {
        let resolver =
            Resolver::new(&config.resolvers, config.limits.upstream).map_err(Error::Resolver)?;
        let worker = Worker { service: Arc::clone(&service), resolver, _alive: alive.clone() };
        let runtime = runtime()?;
        std::thread::spawn(move || LocalSet::new().block_on(&runtime, worker.serve(listener)));
    }
    drop(alive);
    let runtime = runtime()?;
    let end =
        LocalSet::new().block_on(&runtime, control(config, admin, Arc::clone(&service), gone))?;
    drop((runtime, service));
    match end {
        // Every worker has gone, and with them every handle of the log: what is queued gets written.
        End::Orderly => written.wait(FAREWELL),
        End::Late => {}
    }
    Ok(())
}

/// How the workers went.
enum End {
    Orderly,
    Late,
}

/// Watches over the workers: signals, reloads, the admin port.
async fn control(
    config: &Config,
    admin: StdListener,
    service: Arc<Service>,
    mut gone: mpsc::Receiver<Infallible>,
) -> Result<End, Error> {
    let mut stop = Stop::install()?;
    let hangup = signal(SignalKind::hangup()).map_err(Error::Start)?;
    let admin = TcpListener::from_std(admin).map_err(Error::Start)?;
    tokio::task::spawn_local(admin::serve(admin, Arc::clone(&service)));
    let reloads = reload_on_change(config.sources.clone(), Arc::clone(&service), hangup);
    tokio::task::spawn_local(reloads);

    stop.asked().await;
    notice(format_args!("draining {} connections", service.metrics.open.get()));
    service.closing.cancel();
    tokio::select! {
        _ = gone.recv() => return Ok(End::Orderly),
        () = sleep(config.drain) => {}
        () = stop.asked() => {}
    }
    notice(format_args!("cutting {} connections", service.metrics.open.get()));
    service.shared.cut.cancel();
    Ok(match timeout(FAREWELL, gone.recv()).await {
        Ok(_) => End::Orderly,
        Err(_) => End::Late,
    })
}

/// Reads the files again when they change, or when asked to.
async fn reload_on_change(sources: Sources, service: Arc<Service>, mut hangup: Signal) {
    let mut last = None;
    loop {
        // The watch comes first: a change while we read is seen in the next round.
        let mut changes = Changes::watch(&sources);
        let read = sources.read();
        // A folder may hold other files, too; what we have seen before needs no second look.
        let seen = read.as_ref().map(Clone::clone).map_err(ToString::to_string);
        if last.replace(seen.clone()) != Some(seen) {
            service.reload(read.and_then(|contents| contents.load()));
        }
        tokio::select! {
            () = changes.changed() => {}
            _ = hangup.recv() => last = None,
        }
    }
}

/// One thread's share of the work: its own listener, resolver and tunnels.
struct Worker {
    service: Arc<Service>,
    resolver: Resolver,
    /// Closes with the last worker.
    _alive: mpsc::Sender<Infallible>,
}

impl Worker {
    /// Accepts until closing, then waits for its connections to end.
    async fn serve(self, listener: StdListener) {
        let listener = TcpListener::from_std(listener).expect("a bound, non-blocking listener");
        let worker = Rc::new(self);
        let connections = TaskTracker::new();
        loop {
            // Without a free slot nothing is accepted: the kernel's queue holds who comes, and then refuses.
            let slot = Arc::clone(&worker.service.slots).acquire_owned().await;
            let accepted = tokio::select! {
                biased;
                () = worker.service.closing.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let worker = Rc::clone(&worker);
                    connections.spawn_local(async move {
                        worker.service.connection(stream, peer, &worker.resolver).await;
                        drop(slot);
                    });
                }
                // The peer has gone, or descriptors have run out; those come back when tunnels end.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

/// SIGTERM or SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn install() -> Result<Self, Error> {
        let install = |kind| signal(kind).map_err(Error::Start);
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The workers' listeners, which share one address.
struct Workers {
    address: SocketAddr,
    listeners: Vec<StdListener>,
}

fn bind_workers(config: &Config) -> Result<Workers, Error> {
    // With SO_REUSEPORT a second proxy could take half of our connections; so first see that we are alone.
    let mut address = bind_alone(config.listen)?.local_addr().map_err(Error::Start)?;
    let mut listeners = Vec::new();
    for _ in 0..config.workers.get() {
        let listener = bind_shared(address).map_err(|source| Error::Listen { address, source })?;
        address = listener.local_addr().map_err(Error::Start)?;
        listeners.push(listener);
    }
    Ok(Workers { address, listeners })
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
