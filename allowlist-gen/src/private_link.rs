//! Decides what must be done so that clients behind Private Link reach all hosts of their registries: which
//! connections wait for approval, and which records the private zones must have.
//!
//! ```text
//! Registry ─▶ zones of its private endpoints ─▶ a state for each record ─▶ Plan ─▶ text, JSON, commands
//!             (which zone is whose)             (is, should be)
//! ```
//!
//! What isn't known is never taken for right: a record whose address nothing tells is [`State::Unknown`], and says
//! what would tell it. What a zone has of other registries is nobody's business here.

mod changes;
mod endpoints;
mod json;
mod reference;
mod step;
mod text;
mod zones;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ringfence_config::registry::Region;
use ringfence_config::snippet::escape;

pub use self::changes::Rendered;
use self::endpoints::{Hosts, Reached};
pub use self::reference::Reference;
use self::step::Step;
pub use self::text::Text;
use self::zones::Served;
use crate::endpoint::{Cloud, Endpoint, Family, LoginServer};
use crate::registry::private_link::{Coverage, RecordSet, ZoneKey};
use crate::registry::{Registry, ResourceId};

/// What a plan is told beside the metadata.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Regions that the registries will have.
    pub future_regions: Vec<Region>,
    /// Only these private endpoints, by name or resource id; all if there are none.
    pub private_endpoints: Vec<String>,
    /// Only these zones; all if there are none.
    pub zones: Vec<ZoneChoice>,
    /// The resource group of zones of which the input doesn't tell it.
    pub resource_group: Option<String>,
}

/// A zone that somebody chose, by name or by resource id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneChoice(ZoneKey);

impl ZoneChoice {
    fn is(&self, zone: &ZoneKey) -> bool {
        self.0.name == zone.name && (self.0.id.is_none() || self.0.id == zone.id)
    }
}

impl FromStr for ZoneChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_plain = |c: char| c.is_alphanumeric() || "/-_.()".contains(c);
        let key = if text.contains('/') {
            let folded = text.to_ascii_lowercase();
            let is_id = folded.starts_with("/subscriptions/")
                && folded.rsplit('/').nth(1) == Some("privatednszones")
                && text.chars().all(is_plain);
            if !is_id {
                return Err(Error::NotAZone(escape(text)));
            }
            ZoneKey::of(ResourceId::new(text))
        } else {
            ZoneKey { name: text.trim_end_matches('.').to_ascii_lowercase(), id: None }
        };
        if !Cloud::ALL.iter().any(|cloud| cloud.private_zone() == key.name) {
            return Err(Error::NotAZone(escape(text)));
        }
        Ok(Self(key))
    }
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Format {
    /// For people, with the commands
    Text,
    /// All of it, for programs
    Json,
    /// A script of azure-cli for the records to add and to correct
    Az,
    /// The zone as it should be, as a master file (RFC 1035)
    Zone,
    /// The records to add and to correct, in Terraform
    Terraform,
    /// The records to add and to correct, in Bicep
    Bicep,
}

/// Who writes the records that a private endpoint's DNS zone group should have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupRecords {
    /// The group: its records stay out of what is written.
    Left,
    /// We: the group and whoever applies it then both write.
    Written,
}

