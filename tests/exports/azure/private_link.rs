//! The plan for Private Link, carried out: azure-cli takes its script and the commands beside its records, and what is
//! there afterwards is planned again; Bicep and Terraform say the same.

use allowlist_gen::metadata;
use allowlist_gen::private_link::{Format, GroupRecords, Plan, Wishes};
use ringfence_config::snippet::Source;
use serde_json::{Map, Value, json};

use crate::az::{Az, Run};
use crate::bicep::Bicep;
use crate::consumer::Mutation;
use crate::lists;
use crate::terraform::Terraform;

/// The registry of the fixtures, with these records in its zone.
pub(crate) fn plan(records: &Value) -> Plan {
    let fixture = |name: &str| {
        let path = lists::tests().join("fixtures/azure/constructed/private-geo").join(name);
        Source { name: name.to_owned(), text: std::fs::read_to_string(path).expect(name) }
    };
    let mut sources = ["acr-show.json", "acr-replication-list.json", "network-nic-show.json"]
        .map(fixture)
        .to_vec();
    sources.push(Source { name: "records".to_owned(), text: records.to_string() });
    let registries = metadata::read(&sources).expect("metadata");
    Plan::of(&registries, &Wishes::default()).expect("a plan")
}

/// The records of the fixtures, one of which is missing. Here one leads elsewhere, too, one is of a region that is
/// gone, and one is another registry's.
pub(crate) fn records() -> Value {
    let path =
        lists::tests().join("fixtures/azure/constructed/private-geo/private-dns-records.arm.json");
    let mut records: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("JSON");
    let list = records["value"].as_array_mut().expect("records");
    list[0]["properties"]["aRecords"] =
        json!([{ "ipv4Address": "10.9.9.9" }, { "ipv4Address": "10.9.9.8" }]);
    for (name, address) in [("fabrikam.northeurope.data", "10.1.1.66"), ("contoso", "10.20.0.6")] {
        let text = list[0].to_string().replace("A/fabrikam\"", &format!("A/{name}\""));
        let text = text.replace("\"fabrikam.privatelink", &format!("\"{name}.privatelink"));
        let mut record: Value = serde_json::from_str(&text).expect("JSON");
        record["name"] = name.into();
        record["properties"]["aRecords"] = json!([{ "ipv4Address": address }]);
        list.push(record);
    }
    records
}

fn render(plan: &Plan, format: Format) -> String {
    plan.render(format, GroupRecords::Left).expect("a text").text
}

/// As azure-cli finds them: by path.
fn state_of(records: &Value) -> Map<String, Value> {
    let records = records["value"].as_array().expect("records");
    records.iter().map(|record| (text(&record["id"]).to_owned(), record.clone())).collect()
}

/// As ARM lists what is there.
fn listing_of(state: &Map<String, Value>) -> Value {
    let mut records: Vec<Value> = state.values().cloned().collect();
    for record in &mut records {
        let id = text(&record["id"]).to_owned();
        let name = id.rsplit('/').next().expect("a name").to_owned();
        record["type"] = "Microsoft.Network/privateDnsZones/A".into();
        record["properties"]["fqdn"] = format!("{name}.privatelink.azurecr.io.").into();
        record["name"] = name.into();
    }
    json!({ "value": records })
}

