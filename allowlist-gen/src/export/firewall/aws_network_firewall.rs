//! A rule group for AWS Network Firewall, as Suricata rules.

use serde_json::{Value, json};

use crate::export::address::clients_reach_all;
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting, quote};

use super::suricata::{self, Sids};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-rule-group.json",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: "8 192 characters a rule, its variables counted with it, 2 000 000 characters of rules, and a capacity of \
             30 000 rules, which a policy's groups share: more is an error; a group's capacity is for life, so it is \
             written as twice what the list takes, 100 at least",
    notes: &[
        "Rules that pass deny nothing: the firewall policy, a Classic one, has to have the strict order, as the group \
         has, and the default action `aws:drop_established_app_layer_to_server`. `aws:drop_established` would drop a \
         hello that comes in several packets before its name is known.",
        "Without `--client` the group is for the VPC of the firewall: name the blocks of other VPCs whose traffic \
         comes through it.",
        "The firewall believes the client what it says in the server name (SNI), whatever the address it talks to. \
         Only for hosts with private addresses on the list, the rule has these addresses, too. Resolved IP validation \
         in the policy keeps the others to addresses that Route 53 gave for some name.",
    ],
    apply: "\
aws network-firewall create-rule-group --dry-run --cli-input-json file://acr-rule-group.json && \\
  aws network-firewall create-rule-group --cli-input-json file://acr-rule-group.json

# Instead, when the group is there; its capacity and its order can't be changed.
#   TOKEN=$(aws network-firewall describe-rule-group --type STATEFUL --rule-group-name acr-allowlist \\
#     --query UpdateToken --output text) && \\
#     jq --arg token \"$TOKEN\" 'del(.Capacity) + {UpdateToken: $token}' acr-rule-group.json > update.json && \\
#     aws network-firewall update-rule-group --dry-run --cli-input-json file://update.json && \\
#     aws network-firewall update-rule-group --cli-input-json file://update.json",
    validator: "botocore's own model of the call, with its patterns and maxima; the rules by `suricata -T`",
    sources: &[
        "https://docs.aws.amazon.com/network-firewall/latest/APIReference/API_CreateRuleGroup.html",
        "https://docs.aws.amazon.com/network-firewall/latest/APIReference/API_FirewallPolicy.html",
        "https://docs.aws.amazon.com/network-firewall/latest/developerguide/quotas.html",
        "https://docs.aws.amazon.com/network-firewall/latest/developerguide/suricata-limitations-caveats.html",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    clients_reach_all(sheet)?;
    let mut rules = String::new();
    let mut sids = Sids::default();
    // The value of a variable counts as part of each rule that has it.
    let clients =
        sheet.options.clients.iter().map(|client| client.to_string().len() + 1).sum::<usize>();
    for group in &sheet.groups() {
        for host in &group.hosts {
            let rule = suricata::rule(group, host, "$HOME_NET", &mut sids);
            sheet.at_most(
                MOST_OF_RULE,
                "characters in a rule and its clients",
                rule.len() + clients,
            )?;
            rules.push_str(&rule);
            rules.push('\n');
        }
    }
    sheet.at_most(MOST_CHARACTERS, "characters of rules", rules.len())?;
    rule_group(sheet, "acr-allowlist", sheet.hosts.len(), json!({ "RulesString": rules }))
}

/// A request for a group called `name` of `rules` rules, which come from `source`.
pub(super) fn rule_group(
    sheet: &Sheet<'_>,
    name: &str,
    rules: usize,
    source: Value,
) -> Result<String, Error> {
    sheet.at_most(MOST_CAPACITY, "rules", rules)?;
    let capacity = (2 * rules).next_multiple_of(100).min(MOST_CAPACITY);
    let mut group = serde_json::Map::new();
    if !sheet.options.clients.is_empty() {
        let clients: Vec<String> = sheet.options.clients.iter().map(ToString::to_string).collect();
        // Whoever sets one of them in a group has to set both. The default for the other, all that isn't HOME_NET,
        // would leave out private endpoints.
        let sets = json!({
            "HOME_NET": { "Definition": clients },
            "EXTERNAL_NET": { "Definition": ["0.0.0.0/0", "::/0"] },
        });
        group.insert("RuleVariables".into(), json!({ "IPSets": sets }));
    }
    group.insert("RulesSource".into(), source);
    group.insert("StatefulRuleOptions".into(), json!({ "RuleOrder": "STRICT_ORDER" }));
    Ok(quote::json(&json!({
        "RuleGroupName": name,
        "Type": "STATEFUL",
        "Description": sheet.origin(),
        "Capacity": capacity,
        "RuleGroup": group,
    })))
}

const MOST_OF_RULE: usize = 8_192;
const MOST_CHARACTERS: usize = 2_000_000;
const MOST_CAPACITY: usize = 30_000;
