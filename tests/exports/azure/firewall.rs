//! Azure Firewall, in three languages: Azure's schemas, azure-cli and Terraform's provider judge.

use allowlist_gen::export::{self, Error, Format, Options, Setting};
use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use ringfence_config::{Allowlist, Entry, Issue, Role};
use serde_json::{Map, Value, json};

use crate::az::Az;
use crate::bicep::Bicep;
use crate::consumer::{self, Mutation};
use crate::lists::{self, List};
use crate::terraform::Terraform;
use crate::{arm, matrix};

#[test]
fn the_template_is_what_azure_publishes() {
    let judgement = consumer::judge(
        Format::AzureFirewall,
        &[
            Mutation { from: "targetFqdns", to: "targetFqdn" },
            Mutation { from: "\"Https\"", to: "\"https\"" },
            Mutation { from: "\"port\": 443", to: "\"port\": \"443\"" },
            Mutation { from: "parameters('sourceAddresses')", to: "parameters('clients')" },
            Mutation { from: "\"ApplicationRule\"", to: "\"NetworkRule\"" },
            Mutation { from: "{0}/{1}", to: "{1}" },
        ],
        arm::template_text,
    );
    matrix::record(Format::AzureFirewall, "ARM schema", arm::VERSION, judgement);
}

/// The command on the format's page is run as it stands there.
#[test]
fn azure_cli_deploys_the_template() {
    let Some(mut az) = Az::start() else { return };
    let judgement = consumer::judge(
        Format::AzureFirewall,
        &[
            Mutation { from: "\"contentVersion\"", to: "contentVersion" },
            Mutation { from: "\"firewallPolicyName\"", to: "\"policyName\"" },
            Mutation { from: "\"NetworkRule\"", to: "\"NetRule\"" },
        ],
        |text| {
            let apply = Format::AzureFirewall.about().apply;
            let files = json!({ "azure-firewall.json": text });
            let variables = json!({ "RESOURCE_GROUP": "rg-hub", "FIREWALL_POLICY": "fwpol" });
            let run = az.run(apply, &files, &variables, &Map::new())?;
            let [.., last] = run.requests.as_slice() else { return Err("nothing is sent".into()) };
            let sent = &last.body["properties"]["template"];
            assert_eq!(sent, &serde_json::from_str::<Value>(text).expect("JSON"));
            run.check()
        },
    );
    matrix::record(Format::AzureFirewall, "azure-cli", &az.version(), judgement);
}

/// Bicep stands for the very template, and so do its mutations for others.
#[test]
fn bicep_says_the_same() {
    let Some(mut bicep) = Bicep::start() else { return };
    let judgement = consumer::judge(
        Format::AzureFirewallBicep,
        &[
            Mutation { from: "priority: priority", to: "priority priority" },
            Mutation { from: "'contoso.azurecr.io'", to: "\"contoso.azurecr.io\"" },
            Mutation { from: "targetFqdns", to: "targetFqdn" },
            Mutation { from: "sourceAddresses: sourceAddresses", to: "sourceAddresses: clients" },
            Mutation { from: "port: 443", to: "port: '443'" },
            Mutation { from: "existing = {", to: "= {" },
        ],
        |text| bicep.check(text),
    );
    matrix::record(Format::AzureFirewallBicep, "pycep-parser", &bicep.version(), judgement);
    for list in everywhere() {
        let text = list.export(Format::AzureFirewallBicep).expect(list.name).text;
        let compiled = bicep.compile(&text).expect(list.name);
        assert_eq!(rules(&compiled), rules(&template(&list)), "{}", list.name);
    }
}

#[test]
fn terraforms_provider_takes_the_arguments() {
    let Some(mut terraform) = Terraform::start() else { return };
    let judgement = consumer::judge(
        Format::AzureFirewallTerraform,
        &[
            Mutation { from: "destination_fqdns", to: "target_fqdns" },
            Mutation { from: "port = 443", to: "port = \"443\"" },
            Mutation { from: "action   = \"Allow\"", to: "" },
            Mutation { from: "var.source_addresses", to: "var.clients" },
            Mutation { from: "protocols {", to: "protocol {" },
            Mutation { from: "\"contoso.azurecr.io\"", to: "\"${contoso}.azurecr.io\"" },
        ],
        |text| terraform.resources(text).map(drop),
    );
    matrix::record(Format::AzureFirewallTerraform, "python-hcl2", &terraform.version(), judgement);
    for list in everywhere() {
        let text = list.export(Format::AzureFirewallTerraform).expect(list.name).text;
        let resources = terraform.resources(&text).expect(list.name);
        let group = &resources["azurerm_firewall_policy_rule_collection_group.acr_allowlist"];
        assert_eq!(of_terraform(group), of_template(&template(&list)), "{}", list.name);
    }
}

