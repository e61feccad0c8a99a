//! Findings, held to those who read them: azure-cli takes every command, and SARIF is what code scanners take.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use allowlist_gen::findings::{self, Finding, Review};
use allowlist_gen::metadata;
use ringfence_config::snippet::Source;
use serde_json::{Map, Value, json};

use crate::az::Az;
use crate::consumer::{self, Verdict};
use crate::schema;

#[path = "../allowlist_gen/posture/inputs.rs"]
mod inputs;

fn sources() -> Vec<Source> {
    let source = |(number, (_, with, _)): (usize, inputs::Row)| Source {
        name: format!("inputs/{number} ü.json"),
        text: format!("{with:#}"),
    };
    inputs::rows().into_iter().enumerate().map(source).collect()
}

fn review(source: &Source) -> Review {
    findings::review(&metadata::read(std::slice::from_ref(source)).expect("metadata"))
}

/// Every command that any finding gives, once.
fn commands() -> Vec<String> {
    let steps =
        |review: Review| review.findings.iter().flat_map(Finding::steps).collect::<Vec<_>>();
    let steps = sources().iter().map(review).flat_map(steps).collect::<Vec<_>>();
    let mut commands: Vec<String> = steps.into_iter().flat_map(|step| step.commands).collect();
    commands.sort();
    commands.dedup();
    commands
}

/// Words in capitals are what a person would put there.
fn filled_in(command: &str) -> String {
    let fill = |word: &str| match word {
        "CIDR" => "203.0.113.7".to_owned(),
        "PREFIX" => "10.1.0.0/24".to_owned(),
        "WHO" => "00000000-0000-0000-0000-000000000002".to_owned(),
        "ID" => inputs::subnet_id("hub"),
        word => word.to_owned(),
    };
    let command = command.split(' ').map(fill).collect::<Vec<_>>().join(" ");
    // az asks whether that is meant, and nobody is here to say so.
    let asks = command.starts_with("az network private-dns record-set a delete ");
    if asks { command + " --yes" } else { command }
}

#[test]
fn azure_cli_takes_every_command() {
    let Some(mut az) = Az::start() else { return };
    let (az_commands, others): (Vec<String>, Vec<String>) =
        commands().into_iter().partition(|command| command.starts_with("az "));
    // Those are our own, as part of a refusal's steps.
    assert!(others.iter().all(|command| command.starts_with("allowlist-gen ")), "{others:?}");
    let plain: Vec<String> = az_commands
        .iter()
        .filter(|command| !command.contains(['>', '|']))
        .map(|command| filled_in(command))
        .collect();
    assert!(plain.len() > 40, "{plain:#?}");
    // In portions: an answer has to come in time, and each command loads what it is made of.
    for portion in plain.chunks(8) {
        az.take(portion).expect("they are azure-cli's own");
    }
    for wrong in [
        "az arc update --name contoso --admin-enabled false".to_owned(),
        "az acr update --nome contoso --admin-enabled false".to_owned(),
        "az acr update --name contoso --admin-enabled perhaps".to_owned(),
        "az acr update --admin-enabled false".to_owned(),
        "az network private-endpoint create --name x".to_owned(),
        "az network private-endpoint remove --ids x".to_owned(),
        "az lock create --name x --lock-type Forever --resource x".to_owned(),
    ] {
        assert!(az.take(std::slice::from_ref(&wrong)).is_err(), "{wrong}");
    }
}

