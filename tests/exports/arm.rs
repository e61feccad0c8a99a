//! Azure's resource manager: deployment templates and the bodies of its requests, held to the schemas that Azure
//! publishes.
//!
//! <https://github.com/Azure/azure-resource-manager-schemas>

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::consumer::Verdict;
use crate::schema;

/// The version of the schemas, for the matrix: they have no other name than their commit.
pub(crate) const VERSION: &str = "a1454431";

/// A deployment template, as text.
pub(crate) fn template_text(text: &str) -> Verdict {
    let template = serde_json::from_str(text).map_err(|error| error.to_string())?;
    self::template(&template)
}

/// A deployment template: the frame, each of its resources, and what its expressions refer to.
pub(crate) fn template(template: &Value) -> Verdict {
    schema::check(&frame(), template)?;
    let resources = template["resources"].as_array().ok_or("`resources` is no list")?;
    for resource in resources {
        self::resource(resource)?;
    }
    references(template, &template["resources"])
}

/// A resource, as it stands in a template.
pub(crate) fn resource(resource: &Value) -> Verdict {
    let kind = resource["type"].as_str().ok_or("a resource without a type")?;
    let version = resource["apiVersion"].as_str().ok_or("a resource without a version")?;
    let name = resource["name"].as_str().ok_or("a resource without a name")?;
    if kind.matches('/').count() != name.matches('/').count() + 1 {
        return Err(format!("`{name}` has not as many parts as `{kind}`"));
    }
    let (validator, known) = of_kind(kind).ok_or_else(|| format!("`{kind}` has no schema here"))?;
    if version != known {
        return Err(format!("the schema of `{kind}` is of {known}, not of {version}"));
    }
    schema::check(&validator, resource)
}

/// The body of a request that makes a resource of this kind: what a template says beside its name, type and version.
pub(crate) fn body(kind: &str, body: &Value) -> Verdict {
    let (validator, version) =
        of_kind(kind).ok_or_else(|| format!("`{kind}` has no schema here"))?;
    let mut resource = body.as_object().cloned().ok_or("the body is no object")?;
    for (key, value) in [("type", kind), ("apiVersion", version.as_str())] {
        resource.insert(key.into(), value.into());
    }
    resource.entry("name").or_insert_with(|| "name".into());
    schema::check(&validator, &Value::Object(resource))
}

/// A part of a resource: `definition("Microsoft.X.json", "Name", &value)`.
pub(crate) fn definition(file: &str, name: &str, value: &Value) -> Verdict {
    schema::check(&part(file, read(file), &format!("/definitions/{name}")), value)
}

/// The schema of the frame around the resources, which are held to their own.
fn frame() -> Validator {
    let mut document = read("deploymentTemplate-2019-04-01.json");
    document["properties"]["resources"] = json!({ "type": "array", "items": { "type": "object" } });
    let definitions = document["definitions"].as_object_mut().expect("definitions");
    definitions.retain(|name, _| !name.starts_with("resource"));
    part("deploymentTemplate", document, "")
}

/// The schema of a kind of resource, and the version of the interface that it describes.
fn of_kind(kind: &str) -> Option<(Validator, String)> {
    FILES.iter().find_map(|file| {
        let mut document = read(file);
        let definitions = document["resourceDefinitions"].as_object_mut()?;
        let is_kind = |definition: &Value| definition["properties"]["type"]["enum"][0] == kind;
        let (name, definition) =
            definitions.iter_mut().find(|(_, definition)| is_kind(definition))?;
        let (name, version) =
            (name.clone(), definition["properties"]["apiVersion"]["enum"][0].clone());
        let properties = definition["properties"].as_object_mut()?;
        for (key, schema) in of_every_resource() {
            properties.entry(key).or_insert(schema);
        }
        let validator = part(file, document, &format!("/resourceDefinitions/{name}"));
        Some((validator, version.as_str()?.to_owned()))
    })
}

/// What a template may say of any resource.
/// <https://learn.microsoft.com/azure/azure-resource-manager/templates/resource-declaration>
fn of_every_resource() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let keys = json!({
        "comments": text,
        "condition": {},
        "copy": {},
        "dependsOn": { "type": "array", "items": text },
        "location": text,
        "scope": text,
        "tags": { "type": "object", "additionalProperties": text },
    });
    let Value::Object(keys) = keys else { unreachable!("it is written above") };
    keys
}

