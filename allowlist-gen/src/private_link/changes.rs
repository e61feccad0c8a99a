//! The plan as texts that change zones: what is to be added and corrected, for azure-cli, Terraform and Bicep; and the
//! whole zone as it should be, for a name server. Nothing in them deletes a record.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::step::Called;
use super::{
    Error, Format, GroupRecords, Keeper, Plan, Record, RegistryPlan, State, Text, ZonePlan,
    describe, enumerate,
};
use crate::endpoint::Endpoint;
use crate::export::azure::private_records::{Place, Record as Written, Zone};
use crate::export::azure::{private_dns, private_dns_bicep, private_dns_terraform};
use crate::export::dns::zone;
use crate::export::text::comments;
use crate::registry::ResourceId;
use crate::registry::private_link::ZoneKey;

pub(super) const MOST_IN_BICEP: usize = private_dns_bicep::MOST;

/// A plan in some format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text: whole lines.
    pub text: String,
    /// What somebody should know who reads only that: what isn't in it, and what comes first.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Writes the plan, byte for byte the same for the same plan.
    pub fn render(&self, format: Format, by_group: GroupRecords) -> Result<Rendered, Error> {
        let whole = |text| Ok(Rendered { text, warnings: Vec::new() });
        match format {
            Format::Text => whole(Text(self).to_string()),
            Format::Json => whole(self.to_json()),
            Format::Az => self.script(by_group),
            Format::Terraform => self.terraform(by_group),
            Format::Bicep => self.bicep(by_group),
            Format::Zone => self.master_file(),
        }
    }

    fn script(&self, by_group: GroupRecords) -> Result<Rendered, Error> {
        let changes = self.changes(by_group)?;
        let header = changes.header("azure-cli", &[EXACT.to_owned()]);
        let text = private_dns::script(&comments("# ", &header), &changes.zones);
        Ok(Rendered { text, warnings: changes.warnings })
    }

    fn terraform(&self, by_group: GroupRecords) -> Result<Rendered, Error> {
        let changes = self.changes(by_group)?;
        let subscription =
            one_place("Terraform", "subscription", &changes.zones, |place| match place {
                Place::Known { subscription, .. } => Some(subscription.clone()),
                Place::Asked | Place::Group(_) => None,
            })?;
        let mut notes = vec![OF_TERRAFORM.to_owned()];
        notes.extend(subscription.flatten().map(|subscription| {
            format!("The provider has to be that of the subscription {subscription}.")
        }));
        if changes.unseen > 0 {
            notes.push(
                "Nothing is known of what exists, and Terraform makes no record that is there already: bring it in \
                 first, by an `import` block with its id."
                    .to_owned(),
            );
        }
        let header = changes.header("Terraform", &notes);
        let text = private_dns_terraform::text(comments("# ", &header), &changes.zones);
        Ok(Rendered { text, warnings: changes.warnings })
    }

    fn bicep(&self, by_group: GroupRecords) -> Result<Rendered, Error> {
        let changes = self.changes(by_group)?;
        let place = one_place("Bicep", "resource group", &changes.zones, Place::clone)?;
        let sets = changes.count();
        if sets > MOST_IN_BICEP {
            return Err(Error::TooMany(sets));
        }
        let mut notes = vec![EXACT.to_owned()];
        notes.extend(place.map(|place| match place {
            Place::Asked => "It is for the resource group that has the zones.".to_owned(),
            Place::Group(group) => format!("It is for the resource group {group}."),
            Place::Known { subscription, group } => {
                format!("It is for the resource group {group} of the subscription {subscription}.")
            }
        }));
        let header = changes.header("Bicep", &notes);
        let text = private_dns_bicep::text(comments("// ", &header), &changes.zones);
        Ok(Rendered { text, warnings: changes.warnings })
    }

    /// The records to write, by the zones that they go into.
    fn changes(&self, by_group: GroupRecords) -> Result<Changes, Error> {
        self.tells_zones_apart()?;
        let mut zones: BTreeMap<&ZoneKey, Vec<Written>> = BTreeMap::new();
        let (mut left, mut unseen) = (Vec::new(), 0);
        for (_, zone) in self.zones() {
            let is_left =
                by_group == GroupRecords::Left && matches!(zone.keeper, Keeper::ZoneGroup(_));
            for record in &zone.records {
                let Some(should) = record.state.change() else { continue };
                if is_left {
                    left.push((zone, record));
                    continue;
                }
                unseen += usize::from(matches!(record.state, State::Unseen(_)));
                zones.entry(&zone.key).or_default().push(written(record, should));
            }
        }
        let zone = |(key, records): (&ZoneKey, _)| Zone {
            name: key.name.clone(),
            place: place(key, self),
            records,
        };
        let zones = zones.into_iter().map(zone).collect();
        Ok(Changes { zones, unseen, warnings: self.warnings(&left) })
    }

    /// The one zone of the plan, as it should be: what is right or nobody can judge stays, what is wrong is corrected.
    fn master_file(&self) -> Result<Rendered, Error> {
        self.tells_zones_apart()?;
        let keys: BTreeSet<&ZoneKey> = self.zones().map(|(_, zone)| &zone.key).collect();
        let mut keys = keys.into_iter();
        let Some(key) = keys.next() else { return Err(Error::NoRecords) };
        let more: Vec<&ZoneKey> = keys.collect();
        if !more.is_empty() {
            let count = more.len() + 1;
            let zones = lines([key].into_iter().chain(more));
            return Err(Error::SeveralZones { format: "a zone file", count, zones });
        }
        let mut groups = Vec::new();
        let mut hash = Sha256::new();
        for (registry, zone) in self.zones() {
            let mut records = Vec::new();
            for record in &zone.records {
                let is = record.is.as_ref().map(|is| &is.addresses);
                let Some(addresses) = record.state.change().or(is) else { continue };
                hash.update(format!("{} {addresses:?}\n", record.host));
                records.push(written(record, addresses));
            }
            if records.iter().any(|record| record.addresses().next().is_some()) {
                groups.push((registry.login_server.label().to_string(), records));
            }
        }
        if groups.is_empty() {
            return Err(Error::NoRecords);
        }
        let mut warnings = self.warnings(&[]);
        warnings.extend(self.strangers());
        let mut header = vec![
            format!(
                "Written by `allowlist-gen private-link` for a name server: {} as it should be for {}.",
                key.name,
                enumerate(groups.iter().map(|(label, _)| label))
            ),
            "The serial is made of the records: it changes with them, but doesn't grow.".to_owned(),
        ];
        header.extend(warnings.iter().map(|warning| sentence(warning)));
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        let serial = u32::from_be_bytes([a, b, c, d]);
        let text = zone::master_file(&comments("; ", &header), &key.name, serial, &groups);
        Ok(Rendered { text, warnings })
    }

    /// The zone's records that belong to none of the registries here.
    fn strangers(&self) -> Option<String> {
        let own =
            |zone: &ZonePlan| zone.records.iter().filter(|record| record.is.is_some()).count();
        let all = self.zones().map(|(_, zone)| zone.others + own(zone)).max()?;
        let of_all: usize = self.zones().map(|(_, zone)| own(zone)).sum();
        let strangers = all.saturating_sub(of_all);
        (strangers > 0).then(|| {
            format!(
                "not in this: {strangers} other record sets that the zone has; in the place of the whole zone, this file \
                 would take them away"
            )
        })
    }

    fn zones(&self) -> impl Iterator<Item = (&RegistryPlan, &ZonePlan)> {
        self.registries
            .iter()
            .flat_map(|registry| registry.zones.iter().map(move |zone| (registry, zone)))
    }

    /// Records for different networks must not end up in one zone because nobody knows the zones.
    fn tells_zones_apart(&self) -> Result<(), Error> {
        for registry in &self.registries {
            let count = registry.zones.iter().filter(|zone| zone.key.id.is_none()).count();
            if count > 1 {
                let registry = registry.login_server.clone();
                return Err(Error::WhichZone { registry, count });
            }
        }
        Ok(())
    }

    /// What somebody has to know who reads only a text that changes records: what comes beside it, and which records
    /// aren't in it, by the reason.
    fn warnings(&self, left: &[(&ZonePlan, &Record)]) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut missing: BTreeMap<String, BTreeSet<&Endpoint>> = BTreeMap::new();
        for registry in &self.registries {
            for step in registry.steps.iter().filter(|step| step.is_to_do()) {
                warnings
                    .push(format!("to do beside this, for `{}`: {step}", registry.login_server));
            }
            for record in registry.zones.iter().flat_map(|zone| &zone.records) {
                let why = match &record.state {
                    State::Unknown(why) => why.to_string(),
                    State::Surplus => "the registry has no such host now; the record stays, and the plan as text has \
                                       the command that deletes it"
                        .to_owned(),
                    State::Exists
                    | State::Missing(_)
                    | State::Unseen(_)
                    | State::Differs { .. } => continue,
                };
                missing.entry(why).or_default().insert(&record.host);
            }
        }
        for (zone, record) in left {
            let why = format!(
                "a DNS zone group writes the records of {}; `--by-hand` writes them nevertheless",
                Called(&zone.key)
            );
            missing.entry(why).or_default().insert(&record.host);
        }
        warnings.extend(missing.into_iter().map(|(why, hosts)| {
            let hosts = enumerate(hosts.into_iter().map(|host| format!("`{host}`")));
            format!("not in this: {hosts}: {why}")
        }));
        warnings
    }
}

