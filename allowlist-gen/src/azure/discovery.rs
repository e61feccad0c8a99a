//! What is asked for, in which order, and which documents come of it.
//!
//! A registry's own parts and its private endpoints first, registry by registry; then what several may share: subnets
//! and private DNS zones. Only what can matter is asked for, because Azure counts requests.
//!
//! Documents are ARM's own bodies. Listings, which don't say of what they are, get an `id` that does; and in the place
//! of what Azure would not show stands `{"id", "registry", "error"}`, so that it is known to be unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringfence_config::registry::Label;
use ringfence_config::snippet::Source;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::arm::{Answer, Arm, Question, Withheld, shape};
use super::error::Error;
use super::id::{ResourceGroup, ResourcePath};
use crate::endpoint::{Cloud, LoginServer};

/// Which registries, and where to look for what belongs to them.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Subscriptions, by id.
    pub subscriptions: Vec<Uuid>,
    /// Only registries in these resource groups, if there are any.
    pub resource_groups: Vec<ResourceGroup>,
    /// Only these registries, if there are any.
    pub registries: Vec<Wanted>,
    /// Private DNS zones, besides those that the private endpoints name.
    pub zones: Vec<ResourcePath>,
}

/// A registry that is asked for.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// By resource id, in whatever subscription.
    Id(ResourcePath),
    /// By login server.
    Server(LoginServer),
    /// By name, or by the first label of its login server.
    Name(Label),
}

/// The documents about all registries that `query` is about, in an order that doesn't depend on who answers first.
pub(super) async fn discover(arm: &Arc<Arm>, query: &Query) -> Result<Vec<Source>, Error> {
    arm.begin();
    let registries = find_registries(arm, query).await?;
    arm.found(registries.len());
    let mut tasks = JoinSet::new();
    for (index, registry) in registries.iter().cloned().enumerate() {
        let arm = arm.clone();
        tasks.spawn(async move { Ok((index, describe(&arm, registry).await?)) });
    }
    let mut parts = in_order(tasks).await?;
    let mut sources: Vec<Source> =
        parts.iter_mut().flat_map(|part| part.documents.drain(..)).collect();

    let mut tasks = JoinSet::new();
    for (index, (subnet, users)) in shared(&parts, |part| &part.subnets).into_iter().enumerate() {
        let arm = arm.clone();
        tasks.spawn(async move { Ok((index, describe_subnet(&arm, &subnet, &users).await?)) });
    }
    sources.extend(in_order(tasks).await?.into_iter().flatten());

    sources.extend(zones(arm, query, &registries, &parts).await?);
    Ok(sources)
}

/// The results of tasks that carry their place; the first failure ends the rest.
async fn in_order<T: 'static>(
    mut tasks: JoinSet<Result<(usize, T), Error>>,
) -> Result<Vec<T>, Error> {
    let mut results = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(result) => results.extend([result?]),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(results.into_values().collect())
}

/// A registry as ARM describes it.
#[derive(Debug, Clone)]
struct Registry {
    path: ResourcePath,
    body: Map<String, Value>,
}

impl Registry {
    /// Takes a body whose id is in order.
    fn new(body: Map<String, Value>, from: &ResourcePath) -> Result<Self, Error> {
        let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
        let path: ResourcePath =
            id.parse().map_err(|_| Error::Reference(from.clone(), id.to_owned()))?;
        if !path.is_a(REGISTRY) {
            return Err(Error::Reference(from.clone(), id.to_owned()));
        }
        Ok(Self { path, body })
    }

    fn login_server(&self) -> Option<LoginServer> {
        self.property("loginServer")?.as_str()?.parse().ok()
    }

    fn property(&self, key: &str) -> Option<&Value> {
        self.body.get("properties")?.get(key)
    }

    /// Only Premium has replicas, private endpoints and connected registries.
    /// <https://learn.microsoft.com/azure/container-registry/container-registry-skus>
    fn is_premium(&self) -> bool {
        let sku = self.body.get("sku").and_then(|sku| sku.get("name")).and_then(Value::as_str);
        sku.is_none_or(|name| name.eq_ignore_ascii_case("premium"))
    }