/// What azure-cli sends for a command is the change that the finding asks for.
#[test]
fn commands_change_what_the_findings_are_about() {
    let Some(mut az) = Az::start() else { return };
    let given = commands();
    let acr = "az acr update --subscription 00000000-0000-0000-0000-000000000001 --name contoso";
    for (command, pointer, value) in [
        (format!("{acr} --admin-enabled false"), "/properties/adminUserEnabled", json!(false)),
        (
            format!("{acr} --anonymous-pull-enabled false"),
            "/properties/anonymousPullEnabled",
            json!(false),
        ),
        (
            format!("{acr} --data-endpoint-enabled true"),
            "/properties/dataEndpointEnabled",
            json!(true),
        ),
        (
            format!("{acr} --default-action Deny"),
            "/properties/networkRuleSet/defaultAction",
            json!("Deny"),
        ),
        (
            format!("{acr} --public-network-enabled false"),
            "/properties/publicNetworkAccess",
            json!("Disabled"),
        ),
        (
            format!("{acr} --public-network-enabled false --allow-exports false"),
            "/properties/policies/exportPolicy/status",
            json!("disabled"),
        ),
        (
            format!("{acr} --allow-trusted-services true"),
            "/properties/networkRuleBypassOptions",
            json!("AzureServices"),
        ),
        (format!("{acr} --endpoint-protocol IPv4"), "/properties/endpointProtocol", json!("IPv4")),
        (
            format!("{acr} --regional-endpoints disabled"),
            "/properties/regionalEndpoints",
            json!("Disabled"),
        ),
        (format!("{acr} --sku Premium"), "/sku/name", json!("Premium")),
        (
            format!(
                "az resource update --ids {} --api-version 2025-06-01-preview \
                 --set properties.networkRuleBypassAllowedForTasks=true",
                inputs::ID
            ),
            "/properties/networkRuleBypassAllowedForTasks",
            json!(true),
        ),
    ] {
        assert!(given.contains(&command), "no finding gives `{command}`: {given:#?}");
        let run = az.run(&command, &json!({}), &json!({}), &azure()).expect(&command);
        let change = run.requests.iter().rfind(|request| !request.body.is_null());
        let change = change.unwrap_or_else(|| panic!("`{command}` changes nothing: {run:?}"));
        assert_eq!(change.path, inputs::ID, "{command}");
        assert_eq!(change.body.pointer(pointer), Some(&value), "{command}: {}", change.body);
    }
}

/// The same for what isn't a setting of the registry: the resource that the finding is about is what changes.
#[test]
fn commands_change_the_resources_that_the_findings_are_about() {
    let Some(mut az) = Az::start() else { return };
    let given = commands();
    let zone = inputs::network("privateDnsZones", "privatelink.azurecr.io");
    let connection = format!("{}/privateEndpointConnections/contoso.pe", inputs::ID);
    for (start, with, method, path) in [
        ("az network private-endpoint delete", "", "DELETE", inputs::endpoint("pe")),
        ("az network private-endpoint create", "pe-dynamic", "PUT", inputs::endpoint("pe-dynamic")),
        (
            "az network private-dns record-set a add-record",
            "10.0.0.5",
            "PUT",
            format!("{zone}/A/contoso.eastus.data"),
        ),
        (
            "az network private-dns record-set a delete",
            "",
            "DELETE",
            format!("{zone}/A/contoso.westus.data"),
        ),
        ("az network vnet subnet create", "", "PUT", format!("{}-roomy", inputs::subnet_id("hub"))),
        ("az acr private-endpoint-connection approve", "", "PUT", connection.clone()),
        ("az acr private-endpoint-connection delete", "", "DELETE", connection),
        ("az acr replication update", "", "PATCH", format!("{}/replications/eastus", inputs::ID)),
        ("az acr network-rule remove", "--subnet /", "PATCH", inputs::ID.to_owned()),
        ("az acr network-rule add", "", "PATCH", inputs::ID.to_owned()),
        (
            "az lock create",
            "",
            "PUT",
            format!("{}/providers/Microsoft.Authorization/locks/keep-contoso", inputs::ID),
        ),
    ] {
        let fits = |command: &&String| command.starts_with(start) && command.contains(with);
        let command = given.iter().find(fits).unwrap_or_else(|| panic!("{start}: {given:#?}"));
        let run = az.run(&filled_in(command), &json!({}), &json!({}), &azure()).expect(command);
        let does = |request: &&crate::az::Request| {
            // Where a resource has no parent, azure-cli's locks have a slash too many.
            let asked = request.path.replace("//", "/");
            request.method == method && asked.eq_ignore_ascii_case(&path)
        };
        assert!(
            run.requests.iter().any(|request| does(&request)),
            "`{command}`: {:#?}",
            run.requests
        );
    }
}

