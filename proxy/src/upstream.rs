//! Resolves, vets and dials. The only file that asks DNS and opens outbound sockets; it dials nothing
//! but addresses that a permit admitted, and never a name.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::policy::{Admitted, Inadmissible, Permit, Target};
use crate::reason::Reason;

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the lookup.
    pub resolve: Duration,
    /// For all connection attempts together.
    pub connect: Duration,
}

/// Asks DNS, for absolute names only.
pub struct Resolver {
    hickory: TokioResolver,
    limits: Limits,
}

/// A connection to an admitted address.
#[derive(Debug)]
pub struct Upstream {
    /// The connection.
    pub stream: TcpStream,
    /// How it came about.
    pub route: Route,
}

/// The address that was dialled, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The peer.
    pub address: SocketAddr,
    /// The lookup.
    pub resolve: Duration,
    /// The connection.
    pub connect: Duration,
}

/// Why a permitted target was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub reason: Reason,
    /// The addresses that the permit did not admit.
    pub rejected: Vec<Inadmissible>,
    /// What the resolver or the kernel said.
    pub detail: Option<String>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self { reason, rejected: Vec::new(), detail: None }
    }
}

impl Failure {
    fn new(reason: Reason, detail: &dyn ToString) -> Self {
        Self { detail: Some(detail.to_string()), ..Self::from(reason) }
    }
}

impl Resolver {
    /// Asks `servers`, or those of `/etc/resolv.conf` if there are none.
    pub fn new(servers: &[SocketAddr], limits: Limits) -> Result<Self, NetError> {
        let mut builder = if servers.is_empty() {
            Hickory::builder_tokio()?
        } else {
            let servers = servers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            Hickory::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        // A hosts file would be a second source of truth that nobody reviews.
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = options.timeout.min(limits.resolve);
        options.case_randomization = true;
        // Registries fail over by DNS, on the order of minutes.
        options.positive_max_ttl = Some(MAX_TTL);
        // Most registries have no AAAA record, and not every resolver says how long that will be so.
        options.negative_min_ttl = Some(NEGATIVE_TTL);
        options.negative_max_ttl = Some(NEGATIVE_TTL);
        options.cache_size = CACHE_SIZE;
        Ok(Self { hickory: builder.build()?, limits })
    }

    /// Looks `target` up, once. The name is absolute, so no search domain can answer for it.
    ///
    /// When one family has answered, the other gets a moment more (RFC 8305 §3): there are resolvers that
    /// never answer for AAAA.
    async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, Failure> {
        let mut name = Name::from_ascii(target.host.as_str())
            .map_err(|error| Failure::new(Reason::DnsFailed, &error))?;
        name.set_fqdn(true);
        let v4 = std::pin::pin!(self.lookup(name.clone(), RecordType::A));
        let v6 = std::pin::pin!(self.lookup(name, RecordType::AAAA));
        let (first, other) = match select(v4, v6).await {
            Either::Left((first, other)) => (first, Either::Left(other)),
            Either::Right((first, other)) => (first, Either::Right(other)),
        };
        match first {
            Ok(mut addresses) => {
                if let Ok(Ok(more)) = timeout(RESOLUTION_DELAY, other).await {
                    addresses.extend(more);
                }
                Ok(addresses)
            }
            // Neither has an address: a resolver in trouble says more than a name without a record.
            Err(failure) => other
                .await
                .map_err(|other| if other.reason == Reason::DnsNotFound { failure } else { other }),
        }
    }

    /// The addresses of one family, at least one.
    async fn lookup(&self, name: Name, kind: RecordType) -> Result<Vec<IpAddr>, Failure> {
        let answer = match timeout(self.limits.resolve, self.hickory.lookup(name, kind)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(NetError::Timeout)) => {
                return Err(Failure::new(Reason::DnsTimeout, &NetError::Timeout));
            }
            Ok(Err(error)) if error.is_no_records_found() => {
                let what = if error.is_nx_domain() { "NXDOMAIN" } else { "no address" };
                return Err(Failure::new(Reason::DnsNotFound, &what));
            }
            Ok(Err(error)) => return Err(Failure::new(Reason::DnsFailed, &error)),
            Err(elapsed) => return Err(Failure::new(Reason::DnsTimeout, &elapsed)),
        };
        let addresses: Vec<IpAddr> =
            answer.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
        if addresses.is_empty() {
            return Err(Failure::new(Reason::DnsNotFound, &"no address"));
        }
        Ok(addresses)
    }
}

/// UDP first, TCP for what doesn't fit.
fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// Reaches the target of `permit`: one lookup, every answer vetted, then the vetted addresses dialled.
pub async fn connect(permit: &Permit, resolver: &Resolver) -> Result<Upstream, Failure> {
    let started = Instant::now();
    let answers = resolver.resolve(permit.target()).await?;
    let admitted = vet(permit, &answers)?;
    let vetted = Instant::now();
    let (stream, address) = match timeout(resolver.limits.connect, dial(in_turn(&admitted))).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Failure::new(Reason::ConnectRefused, &error));
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(Failure::new(Reason::ConnectTimeout, &error));
        }
        Ok(Err(error)) => return Err(Failure::new(Reason::ConnectFailed, &error)),
        Err(elapsed) => return Err(Failure::new(Reason::ConnectTimeout, &elapsed)),
    };
    let route = Route { address, resolve: vetted - started, connect: vetted.elapsed() };
    Ok(Upstream { stream, route })
}

/// Vets every answer. One that isn't admitted condemns them all: who can slip a private address into an
/// answer can also choose which of them is dialled.
fn vet(permit: &Permit, answers: &[IpAddr]) -> Result<Vec<Admitted>, Failure> {
    let mut admitted = Vec::with_capacity(answers.len());
    let mut rejected = Vec::new();
    for address in answers {
        match permit.admit(*address) {
            Ok(address) => admitted.push(address),
            Err(inadmissible) => rejected.push(inadmissible),
        }
    }
    if rejected.is_empty() {
        Ok(admitted)
    } else {
        Err(Failure { rejected, ..Failure::from(Reason::AddressForbidden) })
    }
}

/// IPv6 and IPv4 by turns, in the resolver's order (RFC 8305 §4).
fn in_turn(addresses: &[Admitted]) -> VecDeque<Admitted> {
    let (v6, v4): (Vec<Admitted>, Vec<Admitted>) =
        addresses.iter().partition(|address| address.socket().is_ipv6());
    let longest = v6.len().max(v4.len());
    (0..longest).flat_map(|i| [v6.get(i), v4.get(i)]).flatten().copied().collect()
}

/// Dials one address after another, the next one when the last has failed or was given a quarter of a
/// second (RFC 8305 §5); the first connection wins.
async fn dial(mut addresses: VecDeque<Admitted>) -> io::Result<(TcpStream, SocketAddr)> {
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match addresses.pop_front() {
            Some(address) => attempts.push(dial_one(address)),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        match timeout(STAGGER, attempts.next()).await {
            Ok(Some(Ok(connected))) => return Ok(connected),
            Ok(Some(Err(error))) => failure = error,
            Ok(None) | Err(_) => {}
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that dials, and only what a permit admitted"
)]
async fn dial_one(address: Admitted) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(address.socket()).await?;
    stream.set_nodelay(true)?;
    Ok((stream, address.socket()))
}

const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
const STAGGER: Duration = Duration::from_millis(250);
const MAX_TTL: Duration = Duration::from_mins(1);
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
const CACHE_SIZE: u64 = 1024;