    fn is(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Id(path) => self.path == *path,
            Wanted::Server(server) => self.login_server().as_ref() == Some(server),
            Wanted::Name(name) => {
                self.path.name().eq_ignore_ascii_case(name.as_str())
                    || self.login_server().is_some_and(|server| server.label() == name)
            }
        }
    }

    fn source(&self) -> Source {
        document(self.path.name(), &Value::Object(self.body.clone()))
    }
}

/// Every registry that is asked for, sorted by id.
async fn find_registries(arm: &Arc<Arm>, query: &Query) -> Result<Vec<Registry>, Error> {
    let (mut by_id, mut by_name) = (Vec::new(), Vec::new());
    for wanted in &query.registries {
        match wanted {
            Wanted::Id(path) => by_id.push(path),
            Wanted::Server(_) | Wanted::Name(_) => by_name.push(wanted),
        }
    }
    let is_search = !by_name.is_empty() || by_id.is_empty();
    if is_search && query.subscriptions.is_empty() {
        return Err(Error::NoSubscription);
    }
    let mut found = BTreeMap::new();
    for path in by_id {
        let body = arm.get(registry(path)).await?.or_fail(path)?;
        let registry = Registry::new(body, path)?;
        found.insert(registry.path.clone(), registry);
    }
    if is_search {
        let places = places(query);
        let mut missing = by_name.clone();
        // Not to be allowed to look is not to know.
        let mut hidden = None;
        for place in &places {
            let (registries, withheld) = list_registries(arm, place, &by_name).await?;
            hidden = hidden.or(withheld);
            for registry in registries {
                missing.retain(|wanted| !registry.is(wanted));
                if by_name.is_empty() || by_name.iter().any(|wanted| registry.is(wanted)) {
                    found.insert(registry.path.clone(), registry);
                }
            }
        }
        match hidden {
            Some((listing, withheld)) if !missing.is_empty() => {
                return Err(withheld.fatal(&listing));
            }
            _ => {}
        }
        let places: Vec<String> = places.iter().map(|place| format!("`{place}`")).collect();
        let places = places.join(", ");
        if !missing.is_empty() {
            let names = missing.into_iter().map(Wanted::to_string).collect();
            return Err(Error::UnknownRegistries(names, places));
        }
        if found.is_empty() {
            return Err(Error::NoRegistries(places));
        }
    }
    Ok(found.into_values().collect())
}

/// Where registries are looked for.
fn places(query: &Query) -> Vec<ResourcePath> {
    let subscriptions = query.subscriptions.iter().map(|id| path(&format!("/subscriptions/{id}")));
    if query.resource_groups.is_empty() {
        return subscriptions.collect();
    }
    let groups = |subscription: ResourcePath| {
        let group = move |name| subscription.child(&format!("resourceGroups/{name}"));
        query.resource_groups.iter().map(group).collect::<Vec<_>>()
    };
    subscriptions.flat_map(groups).collect()
}

/// The registries in `place`. Whoever may read only some of them isn't shown the listing; those that are asked for by
/// name are then looked for among all resources, which are listed as far as they may be read, and the listing that
/// wasn't shown comes, too.
async fn list_registries(
    arm: &Arc<Arm>,
    place: &ResourcePath,
    by_name: &[&Wanted],
) -> Result<(Vec<Registry>, Option<(ResourcePath, Withheld)>), Error> {
    let listing = place.child(&format!("providers/{REGISTRY}"));
    let withheld = match arm.list(registry(&listing)).await? {
        Answer::Shown(items) => {
            let read = |item| Registry::new(into_object(item, &listing)?, &listing);
            return Ok((items.into_iter().map(read).collect::<Result<_, _>>()?, None));
        }
        Answer::Withheld(withheld) if by_name.is_empty() => return Err(withheld.fatal(&listing)),
        Answer::Withheld(withheld) => withheld,
    };
    let resources = place.child("resources");
    let question = Question {
        path: &resources,
        versions: &[RESOURCES],
        filter: Some("resourceType eq 'Microsoft.ContainerRegistry/registries'"),
    };
    let mut registries = Vec::new();
    if let Answer::Shown(items) = arm.list(question).await? {
        for item in items {
            let path = Registry::new(into_object(item, &resources)?, &resources)?.path;
            // One that may be seen but not read isn't necessarily one that is asked for.
            if let Answer::Shown(body) = arm.get(registry(&path)).await? {
                registries.push(Registry::new(body, &path)?);
            }
        }
    }
    Ok((registries, Some((listing, withheld))))
}