/// A subscription with the registry in it, and what belongs to it.
fn azure() -> Map<String, Value> {
    let registry = nested(&inputs::healthy(&json!({})));
    let connection = nested(&inputs::connection("pe", "Pending", "None"));
    let replication = nested(&inputs::replication(&json!({"regionEndpointEnabled": false})));
    let listing = "/subscriptions/00000000-0000-0000-0000-000000000001/resources";
    let mut state = Map::new();
    state.insert(listing.to_owned(), json!({ "value": [registry] }));
    for resource in [registry, connection, replication] {
        state.insert(resource["id"].as_str().expect("an id").to_owned(), resource);
    }
    state
}

/// A resource as ARM has it.
fn nested(flat: &Value) -> Value {
    let mut resource = json!({ "properties": {} });
    for (key, value) in flat.as_object().expect("an object") {
        let is_outside = ["id", "name", "type", "location", "sku"].contains(&key.as_str());
        let place = if is_outside { &mut resource } else { &mut resource["properties"] };
        place[key] = value.clone();
    }
    resource
}

#[test]
fn sarif_is_what_scanners_take() {
    let Some(folder) = consumer::installed("node/node_modules/@microsoft/sarif-multitool-linux")
    else {
        return;
    };
    let tool = folder.join("Sarif.Multitool");
    // npm's own script does that, and the installation runs none.
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("it is there");
    let schema = fs::read_to_string(folder.join("sarif-2.1.0.json")).expect("it has the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let judge = |text: &str| -> Verdict {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        schema::check(&validator, &value)?;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("findings.sarif");
        fs::write(&file, text).expect("it can be written");
        let mut command = Command::new(&tool);
        command.current_dir(folder.path()).arg("validate").arg(&file);
        command.args(["--rule-kind", "Sarif;Ghas", "--level", "Error;Warning"]);
        let output = command.env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1").output();
        let output = output.expect("the tool runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // Nobody has published where this program is at home.
        let against = |line: &&str| {
            (line.contains(": error ") || line.contains(": warning "))
                && !line.contains("does not provide 'informationUri'")
        };
        let against: Vec<&str> = said.lines().filter(against).collect();
        let is_done = output.status.success() && said.contains("Analysis completed successfully");
        if is_done && against.is_empty() { Ok(()) } else { Err(said) }
    };
    let all = sources();
    let registries =
        json!([inputs::healthy(&json!({"adminUserEnabled": true})), inputs::connected("Offline")]);
    let one = Source { name: "a b.json".to_owned(), text: format!("{registries:#}") };
    let text = findings::to_sarif(&review(&one), &[&one]);
    judge(&text).unwrap();
    for source in &all {
        let text = findings::to_sarif(&review(source), &[source]);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        schema::check(&validator, &value).expect(&source.text);
    }
    let busiest = all.iter().max_by_key(|source| review(source).findings.len()).expect("some");
    judge(&findings::to_sarif(&review(busiest), &[busiest])).unwrap();
    for (from, to) in [
        ("\"version\": \"2.1.0\"", "\"version\": \"2.2.0\""),
        ("\"level\": \"warning\"", "\"level\": \"fatal\""),
        ("\"ruleIndex\": ", "\"ruleIndex\": 9"),
        ("\"startLine\": ", "\"startLine\": -"),
        ("a%20b.json", "a b.json"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(judge(&text.replace(from, to)).is_err(), "`{to}` for `{from}` is accepted");
    }
}
