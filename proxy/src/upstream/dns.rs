//! Asks DNS for the addresses of a host: as an absolute name, for A and AAAA and nothing else, and counts
//! only the records that answer. What an address is good for is the permit's decision.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};
use ringfence_config::Hostname;
use tokio::time::timeout;

use crate::admission::descriptors;
use crate::reason::Reason;

/// Asks DNS, and remembers the answers for a while.
pub struct Resolver {
    hickory: TokioResolver,
    limit: Duration,
    cache: RefCell<Cache>,
}

/// What a name resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// At least one, in the order of the name server.
    pub addresses: Vec<IpAddr>,
    /// The name that has them, if the one that was asked for is an alias (CNAME).
    pub canonical: Option<Box<str>>,
}

/// Why a name has no addresses, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The reason.
    pub reason: Reason,
    /// What the resolver said.
    pub detail: String,
}

impl Unresolved {
    fn new(reason: Reason, detail: &dyn ToString) -> Self {
        Self { reason, detail: detail.to_string() }
    }

    fn not_found(detail: &str) -> Self {
        Self::new(Reason::DnsNotFound, &detail)
    }
}

impl From<NetError> for Unresolved {
    fn from(error: NetError) -> Self {
        match &error {
            NetError::Timeout => Self::new(Reason::DnsTimeout, &error),
            NetError::Io(source) if descriptors::exhausted(source) => {
                Self::new(Reason::Capacity, &error)
            }
            _ if error.is_nx_domain() => Self::not_found("NXDOMAIN"),
            _ if error.is_no_records_found() => Self::not_found("no address"),
            _ => Self::new(Reason::DnsFailed, &error),
        }
    }
}

impl Resolver {
    /// Asks `servers`, or those of `/etc/resolv.conf` if there are none, for at most `limit` per question.
    pub fn new(servers: &[SocketAddr], limit: Duration) -> Result<Self, NetError> {
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
        options.timeout = options.timeout.min(limit);
        options.case_randomization = true;
        // The aliases on the way say which records answer.
        options.preserve_intermediates = true;
        // Its cache forgets which alias led to a cached answer; ours keeps what came out in the end.
        options.cache_size = 0;
        Ok(Self { hickory: builder.build()?, limit, cache: RefCell::default() })
    }

    /// Looks `host` up, once. The name is absolute, so no search domain can answer for it.
    ///
    /// When one family has answered, the other gets a moment more (RFC 8305 §3): there are resolvers that
    /// never answer for AAAA.
    pub async fn resolve(&self, host: &Hostname) -> Result<Answer, Unresolved> {
        let v4 = std::pin::pin!(self.lookup(host, Family::V4));
        let v6 = std::pin::pin!(self.lookup(host, Family::V6));
        let (first, other) = match select(v4, v6).await {
            Either::Left((first, other)) => (first, Either::Left(other)),
            Either::Right((first, other)) => (first, Either::Right(other)),
        };
        match first {
            Ok(mut answer) => {
                if let Ok(Ok(more)) = timeout(RESOLUTION_DELAY, other).await {
                    answer.addresses.extend(more.addresses);
                }
                Ok(answer)
            }
            // Neither has an address: a resolver in trouble says more than a name without a record.
            Err(failure) => other
                .await
                .map_err(|other| if other.reason == Reason::DnsNotFound { failure } else { other }),
        }
    }

    /// The addresses of one family, at least one.
    async fn lookup(&self, host: &Hostname, family: Family) -> Result<Answer, Unresolved> {
        let key = (host.clone(), family);
        if let Some(known) = self.cache.borrow().get(&key) {
            return known;
        }
        let mut name = Name::from_ascii(host.as_str())
            .map_err(|error| Unresolved::new(Reason::DnsFailed, &error))?;
        name.set_fqdn(true);
        let asked = timeout(self.limit, self.hickory.lookup(name.clone(), family.record())).await;
        let (answer, ttl) = match asked {
            Ok(Ok(lookup)) => match follow(&name, &lookup) {
                Ok((answer, ttl)) => (Ok(answer), ttl.min(MAX_TTL)),
                Err(unresolved) => (Err(unresolved), NEGATIVE_TTL),
            },
            Ok(Err(error)) => (Err(Unresolved::from(error)), NEGATIVE_TTL),
            Err(elapsed) => return Err(Unresolved::new(Reason::DnsTimeout, &elapsed)),
        };
        // That a server is in trouble is true of now; that a name isn't there stays so for a moment.
        if answer.as_ref().err().is_none_or(|error| error.reason == Reason::DnsNotFound) {
            self.cache.borrow_mut().put(key, answer.clone(), ttl);
        }
        answer
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

/// Follows the aliases from `name` to the name that has addresses (RFC 1034 §3.6.2), and answers with
/// those and how long they are good for. A record about any other name is nobody's answer.
fn follow(name: &Name, lookup: &Lookup) -> Result<(Answer, Duration), Unresolved> {
    // When hickory asks on for an alias's target it takes fitting records from every section. Only the
    // answer section answers.
    let is_aside = |record: &Record| {
        lookup.authorities().contains(record) || lookup.additionals().contains(record)
    };
    let records: Vec<&Record> =
        lookup.answers().iter().filter(|record| !is_aside(record)).collect();
    let (mut owner, mut ttl) = (name, u32::MAX);
    for _ in 0..=MAX_ALIASES {
        let of_owner = || records.iter().filter(|record| record.name == *owner);
        let alias = of_owner().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((&target.0, record.ttl)),
            _ => None,
        });
        if let Some((target, until)) = alias {
            ttl = ttl.min(until);
            owner = target;
            continue;
        }
        let mut addresses = Vec::new();
        for record in of_owner() {
            if let Some(address) = record.data.ip_addr() {
                addresses.push(address);
                ttl = ttl.min(record.ttl);
            }
        }
        if addresses.is_empty() {
            return Err(Unresolved::not_found("no address"));
        }
        let canonical = (owner != name).then(|| shown(owner));
        return Ok((Answer { addresses, canonical }, Duration::from_secs(ttl.into())));
    }
    let detail = format!("there are more than {MAX_ALIASES} aliases (CNAME) in a row");
    Err(Unresolved { reason: Reason::DnsFailed, detail })
}

