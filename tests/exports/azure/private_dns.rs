//! Azure's private DNS zones: Bash runs the script, and azure-cli takes its commands; what Bicep stands for goes by
//! Azure's schemas, and Terraform by its provider's types. All three say the same.

use allowlist_gen::export::{self, Error, Format, Options};
use ringfence_config::{Allowlist, Entry, Issue, Role};
use serde_json::{Map, Value, json};

use crate::az::{Az, Run};
use crate::bicep::Bicep;
use crate::consumer::{self, Mutation};
use crate::lists::{self, List};
use crate::matrix;
use crate::terraform::Terraform;

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

#[test]
fn bicep_has_the_same_records() {
    let Some(mut bicep) = Bicep::start() else { return };
    let format = Format::AzurePrivateDnsBicep;
    let judgement = consumer::judge(
        format,
        &[
            Mutation { from: "parent: zone", to: "parent: zones" },
            Mutation { from: "ttl: 300", to: "ttl: '300'" },
            Mutation { from: "aRecords", to: "records" },
            Mutation { from: "ipv4Address: '10.20.0.6'", to: "ipv4Address: 10.20.0.6" },
            Mutation { from: "existing = {", to: "= {" },
            Mutation { from: "privateDnsZones/A@", to: "privateDnsZones/B@" },
        ],
        |text| bicep.check(text),
    );
    matrix::record(format, "pycep-parser", &bicep.version(), judgement);
    for list in lists_of_registries() {
        let Ok(export) = list.export(format) else { continue };
        let compiled = bicep.compile(&export.text).expect(list.name);
        let mut records = Vec::new();
        for resource in compiled["resources"].as_array().expect("resources") {
            let name = resource["name"].as_str().expect("a name");
            let (zone, record) = in_zone(name);
            let kind = resource["type"].as_str().expect("a type").rsplit('/').next();
            let place = format!("{zone}/{}/{record}", kind.expect("a kind"));
            for (key, address) in [("aRecords", "ipv4Address"), ("aaaaRecords", "ipv6Address")] {
                let sets = resource["properties"][key].as_array().into_iter().flatten();
                records.extend(sets.map(|set| format!("{place} {}", text(&set[address]))));
            }
        }
        records.sort();
        assert_eq!(records, expected(&list), "{}", list.name);
    }
}

/// `[format('{0}/{1}', 'zone', 'record')]`, as a template names a child.
fn in_zone(name: &str) -> (&str, &str) {
    let arguments = name.strip_prefix("[format('{0}/{1}', '").and_then(|n| n.strip_suffix("')]"));
    arguments.expect(name).split_once("', '").expect(name)
}

#[test]
fn terraform_has_the_same_records() {
    let Some(mut terraform) = Terraform::start() else { return };
    let format = Format::AzurePrivateDnsTerraform;
    let judgement = consumer::judge(
        format,
        &[
            Mutation { from: "records  ", to: "addresses" },
            Mutation { from: "= 300", to: "= \"300\"" },
            Mutation { from: "[\"10.20.0.6\"]", to: "\"10.20.0.6\"" },
            Mutation { from: "var.resource_group_name", to: "var.resource_group" },
            Mutation { from: "azurerm_private_dns_a_record", to: "azurerm_private_dns_record" },
            Mutation { from: "\"privatelink.", to: "\"${zone}." },
        ],
        |text| terraform.resources(text).map(drop),
    );
    matrix::record(format, "python-hcl2", &terraform.version(), judgement);
    for list in lists_of_registries() {
        let Ok(export) = list.export(format) else { continue };
        let resources = terraform.resources(&export.text).expect(list.name);
        let mut records = Vec::new();
        for (name, resource) in resources.as_object().expect("resources") {
            let kind =
                if name.starts_with("azurerm_private_dns_aaaa_record.") { "AAAA" } else { "A" };
            let place =
                format!("{}/{kind}/{}", text(&resource["zone_name"]), text(&resource["name"]));
            let addresses = resource["records"].as_array().expect("addresses");
            records.extend(addresses.iter().map(|address| format!("{place} {}", text(address))));
        }
        records.sort();
        assert_eq!(records, expected(&list), "{}", list.name);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
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
    FORMATS.into_iter().for_each(refuses_what_no_record_says);
}

fn refuses_what_no_record_says(format: Format) {
    let hostile = lists::written("hostile").export(format);
    assert!(matches!(hostile, Err(Error::Unrepresentable { .. })), "{hostile:?}");
    let with = |pins: &[&str]| {
        let mut entries = lists::contoso().allowlist.entries()[..3].to_vec();
        entries[0].addresses = pins.iter().map(|pin| pin.parse().expect("a pin")).collect();
        let allowlist = Allowlist::new(entries).expect("entries");
        export::render(format, &allowlist, Issue::default(), &Options::default()).map(drop)
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
        FORMATS
            .map(|format| export::render(format, &allowlist, Issue::default(), &Options::default()))
    };
    let text = of_script(of(2_000)).expect("it is within the limits").text;
    assert_eq!(text.lines().filter(|line| line.starts_with("a privatelink.")).count(), 2_000);
    let [script, bicep, terraform] = of(800);
    assert!(script.is_ok() && bicep.is_ok() && terraform.is_ok());
    let [script, bicep, terraform] = of(801);
    assert!(matches!(bicep, Err(Error::TooMany { limit: 800, .. })), "{bicep:?}");
    assert!(script.is_ok() && terraform.is_ok());
    for result in of(25_001) {
        assert!(matches!(result, Err(Error::TooMany { limit: 25_000, .. })));
    }
    for result in of(0) {
        assert!(matches!(result, Err(Error::Empty { .. })));
    }
}

fn of_script([script, ..]: [Result<export::Export, Error>; 3]) -> Result<export::Export, Error> {
    script
}

const FORMATS: [Format; 3] =
    [FORMAT, Format::AzurePrivateDnsBicep, Format::AzurePrivateDnsTerraform];

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
