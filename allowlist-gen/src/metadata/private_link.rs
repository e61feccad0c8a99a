//! Reads how names lead to private endpoints: private zones, their records, the zone groups that keep them, and what
//! connections wait for. It stands in the same resources as the rest, and concerns nothing but the plan for Private
//! Link.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::node::{Node, Place};
use super::shape::Kind;
use crate::endpoint::{Endpoint, LoginServer};
use crate::registry::private_link::{
    Action, Coverage, PrivateLink, RecordSet, Request, Zone, ZoneKey,
};
use crate::registry::{ResourceId, Scope};

/// One thing that the input says.
#[derive(Debug)]
pub(super) enum Statement {
    /// A zone exists, and so much of it was read.
    Zone(ZoneKey, Coverage),
    /// A record set of a registry's host.
    Record(ZoneKey, Endpoint, RecordSet),
    /// A record set of nobody that we know.
    OtherRecord(ZoneKey, String),
    /// All zones that a private endpoint's groups write to.
    ZoneGroups(ResourceId, BTreeSet<ResourceId>),
    /// A connection of this registry.
    Request(Place, ResourceId, Request),
    /// A private endpoint whose addresses somebody chose.
    Fixed(ResourceId),
}

/// What one resource says of it.
pub(super) fn read(node: &Node<'_>, kind: Kind) -> Result<Vec<Statement>, Error> {
    Ok(match kind {
        Kind::Registry => {
            let connections = node.list("privateEndpointConnections")?;
            connections
                .iter()
                .map(request)
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?
        }
        Kind::Connection => request(node)?.into_iter().collect(),
        Kind::PrivateEndpoint if node.list("ipConfigurations")?.is_empty() => Vec::new(),
        Kind::PrivateEndpoint => vec![Statement::Fixed(node.require("id")?.resource_id()?)],
        Kind::Interface => fixed_by_interface(node)?.into_iter().collect(),
        Kind::DnsRecord => record(node)?,
        Kind::Zone => {
            let key = ZoneKey::of(node.require("id")?.resource_id()?);
            vec![Statement::Zone(key, Coverage::Unread)]
        }
        Kind::ZoneGroup => {
            let id = node.require("id")?;
            let endpoint = owner_of_group(&id)?;
            vec![Statement::ZoneGroups(endpoint, zones_of_group(node)?)]
        }
        Kind::ShowEndpoints
        | Kind::Replication
        | Kind::Subnet
        | Kind::Quota
        | Kind::Connected
        | Kind::PassedOver
        | Kind::Unreadable => Vec::new(),
    })
}

/// What a listing says by its own `id`, whatever is in it.
pub(super) fn read_listing(id: &Node<'_>, items: &[Node<'_>]) -> Result<Vec<Statement>, Error> {
    let listed = id.resource_id()?;
    if listed.name().eq_ignore_ascii_case("A")
        && let Some(zone) = zone_of(id)?
    {
        return Ok(vec![Statement::Zone(ZoneKey::of(zone), Coverage::All)]);
    }
    if listed.name().eq_ignore_ascii_case(ZONE_GROUPS) {
        let mut zones = BTreeSet::new();
        for item in items {
            zones.extend(zones_of_group(item)?);
        }
        return Ok(vec![Statement::ZoneGroups(owner_of_group(id)?, zones)]);
    }
    Ok(Vec::new())
}

/// The registry's side of a connection. The endpoint's side has another id, by which nobody approves it.
fn request(node: &Node<'_>) -> Result<Option<Statement>, Error> {
    let (Some(id), Some(endpoint)) = (
        node.key("id").map(|id| id.resource_id()).transpose()?,
        node.key("privateEndpoint").and_then(|endpoint| endpoint.key("id")),
    ) else {
        return Ok(None);
    };
    let Some(registry) = id.registry() else { return Ok(None) };
    let state = node.key("privateLinkServiceConnectionState");
    let action = match state.and_then(|state| state.key("actionsRequired")) {
        Some(word) if word.text()?.eq_ignore_ascii_case("recreate") => Action::Recreate,
        _ => Action::None,
    };
    let request = Request { endpoint: endpoint.resource_id()?, id, action };
    Ok(Some(Statement::Request(node.place(), registry, request)))
}

/// <https://learn.microsoft.com/azure/container-registry/container-registry-geo-replication>
fn fixed_by_interface(node: &Node<'_>) -> Result<Option<Statement>, Error> {
    for config in node.list("ipConfigurations")? {
        let is_member = config.key("privateLinkConnectionProperties").is_some();
        let method = config
            .key("privateIPAllocationMethod")
            .or_else(|| config.key("privateIpAllocationMethod"));
        if let Some(method) = method.filter(|_| is_member)
            && method.text()?.eq_ignore_ascii_case("static")
        {
            let endpoint = node.key("privateEndpoint").and_then(|endpoint| endpoint.key("id"));
            let id = endpoint.map_or_else(|| node.require("id"), Ok)?;
            return Ok(Some(Statement::Fixed(id.resource_id()?)));
        }
    }
    Ok(None)
}