/// As it stands in the log: escaped, in lower case, without the root's dot.
fn shown(name: &Name) -> Box<str> {
    name.to_lowercase().to_ascii().trim_end_matches('.').into()
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// Never SVCB or HTTPS: they would name other hosts and keys to reach them by.
    fn record(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

type Key = (Hostname, Family);
type Known = Result<Answer, Unresolved>;

/// What is known of names, each until its time has come. There is no use of an answer beyond that, not
/// even while no server answers.
#[derive(Default)]
struct Cache(HashMap<Key, (Instant, Known)>);

impl Cache {
    fn get(&self, key: &Key) -> Option<Known> {
        let (until, known) = self.0.get(key)?;
        (Instant::now() < *until).then(|| known.clone())
    }

    fn put(&mut self, key: Key, known: Known, ttl: Duration) {
        let now = Instant::now();
        if self.0.len() >= CACHE_SIZE {
            self.0.retain(|_, (until, _)| now < *until);
        }
        // Full of answers that are still good: whoever asks for so many names can ask again.
        if self.0.len() >= CACHE_SIZE {
            self.0.clear();
        }
        self.0.insert(key, (now + ttl, known));
    }
}

const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// Registries fail over by DNS, on the order of minutes.
const MAX_TTL: Duration = Duration::from_mins(1);
/// Most registries have no AAAA record, and not every resolver says how long that will be so.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
const CACHE_SIZE: usize = 1024;
/// A registry behind a private link and a traffic manager has four.
const MAX_ALIASES: usize = 8;

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(format!("{text}.")).expect("a name")
    }

    fn alias(owner: &str, target: &str) -> Record {
        Record::from_rdata(name(owner), 30, RData::CNAME(CNAME(name(target))))
    }

    fn address(owner: &str, last: u8) -> Record {
        Record::from_rdata(name(owner), 60, RData::A(A::new(20, 0, 0, last)))
    }

    fn followed(records: Vec<Record>) -> Result<(Answer, Duration), Unresolved> {
        let query = Query::query(name("a.test"), RecordType::A);
        follow(&name("a.test"), &Lookup::new_with_max_ttl(query, records))
    }

    #[test]
    fn only_the_end_of_the_chain_has_addresses() {
        let chain = vec![
            address("other.test", 1),
            address("C.test", 3),
            alias("b.test", "c.test"),
            address("b.test", 2),
            alias("A.test", "b.test"),
        ];
        let (answer, ttl) = followed(chain).expect("an answer");
        assert_eq!(answer.addresses, [IpAddr::from([20, 0, 0, 3])]);
        assert_eq!(answer.canonical.as_deref(), Some("c.test"));
        assert_eq!(ttl, Duration::from_secs(30));
        let (answer, _) = followed(vec![address("a.test", 1)]).expect("an answer");
        assert_eq!(answer.canonical, None);
    }

    #[test]
    fn foreign_records_loops_and_long_chains_are_no_answer() {
        let link = |i: usize| alias(&format!("n{i}.test"), &format!("n{}.test", i + 1));
        let chain = |links: usize| {
            let first = alias("a.test", "n1.test");
            let end = address(&format!("n{links}.test"), 1);
            [vec![first], (1..links).map(link).collect(), vec![end]].concat()
        };
        let rows = [
            (vec![address("other.test", 1)], Some(Reason::DnsNotFound)),
            (vec![alias("a.test", "b.test")], Some(Reason::DnsNotFound)),
            (vec![alias("a.test", "b.test"), alias("b.test", "a.test")], Some(Reason::DnsFailed)),
            (vec![alias("a.test", "a.test"), address("a.test", 1)], Some(Reason::DnsFailed)),
            (chain(8), None),
            (chain(9), Some(Reason::DnsFailed)),
        ];
        for (records, expected) in rows {
            let shown = format!("{records:?}");
            assert_eq!(followed(records).err().map(|error| error.reason), expected, "{shown}");
        }
    }

    #[test]
    fn the_cache_forgets_in_time_and_never_grows_beyond_its_size() {
        let mut cache = Cache::default();
        let key = |i: usize| (format!("h{i}.test").parse().expect("a host"), Family::V4);
        let gone = || Err(Unresolved::not_found("NXDOMAIN"));
        cache.put(key(0), gone(), Duration::ZERO);
        assert_eq!(cache.get(&key(0)), None);
        for i in 0..3 * CACHE_SIZE {
            cache.put(key(i), gone(), NEGATIVE_TTL);
            assert!(cache.0.len() <= CACHE_SIZE && cache.get(&key(i)).is_some());
        }
    }
}