/// What a text that changes records is made of.
struct Changes {
    zones: Vec<Zone>,
    /// How many of the records may be there already.
    unseen: usize,
    warnings: Vec<String>,
}

impl Changes {
    fn count(&self) -> usize {
        self.zones.iter().map(|zone| zone.records.len()).sum()
    }

    /// What the text says of itself; without records there is nothing for `notes` to be about.
    fn header(&self, format: &str, notes: &[String]) -> Vec<String> {
        let what = match self.count() {
            0 => "nothing to add or to correct".to_owned(),
            1 => "1 record to add or to correct".to_owned(),
            count => format!("{count} records to add or to correct"),
        };
        let mut header =
            vec![format!("Written by `allowlist-gen private-link` for {format}: {what}.")];
        if !self.zones.is_empty() {
            header.extend_from_slice(notes);
        }
        header.extend(self.warnings.iter().map(|warning| sentence(warning)));
        header
    }
}

/// A record with these addresses, and the rest as it is.
fn written(record: &Record, addresses: &BTreeSet<IpAddr>) -> Written {
    let is = record.is.as_ref();
    Written {
        ttl: is.and_then(|is| is.ttl),
        id: is.and_then(|is| is.id.as_ref()).map(ToString::to_string),
        ..Written::new(record.host.private_record(), addresses.iter().copied(), remark(record))
    }
}

