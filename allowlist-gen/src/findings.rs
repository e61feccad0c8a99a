//! Says what is worth a person's attention although a list can be given: contradictions, gaps and
//! assumptions that concern the hosts. Each has a stable code and says what to do.

mod rules;

use std::collections::BTreeSet;
use std::fmt;

use ringfence_config::address::Pin;
use ringfence_config::registry::{Label, Region};

use crate::endpoint::Endpoint;
use crate::registry::{DataEndpoints, Feature, Gap, Origin, Registry, ResourceId, Sku, Status};

/// One thing that someone should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    registry: Label,
    /// What `az acr` calls the registry.
    name: String,
    kind: Kind,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    NoMetadata,
    Unreadable(Gap),
    DataEndpointsAssumed(Sku),
    DataEndpointsImplied,
    EndpointsDisputed { feature: Feature, on: Vec<Origin>, off: Vec<Origin> },
    RegionsFromEndpoint,
    ReplicasFromEmptyListing(Vec<Origin>),
    RegionsDiffer { region: Region, named_by: Vec<Origin>, missing_from: Vec<Origin> },
    UnknownRegion(Region),
    ReplicaNotReady { region: Region, state: String },
    ConnectionNotApproved { endpoint: ResourceId, status: Status },
    ConnectionDisputed { endpoint: ResourceId, status: Status },
    AddressesUnknown(ResourceId),
    AddressMissing { endpoint: Endpoint, from: ResourceId },
    RecordMissing(Endpoint),
    RecordUnlisted(Endpoint),
    AddressesDiffer { endpoint: Endpoint, zone: BTreeSet<Pin>, members: BTreeSet<Pin> },
}

/// Everything worth telling about `registry`, given the hosts that are on its list.
pub(crate) fn of(
    registry: &Registry,
    data: DataEndpoints,
    endpoints: &BTreeSet<Endpoint>,
) -> Vec<Finding> {
    let kinds = rules::of(registry, data, endpoints);
    kinds.into_iter().map(|kind| Finding::new(registry, kind)).collect()
}

/// A list made from nothing but names that someone typed.
pub(crate) fn no_metadata(registry: &Registry) -> Finding {
    Finding::new(registry, Kind::NoMetadata)
}

impl Finding {
    fn new(registry: &Registry, kind: Kind) -> Self {
        Self { registry: registry.login_server.label().clone(), name: registry.name.clone(), kind }
    }