/// Why there is no plan, or why it can't be written so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither the name nor the id of a zone that registries are in.
    #[error(
        "`{0}` is no private zone of registries: give {zones}, or the resource id of such a zone",
        zones = zone_names()
    )]
    NotAZone(String),
    /// A zone that no registry in the input is in.
    #[error("no registry in the input belongs in a zone that `--zone` names")]
    NoSuchZone,
    /// An endpoint that nothing in the input is about.
    #[error("no registry in the input has a private endpoint `{0}`")]
    NoSuchEndpoint(String),
    /// Several zones, where there is room for one.
    #[error("{format} is one zone, and the plan has {count}: choose one with `--zone`\n{zones}")]
    SeveralZones {
        /// As it is written.
        format: &'static str,
        /// How many there are.
        count: usize,
        /// One per line.
        zones: String,
    },
    /// Zones in several places, where there is room for one.
    #[error(
        "{format} goes into one {place}, and the zones of the plan are in several: choose one with `--zone`\n{zones}"
    )]
    SeveralPlaces {
        /// As it is written.
        format: &'static str,
        /// What there may be one of.
        place: &'static str,
        /// One per line.
        zones: String,
    },
    /// Private endpoints of one registry, and nothing tells their zones apart.
    #[error(
        "`{registry}` has {count} private endpoints, and the input tells no zone of theirs, so their records can't be \
         told apart: give the zones' records, or choose one with `--private-endpoint`"
    )]
    WhichZone {
        /// The registry.
        registry: LoginServer,
        /// How many there are.
        count: usize,
    },
    /// Nothing to write a zone of.
    #[error(
        "no address is known, so there is no zone to write: the plan as text says what is missing"
    )]
    NoRecords,
    /// More than a deployment takes.
    #[error("{0} record sets are more than a deployment takes, which is {most}: choose a zone with `--zone`", most = changes::MOST_IN_BICEP)]
    TooMany(usize),
}

fn zone_names() -> String {
    let names = Cloud::ALL.map(|cloud| format!("`{}`", cloud.private_zone()));
    names.join(", ")
}

/// What there is to do for some registries.
#[derive(Debug, Clone)]
pub struct Plan {
    registries: Vec<RegistryPlan>,
    resource_group: Option<String>,
}

/// What there is to do for one.
#[derive(Debug, Clone)]
struct RegistryPlan {
    login_server: LoginServer,
    /// What `az acr` calls the registry.
    name: String,
    /// In the order in which they are done.
    steps: Vec<Step>,
    zones: Vec<ZonePlan>,
}

/// What one zone has of a registry, and should have.
#[derive(Debug, Clone)]
struct ZonePlan {
    key: ZoneKey,
    coverage: Coverage,
    /// How many record sets it has of others.
    others: usize,
    keeper: Keeper,
    /// The private endpoints whose networks it answers.
    serves: Vec<ResourceId>,
    /// By host, login server first.
    records: Vec<Record>,
}

/// Who writes a zone's records.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keeper {
    /// The zone groups of these private endpoints, by themselves.
    ZoneGroup(Vec<ResourceId>),
    /// Somebody: no endpoint has a group that names the zone.
    Hand,
    /// Nothing tells.
    Unknown,
}

/// A host's record in one zone.
#[derive(Debug, Clone)]
struct Record {
    host: Endpoint,
    /// What is there, as far as the input tells.
    is: Option<RecordSet>,
    state: State,
}

/// How a record is, and how it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// As it should be.
    Exists,
    /// Not there.
    Missing(BTreeSet<IpAddr>),
    /// Nothing tells whether it is there.
    Unseen(BTreeSet<IpAddr>),
    /// It points elsewhere.
    Differs { should: BTreeSet<IpAddr> },
    /// Of a host that the registry doesn't have now.
    Surplus,
    /// How it should be isn't known.
    Unknown(Why),
}

/// Why it isn't known how a record should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// No approved private endpoint is known.
    NoEndpoint,
    /// An endpoint whose addresses aren't in the input.
    AddressesUnknown(ResourceId),
    /// The endpoints have no address for the host.
    NotOnEndpoint(Vec<ResourceId>),
    /// A region that is still to come.
    ToCome(Region),
    /// Endpoints with different addresses, and one zone.
    SeveralEndpoints(Vec<ResourceId>),
    /// Several addresses of one endpoint for one host, where there is one.
    Disputed(BTreeSet<IpAddr>),
    /// A host that may be the registry's: its regions aren't all known, or whether it has regional endpoints.
    HostsUnknown,
}

impl State {
    /// The addresses that the record should have, if it has to be written.
    fn change(&self) -> Option<&BTreeSet<IpAddr>> {
        match self {
            Self::Missing(should) | Self::Unseen(should) | Self::Differs { should } => Some(should),
            Self::Exists | Self::Surplus | Self::Unknown(_) => None,
        }
    }

