//! A deployment template of Azure's resource manager.

use serde_json::json;

use super::firewall_rules::{
    GROUP, LIMITS, NOTES, OF_CLIENTS, OF_POLICY, OF_PRIORITY, PRIORITY, Rules, SOURCES,
};
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-firewall.json",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: LIMITS,
    notes: NOTES,
    apply: "\
az deployment group create --resource-group \"$RESOURCE_GROUP\" --template-file azure-firewall.json \\
  --parameters firewallPolicyName=\"$FIREWALL_POLICY\" --no-prompt",
    validator: "Azure's published schemas, made strict, and azure-cli with its requests recorded",
    sources: SOURCES,
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let rules = Rules::new(sheet)?;
    let text = |what| json!({ "type": "string", "metadata": { "description": what } });
    Ok(quote::json(&json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "metadata": { "description": sheet.summary() },
        "parameters": {
            "firewallPolicyName": text(OF_POLICY),
            "sourceAddresses": {
                "type": "array",
                "defaultValue": rules.clients,
                "metadata": { "description": OF_CLIENTS },
            },
            "priority": {
                "type": "int",
                "defaultValue": PRIORITY,
                "metadata": { "description": OF_PRIORITY },
            },
        },
        "resources": [{
            "type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
            "apiVersion": "2024-05-01",
            "name": format!("[format('{{0}}/{{1}}', parameters('firewallPolicyName'), '{GROUP}')]"),
            "properties": {
                "priority": "[parameters('priority')]",
                "ruleCollections": rules.collections(&json!("[parameters('sourceAddresses')]")),
            },
        }],
    })))
}
