//! Asks DNS once for the addresses of a host, as an absolute name and for A and AAAA alone, and vets the answers as
//! `ringfence` does. `proxy/src/upstream/dns.rs` does the same for the proxy, with a cache and without the whole chain.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};
use ringfence_config::Hostname;
use ringfence_config::address::{Class, Embedded, Form, Pin};
use tokio::time::timeout;

use super::outcome::Outcome;
use super::report::{Evidence, Finding, clean};

/// Who is asked.
pub(crate) struct Resolver(TokioResolver);

/// What a name resolves to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// At least one, sorted.
    pub(crate) addresses: Vec<IpAddr>,
    /// The aliases (CNAME) on the way, in order.
    pub(crate) aliases: Vec<String>,
}

/// Whether NAT64 addresses of public ones are admitted, as `[dns] nat64` of the proxy has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat64 {
    /// They are.
    On,
    /// They aren't.
    Off,
}

impl Resolver {
    /// Asks `servers`, or those of the system if there are none.
    pub(crate) fn new(servers: &[SocketAddr], limit: Duration) -> Result<Self, NetError> {
        let mut builder = if servers.is_empty() {
            Hickory::builder_tokio()?
        } else {
            let servers = servers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            Hickory::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        // The proxy doesn't read a hosts file either.
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = options.timeout.min(limit);
        options.case_randomization = true;
        options.preserve_intermediates = true;
        options.cache_size = 0;
        Ok(Self(builder.build()?))
    }

    /// Looks `host` up, for at most `limit`. One family that has answered is enough: not every resolver answers for
    /// AAAA.
    pub(crate) async fn resolve(
        &self,
        host: &Hostname,
        limit: Duration,
    ) -> Result<Answer, Finding> {
        let (v4, v6) = tokio::join!(
            self.lookup(host, RecordType::A, limit),
            self.lookup(host, RecordType::AAAA, limit)
        );
        let mut answer = match (v4, v6) {
            (Ok(v4), Ok(v6)) => {
                let addresses = [v4.addresses, v6.addresses].concat();
                let aliases = if v4.aliases.is_empty() { v6.aliases } else { v4.aliases };
                Answer { addresses, aliases }
            }
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => one,
            // A resolver in trouble says more than a name without a record.
            (Err(v4), Err(v6)) => {
                let failure = if v4.outcome == Outcome::DnsNotFound { v6 } else { v4 };
                return Err(self.explain(host, failure, limit).await);
            }
        };
        answer.addresses.sort_unstable();
        answer.addresses.dedup();
        Ok(answer)
    }

    /// Where the aliases of a name without an address end: a private zone without the record is the usual reason, and
    /// its name stands there. An answer without an address doesn't tell, so they are asked for one by one.
    async fn explain(&self, host: &Hostname, failure: Finding, limit: Duration) -> Finding {
        if failure.outcome != Outcome::DnsNotFound {
            return failure;
        }
        let walked = timeout(limit, async {
            let mut owner = Name::from_ascii(host.as_str()).ok()?;
            owner.set_fqdn(true);
            let mut aliases = Vec::new();
            while aliases.len() <= MAX_ALIASES {
                let Ok(lookup) = self.0.lookup(owner.clone(), RecordType::CNAME).await else {
                    break;
                };
                let records: Vec<&Record> = lookup.answers().iter().collect();
                let Some(target) = alias_of(&records, &owner) else { break };
                aliases.push(shown(target));
                owner = target.clone();
            }
            Some(aliases)
        });
        // It was only to explain.
        let aliases = walked.await.ok().flatten().unwrap_or_default();
        let outcome = match aliases.len() {
            ..=MAX_ALIASES => failure.outcome,
            _ => Outcome::DnsAliasLoop,
        };
        Finding { outcome, evidence: Evidence { aliases, ..failure.evidence } }
    }

    async fn lookup(
        &self,
        host: &Hostname,
        kind: RecordType,
        limit: Duration,
    ) -> Result<Answer, Finding> {
        let mut name = Name::from_ascii(host.as_str())
            .map_err(|error| Finding::said(Outcome::DnsFailed, &error))?;
        name.set_fqdn(true);
        match timeout(limit, self.0.lookup(name.clone(), kind)).await {
            Ok(Ok(lookup)) => follow(&name, &lookup),
            Ok(Err(error)) => Err(unresolved(&error)),
            Err(_) => Err(Outcome::DnsTimeout.into()),
        }
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

fn unresolved(error: &NetError) -> Finding {
    match error {
        NetError::Timeout => Outcome::DnsTimeout.into(),
        NetError::NoConnections => {
            Finding::said(Outcome::DnsFailed, &"no name server could be reached")
        }
        _ if error.is_nx_domain() => Finding::said(Outcome::DnsNotFound, &"NXDOMAIN"),
        _ if error.is_no_records_found() => Finding::said(Outcome::DnsNotFound, &"no address"),
        _ => Finding::said(Outcome::DnsFailed, error),
    }
}

/// Follows the aliases from `name` to the name that has addresses (RFC 1034 §3.6.2). A record about any other name is
/// nobody's answer.
fn follow(name: &Name, lookup: &Lookup) -> Result<Answer, Finding> {
    // Only the answer section answers, and hickory takes fitting records from every section.
    let is_aside = |record: &Record| {
        lookup.authorities().contains(record) || lookup.additionals().contains(record)
    };
    let records: Vec<&Record> =
        lookup.answers().iter().filter(|record| !is_aside(record)).collect();
    let (mut owner, mut aliases) = (name, Vec::new());
    let found = |outcome, aliases| {
        let evidence = Evidence { aliases, ..Evidence::default() };
        Err(Finding { outcome, evidence })
    };
    while aliases.len() <= MAX_ALIASES {
        if let Some(target) = alias_of(&records, owner) {
            aliases.push(shown(target));
            owner = target;
            continue;
        }
        let of_owner = records.iter().filter(|record| record.name == *owner);
        let addresses: Vec<IpAddr> = of_owner.filter_map(|record| record.data.ip_addr()).collect();
        return if addresses.is_empty() {
            found(Outcome::DnsNotFound, aliases)
        } else {
            Ok(Answer { addresses, aliases })
        };
    }
    found(Outcome::DnsAliasLoop, aliases)
}

fn alias_of<'a>(records: &[&'a Record], owner: &Name) -> Option<&'a Name> {
    records.iter().filter(|record| record.name == *owner).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(&target.0),
        _ => None,
    })
}

