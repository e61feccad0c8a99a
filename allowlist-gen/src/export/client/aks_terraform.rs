//! Values for the block `http_proxy_config` of Terraform's `azurerm_kubernetes_cluster`: the cluster's own file stays
//! as it is when the list changes.

use super::NEEDS;
use super::aks::{HttpProxyConfig, LIMITS, NOTES, SOURCES, TAKES};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "aks-http-proxy.tf",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: &[
        "The cluster has the block that stands at the end of the file.",
        NOTES[0],
        NOTES[1],
        "AKS adds the API server, the cluster's networks and the machine, and gives them back in no_proxy. The \
         provider passes over those that it knows; whatever else a plan then shows as removed was added elsewhere.",
        NOTES[3],
    ],
    apply: "\
terraform plan -out aks.plan && \\
  terraform apply aks.plan",
    validator: "python-hcl2; the block against the types of the azurerm provider",
    sources: &[
        SOURCES[0],
        SOURCES[1],
        "https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/kubernetes_cluster",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let config = HttpProxyConfig::of(sheet)?;
    let mut text = Text::new(sheet.header("# "));
    // The strings are names, URLs and base64: nothing in them ends a string or begins a template.
    text.line("\nlocals {\n  aks_http_proxy = {");
    text.line(format_args!("    http_proxy  = \"{}\"", config.http_proxy));
    text.line(format_args!("    https_proxy = \"{}\"", config.https_proxy));
    text.line("    no_proxy = [");
    for host in config.no_proxy {
        text.line(format_args!("      \"{host}\","));
    }
    text.line("    ]");
    match config.trusted_ca {
        Some(trusted_ca) => text.line(format_args!("    trusted_ca = \"{trusted_ca}\"")),
        None => text.line("    trusted_ca = null"),
    }
    text.line("  }\n}\n");
    text.line(BLOCK.trim_ascii_end());
    Ok(text.into_string())
}

const BLOCK: &str = "\
# http_proxy_config {
#   http_proxy  = local.aks_http_proxy.http_proxy
#   https_proxy = local.aks_http_proxy.https_proxy
#   no_proxy    = local.aks_http_proxy.no_proxy
#   trusted_ca  = local.aks_http_proxy.trusted_ca
# }
";
