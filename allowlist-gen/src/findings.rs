//! Says what is worth a person's attention. Some of it concerns the hosts of a list that can be given nevertheless:
//! contradictions, gaps and assumptions. The rest is why there is no list, and how the registry is set up beside its
//! hosts. Each finding has a stable code and says what to do.

mod catalogue;
mod page;
mod position;
mod posture;
mod render;
mod review;
mod rules;

use std::collections::BTreeSet;
use std::fmt;

use ringfence_config::address::Pin;
use ringfence_config::registry::{Label, Region};

pub use self::catalogue::{Code, Rule, Severity, UnknownCode};
pub use self::page::{Overview, Page};
pub use self::render::{to_json, to_sarif};
pub use self::review::{Review, Reviewed, review};
use crate::endpoint::{Endpoint, LoginServer};
use crate::metadata::Place;
use crate::refusal::Refusal;
use crate::registry::{
    DataEndpoints, Feature, Gap, Origin, Registry, ResourceId, Sku, Status, shell_word,
};

/// One thing that someone should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    registry: LoginServer,
    /// What `az acr` calls the registry.
    name: String,
    id: Option<ResourceId>,
    place: Option<Place>,
    kind: Kind,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// The resource with this id.
    Resource(String),
    /// This host.
    Host(String),
}

impl Object {
    fn resource(id: &ResourceId) -> Self {
        Self::Resource(id.to_string())
    }

    /// The registry itself, by the best name that is known.
    fn registry(registry: &Registry) -> Self {
        let host = || Self::Host(registry.login_server.to_string());
        registry.posture.id.as_ref().map_or_else(host, Self::resource)
    }

    /// The id, or the host.
    pub fn name(&self) -> &str {
        match self {
            Self::Resource(name) | Self::Host(name) => name,
        }
    }
}

/// One thing to do: what for, then how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What for.
    pub text: String,
    /// In this order; none where no command does it. Words in capitals are to be chosen.
    pub commands: Vec<String>,
}

impl Step {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), commands: Vec::new() }
    }

    fn run(mut self, command: String) -> Self {
        self.commands.push(command);
        self
    }

    /// Reads a remedy, in which commands stand on lines of their own.
    fn parse(remedy: &str) -> Self {
        let mut lines = remedy.lines();
        let text = lines.next().unwrap_or_default().to_owned();
        Self { text, commands: lines.map(|line| line.trim().to_owned()).collect() }
    }
}

/// A finding that its rule has put into words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    code: Code,
    object: Object,
    /// What tells it from others with the same code and object.
    detail: String,
    message: String,
    steps: Vec<Step>,
    place: Option<Place>,
}

impl Told {
    fn about(mut self, object: Object) -> Self {
        self.object = object;
        self
    }

    fn of(mut self, detail: &str) -> Self {
        detail.clone_into(&mut self.detail);
        self
    }

    fn at(mut self, place: Option<&Place>) -> Self {
        self.place = place.cloned().or(self.place);
        self
    }

