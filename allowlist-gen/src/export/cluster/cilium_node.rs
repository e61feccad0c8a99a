//! A `CiliumClusterwideNetworkPolicy` for nodes, which is where images are pulled.

use serde_json::{Value, json};

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::cilium::{ServerNames, to_blocks};
use super::{NAME, Reach, file, object};

pub(in crate::export) const ABOUT: About = About {
    file: "cilium-node.yaml",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "40 ports in a list of ports, which is split; 1.5 MB an object: more is an error",
    notes: &[
        "Image pulls are made by the node, so this is the policy that they meet. It takes Cilium's host firewall, \
         which has no DNS rules, and so only addresses.",
        "It selects all nodes and only allows: enableDefaultDeny is off, or the nodes would lose the API server, \
         DNS and each other. What denies the rest is a policy for nodes of your own; without one, everything passes.",
        "Cilium 1.16 or later: one before it knows no enableDefaultDeny, and kubectl refuses the policy there.",
    ],
    apply: "\
kubectl apply --server-side --dry-run=server -f cilium-node.yaml && \\
  kubectl apply --server-side -f cilium-node.yaml",
    validator: "the JSON Schema of Cilium's CRD, `@kubernetes-models/cilium`, and checks of what only the agent \
                refuses",
    sources: &[
        "https://docs.cilium.io/en/stable/security/host-firewall/",
        "https://docs.cilium.io/en/stable/security/policy/language/",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let egress: Vec<Value> = sheet
        .groups()
        .into_iter()
        .filter_map(|group| to_blocks(group, ServerNames::Unseen))
        .collect();
    let spec = json!({
        "nodeSelector": {},
        "enableDefaultDeny": { "egress": false },
        "egress": egress,
    });
    let kind = ("cilium.io/v2", "CiliumClusterwideNetworkPolicy");
    file(sheet, vec![object(sheet, kind, Reach::Cluster, NAME, &spec)])
}
