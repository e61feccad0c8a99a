//! Lists of any size, behind private endpoints, so that every format can say all of them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ringfence_config::address::Pin;
use ringfence_config::endpoint::{Cloud, Family, LoginServer};
use ringfence_config::registry::Region;
use ringfence_config::{Allowlist, Entry, Hostname, Role};

/// The regions of Azure's public cloud, in ascending order.
pub(crate) fn regions() -> Vec<Region> {
    let data: serde_json::Value = serde_json::from_str(REGIONS).expect("JSON");
    let regions = data["regions"].as_array().expect("a list").iter();
    let public = regions.filter(|region| region["cloud"] == "AzureCloud");
    let names: BTreeSet<Region> = public
        .map(|region| region["name"].as_str().expect("a name").parse().expect("a region"))
        .collect();
    names.into_iter().collect()
}

/// A list of `registries`, each with a data endpoint in each of `regions`, and of `others` written by hand.
pub(crate) fn list(registries: usize, regions: &[Region], others: usize) -> Allowlist {
    let registries = (0..registries).flat_map(|number| {
        let label = format!("registry{number:03}").parse().expect("a label");
        let registry = LoginServer::new(&label, Cloud::Public).expect("a registry");
        let data = regions.iter().map(|region| Family::Data(region.clone()));
        [Family::Login].into_iter().chain(data).map(move |family| {
            let endpoint = registry.endpoint(family);
            Entry::new(endpoint.host(), Role::from(&endpoint))
        })
    });
    let others = (0..others).map(|number| {
        let host: Hostname = format!("host{number:05}.example").parse().expect("a host");
        Entry { why: Some(format!("number {number}")), ..Entry::new(host, Role::Other) }
    });
    let pinned = (FIRST..).zip(registries.chain(others)).map(|(address, entry)| {
        let pin = Pin::try_from(std::net::IpAddr::V4(Ipv4Addr::from_bits(address)));
        Entry { addresses: vec![pin.expect("a private address")], ..entry }
    });
    Allowlist::new(pinned).expect("hosts that differ")
}

/// 10.0.0.1
const FIRST: u32 = 0x0a00_0001;

const REGIONS: &str = include_str!("../fixtures/azure/data/regions.json");