    /// A stable word for it.
    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Missing(_) => "missing",
            Self::Unseen(_) => "should-exist",
            Self::Differs { .. } => "differs",
            Self::Surplus => "surplus",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Plan {
    /// Plans for all of `registries`, or for those that the wishes are about.
    pub fn of(registries: &[Registry], wishes: &Wishes) -> Result<Self, Error> {
        for wish in &wishes.private_endpoints {
            let mut ids = registries.iter().flat_map(endpoints::ids);
            if !ids.any(|id| endpoints::is_called(id, wish)) {
                return Err(Error::NoSuchEndpoint(escape(wish)));
            }
        }
        let is_meant = |registry: &&Registry| {
            let zone = registry.login_server.cloud().private_zone();
            let is_zone = wishes.zones.is_empty() || wishes.zones.iter().any(|c| c.0.name == zone);
            let ids = endpoints::ids(registry);
            is_zone
                && (wishes.private_endpoints.is_empty() || ids.iter().any(|id| wishes.means(id)))
        };
        let meant: Vec<&Registry> = registries.iter().filter(is_meant).collect();
        if meant.is_empty() {
            return Err(Error::NoSuchZone);
        }
        Ok(Self {
            registries: meant.into_iter().map(|registry| plan(registry, wishes)).collect(),
            resource_group: wishes.resource_group.clone(),
        })
    }

    /// Whether everything is as it should be.
    pub fn is_done(&self) -> bool {
        self.registries.iter().all(|registry| {
            let records = registry.zones.iter().flat_map(|zone| &zone.records);
            records.into_iter().all(|record| record.state == State::Exists)
                && !registry.steps.iter().any(Step::is_to_do)
        })
    }

    /// Whether the plan has a zone of which the input doesn't tell where it is, so that a resource group is of use.
    pub fn needs_resource_group(&self) -> bool {
        let mut zones = self.registries.iter().flat_map(|registry| &registry.zones);
        zones.any(|zone| zone.key.id.as_ref().and_then(changes::place_of).is_none())
    }
}

impl Wishes {
    /// Whether they are about this private endpoint.
    fn means(&self, endpoint: &ResourceId) -> bool {
        let wished = &self.private_endpoints;
        wished.is_empty() || wished.iter().any(|wish| endpoints::is_called(endpoint, wish))
    }

