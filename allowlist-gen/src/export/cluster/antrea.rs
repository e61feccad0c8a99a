//! Antrea's `ClusterNetworkPolicy`: names, which Antrea's agents turn into the addresses that they see DNS answer.

use serde_json::{Value, json};

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{
    PULLS, Reach, clusterwide_name, dns_pods, dns_ports, file, names, namespace, namespace_labels,
    object, tcp_ports,
};

pub(in crate::export) const ABOUT: About = About {
    file: "antrea.yaml",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Namespace],
    needs: &[Setting::Namespace],
    limits: "1.5 MB an object, which is some thousand hosts: more is an error",
    notes: &[
        PULLS,
        "It applies to every pod of the namespace, and its last rule drops whatever else they send, in the cluster or \
         out of it. Kubernetes' NetworkPolicies come after it and can't allow more: what must pass, a policy in an \
         earlier tier or with a smaller priority must allow.",
        "Antrea allows the addresses that it sees in DNS answers, until their time to live is over: pods mustn't \
         keep them longer. They may ask the DNS that is labelled k8s-app=kube-dns in kube-system; other resolvers \
         need their own rule.",
    ],
    apply: "\
kubectl apply --server-side --dry-run=server -f antrea.yaml && \\
  kubectl apply --server-side -f antrea.yaml",
    validator: "the CRD of Antrea as JSON Schema, and checks of the order of the rules",
    sources: &[
        "https://antrea.io/docs/main/docs/antrea-network-policy/#fqdn-based-filtering",
        "https://antrea.io/docs/main/docs/antrea-network-policy/#antrea-clusternetworkpolicy",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut egress = vec![allow("dns", &[dns_pods()], &dns_ports())];
    egress.extend(sheet.groups().iter().map(|group| {
        let peers: Vec<Value> = names(group).map(|name| json!({ "fqdn": name })).collect();
        allow(&group.name, &peers, &tcp_ports(&group.ports))
    }));
    // Without `to` and `ports` it means everything.
    egress.push(json!({ "name": "everything-else", "action": "Drop" }));
    let spec = json!({
        "tier": "application",
        "priority": PRIORITY,
        "appliedTo": [{ "namespaceSelector": namespace_labels(namespace(sheet)) }],
        "egress": egress,
    });
    let kind = ("crd.antrea.io/v1beta1", "ClusterNetworkPolicy");
    file(sheet, vec![object(sheet, kind, Reach::Cluster, &clusterwide_name(sheet), &spec)])
}

fn allow(name: &str, to: &[Value], ports: &[Value]) -> Value {
    json!({ "name": name, "action": "Allow", "to": to, "ports": ports })
}

/// From 1 to 10 000, the smallest first: there is room on both sides.
const PRIORITY: u16 = 1000;