const EXACT: &str = "A record that is written gets exactly these addresses; every other stays as it is. Nothing is deleted.";

const OF_TERRAFORM: &str = "\
    These records have to stay in Terraform's files: it deletes what leaves them, and the next plan no longer has what \
    is right by then. `allowlist-gen export azure-private-dns-terraform` writes all records of a list.";

/// Where the zone is, as far as anybody told.
pub(super) fn place(key: &ZoneKey, plan: &Plan) -> Place {
    match (key.id.as_ref().and_then(place_of), &plan.resource_group) {
        (Some((place, _)), _) => place,
        (None, Some(group)) => Place::Group(group.clone()),
        (None, None) => Place::Asked,
    }
}

/// Where a resource is, and its name.
pub(super) fn place_of(id: &ResourceId) -> Option<(Place, String)> {
    let text = id.to_string();
    let parts: Vec<&str> = text.split('/').collect();
    let ["", subscriptions, subscription, groups, group, _, ..] = parts[..] else { return None };
    let is_id = subscriptions.eq_ignore_ascii_case("subscriptions")
        && groups.eq_ignore_ascii_case("resourceGroups");
    let place = Place::Known { subscription: subscription.to_owned(), group: group.to_owned() };
    is_id.then(|| (place, id.name().to_owned()))
}

/// The one place that all zones are in, if there are any.
fn one_place<P: PartialEq>(
    format: &'static str,
    place: &'static str,
    zones: &[Zone],
    of: impl Fn(&Place) -> P,
) -> Result<Option<P>, Error> {
    let mut places = zones.iter().map(|zone| of(&zone.place));
    let first = places.next();
    if places.all(|place| Some(&place) == first.as_ref()) {
        return Ok(first);
    }
    let zones: BTreeSet<String> = zones
        .iter()
        .map(|zone| match &zone.place {
            Place::Known { subscription, group } => {
                format!("  {} in {group} of {subscription}", zone.name)
            }
            Place::Group(_) | Place::Asked => format!("  {}", zone.name),
        })
        .collect();
    let zones = zones.into_iter().collect::<Vec<_>>().join("\n");
    Err(Error::SeveralPlaces { format, place, zones })
}

fn lines<'a>(keys: impl Iterator<Item = &'a ZoneKey>) -> String {
    let line = |key: &ZoneKey| match &key.id {
        Some(id) => format!("  {id}"),
        None => format!("  {}", key.name),
    };
    keys.map(line).collect::<Vec<_>>().join("\n")
}

/// A warning as it stands in a header.
fn sentence(warning: &str) -> String {
    let (first, rest) = warning.split_at(1);
    format!("{}{rest}.", first.to_ascii_uppercase())
}

/// What a comment says of a record: what it is, and what is wrong with it.
fn remark(record: &Record) -> String {
    let what = describe(&record.host);
    let was = |is: &BTreeSet<IpAddr>| enumerate(is);
    match (&record.state, &record.is) {
        (State::Differs { .. }, Some(is)) => format!("{what}; was {}", was(&is.addresses)),
        (State::Surplus, _) => format!("{what}, which the registry doesn't have now"),
        (State::Unknown(why), _) => format!("{what}; {why}"),
        _ => what,
    }
}
