//! What somebody has to do, or should know, beside the records: connections to approve, endpoints that lack a region,
//! input that is missing.

use std::collections::BTreeSet;
use std::fmt;

use ringfence_config::registry::Region;

use super::endpoints::{Growth, Hosts, Known, Reached};
use super::{Wishes, enumerate, names};
use crate::endpoint::Endpoint;
use crate::export::quote::shell;
use crate::registry::private_link::{Action, ZoneKey};
use crate::registry::{Gap, Registry, ResourceId, Status};

/// One thing to do, or to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Azure would not show something.
    Unreadable(Gap),
    /// The input doesn't tell all regions.
    RegionsUnknown,
    /// A connection waits for the registry's owner. By which ids, if the input has any.
    Approve { endpoint: ResourceId, ids: Vec<ResourceId> },
    /// The endpoint has to be made anew, says Azure.
    Recreate(ResourceId),
    /// A connection was rejected or has come apart.
    Renew { endpoint: ResourceId, status: Status },
    /// An endpoint has no address for some hosts.
    Lacks { endpoint: ResourceId, hosts: Vec<Endpoint>, growth: Growth },
    /// A replica is planned.
    Replicate { region: Region, fixed: Vec<ResourceId> },
    /// The input has no addresses of an endpoint.
    AddressesUnknown(ResourceId),
    /// Nothing tells which zone answers the network of an endpoint.
    NoZone(ResourceId),
    /// Several zones could be an endpoint's.
    WhichZone { endpoint: ResourceId, zones: Vec<ZoneKey> },
    /// Several endpoints compete for a zone's names.
    Shared { zone: ZoneKey, endpoints: Vec<ResourceId> },
    /// A zone that has no record of the registry, and that nothing wants one in.
    UnusedZone(ZoneKey),
}

