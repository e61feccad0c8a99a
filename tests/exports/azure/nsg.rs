//! Network security groups: Bash runs the script, and azure-cli takes its commands.

use std::collections::BTreeSet;

use allowlist_gen::export::{self, Error, Format, Options};
use ringfence_config::allowlist::Ports;
use ringfence_config::{Allowlist, Entry, Issue, Port, Role};
use serde_json::{Map, Value, json};

use crate::az::{Az, Run};
use crate::consumer::{self, Mutation};
use crate::lists::{self, List};
use crate::matrix;

const FORMAT: Format = Format::AzureNsg;

#[test]
fn the_rules_are_those_of_the_list() {
    let Some(mut az) = Az::start() else { return };
    let judgement = consumer::judge(
        FORMAT,
        &[
            Mutation { from: "--access Allow", to: "--access Permit" },
            Mutation { from: "--nsg-name", to: "--group" },
            Mutation { from: "done", to: "" },
            Mutation { from: "FIRST_PRIORITY:-200", to: "FIRST_PRIORITY:-4097" },
            Mutation { from: "'*'", to: "''" },
        ],
        |text| {
            let run = apply(&mut az, text, [])?;
            run.check()?;
            priorities(&run)
        },
    );
    let mut probes = 0;
    for list in lists::all() {
        let Ok(export) = list.export(FORMAT) else { continue };
        let run = apply(&mut az, &export.text, []).expect(list.name);
        let rules = rules(&run);
        assert_eq!(allowed(&rules), expected(&list), "{}", list.name);
        probes += rules.len();
    }
    probes += without_clients(&mut az);
    probes += replaces_what_is_there(&mut az);
    denies_the_rest(&mut az);
    matrix::record(FORMAT, "azure-cli", &az.version(), judgement.with_probes(probes));
}

/// The star that stands for every client stays one, in a folder with files; each family has its rule, and ports are
/// those of the list.
fn without_clients(az: &mut Az) -> usize {
    let mut list = lists::written("hostile");
    let mut entries = list.allowlist.entries().to_vec();
    entries[0].ports =
        Ports::new(vec![Port::HTTPS, "8443".parse().expect("a port")]).expect("ports");
    list.allowlist = Allowlist::new(entries).expect("entries");
    let export = export::render(FORMAT, &list.allowlist, list.issue, &Options::default());
    let run = apply(az, &export.expect("the list can be written").text, []).expect("a run");
    assert_eq!((run.check(), priorities(&run)), (Ok(()), Ok(())));
    let rules = rules(&run);
    let expected: BTreeSet<_> =
        every_address(&list).map(|(to, port)| ["*".into(), to, port]).collect();
    assert_eq!(allowed(&rules), expected);
    rules.len()
}

/// Rules of an earlier list go, those with another priority move, other people's stay, and no two ever have the same
/// priority.
fn replaces_what_is_there(az: &mut Az) -> usize {
    let list = lists::contoso();
    let text = list.export(FORMAT).expect("the list can be written").text;
    let first = rules(&apply(az, &text, []).expect("a run"));
    let (path, rule) = first.iter().next().expect("a rule");
    let another = |name: &str, priority: u16| {
        let mut rule = rule.clone();
        (rule["name"], rule["properties"]["priority"]) = (name.into(), priority.into());
        (path.replace("allowlist-acr-contoso", name), rule)
    };
    let before = [
        another("allowlist-acr-adatum", 200),
        another("allowlist-acr-contoso", 201),
        another("deny-all", 4096),
    ];
    let second = apply(az, &text, before.clone()).expect("a run");
    let after = rules(&second);
    let names: Vec<&str> = after.values().filter_map(|rule| rule["name"].as_str()).collect();
    assert_eq!(names, ["deny-all", "allowlist-acr-contoso"]);
    let mut state: Map<String, Value> = before.into_iter().collect();
    for request in second.requests {
        match request.method.as_str() {
            "DELETE" => drop(state.remove(&request.path)),
            "PUT" => drop(state.insert(request.path, request.body)),
            _ => {}
        }
        let priorities = state.values().map(|rule| rule["properties"]["priority"].as_u64());
        assert_eq!(priorities.collect::<BTreeSet<_>>().len(), state.len(), "{state:?}");
    }
    after.len()
}

#[test]
fn rules_stay_within_what_a_group_takes() {
    let of = |count: usize| {
        let entry = |number: usize| {
            let host = format!("registry{number}.azurecr.io");
            let registry = format!("registry{number}").parse().expect("a label");
            let mut entry = Entry::new(host.parse().expect("a host"), Role::Login(registry));
            let address = format!("10.20.{}.{}", number / 256, number % 256);
            entry.addresses = vec![address.parse().expect("a pin")];
            entry
        };
        let allowlist = Allowlist::new((0..count).map(entry)).expect("entries");
        export::render(FORMAT, &allowlist, Issue::default(), &Options::default())
    };
    let text = of(1_000).expect("it is within the limits").text;
    assert!(text.contains("first + 1000 - 1 > 4096"), "{text}");
    assert!(matches!(of(1_001), Err(Error::TooMany { limit: 1_000, .. })));
    assert!(matches!(of(0), Err(Error::Empty { .. })));
}

