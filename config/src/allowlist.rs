//! Decides what an allowlist is: the entries that the generator derives, the proxy enforces and every
//! export renders, and the document they are written to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::address::Pin;
use crate::endpoint::{Endpoint, Family};
use crate::guard;
use crate::hostname::{Hostname, Port};
use crate::issue::{Issue, Moment, Serial};
use crate::pattern::HostPattern;
use crate::preset::Presets;
use crate::registry::{Label, Region};

/// The version of the document this crate reads and writes.
pub const SCHEMA: u32 = 1;

/// A guarded set of entries: sorted, each host once, none that could reach storage by pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowlist {
    entries: Vec<Entry>,
}

/// One host, or one pattern of hosts, that clients may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The host, or the hosts.
    pub host: HostPattern,
    /// What the host is for.
    pub role: Role,
    /// The ports, sorted, each once, never none.
    pub ports: Ports,
    /// The private or loopback addresses that this host, and only this host, may resolve to.
    pub addresses: Vec<Pin>,
    /// Why it is on the list.
    pub why: Option<String>,
    /// The presets that it was taken from.
    pub presets: Presets,
}

/// What a listed host is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A registry's REST endpoint and token server.
    Login(Label),
    /// A registry's REST endpoint in one region.
    RegionalLogin(Label, Region),
    /// A registry's dedicated data endpoint in one region.
    Data(Label, Region),
    /// One exact storage account of the operator's own.
    StorageAccount,
    /// A host that someone wrote by hand.
    Other,
}

impl From<&Endpoint> for Role {
    fn from(endpoint: &Endpoint) -> Self {
        let label = endpoint.login_server().label().clone();
        match endpoint.family() {
            Family::Login => Self::Login(label),
            Family::RegionalLogin(region) => Self::RegionalLogin(label, region.clone()),
            Family::Data(region) => Self::Data(label, region.clone()),
        }
    }
}

/// The names of [`Role`]s as documents, logs and metrics spell them.
pub const ROLE_NAMES: [&str; 5] = ["login", "regional-login", "data", "storage-account", "other"];

impl Role {
    /// The name in documents, logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Login(_) => "login",
            Self::RegionalLogin(..) => "regional-login",
            Self::Data(..) => "data",
            Self::StorageAccount => "storage-account",
            Self::Other => "other",
        }
    }

    /// The registry the host belongs to: the first label of its login server.
    pub fn registry(&self) -> Option<&Label> {
        match self {
            Self::Login(registry) | Self::RegionalLogin(registry, _) | Self::Data(registry, _) => {
                Some(registry)
            }
            Self::StorageAccount | Self::Other => None,
        }
    }

    /// The region the host serves.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::RegionalLogin(_, region) | Self::Data(_, region) => Some(region),
            Self::Login(_) | Self::StorageAccount | Self::Other => None,
        }
    }
}

/// The ports of an entry: sorted, each once, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ports(Vec<Port>);

impl Ports {
    /// Only 443.
    pub fn https() -> Self {
        Self(vec![Port::HTTPS])
    }

    /// Sorts `ports`; `None` when there are none.
    pub fn new(mut ports: Vec<Port>) -> Option<Self> {
        ports.sort_unstable();
        ports.dedup();
        (!ports.is_empty()).then_some(Self(ports))
    }

    /// Whether `port` is one of them.
    pub fn contains(&self, port: Port) -> bool {
        self.0.contains(&port)
    }

    /// The lowest.
    pub fn first(&self) -> Port {
        self.0[0]
    }

    /// From the lowest to the highest.
    pub fn iter(&self) -> impl Iterator<Item = Port> + '_ {
        self.0.iter().copied()
    }
}