    fn mend(mut self, steps: Vec<Step>) -> Self {
        self.steps = steps;
        self
    }
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
    ConnectionNotApproved { endpoint: ResourceId, status: Status, connection: Option<ResourceId> },
    ConnectionDisputed { endpoint: ResourceId, status: Status },
    AddressesUnknown(ResourceId),
    AddressMissing { endpoint: Endpoint, from: ResourceId, connection: Option<ResourceId> },
    RecordMissing { endpoint: Endpoint, zone: Option<ResourceId>, members: BTreeSet<Pin> },
    RecordUnlisted { endpoint: Endpoint, zone: Option<ResourceId> },
    AddressesDiffer { endpoint: Endpoint, zone: BTreeSet<Pin>, members: BTreeSet<Pin> },
    Refused(Box<Refusal>),
    Told(Box<Told>),
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
        Self {
            registry: registry.login_server.clone(),
            name: registry.name.clone(),
            id: registry.posture.id.clone(),
            place: registry.posture.place.clone(),
            kind,
        }
    }

    /// A stable name for this kind of finding.
    pub fn code(&self) -> &'static str {
        self.rule().code
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.rule().severity
    }

    /// What there is to say of its kind.
    pub fn rule(&self) -> &'static Rule {
        self.kind.code().rule()
    }

    /// The registry it concerns: the first label of its login server.
    pub fn registry(&self) -> &Label {
        self.registry.label()
    }

    /// The same, by its login server.
    pub fn login_server(&self) -> &LoginServer {
        &self.registry
    }

    /// What it is about.
    pub fn object(&self) -> Object {
        match &self.kind {
            Kind::Unreadable(Gap { resource, .. }) => Object::resource(resource),
            Kind::ConnectionNotApproved { endpoint, .. }
            | Kind::ConnectionDisputed { endpoint, .. }
            | Kind::AddressesUnknown(endpoint) => Object::resource(endpoint),
            Kind::AddressMissing { endpoint, .. }
            | Kind::RecordMissing { endpoint, .. }
            | Kind::RecordUnlisted { endpoint, .. }
            | Kind::AddressesDiffer { endpoint, .. } => Object::Host(endpoint.to_string()),
            Kind::Told(told) => told.object.clone(),
            Kind::NoMetadata
            | Kind::DataEndpointsAssumed(_)
            | Kind::DataEndpointsImplied
            | Kind::EndpointsDisputed { .. }
            | Kind::RegionsFromEndpoint
            | Kind::ReplicasFromEmptyListing(_)
            | Kind::RegionsDiffer { .. }
            | Kind::UnknownRegion(_)
            | Kind::ReplicaNotReady { .. }
            | Kind::Refused(_) => match &self.id {
                Some(id) => Object::resource(id),
                None => Object::Host(self.registry.to_string()),
            },
        }
    }

    /// What tells it from others with the same code and object; mostly nothing is needed.
    pub fn detail(&self) -> String {
        match &self.kind {
            Kind::RegionsDiffer { region, .. } | Kind::UnknownRegion(region) => region.to_string(),
            Kind::ReplicaNotReady { region, state } => format!("{region} {state}"),
            Kind::EndpointsDisputed { feature, .. } => feature.to_string(),
            Kind::ConnectionNotApproved { status, .. }
            | Kind::ConnectionDisputed { status, .. } => status.to_string(),
            Kind::AddressMissing { from, .. } => from.to_string(),
            Kind::Told(told) => told.detail.clone(),
            _ => String::new(),
        }
    }

    /// Where in the input it can be seen best, if that is one place.
    pub fn place(&self) -> Option<&Place> {
        match &self.kind {
            Kind::Told(told) => told.place.as_ref(),
            _ => self.place.as_ref(),
        }
    }

    /// What to do about it, in this order.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = match &self.kind {
            Kind::Told(told) => told.steps.clone(),
            Kind::Refused(refusal) => {
                refusal.remedy().iter().map(|step| Step::parse(step)).collect()
            }
            _ => vec![Step::parse(&self.remedy())],
        };
        // By its name, az finds a registry only in the subscription that it happens to be set to.
        if let Some(subscription) = self.id.as_ref().and_then(ResourceId::subscription) {
            let subscription = shell_word(subscription);
            for command in steps.iter_mut().flat_map(|step| &mut step.commands) {
                if let Some((acr, rest)) = command.split_once(" --")
                    && acr.starts_with("az acr ")
                {
                    *command = format!("{acr} --subscription {subscription} --{rest}");
                }
            }
        }
        steps
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
                 az role assignment create --role Reader --assignee WHO --scope {}",
                shell_word(&resource.to_string())
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
            Kind::ConnectionNotApproved { status, connection, .. } => {
                connection_remedy(name, status, connection.as_ref())
            }
            Kind::AddressesUnknown(endpoint) => format!(
                "if such clients use this list, give the endpoint's network interface, too: show \
                 it by the id that this prints\n  \
                 az network private-endpoint show --query \"networkInterfaces[].id\" \
                 --ids {}\n  \
                 az network nic show --ids ID",
                shell_word(&endpoint.to_string())
            ),
            Kind::AddressMissing { connection, .. } => {
                let command = match connection {
                    Some(connection) => connection_command("approve", name, connection),
                    None => connections(name),
                };
                format!(
                    "a region that came later needs the connection approved again, or a new \
                     endpoint\n  {command}"
                )
            }
            Kind::RecordMissing { endpoint, zone, members } => {
                let mut remedy = "add the record; DNS that is kept by hand doesn't follow new \
                                  regions"
                    .to_owned();
                for pin in members {
                    let record = format!(
                        "--record-set-name {} --ipv4-address {pin}",
                        endpoint.private_record()
                    );
                    remedy.extend(record_set("add-record", zone.as_ref(), &record));
                }
                remedy
            }
            Kind::RecordUnlisted { endpoint, zone } => {
                let mut remedy = "delete the record if its region is gone for good".to_owned();
                let record = format!("--name {}", endpoint.private_record());
                remedy.extend(record_set("delete", zone.as_ref(), &record));
                remedy
            }
            Kind::AddressesDiffer { .. } => {
                "correct the record, or give the interfaces of all endpoints that the zone serves"
                    .to_owned()
            }
            Kind::Refused(_) | Kind::Told(_) => {
                let lines = |step: Step| [vec![step.text], step.commands].concat().join("\n  ");
                self.steps().into_iter().map(lines).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl Kind {
    fn code(&self) -> Code {
        match self {
            Self::NoMetadata => Code::NoMetadata,
            Self::Unreadable(_) => Code::Unreadable,
            Self::DataEndpointsAssumed(_) => Code::DataEndpointsAssumed,
            Self::DataEndpointsImplied => Code::DataEndpointsImplied,
            Self::EndpointsDisputed { .. } => Code::EndpointsDisputed,
            Self::RegionsFromEndpoint => Code::RegionsFromPrivateEndpoint,
            Self::ReplicasFromEmptyListing(_) => Code::ReplicasFromEmptyList,
            Self::RegionsDiffer { .. } => Code::RegionsDiffer,
            Self::UnknownRegion(_) => Code::RegionUnknown,
            Self::ReplicaNotReady { .. } => Code::ReplicaNotReady,
            Self::ConnectionNotApproved { .. } => Code::ConnectionNotApproved,
            Self::ConnectionDisputed { .. } => Code::ConnectionDisputed,
            Self::AddressesUnknown(_) => Code::AddressesUnknown,
            Self::AddressMissing { .. } => Code::AddressMissing,
            Self::RecordMissing { .. } => Code::RecordMissing,
            Self::RecordUnlisted { .. } => Code::RecordUnlisted,
            Self::AddressesDiffer { .. } => Code::AddressesDiffer,
            Self::Refused(refusal) => refusal.finding(),
            Self::Told(told) => told.code,
        }
    }
}

fn connection_remedy(name: &str, status: &Status, connection: Option<&ResourceId>) -> String {
    match (status, connection) {
        (Status::Pending, Some(connection)) => format!(
            "approve it, or delete it: one of these\n  {}\n  {}",
            connection_command("approve", name, connection),
            connection_command("delete", name, connection)
        ),
        (Status::Pending, None) => format!("approve it or delete it\n  {}", connections(name)),
        (_, Some(connection)) => format!(
            "delete it, or request it anew\n  {}",
            connection_command("delete", name, connection)
        ),
        (_, None) => format!("delete it, or request it anew\n  {}", connections(name)),
    }
}

fn connections(name: &str) -> String {
    format!("az acr private-endpoint-connection list --registry-name {name}")
}

fn connection_command(verb: &str, name: &str, connection: &ResourceId) -> String {
    let connection = shell_word(connection.name());
    format!("az acr private-endpoint-connection {verb} --registry-name {name} --name {connection}")
}

/// A line with a command on record sets of a private zone, if the zone is known.
fn record_set(verb: &str, zone: Option<&ResourceId>, rest: &str) -> Option<String> {
    let zone = zone?;
    Some(format!(
        "\n  az network private-dns record-set a {verb} --subscription {} --resource-group {} \
         --zone-name {} {rest}",
        shell_word(zone.subscription()?),
        shell_word(zone.group()?),
        shell_word(zone.name())
    ))
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
            Kind::ConnectionNotApproved { endpoint, status, .. } => write!(
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
            Kind::AddressMissing { endpoint, from, .. } => {
                write!(f, "private endpoint `{}` has no address for `{endpoint}`", from.name())
            }
            Kind::RecordMissing { endpoint, .. } => {
                write!(f, "the private DNS zone has no record for `{endpoint}`")
            }
            Kind::RecordUnlisted { endpoint, .. } => write!(
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
            Kind::Refused(refusal) => refusal.fmt(f),
            Kind::Told(told) => f.write_str(&told.message),
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