/// The page's rule that denies the rest is one that Azure takes, and another run leaves it where it is.
fn denies_the_rest(az: &mut Az) {
    let list = lists::contoso();
    let text = list.export(FORMAT).expect("the list can be written").text;
    let script = FORMAT.about().apply.replace("\n#   ", "\n");
    let first = run(az, &script, &text, []).expect("a run");
    assert_eq!((first.check(), priorities(&first)), (Ok(()), Ok(())));
    let is_denied = |run: &Run| {
        rules(run)
            .values()
            .any(|rule| rule["name"] == "deny-the-rest" && rule["properties"]["access"] == "Deny")
    };
    let second = apply(az, &text, rules(&first)).expect("a run");
    assert_eq!((is_denied(&first), is_denied(&second)), (true, true));
}

/// Runs the script by the command on the format's page.
fn apply(
    az: &mut Az,
    text: &str,
    rules: impl IntoIterator<Item = (String, Value)>,
) -> Result<Run, String> {
    run(az, FORMAT.about().apply, text, rules)
}

fn run(
    az: &mut Az,
    script: &str,
    text: &str,
    rules: impl IntoIterator<Item = (String, Value)>,
) -> Result<Run, String> {
    let variables = json!({ "RESOURCE_GROUP": "rg-build", "NSG": "nsg-build" });
    let mut state: Map<String, Value> = rules.into_iter().collect();
    state.insert(
        GROUP.into(),
        json!({ "name": "nsg-build", "properties": { "securityRules": [] } }),
    );
    az.run(script, &json!({ "azure-nsg.sh": text }), &variables, &state)
}

/// The rules that are there after a run.
fn rules(run: &Run) -> Map<String, Value> {
    let rules = run.state.iter().filter(|(path, _)| *path != GROUP);
    rules.map(|(path, rule)| (path.clone(), rule.clone())).collect()
}

/// The group that the variables in the command on the format's page name.
const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-build/providers/\
                     Microsoft.Network/networkSecurityGroups/nsg-build";

/// What the schema leaves out: each priority is there once, from 100 to 4096, and each rule says from where.
fn priorities(run: &Run) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for rule in rules(run).values() {
        let properties = &rule["properties"];
        let priority = properties["priority"].as_u64().ok_or("a rule without a priority")?;
        if !(100..=4096).contains(&priority) || !seen.insert(priority) {
            return Err(format!("{priority} is out of range, or taken"));
        }
        if properties["sourcePortRange"] != "*" {
            return Err(format!("{} is no range of ports", properties["sourcePortRange"]));
        }
    }
    Ok(())
}

/// What each rule lets through: from where, to where, on which port.
fn allowed(rules: &Map<String, Value>) -> BTreeSet<[String; 3]> {
    let mut allowed = BTreeSet::new();
    for rule in rules.values() {
        let rule = &rule["properties"];
        let fixed = [&rule["access"], &rule["direction"], &rule["protocol"]];
        assert_eq!(fixed, ["Allow", "Outbound", "Tcp"], "{rule}");
        for source in several(rule, "sourceAddressPrefix", "sourceAddressPrefixes") {
            for to in several(rule, "destinationAddressPrefix", "destinationAddressPrefixes") {
                for port in several(rule, "destinationPortRange", "destinationPortRanges") {
                    allowed.insert([source.clone(), to.clone(), port]);
                }
            }
        }
    }
    allowed
}

/// azure-cli writes a single value under another key than several.
fn several(rule: &Value, one: &str, several: &str) -> Vec<String> {
    let values = match rule[one].as_str() {
        Some(value) => return vec![value.to_owned()],
        None => rule[several].as_array().expect("a list"),
    };
    values.iter().map(|value| value.as_str().expect("a text").to_owned()).collect()
}

/// The client of the tests is IPv4, so it reaches the addresses that are, too.
fn expected(list: &List) -> BTreeSet<[String; 3]> {
    let of_family = every_address(list).filter(|(to, _)| !to.contains(':'));
    of_family.map(|(to, port)| ["10.10.0.0/16".into(), to, port]).collect()
}

/// Each address of the list with each port of its host.
fn every_address(list: &List) -> impl Iterator<Item = (String, String)> {
    list.allowlist.entries().iter().flat_map(|entry| {
        let addresses = entry.addresses.iter().map(|pin| pin.block().to_string());
        addresses.flat_map(|to| entry.ports.iter().map(move |port| (to.clone(), port.to_string())))
    })
}
