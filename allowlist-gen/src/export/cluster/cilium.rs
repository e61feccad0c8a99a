//! A `CiliumNetworkPolicy`: pods reach the hosts at the addresses that Cilium's DNS proxy saw for them.

use serde_json::{Value, json};

use crate::export::sheet::{Group, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{NAME, PULLS, Reach, blocks, file, names, object};

pub(in crate::export) const ABOUT: About = About {
    file: "cilium.yaml",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Namespace],
    needs: &[Setting::Namespace],
    limits: "40 ports in a list of ports, which is split; 1.5 MB an object, which is some thousand hosts: more is \
             an error",
    notes: &[
        PULLS,
        DEFAULT_DENY,
        LOOKUPS,
        SEARCH_DOMAINS,
        "On AKS it takes Azure CNI powered by Cilium with Advanced Container Networking Services.",
    ],
    apply: "\
kubectl apply --server-side --dry-run=server -f cilium.yaml && \\
  kubectl apply --server-side -f cilium.yaml",
    validator: "the JSON Schema of Cilium's CRD, `@kubernetes-models/cilium`, and checks of what only the agent \
                refuses",
    sources: &[
        "https://docs.cilium.io/en/stable/security/policy/language/",
        "https://docs.cilium.io/en/stable/security/dns/",
        "https://learn.microsoft.com/azure/aks/container-network-security-fqdn-filtering-concepts",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    policy(sheet, ServerNames::Unseen)
}

/// Whether the server name of the ClientHello is checked, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerNames {
    Unseen,
    Checked,
}

pub(super) fn policy(sheet: &Sheet<'_>, server_names: ServerNames) -> Result<String, Error> {
    // Without egress rules the policy would deny nothing.
    sheet.not_empty()?;
    let groups = sheet.groups();
    let mut egress = vec![lookups(sheet)];
    for group in &groups {
        let fqdns: Vec<Value> = names(group).map(match_name).collect();
        egress.push(json!({ "toFQDNs": fqdns, "toPorts": to_ports(group, server_names) }));
    }
    // The agent refuses two kinds of destination in one rule, which the schema doesn't.
    egress.extend(groups.into_iter().filter_map(|group| to_blocks(group, server_names)));
    let spec = json!({ "endpointSelector": {}, "egress": egress });
    let policy =
        object(sheet, ("cilium.io/v2", "CiliumNetworkPolicy"), Reach::Namespace, NAME, &spec);
    file(sheet, vec![policy])
}

/// Lets pods ask for the hosts, and has the agent read the answers: without it, it learns no address.
fn lookups(sheet: &Sheet<'_>) -> Value {
    let names: Vec<Value> = sheet.hosts.iter().map(|host| match_name(host.name.as_str())).collect();
    json!({
        "toEndpoints": [{
            "matchLabels": {
                "k8s:io.kubernetes.pod.namespace": "kube-system",
                "k8s:k8s-app": "kube-dns",
            },
        }],
        "toPorts": [{
            "ports": [{ "port": "53", "protocol": "UDP" }, { "port": "53", "protocol": "TCP" }],
            "rules": { "dns": names },
        }],
    })
}

fn match_name(name: &str) -> Value {
    json!({ "matchName": name })
}

/// The rule for the private addresses of those hosts that have one.
pub(super) fn to_blocks(mut group: Group<'_>, server_names: ServerNames) -> Option<Value> {
    group.hosts.retain(|host| !host.addresses.is_empty());
    if group.hosts.is_empty() {
        return None;
    }
    let blocks: Vec<Value> =
        blocks(&group).into_iter().map(|block| json!({ "cidr": block })).collect();
    Some(json!({ "toCIDRSet": blocks, "toPorts": to_ports(&group, server_names) }))
}

fn to_ports(group: &Group<'_>, server_names: ServerNames) -> Vec<Value> {
    let ports: Vec<Value> = group
        .ports
        .iter()
        .map(|port| json!({ "port": port.to_string(), "protocol": "TCP" }))
        .collect();
    let part = |ports: &[Value]| match server_names {
        ServerNames::Unseen => json!({ "ports": ports }),
        ServerNames::Checked => {
            json!({ "ports": ports, "serverNames": names(group).collect::<Vec<_>>() })
        }
    };
    ports.chunks(MAX_PORTS).map(part).collect()
}

/// `maxItems` of `ports` in the CRD.
const MAX_PORTS: usize = 40;

pub(super) const DEFAULT_DENY: &str = "It selects every pod of the namespace and puts them into default deny: whatever else they send, in the cluster \
     or out of it, needs a policy of its own.";

pub(super) const LOOKUPS: &str = "Cilium allows the addresses that its DNS proxy sees in answers from the pods labelled k8s-app=kube-dns in \
     kube-system. Other resolvers, a DNS cache on the node among them, need their own rule.";

pub(super) const SEARCH_DOMAINS: &str = "The DNS proxy refuses names that aren't listed, those that a search domain makes of a listed one too. glibc goes \
     on to the next, musl (Alpine) gives up: write the name with a dot at the end there, or run Cilium's agent with \
     --tofqdns-dns-reject-response-code=nameError.";
