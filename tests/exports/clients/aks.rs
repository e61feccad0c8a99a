//! The proxy of AKS clusters: what az, ARM's schema and Terraform's provider take it for.

use allowlist_gen::export::Format;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::az::Az;
use crate::checker::Checker;
use crate::consumer::{self, Mutation};
use crate::{arm, lists, matrix};

const MUTATIONS: [Mutation; 4] = [
    Mutation { from: "\"httpsProxy\"", to: "\"httpsProxyy\"" },
    Mutation { from: "\"noProxy\": [", to: "\"noProxy\": 1, \"more\": [" },
    Mutation { from: "\"http://proxy.corp.example:3128/\"", to: "3128" },
    Mutation { from: "\"contoso.azurecr.io\",", to: "\"contoso.azurecr.io\"" },
];

#[test]
fn az_sends_the_configuration_that_arm_takes() {
    let Some(mut az) = Az::start() else { return };
    for format in [Format::Aks, Format::AksArm] {
        let judgement = consumer::judge(format, &MUTATIONS, |text| {
            let given = config_in(format, text)?;
            for command in commands(format) {
                let sent = sent(&mut az, command, text)?;
                if sent != given {
                    return Err(format!("`{command}` sends {sent}"));
                }
            }
            let missing = |key: &&str| given.get(key).is_none();
            if let Some(key) =
                ["httpProxy", "httpsProxy", "noProxy"].iter().find(|key| missing(key))
            {
                return Err(format!("there is no `{key}`"));
            }
            arm::definition(SCHEMA, "ManagedClusterHttpProxyConfig", &given)
        });
        matrix::record(format, "az and ARM's schema", &az.version(), judgement);
    }
}

/// The way back that a kit's README shows.
#[test]
fn az_turns_the_proxy_off() {
    let Some(mut az) = Az::start() else { return };
    let readme = lists::tests().join("exports/clients/kit/README.md");
    let readme = std::fs::read_to_string(readme).expect("a README");
    let command = readme.lines().find(|line| line.ends_with(" --disable-http-proxy"));
    let command = command.expect("the way back").replace("RESOURCE-GROUP", "group");
    let text = lists::contoso().export(Format::Aks).expect("the list can be written").text;
    let given = config_in(Format::Aks, &text).expect("JSON");
    let mut cluster = cluster();
    cluster["properties"]["httpProxyConfig"] = given;
    let Value::Object(state) = json!({ CLUSTER: cluster }) else { unreachable!("it is one") };
    let command = command.replace("CLUSTER", "aks --no-wait");
    let run = az.run(&command, &json!({}), &json!({}), &state).expect("az takes it");
    let body = run.requests.iter().rfind(|request| !request.body.is_null()).expect("a request");
    let config = &body.body["properties"]["httpProxyConfig"];
    assert_eq!(config["enabled"], false, "{config}");
}

/// What makes a cluster, and what changes one.
fn commands(format: Format) -> &'static [&'static str] {
    match format {
        Format::AksArm => &[
            "az deployment group create --no-prompt --no-wait -g group --template-file cluster.json \
             --parameters @config.json",
        ],
        _ => &[
            "az aks create --no-wait --no-ssh-key -l eastus -g group -n new --http-proxy-config config.json",
            "az aks update --no-wait -g group -n aks --http-proxy-config config.json",
        ],
    }
}

/// The configuration that `command` sends when it is given `text`.
fn sent(az: &mut Az, command: &str, text: &str) -> Result<Value, String> {
    let files = json!({ "config.json": text, "cluster.json": template().to_string() });
    let Value::Object(state) = json!({ CLUSTER: cluster() }) else { unreachable!("it is one") };
    let run = az.run(command, &files, &json!({}), &state)?;
    let body = run.requests.iter().rfind(|request| !request.body.is_null());
    let properties = &body.ok_or("nothing is sent")?.body["properties"];
    let config = properties
        .pointer("/parameters/httpProxyConfig/value")
        .or_else(|| properties.get("httpProxyConfig"));
    config.cloned().ok_or_else(|| format!("no configuration in {properties}"))
}

/// The configuration in what `az` is given.
fn config_in(format: Format, text: &str) -> Result<Value, String> {
    let mut given: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if format == Format::Aks {
        return Ok(given);
    }
    let schema = given["$schema"].as_str().unwrap_or_default();
    if !schema.ends_with("/2019-04-01/deploymentParameters.json#") {
        return Err(format!("`{schema}` is no file of parameters"));
    }
    let value = given.pointer_mut("/parameters/httpProxyConfig/value");
    value.map(Value::take).ok_or_else(|| "there is no `httpProxyConfig`".to_owned())
}

