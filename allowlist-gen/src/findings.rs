//! Decides what is worth a person's attention although a list can be given: contradictions, gaps and
//! assumptions that concern the hosts. Each has a stable code and says what to do.

use std::collections::BTreeSet;
use std::fmt;

use ringfence_config::address::Pin;
use ringfence_config::allowlist::{Label, Region};

use crate::endpoint::Endpoint;
use crate::region;
use crate::registry::{
    Addresses, Connection, DataEndpoints, DataPath, Feature, Listing, Origin, Position,
    PrivateEndpoint, Registry, ResourceId, Scope, Sku, Status,
};

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
    DataEndpointsAssumed(Sku),
    DataEndpointsImplied,
    EndpointsDisputed {
        feature: Feature,
        on: Vec<Origin>,
        off: Vec<Origin>,
    },
    RegionsFromEndpoint,
    ReplicasFromEmptyListing(Vec<Origin>),
    RegionsDiffer {
        region: Region,
        named_by: Vec<Origin>,
        missing_from: Vec<Origin>,
    },
    UnknownRegion(Region),
    ReplicaNotReady {
        region: Region,
        state: String,
    },
    ConnectionNotApproved {
        endpoint: ResourceId,
        status: Status,
    },
    AddressesUnknown(ResourceId),
    AddressMissing {
        endpoint: Endpoint,
        from: ResourceId,
    },
    RecordMissing(Endpoint),
    RecordUnlisted(Endpoint),
    AddressesDiffer {
        endpoint: Endpoint,
        zone: BTreeSet<Pin>,
        members: BTreeSet<Pin>,
    },
}

/// Everything worth telling about `registry`, given the hosts that are on its list.
pub(crate) fn of(
    registry: &Registry,
    data: DataEndpoints,
    endpoints: &BTreeSet<Endpoint>,
) -> Vec<Finding> {
    let mut kinds = Vec::new();
    kinds.extend(data_path(registry, data));
    kinds.extend(disputes(registry));
    kinds.extend(regions(registry));
    kinds.extend(replicas(registry));
    kinds.extend(connections(registry));
    kinds.extend(addresses(registry, endpoints));
    kinds
        .into_iter()
        .map(|kind| Finding {
            registry: registry.login_server.label().clone(),
            name: registry.name.clone(),
            kind,
        })
        .collect()
}

/// A list made from nothing but names that someone typed.
pub(crate) fn no_metadata(registry: &Registry) -> Finding {
    Finding {
        registry: registry.login_server.label().clone(),
        name: registry.name.clone(),
        kind: Kind::NoMetadata,
    }
}

fn data_path(registry: &Registry, data: DataEndpoints) -> Option<Kind> {
    match (registry.data_path(), data) {
        (DataPath::SharedStorage | DataPath::Unknown, DataEndpoints::AssumedOn) => {
            Some(Kind::DataEndpointsAssumed(registry.sku.clone()))
        }
        // A private endpoint alone says nothing about the flag; a registry that was read does.
        (DataPath::ImpliedByPrivateEndpoint, _)
            if registry
                .switches
                .iter()
                .any(|switch| switch.feature == Feature::DataEndpoints) =>
        {
            Some(Kind::DataEndpointsImplied)
        }
        _ => None,
    }
}

fn disputes(registry: &Registry) -> impl Iterator<Item = Kind> + '_ {
    [Feature::DataEndpoints, Feature::RegionalEndpoints]
        .into_iter()
        .filter_map(|feature| {
            let origins = |position| {
                sorted(
                    registry
                        .switches
                        .iter()
                        .filter(|s| s.feature == feature && s.position == position)
                        .map(|switch| &switch.origin),
                )
            };
            let (on, off) = (origins(Position::On), origins(Position::Off));
            (!on.is_empty() && !off.is_empty()).then_some(Kind::EndpointsDisputed {
                feature,
                on,
                off,
            })
        })
}

fn regions(registry: &Registry) -> Vec<Kind> {
    let listings = || {
        registry
            .listings
            .iter()
            .filter(|list| !list.regions.is_empty())
    };
    let with_scope = |scope| move |list: &&Listing| list.scope == scope;
    let mut kinds = Vec::new();
    let has_listing = listings().any(|list| list.scope == Scope::Registry);
    let has_empty_listing = listings().any(|list| list.scope == Scope::EmptyListing);
    if !has_listing && has_empty_listing {
        let origins = listings().filter(with_scope(Scope::EmptyListing));
        kinds.push(Kind::ReplicasFromEmptyListing(sorted(
            origins.map(|list| &list.origin),
        )));
    } else if !has_listing && listings().any(|list| list.scope == Scope::PrivateEndpoint) {
        kinds.push(Kind::RegionsFromEndpoint);
    }
    let all: BTreeSet<&Region> = listings().flat_map(|list| &list.regions).collect();
    for region in all {
        let names = |list: &&Listing| list.regions.contains(region);
        // What a private endpoint lacks is told host by host, with another remedy.
        let missing_from = sorted(
            listings()
                .filter(with_scope(Scope::Registry))
                .filter(|list| !names(list))
                .map(|list| &list.origin),
        );
        if !missing_from.is_empty() {
            kinds.push(Kind::RegionsDiffer {
                region: region.clone(),
                named_by: sorted(listings().filter(names).map(|list| &list.origin)),
                missing_from,
            });
        }
        if !region::is_known(region) {
            kinds.push(Kind::UnknownRegion(region.clone()));
        }
    }
    kinds
}

