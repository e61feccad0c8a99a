//! The same in Bicep.

use std::fmt::Display;

use super::firewall_rules::{
    BY_ADDRESS, BY_ADDRESS_PRIORITY, BY_NAME, BY_NAME_PRIORITY, GROUP, LIMITS, NOTES, OF_CLIENTS,
    OF_POLICY, OF_PRIORITY, PRIORITY, Rule, Rules, SOURCES,
};
use crate::export::quote::bicep;
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-firewall.bicep",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: LIMITS,
    notes: NOTES,
    apply: "\
az deployment group create --resource-group \"$RESOURCE_GROUP\" --template-file azure-firewall.bicep \\
  --parameters firewallPolicyName=\"$FIREWALL_POLICY\" --no-prompt",
    validator: "pycep-parser, and the template that it stands for by Azure's published schemas",
    sources: SOURCES,
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let rules = Rules::new(sheet)?;
    let mut text = Text::new(sheet.header("// "));
    text.line(format_args!("\n@description({})", bicep(OF_POLICY)));
    text.line("param firewallPolicyName string");
    text.line(format_args!("\n@description({})", bicep(OF_CLIENTS)));
    text.line("param sourceAddresses array = [");
    for client in &rules.clients {
        text.line(format_args!("  {}", bicep(client)));
    }
    text.line("]");
    text.line(format_args!("\n@description({})", bicep(OF_PRIORITY)));
    text.line(format_args!("param priority int = {PRIORITY}"));
    text.line(format_args!(
        "
resource policy 'Microsoft.Network/firewallPolicies@2024-05-01' existing = {{
  name: firewallPolicyName
}}

resource group 'Microsoft.Network/firewallPolicies/ruleCollectionGroups@2024-05-01' = {{
  parent: policy
  name: '{GROUP}'
  properties: {{
    priority: priority
    ruleCollections: ["
    ));
    if !rules.by_address.is_empty() {
        collection(&mut text, BY_ADDRESS, BY_ADDRESS_PRIORITY, &rules.by_address, network);
    }
    collection(&mut text, BY_NAME, BY_NAME_PRIORITY, &rules.by_name, application);
    text.line("    ]\n  }\n}");
    Ok(text.into_string())
}

fn collection(
    text: &mut Text,
    name: &str,
    priority: u16,
    rules: &[Rule<'_>],
    render: fn(&mut Text, &Rule<'_>),
) {
    text.line(format_args!(
        "      {{
        ruleCollectionType: 'FirewallPolicyFilterRuleCollection'
        name: '{name}'
        priority: {priority}
        action: {{
          type: 'Allow'
        }}
        rules: ["
    ));
    for rule in rules {
        text.line("          {");
        render(text, rule);
        text.line("          }");
    }
    text.line("        ]\n      }");
}

fn application(text: &mut Text, rule: &Rule<'_>) {
    begin(text, rule, "ApplicationRule");
    text.line("            protocols: [");
    for port in rule.ports.iter() {
        text.line("              {\n                protocolType: 'Https'");
        text.line(format_args!("                port: {port}\n              }}"));
    }
    text.line("            ]\n            targetFqdns: [");
    for host in &rule.hosts {
        text.line(format_args!("              // {}", host.remark()));
        text.line(format_args!("              {}", bicep(host.name.as_str())));
    }
    text.line("            ]\n            terminateTLS: false");
}

fn network(text: &mut Text, rule: &Rule<'_>) {
    begin(text, rule, "NetworkRule");
    list(text, "ipProtocols", ["TCP"]);
    list(text, "destinationPorts", rule.ports.iter());
    list(text, "destinationAddresses", &rule.addresses);
}

fn begin(text: &mut Text, rule: &Rule<'_>, kind: &str) {
    text.line(format_args!("            ruleType: '{kind}'"));
    text.line(format_args!("            name: {}", bicep(&rule.name)));
    text.line(format_args!("            description: {}", bicep(&rule.description)));
    text.line("            sourceAddresses: sourceAddresses");
}

fn list(text: &mut Text, name: &str, values: impl IntoIterator<Item = impl Display>) {
    text.line(format_args!("            {name}: ["));
    for value in values {
        text.line(format_args!("              {}", bicep(&value.to_string())));
    }
    text.line("            ]");
}