/// In lower case, without the root's dot.
fn shown(name: &Name) -> String {
    clean(name.to_lowercase().to_ascii().trim_end_matches('.'))
}

/// Judges the addresses of a host as the proxy would, which dials none of them if one is not admitted. The outcome is
/// about the first that decides.
pub(crate) fn vet(addresses: &[IpAddr], pins: &[Pin], nat64: Nat64) -> Outcome {
    let verdicts = || addresses.iter().map(|address| vet_one(*address, pins, nat64));
    let is_refusal =
        |outcome: &Outcome| !matches!(outcome, Outcome::DnsPublic | Outcome::DnsPinned);
    match verdicts().find(is_refusal) {
        Some(refusal) => refusal,
        None if pins.is_empty() => Outcome::DnsPublic,
        None if verdicts().all(|outcome| outcome == Outcome::DnsPinned) => Outcome::DnsPinned,
        None => Outcome::PublicAlthoughPinned,
    }
}

fn vet_one(address: IpAddr, pins: &[Pin], nat64: Nat64) -> Outcome {
    let class = Class::of(address);
    if class.is_pinnable() {
        return match pins {
            [] => Outcome::AddressNotPinned,
            _ if pins.iter().any(|pin| pin.contains(address)) => Outcome::DnsPinned,
            _ => Outcome::AddressOtherThanPinned,
        };
    }
    let embedded = match address {
        IpAddr::V6(v6) => Embedded::of(v6),
        IpAddr::V4(_) => None,
    };
    let is_nat64 = embedded
        .is_some_and(|embedded| embedded.form == Form::Nat64 && embedded.class() == Class::Public);
    match (class, is_nat64, nat64) {
        (Class::Public, ..) | (_, true, Nat64::On) => Outcome::DnsPublic,
        (_, true, Nat64::Off) => Outcome::Nat64Disabled,
        (_, false, _) => Outcome::AddressForbidden,
    }
}

