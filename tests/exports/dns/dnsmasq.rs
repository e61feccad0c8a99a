//! dnsmasq.

use std::process::Command;

use allowlist_gen::export::{self, Error, Format, Options, Unpinned};
use anyhow::Result;
use ringfence_config::{Allowlist, Entry, Issue, Role};
use test_support::require;

use super::lab::{Lab, Probe};
use super::programs;
use super::{is_registrys, list_of, pinned, strangers};
use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

#[test]
fn dnsmasq_answers_for_the_listed_hosts_and_asks_for_all_others() -> Result<()> {
    if !require(&["dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Dnsmasq,
        &[
            Mutation { from: "host-record=", to: "hostrecord=" },
            Mutation {
                from: "host-record=contoso.azurecr.io,10.20.0.6",
                to: "host-record=contoso.azurecr.io",
            },
            Mutation { from: "local=/contoso.azurecr.io/", to: "local=/contoso.azurecr.iox/" },
            Mutation { from: "local=/contoso.azurecr.io/", to: "local=/azurecr.io/" },
        ],
        |text| examine(text).map(drop).map_err(|error| format!("{error:#}")),
    );
    let probes = examine(&lists::contoso().export(Format::Dnsmasq)?.text)?;
    let version = consumer::debian_version("dnsmasq-base");
    matrix::record(Format::Dnsmasq, "dnsmasq", &version, judgement.with_probes(probes));
    Ok(())
}

fn examine(text: &str) -> Result<usize> {
    let lab = Lab::new(&[])?;
    let file = lab.file(Format::Dnsmasq.about().file, text)?;
    consumer::run(Command::new("dnsmasq").arg("--test").arg("-C").arg(&file))
        .map_err(anyhow::Error::msg)?;
    let _running = programs::dnsmasq(&lab, text)?;

    let list = list_of(text);
    let pinned = pinned(&list);
    let is_below = |name: &str| pinned.keys().any(|host| name.ends_with(&format!(".{host}")));
    let answered = pinned.iter().map(|(host, addresses)| Probe::here(host, addresses));
    let unpinned = list.hosts().into_iter().filter(|host| !pinned.contains_key(host));
    let others = strangers(&list).into_iter().chain(unpinned).map(|name| {
        // What dnsmasq is told to answer by itself includes what is below.
        if is_below(&name) { Probe::unknown(&name) } else { Probe::anywhere(&name) }
    });
    let probes: Vec<Probe> = answered.flat_map(Probe::spellings).chain(others).collect();
    lab.examine(&probes)
}

/// What the notes offer to those who have no other registries.
#[test]
fn one_more_line_takes_all_other_registries_away() -> Result<()> {
    if !require(&["dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    let list = lists::contoso();
    let text = list.export(Format::Dnsmasq)?.text;
    assert!(Format::Dnsmasq.about().notes.iter().any(|note| note.contains(LINE)));
    let lab = Lab::new(&[])?;
    let _running = programs::dnsmasq(&lab, &format!("{text}{LINE}\n"))?;
    let answered =
        pinned(&list).into_iter().map(|(host, addresses)| Probe::here(&host, &addresses));
    let others = strangers(&list).into_iter().map(|name| {
        let is_closed = is_registrys(&name) && name.ends_with("azurecr.io");
        // The domain itself has names below it, and so it is there, without addresses.
        match name.as_str() {
            "azurecr.io" | "data.azurecr.io" | "eastus.data.azurecr.io" => {
                Probe::here(&name, &[].into())
            }
            _ if is_closed => Probe::unknown(&name),
            _ => Probe::anywhere(&name),
        }
    });
    lab.examine(&answered.chain(others).collect::<Vec<_>>())?;
    Ok(())
}

const LINE: &str = "local=/azurecr.io/";

/// A host without an address isn't lost because one above it has some.
#[test]
fn hosts_below_a_pinned_one_are_asked_for_as_before() -> Result<()> {
    if !require(&["dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    let entry = |host: &str, addresses: &[&str]| {
        let mut entry = Entry::new(host.parse().expect(host), Role::Other);
        entry.addresses = addresses.iter().map(|pin| pin.parse().expect("a pin")).collect();
        entry
    };
    let entries = [
        entry("corp.example", &["10.0.0.1", "10.0.0.2", "fd00::1"]),
        entry("www.corp.example", &[]),
    ];
    let list = Allowlist::new(entries)?;
    let options = Options { unpinned: Unpinned::LeftOut, ..Options::default() };
    let text = export::render(Format::Dnsmasq, &list, Issue::default(), &options)?.text;
    let lab = Lab::new(&[])?;
    let _running = programs::dnsmasq(&lab, &text)?;
    let addresses =
        ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|text| text.parse().expect("an address"));
    lab.examine(&[
        Probe::here("corp.example", &addresses.into()),
        Probe::anywhere("www.corp.example"),
        Probe::unknown("ftp.corp.example"),
    ])?;
    Ok(())
}

#[test]
fn a_block_of_addresses_is_no_answer() -> Result<()> {
    let mut entry = Entry::new("contoso.azurecr.io".parse()?, Role::Login("contoso".parse()?));
    entry.addresses = vec!["10.20.0.0/28".parse()?];
    let list = Allowlist::new([entry])?;
    for format in [Format::Hosts, Format::Zone, Format::Dnsmasq, Format::Unbound] {
        let refused = export::render(format, &list, Issue::default(), &Options::default());
        let why = "`10.20.0.0/28` is a block, and an answer is one address: list the host's own";
        let (host, format) = ("contoso.azurecr.io".to_owned(), format.name());
        assert_eq!(refused, Err(Error::Unrepresentable { host, format, why: why.into() }));
    }
    Ok(())
}
