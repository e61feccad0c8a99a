//! Azure's private DNS zones: Bash runs the script, and azure-cli takes its commands.

use allowlist_gen::export::{self, Error, Format, Options};
use ringfence_config::{Allowlist, Entry, Issue, Role};
use serde_json::{Map, Value, json};

use crate::az::{Az, Run};
use crate::consumer::{self, Mutation};
use crate::lists::{self, List};
use crate::matrix;

const FORMAT: Format = Format::AzurePrivateDns;

#[test]
fn the_records_are_those_of_the_list() {
    let Some(mut az) = Az::start() else { return };
    let judgement = consumer::judge(
        FORMAT,
        &[
            Mutation { from: "--record-set-name", to: "--records" },
            Mutation { from: "aRecords", to: "records" },
            Mutation { from: "record-set \"$type\"", to: "record-set \"$kind\"" },
            Mutation { from: "--output none\n}", to: "--output none\n" },
            Mutation { from: "RESOURCE_GROUP:?", to: "RESOURCE_GROUPS:?" },
        ],
        |text| apply(&mut az, text, &Map::new())?.check(),
    );
    let mut probes = 0;
    for list in lists_of_registries() {
        let Ok(export) = list.export(FORMAT) else { continue };
        let run = apply(&mut az, &export.text, &Map::new()).expect(list.name);
        assert_eq!(run.check(), Ok(()), "{}", list.name);
        assert_eq!(records(&run.state), expected(&list), "{}", list.name);
        probes += run.state.len();
    }
    probes += replaces_what_is_there(&mut az);
    matrix::record(FORMAT, "azure-cli", &az.version(), judgement.with_probes(probes));
}

/// A second run changes nothing, and an address that a record had before is gone.
fn replaces_what_is_there(az: &mut Az) -> usize {
    let list = lists::contoso();
    let text = list.export(FORMAT).expect("the list can be written").text;
    let first = apply(az, &text, &Map::new()).expect("a run");
    let mut before = first.state.clone();
    let (_, record) = before.iter_mut().next().expect("a record");
    let old = json!([{ "ipv4Address": "10.9.9.9" }, { "ipv4Address": "10.9.9.8" }]);
    record["properties"]["aRecords"] = old;
    let second = apply(az, &text, &before).expect("a run");
    assert_eq!(second.check(), Ok(()));
    assert_eq!(records(&second.state), expected(&list));
    second.state.len()
}

#[test]
fn what_a_record_cannot_say_is_an_error() {
    let hostile = lists::written("hostile").export(FORMAT);
    assert!(matches!(hostile, Err(Error::Unrepresentable { .. })), "{hostile:?}");
    let with = |pins: &[&str]| {
        let mut entries = lists::contoso().allowlist.entries()[..3].to_vec();
        entries[0].addresses = pins.iter().map(|pin| pin.parse().expect("a pin")).collect();
        let allowlist = Allowlist::new(entries).expect("entries");
        export::render(FORMAT, &allowlist, Issue::default(), &Options::default()).map(drop)
    };
    assert_eq!(with(&["10.20.0.6", "fd00:20::6"]), Ok(()));
    assert!(matches!(with(&["10.20.0.0/28"]), Err(Error::Unrepresentable { .. })));
    let many: Vec<String> = (1..=21).map(|last| format!("10.20.0.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(with(&many[..20]), Ok(()));
    assert!(matches!(with(&many), Err(Error::TooMany { limit: 20, .. })));
    assert!(matches!(with(&[]), Err(Error::Unrepresentable { .. })));
}

#[test]
fn a_zone_has_only_so_many_records() {
    let of = |count: usize| {
        let entry = |number: usize| {
            let host = format!("registry{number}.azurecr.io");
            let registry = format!("registry{number}").parse().expect("a label");
            let mut entry = Entry::new(host.parse().expect("a host"), Role::Login(registry));
            let address = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
            entry.addresses = vec![address.parse().expect("a pin")];
            entry
        };
        let allowlist = Allowlist::new((0..count).map(entry)).expect("entries");
        export::render(FORMAT, &allowlist, Issue::default(), &Options::default())
    };
    let text = of(2_000).expect("it is within the limits").text;
    assert_eq!(text.lines().filter(|line| line.starts_with("a privatelink.")).count(), 2_000);
    assert!(matches!(of(25_001), Err(Error::TooMany { limit: 25_000, .. })));
    assert!(matches!(of(0), Err(Error::Empty { .. })));
}

/// Runs the script by the command on the format's page.
fn apply(az: &mut Az, text: &str, state: &Map<String, Value>) -> Result<Run, String> {
    let variables = json!({ "RESOURCE_GROUP": "rg-dns" });
    az.run(FORMAT.about().apply, &json!({ "azure-private-dns.sh": text }), &variables, state)
}

/// Every list, the hostile one without what is no registry's.
fn lists_of_registries() -> Vec<List> {
    let mut lists = lists::all();
    for list in &mut lists {
        let entries =
            list.allowlist.entries().iter().filter(|entry| entry.role.registry().is_some());
        list.allowlist = Allowlist::new(entries.cloned()).expect("entries");
    }
    lists
}

/// Each record as `ZONE/TYPE/NAME ADDRESS`.
fn records(state: &Map<String, Value>) -> Vec<String> {
    let mut records = Vec::new();
    for (path, record) in state {
        let place = path.split("/privateDnsZones/").nth(1).expect("a record in a zone");
        for (list, key) in [("aRecords", "ipv4Address"), ("aaaaRecords", "ipv6Address")] {
            for address in record["properties"][list].as_array().into_iter().flatten() {
                records.push(format!("{place} {}", address[key].as_str().expect("an address")));
            }
        }
    }
    records.sort();
    records
}

fn expected(list: &List) -> Vec<String> {
    let mut records = Vec::new();
    for entry in list.allowlist.entries() {
        let host = entry.host.as_str();
        let (below, domain) = host.split_at(host.find(".azurecr.").expect("a registry's host"));
        for pin in &entry.addresses {
            let kind = if pin.block().addr().is_ipv4() { "A" } else { "AAAA" };
            records.push(format!("privatelink{domain}/{kind}/{below} {pin}"));
        }
    }
    records.sort();
    records
}
