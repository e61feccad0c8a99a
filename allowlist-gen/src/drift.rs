//! Decides how two lists differ and why: each difference is explained by exactly one reason, and reasons belong to
//! the registry that they are about.
//!
//! What Azure says now becomes a list to compare with in [`answer`]; what of it may be taken without asking anybody
//! is [`plan`]'s decision.

pub mod answer;
pub mod document;
pub mod github;
pub mod json;
pub mod plan;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringfence_config::address::Pin;
use ringfence_config::allowlist::{Conflict, Ports};
use ringfence_config::preset::Presets;
use ringfence_config::registry::Region;
use ringfence_config::{Allowlist, Entry, HostPattern, Role};

use crate::endpoint::{Endpoint, LoginServer};

/// How one list differs from another: nothing in it, if they are equal.
///
/// ```
/// use allowlist_gen::drift::Drift;
/// use ringfence_config::{Allowlist, Entry, Role};
///
/// let data = |region: &str| {
///     let host = format!("contoso.{region}.data.azurecr.io").parse().unwrap();
///     Entry::new(host, Role::Data("contoso".parse().unwrap(), region.parse().unwrap()))
/// };
/// let old = Allowlist::new([data("eastus")]).unwrap();
/// let new = Allowlist::new([data("eastus"), data("northeurope")]).unwrap();
/// let drift = Drift::between(&old, &new);
/// let change = &drift.groups()[0].changes[0];
/// assert_eq!(change.reason.code(), "replica-added");
/// assert_eq!(change.reason.to_string(), "replica northeurope added");
/// assert_eq!(drift.apply(&old).unwrap(), new);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    groups: Vec<Group>,
}

/// What has changed about one registry, or about what is written by hand; at least one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Whose hosts.
    pub owner: Owner,
    /// By reason, each once.
    pub changes: Vec<Change>,
}

/// Whose an entry is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A registry's, by its role. Two clouds can have registries of one name.
    Registry(LoginServer),
    /// Somebody's who wrote it by hand: other hosts, and storage accounts.
    HandWritten,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(server) => server.fmt(f),
            Self::HandWritten => f.write_str("written by hand"),
        }
    }
}

/// A reason, and the differences that it explains: at least one, by host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Why.
    pub reason: Reason,
    /// What of it is seen in the list.
    pub differences: Vec<Difference>,
}

/// One difference between two lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only the new list has the host.
    Added(Entry),
    /// Only the old list has it.
    Removed(Entry),
    /// Both have it, and say different things of it.
    Edited(HostPattern, Edit),
}

impl Difference {
    /// The host in question.
    pub fn host(&self) -> &HostPattern {
        match self {
            Self::Added(entry) | Self::Removed(entry) => &entry.host,
            Self::Edited(host, _) => host,
        }
    }
}

/// What differs about a host that both lists have: first what the old one says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// What it is for.
    Role(Role, Role),
    /// Its ports.
    Ports(Ports, Ports),
    /// The private addresses that it may have.
    Addresses(Vec<Pin>, Vec<Pin>),
    /// Why it is on the list.
    Why(Option<String>, Option<String>),
    /// The presets that it is from.
    Presets(Presets, Presets),
}

/// Why lists differ. Each has a stable [code](Reason::code).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The old list has no host of the registry.
    RegistryAdded,
    /// The new list has none.
    RegistryRemoved,
    /// The old list has no data host of the registry.
    DataEndpointsOn,
    /// The new list has none.
    DataEndpointsOff,
    /// The old list has no regional login server of the registry.
    RegionalEndpointsOn,
    /// The new list has none.
    RegionalEndpointsOff,
    /// The old list has no host in the region.
    ReplicaAdded(Region),
    /// The new list has none.
    ReplicaRemoved(Region),
    /// Nothing else explains a host that only the new list has.
    HostAdded,
    /// Nothing else explains a host that only the old list has.
    HostRemoved,
    /// The host is for something else.
    RoleChanged,
    /// Other ports.
    PortChanged,
    /// More private addresses.
    AddressAdded,
    /// Fewer.
    AddressRemoved,
    /// Others.
    AddressChanged,
    /// Another reason, or none, for being on the list.
    WhyChanged,
    /// From other presets, or from none.
    PresetChanged,
}

