//! Records of private zones, whatever they are written in: a script, Terraform, Bicep or a master file. A list makes
//! them, and so does a [plan](crate::private_link).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringfence_config::address::Pin;
use ringfence_config::endpoint::Cloud;

use crate::export::Error;
use crate::export::sheet::{Host, Sheet};

/// A zone, and the records that are to be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) records: Vec<Record>,
}

/// Where in Azure a zone is: zones of one name can stand in several resource groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Whoever applies the text tells the resource group.
    Asked,
    /// In this resource group of whoever applies it.
    Group(String),
    /// In this subscription and resource group.
    Known { subscription: String, group: String },
}

/// What a zone says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Relative to the zone.
    pub(crate) name: String,
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
    /// That of the record that is there, if one is.
    pub(crate) ttl: Option<u32>,
    /// The record that is there, by its resource id.
    pub(crate) id: Option<String>,
    pub(crate) remark: String,
}

/// For how many seconds an answer may be remembered where nothing else is said: as in zones of our own.
pub(super) const TTL: u32 = crate::export::dns::TTL;

impl Zone {
    /// The zones of a list's hosts, each with its records in the list's order.
    pub(super) fn of_list(sheet: &Sheet<'_>) -> Result<Vec<Self>, Error> {
        sheet.not_empty()?;
        let mut zones: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for host in &sheet.hosts {
            let (zone, record) = of_host(sheet, host)?;
            zones.entry(zone).or_default().push(record);
        }
        let zones: Vec<Self> = zones
            .into_iter()
            .map(|(name, records)| Self { name, place: Place::Asked, records })
            .collect();
        let most = zones.iter().map(Self::sets).max().unwrap_or_default();
        sheet.at_most(25_000, "record sets in a zone", most)?;
        Ok(zones)
    }

    /// What tells the symbols of each zone from those of the others, so that they stay when other zones come: nothing
    /// for the public cloud's, the end of its domain for another cloud's, and a number where zones have one name.
    pub(super) fn suffixes(zones: &[Self]) -> Vec<String> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        zones
            .iter()
            .map(|zone| {
                let number = seen.entry(&zone.name).or_default();
                *number += 1;
                let mut suffix = String::new();
                if zone.name != Cloud::Public.private_zone() {
                    let end = zone.name.split_once("azurecr.").map_or(&*zone.name, |(_, end)| end);
                    suffix.push('_');
                    suffix.push_str(&end.replace(['.', '-'], "_"));
                }
                if *number > 1 {
                    suffix.push_str("_zone");
                    suffix.push_str(&number.to_string());
                }
                suffix
            })
            .collect()
    }

    /// How many record sets that is: one for each family of addresses.
    pub(super) fn sets(&self) -> usize {
        let families = |record: &Record| {
            usize::from(!record.v4.is_empty()) + usize::from(!record.v6.is_empty())
        };
        self.records.iter().map(families).sum()
    }
}

/// What a host is in its zone.
fn of_host(sheet: &Sheet<'_>, host: &Host<'_>) -> Result<(String, Record), Error> {
    let refuse = |why: &'static str| Err(sheet.unrepresentable(host.name.as_str(), why));
    let Some(endpoint) = &host.endpoint else {
        return refuse("it is no registry's, so no zone of Private Link has it");
    };
    let Some(addresses) = host.addresses.iter().map(Pin::address).collect::<Option<Vec<_>>>()
    else {
        return refuse("a record has single addresses, and this host a whole block");
    };
    let zone = endpoint.login_server().cloud().private_zone();
    let record = Record::new(endpoint.private_record(), addresses, host.remark());
    sheet.at_most(20, "addresses of a host", record.v4.len().max(record.v6.len()))?;
    Ok((zone, record))
}

impl Record {
    pub(crate) fn new(
        name: String,
        addresses: impl IntoIterator<Item = IpAddr>,
        remark: String,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(address),
                IpAddr::V6(address) => v6.push(address),
            }
        }
        Self { name, v4, v6, ttl: None, id: None, remark }
    }

    /// All addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v4 = self.v4.iter().copied().map(IpAddr::V4);
        v4.chain(self.v6.iter().copied().map(IpAddr::V6))
    }

    pub(super) fn ttl(&self) -> u32 {
        self.ttl.unwrap_or(TTL)
    }

    /// Each family of addresses that the record has, with the type of its record set.
    pub(super) fn families(&self) -> impl Iterator<Item = (Type, Vec<String>)> {
        let v4 = self.v4.iter().map(ToString::to_string).collect::<Vec<_>>();
        let v6 = self.v6.iter().map(ToString::to_string).collect::<Vec<_>>();
        [(Type::A, v4), (Type::Aaaa, v6)].into_iter().filter(|(_, addresses)| !addresses.is_empty())
    }

    /// A name for a program's text, in letters, digits and underscores, that no other record of the zone has: labels
    /// hold no underscore, and neither begin nor end with a hyphen.
    pub(super) fn symbol(&self) -> String {
        self.name.replace('-', "__").replace('.', "_")
    }
}

/// The type of a record set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    A,
    Aaaa,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_records_have_one_symbol() {
        let names = ["a-b.c.data", "a.b.c.data", "a.b-c.data", "a-b-c.data", "a.b.c-data"];
        let symbols: std::collections::BTreeSet<String> = names
            .iter()
            .map(|name| Record::new((*name).to_owned(), [], String::new()).symbol())
            .collect();
        assert_eq!(symbols.len(), names.len(), "{symbols:?}");
        assert!(symbols.iter().all(|s| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')));
    }
}