/// `NAME ADDRESSES` of each.
fn addresses(state: &Map<String, Value>) -> Vec<String> {
    state
        .iter()
        .map(|(path, record)| {
            let records = record["properties"]["aRecords"].as_array().expect("addresses");
            let all: Vec<&str> =
                records.iter().map(|record| text(&record["ipv4Address"])).collect();
            format!("{} {}", path.rsplit('/').next().expect("a name"), all.join(","))
        })
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

const AFTER: [&str; 7] = [
    "contoso 10.20.0.6",
    "fabrikam 10.1.1.22",
    "fabrikam.eastus.data 10.1.1.21",
    "fabrikam.eastus.geo 10.1.1.24",
    "fabrikam.northeurope.data 10.1.1.66",
    "fabrikam.westeurope.data 10.1.1.20",
    "fabrikam.westeurope.geo 10.1.1.23",
];

#[test]
fn azure_cli_carries_the_script_out() {
    let Some(mut az) = Az::start() else { return };
    let before = plan(&records());
    let script = render(&before, Format::Az);
    let mut run = |script: &str| run(&mut az, script, &state_of(&records()));
    let carried_out = run(&script).expect("it runs");
    assert_eq!(carried_out.check(), Ok(()));
    let mut after = addresses(&carried_out.state);
    after.sort();
    assert_eq!(after, AFTER);
    let methods = carried_out.requests.iter().map(|request| request.method.as_str());
    assert!(
        methods.into_iter().all(|method| method == "GET" || method == "PUT" || method == "PATCH")
    );
    let subscription =
        "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-network/";
    assert!(carried_out.requests.iter().all(|request| request.path.starts_with(subscription)));

    // Planned again, nothing is left to write.
    let left = plan(&listing_of(&carried_out.state));
    let json: Value = serde_json::from_str(&left.to_json()).expect("JSON");
    let records = json["registries"][0]["zones"][0]["records"].as_array().expect("records");
    let states: Vec<&str> = records.iter().map(|record| text(&record["state"])).collect();
    assert_eq!(states.iter().filter(|state| **state == "exists").count(), 5, "{states:?}");
    assert!(
        states.iter().all(|state| !["missing", "differs", "should-exist"].contains(state)),
        "{states:?}"
    );
    assert!(render(&left, Format::Az).contains("nothing to add or to correct"));
    let nothing = run(&render(&left, Format::Az)).expect("it runs");
    assert!(nothing.requests.is_empty(), "{:?}", nothing.requests);

    for Mutation { from, to } in [
        Mutation { from: "--record-set-name", to: "--records" },
        Mutation { from: "aRecords", to: "records" },
        Mutation { from: "place=(--subscription", to: "place=(--subscriptions" },
    ] {
        let mutated = script.replacen(from, to, 1);
        assert_ne!(script, mutated, "{from}");
        assert!(run(&mutated).and_then(|run| run.check()).is_err(), "{to}");
    }
}

/// Each command that a person is shown, pasted by itself.
#[test]
fn azure_cli_takes_each_command_of_the_text() {
    let Some(mut az) = Az::start() else { return };
    let shown = render(&plan(&records()), Format::Text);
    let commands: Vec<&str> =
        shown.lines().map(str::trim).filter(|line| line.starts_with("az ")).collect();
    let mut state = state_of(&records());
    let connection = commands[0].split("--id ").nth(1).expect("an id").to_owned();
    let pending = json!({ "id": connection, "name": "c", "properties": {
        "provisioningState": "Succeeded", "privateLinkServiceConnectionState": { "status": "Pending" } } });
    state.insert(connection.clone(), pending);
    let mut changed = Vec::new();
    for command in commands {
        // Azure's answer to a listing is none that this account could have.
        if command.contains(" list ") {
            continue;
        }
        // A person is asked first.
        let command = if command.contains(" delete ") {
            format!("{command} --yes")
        } else {
            command.to_owned()
        };
        let done =
            run(&mut az, &command, &state).unwrap_or_else(|said| panic!("{command}: {said}"));
        let change =
            done.requests.iter().rfind(|request| request.method != "GET").expect("a change");
        let name = change.path.rsplit('/').next().expect("a name");
        changed.push(format!("{} {name}", change.method));
        if change.path == connection {
            assert_eq!(
                change.body["properties"]["privateLinkServiceConnectionState"]["status"],
                "Approved"
            );
        } else if change.method == "PUT" {
            let record = &done.state[&change.path];
            let address = if name == "fabrikam" { "10.1.1.22" } else { "10.1.1.24" };
            assert_eq!(
                record["properties"]["aRecords"],
                json!([{ "ipv4Address": address }]),
                "{command}"
            );
        }
    }
    let approved = format!("PUT {}", connection.rsplit('/').next().expect("a name"));
    assert_eq!(
        changed,
        [&approved, "PUT fabrikam.eastus.geo", "PUT fabrikam", "DELETE fabrikam.northeurope.data"]
    );
}

fn run(az: &mut Az, script: &str, state: &Map<String, Value>) -> Result<Run, String> {
    az.run(script, &json!({}), &json!({}), state)
}

#[test]
fn bicep_says_the_same() {
    let Some(mut bicep) = Bicep::start() else { return };
    let text = render(&plan(&records()), Format::Bicep);
    assert_eq!(bicep.check(&text), Ok(()));
    let compiled = bicep.compile(&text).expect("Bicep");
    let resources = compiled["resources"].as_array().expect("resources");
    let said: Vec<Value> = resources
        .iter()
        .map(|resource| json!([resource["name"], resource["properties"]]))
        .collect();
    let name = |name: &str| format!("[format('{{0}}/{{1}}', 'privatelink.azurecr.io', '{name}')]");
    let properties =
        |ttl: u32, address: &str| json!({ "ttl": ttl, "aRecords": [{ "ipv4Address": address }] });
    // A record that is there keeps its time to live.
    assert_eq!(
        said,
        [
            json!([name("fabrikam"), properties(3600, "10.1.1.22")]),
            json!([name("fabrikam.eastus.geo"), properties(300, "10.1.1.24")]),
        ]
    );
}

#[test]
fn terraform_says_the_same_and_brings_in_what_is_there() {
    let Some(mut terraform) = Terraform::start() else { return };
    let text = render(&plan(&records()), Format::Terraform);
    let resources = terraform.resources(&text).expect("Terraform");
    let said: Vec<Value> = resources
        .as_object()
        .expect("resources")
        .values()
        .map(|one| json!([one["name"], one["records"], one["ttl"], one["resource_group_name"]]))
        .collect();
    assert_eq!(
        said,
        [
            json!(["fabrikam", ["10.1.1.22"], 3600, "rg-network"]),
            json!(["fabrikam.eastus.geo", ["10.1.1.24"], 300, "rg-network"]),
        ]
    );
    assert_eq!(
        text.matches("\nimport {\n  to = azurerm_private_dns_a_record.acr_fabrikam\n").count(),
        1,
        "{text}"
    );
    assert_eq!(text.matches("import {").count(), 1, "{text}");
    for (from, to) in [
        (
            "to = azurerm_private_dns_a_record.acr_fabrikam\n",
            "to = azurerm_private_dns_a_record.acr_other\n",
        ),
        ("  id = ", "  ids = "),
        ("import {", "imports {"),
    ] {
        let mutated = text.replacen(from, to, 1);
        assert_ne!(text, mutated, "{from}");
        assert!(terraform.resources(&mutated).is_err(), "{to}");
    }
}
