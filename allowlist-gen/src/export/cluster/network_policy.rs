//! Kubernetes' own `NetworkPolicy`, which knows addresses and no names.

use serde_json::{Value, json};

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{NAME, PULLS, RESOLVERS, Reach, blocks, dns_pods, dns_ports, file, object, tcp_ports};

pub(in crate::export) const ABOUT: About = About {
    file: "network-policy.yaml",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::Namespace, Setting::PinnedOnly],
    needs: &[Setting::Namespace],
    limits: "1.5 MB an object: more is an error",
    notes: &[
        PULLS,
        "It selects every pod of the namespace and isolates it for egress: whatever else they send, in the cluster \
         or out of it, needs a policy of its own.",
        RESOLVERS,
        "It takes a network plugin that enforces policies: without one, Kubernetes stores it and nothing happens.",
    ],
    apply: "\
kubectl apply --server-side --dry-run=server -f network-policy.yaml && \\
  kubectl apply --server-side -f network-policy.yaml",
    validator: "`kubernetes-validate --strict`: Kubernetes' own schema",
    sources: &["https://kubernetes.io/docs/concepts/services-networking/network-policies/"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut egress = vec![json!({ "to": [dns_pods()], "ports": dns_ports() })];
    egress.extend(sheet.groups().iter().map(|group| {
        let peers: Vec<Value> =
            blocks(group).iter().map(|block| json!({ "ipBlock": { "cidr": block } })).collect();
        json!({ "to": peers, "ports": tcp_ports(&group.ports) })
    }));
    let spec = json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": egress });
    let kind = ("networking.k8s.io/v1", "NetworkPolicy");
    file(sheet, vec![object(sheet, kind, Reach::Namespace, NAME, &spec)])
}