fn part(file: &str, document: Value, pointer: &str) -> Validator {
    let uri = format!("https://schema.example/{file}");
    let common = "https://schema.management.azure.com/schemas/common/definitions.json";
    let documents =
        [(uri.as_str(), strict(document)), (common, strict(read("common-definitions.json")))];
    schema::validator(&json!({ "$ref": format!("{uri}#{pointer}") }), &documents)
}

/// The schema closed, and in the dialect of 2020: that of its own time knows no way to close what has alternatives.
fn strict(mut document: Value) -> Value {
    let root = document.as_object_mut().expect("an object");
    root.remove("id");
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema::closed(document)
}

fn read(file: &str) -> Value {
    schema::read(&format!("arm/{file}"))
}

/// Holds each expression to what it refers to: parameters and variables that the template declares.
/// <https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions>
fn references(template: &Value, value: &Value) -> Verdict {
    match value {
        Value::String(text) if text.starts_with('[') && !text.starts_with("[[") => {
            if !text.ends_with(']') {
                return Err(format!("`{text}` is no expression"));
            }
            for section in ["parameters", "variables"] {
                for reference in text.split(&format!("{section}('")).skip(1) {
                    let name = reference.split('\'').next().unwrap_or_default();
                    if template[section].get(name).is_none() {
                        return Err(format!("`{name}` is not among the {section}"));
                    }
                }
            }
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(|value| references(template, value)),
        Value::Object(values) => values.values().try_for_each(|value| references(template, value)),
        _ => Ok(()),
    }
}

const FILES: [&str; 3] = [
    "Microsoft.Network.NRP-2024-05-01.pruned.json",
    "Microsoft.Network.DnsResolver-2025-05-01.json",
    "Microsoft.Network.privateDns-2024-06-01.json",
];

/// A schema that accepts everything is no judge.
#[test]
fn what_azure_would_refuse_is_refused() {
    let good = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": { "policy": { "type": "string" } },
        "resources": [{
            "type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
            "apiVersion": "2024-05-01",
            "name": "[format('{0}/{1}', parameters('policy'), 'acr')]",
            "properties": { "priority": 500, "ruleCollections": [{
                "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
                "name": "acr",
                "priority": 500,
                "action": { "type": "Allow" },
                "rules": [{
                    "ruleType": "ApplicationRule",
                    "name": "acr-contoso",
                    "protocols": [{ "protocolType": "Https", "port": 443 }],
                    "targetFqdns": ["contoso.azurecr.io"],
                }, {
                    "ruleType": "NetworkRule",
                    "name": "acr-contoso",
                    "ipProtocols": ["TCP"],
                    "destinationPorts": ["443"],
                }],
            }] },
        }],
    });
    assert_eq!(template(&good), Ok(()));
    let text = good.to_string();
    for (from, to) in [
        ("targetFqdns", "targetFqdn"),
        ("\"Https\"", "\"https\""),
        ("\"priority\":500", "\"priority\":50"),
        ("FirewallPolicyFilterRuleCollection", "FilterRuleCollection"),
        ("[\"443\"]", "[443]"),
        ("\"ipProtocols\"", "\"protocols\""),
        ("parameters('policy')", "parameters('other')"),
        ("'{0}/{1}'", "'{0}'"),
        ("2024-05-01", "2024-05-02"),
        ("\"contentVersion\":\"1.0.0.0\"", "\"contentVersion\":\"1\""),
        ("\"resources\"", "\"resource\""),
        ("\"port\":443", "\"port\":65000"),
    ] {
        let mutated = text.replacen(from, to, 1);
        assert_ne!(text, mutated, "{from}");
        assert!(template_text(&mutated).is_err(), "{to}");
    }
    let proxy = "Microsoft.ContainerService-httpProxyConfig-2026-05-01.json";
    let proxied = |config| definition(proxy, "ManagedClusterHttpProxyConfig", &config);
    assert_eq!(proxied(json!({ "httpProxy": "http://proxy.corp.example:3128" })), Ok(()));
    assert!(proxied(json!({ "httpProxy": 1 })).is_err());
    assert!(proxied(json!({ "httpProxyy": "http://proxy.corp.example:3128" })).is_err());
    let record = "Microsoft.Network/privateDnsZones/A";
    let addresses = |record| json!({ "properties": { "ttl": 3600, "aRecords": [record] } });
    assert_eq!(body(record, &addresses(json!({ "ipv4Address": "10.20.0.6" }))), Ok(()));
    assert!(body(record, &addresses(json!({ "ipAddress": "10.20.0.6" }))).is_err());
}
