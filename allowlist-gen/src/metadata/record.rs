//! Reads one resource, as Azure describes it, into a [`Record`].
//!
//! Keys and their meaning: <https://learn.microsoft.com/rest/api/container-registry/> and
//! <https://learn.microsoft.com/rest/api/virtualnetwork/private-endpoints>.

use std::collections::BTreeSet;

use ringfence_config::registry::Region;
use ringfence_config::{Hostname, guard};
use serde_json::Value;

use super::Error;
use super::node::{Node, Place};
use super::posture;
use super::private_link::Statement;
use crate::endpoint::{self, Endpoint, Family, LoginServer};
use crate::posture::{
    Connected, Link, PrivateEndpoint as EndpointPosture, Quota, Replica as ReplicaPosture,
    Settings, Subnet as SubnetPosture,
};
use crate::registry::{
    Addresses, Connection, Feature, Gap, Position, Replica, ResourceId, Sku, Status,
};

/// One resource in the input.
#[derive(Debug)]
pub(super) enum Record {
    Registry(Box<Registry>),
    ShowEndpoints(ShowEndpoints),
    Replication(Replication),
    /// A listing of this registry's replications, with nothing in it.
    NoReplications(Place, ResourceId),
    Connection(Place, ResourceId, Connection, Link),
    /// A listing of this registry's connections, with nothing in it.
    NoConnections(Place, ResourceId),
    PrivateEndpoint(PrivateEndpoint),
    Interface(Interface),
    DnsRecord(DnsRecord),
    Subnet(Subnet),
    /// Of whom is not always said.
    Quota(Place, Option<ResourceId>, Quota),
    Connected(ResourceId, String, Connected),
    Unreadable(Unreadable),
    EmptyList(String),
    PrivateLink(Statement),
}

/// `az acr show`, an item of `az acr list`, or the same from ARM or Resource Graph.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) place: Place,
    pub(super) id: Option<ResourceId>,
    pub(super) name: Option<String>,
    pub(super) login_server: LoginServer,
    pub(super) location: Region,
    pub(super) sku: Sku,
    pub(super) reports: Vec<Report>,
    pub(super) connections: Vec<(Connection, Link)>,
    pub(super) settings: Settings,
}

/// `az acr replication show`, or an item of its list.
#[derive(Debug)]
pub(super) struct Replication {
    pub(super) place: Place,
    pub(super) id: ResourceId,
    pub(super) registry: ResourceId,
    pub(super) replica: Replica,
    pub(super) posture: ReplicaPosture,
}

/// What is said about one family of regional hosts.
#[derive(Debug)]
pub(super) struct Report {
    /// The key that says it.
    pub(super) key: &'static str,
    pub(super) feature: Feature,
    pub(super) position: Position,
    /// The regions of the hosts that are named.
    pub(super) regions: BTreeSet<Region>,
}

/// `az acr show-endpoints`.
#[derive(Debug)]
pub(super) struct ShowEndpoints {
    pub(super) place: Place,
    pub(super) login_server: LoginServer,
    pub(super) reports: Vec<Report>,
}

/// `az network private-endpoint show`.
#[derive(Debug)]
pub(super) struct PrivateEndpoint {
    pub(super) place: Place,
    pub(super) registry: ResourceId,
    pub(super) connection: Connection,
    pub(super) link: Link,
    pub(super) members: Addresses,
    pub(super) posture: EndpointPosture,
}

/// `az network nic show`, of a private endpoint.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) place: Place,
    pub(super) endpoint: ResourceId,
    pub(super) login_server: LoginServer,
    pub(super) members: Addresses,
    pub(super) posture: EndpointPosture,
}

/// `az network vnet subnet show`.
#[derive(Debug)]
pub(super) struct Subnet {
    pub(super) id: ResourceId,
    pub(super) posture: SubnetPosture,
}

/// What stands in the place of a resource that Azure would not show, so that nobody takes silence for an answer:
/// `{"id": …, "registry": …, "error": {"code": …, "message": …}}`.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) place: Place,
    pub(super) registry: ResourceId,
    pub(super) gap: Gap,
}

/// One address record set of a private DNS zone.
#[derive(Debug)]
pub(super) struct DnsRecord {
    pub(super) file: String,
    pub(super) endpoint: Endpoint,
    pub(super) addresses: Addresses,
    pub(super) zone: Option<ResourceId>,
}