fn record(node: &Node<'_>) -> Result<Vec<Statement>, Error> {
    let id = node.key("id");
    let zone = id.as_ref().map(zone_of).transpose()?.flatten().map(ZoneKey::of);
    let coverage = match node.place().scope() {
        Scope::Named => Coverage::Some,
        _ => Coverage::All,
    };
    let fqdn = node.require("fqdn")?;
    let Ok(endpoint) = Endpoint::from_private_record(fqdn.text()?) else {
        let Some(zone) = zone else { return Ok(Vec::new()) };
        let name = fqdn.text()?.to_ascii_lowercase();
        return Ok(vec![
            Statement::Zone(zone.clone(), coverage),
            Statement::OtherRecord(zone, name),
        ]);
    };
    let zone = zone.unwrap_or_else(|| ZoneKey { name: zone_by_name(&fqdn, &endpoint), id: None });
    let mut set = RecordSet {
        addresses: BTreeSet::new(),
        ttl: node.key("ttl").and_then(|ttl| ttl.value().as_u64()?.try_into().ok()),
        id: id.map(|id| id.resource_id()).transpose()?,
    };
    for address in node.list("aRecords")? {
        set.addresses.extend(address.require("ipv4Address")?.pin()?.address());
    }
    Ok(vec![Statement::Zone(zone.clone(), coverage), Statement::Record(zone, endpoint, set)])
}

/// The zone of a record without an id: what stands behind the record's name.
fn zone_by_name(fqdn: &Node<'_>, endpoint: &Endpoint) -> String {
    let private = endpoint.login_server().cloud().private_zone();
    let name = fqdn.text().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if name.ends_with(&private) {
        private
    } else {
        endpoint.login_server().cloud().suffix().to_owned()
    }
}

/// The zone that a record, or a listing of records, is in. Names of records may hold what no id in a command should,
/// as in `/A/*`; the zone's id in front of it may not.
fn zone_of(id: &Node<'_>) -> Result<Option<ResourceId>, Error> {
    let text = id.text()?;
    let Some(start) = text.to_ascii_lowercase().find(ZONES) else { return Ok(None) };
    let start = start + ZONES.len();
    let end = text[start..].find('/').map_or(text.len(), |at| start + at);
    id.resource_id_of(&text[..end]).map(Some)
}

fn zones_of_group(node: &Node<'_>) -> Result<BTreeSet<ResourceId>, Error> {
    let configs = node.list("privateDnsZoneConfigs")?;
    let ids = configs.iter().filter_map(|config| config.key("privateDnsZoneId"));
    ids.map(|id| id.resource_id()).collect()
}

/// The private endpoint that a zone group, or a listing of its groups, belongs to.
fn owner_of_group(id: &Node<'_>) -> Result<ResourceId, Error> {
    let text = id.text()?;
    let end = text.to_ascii_lowercase().rfind(&format!("/{ZONE_GROUPS}"));
    match end {
        Some(end) if end > 0 => id.resource_id_of(&text[..end]),
        _ => Err(Error::ResourceId(id.place(), id.word()?)),
    }
}

/// All statements, before it is known which registries there are.
#[derive(Default)]
pub(super) struct Gathered {
    zones: BTreeMap<ZoneKey, Contents>,
    zone_groups: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    fixed: BTreeSet<ResourceId>,
}

/// A zone, whoever has records in it.
#[derive(Default)]
struct Contents {
    coverage: Coverage,
    /// The names of records that are no registry's.
    others: BTreeSet<String>,
    /// How many records are some registry's.
    count: usize,
    records: BTreeMap<LoginServer, BTreeMap<Endpoint, RecordSet>>,
}

impl Gathered {
    /// Takes what isn't a registry's own; requests are.
    pub(super) fn add(&mut self, statement: Statement) {
        match statement {
            Statement::Zone(key, coverage) => {
                let zone = self.zones.entry(key).or_default();
                zone.coverage = coverage.max(zone.coverage);
            }
            Statement::Record(key, endpoint, set) => {
                let zone = self.zones.entry(key).or_default();
                let records = zone.records.entry(endpoint.login_server().clone()).or_default();
                // Two readings of one record: both count, so that neither is believed alone.
                let known = records.entry(endpoint).or_insert_with(|| {
                    zone.count += 1;
                    RecordSet::default()
                });
                known.addresses.extend(set.addresses);
                known.ttl = known.ttl.or(set.ttl);
                known.id = known.id.take().or(set.id);
            }
            Statement::OtherRecord(key, name) => {
                self.zones.entry(key).or_default().others.insert(name);
            }
            Statement::ZoneGroups(endpoint, zones) => {
                self.zone_groups.entry(endpoint).or_default().extend(zones);
            }
            Statement::Fixed(endpoint) => {
                self.fixed.insert(endpoint);
            }
            Statement::Request(..) => {}
        }
    }

    /// What of it concerns a registry, which has these private endpoints.
    pub(super) fn of(
        &self,
        registry: &LoginServer,
        endpoints: &BTreeSet<ResourceId>,
        requests: BTreeSet<Request>,
    ) -> PrivateLink {
        let name = registry.cloud().private_zone();
        let of_cloud = self.zones.iter().filter(|(key, _)| key.name == name);
        let zones = of_cloud.map(|(key, contents)| {
            let records = contents.records.get(registry).cloned().unwrap_or_default();
            let others = contents.others.len() + contents.count - records.len();
            (key.clone(), Zone { coverage: contents.coverage, records, others })
        });
        let groups = endpoints.iter().filter_map(|id| self.zone_groups.get_key_value(id));
        PrivateLink {
            zones: zones.collect(),
            zone_groups: groups.map(|(id, zones)| (id.clone(), zones.clone())).collect(),
            requests,
            fixed: self.fixed.intersection(endpoints).cloned().collect(),
        }
    }
}

const ZONES: &str = "/microsoft.network/privatednszones/";
const ZONE_GROUPS: &str = "privatednszonegroups";
