//! The rules that Azure Firewall is told, in whichever language: by name for all hosts, and by address for those behind
//! private endpoints.

use ipnet::IpNet;
use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use serde_json::{Value, json};

use super::object_name;
use crate::export::sheet::{Group, Host, Sheet};
use crate::export::{Error, Setting};

/// What stands in the header of each of them.
pub(super) const NOTES: &[&str] = &[
    "The rules are a group of their own in the policy, and a deployment replaces them all.",
    "The firewall goes through network rules first: one that allows more, such as the service tag \
     AzureContainerRegistry, opens every registry, whatever stands here.",
    "Rules by name allow what clients ask for in their TLS handshake. The firewall looks the name up itself, so clients \
     and firewall should ask the same name servers.",
    "Rules by address allow the private addresses on the list, whatever is asked for there. Behind a registry's private \
     endpoint there is only this registry; what is behind the addresses of a hand-written host, its owner knows.",
];

pub(super) const LIMITS: &str = "1 MB of rules (policies made since July 2022 take 2 MB), 20 000 pairs of a client and a \
     private address, ports up to 64 000, no IPv6: anything else is an error";

pub(super) const SOURCES: &[&str] = &[
    "https://learn.microsoft.com/azure/templates/microsoft.network/firewallpolicies/rulecollectiongroups",
    "https://learn.microsoft.com/azure/firewall/rule-processing",
    "https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#azure-firewall-limits",
    "https://learn.microsoft.com/azure/firewall/firewall-known-issues",
];

/// The group of rules, and the collections in it.
pub(super) const GROUP: &str = "acr-allowlist";
pub(super) const BY_NAME: &str = "acr-by-name";
pub(super) const BY_ADDRESS: &str = "acr-by-address";
pub(super) const PRIORITY: u16 = 500;
/// Of the collections in the group, which are all ours.
pub(super) const BY_NAME_PRIORITY: u16 = 500;
pub(super) const BY_ADDRESS_PRIORITY: u16 = 400;

/// What the parameters are for.
pub(super) const OF_POLICY: &str = "The firewall policy that the rules go into";
pub(super) const OF_CLIENTS: &str = "Whose traffic the rules are for";
pub(super) const OF_PRIORITY: &str =
    "Among the other groups of the policy, from 100, which is first, to 65000";

/// The rules that a list comes to.
pub(super) struct Rules<'a> {
    /// Whose traffic they are for, as the firewall writes it.
    pub(super) clients: Vec<String>,
    /// One by name for each group.
    pub(super) by_name: Vec<Rule<'a>>,
    /// One by address for each group that has any.
    pub(super) by_address: Vec<Rule<'a>>,
}

/// A rule for the hosts of one registry.
pub(super) struct Rule<'a> {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) ports: Ports,
    pub(super) hosts: Vec<Host<'a>>,
    pub(super) addresses: Vec<Pin>,
}

impl<'a> Rules<'a> {
    /// The rules for `sheet`, within what the firewall takes.
    pub(super) fn new(sheet: &Sheet<'a>) -> Result<Self, Error> {
        sheet.not_empty()?;
        for host in &sheet.hosts {
            check(sheet, host)?;
        }
        let rules = Self {
            clients: clients(sheet)?,
            by_name: sheet.groups().into_iter().map(Rule::from).collect(),
            by_address: sheet
                .groups()
                .into_iter()
                .map(Rule::from)
                .filter(Rule::has_addresses)
                .collect(),
        };
        let collections = rules.collections(&json!(rules.clients)).to_string();
        sheet.at_most(1_000_000, "bytes of rules", collections.len())?;
        let addresses: usize = rules.by_address.iter().map(|rule| rule.addresses.len()).sum();
        let pairs = addresses * rules.clients.len();
        sheet.at_most(20_000, "pairs of a client and a private address", pairs)?;
        Ok(rules)
    }

    /// The collections as the resource manager takes them.
    pub(super) fn collections(&self, clients: &Value) -> Value {
        let by_name = json!({
            "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
            "name": BY_NAME,
            "priority": BY_NAME_PRIORITY,
            "action": { "type": "Allow" },
            "rules": self.by_name.iter().map(|rule| rule.application(clients)).collect::<Value>(),
        });
        if self.by_address.is_empty() {
            return json!([by_name]);
        }
        let by_address = json!({
            "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
            "name": BY_ADDRESS,
            "priority": BY_ADDRESS_PRIORITY,
            "action": { "type": "Allow" },
            "rules": self.by_address.iter().map(|rule| rule.network(clients)).collect::<Value>(),
        });
        json!([by_address, by_name])
    }
}

impl Rule<'_> {
    fn has_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    fn application(&self, clients: &Value) -> Value {
        let protocol = |port| json!({ "protocolType": "Https", "port": port });
        json!({
            "ruleType": "ApplicationRule",
            "name": self.name,
            "description": self.description,
            "sourceAddresses": clients,
            "protocols": self.ports.iter().map(|port| protocol(port.number())).collect::<Value>(),
            "targetFqdns": self.hosts.iter().map(|host| host.name.as_str()).collect::<Value>(),
            "terminateTLS": false,
        })
    }

    fn network(&self, clients: &Value) -> Value {
        json!({
            "ruleType": "NetworkRule",
            "name": self.name,
            "description": self.description,
            "sourceAddresses": clients,
            "ipProtocols": ["TCP"],
            "destinationPorts": self.ports.iter().map(|port| port.to_string()).collect::<Value>(),
            "destinationAddresses": self.addresses.iter().map(ToString::to_string).collect::<Value>(),
        })
    }
}

impl<'a> From<Group<'a>> for Rule<'a> {
    fn from(group: Group<'a>) -> Self {
        Self {
            name: object_name(&group.name),
            description: group.describe(),
            addresses: group.addresses(),
            ports: group.ports,
            hosts: group.hosts,
        }
    }
}

/// An IPv6 address in a rule makes the whole firewall fail; application rules end at port 64000.
fn check(sheet: &Sheet<'_>, host: &Host<'_>) -> Result<(), Error> {
    if host.addresses.iter().any(|pin| matches!(pin.block(), IpNet::V6(_))) {
        let why = "it has an IPv6 address, and Azure Firewall knows only IPv4";
        return Err(sheet.unrepresentable(host.name.as_str(), why));
    }
    if let Some(port) = host.ports.iter().find(|port| port.number() > 64000) {
        let why = format!("its port is {port}, and rules by name end at 64000");
        return Err(sheet.unrepresentable(host.name.as_str(), why));
    }
    Ok(())
}

fn clients(sheet: &Sheet<'_>) -> Result<Vec<String>, Error> {
    if sheet.options.clients.is_empty() {
        return Ok(vec!["*".to_owned()]);
    }
    let write = |client: &IpNet| match client {
        IpNet::V4(client) => Ok(client.to_string()),
        IpNet::V6(client) => {
            let why = format!("`{client}` is IPv6, and Azure Firewall knows only IPv4");
            Err(sheet.unsuitable(Setting::Client, why))
        }
    };
    sheet.options.clients.iter().map(write).collect()
}