impl Allowlist {
    /// Guards `entries`, sorts them and joins those that say the same.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Result<Self, Conflict> {
        let mut by_host: BTreeMap<HostPattern, Entry> = BTreeMap::new();
        for entry in entries {
            guard_entry(&entry)?;
            match by_host.get_mut(&entry.host) {
                None => {
                    by_host.insert(entry.host.clone(), entry);
                }
                Some(known) if known.says_the_same_as(&entry) => {
                    // The lesser reason stays, so that the order of the files doesn't matter.
                    known.why = [known.why.take(), entry.why].into_iter().flatten().min();
                    known.presets.extend(entry.presets);
                }
                Some(_) => return Err(Conflict::Contradiction(entry.host)),
            }
        }
        let mut entries: Vec<Entry> = by_host.into_values().collect();
        check_overlaps(&entries)?;
        entries.sort_by(|a, b| a.place().cmp(&b.place()));
        Ok(Self { entries })
    }

    /// The entries: by registry, then role, then region; hand-written ones last.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The document of no particular issue, byte for byte the same for the same entries.
    pub fn to_toml(&self) -> String {
        self.to_toml_issue(Issue::default())
    }

    /// The document of this issue, byte for byte the same for the same entries.
    pub fn to_toml_issue(&self, issue: Issue) -> String {
        let patterns =
            self.entries.iter().any(|entry| matches!(entry.host, HostPattern::Wildcard(_)));
        let document = WireDocument {
            schema: SCHEMA,
            serial: issue.serial,
            not_after: issue.not_after.map(Moment::to_toml),
            allow_patterns: patterns.then_some(true),
            entry: self.entries.iter().map(WireEntry::from).collect(),
        };
        toml::to_string(&document).expect("strings, numbers and lists of them are TOML")
    }

    /// `sha256:` and the hash of [`to_toml`](Self::to_toml) in hex: the same in every issue of the same list.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.to_toml());
        digest.iter().fold(String::from("sha256:"), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

pub(crate) fn guard_entry(entry: &Entry) -> Result<(), Conflict> {
    let verdict = match (&entry.role, &entry.host) {
        (Role::StorageAccount, HostPattern::Exact(host)) => guard::check_account(host),
        _ => guard::check(&entry.host),
    };
    verdict.map_err(|refusal| Conflict::Guard(entry.host.clone(), refusal))?;
    if fits_role(&entry.host, &entry.role) {
        Ok(())
    } else {
        Err(Conflict::Role(entry.host.clone(), entry.role.clone()))
    }
}

/// Whether `host` is in full what a registry's `role` says, or a pattern of it whose only `*` is the region.
fn fits_role(host: &HostPattern, role: &Role) -> bool {
    if role.registry().is_none() {
        return true;
    }
    let region = role.region().map_or("*", Region::as_str);
    let labels = host.labels().enumerate();
    let named: Vec<&str> =
        labels.map(|(i, label)| if i == 1 && label == "*" { region } else { label }).collect();
    let endpoint = named.join(".").parse::<Endpoint>();
    endpoint.is_ok_and(|endpoint| Role::from(&endpoint) == *role)
}

/// Entries add up: where two stand for one host, both must say the same of it, or the one that is asked
/// first would take away what the other gives.
///
/// Entries with stars in the same places never overlap, and others do where the labels that are literal in
/// both are equal. So one look-up by those labels finds them, however many entries there are.
fn check_overlaps(entries: &[Entry]) -> Result<(), Conflict> {
    let mut shapes: BTreeMap<Vec<bool>, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        let shape = entry.host.labels().map(|label| label == "*").collect();
        shapes.entry(shape).or_default().push(entry);
    }
    for (shape, ours) in &shapes {
        for (other, theirs) in &shapes {
            if shape != other && shape.len() == other.len() {
                check_shapes(ours, theirs, |i| !shape[i] && !other[i])?;
            }
        }
    }
    Ok(())
}

/// One of `theirs` per key will do: their others are compared with one of `ours` in their turn.
fn check_shapes(
    ours: &[&Entry],
    theirs: &[&Entry],
    is_key: impl Fn(usize) -> bool + Copy,
) -> Result<(), Conflict> {
    fn key(entry: &Entry, is_key: impl Fn(usize) -> bool) -> Vec<&str> {
        let labels = entry.host.labels().enumerate();
        labels.filter(|(i, _)| is_key(*i)).map(|(_, label)| label).collect()
    }
    let theirs: HashMap<Vec<&str>, &Entry> =
        theirs.iter().map(|entry| (key(entry, is_key), *entry)).collect();
    for our in ours {
        if let Some(their) = theirs.get(&key(our, is_key)).filter(|their| !their.admits_as(our)) {
            let (a, b) = (our.host.clone(), their.host.clone());
            // An exact host sorts before a pattern, and is named first.
            return Err(Conflict::Overlap(a.clone().min(b.clone()), a.max(b)));
        }
    }
    Ok(())
}

