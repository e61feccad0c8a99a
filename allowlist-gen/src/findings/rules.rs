//! Decides which findings a registry has.

use std::collections::BTreeSet;

use ringfence_config::address::Pin;
use ringfence_config::registry::Region;

use super::Kind;
use crate::endpoint::Endpoint;
use crate::region;
use crate::registry::private_link::{Coverage, ZoneKey};
use crate::registry::{
    Addresses, Connection, DataEndpoints, DataPath, Feature, Listing, Origin, Position,
    PrivateEndpoint, Registry, ResourceId, Scope, Status,
};

/// Everything worth telling about `registry`, given the hosts that are on its list; what explains
/// most goes first.
pub(super) fn of(
    registry: &Registry,
    data: DataEndpoints,
    endpoints: &BTreeSet<Endpoint>,
) -> Vec<Kind> {
    let mut kinds = Vec::new();
    kinds.extend(without_list(registry, data));
    kinds.extend(addresses(registry, endpoints));
    kinds
}

/// The same, where no list says which hosts should have addresses.
pub(super) fn without_list(registry: &Registry, data: DataEndpoints) -> Vec<Kind> {
    let mut kinds = Vec::new();
    kinds.extend(registry.gaps.iter().cloned().map(Kind::Unreadable));
    kinds.extend(data_path(registry, data));
    kinds.extend(disputes(registry));
    kinds.extend(regions(registry));
    kinds.extend(replicas(registry));
    kinds.extend(connections(registry));
    kinds
}

fn data_path(registry: &Registry, data: DataEndpoints) -> Option<Kind> {
    match (registry.data_path(), data) {
        (DataPath::SharedStorage | DataPath::Unknown, DataEndpoints::AssumedOn) => {
            Some(Kind::DataEndpointsAssumed(registry.sku.clone()))
        }
        // A private endpoint alone says nothing about the flag; a registry that was read does.
        (DataPath::ImpliedByPrivateEndpoint, _)
            if registry.switches.iter().any(|switch| switch.feature == Feature::DataEndpoints) =>
        {
            Some(Kind::DataEndpointsImplied)
        }
        _ => None,
    }
}

fn disputes(registry: &Registry) -> impl Iterator<Item = Kind> + '_ {
    [Feature::DataEndpoints, Feature::RegionalEndpoints].into_iter().filter_map(|feature| {
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
        (!on.is_empty() && !off.is_empty()).then_some(Kind::EndpointsDisputed { feature, on, off })
    })
}

fn regions(registry: &Registry) -> Vec<Kind> {
    let listings = || registry.listings.iter().filter(|list| !list.regions.is_empty());
    let with_scope = |scope| move |list: &&Listing| list.scope == scope;
    let is_whole = |list: &&Listing| matches!(list.scope, Scope::Registry | Scope::NoReplications);
    let mut kinds = Vec::new();
    let has_listing = listings().any(|list| is_whole(&list));
    let has_empty_listing = listings().any(|list| list.scope == Scope::EmptyListing);
    if !has_listing && has_empty_listing {
        let origins = listings().filter(with_scope(Scope::EmptyListing));
        kinds.push(Kind::ReplicasFromEmptyListing(sorted(origins.map(|list| &list.origin))));
    } else if !has_listing && listings().any(|list| list.scope == Scope::PrivateEndpoint) {
        kinds.push(Kind::RegionsFromEndpoint);
    }
    let all: BTreeSet<&Region> = listings().flat_map(|list| &list.regions).collect();
    for region in all {
        let names = |list: &&Listing| list.regions.contains(region);
        // What a private endpoint lacks is told host by host, with another remedy.
        let missing_from = sorted(
            listings().filter(is_whole).filter(|list| !names(list)).map(|list| &list.origin),
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
    registry.replicas.iter().filter(|replica| !replica.state.eq_ignore_ascii_case("succeeded")).map(
        |replica| Kind::ReplicaNotReady {
            region: replica.region.clone(),
            state: replica.state.clone(),
        },
    )
}

fn connections(registry: &Registry) -> Vec<Kind> {
    let has_addresses = |id: &ResourceId| {
        !registry.zone.is_empty() || registry.private_endpoints.iter().any(|pe| pe.id == *id)
    };
    let is_approved = |id: &ResourceId| {
        let of_this = registry.connections.iter().filter(|c| c.endpoint == *id);
        of_this.into_iter().any(|c| c.status == Status::Approved)
    };
    let describe = |connection: &Connection| {
        let endpoint = connection.endpoint.clone();
        match &connection.status {
            Status::Approved if has_addresses(&endpoint) => None,
            Status::Approved => Some(Kind::AddressesUnknown(endpoint)),
            Status::Pending | Status::Other(_) if is_approved(&endpoint) => {
                Some(Kind::ConnectionDisputed { endpoint, status: connection.status.clone() })
            }
            status @ (Status::Pending | Status::Other(_)) => {
                let (connection, status) = (of_registry(registry, &endpoint), status.clone());
                Some(Kind::ConnectionNotApproved { endpoint, status, connection })
            }
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
            connection: of_registry(registry, id),
        }));
    }
    if registry.zone.is_empty() {
        return kinds;
    }
    let zone = &registry.zone;
    let missing = endpoints.iter().filter(|e| !zone.contains_key(e));
    kinds.extend(missing.map(|endpoint| Kind::RecordMissing {
        endpoint: endpoint.clone(),
        zone: only_zone(registry),
        members: members_of(registry, endpoint),
    }));
    let unlisted = zone.keys().filter(|e| !endpoints.contains(e));
    kinds.extend(unlisted.map(|endpoint| Kind::RecordUnlisted {
        endpoint: endpoint.clone(),
        zone: only_zone(registry),
    }));
    kinds.extend(differing_addresses(registry, zone));
    kinds
}

