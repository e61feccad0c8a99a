//! The `ClusterNetworkPolicy` of Kubernetes' network policy group: by domain name, as far as a plugin knows how.

use serde_json::{Value, json};

use crate::export::sheet::{Group, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{
    NAME, PULLS, RESOLVERS, Reach, clusterwide_name, dns_pods, file, names, namespace,
    namespace_labels, object, short,
};

pub(in crate::export) const ABOUT: About = About {
    file: "cluster-network-policy.yaml",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Namespace],
    needs: &[Setting::Namespace],
    limits: "25 names a rule, 25 rules a policy and 25 ports a rule, and more become more rules; more policies with \
             priorities from 500 to 1 000: beyond that is an error",
    notes: &[
        PULLS,
        "It is v1alpha2, and names are in its experimental channel: see that the network plugin enforces domainNames. \
         One that doesn't know them lets nothing listed pass.",
        "It is in the Admin tier and applies to every pod of the namespace. Its last rules leave traffic between pods \
         to other policies and deny everything else, also the nodes and the API server; no NetworkPolicy can allow \
         more, only a policy with a smaller priority.",
        RESOLVERS,
    ],
    apply: "\
kubectl apply --server-side --dry-run=server -f cluster-network-policy.yaml && \\
  kubectl apply --server-side -f cluster-network-policy.yaml",
    validator: "the CRD as JSON Schema with its rules in CEL, and checks of the order of the rules",
    sources: &[
        "https://network-policy-api.sigs.k8s.io/api-overview/",
        "https://network-policy-api.sigs.k8s.io/npeps/npep-133-fqdn-egress-selector/",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut rules = vec![json!({
        "name": "dns",
        "action": "Accept",
        "to": [{ "pods": dns_pods() }],
        "protocols": [destination("udp", 53), destination("tcp", 53)],
    })];
    rules.extend(sheet.groups().into_iter().flat_map(accept));
    // The networks below hold the pods' addresses, too.
    rules.push(json!({ "name": "pods", "action": "Pass", "to": [{ "namespaces": {} }] }));
    rules.push(json!({
        "name": "everything-else",
        "action": "Deny",
        "to": [{ "networks": ["0.0.0.0/0", "::/0"] }],
    }));
    let parts: Vec<&[Value]> = rules.chunks(MAX_RULES).collect();
    sheet.at_most(MAX_POLICIES, "policies", parts.len())?;
    let policies: Vec<Value> =
        parts.into_iter().enumerate().map(|(number, rules)| policy(sheet, number, rules)).collect();
    file(sheet, policies)
}

/// The policy after `number` others. The first has the same name however many there are: what an earlier export
/// had more stands behind the last one's Deny, and does nothing.
fn policy(sheet: &Sheet<'_>, number: usize, rules: &[Value]) -> Value {
    let name = match number {
        0 => clusterwide_name(sheet),
        // In front of the namespace: behind it, another namespace could be called so.
        _ => format!("{NAME}--part{}-{}", number + 1, namespace(sheet)),
    };
    let spec = json!({
        "tier": "Admin",
        "priority": FIRST_PRIORITY + number,
        "subject": { "namespaces": namespace_labels(namespace(sheet)) },
        "egress": rules,
    });
    let kind = ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy");
    object(sheet, kind, Reach::Cluster, &name, &spec)
}

/// The rules that accept a group: each part of its names on each part of its ports.
fn accept(group: Group<'_>) -> Vec<Value> {
    let protocols: Vec<Value> =
        group.ports.iter().map(|port| destination("tcp", port.number())).collect();
    let rule = |group: &Group<'_>, protocols: &[Value]| {
        json!({
            "name": short(&group.name, MAX_RULE_NAME),
            "action": "Accept",
            "to": [{ "domainNames": names(group).collect::<Vec<_>>() }],
            "protocols": protocols,
        })
    };
    group
        .parts(MAX_NAMES)
        .iter()
        .flat_map(|part| protocols.chunks(MAX_PROTOCOLS).map(move |some| rule(part, some)))
        .collect()
}

fn destination(protocol: &str, port: u16) -> Value {
    json!({ protocol: { "destinationPort": { "number": port } } })
}

/// `maxItems` of `egress`, of `domainNames` and of `protocols`, and `maxLength` of a rule's `name`, in the CRD.
const MAX_RULES: usize = 25;
const MAX_NAMES: usize = 25;
const MAX_PROTOCOLS: usize = 25;
const MAX_RULE_NAME: usize = 100;

/// From 0 to 1000, the smallest first.
const FIRST_PRIORITY: usize = 500;
const MAX_POLICIES: usize = 501;
