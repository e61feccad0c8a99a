//! Decides which zone answers the network of which private endpoint.
//!
//! An endpoint's zone groups say so. Where there are none, a zone that already has an address of the endpoint is its
//! zone; and what is left over belongs together if there is only one way. Whatever stays open is said.

use std::collections::BTreeMap;

use super::endpoints::Reached;
use super::step::Step;
use super::{Keeper, Wishes};
use crate::registry::private_link::{Zone, ZoneKey};
use crate::registry::{Registry, ResourceId};

/// The zones of a registry, and what there is to say of them.
pub(super) struct Zones<'a> {
    pub(super) zones: Vec<Served<'a>>,
    pub(super) notes: Vec<Step>,
}

/// A zone, and the endpoints that it is for.
#[derive(Debug)]
pub(super) struct Served<'a> {
    pub(super) key: ZoneKey,
    pub(super) zone: Zone,
    pub(super) by: Vec<&'a Reached<'a>>,
    pub(super) keeper: Keeper,
}

/// Which endpoint a zone is for doesn't depend on which of them somebody wants to see: all are matched, and then those
/// are left that the wishes are about.
pub(super) fn served<'a>(
    registry: &Registry,
    reached: &'a [Reached<'a>],
    wishes: &Wishes,
) -> Zones<'a> {
    let is_meant = |one: &Reached<'_>| wishes.means(one.id);
    let zones = zones(registry, reached, wishes);
    if zones.is_empty() {
        return unseen(registry, reached, wishes);
    }
    let mut all: Vec<Served<'a>> = zones
        .into_iter()
        .map(|(key, zone)| {
            let by = reached.iter().filter(|one| is_for(registry, &key, &zone, one)).collect();
            Served { keeper: keeper(registry, &key, reached), key, zone, by }
        })
        .collect();
    let is_served =
        |one: &Reached<'_>| all.iter().any(|zone| zone.by.iter().any(|known| known.id == one.id));
    let homeless: Vec<&Reached<'_>> = reached.iter().filter(|one| !is_served(one)).collect();
    let mut free = Vec::new();
    for served in all.iter_mut().filter(|served| served.by.is_empty()) {
        free.push(served.key.clone());
        // Records that lead to none of the endpoints are judged by all; but for one of them, nobody corrects what may
        // be another's.
        let is_old = !served.zone.records.is_empty() && reached.iter().all(is_meant);
        if !homeless.is_empty() {
            served.by.clone_from(&homeless);
        } else if is_old || wishes.names(&served.key) {
            served.by = reached.iter().collect();
        }
    }

    let mut notes = Vec::new();
    if wishes.zones.is_empty() {
        for one in homeless.into_iter().filter(|one| is_meant(one)) {
            match &free[..] {
                [] => notes.push(Step::NoZone(one.id.clone())),
                [_] => {}
                zones => {
                    let (endpoint, zones) = (one.id.clone(), zones.to_vec());
                    notes.push(Step::WhichZone { endpoint, zones });
                }
            }
        }
    }
    let is_any_meant = reached.iter().any(is_meant);
    all.retain_mut(|served| {
        if !wishes.zones.is_empty() && !wishes.zones.iter().any(|choice| choice.is(&served.key)) {
            return false;
        }
        let (is_anyones, has_records) = (!served.by.is_empty(), !served.zone.records.is_empty());
        served.by.retain(|one| is_meant(one));
        if !is_anyones && !has_records && is_any_meant {
            notes.push(Step::UnusedZone(served.key.clone()));
        }
        // Records that nothing explains are worth a word in a plan for everything.
        !served.by.is_empty() || (!is_anyones && has_records && reached.iter().all(is_meant))
    });
    notes.extend(all.iter().filter(|served| is_shared(served)).map(|served| Step::Shared {
        zone: served.key.clone(),
        endpoints: served.by.iter().map(|one| one.id.clone()).collect(),
    }));
    Zones { zones: all, notes }
}

/// The zones that the input has, those that zone groups write to, and those that somebody chose by id.
fn zones(registry: &Registry, reached: &[Reached<'_>], wishes: &Wishes) -> BTreeMap<ZoneKey, Zone> {
    let link = &registry.private_link;
    let standard = registry.login_server.cloud().private_zone();
    let mut zones = link.zones.clone();
    let groups = reached.iter().filter_map(|one| link.zone_groups.get(one.id)).flatten();
    let chosen = wishes.zones.iter().filter_map(|choice| choice.0.id.as_ref());
    for id in groups.chain(chosen) {
        let key = ZoneKey::of(id.clone());
        if key.name == standard {
            zones.entry(key).or_default();
        }
    }
    zones
}

/// Without a word about any zone there is one for each endpoint: networks that share a zone are the exception, and an
/// error.
fn unseen<'a>(registry: &Registry, reached: &'a [Reached<'a>], wishes: &Wishes) -> Zones<'a> {
    let name = registry.login_server.cloud().private_zone();
    let zones = reached.iter().filter(|one| wishes.means(one.id)).map(|one| {
        let key = ZoneKey { name: name.clone(), id: None };
        let keeper = keeper(registry, &key, std::slice::from_ref(one));
        Served { key, zone: Zone::default(), by: vec![one], keeper }
    });
    Zones { zones: zones.collect(), notes: Vec::new() }
}

/// Whether a zone is an endpoint's: by its zone group, or by an address that is in it.
fn is_for(registry: &Registry, key: &ZoneKey, zone: &Zone, endpoint: &Reached<'_>) -> bool {
    let has_address = zone.records.iter().any(|(host, set)| {
        let own = endpoint.members.as_ref().and_then(|members| members.get(host));
        own.is_some_and(|own| !own.is_disjoint(&set.addresses))
    });
    has_address || groups_name(registry, key, endpoint.id)
}

fn groups_name(registry: &Registry, key: &ZoneKey, endpoint: &ResourceId) -> bool {
    let zones = registry.private_link.zone_groups.get(endpoint);
    zones.is_some_and(|zones| key.id.as_ref().is_some_and(|id| zones.contains(id)))
}

fn keeper(registry: &Registry, key: &ZoneKey, reached: &[Reached<'_>]) -> Keeper {
    let by_group = reached.iter().filter(|one| groups_name(registry, key, one.id));
    let by_group: Vec<ResourceId> = by_group.map(|one| one.id.clone()).collect();
    let is_told = |one: &Reached<'_>| registry.private_link.zone_groups.contains_key(one.id);
    if !by_group.is_empty() {
        Keeper::ZoneGroup(by_group)
    } else if reached.iter().all(is_told) {
        Keeper::Hand
    } else {
        Keeper::Unknown
    }
}

/// Whether the addresses of several endpoints compete for the names in a zone.
/// <https://learn.microsoft.com/azure/container-registry/container-registry-private-link>
fn is_shared(served: &Served<'_>) -> bool {
    served.by.windows(2).any(|pair| pair[0].members.is_none() || pair[0].members != pair[1].members)
}