    /// Whether they name this very zone, by its id.
    fn names(&self, zone: &ZoneKey) -> bool {
        zone.id.is_some() && self.zones.iter().any(|choice| choice.0.id == zone.id)
    }
}

fn plan(registry: &Registry, wishes: &Wishes) -> RegistryPlan {
    let hosts = Hosts::of(registry, &wishes.future_regions);
    let reached = endpoints::reached(registry);
    let served = zones::served(registry, &reached, wishes);
    let mut steps = step::of(registry, &hosts, &reached, wishes);
    steps.extend(served.notes);
    steps.sort_by_key(Step::order);
    RegistryPlan {
        login_server: registry.login_server.clone(),
        name: registry.name.clone(),
        steps,
        zones: served.zones.iter().map(|served| zone(registry, &hosts, served)).collect(),
    }
}

fn zone(registry: &Registry, hosts: &Hosts, served: &Served<'_>) -> ZonePlan {
    let mut all: BTreeSet<&Endpoint> = served.zone.records.keys().collect();
    // Where nothing leads to the registry, only what is there is worth a word.
    if !served.by.is_empty() {
        all.extend(hosts.all());
    }
    let records = all.into_iter().map(|host| {
        let is = served.zone.records.get(host);
        let state = state(registry, hosts, host, is, served);
        Record { host: host.clone(), is: is.cloned(), state }
    });
    ZonePlan {
        key: served.key.clone(),
        coverage: served.zone.coverage,
        others: served.zone.others,
        keeper: served.keeper.clone(),
        serves: served.by.iter().map(|reached| reached.id.clone()).collect(),
        records: records.collect(),
    }
}

/// How a record is, given who is behind the zone. Right is only what one of the endpoints explains.
fn state(
    registry: &Registry,
    hosts: &Hosts,
    host: &Endpoint,
    is: Option<&RecordSet>,
    served: &Served<'_>,
) -> State {
    if !hosts.has(host) {
        return if hosts.are_known(registry, host) {
            State::Surplus
        } else {
            State::Unknown(Why::HostsUnknown)
        };
    }
    if served.by.is_empty() {
        return State::Unknown(Why::NoEndpoint);
    }
    let ids = |reached: &[&Reached<'_>]| reached.iter().map(|one| one.id.clone()).collect();
    let offers: BTreeSet<&BTreeSet<IpAddr>> =
        served.by.iter().filter_map(|reached| reached.members.as_ref()?.get(host)).collect();
    if let Some(is) = is.map(|set| &set.addresses)
        && offers.iter().any(|offer| offer.is_subset(is))
        && is.iter().all(|address| offers.iter().any(|offer| offer.contains(address)))
    {
        return State::Exists;
    }
    if let Some(silent) = served.by.iter().find(|reached| reached.members.is_none()) {
        return State::Unknown(Why::AddressesUnknown(silent.id.clone()));
    }
    let mut offers = offers.into_iter();
    let should = match (offers.next(), offers.next()) {
        (None, _) => {
            return State::Unknown(match (hosts.is_to_come(host), host.family().region()) {
                (true, Some(region)) => Why::ToCome(region.clone()),
                _ => Why::NotOnEndpoint(ids(&served.by)),
            });
        }
        (Some(_), Some(_)) => return State::Unknown(Why::SeveralEndpoints(ids(&served.by))),
        (Some(offer), None) => offer.clone(),
    };
    // A member of an endpoint has one address.
    if should.len() > 1 {
        return State::Unknown(Why::Disputed(should));
    }
    match (is, served.zone.coverage) {
        (Some(_), _) => State::Differs { should },
        (None, Coverage::All) => State::Missing(should),
        (None, Coverage::Some | Coverage::Unread) => State::Unseen(should),
    }
}

/// What a host is, in a few words.
fn describe(host: &Endpoint) -> String {
    let label = host.login_server().label();
    match host.family() {
        Family::Login => format!("login server of {label}"),
        Family::RegionalLogin(region) => format!("login server of {label} in {region}"),
        Family::Data(region) => format!("layers of {label} in {region}"),
    }
}

/// "a, b and c".
fn enumerate<T: fmt::Display>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string()).collect();
    match &words[..] {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn names<'a>(ids: impl IntoIterator<Item = &'a ResourceId>) -> String {
    enumerate(ids.into_iter().map(|id| format!("`{}`", id.name())))
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("no approved private endpoint is in the input"),
            Self::AddressesUnknown(id) => {
                write!(f, "the addresses of `{}` are not in the input", id.name())
            }
            Self::NotOnEndpoint(ids) => write!(f, "{} has no address for it yet", names(ids)),
            Self::ToCome(region) => {
                write!(f, "it gets its address with the replica in {region}")
            }
            Self::SeveralEndpoints(ids) => {
                write!(
                    f,
                    "{} have different addresses for it: `--private-endpoint` chooses",
                    names(ids)
                )
            }
            Self::Disputed(addresses) => write!(
                f,
                "the input has {} for it on one endpoint, so one of the files is old",
                enumerate(addresses)
            ),
            Self::HostsUnknown => {
                f.write_str("the input doesn't tell whether the registry has this host")
            }
        }
    }
}

impl Why {
    /// A stable word for it.
    fn code(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "no-private-endpoint",
            Self::AddressesUnknown(_) => "addresses-unknown",
            Self::NotOnEndpoint(_) => "not-on-private-endpoint",
            Self::ToCome(_) => "region-to-come",
            Self::SeveralEndpoints(_) => "several-private-endpoints",
            Self::Disputed(_) => "addresses-disputed",
            Self::HostsUnknown => "hosts-unknown",
        }
    }
}