fn replicas(registry: &Registry) -> impl Iterator<Item = Kind> + '_ {
    registry
        .replicas
        .iter()
        .filter(|replica| !replica.state.eq_ignore_ascii_case("succeeded"))
        .map(|replica| Kind::ReplicaNotReady {
            region: replica.region.clone(),
            state: replica.state.clone(),
        })
}

fn connections(registry: &Registry) -> Vec<Kind> {
    let has_addresses = |id: &ResourceId| {
        !registry.zone.is_empty() || registry.private_endpoints.iter().any(|pe| pe.id == *id)
    };
    let describe = |connection: &Connection| {
        let endpoint = connection.endpoint.clone();
        match &connection.status {
            Status::Approved if has_addresses(&endpoint) => None,
            Status::Approved => Some(Kind::AddressesUnknown(endpoint)),
            status @ (Status::Pending | Status::Other(_)) => Some(Kind::ConnectionNotApproved {
                endpoint,
                status: status.clone(),
            }),
        }
    };
    registry.connections.iter().filter_map(describe).collect()
}

fn addresses(registry: &Registry, endpoints: &BTreeSet<Endpoint>) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for PrivateEndpoint { id, members } in &registry.private_endpoints {
        let missing = endpoints.iter().filter(|e| !members.contains_key(e));
        kinds.extend(missing.map(|endpoint| Kind::AddressMissing {
            endpoint: endpoint.clone(),
            from: id.clone(),
        }));
    }
    if registry.zone.is_empty() {
        return kinds;
    }
    let zone = &registry.zone;
    let missing = endpoints.iter().filter(|e| !zone.contains_key(e));
    kinds.extend(missing.cloned().map(Kind::RecordMissing));
    let unlisted = zone.keys().filter(|e| !endpoints.contains(e));
    kinds.extend(unlisted.cloned().map(Kind::RecordUnlisted));
    kinds.extend(differing_addresses(registry, zone));
    kinds
}

fn differing_addresses<'a>(
    registry: &'a Registry,
    zone: &'a Addresses,
) -> impl Iterator<Item = Kind> + 'a {
    zone.iter().filter_map(|(endpoint, zone)| {
        let members: BTreeSet<Pin> = registry
            .private_endpoints
            .iter()
            .filter_map(|pe| pe.members.get(endpoint))
            .flatten()
            .copied()
            .collect();
        // Several endpoints share one zone, which can then hold the addresses of only some of them.
        (!members.is_empty() && !zone.is_subset(&members)).then(|| Kind::AddressesDiffer {
            endpoint: endpoint.clone(),
            zone: zone.clone(),
            members,
        })
    })
}