impl Reason {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RegistryAdded => "registry-added",
            Self::RegistryRemoved => "registry-removed",
            Self::DataEndpointsOn => "data-endpoints-on",
            Self::DataEndpointsOff => "data-endpoints-off",
            Self::RegionalEndpointsOn => "regional-endpoints-on",
            Self::RegionalEndpointsOff => "regional-endpoints-off",
            Self::ReplicaAdded(_) => "replica-added",
            Self::ReplicaRemoved(_) => "replica-removed",
            Self::HostAdded => "host-added",
            Self::HostRemoved => "host-removed",
            Self::RoleChanged => "role-changed",
            Self::PortChanged => "port-changed",
            Self::AddressAdded => "address-added",
            Self::AddressRemoved => "address-removed",
            Self::AddressChanged => "address-changed",
            Self::WhyChanged => "why-changed",
            Self::PresetChanged => "preset-changed",
        }
    }

    /// Every code, in the order of the reasons.
    pub const CODES: [&str; 17] = [
        "registry-added",
        "registry-removed",
        "data-endpoints-on",
        "data-endpoints-off",
        "regional-endpoints-on",
        "regional-endpoints-off",
        "replica-added",
        "replica-removed",
        "host-added",
        "host-removed",
        "role-changed",
        "port-changed",
        "address-added",
        "address-removed",
        "address-changed",
        "why-changed",
        "preset-changed",
    ];

    /// The region that it is about.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::ReplicaAdded(region) | Self::ReplicaRemoved(region) => Some(region),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegistryAdded => f.write_str("registry added"),
            Self::RegistryRemoved => f.write_str("registry removed"),
            Self::DataEndpointsOn => f.write_str("dedicated data endpoints on"),
            Self::DataEndpointsOff => f.write_str("dedicated data endpoints off"),
            Self::RegionalEndpointsOn => f.write_str("regional endpoints on"),
            Self::RegionalEndpointsOff => f.write_str("regional endpoints off"),
            Self::ReplicaAdded(region) => write!(f, "replica {region} added"),
            Self::ReplicaRemoved(region) => write!(f, "replica {region} removed"),
            Self::HostAdded => f.write_str("host added"),
            Self::HostRemoved => f.write_str("host removed"),
            Self::RoleChanged => f.write_str("role changed"),
            Self::PortChanged => f.write_str("ports changed"),
            Self::AddressAdded => f.write_str("private addresses added"),
            Self::AddressRemoved => f.write_str("private addresses removed"),
            Self::AddressChanged => f.write_str("private addresses changed"),
            Self::WhyChanged => f.write_str("reason for being listed changed"),
            Self::PresetChanged => f.write_str("presets changed"),
        }
    }
}

/// How many hosts differ, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Hosts that only the new list has.
    pub added: usize,
    /// Hosts that only the old list has.
    pub removed: usize,
    /// Hosts of which the lists say different things.
    pub changed: usize,
}