pub(super) fn registry(node: &Node<'_>) -> Result<Registry, Error> {
    let login_server = login_server(node)?;
    let sku = match node.key("sku") {
        None => Sku::Unknown,
        Some(sku) => match sku.require("name")?.word()? {
            name if name.eq_ignore_ascii_case("premium") => Sku::Premium,
            name => Sku::Lower(name),
        },
    };
    let connections = node
        .list("privateEndpointConnections")?
        .iter()
        .map(|node| Ok((read_connection(node)?, posture::link(node))))
        .collect::<Result<_, Error>>()?;
    Ok(Registry {
        place: node.place(),
        id: node.key("id").map(|id| id.resource_id()).transpose()?,
        name: name(node)?,
        location: node.require("location")?.region()?,
        reports: registry_reports(node, &login_server)?,
        login_server,
        sku,
        connections,
        settings: posture::settings(node),
    })
}

/// Names end up in commands that people paste, so one that can't be a name is none.
fn name(node: &Node<'_>) -> Result<Option<String>, Error> {
    let name = node.key("name").map(|name| name.text()).transpose()?;
    let is_plain =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Ok(name.filter(is_plain).map(str::to_owned))
}

fn registry_reports(node: &Node<'_>, server: &LoginServer) -> Result<Vec<Report>, Error> {
    let mut reports = Vec::new();
    for keys in KEYS {
        let regions = named_regions(node, keys.hosts, server, keys.feature)?;
        if !regions.is_empty() {
            // Hosts that are named exist, whatever the switch beside them says.
            reports.push(keys.report(keys.hosts, Position::On, regions));
        }
        let mut said = Position::Unsaid;
        for switch in keys.switches {
            if said == Position::Unsaid {
                said = position(node, switch)?;
            }
        }
        reports.push(keys.report(keys.switches[0], said, BTreeSet::new()));
    }
    Ok(reports)
}

fn position(node: &Node<'_>, key: &str) -> Result<Position, Error> {
    let Some(switch) = node.key(key) else {
        return Ok(Position::Unsaid);
    };
    Ok(match switch.value() {
        Value::String(word) if word.eq_ignore_ascii_case("enabled") => Position::On,
        Value::String(word) if word.eq_ignore_ascii_case("disabled") => Position::Off,
        // The set of words is open.
        Value::String(_) => Position::Unsaid,
        _ if switch.flag()? => Position::On,
        _ => Position::Off,
    })
}

fn named_regions(
    node: &Node<'_>,
    key: &str,
    server: &LoginServer,
    feature: Feature,
) -> Result<BTreeSet<Region>, Error> {
    let hosts = node.list(key)?;
    hosts.iter().map(|host| region_of(host, server, feature)).collect()
}

/// The region of a reported host, which has to be this registry's and of this family.
fn region_of(host: &Node<'_>, server: &LoginServer, feature: Feature) -> Result<Region, Error> {
    let endpoint = host.endpoint()?;
    if endpoint.login_server() != server {
        return Err(Error::Stranger(host.place(), endpoint, server.clone()));
    }
    match (endpoint.family(), feature) {
        (Family::Data(region), Feature::DataEndpoints)
        | (Family::RegionalLogin(region), Feature::RegionalEndpoints) => Ok(region.clone()),
        (_, Feature::DataEndpoints) => {
            Err(Error::WrongFamily(host.place(), endpoint, "a data endpoint"))
        }
        (_, Feature::RegionalEndpoints) => {
            Err(Error::WrongFamily(host.place(), endpoint, "a regional endpoint"))
        }
    }
}

fn login_server(node: &Node<'_>) -> Result<LoginServer, Error> {
    let host = node.require("loginServer")?;
    let endpoint = host.endpoint()?;
    match endpoint.family() {
        Family::Login => Ok(endpoint.login_server().clone()),
        _ => Err(Error::WrongFamily(host.place(), endpoint, "a login server")),
    }
}

/// While data endpoints are off, the command succeeds and prints a wildcard for all of storage
/// where exact hosts stand otherwise. That tells the region and the switch, and nothing else of it
/// is kept.
/// <https://github.com/Azure/azure-cli/blob/dev/src/azure-cli/azure/cli/command_modules/acr/custom.py>
pub(super) fn show_endpoints(node: &Node<'_>) -> Result<ShowEndpoints, Error> {
    let login_server = login_server(node)?;
    let mut reports = Vec::new();
    for keys in KEYS {
        let (mut exact, mut shared) = (BTreeSet::new(), BTreeSet::new());
        for item in node.list(keys.listed)? {
            let host = item.require("endpoint")?;
            let region = item.key("region").map(|region| region.region());
            let region = region.transpose()?;
            if stands_for_storage(host.text()?) {
                shared.insert(region.ok_or_else(|| Error::Missing(item.place(), "region"))?);
                continue;
            }
            let own = region_of(&host, &login_server, keys.feature)?;
            if let Some(region) = region.filter(|region| *region != own) {
                return Err(Error::OtherRegion(host.place(), host.endpoint()?, region));
            }
            exact.insert(own);
        }
        for (regions, position) in [(exact, Position::On), (shared, Position::Off)] {
            if !regions.is_empty() {
                reports.push(keys.report(keys.listed, position, regions));
            }
        }
    }
    Ok(ShowEndpoints { place: node.place(), login_server, reports })
}