fn sorted<'a>(origins: impl Iterator<Item = &'a Origin>) -> Vec<Origin> {
    origins
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

impl Finding {
    /// A stable name for this kind of finding.
    pub fn code(&self) -> &'static str {
        match &self.kind {
            Kind::NoMetadata => "no-metadata",
            Kind::DataEndpointsAssumed(_) => "data-endpoints-assumed",
            Kind::DataEndpointsImplied => "data-endpoints-implied",
            Kind::EndpointsDisputed { .. } => "endpoints-disputed",
            Kind::RegionsFromEndpoint => "regions-from-private-endpoint",
            Kind::ReplicasFromEmptyListing(_) => "replicas-from-empty-list",
            Kind::RegionsDiffer { .. } => "regions-differ",
            Kind::UnknownRegion(_) => "region-unknown",
            Kind::ReplicaNotReady { .. } => "replica-not-ready",
            Kind::ConnectionNotApproved { .. } => "connection-not-approved",
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

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let name = &self.name;
        match &self.kind {
            Kind::NoMetadata => format!(
                "compare with the registry itself: az acr show-endpoints --name {name} | allowlist-gen generate -"
            ),
            Kind::DataEndpointsAssumed(Sku::Lower(sku)) => format!(
                "once these hosts are allowed: az acr update --name {name} --sku Premium \
                 (it is {sku}, which has none), then az acr update --name {name} --data-endpoint-enabled true"
            ),
            Kind::DataEndpointsAssumed(Sku::Premium | Sku::Unknown) => format!(
                "once these hosts are allowed: az acr update --name {name} --data-endpoint-enabled true"
            ),
            Kind::DataEndpointsImplied => format!(
                "make it explicit: az acr update --name {name} --data-endpoint-enabled true"
            ),
            Kind::EndpointsDisputed { .. } | Kind::RegionsDiffer { .. } => {
                "if nothing is being changed right now, one of them is old: fetch it again".to_owned()
            }
            Kind::RegionsFromEndpoint => format!(
                "an endpoint can lack regions that were added after it; give the registry, too: az acr show --name {name}"
            ),
            Kind::ReplicasFromEmptyListing(_) => format!(
                "az acr show-endpoints --name {name} tells the regions without doubt"
            ),
            Kind::UnknownRegion(_) => {
                "check the spelling; if the region is new, there is nothing to do".to_owned()
            }
            Kind::ReplicaNotReady { .. } => format!(
                "generate again once it is ready: az acr replication list --registry {name}"
            ),
            Kind::ConnectionNotApproved { status: Status::Pending, .. } => format!(
                "approve it or delete it: az acr private-endpoint-connection list --registry-name {name}"
            ),
            Kind::ConnectionNotApproved { .. } => format!(
                "delete it or request it anew: az acr private-endpoint-connection list --registry-name {name}"
            ),
            Kind::AddressesUnknown(endpoint) => format!(
                "give the endpoint's network interface, too: az network private-endpoint show --ids {endpoint} \
                 --query \"networkInterfaces[0].id\" -o tsv | xargs az network nic show --ids"
            ),
            Kind::AddressMissing { .. } => {
                "approve the connection again or re-create the endpoint, then add the DNS record if DNS is kept by hand"
                    .to_owned()
            }
            Kind::RecordMissing(_) => {
                "add the record; DNS that is kept by hand doesn't follow new regions".to_owned()
            }
            Kind::RecordUnlisted(_) => "delete the record if its region is gone for good".to_owned(),
            Kind::AddressesDiffer { .. } => {
                "give the interfaces of all private endpoints that this zone serves, or correct the record".to_owned()
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::NoMetadata => f.write_str(
                "made from names alone: nothing confirms the registry or its regions, and dedicated data \
                 endpoints are assumed to be on",
            ),
            Kind::DataEndpointsAssumed(_) => f.write_str(
                "dedicated data endpoints are assumed to be on; until they are, pulls through this list fail",
            ),
            Kind::DataEndpointsImplied => f.write_str(
                "the registry doesn't report dedicated data endpoints as on, but has an approved private \
                 endpoint, which is documented to turn them on",
            ),
            Kind::EndpointsDisputed { feature, on, off } => write!(
                f,
                "{feature} are on according to {}, and off according to {}; their hosts are on the list",
                Origins(on),
                Origins(off)
            ),
            Kind::RegionsFromEndpoint => {
                f.write_str("the regions are known only from what its private endpoint reaches")
            }
            Kind::ReplicasFromEmptyListing(origins) => write!(
                f,
                "{} is taken to mean that there are no replicas, although it doesn't say of what it is a list",
                Origins(origins)
            ),
            Kind::RegionsDiffer {
                region,
                named_by,
                missing_from,
            } => write!(
                f,
                "region `{region}` is named by {}, but not by {}; its hosts are on the list",
                Origins(named_by),
                Origins(missing_from)
            ),
            Kind::UnknownRegion(region) => write!(f, "`{region}` is no region that Azure has published"),
            Kind::ReplicaNotReady { region, state } => write!(
                f,
                "the replica in `{region}` is not ready ({state}); its hosts are on the list"
            ),
            Kind::ConnectionNotApproved { endpoint, status } => write!(
                f,
                "the connection of private endpoint `{}` is {status}, so it carries nothing and adds nothing",
                endpoint.name()
            ),
            Kind::AddressesUnknown(endpoint) => write!(
                f,
                "clients behind private endpoint `{}` get private addresses, which are not in the input; the \
                 proxy refuses private addresses that the list doesn't hold",
                endpoint.name()
            ),
            Kind::AddressMissing { endpoint, from } => write!(
                f,
                "private endpoint `{}` has no address for `{endpoint}`",
                from.name()
            ),
            Kind::RecordMissing(endpoint) => {
                write!(f, "the private DNS zone has no record for `{endpoint}`")
            }
            Kind::RecordUnlisted(endpoint) => write!(
                f,
                "the private DNS zone has a record for `{endpoint}`, which is not a host of the registry now"
            ),
            Kind::AddressesDiffer {
                endpoint,
                zone,
                members,
            } => write!(
                f,
                "`{endpoint}` is {} in the private DNS zone, and {} on its private endpoints; all are on the list",
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
