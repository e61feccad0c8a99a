//! A file of parameters for the ARM template of a cluster.
//!
//! Not a template: one that sets a cluster's proxy and nothing else would reset the rest of the cluster.

use serde_json::json;

use super::NEEDS;
use super::aks::{HttpProxyConfig, LIMITS, NOTES, SOURCES, TAKES};
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "aks-http-proxy.parameters.json",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: &[
        "The cluster's template has a parameter `httpProxyConfig` of type `object`, and sets \
         `properties.httpProxyConfig` to it.",
        NOTES[0],
        NOTES[1],
        NOTES[2],
        NOTES[3],
    ],
    apply: "\
az deployment group create --resource-group \"$RESOURCE_GROUP\" --template-file cluster.json \\
  --parameters @aks-http-proxy.parameters.json",
    validator: "the schema of ARM, closed; `az deployment group create`, whose request is compared with it",
    sources: &[
        SOURCES[0],
        SOURCES[1],
        "https://learn.microsoft.com/azure/azure-resource-manager/templates/parameter-files",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let config = HttpProxyConfig::of(sheet)?;
    let mut value = json!({ "enabled": true });
    let members = serde_json::to_value(config).expect("strings and lists are JSON");
    if let (Some(value), serde_json::Value::Object(members)) = (value.as_object_mut(), members) {
        value.extend(members);
    }
    Ok(quote::json(&json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "httpProxyConfig": {
                "metadata": { "description": sheet.summary() },
                "value": value,
            },
        },
    })))
}