fn stands_for_storage(text: &str) -> bool {
    let below = text.strip_prefix("*.").map(str::parse::<Hostname>);
    matches!(below, Some(Ok(domain)) if guard::is_storage(&domain))
}

pub(super) fn replication(node: &Node<'_>) -> Result<Record, Error> {
    // The name is the region by custom only.
    let region = node.require("location")?.region()?;
    let replica = Replica {
        region: region.clone(),
        state: match node.key("provisioningState") {
            Some(state) => state.word()?,
            None => "state unknown".to_owned(),
        },
    };
    Ok(Record::Replication(Replication {
        place: node.place(),
        id: node.require("id")?.resource_id()?,
        registry: parent(node)?,
        replica,
        posture: posture::replica(node, region),
    }))
}

pub(super) fn connection(node: &Node<'_>) -> Result<Record, Error> {
    let connection = read_connection(node)?;
    Ok(Record::Connection(node.place(), parent(node)?, connection, posture::link(node)))
}

/// The registry that the resource is a part of.
fn parent(node: &Node<'_>) -> Result<ResourceId, Error> {
    let id = node.require("id")?;
    let own = id.resource_id()?;
    own.registry().ok_or_else(|| Error::ResourceId(id.place(), own.to_string()))
}

fn read_connection(node: &Node<'_>) -> Result<Connection, Error> {
    // The endpoint is missing once it has been deleted; the connection then stands for it.
    let endpoint = node.key("privateEndpoint").and_then(|endpoint| endpoint.key("id"));
    let endpoint = match endpoint {
        Some(id) => id.resource_id()?,
        None => node.require("id")?.resource_id()?,
    };
    let status = status(node)?;
    Ok(Connection { endpoint, status })
}

fn status(node: &Node<'_>) -> Result<Status, Error> {
    let state = node.key("privateLinkServiceConnectionState");
    let Some(status) = state.and_then(|state| state.key("status")) else {
        return Ok(Status::Other("in an unknown state".to_owned()));
    };
    let word = status.word()?.to_ascii_lowercase();
    Ok(match word.as_str() {
        "approved" => Status::Approved,
        "pending" => Status::Pending,
        _ => Status::Other(word),
    })
}

pub(super) fn private_endpoint(node: &Node<'_>) -> Result<PrivateEndpoint, Error> {
    let mut requests = node.list("privateLinkServiceConnections")?;
    requests.extend(node.list("manualPrivateLinkServiceConnections")?);
    let Some(request) = requests.first() else {
        return Err(Error::Missing(node.place(), "privateLinkServiceConnections"));
    };
    let target = request.require("privateLinkServiceId")?.resource_id()?;
    let Some(registry) = target.registry() else {
        return Err(Error::OtherService(node.place(), format!("`{target}`")));
    };
    let mut members = Addresses::new();
    for config in node.list("customDnsConfigs")? {
        let endpoint = config.require("fqdn")?.endpoint()?;
        let pins = members.entry(endpoint).or_default();
        for address in config.list("ipAddresses")? {
            pins.insert(address.pin()?);
        }
    }
    one_registry(&node.place(), &members)?;
    Ok(PrivateEndpoint {
        place: node.place(),
        registry,
        connection: Connection {
            endpoint: node.require("id")?.resource_id()?,
            status: status(request)?,
        },
        // Its id here is the endpoint's name for it, and not the registry's.
        link: Link { id: None, ..posture::link(request) },
        members,
        posture: posture::private_endpoint(node),
    })
}

