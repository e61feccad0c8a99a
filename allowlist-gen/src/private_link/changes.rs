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
            Format::Az => self.changes("# ", "azure-cli", by_group, |header, zones| {
                Ok(private_dns::script(header, zones))
            }),
            Format::Terraform => self.changes("# ", "Terraform", by_group, |header, zones| {
                one_place("Terraform", "subscription", zones, |place| match place {
                    Place::Known { subscription, .. } => Some(subscription.clone()),
                    Place::Asked | Place::Group(_) => None,
                })?;
                Ok(private_dns_terraform::text(header, zones))
            }),
            Format::Bicep => self.changes("// ", "Bicep", by_group, |header, zones| {
                one_place("Bicep", "resource group", zones, |place| Some(place.clone()))?;
                let sets = zones.iter().map(|zone| zone.records.len()).sum();
                if sets > MOST_IN_BICEP {
                    return Err(Error::TooMany(sets));
                }
                Ok(private_dns_bicep::text(header, zones))
            }),
            Format::Zone => self.master_file(),
        }
    }

    fn changes(
        &self,
        prefix: &str,
        format: &'static str,
        by_group: GroupRecords,
        write: impl Fn(String, &[Zone]) -> Result<String, Error>,
    ) -> Result<Rendered, Error> {
        self.tells_zones_apart()?;
        let mut zones: BTreeMap<ZoneKey, Vec<Written>> = BTreeMap::new();
        let mut left = Vec::new();
        for (_, zone) in self.zones() {
            let is_left =
                by_group == GroupRecords::Left && matches!(zone.keeper, Keeper::ZoneGroup(_));
            for record in &zone.records {
                match record.state.change() {
                    Some(_) if is_left => left.push((zone, record)),
                    Some(should) => {
                        let (key, remark) = (zone.key.clone(), remark(record));
                        let mut written = Written::new(
                            record.host.private_record(),
                            should.iter().copied(),
                            remark,
                        );
                        written.ttl = record.is.as_ref().and_then(|is| is.ttl);
                        let id = record.is.as_ref().and_then(|is| is.id.as_ref());
                        written.id = id.map(ToString::to_string);
                        zones.entry(key).or_default().push(written);
                    }
                    None => {}
                }
            }
        }
        let zones: Vec<Zone> = zones
            .into_iter()
            .map(|(key, records)| Zone { place: place(&key, self), name: key.name, records })
            .collect();
        let warnings = self.warnings(&left);
        let count = zones.iter().map(|zone| zone.records.len()).sum::<usize>();
        let count = match count {
            0 => "nothing to add or to correct".to_owned(),
            1 => "1 record to add or to correct".to_owned(),
            count => format!("{count} records to add or to correct"),
        };
        let mut header =
            vec![format!("Written by `allowlist-gen private-link` for {format}: {count}.")];
        if !zones.is_empty() {
            header.push(
                "A record that is written gets exactly these addresses; every other stays as it is. Nothing is \
                 deleted."
                    .to_owned(),
            );
        }
        header.extend(warnings.iter().map(|warning| sentence(warning)));
        let text = write(comments(prefix, &header), &zones)?;
        Ok(Rendered { text, warnings })
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
                let mut written = Written::new(
                    record.host.private_record(),
                    addresses.iter().copied(),
                    remark(record),
                );
                written.ttl = record.is.as_ref().and_then(|is| is.ttl);
                records.push(written);
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

/// An error if the zones are in different places.
fn one_place<P: PartialEq>(
    format: &'static str,
    place: &'static str,
    zones: &[Zone],
    of: impl Fn(&Place) -> P,
) -> Result<(), Error> {
    let mut places = zones.iter().map(|zone| of(&zone.place));
    let first = places.next();
    if places.all(|place| Some(&place) == first.as_ref()) {
        return Ok(());
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