impl Entry {
    /// An exact host on port 443 without pins.
    pub fn new(host: Hostname, role: Role) -> Self {
        Self {
            host: HostPattern::Exact(host),
            role,
            ports: Ports::https(),
            addresses: Vec::new(),
            why: None,
            presets: Presets::new(),
        }
    }

    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        self.role == other.role && self.ports == other.ports && self.addresses == other.addresses
    }

    /// Whether a host of both is admitted in the same way by either.
    fn admits_as(&self, other: &Self) -> bool {
        let same_role = self.role.name() == other.role.name();
        same_role && self.ports == other.ports && self.addresses == other.addresses
    }

    /// Where the entry stands in the document.
    fn place(&self) -> (bool, Option<&Label>, &Role, &HostPattern) {
        (self.role.registry().is_none(), self.role.registry(), &self.role, &self.host)
    }
}

/// Why entries don't make a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two entries for one host that differ in role, ports or addresses.
    #[error("two entries for `{0}` contradict each other")]
    Contradiction(HostPattern),
    /// Two entries that stand for one host, and differ in role, ports or addresses.
    #[error("`{0}` and `{1}` overlap, and their entries contradict each other")]
    Overlap(HostPattern, HostPattern),
    /// A host that may never be on a list.
    #[error("{1}")]
    Guard(HostPattern, guard::Refusal),
    /// A registry's role for a host that is not the registry's in that role.
    #[error("`{0}` is not the `{role}` host of {owner}", role = .1.name(), owner = owner(.1))]
    Role(HostPattern, Role),
}

fn owner(role: &Role) -> String {
    let registry = role.registry().map(|registry| format!("registry `{registry}`"));
    let region = role.region().map(|region| format!("region `{region}`"));
    registry.into_iter().chain(region).collect::<Vec<_>>().join(" in ")
}

impl Conflict {
    /// The host of the entries in question.
    pub fn host(&self) -> &HostPattern {
        match self {
            Self::Contradiction(host)
            | Self::Overlap(host, _)
            | Self::Guard(host, _)
            | Self::Role(host, _) => host,
        }
    }

    /// The host of the other entry, where two are in question.
    pub fn other_host(&self) -> Option<&HostPattern> {
        match self {
            Self::Contradiction(host) | Self::Overlap(_, host) => Some(host),
            Self::Guard(..) | Self::Role(..) => None,
        }
    }
}

/// The document as this crate writes it; keys in the order a reader wants them.
#[derive(Serialize)]
struct WireDocument<'a> {
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<Serial>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<toml::value::Datetime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_patterns: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<WireEntry<'a>>,
}

#[derive(Serialize)]
struct WireEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a HostPattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_account: Option<&'a HostPattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<&'a Ports>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<&'a Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a Region>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    addresses: &'a [Pin],
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    presets: &'a Presets,
}