    /// A stable name for this kind of finding.
    pub fn code(&self) -> &'static str {
        match &self.kind {
            Kind::NoMetadata => "no-metadata",
            Kind::Unreadable(_) => "unreadable",
            Kind::DataEndpointsAssumed(_) => "data-endpoints-assumed",
            Kind::DataEndpointsImplied => "data-endpoints-implied",
            Kind::EndpointsDisputed { .. } => "endpoints-disputed",
            Kind::RegionsFromEndpoint => "regions-from-private-endpoint",
            Kind::ReplicasFromEmptyListing(_) => "replicas-from-empty-list",
            Kind::RegionsDiffer { .. } => "regions-differ",
            Kind::UnknownRegion(_) => "region-unknown",
            Kind::ReplicaNotReady { .. } => "replica-not-ready",
            Kind::ConnectionNotApproved { .. } => "connection-not-approved",
            Kind::ConnectionDisputed { .. } => "connection-disputed",
            Kind::AddressesUnknown(_) => "addresses-unknown",
            Kind::AddressMissing { .. } => "address-missing",
            Kind::RecordMissing(_) => "record-missing",
            Kind::RecordUnlisted(_) => "record-unlisted",
            Kind::AddressesDiffer { .. } => "addresses-differ",
        }
    }

    /// The registry it concerns: the first label of its login server.
    pub fn registry(&self) -> &Label {
        &self.registry
    }

    /// What to do about it; commands stand on lines of their own.
    pub fn remedy(&self) -> String {
        let name = &self.name;
        match &self.kind {
            Kind::NoMetadata => format!(
                "compare with the registry itself\n  \
                 az acr show-endpoints --name {name} | allowlist-gen generate -"
            ),
            Kind::Unreadable(Gap { resource, .. }) => format!(
                "let whoever runs this read it (the role Reader will do), and look again\n  \
                 az role assignment create --role Reader --assignee WHO --scope {resource}"
            ),
            Kind::DataEndpointsAssumed(Sku::Lower(sku)) => format!(
                "once these hosts are allowed, leave {sku} behind and switch data endpoints on\n  \
                 az acr update --name {name} --sku Premium\n  \
                 az acr update --name {name} --data-endpoint-enabled true"
            ),
            Kind::DataEndpointsAssumed(Sku::Premium | Sku::Unknown) => format!(
                "once these hosts are allowed, switch data endpoints on\n  \
                 az acr update --name {name} --data-endpoint-enabled true"
            ),
            Kind::DataEndpointsImplied => format!(
                "switch them on by name, so that nothing depends on the private endpoint\n  \
                 az acr update --name {name} --data-endpoint-enabled true"
            ),
            Kind::EndpointsDisputed { .. }
            | Kind::RegionsDiffer { .. }
            | Kind::ConnectionDisputed { .. } => {
                "if nothing is changing right now, one of the files is old: fetch it again"
                    .to_owned()
            }
            Kind::RegionsFromEndpoint => format!(
                "an endpoint can lack regions that were added after it; give the registry, too\n  \
                 az acr show --name {name}"
            ),
            Kind::ReplicasFromEmptyListing(_) => format!(
                "give what tells the regions without doubt\n  \
                 az acr show-endpoints --name {name}"
            ),
            Kind::UnknownRegion(_) => {
                "check the spelling; if the region is new, there is nothing to do".to_owned()
            }
            Kind::ReplicaNotReady { .. } => format!(
                "generate again once it is ready\n  az acr replication list --registry {name}"
            ),
            Kind::ConnectionNotApproved { status: Status::Pending, .. } => format!(
                "approve it or delete it\n  \
                 az acr private-endpoint-connection list --registry-name {name}"
            ),
            Kind::ConnectionNotApproved { .. } => format!(
                "delete it, or request it anew\n  \
                 az acr private-endpoint-connection list --registry-name {name}"
            ),
            Kind::AddressesUnknown(endpoint) => format!(
                "if such clients use this list, give the endpoint's network interface, too: show \
                 it by the id that this prints\n  \
                 az network private-endpoint show --query \"networkInterfaces[].id\" \
                 --ids {endpoint}\n  \
                 az network nic show --ids ID"
            ),
            Kind::AddressMissing { .. } => format!(
                "a region that came later needs the connection approved again, or a new \
                 endpoint\n  \
                 az acr private-endpoint-connection list --registry-name {name}"
            ),
            Kind::RecordMissing(_) => {
                "add the record; DNS that is kept by hand doesn't follow new regions".to_owned()
            }
            Kind::RecordUnlisted(_) => {
                "delete the record if its region is gone for good".to_owned()
            }
            Kind::AddressesDiffer { .. } => {
                "correct the record, or give the interfaces of all endpoints that the zone serves"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::NoMetadata => f.write_str(
                "made from names alone: nothing confirms the registry or its regions, and \
                 dedicated data endpoints are assumed to be on",
            ),
            Kind::Unreadable(Gap { resource, code }) => write!(
                f,
                "`{resource}` can't be read ({code}), so what it says is unknown, and nothing is \
                 assumed of it"
            ),
            Kind::DataEndpointsAssumed(_) => f.write_str(
                "dedicated data endpoints are assumed to be on; until they are, pulls through this \
                 list fail",
            ),
            Kind::DataEndpointsImplied => f.write_str(
                "the registry doesn't report dedicated data endpoints as on, but has an approved \
                 private endpoint, which is documented to turn them on",
            ),
            Kind::EndpointsDisputed { feature, on, off } => write!(
                f,
                "{feature} are on according to {}, and off according to {}; their hosts are on the \
                 list",
                Origins(on),
                Origins(off)
            ),
            Kind::RegionsFromEndpoint => {
                f.write_str("the regions are known only from what its private endpoint reaches")
            }
            Kind::ReplicasFromEmptyListing(origins) => write!(
                f,
                "{} is taken to mean that there are no replicas, although it doesn't say of what \
                 it is a list",
                Origins(origins)
            ),
            Kind::RegionsDiffer { region, named_by, missing_from } => write!(
                f,
                "region `{region}` is named by {}, but not by {}; its hosts are on the list",
                Origins(named_by),
                Origins(missing_from)
            ),
            Kind::UnknownRegion(region) => {
                write!(f, "`{region}` is no region that Azure has published")
            }
            Kind::ReplicaNotReady { region, state } => write!(
                f,
                "the replica in `{region}` is not ready ({state}); its hosts are on the list"
            ),
            Kind::ConnectionNotApproved { endpoint, status } => write!(
                f,
                "the connection of private endpoint `{}` is {status}, so it carries nothing and \
                 adds nothing",
                endpoint.name()
            ),
            Kind::ConnectionDisputed { endpoint, status } => write!(
                f,
                "the connection of private endpoint `{}` is approved in one place and {status} in \
                 another, and counts as approved",
                endpoint.name()
            ),
            Kind::AddressesUnknown(endpoint) => write!(
                f,
                "clients behind private endpoint `{}` get private addresses, which are not in the \
                 input; the proxy refuses private addresses that the list doesn't hold",
                endpoint.name()
            ),
            Kind::AddressMissing { endpoint, from } => {
                write!(f, "private endpoint `{}` has no address for `{endpoint}`", from.name())
            }
            Kind::RecordMissing(endpoint) => {
                write!(f, "the private DNS zone has no record for `{endpoint}`")
            }
            Kind::RecordUnlisted(endpoint) => write!(
                f,
                "the private DNS zone has a record for `{endpoint}`, which is not a host of the \
                 registry now"
            ),
            Kind::AddressesDiffer { endpoint, zone, members } => write!(
                f,
                "`{endpoint}` is {} in the private DNS zone, and {} on its private endpoints; all \
                 are on the list",
                Pins(zone),
                Pins(members)
            ),
        }
    }
}

/// "a, b and c".
struct Origins<'a>(&'a [Origin]);

impl fmt::Display for Origins<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(Origin::to_string).collect();
        f.write_str(&enumerate(&words))
    }
}

struct Pins<'a>(&'a BTreeSet<Pin>);

impl fmt::Display for Pins<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|pin| format!("`{pin}`")).collect();
        f.write_str(&enumerate(&words))
    }
}

fn enumerate(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
