//! A global network firewall policy of Google Cloud.

use serde_json::{Value, json};

use crate::export::sheet::{Group, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-firewall-policy.json",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: "100 names a rule, and a registry with more is split; 32 addresses of each family a name, and the firewall \
             leaves out the rest; 2 048 characters of description",
    notes: &[
        "The rules allow and deny nothing: egress that no rule matches is allowed in Google Cloud, so a rule that \
         denies it has to stand behind them, in this policy or another.",
        "Names are resolved in the VPC network's own order, through Cloud DNS: for private endpoints that needs the \
         private zone there. Clients that ask another name server may find other addresses.",
        "Rules are added one by one; one that is there already, by its priority, has to be removed or patched first.",
        "A client block counts for the machine that the packet leaves: traffic that it forwards for others has \
         theirs.",
    ],
    apply: "\
(
  set -e
  description=$(jq --raw-output .description acr-firewall-policy.json)
  rules=$(jq --compact-output '.rules[]' acr-firewall-policy.json)
  token=$(gcloud auth print-access-token)
  gcloud compute network-firewall-policies create acr-allowlist --global --project \"$PROJECT\" \\
    --description \"$description\"
  printf '%s\\n' \"$rules\" | while read -r rule; do
    curl --fail --header \"Authorization: Bearer $token\" --header 'Content-Type: application/json' --data \"$rule\" \\
      \"https://compute.googleapis.com/compute/v1/projects/$PROJECT/global/firewallPolicies/acr-allowlist/addRule\"
  done
  gcloud compute network-firewall-policies associations create --firewall-policy acr-allowlist \\
    --network \"$NETWORK\" --global-firewall-policy --project \"$PROJECT\"
)",
    validator: "Google's own client library (`google-cloud-compute`), strictly, and our own reader for values",
    sources: &[
        "https://cloud.google.com/firewall/docs/fqdn-objects-overview",
        "https://cloud.google.com/firewall/docs/quotas",
        "https://cloud.google.com/compute/docs/reference/rest/v1/networkFirewallPolicies/addRule",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let groups = sheet.groups().into_iter().flat_map(|group| group.parts(MOST_NAMES));
    let rules: Vec<Value> = (FIRST_PRIORITY..)
        .zip(groups)
        .map(|(priority, group)| rule(sheet, &group, priority))
        .collect();
    Ok(quote::json(&json!({
        "name": "acr-allowlist",
        "description": description(sheet),
        "rules": rules,
    })))
}

/// What the file says of itself. Of many registries it doesn't fit, and the rules name them anyway.
fn description(sheet: &Sheet<'_>) -> String {
    let summary = sheet.summary();
    if summary.chars().count() <= MOST_OF_DESCRIPTION {
        return summary;
    }
    let about = sheet.about();
    let said = [sheet.origin(), about.kind.meaning().to_owned()];
    said.into_iter()
        .chain(about.notes.iter().map(ToString::to_string))
        .collect::<Vec<_>>()
        .join(" ")
}

fn rule(sheet: &Sheet<'_>, group: &Group<'_>, priority: u32) -> Value {
    let hosts: Vec<&str> = group.hosts.iter().map(|host| host.name.as_str()).collect();
    let ports: Vec<String> = group.ports.iter().map(|port| port.to_string()).collect();
    let mut matches = serde_json::Map::new();
    matches.insert("destFqdns".into(), json!(hosts));
    if !sheet.options.clients.is_empty() {
        let clients: Vec<String> = sheet.options.clients.iter().map(ToString::to_string).collect();
        matches.insert("srcIpRanges".into(), json!(clients));
    }
    matches.insert("layer4Configs".into(), json!([{ "ipProtocol": "tcp", "ports": ports }]));
    json!({
        "priority": priority,
        "ruleName": super::object_name(group, MOST_OF_NAME),
        "description": group.describe(),
        "action": "allow",
        "direction": "EGRESS",
        "enableLogging": true,
        "match": matches,
    })
}

const MOST_OF_DESCRIPTION: usize = 2_048;
const MOST_NAMES: usize = 100;
const MOST_OF_NAME: usize = 63;
const FIRST_PRIORITY: u32 = 1_000;