/// A cluster that takes the parameter, as the format's notes say.
fn template() -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": { "httpProxyConfig": { "type": "object" } },
        "resources": [{
            "type": "Microsoft.ContainerService/managedClusters",
            "apiVersion": "2026-05-01",
            "name": "aks",
            "location": "eastus",
            "properties": { "httpProxyConfig": "[parameters('httpProxyConfig')]" },
        }],
    })
}

/// A cluster that is there already.
fn cluster() -> Value {
    let identity = json!({ "clientId": SUBSCRIPTION, "objectId": SUBSCRIPTION, "resourceId": "x" });
    json!({
        "id": CLUSTER,
        "name": "aks",
        "location": "eastus",
        "type": "Microsoft.ContainerService/ManagedClusters",
        "identity": { "type": "SystemAssigned", "principalId": SUBSCRIPTION, "tenantId": SUBSCRIPTION },
        "properties": {
            "provisioningState": "Succeeded",
            "agentPoolProfiles": [{ "name": "nodepool1", "count": 1, "mode": "System" }],
            "networkProfile": { "loadBalancerSku": "standard", "outboundType": "loadBalancer" },
            "servicePrincipalProfile": { "clientId": "msi" },
            "identityProfile": { "kubeletidentity": identity },
        },
    })
}

#[test]
fn bicep_is_read_as_what_arm_takes() {
    let Some(mut reader) = reader(Format::AksBicep) else { return };
    let judgement = consumer::judge(
        Format::AksBicep,
        &[
            Mutation { from: "httpsProxy:", to: "httpsProxyy:" },
            Mutation { from: "noProxy: [", to: "noProxy: {" },
            Mutation { from: "'http://proxy.corp.example:3128/'", to: "3128" },
            Mutation { from: "@export()\n", to: "" },
        ],
        |text| reader.judge(text),
    );
    let version = reader.version("pycep-parser");
    matrix::record(Format::AksBicep, "pycep-parser and ARM's schema", &version, judgement);
}

#[test]
fn terraform_is_read_as_what_the_provider_takes() {
    let Some(mut reader) = reader(Format::AksTerraform) else { return };
    let judgement = consumer::judge(
        Format::AksTerraform,
        &[
            Mutation { from: "#   https_proxy =", to: "#   httpss_proxy =" },
            Mutation { from: "no_proxy = [", to: "no_proxies = [" },
            Mutation { from: "\"contoso.azurecr.io\",", to: "contoso.," },
            Mutation { from: "\"http://proxy.corp.example:3128/\"", to: "[]" },
        ],
        |text| reader.judge(text),
    );
    let consumer = "python-hcl2 and the provider's types";
    matrix::record(Format::AksTerraform, consumer, &reader.version("python-hcl2"), judgement);
}

/// All four say the same of a list: what `no-proxy` says, the proxy, and the certificates.
#[test]
fn all_four_say_the_same() {
    let (Some(mut bicep), Some(mut terraform)) =
        (reader(Format::AksBicep), reader(Format::AksTerraform))
    else {
        return;
    };
    for list in lists::all() {
        let export = |format| list.export(format).expect("the list can be written").text;
        let hosts = export(Format::NoProxy);
        let hosts: Vec<&str> = hosts.trim_end().split_terminator(',').collect();
        for format in [Format::Aks, Format::AksArm, Format::AksBicep, Format::AksTerraform] {
            let config = match format {
                Format::AksBicep => bicep.ask(&export(format).into()),
                Format::AksTerraform => terraform.ask(&export(format).into()),
                _ => config_in(format, &export(format)),
            };
            let config = config.expect("it is read");
            assert_eq!(config["noProxy"], json!(hosts), "{} of {}", format.name(), list.name);
            let is_on = config.get("enabled").is_none_or(|enabled| *enabled == Value::Bool(true));
            assert!(is_on, "{} of {}", format.name(), list.name);
            for key in ["httpProxy", "httpsProxy"] {
                assert_eq!(config[key], "http://proxy.corp.example:3128/", "{}", format.name());
            }
            let trusted = config["trustedCa"].as_str().expect("certificates");
            assert_eq!(decoded(trusted), lists::options(format).ca.expect("certificates").pem());
        }
    }
}

/// What finds the configuration in Bicep and in Terraform, with ARM's keys; `None` if it isn't installed.
fn reader(format: Format) -> Option<Checker> {
    let types = consumer::installed(TYPES)?;
    let schemas = lists::tests().join("fixtures/schemas/arm");
    Checker::start("py", "aks.py", &[format.name().as_ref(), schemas.as_ref(), types.as_ref()])
}

fn decoded(base64: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).expect("base64");
    String::from_utf8(bytes).expect("PEM")
}

const SCHEMA: &str = "Microsoft.ContainerService-httpProxyConfig-2026-05-01.json";
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const CLUSTER: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group/providers/\
                       Microsoft.ContainerService/managedClusters/aks";
const TYPES: &str = "terraform/kubernetes-cluster/index.d.ts";
