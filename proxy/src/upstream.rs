//! Vets and dials. The only file that opens outbound sockets; it dials nothing but addresses that a
//! permit, or for the parent proxy the configuration, admitted, and never a name.

pub mod dns;
pub mod parent;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ringfence_config::address::Class;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::admission::descriptors;
use crate::policy::{Admitted, Hop, Inadmissible, Permit, Rules};
use crate::reason::Reason;
use crate::upstream::dns::{Answer, Resolver, Unresolved};
use crate::upstream::parent::Parent;

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one question to DNS.
    pub resolve: Duration,
    /// For all connection attempts together, and the parent proxy's answer.
    pub connect: Duration,
}

/// The way out, as one worker has it.
pub struct Outbound {
    /// Who is asked for addresses.
    pub resolver: Resolver,
    /// How long an attempt may take.
    pub limits: Limits,
    /// What the configuration says about addresses.
    pub rules: Rules,
    /// Our own listeners, which are never dialled.
    pub listeners: Arc<[SocketAddr]>,
    /// Through whom hosts are reached, if not directly.
    pub parent: Option<Arc<Parent>>,
}

/// A connection to the target, or to the parent proxy that has opened one.
#[derive(Debug)]
pub struct Upstream {
    /// The connection.
    pub stream: TcpStream,
    /// How it came about.
    pub route: Route,
}

/// How a target was reached, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The address that was dialled.
    pub hop: Hop,
    /// The name that the target is an alias of, if DNS said so.
    pub canonical: Option<Box<str>>,
    /// The lookups.
    pub resolve: Duration,
    /// The connection, and the parent proxy's answer.
    pub connect: Duration,
}

/// Why a permitted target was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub reason: Reason,
    /// The addresses that were not admitted, or the first of them if they are many.
    pub rejected: Vec<Inadmissible>,
    /// What the resolver, the kernel or the parent proxy said.
    pub detail: Option<String>,
    /// The name that the target is an alias of, if DNS said so.
    pub canonical: Option<Box<str>>,
    /// How long the lookups took, if there were any.
    pub resolve: Option<Duration>,
    /// How long was dialled, if there was something to dial.
    pub connect: Option<Duration>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            rejected: Vec::new(),
            detail: None,
            canonical: None,
            resolve: None,
            connect: None,
        }
    }
}

impl From<Unresolved> for Failure {
    fn from(Unresolved { reason, detail }: Unresolved) -> Self {
        Self { detail: Some(detail), ..Self::from(reason) }
    }
}

impl Failure {
    fn new(reason: Reason, detail: &dyn ToString) -> Self {
        Self { detail: Some(detail.to_string()), ..Self::from(reason) }
    }

    /// None of `rejected` is admitted.
    fn inadmissible(rejected: Vec<Inadmissible>) -> Self {
        // The vaguer reason for a mixture: there is more to look into than a setting.
        let nat64 = rejected.iter().all(|address| address.reason == Reason::Nat64Disabled);
        let reason = if nat64 { Reason::Nat64Disabled } else { Reason::AddressForbidden };
        // A name server may send thousands, and each of them would be in the log.
        let rejected = rejected.into_iter().take(MAX_ADDRESSES).collect();
        Self { rejected, ..Self::from(reason) }
    }

    /// The same, of the parent proxy.
    fn of_parent(self) -> Self {
        match self.reason {
            // We are out of descriptors, whoever it was for.
            Reason::Capacity => self,
            _ => Self { reason: Reason::UpstreamProxyFailed, ..self },
        }
    }
}

impl Outbound {
    /// Reaches the target of `permit`: one lookup, every answer vetted, then either the vetted addresses
    /// dialled or the parent proxy asked. There is no way round a parent.
    pub async fn connect(&self, permit: &Permit) -> Result<Upstream, Failure> {
        let mut attempt = Attempt { outbound: self, canonical: None, resolve: None, connect: None };
        let parent = self.parent.as_deref().filter(|parent| parent.carries(&permit.target().host));
        let reached = match parent {
            Some(parent) => attempt.through(parent, permit).await,
            None => attempt.direct(permit).await,
        };
        let Attempt { canonical, resolve, connect, .. } = attempt;
        match reached {
            Ok((stream, hop)) => {
                let [resolve, connect] = [resolve, connect].map(Option::unwrap_or_default);
                Ok(Upstream { stream, route: Route { hop, canonical, resolve, connect } })
            }
            Err(failure) => Err(Failure { canonical, resolve, connect, ..failure }),
        }
    }

    /// Whether one of our own listeners is at `address`.
    fn listens_at(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|own| {
            let same = own.ip().to_canonical() == address.ip().to_canonical();
            own.port() == address.port()
                && (same || (own.ip().is_unspecified() && is_local(address.ip())))
        })
    }
}

/// One way to one target, and what is known of it so far.
struct Attempt<'a> {
    outbound: &'a Outbound,
    canonical: Option<Box<str>>,
    resolve: Option<Duration>,
    connect: Option<Duration>,
}