/// What is known of one registry, and what remains to be asked for its sake.
struct Part {
    registry: ResourcePath,
    documents: Vec<Source>,
    subnets: BTreeSet<ResourcePath>,
    zones: BTreeSet<ResourcePath>,
    /// An approved private endpoint that names no zone: its records, if there are any, may be in the subscription.
    has_zoneless_endpoint: bool,
}

impl Part {
    fn add(&mut self, name: &str, body: &Value) {
        self.documents.push(document(name, body));
    }

    /// Keeps a listing with what it is of, or that it can't be read.
    fn add_listing(
        &mut self,
        name: &str,
        path: &ResourcePath,
        answer: Answer<Vec<Value>>,
    ) -> Vec<Value> {
        match answer {
            Answer::Shown(items) => {
                self.add(name, &json!({ "id": path.to_string(), "value": items }));
                items
            }
            Answer::Withheld(withheld) => {
                self.add_gap(path, &withheld);
                Vec::new()
            }
        }
    }

    fn add_gap(&mut self, path: &ResourcePath, withheld: &Withheld) {
        let registry = self.registry.clone();
        self.documents.push(gap(path, &registry, &withheld.code, &withheld.message));
    }
}

/// The registry's documents: itself, its parts, its approved private endpoints.
async fn describe(arm: &Arm, registry: Registry) -> Result<Part, Error> {
    let path = registry.path.clone();
    let name = path.name().to_owned();
    let mut part = Part {
        registry: path.clone(),
        documents: vec![registry.source()],
        subnets: BTreeSet::new(),
        zones: BTreeSet::new(),
        has_zoneless_endpoint: false,
    };
    let mut listings = vec!["listUsages"];
    if registry.is_premium() {
        listings.extend(["replications", "connectedRegistries"]);
    }
    for listing in listings {
        let below = path.child(listing);
        let answer = arm.list(self::registry(&below)).await?;
        part.add_listing(&format!("{name}/{listing}"), &below, answer);
    }
    // The registry's body has them; in a cloud whose body doesn't, they are asked for.
    let connections = match registry.property("privateEndpointConnections") {
        Some(Value::Array(connections)) => connections.clone(),
        _ if !registry.is_premium() => Vec::new(),
        _ => {
            let below = path.child("privateEndpointConnections");
            let answer = arm.list(self::registry(&below)).await?;
            part.add_listing(&format!("{name}/privateEndpointConnections"), &below, answer)
        }
    };
    for endpoint in approved_endpoints(&path, &connections)? {
        describe_endpoint(arm, &mut part, &endpoint).await?;
    }
    Ok(part)
}

/// What isn't approved carries nothing, has no addresses yet, and may be a stranger's.
fn approved_endpoints(
    path: &ResourcePath,
    connections: &[Value],
) -> Result<BTreeSet<ResourcePath>, Error> {
    let mut endpoints = BTreeSet::new();
    for connection in connections {
        let connection = &connection["properties"];
        let status = connection["privateLinkServiceConnectionState"]["status"].as_str();
        let is_approved = status.is_some_and(|status| status.eq_ignore_ascii_case("approved"));
        // It is gone where the endpoint has been deleted.
        let Some(id) = connection["privateEndpoint"]["id"].as_str().filter(|_| is_approved) else {
            continue;
        };
        endpoints.insert(refer(path, id, ENDPOINT)?);
    }
    Ok(endpoints)
}

