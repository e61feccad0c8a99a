//! The same in Terraform, for the provider azurerm.

use std::fmt::Display;

use super::firewall_rules::{
    BY_ADDRESS, BY_ADDRESS_PRIORITY, BY_NAME, BY_NAME_PRIORITY, GROUP, LIMITS, NOTES, OF_CLIENTS,
    OF_POLICY, OF_PRIORITY, PRIORITY, Rule, Rules,
};
use crate::export::quote::hcl;
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-firewall.tf",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: LIMITS,
    notes: NOTES,
    apply: "\
policy=$(az resource show --resource-group \"$RESOURCE_GROUP\" --name \"$FIREWALL_POLICY\" \\
  --resource-type Microsoft.Network/firewallPolicies --query id --output tsv) && \\
  terraform plan -var firewall_policy_id=\"$policy\" -out acr.plan && \\
  terraform apply acr.plan",
    validator: "python-hcl2, and the argument types of the provider azurerm",
    sources: &[
        "https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/firewall_policy_rule_collection_group",
        "https://learn.microsoft.com/azure/firewall/rule-processing",
        "https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#azure-firewall-limits",
        "https://learn.microsoft.com/azure/firewall/firewall-known-issues",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let rules = Rules::new(sheet)?;
    let mut text = Text::new(sheet.header("# "));
    text.line(format_args!(
        "
variable \"firewall_policy_id\" {{
  description = {}
  type        = string
}}

variable \"source_addresses\" {{
  description = {}
  type        = list(string)
  default     = {}
}}

variable \"priority\" {{
  description = {}
  type        = number
  default     = {PRIORITY}
}}

resource \"azurerm_firewall_policy_rule_collection_group\" \"acr_allowlist\" {{
  name               = \"{GROUP}\"
  firewall_policy_id = var.firewall_policy_id
  priority           = var.priority",
        hcl(OF_POLICY),
        hcl(OF_CLIENTS),
        list(&rules.clients),
        hcl(OF_PRIORITY),
    ));
    if !rules.by_address.is_empty() {
        text.line("\n  network_rule_collection {");
        collection(&mut text, BY_ADDRESS, BY_ADDRESS_PRIORITY, &rules.by_address, network);
    }
    text.line("\n  application_rule_collection {");
    collection(&mut text, BY_NAME, BY_NAME_PRIORITY, &rules.by_name, application);
    text.line("}");
    Ok(text.into_string())
}

fn collection(
    text: &mut Text,
    name: &str,
    priority: u16,
    rules: &[Rule<'_>],
    render: fn(&mut Text, &Rule<'_>),
) {
    text.line(format_args!("    name     = \"{name}\""));
    text.line(format_args!("    priority = {priority}"));
    text.line("    action   = \"Allow\"");
    for rule in rules {
        text.line("\n    rule {");
        render(text, rule);
        text.line("    }");
    }
    text.line("  }");
}

fn application(text: &mut Text, rule: &Rule<'_>) {
    text.line(format_args!("      name             = {}", hcl(&rule.name)));
    text.line(format_args!("      description      = {}", hcl(&rule.description)));
    text.line("      source_addresses = var.source_addresses\n      destination_fqdns = [");
    for host in &rule.hosts {
        text.line(format_args!("        # {}", host.remark()));
        text.line(format_args!("        {},", hcl(host.name.as_str())));
    }
    text.line("      ]");
    for port in rule.ports.iter() {
        text.line(format_args!(
            "
      protocols {{
        type = \"Https\"
        port = {port}
      }}"
        ));
    }
}

fn network(text: &mut Text, rule: &Rule<'_>) {
    text.line(format_args!("      name                  = {}", hcl(&rule.name)));
    text.line(format_args!("      description           = {}", hcl(&rule.description)));
    text.line("      source_addresses      = var.source_addresses");
    text.line("      protocols             = [\"TCP\"]");
    text.line(format_args!("      destination_ports     = {}", list(rule.ports.iter())));
    text.line(format_args!("      destination_addresses = {}", list(&rule.addresses)));
}

fn list(values: impl IntoIterator<Item = impl Display>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| hcl(&value.to_string())).collect();
    format!("[{}]", values.join(", "))
}
