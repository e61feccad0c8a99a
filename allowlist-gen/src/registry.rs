//! Decides what a registry is: which regions it has, how its layers travel, and so which hosts and
//! addresses its clients need. What is odd about it is told by [`findings`](crate::findings).

pub(crate) mod private_link;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringfence_config::address::Pin;
use ringfence_config::registry::Region;
use ringfence_config::{Entry, Role};

use crate::endpoint::{Endpoint, Family, LoginServer};
use crate::posture::Posture;
use crate::refusal::{Refusal, Why};
use private_link::PrivateLink;

/// Everything that the input says about one registry, each statement with its origin.
///
/// Statements may contradict each other, because snapshots grow old at different times. All hosts
/// that can follow from them belong to the same owner, so the list takes the union: a host too many
/// reaches nobody else, a host too few breaks a pull. Each contradiction is a finding.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) login_server: LoginServer,
    /// What `az acr … --name` takes.
    pub(crate) name: String,
    pub(crate) sku: Sku,
    pub(crate) listings: Vec<Listing>,
    pub(crate) switches: Vec<Switch>,
    pub(crate) replicas: BTreeSet<Replica>,
    pub(crate) connections: BTreeSet<Connection>,
    pub(crate) private_endpoints: Vec<PrivateEndpoint>,
    pub(crate) zone: Addresses,
    pub(crate) gaps: BTreeSet<Gap>,
    /// What is said of it beside its hosts.
    pub(crate) posture: Posture,
    pub(crate) private_link: PrivateLink,
}

/// The private addresses of some of a registry's hosts.
pub(crate) type Addresses = BTreeMap<Endpoint, BTreeSet<Pin>>;

/// Whether data endpoints that the metadata doesn't report as on are taken to be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEndpoints {
    /// Only what the metadata reports.
    AsReported,
    /// On for every registry, so that rules can be in place before they are switched on.
    AssumedOn,
}

/// The service tier; only Premium has dedicated data endpoints.
/// <https://learn.microsoft.com/azure/container-registry/container-registry-skus>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sku {
    Unknown,
    Premium,
    Lower(String),
}

/// Where a statement stands, as messages name it: "`dataEndpointHostNames` in acr-show.json".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    what: String,
    file: String,
}

impl Origin {
    pub(crate) fn new(what: &str, file: &str) -> Self {
        Self { what: what.to_owned(), file: file.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.what, self.file)
    }
}

/// Some regions of the registry, as one origin names them.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) origin: Origin,
    pub(crate) scope: Scope,
    pub(crate) regions: BTreeSet<Region>,
}

/// What a [`Listing`] claims to be complete about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// The regions it names, and nothing about others.
    Named,
    /// Every region of the registry.
    Registry,
    /// Every region, on the word of a listing of its replications that has none: the home region alone.
    NoReplications,
    /// Every region, on the word of an empty listing that doesn't say whose it is.
    EmptyListing,
    /// The regions that one private endpoint reaches.
    PrivateEndpoint,
}

/// Whether a feature is on, as one origin says.
#[derive(Debug, Clone)]
pub(crate) struct Switch {
    pub(crate) origin: Origin,
    pub(crate) feature: Feature,
    pub(crate) position: Position,
}

/// A family of regional hosts that can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feature {
    /// One data host per region.
    DataEndpoints,
    /// One login server per region.
    RegionalEndpoints,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DataEndpoints => "dedicated data endpoints",
            Self::RegionalEndpoints => "regional endpoints",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    On,
    Off,
    Unsaid,
}

/// One region's copy of the registry, with the state of its provisioning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Replica {
    pub(crate) region: Region,
    pub(crate) state: String,
}

/// A private endpoint's request to reach the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection {
    pub(crate) endpoint: ResourceId,
    pub(crate) status: Status,
}

