//! GKE's `FQDNNetworkPolicy`, and the `NetworkPolicy` that leaves pods their DNS.

use serde_json::{Value, json};

use crate::export::sheet::{Group, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{
    MAX_NAME, NAME, PULLS, Reach, dns_pods, dns_ports, file, names, object, short, tcp_ports,
};

pub(in crate::export) const ABOUT: About = About {
    file: "gke.yaml",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Namespace],
    needs: &[Setting::Namespace],
    limits: "50 addresses that the names of one policy resolve to, so 10 names a policy, and more become more policies",
    notes: &[
        PULLS,
        "It selects every pod of the namespace: whatever else they send, in the cluster or out of it, needs a policy \
         of its own.",
        "It takes GKE Dataplane V2 with --enable-fqdn-network-policy, and kube-dns or Cloud DNS. The policy for DNS \
         lets pods ask kube-dns and its cache on the node; Cloud DNS needs a rule for its address.",
        "Policies that an earlier export had and this one lacks go on allowing until they are deleted: \
         `kubectl apply --prune` does that.",
    ],
    apply: "\
kubectl apply --dry-run=server -f gke.yaml && \\
  kubectl apply -f gke.yaml --namespace builds --prune --selector app.kubernetes.io/managed-by=allowlist-gen \\
    --prune-allowlist networking.gke.io/v1alpha1/FQDNNetworkPolicy",
    validator: "the JSON Schema of GKE's CRD; `kubernetes-validate --strict` for the policy for DNS",
    sources: &["https://cloud.google.com/kubernetes-engine/docs/how-to/fqdn-network-policies"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut policies = vec![dns(sheet)];
    let parts = sheet.groups().into_iter().flat_map(|group| group.parts(MAX_NAMES));
    policies.extend(parts.map(|group| policy(sheet, &group)));
    file(sheet, policies)
}

fn dns(sheet: &Sheet<'_>) -> Value {
    let mut cache = dns_pods();
    cache["podSelector"]["matchLabels"]["k8s-app"] = json!("node-local-dns");
    let spec = json!({
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [{ "to": [dns_pods(), cache], "ports": dns_ports() }],
    });
    let kind = ("networking.k8s.io/v1", "NetworkPolicy");
    object(sheet, kind, Reach::Namespace, &format!("{NAME}--dns"), &spec)
}

fn policy(sheet: &Sheet<'_>, group: &Group<'_>) -> Value {
    let matches: Vec<Value> = names(group).map(|name| json!({ "name": name })).collect();
    let spec = json!({
        "podSelector": {},
        "egress": [{ "matches": matches, "ports": tcp_ports(&group.ports) }],
    });
    let kind = ("networking.gke.io/v1alpha1", "FQDNNetworkPolicy");
    let name = short(&format!("{NAME}--{}", group.name), MAX_NAME);
    object(sheet, kind, Reach::Namespace, &name, &spec)
}

/// A registry's host has an address or two in each of IPv4 and IPv6: ten of them stay below fifty.
const MAX_NAMES: usize = 10;