impl Drift {
    /// What leads from `old` to `new`.
    pub fn between(old: &Allowlist, new: &Allowlist) -> Self {
        let (before, after) = (by_host(old), by_host(new));
        let (shapes_before, shapes_after) = (shapes(old), shapes(new));
        let mut found: BTreeMap<Owner, BTreeMap<Reason, Vec<Difference>>> = BTreeMap::new();
        let mut note = |owner: Owner, reason: Reason, difference: Difference| {
            found.entry(owner).or_default().entry(reason).or_default().push(difference);
        };
        let hosts: BTreeSet<&HostPattern> = before.keys().chain(after.keys()).copied().collect();
        for host in hosts {
            match (before.get(host), after.get(host)) {
                (None, Some(entry)) => {
                    let owner = owner(entry);
                    let reason = added(entry, shapes_before.get(&owner));
                    note(owner, reason, Difference::Added((*entry).clone()));
                }
                (Some(entry), None) => {
                    let owner = owner(entry);
                    let reason = removed(entry, shapes_after.get(&owner));
                    note(owner, reason, Difference::Removed((*entry).clone()));
                }
                (Some(one), Some(other)) => {
                    for (reason, edit) in edits(one, other) {
                        // A host that becomes a registry's, or was one, is told of with the registry.
                        let owner = owner(other).min(owner(one));
                        note(owner, reason, Difference::Edited(host.clone(), edit));
                    }
                }
                (None, None) => {}
            }
        }
        let changes = |changes: BTreeMap<Reason, Vec<Difference>>| {
            let change = |(reason, differences)| Change { reason, differences };
            changes.into_iter().map(change).collect()
        };
        let group = |(owner, reasons)| Group { owner, changes: changes(reasons) };
        Self { groups: found.into_iter().map(group).collect() }
    }

    /// What `old` becomes by it.
    pub fn apply(&self, old: &Allowlist) -> Result<Allowlist, Conflict> {
        let mut entries: BTreeMap<&HostPattern, Entry> =
            old.entries().iter().map(|entry| (&entry.host, entry.clone())).collect();
        for (_, _, difference) in self.differences() {
            match difference {
                Difference::Added(entry) => {
                    entries.insert(&entry.host, entry.clone());
                }
                Difference::Removed(entry) => {
                    entries.remove(&entry.host);
                }
                Difference::Edited(host, edit) => {
                    if let Some(entry) = entries.get_mut(host) {
                        edit.apply(entry);
                    }
                }
            }
        }
        Allowlist::new(entries.into_values())
    }

    /// By owner: registries in the order of their login servers, and last what is written by hand.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Whether the lists are equal.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Every difference with its reason.
    pub fn differences(&self) -> impl Iterator<Item = (&Owner, &Reason, &Difference)> {
        self.groups.iter().flat_map(|group| {
            group.changes.iter().flat_map(|change| {
                let differences = change.differences.iter();
                differences.map(|difference| (&group.owner, &change.reason, difference))
            })
        })
    }

    /// How many hosts it is about.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let mut changed = BTreeSet::new();
        for (_, _, difference) in self.differences() {
            match difference {
                Difference::Added(_) => tally.added += 1,
                Difference::Removed(_) => tally.removed += 1,
                Difference::Edited(host, _) => {
                    changed.insert(host);
                }
            }
        }
        tally.changed = changed.len();
        tally
    }
}

impl Edit {
    fn apply(&self, entry: &mut Entry) {
        match self {
            Self::Role(_, new) => entry.role = new.clone(),
            Self::Ports(_, new) => entry.ports = new.clone(),
            Self::Addresses(_, new) => entry.addresses.clone_from(new),
            Self::Why(_, new) => entry.why.clone_from(new),
            Self::Presets(_, new) => entry.presets.clone_from(new),
        }
    }
}

/// Whose `entry` is. A pattern of a registry's hosts stands for its region, so it is the registry's, too.
pub fn owner(entry: &Entry) -> Owner {
    if entry.role.registry().is_none() {
        return Owner::HandWritten;
    }
    let region = entry.role.region().map_or("*", Region::as_str);
    let labels: Vec<&str> =
        entry.host.labels().map(|label| if label == "*" { region } else { label }).collect();
    match labels.join(".").parse::<Endpoint>() {
        Ok(endpoint) => Owner::Registry(endpoint.login_server().clone()),
        // The guard lets a registry's role stand only beside its own hosts.
        Err(_) => Owner::HandWritten,
    }
}

/// What a list has of one registry.
#[derive(Default)]
struct Shape {
    has_data: bool,
    has_regional_login: bool,
    regions: BTreeSet<Region>,
}