/// The state of a connection between a private endpoint and a registry.
/// <https://learn.microsoft.com/rest/api/container-registry/private-endpoint-connections>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It carries traffic.
    Approved,
    /// It waits for the registry's owner.
    Pending,
    /// Any other word: rejected, disconnected, or new.
    Other(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approved => "approved",
            Self::Pending => "pending",
            Self::Other(word) => word,
        })
    }
}

/// One private endpoint with the addresses of its members.
#[derive(Debug, Clone)]
pub(crate) struct PrivateEndpoint {
    pub(crate) id: ResourceId,
    pub(crate) members: Addresses,
}

/// A part of the registry, or something that leads to it, which Azure would not show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gap {
    pub(crate) resource: ResourceId,
    /// What ARM calls the reason: `AuthorizationFailed`.
    pub(crate) code: String,
}

/// An ARM resource id. Case doesn't count in comparisons; the spelling is kept for commands.
#[derive(Debug, Clone)]
pub(crate) struct ResourceId {
    text: String,
    folded: String,
}

impl ResourceId {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), folded: text.to_ascii_lowercase() }
    }

    /// The last segment, which is the resource's name.
    pub(crate) fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The subscription, as a command can name it.
    pub(crate) fn subscription(&self) -> Option<&str> {
        self.after("/subscriptions/")
    }

    /// The resource group.
    pub(crate) fn group(&self) -> Option<&str> {
        self.after("/resourcegroups/")
    }

    /// The segment that follows `kind`, which is in lower case.
    fn after(&self, kind: &str) -> Option<&str> {
        let start = self.folded.find(kind)? + kind.len();
        let segment = self.text.get(start..)?.split('/').next().unwrap_or_default();
        (!segment.is_empty()).then_some(segment)
    }

    /// What the resource is a part of, `levels` segments up.
    pub(crate) fn above(&self, levels: usize) -> Option<Self> {
        let mut rest = self.text.as_str();
        for _ in 0..levels {
            rest = rest.rsplit_once('/')?.0;
        }
        (!rest.is_empty()).then(|| Self::new(rest))
    }

    /// The registry that this resource is, or is part of.
    pub(crate) fn registry(&self) -> Option<Self> {
        let start = self.folded.find(REGISTRIES)? + REGISTRIES.len();
        let name = self.text[start..].split('/').next().unwrap_or_default();
        (!name.is_empty()).then(|| Self::new(&self.text[..start + name.len()]))
    }
}

/// The id as one word of a command, whatever the shell: groups may have parentheses in their names, and letters of
/// every script. <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("\"{text}\"") }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for ResourceId {}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The regions of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Regions {
    /// All of them, at least one.
    All(BTreeSet<Region>),
    /// There may be others than those that are named.
    Unknown,
}

/// How layers get from the registry to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataPath {
    /// From dedicated data endpoints, as reported.
    Dedicated,
    /// Not reported, but an approved private endpoint turns dedicated data endpoints on by itself.
    /// <https://learn.microsoft.com/azure/container-registry/container-registry-firewall-rules>
    ImpliedByPrivateEndpoint,
    /// From storage accounts that registries share.
    SharedStorage,
    /// Nothing says.
    Unknown,
}

impl Registry {
    /// A registry of which only the login server and the regions are known; its data endpoints are
    /// taken to be on.
    ///
    /// A registry without regions doesn't exist, so the first one is an argument of its own.
    pub fn from_names(login_server: LoginServer, home: Region, replicas: Vec<Region>) -> Self {
        let origin = Origin::new("the names", "the command line");
        Self {
            name: login_server.name().to_owned(),
            login_server,
            sku: Sku::Unknown,
            listings: vec![Listing {
                origin: origin.clone(),
                scope: Scope::Registry,
                regions: replicas.into_iter().chain([home]).collect(),
            }],
            switches: vec![Switch {
                origin,
                feature: Feature::DataEndpoints,
                position: Position::On,
            }],
            replicas: BTreeSet::new(),
            connections: BTreeSet::new(),
            private_endpoints: Vec::new(),
            zone: Addresses::new(),
            gaps: BTreeSet::new(),
            posture: Posture::default(),
            private_link: PrivateLink::default(),
        }
    }