pub(super) fn interface(node: &Node<'_>) -> Result<Interface, Error> {
    let mut members = Addresses::new();
    let mut others = BTreeSet::new();
    for config in node.list("ipConfigurations")? {
        let Some(link) = config.key("privateLinkConnectionProperties") else {
            continue;
        };
        let group = link.require("groupId")?.word()?;
        if group != "registry" {
            others.insert(format!("`{group}`"));
            continue;
        }
        // Older versions of az spell the key as in the second place.
        let address = config
            .key("privateIPAddress")
            .or_else(|| config.key("privateIpAddress"))
            .ok_or_else(|| Error::Missing(config.place(), "privateIPAddress"))?;
        for host in link.list("fqdns")? {
            members.entry(host.endpoint()?).or_default().insert(address.pin()?);
        }
    }
    let Some(login_server) = one_registry(&node.place(), &members)? else {
        let groups = others.into_iter().collect::<Vec<_>>().join(", ");
        return Err(if groups.is_empty() {
            Error::NoMembers(node.place())
        } else {
            Error::OtherService(node.place(), format!("a private endpoint of {groups}"))
        });
    };
    let endpoint = node.key("privateEndpoint").and_then(|endpoint| endpoint.key("id"));
    let endpoint = match endpoint {
        Some(id) => id.resource_id()?,
        None => node.require("id")?.resource_id()?,
    };
    let posture = posture::interface(node);
    Ok(Interface { place: node.place(), endpoint, login_server, members, posture })
}

/// A private endpoint leads to one registry.
fn one_registry(place: &Place, members: &Addresses) -> Result<Option<LoginServer>, Error> {
    let mut servers = members.keys().map(Endpoint::login_server);
    let Some(first) = servers.next() else {
        return Ok(None);
    };
    match members.keys().find(|endpoint| endpoint.login_server() != first) {
        Some(other) => Err(Error::Stranger(place.clone(), other.clone(), first.clone())),
        None => Ok(Some(first.clone())),
    }
}

/// `None` for a record that no registry's host is behind: a zone may hold others.
pub(super) fn dns_record(node: &Node<'_>) -> Result<Option<DnsRecord>, Error> {
    let name = node.require("fqdn")?;
    let endpoint = match Endpoint::from_private_record(name.text()?) {
        Ok(endpoint) => endpoint,
        Err(error @ endpoint::Error::UnknownSuffix) => {
            return Err(Error::Host(name.place(), name.word()?, error));
        }
        Err(_) => return Ok(None),
    };
    let mut addresses = BTreeSet::new();
    for record in node.list("aRecords")? {
        addresses.insert(record.require("ipv4Address")?.pin()?);
    }
    Ok(Some(DnsRecord {
        file: node.file(),
        addresses: [(endpoint.clone(), addresses)].into(),
        endpoint,
        zone: zone_of(node),
    }))
}

/// The zone of a record set, whose id ends with the record's type and its name.
fn zone_of(node: &Node<'_>) -> Option<ResourceId> {
    node.key("id")?.resource_id().ok()?.above(2)
}

pub(super) fn subnet(node: &Node<'_>) -> Result<Subnet, Error> {
    Ok(Subnet { id: node.require("id")?.resource_id()?, posture: posture::subnet(node) })
}

/// `None` for what says nothing.
pub(super) fn quota(node: &Node<'_>, registry: Option<ResourceId>) -> Option<Record> {
    posture::quota(node).map(|quota| Record::Quota(node.place(), registry, quota))
}

/// `None` for what says nothing.
pub(super) fn connected(node: &Node<'_>, registry: ResourceId) -> Option<Record> {
    let (name, connected) = posture::connected(node)?;
    Some(Record::Connected(registry, name, connected))
}

/// The same, where only its own id says of which registry it is.
pub(super) fn connected_alone(node: &Node<'_>) -> Result<Option<Record>, Error> {
    Ok(connected(node, parent(node)?))
}

pub(super) fn unreadable(node: &Node<'_>) -> Result<Unreadable, Error> {
    let registry = node.require("registry")?.resource_id()?;
    let error = node.require("error")?;
    let gap =
        Gap { resource: node.require("id")?.resource_id()?, code: error.require("code")?.word()? };
    Ok(Unreadable { place: node.place(), registry, gap })
}

/// The keys that tell of one family of regional hosts.
struct FamilyKeys {
    feature: Feature,
    /// In a registry: the hosts.
    hosts: &'static str,
    /// In a registry: the switch, by its name today and in drafts of the API.
    switches: &'static [&'static str],
    /// In the output of show-endpoints: the hosts with their regions.
    listed: &'static str,
}

impl FamilyKeys {
    fn report(&self, key: &'static str, position: Position, regions: BTreeSet<Region>) -> Report {
        Report { key, feature: self.feature, position, regions }
    }
}

const KEYS: [FamilyKeys; 2] = [
    FamilyKeys {
        feature: Feature::DataEndpoints,
        hosts: "dataEndpointHostNames",
        switches: &["dataEndpointEnabled"],
        listed: "dataEndpoints",
    },
    FamilyKeys {
        feature: Feature::RegionalEndpoints,
        hosts: "regionalEndpointHostNames",
        switches: &["regionalEndpoints", "regionalEndpointEnabled"],
        listed: "regionalEndpoints",
    },
];