/// An address that makes the firewall fail, a port beyond its range: errors, and never left out.
#[test]
fn what_the_firewall_does_not_know_is_an_error() {
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut entries = lists::contoso().allowlist.entries().to_vec();
        change(&mut entries[0]);
        let allowlist = Allowlist::new(entries).expect("entries");
        FORMATS.map(|format| {
            export::render(format, &allowlist, Issue::default(), &Options::default()).map(drop)
        })
    };
    let pin: Pin = "fd00:20::6".parse().expect("a pin");
    for result in with(&|entry| entry.addresses = vec![pin]) {
        assert!(matches!(result, Err(Error::Unrepresentable { .. })), "{result:?}");
    }
    let port = |port: &str| Ports::new(vec![port.parse().expect("a port")]).expect("ports");
    for result in with(&|entry| entry.ports = port("64001")) {
        assert!(matches!(result, Err(Error::Unrepresentable { .. })), "{result:?}");
    }
    for result in with(&|entry| entry.ports = port("64000")) {
        assert_eq!(result, Ok(()));
    }
    let options =
        Options { clients: vec!["fd00::/64".parse().expect("a block")], ..Options::default() };
    for format in FORMATS {
        let list = lists::contoso();
        let result = export::render(format, &list.allowlist, list.issue, &options).map(drop);
        let is_client = |e: &Error| matches!(e, Error::Unsuitable { setting: Setting::Client, .. });
        assert!(result.as_ref().is_err_and(is_client), "{result:?}");
    }
}

#[test]
fn a_long_list_stays_within_the_limits_or_fails() {
    let of = |count: usize| {
        let entry = |number: usize| {
            let host = format!("registry{number}.westeurope.data.azurecr.io");
            let registry = format!("registry{number}").parse().expect("a label");
            let region = "westeurope".parse().expect("a region");
            Entry::new(host.parse().expect("a host"), Role::Data(registry, region))
        };
        let allowlist = Allowlist::new((0..count).map(entry)).expect("entries");
        export::render(Format::AzureFirewall, &allowlist, Issue::default(), &Options::default())
    };
    let text = of(2_000).expect("it is within the limits").text;
    assert_eq!(arm::template_text(&text), Ok(()));
    let error = of(10_000).expect_err("it is beyond them");
    assert!(matches!(error, Error::TooMany { limit: 1_000_000, .. }), "{error}");
    assert!(matches!(of(0), Err(Error::Empty { .. })));
}

const FORMATS: [Format; 3] =
    [Format::AzureFirewall, Format::AzureFirewallBicep, Format::AzureFirewallTerraform];

/// Every list, the hostile one without the addresses that the firewall doesn't know.
fn everywhere() -> Vec<List> {
    let mut lists = lists::all();
    for list in &mut lists {
        let mut entries = list.allowlist.entries().to_vec();
        for entry in &mut entries {
            entry.addresses.retain(|pin| pin.block().addr().is_ipv4());
        }
        list.allowlist = Allowlist::new(entries).expect("entries");
    }
    lists.push(with_ports());
    lists
}

/// A list with a block of addresses, and with ports that not all hosts of a registry have.
fn with_ports() -> List {
    let mut list = lists::contoso();
    let mut entries = list.allowlist.entries().to_vec();
    let ports = ["443", "8443"].map(|port| port.parse().expect("a port"));
    entries[0].ports = Ports::new(ports.to_vec()).expect("ports");
    entries[1].addresses = vec!["10.20.0.16/28".parse().expect("a pin")];
    list.allowlist = Allowlist::new(entries).expect("entries");
    List { name: "with ports", ..list }
}

fn template(list: &List) -> Value {
    let text = list.export(Format::AzureFirewall).expect(list.name).text;
    assert_eq!(arm::template_text(&text), Ok(()), "{}", list.name);
    serde_json::from_str(&text).expect("JSON")
}

/// What a template says beside words for people.
fn rules(template: &Value) -> [&Value; 3] {
    let clients = &template["parameters"]["sourceAddresses"]["defaultValue"];
    let group = &template["resources"][0];
    [clients, &group["name"], &group["properties"]]
}

/// Each rule as its name, what it allows, and on which ports.
type Allowed = Vec<(String, Vec<String>, Vec<String>)>;

fn of_template(template: &Value) -> Allowed {
    let collections = list(&template["resources"][0]["properties"]["ruleCollections"]);
    let rules = collections.iter().flat_map(|collection| list(&collection["rules"]));
    rules
        .map(|rule| {
            let (hosts, ports) = if rule["ruleType"] == "ApplicationRule" {
                (texts(&rule["targetFqdns"]), ports(&rule["protocols"]))
            } else {
                (texts(&rule["destinationAddresses"]), texts(&rule["destinationPorts"]))
            };
            (text(&rule["name"]), hosts, ports)
        })
        .collect()
}

fn of_terraform(group: &Value) -> Allowed {
    let by_address = list(&group["network_rule_collection"]);
    let by_name = list(&group["application_rule_collection"]);
    let by_address = by_address.iter().flat_map(|collection| list(&collection["rule"]));
    let by_name = by_name.iter().flat_map(|collection| list(&collection["rule"]));
    let by_address = by_address.map(|rule| {
        let addresses = texts(&rule["destination_addresses"]);
        (text(&rule["name"]), addresses, texts(&rule["destination_ports"]))
    });
    let by_name = by_name.map(|rule| {
        (text(&rule["name"]), texts(&rule["destination_fqdns"]), ports(&rule["protocols"]))
    });
    by_address.chain(by_name).collect()
}

fn ports(protocols: &Value) -> Vec<String> {
    list(protocols).iter().map(|protocol| protocol["port"].to_string()).collect()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
