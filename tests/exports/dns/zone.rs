//! The private zone, served by BIND to clients that ask for the public names.

use allowlist_gen::export::{self, Error, Format, Options};
use anyhow::Result;
use ringfence_config::endpoint::{Cloud, Endpoint};
use ringfence_config::{Allowlist, Entry, Issue, Role};
use test_support::{require, require_program};

use super::lab::{Alias, Lab, Probe};
use super::programs::{self, kzonecheck, named_checkzone};
use super::{list_of, pinned, strangers};
use crate::consumer::{self, Mutation};
use crate::lists::List;
use crate::{lists, matrix};

#[test]
fn bind_leads_the_public_names_to_the_private_addresses() -> Result<()> {
    if !require(&["named", "dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Zone,
        &[
            Mutation {
                from: "$ORIGIN privatelink.azurecr.io.",
                to: "$ORIGIN privatelink.azurecr.io",
            },
            Mutation { from: "\ncontoso IN A", to: "\ncontoso.azurecr.io. IN A" },
            Mutation { from: "contoso.eastus.data IN", to: "contoso.data.eastus IN" },
            Mutation { from: "10.20.0.6", to: "10.20.0.6.1" },
        ],
        |text| examine(text).map(drop).map_err(|error| format!("{error:#}")),
    );
    let probes = examine(&lists::contoso().export(Format::Zone)?.text)?;
    let version = consumer::debian_version("bind9");
    matrix::record(Format::Zone, "BIND", &version, judgement.with_probes(probes));
    Ok(())
}

fn examine(text: &str) -> Result<usize> {
    let list = list_of(text);
    let (zone, aliases) = (Cloud::Public.private_zone(), private_names(&list));
    let lab = Lab::new(&aliases)?;
    let file = lab.file("acr.zone", text)?;
    let rest = format!("zone \"{zone}\" {{ type primary; file \"{}\"; }};", file.display());
    let running = programs::bind(&lab, "", &rest, " zones loaded")?;
    anyhow::ensure!(
        running.stderr.text().contains(&format!("zone {zone}/IN: loaded serial")),
        "it has no zone"
    );

    let pinned = pinned(&list);
    let public = pinned.iter().map(|(host, addresses)| Probe::behind(host, addresses));
    let private = aliases
        .iter()
        .filter_map(|alias| Some(Probe::here(&alias.target, pinned.get(&alias.name)?)));
    let is_private = |name: &str| name == zone || name.ends_with(&format!(".{zone}"));
    let listed: Vec<&String> = aliases.iter().map(|alias| &alias.target).collect();
    let others =
        strangers(&list).into_iter().filter(|name| !listed.contains(&name)).map(
            |name| match name {
                // The zone itself is there, and has no address.
                name if name == zone => Probe::here(&name, &[].into()),
                name if is_private(&name) => Probe::unknown(&name),
                name => Probe::anywhere(&name),
            },
        );
    let more = [format!("evil.{zone}"), format!("evil.eastus.data.{zone}")]
        .map(|name| Probe::unknown(&name));
    let probes = public.flat_map(Probe::spellings).chain(private.flat_map(Probe::spellings));
    lab.examine(&probes.chain(others).chain(more).collect::<Vec<_>>())
}

/// What the public DNS says of registries with private endpoints.
fn private_names(list: &List) -> Vec<Alias> {
    let name = |host: &String| {
        let endpoint: Endpoint = host.parse().expect("a registry's host");
        let zone = endpoint.login_server().cloud().private_zone();
        let target = format!("{}.{zone}", endpoint.private_record());
        Alias { name: host.clone(), target, addresses: ["20.62.128.9", "2603:1030::9"] }
    };
    pinned(list).keys().map(name).collect()
}

#[test]
fn two_more_programs_accept_the_zone() {
    let mutations = [
        Mutation { from: "10.20.0.6", to: "10.20.0.0/28" },
        Mutation { from: "\ncontoso IN A ", to: "\ncontoso IN AAAA " },
        Mutation { from: " IN SOA ", to: " IN SAO " },
        Mutation { from: "$ORIGIN privatelink.azurecr.io.", to: "$ORIGIN privatelink.azurecr.io" },
    ];
    let zone = Cloud::Public.private_zone();
    if require_program("named-checkzone") {
        let judgement = consumer::judge(Format::Zone, &mutations, named_checkzone(&zone));
        matrix::record(
            Format::Zone,
            "named-checkzone",
            &consumer::debian_version("bind9-utils"),
            judgement,
        );
    }
    if require_program("kzonecheck") {
        let judgement = consumer::judge(Format::Zone, &mutations, kzonecheck(&zone));
        matrix::record(
            Format::Zone,
            "kzonecheck",
            &consumer::debian_version("knot-dnssecutils"),
            judgement,
        );
    }
}

#[test]
fn every_cloud_has_a_zone_of_its_own() -> Result<()> {
    for cloud in Cloud::ALL {
        let host = format!("contoso.somewhere.geo.{}", cloud.suffix());
        let text = zone(&[&host], Issue::default())?;
        let zone = cloud.private_zone();
        assert!(text.contains(&format!("\n$ORIGIN {zone}.\n")), "{text}");
        assert!(text.contains("\ncontoso.somewhere.geo IN AAAA fd00::1\n"), "{text}");
        if require_program("named-checkzone") {
            named_checkzone(&zone)(&text).map_err(anyhow::Error::msg)?;
        }
    }
    Ok(())
}

#[test]
fn what_is_no_record_of_the_one_zone_is_refused() {
    for (hosts, host, why) in [
        (
            ["contoso.azurecr.io", "contoso.azurecr.us"],
            "contoso.azurecr.us",
            "a file is one zone; this one is `privatelink.azurecr.io`, and the host belongs in \
             `privatelink.azurecr.us`: keep a list for each cloud",
        ),
        (
            ["contoso.azurecr.io", "packages.example"],
            "packages.example",
            "it is no registry's, and only the names of registries lead into this zone",
        ),
    ] {
        let refused = zone(&hosts, Issue::default());
        let (host, format) = (host.to_owned(), "zone");
        assert_eq!(refused, Err(Error::Unrepresentable { host, format, why: why.into() }));
    }
    let empty = zone(&[], Issue::default());
    assert_eq!(
        empty,
        Err(Error::Empty { format: "zone", why: "no host on the list has a private address" })
    );
}

/// RFC 1982: a zone's serial has 32 bits, and begins anew when they are used up.
#[test]
fn the_serial_is_the_lists_as_zones_count_it() -> Result<()> {
    for (serial, expected) in [(7, 7), ((1 << 32) - 1, u32::MAX), (1 << 32, 0), ((1 << 40) + 9, 9)]
    {
        let issue = Issue { serial: Some(u64::try_into(serial)?), not_after: None };
        let text = zone(&["contoso.azurecr.io"], issue)?;
        let start = format!("@ IN SOA localhost. hostmaster.localhost. {expected} ");
        assert!(text.contains(&start), "{serial}: {text}");
    }
    let of_hash = |hosts: &[&str]| {
        let text = zone(hosts, Issue::default()).expect("a zone");
        let serial = text.split("hostmaster.localhost. ").nth(1).expect("a SOA").split(' ').next();
        serial.expect("a serial").parse::<u32>().expect("32 bits")
    };
    let one = of_hash(&["contoso.azurecr.io"]);
    assert_eq!(one, of_hash(&["contoso.azurecr.io"]));
    assert_ne!(one, of_hash(&["fabrikam.azurecr.io"]));
    Ok(())
}

/// A list of hosts, each with the same address, as a zone.
fn zone(hosts: &[&str], issue: Issue) -> Result<String, Error> {
    let entry = |host: &&str| {
        let role = host.parse::<Endpoint>().map_or(Role::Other, |endpoint| Role::from(&endpoint));
        let mut entry = Entry::new(host.parse().expect("a host"), role);
        entry.addresses = vec!["fd00::1".parse().expect("an address")];
        entry
    };
    let list = Allowlist::new(hosts.iter().map(entry)).expect("a list");
    export::render(Format::Zone, &list, issue, &Options::default()).map(|export| export.text)
}
