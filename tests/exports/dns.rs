//! DNS servers and the hosts file: asked in a network of their own, with a name server behind them that knows every
//! name and tells what it was asked.

mod dnsmasq;
mod hosts;
mod lab;
mod private_link;
mod programs;
mod rpz;
mod unbound;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use allowlist_gen::export::{Error, Format, Kind};
use ringfence_config::address::Pin;
use ringfence_config::endpoint;

use crate::lists::{self, List};
use crate::lookalikes::{LISTED, STRANGERS};

/// A server without an answer of ours would look like one that has them.
#[test]
fn a_list_without_private_addresses_is_no_answer() {
    let gov = lists::all().into_iter().find(|list| list.name == "gov").expect("a list");
    assert!(pinned(&gov).is_empty());
    for format in [Format::Hosts, Format::Zone, Format::Dnsmasq, Format::Unbound] {
        let why = "no host on the list has a private address";
        assert_eq!(gov.export(format), Err(Error::Empty { format: format.name(), why }));
    }
}

/// People keep them side by side.
#[test]
fn no_two_answers_have_the_same_file_name() {
    let mut files = BTreeSet::new();
    for format in Format::ALL.iter().filter(|format| format.about().kind == Kind::Answer) {
        assert!(files.insert(format.about().file), "{}", format.about().file);
    }
}

/// The list that an export was written of, whatever became of the export since: its header has the list's hash.
#[track_caller]
fn list_of(export: &str) -> List {
    let mut lists = lists::all().into_iter();
    lists.find(|list| export.contains(&list.allowlist.hash())).expect("a header with a hash")
}

/// The list's hosts with private addresses.
fn pinned(list: &List) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let pinned = list.allowlist.entries().iter().filter(|entry| !entry.addresses.is_empty());
    pinned
        .map(|entry| {
            let addresses = entry.addresses.iter().filter_map(Pin::address);
            (entry.host.as_str().to_owned(), addresses.collect())
        })
        .collect()
}

/// The look-alikes, the hosts of `contoso`, and names below the list's hosts: what isn't on the list of these.
fn strangers(list: &List) -> BTreeSet<String> {
    let hosts = list.hosts();
    let below = hosts.iter().map(|host| format!("below.{host}"));
    let known = LISTED.iter().chain(&STRANGERS).map(|host| (*host).to_owned());
    known.chain(below).filter(|host| !hosts.contains(host)).collect()
}

/// Whether anyone's registry could have this name, or the name is that of all registries.
fn is_registrys(name: &str) -> bool {
    let mut domains = endpoint::domains();
    domains.any(|domain| name == domain || name.ends_with(&format!(".{domain}")))
}