impl Attempt<'_> {
    async fn direct(&mut self, permit: &Permit) -> Result<(TcpStream, Hop), Failure> {
        let started = Instant::now();
        let admitted = self.vetted(permit).await;
        self.resolve = Some(started.elapsed());
        let hops = in_turn(&admitted?.into_iter().map(Hop::Direct).collect::<Vec<_>>());
        let started = Instant::now();
        let dialled = timeout(self.outbound.limits.connect, dial(hops)).await;
        self.connect = Some(started.elapsed());
        dialled.unwrap_or_else(|elapsed| Err(Failure::new(Reason::ConnectTimeout, &elapsed)))
    }

    /// The parent resolves the name again, so what we vet is not what it dials: a liar who answers the two
    /// of us alike is caught, and one who doesn't is the parent's to catch.
    async fn through(
        &mut self,
        parent: &Parent,
        permit: &Permit,
    ) -> Result<(TcpStream, Hop), Failure> {
        let started = Instant::now();
        let hops = async {
            if parent.vet {
                self.vetted(permit).await?;
            }
            self.parents(parent).await.map_err(Failure::of_parent)
        };
        let hops = hops.await;
        self.resolve = Some(started.elapsed());
        let hops = in_turn(&hops?);
        let started = Instant::now();
        let asked = timeout(self.outbound.limits.connect, async {
            let (mut stream, hop) = dial(hops).await.map_err(Failure::of_parent)?;
            parent.ask(&mut stream, permit.target()).await?;
            Ok((stream, hop))
        });
        let asked = asked.await;
        self.connect = Some(started.elapsed());
        asked.unwrap_or_else(|elapsed| Err(Failure::new(Reason::UpstreamProxyFailed, &elapsed)))
    }

    /// Looks the target up and vets every answer. One that isn't admitted condemns them all: who can slip
    /// a private address into an answer can also choose which of them is dialled.
    async fn vetted(&mut self, permit: &Permit) -> Result<Vec<Admitted>, Failure> {
        let Answer { addresses, canonical } =
            self.outbound.resolver.resolve(&permit.target().host).await?;
        self.canonical = canonical;
        let admitted = all(addresses.into_iter().map(|address| permit.admit(address)))?;
        match admitted.iter().find(|address| self.outbound.listens_at(address.socket())) {
            Some(own) => Err(Failure::new(Reason::SelfConnect, &own.socket())),
            None => Ok(admitted),
        }
    }

    /// Where the parent proxy is.
    async fn parents(&self, parent: &Parent) -> Result<Vec<Hop>, Failure> {
        let Outbound { resolver, rules, .. } = self.outbound;
        let addresses = match &parent.address.host {
            parent::Host::Address(address) => vec![*address],
            parent::Host::Name(name) => resolver.resolve(name).await?.addresses,
        };
        let port = parent.address.port.number();
        let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, port));
        let hops = all(sockets.map(|socket| rules.admit_parent(socket)))?;
        match hops.iter().find(|hop| self.outbound.listens_at(hop.address())) {
            Some(own) => {
                let detail = format!("{} is this proxy itself", own.address());
                Err(Failure::new(Reason::UpstreamProxyFailed, &detail))
            }
            None => Ok(hops),
        }
    }
}

/// All of what was admitted, or all of what was not.
fn all<T>(verdicts: impl Iterator<Item = Result<T, Inadmissible>>) -> Result<Vec<T>, Failure> {
    let (mut admitted, mut rejected) = (Vec::new(), Vec::new());
    for verdict in verdicts {
        match verdict {
            Ok(address) => admitted.push(address),
            Err(inadmissible) => rejected.push(inadmissible),
        }
    }
    if rejected.is_empty() { Ok(admitted) } else { Err(Failure::inadmissible(rejected)) }
}

/// IPv6 and IPv4 by turns, in the resolver's order (RFC 8305 §4), and no more of them than are worth trying.
fn in_turn(hops: &[Hop]) -> VecDeque<Hop> {
    let (v6, v4): (Vec<Hop>, Vec<Hop>) = hops.iter().partition(|hop| hop.address().is_ipv6());
    let longest = v6.len().max(v4.len());
    (0..longest)
        .flat_map(|i| [v6.get(i), v4.get(i)])
        .flatten()
        .copied()
        .take(MAX_ADDRESSES)
        .collect()
}

/// Dials one address after another, the next one when the last has failed or was given a quarter of a
/// second (RFC 8305 §5); the first connection wins, and is held to be what it should.
async fn dial(mut hops: VecDeque<Hop>) -> Result<(TcpStream, Hop), Failure> {
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let (stream, hop) = loop {
        match hops.pop_front() {
            Some(hop) => attempts.push(dial_one(hop)),
            None if attempts.is_empty() => return Err(undialled(&failure)),
            None => {}
        }
        match timeout(STAGGER, attempts.next()).await {
            Ok(Some(Ok(connected))) => break connected,
            Ok(Some(Err(error))) => failure = error,
            Ok(None) | Err(_) => {}
        }
    };
    match is_self(&stream, hop) {
        Ok(false) => Ok((stream, hop)),
        Ok(true) => Err(Failure::new(Reason::SelfConnect, &hop.address())),
        Err(error) => Err(undialled(&error)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that dials, and only what was admitted"
)]
async fn dial_one(hop: Hop) -> io::Result<(TcpStream, Hop)> {
    let stream = TcpStream::connect(hop.address()).await?;
    stream.set_nodelay(true)?;
    Ok((stream, hop))
}

fn undialled(error: &io::Error) -> Failure {
    let reason = match error.kind() {
        _ if descriptors::exhausted(error) => Reason::Capacity,
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    };
    Failure::new(reason, error)
}

/// Whether a connection has come back to this machine although nobody said that the target is here:
/// both its ends have one address, which is neither pinned nor the parent proxy's. A socket that is both
/// its own ends (RFC 9293 §3.5, simultaneous open) never is what anybody meant.
fn is_self(stream: &TcpStream, hop: Hop) -> io::Result<bool> {
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let is_meant = match hop {
        // What isn't public was admitted by a pin.
        Hop::Direct(_) => Class::of(peer.ip()).is_pinnable(),
        Hop::Parent(_) => true,
    };
    Ok(local == peer || (local.ip() == peer.ip() && !is_meant))
}

/// Whether `address` is one of this machine's: then, and only then, can a socket have it.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

const STAGGER: Duration = Duration::from_millis(250);
/// Of one host, dialled or shown. Registries have one to three.
const MAX_ADDRESSES: usize = 16;
