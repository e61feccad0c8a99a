//! The `EgressFirewall` of OVN-Kubernetes: one per namespace, which denies what it doesn't allow.

use serde_json::{Value, json};

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{PULLS, Reach, file, object, tcp_ports};

pub(in crate::export) const ABOUT: About = About {
    file: "egress-firewall.yaml",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Namespace],
    needs: &[Setting::Namespace],
    limits: "8 000 rules, two of which deny the rest, so 7 998 hosts: more is an error",
    notes: &[
        PULLS,
        "A namespace has one EgressFirewall, which must be called default: this one replaces another, unless you \
         put its rules in front of the other's Deny. What is there before stays in `egress-firewall.before.yaml`.",
        "Its last rules deny whatever else leaves the cluster, also what goes to the API server, to nodes and to a \
         name server outside: what pods need of that goes in front. Traffic between pods isn't looked at.",
        "OVN-Kubernetes resolves the names itself, again when their time to live is over. A pod that asks another \
         name server, or asks first, may get an address that isn't allowed yet.",
    ],
    apply: "\
# A copy of the one that is there, if there is one; then the new one.
kubectl get egressfirewall default --namespace builds --ignore-not-found --output yaml > egress-firewall.before.yaml && \\
  kubectl apply --server-side --dry-run=server -f egress-firewall.yaml && \\
  kubectl apply --server-side -f egress-firewall.yaml",
    validator: "the CRD of OVN-Kubernetes as JSON Schema, and checks of the order of the rules",
    sources: &[
        "https://ovn-kubernetes.io/features/network-security-controls/egress-firewall/",
        "https://docs.okd.io/latest/networking/network_security/egress_firewall/configuring-egress-firewall-ovn.html",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut egress: Vec<Value> = sheet
        .hosts
        .iter()
        .map(|host| {
            json!({
                "type": "Allow",
                "to": { "dnsName": host.name.as_str() },
                "ports": tcp_ports(&host.ports),
            })
        })
        .collect();
    // The first rule that fits counts, and what none fits is allowed.
    egress.extend(["0.0.0.0/0", "::/0"].map(deny));
    sheet.at_most(MAX_RULES, "rules", egress.len())?;
    let kind = ("k8s.ovn.org/v1", "EgressFirewall");
    let firewall = object(sheet, kind, Reach::Namespace, "default", &json!({ "egress": egress }));
    file(sheet, vec![firewall])
}

fn deny(block: &str) -> Value {
    json!({ "type": "Deny", "to": { "cidrSelector": block } })
}

const MAX_RULES: usize = 8000;