/// The private endpoint, its network interfaces, and which zones it keeps records in.
async fn describe_endpoint(
    arm: &Arm,
    part: &mut Part,
    endpoint: &ResourcePath,
) -> Result<(), Error> {
    let body = match arm.get(network(endpoint)).await? {
        Answer::Shown(body) => body,
        Answer::Withheld(withheld) => {
            part.add_gap(endpoint, &withheld);
            part.has_zoneless_endpoint = true;
            return Ok(());
        }
    };
    let body = Value::Object(body);
    if !leads_to(&body, &part.registry) {
        let message = "this private endpoint leads to something else by now";
        let registry = part.registry.clone();
        part.documents.push(gap(endpoint, &registry, "LeadsElsewhere", message));
        return Ok(());
    }
    let name = format!("private endpoint {}", endpoint.name());
    part.add(&name, &body);
    let properties = &body["properties"];
    if let Some(subnet) = properties["subnet"]["id"].as_str() {
        part.subnets.insert(refer(endpoint, subnet, SUBNET)?);
    }
    for interface in properties["networkInterfaces"].as_array().into_iter().flatten() {
        let id = interface["id"].as_str().unwrap_or_default();
        let interface = refer(endpoint, id, INTERFACE)?;
        describe_interface(arm, part, &interface).await?;
    }
    let groups = endpoint.child("privateDnsZoneGroups");
    let answer = arm.list(network(&groups)).await?;
    let groups = part.add_listing(&format!("{name}/privateDnsZoneGroups"), &groups, answer);
    let mut named = BTreeSet::new();
    for config in groups.iter().flat_map(configs) {
        let id = config["properties"]["privateDnsZoneId"].as_str().unwrap_or_default();
        named.insert(refer(endpoint, id, ZONE)?);
    }
    part.has_zoneless_endpoint |= named.is_empty();
    part.zones.extend(named);
    Ok(())
}

fn configs(group: &Value) -> impl Iterator<Item = &Value> {
    group["properties"]["privateDnsZoneConfigs"].as_array().into_iter().flatten()
}

fn leads_to(endpoint: &Value, registry: &ResourcePath) -> bool {
    let connections = ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"];
    let connections = connections.iter().filter_map(|key| endpoint["properties"][key].as_array());
    let mut targets =
        connections.flatten().filter_map(|one| one["properties"]["privateLinkServiceId"].as_str());
    targets.any(|target| target.parse().is_ok_and(|target: ResourcePath| target == *registry))
}

async fn describe_interface(
    arm: &Arm,
    part: &mut Part,
    interface: &ResourcePath,
) -> Result<(), Error> {
    let body = match arm.get(network(interface)).await? {
        Answer::Shown(body) => Value::Object(body),
        Answer::Withheld(withheld) => {
            part.add_gap(interface, &withheld);
            return Ok(());
        }
    };
    let configs = body["properties"]["ipConfigurations"].as_array();
    let mut links = configs
        .into_iter()
        .flatten()
        .map(|config| &config["properties"]["privateLinkConnectionProperties"]);
    if links.any(|link| link["fqdns"].as_array().is_some_and(|names| !names.is_empty())) {
        part.add(&format!("network interface {}", interface.name()), &body);
    } else {
        // So it is for a moment after the approval. To read it as complete would be to guess.
        let message = "this network interface has no host names of a private endpoint yet";
        let registry = part.registry.clone();
        part.documents.push(gap(interface, &registry, "NoHostNames", message));
    }
    Ok(())
}

async fn describe_subnet(
    arm: &Arm,
    subnet: &ResourcePath,
    users: &BTreeSet<ResourcePath>,
) -> Result<Vec<Source>, Error> {
    match arm.get(network(subnet)).await? {
        Answer::Shown(mut body) => {
            body.entry("type").or_insert_with(|| SUBNET.into());
            Ok(vec![document(&format!("subnet {}", subnet.name()), &Value::Object(body))])
        }
        Answer::Withheld(withheld) => Ok(gaps(subnet, users, &withheld)),
    }
}

