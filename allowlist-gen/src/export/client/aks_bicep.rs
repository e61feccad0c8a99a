//! A Bicep file that a cluster's Bicep file imports: the cluster's own stays as it is when the list changes.

use super::NEEDS;
use super::aks::{HttpProxyConfig, LIMITS, NOTES, SOURCES, TAKES};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "aks-http-proxy.bicep",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: &[
        "The cluster's file begins with `import { httpProxyConfig } from 'aks-http-proxy.bicep'` and has \
         `httpProxyConfig: httpProxyConfig` in the cluster's `properties`.",
        NOTES[0],
        NOTES[1],
        NOTES[2],
        NOTES[3],
    ],
    apply: "\
az deployment group create --resource-group \"$RESOURCE_GROUP\" --template-file cluster.bicep",
    validator: "pycep's parser of Bicep, and the schema of ARM, closed",
    sources: &[
        SOURCES[0],
        SOURCES[1],
        "https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-import",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let config = HttpProxyConfig::of(sheet)?;
    let mut text = Text::new(sheet.header("// "));
    // The strings are names, URLs and base64: nothing in them ends a string or begins an expression.
    text.line("\n@export()\nvar httpProxyConfig = {\n  enabled: true");
    text.line(format_args!("  httpProxy: '{}'", config.http_proxy));
    text.line(format_args!("  httpsProxy: '{}'", config.https_proxy));
    text.line("  noProxy: [");
    for host in config.no_proxy {
        text.line(format_args!("    '{host}'"));
    }
    text.line("  ]");
    if let Some(trusted_ca) = config.trusted_ca {
        text.line(format_args!("  trustedCa: '{trusted_ca}'"));
    }
    text.line("}");
    Ok(text.into_string())
}