/// A registry behind a private link and a traffic manager has four.
const MAX_ALIASES: usize = 8;

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    use super::*;

    #[test]
    fn addresses_are_judged_as_the_proxy_judges_them() {
        let public = "20.62.128.1";
        let rows: &[(&[&str], &[&str], Nat64, Outcome)] = &[
            (&[public], &[], Nat64::Off, Outcome::DnsPublic),
            (&["10.20.0.4"], &["10.20.0.4"], Nat64::Off, Outcome::DnsPinned),
            (&["10.20.0.4"], &["10.20.0.0/28"], Nat64::Off, Outcome::DnsPinned),
            (&["10.20.0.4"], &[], Nat64::Off, Outcome::AddressNotPinned),
            (&["127.0.0.1"], &[], Nat64::Off, Outcome::AddressNotPinned),
            (&["10.20.0.9"], &["10.20.0.4"], Nat64::Off, Outcome::AddressOtherThanPinned),
            // One condemns them all.
            (&[public, "10.20.0.9"], &[], Nat64::Off, Outcome::AddressNotPinned),
            (&[public], &["10.20.0.4"], Nat64::Off, Outcome::PublicAlthoughPinned),
            (&[public, "10.20.0.4"], &["10.20.0.4"], Nat64::Off, Outcome::PublicAlthoughPinned),
            (&["168.63.129.16"], &[], Nat64::Off, Outcome::AddressForbidden),
            (&["169.254.169.254"], &[], Nat64::Off, Outcome::AddressForbidden),
            // Inside a pinned block, and still nobody's.
            (&["100.100.100.200"], &["100.64.0.0/10"], Nat64::Off, Outcome::AddressForbidden),
            (&["::ffff:20.62.128.1"], &[], Nat64::On, Outcome::AddressForbidden),
            (&["64:ff9b::143e:8001"], &[], Nat64::Off, Outcome::Nat64Disabled),
            (&["64:ff9b::143e:8001"], &[], Nat64::On, Outcome::DnsPublic),
            (&["64:ff9b::a00:1"], &[], Nat64::On, Outcome::AddressForbidden),
        ];
        for (addresses, pins, nat64, expected) in rows {
            let parsed: Vec<IpAddr> = addresses.iter().map(|a| a.parse().expect(a)).collect();
            let pins: Vec<Pin> = pins.iter().map(|pin| pin.parse().expect(pin)).collect();
            assert_eq!(vet(&parsed, &pins, *nat64), *expected, "{addresses:?} {pins:?}");
        }
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(format!("{text}.")).expect("a name")
    }

    fn alias(owner: &str, target: &str) -> Record {
        Record::from_rdata(name(owner), 30, RData::CNAME(CNAME(name(target))))
    }

    fn address(owner: &str, last: u8) -> Record {
        Record::from_rdata(name(owner), 60, RData::A(A::new(20, 0, 0, last)))
    }

    fn followed(records: Vec<Record>) -> Result<Answer, Outcome> {
        let query = Query::query(name("a.test"), RecordType::A);
        let lookup = Lookup::new_with_max_ttl(query, records);
        follow(&name("a.test"), &lookup).map_err(|finding| finding.outcome)
    }

    #[test]
    fn the_chain_is_shown_and_only_its_end_has_addresses() {
        let chain = vec![
            address("other.test", 1),
            address("C.test", 3),
            alias("b.test", "c.test"),
            address("b.test", 2),
            alias("A.test", "b.test"),
        ];
        let answer = followed(chain).expect("an answer");
        assert_eq!(answer.addresses, [IpAddr::from([20, 0, 0, 3])]);
        assert_eq!(answer.aliases, ["b.test", "c.test"]);
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
            (vec![address("other.test", 1)], Some(Outcome::DnsNotFound)),
            (vec![alias("a.test", "b.test")], Some(Outcome::DnsNotFound)),
            (
                vec![alias("a.test", "b.test"), alias("b.test", "a.test")],
                Some(Outcome::DnsAliasLoop),
            ),
            (vec![alias("a.test", "a.test"), address("a.test", 1)], Some(Outcome::DnsAliasLoop)),
            (chain(8), None),
            (chain(9), Some(Outcome::DnsAliasLoop)),
        ];
        for (records, expected) in rows {
            assert_eq!(followed(records.clone()).err(), expected, "{records:?}");
        }
    }
}
