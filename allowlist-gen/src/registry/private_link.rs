//! What is known of the way that names take to a registry's private endpoints: zones, their records, who keeps them,
//! and what waits for somebody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::endpoint::Endpoint;

use super::ResourceId;

/// All of it, for one registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrivateLink {
    /// The zones of its cloud that the input has, also those without a record of it.
    pub(crate) zones: BTreeMap<ZoneKey, Zone>,
    /// Which zones an endpoint's zone groups write to; an endpoint that has no group is here without a zone, and one
    /// of which nothing is known isn't here.
    pub(crate) zone_groups: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    pub(crate) requests: BTreeSet<Request>,
    /// Endpoints whose addresses somebody chose, so that they don't grow with the registry.
    pub(crate) fixed: BTreeSet<ResourceId>,
}

/// Which zone: there can be several of one name, each for other networks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ZoneKey {
    pub(crate) name: String,
    /// Unknown where records stand alone, without ids.
    pub(crate) id: Option<ResourceId>,
}

impl ZoneKey {
    pub(crate) fn of(id: ResourceId) -> Self {
        Self { name: id.name().to_ascii_lowercase(), id: Some(id) }
    }
}

/// A zone, and what it has of a registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zone {
    pub(crate) coverage: Coverage,
    pub(crate) records: BTreeMap<Endpoint, RecordSet>,
    /// How many other record sets were read: of other registries, or of nobody.
    pub(crate) others: usize,
}

/// How much of a zone's records is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coverage {
    /// None: what it holds is unknown.
    #[default]
    Unread,
    /// Single records; others may exist.
    Some,
    /// All: what isn't there doesn't exist.
    All,
}

/// What a zone says of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RecordSet {
    pub(crate) addresses: BTreeSet<IpAddr>,
    pub(crate) ttl: Option<u32>,
    pub(crate) id: Option<ResourceId>,
}

/// A connection as the registry's owner sees it, who approves it by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) endpoint: ResourceId,
    pub(crate) id: ResourceId,
    pub(crate) action: Action,
}

/// What the endpoint's owner has to do, as Azure says (`actionsRequired`).
/// <https://learn.microsoft.com/rest/api/container-registry/private-endpoint-connections>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    None,
    /// Make the endpoint anew.
    Recreate,
}