/// The zones that the endpoints name and those that are given; and where an endpoint names none, those of the right
/// name in the registry's subscription.
async fn zones(
    arm: &Arc<Arm>,
    query: &Query,
    registries: &[Registry],
    parts: &[Part],
) -> Result<Vec<Source>, Error> {
    let mut zones = shared(parts, |part| &part.zones);
    let given: BTreeSet<&ResourcePath> = query.zones.iter().collect();
    for zone in &given {
        zones.entry((*zone).clone()).or_default();
    }
    let mut sources = Vec::new();
    if given.is_empty() {
        let lost = parts.iter().filter(|part| part.has_zoneless_endpoint);
        let mut subscriptions: BTreeMap<&str, BTreeSet<ResourcePath>> = BTreeMap::new();
        for part in lost {
            subscriptions
                .entry(part.registry.subscription())
                .or_default()
                .insert(part.registry.clone());
        }
        for (subscription, users) in subscriptions {
            let listing =
                path(&format!("/subscriptions/{subscription}")).child(&format!("providers/{ZONE}"));
            match arm.list(dns(&listing)).await? {
                Answer::Shown(items) => {
                    for zone in items {
                        let id = zone["id"].as_str().unwrap_or_default();
                        let zone = refer(&listing, id, ZONE)?;
                        let name = zone.name().to_ascii_lowercase();
                        if Cloud::ALL.iter().any(|cloud| cloud.private_zone() == name) {
                            zones.entry(zone).or_default().extend(users.clone());
                        }
                    }
                }
                Answer::Withheld(withheld) => sources.extend(gaps(&listing, &users, &withheld)),
            }
        }
    }
    let labels: Arc<BTreeSet<String>> = Arc::new(
        registries
            .iter()
            .filter_map(|registry| Some(registry.login_server()?.label().as_str().to_owned()))
            .collect(),
    );
    let mut tasks = JoinSet::new();
    for (index, (zone, users)) in zones.into_iter().enumerate() {
        let (arm, labels) = (arm.clone(), labels.clone());
        let is_given = given.contains(&zone);
        tasks.spawn(async move {
            let answer = describe_zone(&arm, &zone, &labels).await?;
            let sources = match answer {
                Answer::Shown(sources) => sources,
                // Who names a zone counts on it.
                Answer::Withheld(withheld) if is_given => return Err(withheld.fatal(&zone)),
                Answer::Withheld(withheld) => gaps(&zone, &users, &withheld),
            };
            Ok((index, sources))
        });
    }
    sources.extend(in_order(tasks).await?.into_iter().flatten());
    Ok(sources)
}

/// The zone, and its address records of these registries; a zone may serve many others.
async fn describe_zone(
    arm: &Arm,
    zone: &ResourcePath,
    labels: &BTreeSet<String>,
) -> Result<Answer<Vec<Source>>, Error> {
    let mut body = match arm.get(dns(zone)).await? {
        Answer::Shown(body) => body,
        Answer::Withheld(withheld) => return Ok(Answer::Withheld(withheld)),
    };
    body.entry("type").or_insert_with(|| ZONE.into());
    let listing = zone.child("A");
    let records = match arm.list(dns(&listing)).await? {
        Answer::Shown(records) => records,
        Answer::Withheld(withheld) => return Ok(Answer::Withheld(withheld)),
    };
    let is_theirs = |record: &Value| {
        let name = record["name"].as_str().unwrap_or_default().to_ascii_lowercase();
        let label = name.split('.').next().unwrap_or_default();
        label == "*" || labels.contains(label)
    };
    let records: Vec<Value> = records.into_iter().filter(is_theirs).collect();
    let name = format!("zone {}", zone.name());
    Ok(Answer::Shown(vec![
        document(&name, &Value::Object(body)),
        document(&format!("{name}/A"), &json!({ "id": listing.to_string(), "value": records })),
    ]))
}

/// What several registries may share, with those that do.
fn shared(
    parts: &[Part],
    of: impl Fn(&Part) -> &BTreeSet<ResourcePath>,
) -> BTreeMap<ResourcePath, BTreeSet<ResourcePath>> {
    let mut all: BTreeMap<ResourcePath, BTreeSet<ResourcePath>> = BTreeMap::new();
    for part in parts {
        for path in of(part) {
            all.entry(path.clone()).or_default().insert(part.registry.clone());
        }
    }
    all
}

/// `id`, which `from` names, as the path of a resource of `kind`.
fn refer(from: &ResourcePath, id: &str, kind: &str) -> Result<ResourcePath, Error> {
    let path = id.parse().ok().filter(|path: &ResourcePath| path.is_a(kind));
    path.ok_or_else(|| Error::Reference(from.clone(), id.to_owned()))
}

fn into_object(item: Value, from: &ResourcePath) -> Result<Map<String, Value>, Error> {
    match item {
        Value::Object(object) => Ok(object),
        _ => Err(shape(from, "its items should be objects")),
    }
}

/// A path that is made of checked parts.
fn path(text: &str) -> ResourcePath {
    text.parse().expect("made of checked parts")
}

fn gaps(path: &ResourcePath, users: &BTreeSet<ResourcePath>, withheld: &Withheld) -> Vec<Source> {
    users.iter().map(|user| gap(path, user, &withheld.code, &withheld.message)).collect()
}

fn gap(path: &ResourcePath, registry: &ResourcePath, code: &str, message: &str) -> Source {
    let body = json!({
        "id": path.to_string(),
        "registry": registry.to_string(),
        "error": { "code": code, "message": message },
    });
    document(path.name(), &body)
}