fn shapes(list: &Allowlist) -> BTreeMap<Owner, Shape> {
    let mut shapes: BTreeMap<Owner, Shape> = BTreeMap::new();
    for entry in list.entries().iter().filter(|entry| entry.role.registry().is_some()) {
        let shape = shapes.entry(owner(entry)).or_default();
        shape.has_data |= matches!(entry.role, Role::Data(..));
        shape.has_regional_login |= matches!(entry.role, Role::RegionalLogin(..));
        shape.regions.extend(entry.role.region().cloned());
    }
    shapes
}

fn by_host(list: &Allowlist) -> BTreeMap<&HostPattern, &Entry> {
    list.entries().iter().map(|entry| (&entry.host, entry)).collect()
}

/// What a host of a registry means that one of two lists lacks.
enum Lack {
    Registry,
    DataEndpoints,
    RegionalEndpoints,
    Replica(Region),
    Host,
}

impl Lack {
    /// What is missing where `entry` is missing, in a list that has `shape` of the same registry.
    fn of(entry: &Entry, shape: Option<&Shape>) -> Self {
        let (is_data, region) = match &entry.role {
            Role::StorageAccount | Role::Other => return Self::Host,
            Role::Login(_) => (false, None),
            Role::RegionalLogin(_, region) => (false, Some(region)),
            Role::Data(_, region) => (true, Some(region)),
        };
        let (Some(shape), region) = (shape, region) else {
            return Self::Registry;
        };
        match region {
            Some(_) if is_data && !shape.has_data => Self::DataEndpoints,
            Some(_) if !is_data && !shape.has_regional_login => Self::RegionalEndpoints,
            Some(region) if !shape.regions.contains(region) => Self::Replica(region.clone()),
            Some(_) | None => Self::Host,
        }
    }
}

fn added(entry: &Entry, before: Option<&Shape>) -> Reason {
    match Lack::of(entry, before) {
        Lack::Registry => Reason::RegistryAdded,
        Lack::DataEndpoints => Reason::DataEndpointsOn,
        Lack::RegionalEndpoints => Reason::RegionalEndpointsOn,
        Lack::Replica(region) => Reason::ReplicaAdded(region),
        Lack::Host => Reason::HostAdded,
    }
}

fn removed(entry: &Entry, after: Option<&Shape>) -> Reason {
    match Lack::of(entry, after) {
        Lack::Registry => Reason::RegistryRemoved,
        Lack::DataEndpoints => Reason::DataEndpointsOff,
        Lack::RegionalEndpoints => Reason::RegionalEndpointsOff,
        Lack::Replica(region) => Reason::ReplicaRemoved(region),
        Lack::Host => Reason::HostRemoved,
    }
}

/// What two entries for one host say differently. Each key has a reason of its own.
fn edits(one: &Entry, other: &Entry) -> Vec<(Reason, Edit)> {
    let mut edits = Vec::new();
    if one.role != other.role {
        let edit = Edit::Role(one.role.clone(), other.role.clone());
        edits.push((Reason::RoleChanged, edit));
    }
    if one.ports != other.ports {
        let edit = Edit::Ports(one.ports.clone(), other.ports.clone());
        edits.push((Reason::PortChanged, edit));
    }
    if one.addresses != other.addresses {
        let lost = one.addresses.iter().any(|pin| !other.addresses.contains(pin));
        let won = other.addresses.iter().any(|pin| !one.addresses.contains(pin));
        let reason = match (lost, won) {
            (false, true) => Reason::AddressAdded,
            (true, false) => Reason::AddressRemoved,
            _ => Reason::AddressChanged,
        };
        let edit = Edit::Addresses(one.addresses.clone(), other.addresses.clone());
        edits.push((reason, edit));
    }
    if one.why != other.why {
        let edit = Edit::Why(one.why.clone(), other.why.clone());
        edits.push((Reason::WhyChanged, edit));
    }
    if one.presets != other.presets {
        let edit = Edit::Presets(one.presets.clone(), other.presets.clone());
        edits.push((Reason::PresetChanged, edit));
    }
    edits
}
