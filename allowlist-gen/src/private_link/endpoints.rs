//! Decides which hosts a registry needs records for, and which private endpoints lead to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringfence_config::address::Pin;
use ringfence_config::registry::Region;

use crate::endpoint::{Endpoint, Family};
use crate::registry::{DataEndpoints, Feature, Position, Registry, ResourceId, Status};

/// The hosts that clients of a registry behind Private Link ask for. A private endpoint turns its data endpoints on,
/// whatever the switch says.
pub(super) struct Hosts {
    now: BTreeSet<Endpoint>,
    /// Those of regions that somebody plans.
    to_come: BTreeSet<Endpoint>,
    pub(super) regions: Known,
}

/// Whether all regions of a registry are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    All,
    Some,
}

impl Hosts {
    pub(super) fn of(registry: &Registry, future: &[Region]) -> Self {
        let (now, regions) = if let Ok(hosts) = registry.endpoints(DataEndpoints::AssumedOn) {
            (hosts, Known::All)
        } else {
            let regions = registry.listings.iter().flat_map(|list| list.regions.clone());
            let mut hosts = of_regions(registry, regions);
            hosts.insert(registry.login_server.endpoint(Family::Login));
            (hosts, Known::Some)
        };
        let mut to_come = of_regions(registry, future.iter().cloned());
        to_come.retain(|host| !now.contains(host));
        Self { now, to_come, regions }
    }

    /// Login server first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.now.iter().chain(&self.to_come)
    }

    pub(super) fn now(&self) -> impl Iterator<Item = &Endpoint> {
        self.now.iter()
    }

    pub(super) fn has(&self, host: &Endpoint) -> bool {
        self.now.contains(host) || self.to_come.contains(host)
    }

    pub(super) fn is_to_come(&self, host: &Endpoint) -> bool {
        self.to_come.contains(host)
    }

    /// Whether the input tells that a host which isn't among these is none of the registry's.
    pub(super) fn are_known(&self, registry: &Registry, host: &Endpoint) -> bool {
        let is_told = match host.family() {
            Family::Login | Family::Data(_) => true,
            // A version of the API that knows no regional endpoints says nothing of them.
            Family::RegionalLogin(_) => {
                let at = |position| registry.says(Feature::RegionalEndpoints, position);
                at(Position::On) || at(Position::Off)
            }
        };
        is_told && self.regions == Known::All
    }
}

fn of_regions(
    registry: &Registry,
    regions: impl IntoIterator<Item = Region>,
) -> BTreeSet<Endpoint> {
    let has_regional = registry.says(Feature::RegionalEndpoints, Position::On);
    let families = regions.into_iter().flat_map(|region| {
        let regional = has_regional.then(|| Family::RegionalLogin(region.clone()));
        [Some(Family::Data(region)), regional].into_iter().flatten()
    });
    families.map(|family| registry.login_server.endpoint(family)).collect()
}

/// An approved private endpoint.
#[derive(Debug)]
pub(super) struct Reached<'a> {
    pub(super) id: &'a ResourceId,
    /// Its addresses, if the input has them.
    pub(super) members: Option<BTreeMap<&'a Endpoint, BTreeSet<IpAddr>>>,
    pub(super) growth: Growth,
}

/// Whether an endpoint takes in the regions that a registry gets later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    Follows,
    /// Its addresses were chosen by somebody.
    /// <https://learn.microsoft.com/azure/container-registry/container-registry-geo-replication>
    Fixed,
}

/// The approved private endpoints, sorted by id.
pub(super) fn reached<'a>(registry: &'a Registry) -> Vec<Reached<'a>> {
    let described = registry.private_endpoints.iter().map(|endpoint| &endpoint.id);
    let approved = registry.connections.iter().filter(|c| c.status == Status::Approved);
    let ids: BTreeSet<&ResourceId> = described.chain(approved.map(|c| &c.endpoint)).collect();
    let reached = |id: &'a ResourceId| {
        let described = registry.private_endpoints.iter().find(|endpoint| endpoint.id == *id);
        // Private endpoints have IPv4 addresses, and the records that are read have no others.
        // <https://learn.microsoft.com/azure/container-registry/container-registry-ipv6-dual-stack>
        let addresses = |pins: &BTreeSet<Pin>| -> BTreeSet<IpAddr> {
            pins.iter().filter_map(Pin::address).filter(IpAddr::is_ipv4).collect()
        };
        let members = described.map(|endpoint| {
            let members = endpoint.members.iter().map(|(host, pins)| (host, addresses(pins)));
            members.filter(|(_, addresses)| !addresses.is_empty()).collect()
        });
        let is_fixed = registry.private_link.fixed.contains(id);
        Reached { id, members, growth: if is_fixed { Growth::Fixed } else { Growth::Follows } }
    };
    ids.into_iter().map(reached).collect()
}

/// All private endpoints that the input has of a registry, whatever their state.
pub(super) fn ids(registry: &Registry) -> BTreeSet<&ResourceId> {
    let described = registry.private_endpoints.iter().map(|endpoint| &endpoint.id);
    described.chain(registry.connections.iter().map(|connection| &connection.endpoint)).collect()
}

/// Whether somebody who writes `wish` means this endpoint: its name, or all of its id.
pub(super) fn is_called(id: &ResourceId, wish: &str) -> bool {
    id.name().eq_ignore_ascii_case(wish) || id.to_string().eq_ignore_ascii_case(wish)
}