/// A document that says where it comes from.
fn document(name: &str, body: &Value) -> Source {
    Source { name: format!("Azure ({name})"), text: body.to_string() }
}

fn registry(path: &ResourcePath) -> Question<'_> {
    Question { path, versions: &REGISTRIES, filter: None }
}

fn network(path: &ResourcePath) -> Question<'_> {
    Question { path, versions: &NETWORK, filter: None }
}

fn dns(path: &ResourcePath) -> Question<'_> {
    Question { path, versions: &DNS, filter: None }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(path) => path.fmt(f),
            Self::Server(server) => server.fmt(f),
            Self::Name(name) => f.write_str(name.as_str()),
        }
    }
}

const REGISTRY: &str = "Microsoft.ContainerRegistry/registries";
const ENDPOINT: &str = "Microsoft.Network/privateEndpoints";
const INTERFACE: &str = "Microsoft.Network/networkInterfaces";
const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets";
const ZONE: &str = "Microsoft.Network/privateDnsZones";

/// A kind of thing that is read.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// The permission that it takes.
    pub action: &'static str,
    /// What it tells.
    pub tells: &'static str,
    /// What comes of it if Azure doesn't show it.
    pub withheld: &'static str,
}

/// All that is ever read, so that whoever grants it can grant that and no more.
/// <https://learn.microsoft.com/azure/role-based-access-control/permissions/containers>
/// <https://learn.microsoft.com/azure/role-based-access-control/permissions/networking>
pub const READS: [Read; 13] = [
    Read {
        action: "Microsoft.ContainerRegistry/registries/read",
        tells: "hosts, switches, connections of private endpoints",
        withheld: "no list (exit code 2)",
    },
    Read {
        action: "Microsoft.ContainerRegistry/registries/replications/read",
        tells: "the regions, while data endpoints are off",
        withheld: "`unreadable`; no list (`replicas-unknown`) where nothing else tells the regions",
    },
    Read {
        action: "Microsoft.ContainerRegistry/registries/listUsages/read",
        tells: "limits and what is left of them",
        withheld: "`unreadable`",
    },
    Read {
        action: "Microsoft.ContainerRegistry/registries/connectedRegistries/read",
        tells: "connected registries",
        withheld: "`unreadable`",
    },
    Read {
        action: "Microsoft.ContainerRegistry/registries/privateEndpointConnections/read",
        tells: "connections of private endpoints, in clouds whose registries don't list them",
        withheld: "`unreadable`",
    },
    Read {
        action: "Microsoft.Network/privateEndpoints/read",
        tells: "approved private endpoints",
        withheld: "`unreadable`; addresses from the zones only",
    },
    Read {
        action: "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/read",
        tells: "in which zones they keep their records",
        withheld: "`unreadable`; the zones of the registry's subscription instead",
    },
    Read {
        action: "Microsoft.Network/networkInterfaces/read",
        tells: "private addresses, host by host",
        withheld: "`unreadable`; addresses from elsewhere only",
    },
    Read {
        action: "Microsoft.Network/virtualNetworks/subnets/read",
        tells: "how many addresses are left for more regions",
        withheld: "`unreadable`",
    },
    Read {
        action: "Microsoft.Network/privateDnsZones/read",
        tells: "the zones",
        withheld: "`unreadable`; given with `--dns-zone`, no list (exit code 2)",
    },
    Read {
        action: "Microsoft.Network/privateDnsZones/A/read",
        tells: "what clients resolve",
        withheld: "like the zones",
    },
    Read {
        action: "Microsoft.Resources/subscriptions/resources/read",
        tells: "registries by name, for those who may not list registries",
        withheld: "no list (exit code 2)",
    },
    Read {
        action: "Microsoft.Resources/subscriptions/resourceGroups/resources/read",
        tells: "the same, with `--resource-group`",
        withheld: "no list (exit code 2)",
    },
];

/// The first has regional endpoints and is what azure-cli 2.91 asks for; clouds behind it have one of the others.
const REGISTRIES: [&str; 3] = ["2026-09-01-preview", "2025-11-01", "2023-07-01"];
const NETWORK: [&str; 2] = ["2024-05-01", "2022-01-01"];
const DNS: [&str; 2] = ["2024-06-01", "2020-06-01"];
const RESOURCES: &str = "2021-04-01";
