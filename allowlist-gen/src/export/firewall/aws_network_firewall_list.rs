//! A rule group for AWS Network Firewall, as a list of domains.

use serde_json::json;

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::aws_network_firewall::rule_group;

pub(in crate::export) const ABOUT: About = About {
    file: "acr-domain-list.json",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[Setting::Client],
    needs: &[],
    limits: "a capacity of 30 000, of which a list takes one for each host and one more: more is an error; a group's \
             capacity is for life, so it is written as twice what the list takes, 100 at least",
    notes: &[
        "A domain list that allows also drops all other TLS from the same clients, whatever other groups of the \
         policy pass. The format aws-network-firewall doesn't.",
        "It has no ports: TLS to these names passes on every port, unless another firewall holds clients to 443. The \
         format aws-network-firewall has them.",
        "Only the server name (SNI) counts, and the firewall believes the client what it says there. If the policy has \
         resolved IP validation, the target type AWS_ROUTE_53_RESOLVED_DOMAIN beside TLS_SNI ends that.",
        "Plain HTTP to these names isn't allowed.",
        "Without `--client` the group is for traffic from the firewall's own VPC to anywhere else: private endpoints \
         inside it and clients in other VPCs need `--client`.",
    ],
    apply: "\
aws network-firewall create-rule-group --dry-run --cli-input-json file://acr-domain-list.json && \\
  aws network-firewall create-rule-group --cli-input-json file://acr-domain-list.json

# Instead, when the group is there; its capacity and its order can't be changed.
#   TOKEN=$(aws network-firewall describe-rule-group --type STATEFUL --rule-group-name acr-domain-list \\
#     --query UpdateToken --output text) && \\
#     jq --arg token \"$TOKEN\" 'del(.Capacity) + {UpdateToken: $token}' acr-domain-list.json > update.json && \\
#     aws network-firewall update-rule-group --dry-run --cli-input-json file://update.json && \\
#     aws network-firewall update-rule-group --cli-input-json file://update.json",
    validator: "botocore's own model of the call, with its patterns and maxima",
    sources: &[
        "https://docs.aws.amazon.com/network-firewall/latest/developerguide/stateful-rule-groups-domain-names.html",
        "https://docs.aws.amazon.com/network-firewall/latest/APIReference/API_RulesSourceList.html",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    // Without a dot in front, a name is that name and none below it.
    let hosts: Vec<&str> = sheet.hosts.iter().map(|host| host.name.as_str()).collect();
    let source = json!({
        "RulesSourceList": {
            "Targets": hosts,
            "TargetTypes": ["TLS_SNI"],
            "GeneratedRulesType": "ALLOWLIST",
        },
    });
    rule_group(sheet, "acr-domain-list", hosts.len() + 1, source)
}