/// The steps that a registry's endpoints need.
pub(super) fn of(
    registry: &Registry,
    hosts: &Hosts,
    reached: &[Reached<'_>],
    wishes: &Wishes,
) -> Vec<Step> {
    let mut steps: Vec<Step> = registry.gaps.iter().cloned().map(Step::Unreadable).collect();
    steps.extend(connections(registry, wishes));
    let reached: Vec<&Reached<'_>> = reached.iter().filter(|one| wishes.means(one.id)).collect();
    if reached.is_empty() {
        return steps;
    }
    if hosts.regions == Known::Some {
        steps.push(Step::RegionsUnknown);
    }
    for one in &reached {
        let Some(members) = &one.members else {
            steps.push(Step::AddressesUnknown(one.id.clone()));
            continue;
        };
        let missing = hosts.now().filter(|host| !members.contains_key(host));
        let missing: Vec<Endpoint> = missing.cloned().collect();
        if !missing.is_empty() {
            let (endpoint, growth) = (one.id.clone(), one.growth);
            steps.push(Step::Lacks { endpoint, hosts: missing, growth });
        }
    }
    let to_come: BTreeSet<&Region> = hosts
        .all()
        .filter(|host| hosts.is_to_come(host))
        .filter_map(|host| host.family().region())
        .collect();
    let fixed = reached.iter().filter(|one| one.growth == Growth::Fixed);
    let fixed: Vec<ResourceId> = fixed.map(|one| one.id.clone()).collect();
    steps.extend(
        to_come
            .into_iter()
            .map(|region| Step::Replicate { region: region.clone(), fixed: fixed.clone() }),
    );
    steps
}

/// Approved in one file and pending in another counts as pending: approving twice does no harm.
fn connections(registry: &Registry, wishes: &Wishes) -> Vec<Step> {
    let requests = &registry.private_link.requests;
    let mut steps = Vec::new();
    let recreate = requests.iter().filter(|r| r.action == Action::Recreate);
    let recreate: BTreeSet<&ResourceId> = recreate.map(|request| &request.endpoint).collect();
    steps.extend(
        recreate.iter().filter(|id| wishes.means(id)).map(|id| Step::Recreate((*id).clone())),
    );
    for connection in &registry.connections {
        let endpoint = connection.endpoint.clone();
        if recreate.contains(&endpoint) || !wishes.means(&endpoint) {
            continue;
        }
        match &connection.status {
            Status::Approved => {}
            Status::Pending => {
                let ids = requests.iter().filter(|r| r.endpoint == endpoint).map(|r| r.id.clone());
                let ids = ids.collect::<BTreeSet<_>>().into_iter().collect();
                steps.push(Step::Approve { endpoint, ids });
            }
            status @ Status::Other(_) => {
                steps.push(Step::Renew { endpoint, status: status.clone() });
            }
        }
    }
    steps
}

impl Step {
    /// A stable word for it.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::RegionsUnknown => "regions-unknown",
            Self::Approve { .. } => "approve",
            Self::Recreate(_) => "recreate",
            Self::Renew { .. } => "renew",
            Self::Lacks { .. } => "addresses-missing",
            Self::Replicate { .. } => "replicate",
            Self::AddressesUnknown(_) => "addresses-unknown",
            Self::NoZone(_) => "no-zone",
            Self::WhichZone { .. } => "which-zone",
            Self::Shared { .. } => "shared-zone",
            Self::UnusedZone(_) => "unused-zone",
        }
    }

    /// Its place: first what is missing to know the rest, then what comes before records, then what is only to be
    /// known.
    pub(super) fn order(&self) -> u8 {
        match self {
            Self::Unreadable(_) | Self::RegionsUnknown => 0,
            Self::Replicate { .. } => 1,
            Self::Approve { .. } => 2,
            Self::Recreate(_) | Self::Renew { .. } => 3,
            Self::Lacks { .. } => 4,
            Self::AddressesUnknown(_) => 5,
            Self::NoZone(_) | Self::WhichZone { .. } => 6,
            Self::Shared { .. } => 7,
            Self::UnusedZone(_) => 8,
        }
    }

    /// Whether it leaves something to do.
    pub(super) fn is_to_do(&self) -> bool {
        !matches!(self, Self::UnusedZone(_))
    }

    /// The private endpoints that it is about.
    pub(super) fn endpoints(&self) -> Vec<&ResourceId> {
        match self {
            Self::Approve { endpoint, .. }
            | Self::Recreate(endpoint)
            | Self::Renew { endpoint, .. }
            | Self::Lacks { endpoint, .. }
            | Self::AddressesUnknown(endpoint)
            | Self::NoZone(endpoint)
            | Self::WhichZone { endpoint, .. } => vec![endpoint],
            Self::Shared { endpoints, .. } | Self::Replicate { fixed: endpoints, .. } => {
                endpoints.iter().collect()
            }
            Self::Unreadable(_) | Self::RegionsUnknown | Self::UnusedZone(_) => Vec::new(),
        }
    }

    /// Commands for it, as they are pasted; `name` is the registry's.
    pub(super) fn commands(&self, name: &str) -> Vec<String> {
        match self {
            Self::Unreadable(Gap { resource, .. }) => vec![format!(
                "az role assignment create --role Reader --assignee WHO --scope {}",
                shell(&resource.to_string())
            )],
            Self::RegionsUnknown => vec![format!("az acr replication list --registry {name}")],
            Self::Approve { ids, .. } if !ids.is_empty() => ids
                .iter()
                .map(|id| {
                    let id = shell(&id.to_string());
                    format!("az network private-endpoint-connection approve --id {id}")
                })
                .collect(),
            Self::Approve { .. } | Self::Renew { .. } | Self::Recreate(_) | Self::Lacks { .. } => {
                vec![format!("az acr private-endpoint-connection list --registry-name {name}")]
            }
            Self::Replicate { region, .. } => {
                vec![format!("az acr replication create --registry {name} --location {region}")]
            }
            Self::AddressesUnknown(endpoint) => vec![
                format!(
                    "az network private-endpoint show --query 'networkInterfaces[].id' --ids {}",
                    shell(&endpoint.to_string())
                ),
                "az network nic show --ids ID".to_owned(),
            ],
            Self::NoZone(_) => vec![
                "az network private-dns record-set a list --resource-group RG --zone-name ZONE"
                    .to_owned(),
            ],
            Self::WhichZone { .. } | Self::Shared { .. } | Self::UnusedZone(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(Gap { resource, code }) => write!(
                f,
                "let whoever runs this read `{resource}` ({code}), and plan again: what it says is unknown"
            ),
            Self::RegionsUnknown => f.write_str(
                "tell the registry's regions: the input doesn't have all of them, so hosts may be missing below",
            ),
            Self::Approve { endpoint, .. } => write!(
                f,
                "approve the connection of `{}`, which is pending: until then it leads nowhere, and has no addresses",
                endpoint.name()
            ),
            Self::Recreate(endpoint) => write!(
                f,
                "make `{}` anew: its connection asks for that (`Recreate`), and it gets other addresses then",
                endpoint.name()
            ),
            Self::Renew { endpoint, status } => write!(
                f,
                "delete the connection of `{}`, which is {status}, or request it anew",
                endpoint.name()
            ),
            Self::Lacks { endpoint, hosts, growth } => {
                let hosts = enumerate(hosts.iter().map(|host| format!("`{host}`")));
                match growth {
                    Growth::Follows => write!(
                        f,
                        "approve the connection of `{endpoint}` again, or make the endpoint anew: it has no address \
                         for {hosts}",
                        endpoint = endpoint.name()
                    ),
                    Growth::Fixed => write!(
                        f,
                        "make `{}` anew, with an address for each region, or with dynamic ones: it has none for \
                         {hosts}, and static addresses don't follow the registry",
                        endpoint.name()
                    ),
                }
            }
            Self::Replicate { region, fixed } if fixed.is_empty() => write!(
                f,
                "make the replica in {region}, then plan again: its hosts get addresses of the endpoints' subnets, and \
                 connections may have to be approved again"
            ),
            Self::Replicate { region, fixed } => write!(
                f,
                "the replica in {region} can't be made while {} has static addresses: make that endpoint anew with \
                 dynamic ones first",
                names(fixed)
            ),
            Self::AddressesUnknown(endpoint) => write!(
                f,
                "give the addresses of `{}`, too: show its network interface by the id that the first command prints",
                endpoint.name()
            ),
            Self::NoZone(endpoint) => write!(
                f,
                "give the zone that the network of `{}` is linked to: no zone in the input has an address of it, and no \
                 zone group names one",
                endpoint.name()
            ),
            Self::WhichZone { endpoint, zones } => write!(
                f,
                "see which of {} zones of one name answers the network of `{}`: nothing in the input tells, so all of \
                 them are planned; `--zone` chooses",
                zones.len(),
                endpoint.name()
            ),
            Self::Shared { zone, endpoints } => write!(
                f,
                "give {} a zone each: they share {}, so it is unpredictable which of them a name leads to",
                names(endpoints),
                Called(zone)
            ),
            Self::UnusedZone(zone) => write!(
                f,
                "nothing is planned for {}: it has no record of the registry, and no private endpoint is known to need \
                 one there; `--zone` plans it",
                Called(zone)
            ),
        }
    }
}

/// What people call a zone: by its name, and by where it is.
pub(super) struct Called<'a>(pub(super) &'a ZoneKey);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ZoneKey { name, id } = self.0;
        let id = id.as_ref().map(ToString::to_string).unwrap_or_default();
        match id.split('/').collect::<Vec<_>>()[..] {
            ["", _, subscription, _, group, ..] => {
                write!(f, "`{name}` in `{group}` of `{subscription}`")
            }
            _ => write!(f, "`{name}`"),
        }
    }
}