    /// `endpoints` as entries of a list, each with its private addresses.
    pub(crate) fn entries<'a>(
        &'a self,
        endpoints: &'a BTreeSet<Endpoint>,
    ) -> impl Iterator<Item = Entry> + 'a {
        let mut addresses = self.addresses();
        endpoints.iter().map(move |endpoint| {
            let mut entry = Entry::new(endpoint.host(), Role::from(endpoint));
            let pins = addresses.remove(endpoint).unwrap_or_default();
            entry.addresses = pins.into_iter().collect();
            entry
        })
    }

    /// The hosts that the registry answers on, login server first.
    pub(crate) fn endpoints(&self, data: DataEndpoints) -> Result<BTreeSet<Endpoint>, Refusal> {
        match (self.data_path(), data) {
            (DataPath::Dedicated | DataPath::ImpliedByPrivateEndpoint, _)
            | (DataPath::SharedStorage | DataPath::Unknown, DataEndpoints::AssumedOn) => {}
            (DataPath::SharedStorage | DataPath::Unknown, DataEndpoints::AsReported) => {
                return Err(Refusal::new(self, Why::NoDataEndpoints));
            }
        }
        let Regions::All(regions) = self.regions() else {
            return Err(Refusal::new(self, Why::ReplicasUnknown));
        };
        let mut families = vec![Family::Login];
        families.extend(regions.iter().cloned().map(Family::Data));
        if self.says(Feature::RegionalEndpoints, Position::On) {
            families.extend(regions.into_iter().map(Family::RegionalLogin));
        }
        Ok(families.into_iter().map(|family| self.login_server.endpoint(family)).collect())
    }

    /// The union of all regions that anything names.
    ///
    /// A replica off global routing or still being created counts, too: its hosts exist or are
    /// about to.
    /// <https://learn.microsoft.com/azure/container-registry/container-registry-geo-replication>
    pub(crate) fn regions(&self) -> Regions {
        let listings = || self.listings.iter().filter(|list| !list.regions.is_empty());
        let union: BTreeSet<Region> = listings().flat_map(|list| list.regions.clone()).collect();
        let is_complete = listings().any(|list| list.scope != Scope::Named);
        // Only Premium replicates, and azure-cli refuses to list the replications of a lesser
        // registry.
        let is_single = matches!(self.sku, Sku::Lower(_)) && !union.is_empty();
        if is_complete || is_single { Regions::All(union) } else { Regions::Unknown }
    }

    pub(crate) fn data_path(&self) -> DataPath {
        if self.says(Feature::DataEndpoints, Position::On) {
            DataPath::Dedicated
        } else if self.has_private_endpoint() {
            DataPath::ImpliedByPrivateEndpoint
        } else if self.says(Feature::DataEndpoints, Position::Off) {
            DataPath::SharedStorage
        } else {
            DataPath::Unknown
        }
    }

    pub(crate) fn has_private_endpoint(&self) -> bool {
        let approved = |connection: &Connection| connection.status == Status::Approved;
        self.connections.iter().any(approved) || !self.private_endpoints.is_empty()
    }

    pub(crate) fn says(&self, feature: Feature, position: Position) -> bool {
        self.switches.iter().any(|switch| switch.feature == feature && switch.position == position)
    }

    /// What each host may resolve to. The zone of the resolver and the endpoints themselves can
    /// differ while one of them changes, so a host gets the addresses of both.
    fn addresses(&self) -> Addresses {
        let mut union = self.zone.clone();
        for (endpoint, pins) in self.private_endpoints.iter().flat_map(|pe| &pe.members) {
            union.entry(endpoint.clone()).or_default().extend(pins);
        }
        union
    }
}

const REGISTRIES: &str = "/microsoft.containerregistry/registries/";
