//! A script that writes the rules of a network security group, which goes by address.

use std::net::IpAddr;

use ipnet::IpNet;

use super::object_name;
use crate::export::address::clients_reach_all;
use crate::export::sheet::{Group, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-nsg.sh",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::Client, Setting::PinnedOnly],
    needs: &[],
    limits: "1 000 rules a group with priorities from 100 to 4 096, 4 000 addresses: more is an error",
    notes: &[
        "The rules allow, and by default everything else is allowed, too: the group needs a rule after them that denies \
         what goes out to the virtual network and the internet. Its name mustn't begin with `allowlist-`.",
        "The rules have priorities from 200 on, or from what the variable FIRST_PRIORITY says: rules before them are \
         looked at first, and one that denies the rest has a greater number than the last of them.",
        "Rules whose names begin with `allowlist-` are this script's: it deletes those that aren't on the list, and \
         those that change their priority are gone for a moment.",
        "Clients reach only addresses of their own family, so no rule joins an IPv4 client to an IPv6 address.",
    ],
    apply: "\
RESOURCE_GROUP=\"$RESOURCE_GROUP\" NSG=\"$NSG\" bash azure-nsg.sh

# Once, what denies the rest. What else the machines need, name servers of your own first, takes rules before it.
#   az network nsg rule create --resource-group \"$RESOURCE_GROUP\" --nsg-name \"$NSG\" --name deny-the-rest \\
#     --priority 4096 --direction Outbound --access Deny --protocol '*' \\
#     --source-address-prefixes '*' --source-port-ranges '*' \\
#     --destination-address-prefixes '*' --destination-port-ranges '*'",
    validator: "Bash, with azure-cli's requests recorded and held to Azure's published schemas",
    sources: &[
        "https://learn.microsoft.com/cli/azure/network/nsg/rule",
        "https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview",
        "https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#azure-networking-limits",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    clients_reach_all(sheet)?;
    let mut rules = Vec::new();
    for group in sheet.groups() {
        let of_group: Vec<Rule> =
            Family::ALL.iter().filter_map(|family| Rule::new(sheet, &group, *family)).collect();
        rules.extend(of_group);
    }
    sheet.at_most(MOST_RULES, "rules", rules.len())?;
    let addresses: usize = rules.iter().map(|rule| rule.addresses.len()).sum();
    sheet.at_most(MOST_ADDRESSES, "private addresses", addresses)?;
    let clients: usize = rules.iter().map(|rule| rule.clients.len()).sum();
    sheet.at_most(MOST_ADDRESSES, "clients, over all rules", clients)?;

    let mut text = Text::new(format!("#!/usr/bin/env bash\n{}", sheet.header("# ")));
    text.line(HEAD.replace("COUNT", &rules.len().to_string()));
    text.line("\nrules=(");
    for rule in &rules {
        text.line(format_args!("  {}", rule.name));
    }
    text.line(")");
    text.line(CLEAN);
    for rule in &rules {
        let Rule { name, description, clients, addresses, ports } = rule;
        text.line(format_args!("\n# {description}"));
        text.line(format_args!(
            "allow {name} '{}' '{}' '{}'",
            clients.join(" "),
            addresses.join(" "),
            ports.join(" ")
        ));
    }
    Ok(text.into_string())
}

/// What one registry's addresses of one family come to.
struct Rule {
    name: String,
    description: String,
    clients: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
}

/// A rule has addresses of one family only, or Azure refuses it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn of(block: IpNet) -> Self {
        match block.addr() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl Rule {
    /// The rule for the group's addresses of this family, if there are any that a client reaches.
    fn new(sheet: &Sheet<'_>, group: &Group<'_>, family: Family) -> Option<Self> {
        let addresses: Vec<String> = group
            .addresses()
            .iter()
            .filter(|pin| Family::of(pin.block()) == family)
            .map(|pin| pin.block().to_string())
            .collect();
        let clients = clients(sheet, family);
        if addresses.is_empty() || clients.is_empty() {
            return None;
        }
        let end = if family == Family::V6 { "--v6" } else { "" };
        Some(Self {
            name: object_name(&format!("{PREFIX}{}{end}", group.name)),
            description: group.describe(),
            clients,
            addresses,
            ports: group.ports.iter().map(|port| port.to_string()).collect(),
        })
    }
}

fn clients(sheet: &Sheet<'_>, family: Family) -> Vec<String> {
    let clients = &sheet.options.clients;
    if clients.is_empty() {
        return vec!["*".to_owned()];
    }
    let of_family = clients.iter().filter(|client| Family::of(**client) == family);
    of_family.map(ToString::to_string).collect()
}

const PREFIX: &str = "allowlist-";
const MOST_RULES: usize = 1_000;
const MOST_ADDRESSES: usize = 4_000;

const HEAD: &str = r#"
set -euo pipefail

resource_group=${RESOURCE_GROUP:?"set RESOURCE_GROUP to the resource group of the network security group"}
nsg=${NSG:?"set NSG to the name of the network security group"}
first=${FIRST_PRIORITY:-200}

if ((first < 100 || first + COUNT - 1 > 4096)); then
  echo "FIRST_PRIORITY: COUNT rules have to fit between 100 and 4096" >&2
  exit 2
fi"#;

const CLEAN: &str = r#"
# priority NAME: the one that the rule has among these; nothing if it isn't among them.
priority() {
  local place
  for place in "${!rules[@]}"; do
    if [[ ${rules[place]} == "$1" ]]; then
      echo $((first + place))
    fi
  done
}

# What is there under another name or with another priority would be in the way.
there=$(az network nsg rule list --resource-group "$resource_group" --nsg-name "$nsg" \
  --query "[?starts_with(name, 'allowlist-')].[name, priority]" --output tsv)
while read -r rule has; do
  if [[ -n $rule && $(priority "$rule") != "$has" ]]; then
    az network nsg rule delete --resource-group "$resource_group" --nsg-name "$nsg" --name "$rule" --output none
  fi
done <<<"$there"

# allow NAME CLIENTS ADDRESSES PORTS
allow() {
  local clients addresses ports
  read -ra clients <<<"$2"
  read -ra addresses <<<"$3"
  read -ra ports <<<"$4"
  az network nsg rule create --resource-group "$resource_group" --nsg-name "$nsg" --name "$1" \
    --priority "$(priority "$1")" --direction Outbound --access Allow --protocol Tcp \
    --source-address-prefixes "${clients[@]}" --source-port-ranges '*' \
    --destination-address-prefixes "${addresses[@]}" --destination-port-ranges "${ports[@]}" \
    --output none
}"#;