impl<'a> From<&'a Entry> for WireEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        let is_account = entry.role == Role::StorageAccount;
        Self {
            host: (!is_account).then_some(&entry.host),
            storage_account: is_account.then_some(&entry.host),
            ports: (entry.ports != Ports::https()).then_some(&entry.ports),
            role: (!is_account).then(|| entry.role.name()),
            registry: entry.role.registry(),
            region: entry.role.region(),
            addresses: &entry.addresses,
            why: entry.why.as_deref(),
            presets: &entry.presets,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(host: &str, ports: &[u16]) -> Entry {
        let ports = ports.iter().map(|port| Port::try_from(*port).expect("a port")).collect();
        Entry {
            host: host.parse().expect(host),
            role: Role::Other,
            ports: Ports::new(ports).expect("a port"),
            addresses: Vec::new(),
            why: Some("a test".into()),
            presets: Presets::new(),
        }
    }

    #[test]
    fn role_and_host_agree_in_full() {
        let login = Role::Login("contoso".parse().expect("a label"));
        let data =
            Role::Data("contoso".parse().expect("a label"), "eastus".parse().expect("a region"));
        let regional = Role::RegionalLogin(
            "contoso".parse().expect("a label"),
            "eastus".parse().expect("a region"),
        );
        let rows = [
            ("contoso.azurecr.io", &login),
            ("contoso.azurecr.sovcloud-azure.fr", &login),
            ("contoso.eastus.data.azurecr.io", &data),
            ("contoso.*.data.azurecr.cn", &data),
            ("contoso.eastus.geo.azurecr.io", &regional),
            ("contoso.*.geo.azurecr.us", &regional),
            ("contoso.westus.data.azurecr.io", &Role::Other),
        ];
        let strangers = [
            "contoso.attacker.example",
            "contoso.eastus.attacker.example",
            "contoso.eastus.data.attacker.example",
            "contoso.azurecr.io.attacker.example",
            "contoso.azurecr.de",
            "fabrikam.azurecr.io",
            "fabrikam.eastus.data.azurecr.io",
            "contoso.westus.data.azurecr.io",
            "contoso.westus.geo.azurecr.io",
            "*.eastus.data.azurecr.io",
            "contoso.eastus.*.azurecr.io",
            "contoso.*.azurecr.io",
            "contoso.*.*.azurecr.io",
        ];
        let hosts = rows.iter().map(|(host, _)| *host).chain(strangers);
        for host in hosts {
            let pattern = host.parse().expect(host);
            for role in [&login, &data, &regional] {
                let expected = rows.contains(&(host, role));
                assert_eq!(fits_role(&pattern, role), expected, "{host} {role:?}");
            }
            assert!(fits_role(&pattern, &Role::Other));
        }
    }

    #[test]
    fn overlapping_entries_must_agree() {
        let overlap =
            |a: &str, b: &str| Conflict::Overlap(a.parse().expect(a), b.parse().expect(b));
        let rows = [
            ("*.b.example.com", "a.b.example.com", true),
            ("*.b.example.com", "a.c.example.com", false),
            ("*.b.example.com", "a.a.b.example.com", false),
            ("*.b.example.com", "b.example.com", false),
            ("*.b.example.com", "*.c.example.com", false),
            ("*.b.example.com", "a.*.example.com", true),
            ("*.b.example.com", "*.*.example.com", true),
            ("a.*.example.com", "b.*.example.com", false),
            ("a.b.*.example.com", "*.c.*.example.com", false),
        ];
        for (a, b, do_overlap) in rows {
            for (a, b) in [(a, b), (b, a)] {
                assert!(Allowlist::new([entry(a, &[443]), entry(b, &[443])]).is_ok(), "{a} {b}");
                let result = Allowlist::new([entry(a, &[443, 8443]), entry(b, &[443])]);
                match result {
                    Ok(_) => assert!(!do_overlap, "{a} {b}"),
                    Err(conflict) => {
                        assert!(do_overlap, "{a} {b}");
                        assert!([overlap(a, b), overlap(b, a)].contains(&conflict), "{conflict}");
                    }
                }
            }
        }
    }

    #[test]
    fn overlapping_entries_must_agree_in_addresses_and_role() {
        let pinned = Entry {
            addresses: vec!["10.0.0.6".parse().expect("a pin")],
            ..entry("contoso.eastus.data.azurecr.io", &[443])
        };
        let data = |host: &str, region: &str| Entry {
            role: Role::Data(
                "contoso".parse().expect("a label"),
                region.parse().expect("a region"),
            ),
            ..entry(host, &[443])
        };
        let wild = entry("contoso.*.data.azurecr.io", &[443]);
        let east = data("contoso.eastus.data.azurecr.io", "eastus");
        let all = data("contoso.*.data.azurecr.io", "westus");
        assert!(matches!(Allowlist::new([wild.clone(), pinned]), Err(Conflict::Overlap(..))));
        assert!(matches!(Allowlist::new([wild, east.clone()]), Err(Conflict::Overlap(..))));
        assert!(Allowlist::new([all, east]).is_ok());
    }

    #[test]
    fn a_hundred_thousand_hosts_are_compared_in_no_time() {
        let hosts = (0..100_000).map(|i| entry(&format!("h{i}.b.example.com"), &[443]));
        let patterns = ["*.b.example.com", "a.*.example.com", "*.*.example.com"];
        let list: Vec<Entry> = hosts.chain(patterns.map(|p| entry(p, &[443]))).collect();
        let start = std::time::Instant::now();
        assert_eq!(check_overlaps(&list), Ok(()));
        // Each pair in turn would take minutes.
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }

    proptest! {
        /// Whatever loads, each entry admits its hosts on all its ports, also through the others' eyes.
        #[test]
        fn no_entry_takes_something_away(
            entries in prop::collection::vec((r"((\*|a|b)\.){1,2}(\*|c)\.d\.com", any::<bool>()), 1..5),
            host in "([abx]\\.){1,2}[cx]\\.d\\.com",
        ) {
            let ports = |wide: bool| if wide { &[443, 8443][..] } else { &[443] };
            let entries: Vec<Entry> = entries.iter().map(|(host, wide)| entry(host, ports(*wide))).collect();
            let host: Hostname = host.parse().expect("a host");
            let Ok(list) = Allowlist::new(entries) else { return Ok(()) };
            let mut those = list.entries().iter().filter(|entry| entry.host.matches(&host));
            if let Some(first) = those.next() {
                prop_assert!(those.all(|other| other.ports == first.ports));
            }
        }
    }
}