/// What lacks because a zone that a private endpoint's network asks has nothing of the registry at all. A list takes its
/// addresses from elsewhere then, so only a review tells it.
pub(super) fn bare_zones(registry: &Registry, endpoints: &BTreeSet<Endpoint>) -> Vec<Kind> {
    let link = &registry.private_link;
    let groups: Vec<(&ResourceId, &BTreeSet<ResourceId>)> =
        link.zone_groups.iter().filter(|(endpoint, _)| is_connected(registry, endpoint)).collect();
    let keeps = |zones: &BTreeSet<ResourceId>, key: &ZoneKey| {
        key.id.as_ref().is_some_and(|id| zones.contains(id))
    };
    // Without a word about whose it is, one zone is everybody's.
    let is_only = link.zones.len() == 1
        && registry.has_private_endpoint()
        && groups.iter().all(|(_, zones)| zones.is_empty());
    let bare = link.zones.iter().filter(|(key, zone)| {
        zone.coverage == Coverage::All
            && zone.records.is_empty()
            && (is_only || groups.iter().any(|(_, zones)| keeps(zones, key)))
    });
    let bare: Vec<&ZoneKey> = bare.map(|(key, _)| key).collect();
    // With several it isn't clear which address belongs in which.
    let zone = match &bare[..] {
        [] => return Vec::new(),
        [zone] => Some(*zone),
        _ => None,
    };
    let is_its = |id: &ResourceId| {
        zone.is_some_and(|zone| {
            is_only || groups.iter().any(|(endpoint, zones)| *endpoint == id && keeps(zones, zone))
        })
    };
    // Where another zone has some, those that it lacks are told already.
    let missing =
        endpoints.iter().filter(|e| registry.zone.is_empty() || registry.zone.contains_key(e));
    let members = |endpoint: &Endpoint| {
        let its = registry.private_endpoints.iter().filter(|pe| is_its(&pe.id));
        its.filter_map(|pe| pe.members.get(endpoint)).flatten().copied().collect()
    };
    missing
        .map(|endpoint| Kind::RecordMissing {
            endpoint: endpoint.clone(),
            zone: zone.and_then(|zone| zone.id.clone()),
            members: members(endpoint),
        })
        .collect()
}

/// Whether a private endpoint carries traffic, as far as anything says.
fn is_connected(registry: &Registry, endpoint: &ResourceId) -> bool {
    let is_approved = |connection: &Connection| {
        connection.endpoint == *endpoint && connection.status == Status::Approved
    };
    registry.connections.iter().any(is_approved)
        || registry.private_endpoints.iter().any(|known| known.id == *endpoint)
}

fn differing_addresses<'a>(
    registry: &'a Registry,
    zone: &'a Addresses,
) -> impl Iterator<Item = Kind> + 'a {
    zone.iter().filter_map(|(endpoint, zone)| {
        let members = members_of(registry, endpoint);
        // Several endpoints share one zone, which can then hold the addresses of only some of them.
        (!members.is_empty() && !zone.is_subset(&members)).then(|| Kind::AddressesDiffer {
            endpoint: endpoint.clone(),
            zone: zone.clone(),
            members,
        })
    })
}

/// What the private endpoints have for a host.
fn members_of(registry: &Registry, endpoint: &Endpoint) -> BTreeSet<Pin> {
    let members = registry.private_endpoints.iter().filter_map(|pe| pe.members.get(endpoint));
    members.flatten().copied().collect()
}

/// The zone that has the registry's records; with several it isn't clear in which one lacks.
fn only_zone(registry: &Registry) -> Option<ResourceId> {
    let name = registry.login_server.cloud().private_zone();
    let mut zones = registry.posture.zones.iter();
    match (zones.next(), zones.next()) {
        (Some(zone), None) if zone.name().eq_ignore_ascii_case(&name) => Some(zone.clone()),
        _ => None,
    }
}

/// The registry's name for its connection with a private endpoint.
fn of_registry(registry: &Registry, endpoint: &ResourceId) -> Option<ResourceId> {
    registry.posture.connections.get(endpoint)?.id.clone()
}

fn sorted<'a>(origins: impl Iterator<Item = &'a Origin>) -> Vec<Origin> {
    origins.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
