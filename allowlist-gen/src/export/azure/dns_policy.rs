//! Rules of an Azure DNS security policy: names of registries that aren't on the list are not looked up.
//!
//! A domain in such a rule covers all names below it, and no later rule takes them out again. That is no widening as
//! long as nothing can be below the domain, which holds for the hosts of registries and for no others: those are
//! refused.

use ringfence_config::endpoint::{self, Endpoint};
use serde_json::{Value, json};

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-dns-policy.json",
    kind: Kind::Lookup,
    scope: Scope::Ports,
    takes: &[],
    needs: &[],
    limits: "1 000 domains a list, and longer ones are split; 100 000 domains, two for each host: more is an error",
    notes: &[
        "A domain covers the names below it, too. No registry has any, but what asks for one is not refused; hosts that \
         aren't a registry's are an error for that reason.",
        "A rule for a domain also counts for names elsewhere that lead (CNAME) to it, as Azure documents. With a private \
         endpoint, a host leads to its name in the private zone, `<registry>.privatelink.azurecr.io` for example, which \
         is allowed with it. That hasn't been tried in Azure: try it on one network first.",
        "Names outside the domains of registries are looked up as before, and DNS has no ports.",
        "The policy must exist, in the region of the resource group, and be linked to the networks. Rules of other \
         lists in it come before or after these by their priorities.",
    ],
    apply: "\
az deployment group create --resource-group \"$RESOURCE_GROUP\" --template-file azure-dns-policy.json \\
  --parameters policyName=\"$POLICY\" --no-prompt",
    validator: "Azure's published schemas, made strict, and azure-cli with its requests recorded",
    sources: &[
        "https://learn.microsoft.com/azure/dns/dns-security-policy",
        "https://learn.microsoft.com/azure/templates/microsoft.network/dnsresolverpolicies/dnssecurityrules",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    if let Some(host) = sheet.hosts.iter().find(|host| host.endpoint.is_none()) {
        let why = "a domain covers all names below it, and below this one they may be anybody's";
        return Err(sheet.unrepresentable(host.name.as_str(), why));
    }

    let listed: Vec<String> =
        sheet.hosts.iter().filter_map(|host| host.endpoint.as_deref()).flat_map(names).collect();
    let all: Vec<String> = endpoint::domains().map(|domain| format!("{domain}.")).collect();
    sheet.at_most(MOST_DOMAINS, "domains", listed.len() + all.len())?;
    let parts: Vec<&[String]> = listed.chunks(MOST_IN_A_LIST).collect();
    let names: Vec<String> = (1..=parts.len()).map(part_name).collect();

    let mut resources: Vec<Value> =
        names.iter().zip(parts).map(|(name, domains)| domain_list(name, domains)).collect();
    resources.push(domain_list(ALL, &all));
    // The block comes into being last: no listed registry is cut off meanwhile.
    resources.push(rule("acr-allow", "Allow", "allowPriority", &names, None));
    resources.push(rule("acr-block", "Block", "blockPriority", &[ALL.into()], Some("acr-allow")));

    Ok(quote::json(&json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "metadata": { "description": sheet.summary() },
        "parameters": {
            "policyName": parameter("string", "The DNS security policy that the rules go into", None),
            "location": parameter(
                "string",
                "The region of the policy and of the networks that it is linked to",
                Some("[resourceGroup().location]".into()),
            ),
            "allowPriority": parameter("int", "From 100, which is first, to 65000", Some(1_000.into())),
            "blockPriority": parameter("int", "After the one above", Some(1_001.into())),
        },
        "resources": resources,
    })))
}

/// The host, and its name in the private zone, which is the same registry's and nobody else's: the zone has a name for
/// each host of a registry, made from the host's own.
fn names(endpoint: &Endpoint) -> [String; 2] {
    let zone = endpoint.login_server().cloud().private_zone();
    [format!("{endpoint}."), format!("{}.{zone}.", endpoint.private_record())]
}

fn parameter(kind: &str, what: &str, default: Option<Value>) -> Value {
    let mut parameter = json!({ "type": kind });
    if let Some(default) = default {
        parameter["defaultValue"] = default;
    }
    parameter["metadata"] = json!({ "description": what });
    parameter
}

fn part_name(number: usize) -> String {
    if number == 1 { "acr-allowlist".to_owned() } else { format!("acr-allowlist--part{number}") }
}

fn domain_list(name: &str, domains: &[String]) -> Value {
    json!({
        "type": "Microsoft.Network/dnsResolverDomainLists",
        "apiVersion": VERSION,
        "name": name,
        "location": "[parameters('location')]",
        "properties": { "domains": domains },
    })
}

fn rule(name: &str, action: &str, priority: &str, lists: &[String], after: Option<&str>) -> Value {
    let id = |list: &String| {
        format!("[resourceId('Microsoft.Network/dnsResolverDomainLists', '{list}')]")
    };
    let ids: Vec<String> = lists.iter().map(id).collect();
    let rule = after.map(|rule| {
        format!(
            "[resourceId('Microsoft.Network/dnsResolverPolicies/dnsSecurityRules', parameters('policyName'), '{rule}')]"
        )
    });
    let depends_on: Vec<&String> = ids.iter().chain(&rule).collect();
    json!({
        "type": "Microsoft.Network/dnsResolverPolicies/dnsSecurityRules",
        "apiVersion": VERSION,
        "name": format!("[format('{{0}}/{{1}}', parameters('policyName'), '{name}')]"),
        "location": "[parameters('location')]",
        "dependsOn": depends_on,
        "properties": {
            "priority": format!("[parameters('{priority}')]"),
            "action": { "actionType": action },
            "dnsResolverDomainLists": ids.iter().map(|id| json!({ "id": id })).collect::<Value>(),
            "dnsSecurityRuleState": "Enabled",
        },
    })
}

/// The list of the domains below which all registries are.
const ALL: &str = "acr-all";
const VERSION: &str = "2025-05-01";
const MOST_IN_A_LIST: usize = 1_000;
const MOST_DOMAINS: usize = 100_000;
