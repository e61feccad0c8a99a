//! Calico's sets of addresses and a policy that allows them; open-source Calico knows no names.

use ringfence_config::Port;
use serde_json::{Value, json};

use crate::export::sheet::{Group, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{
    MAX_LABEL, PULLS, RESOLVERS, Reach, blocks, clusterwide_name, file, namespace, object, short,
};

pub(in crate::export) const ABOUT: About = About {
    file: "calico.yaml",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::Namespace, Setting::PinnedOnly],
    needs: &[Setting::Namespace],
    limits: "63 characters a label, and longer names end in a hash; 1.5 MB an object: more is an error",
    notes: &[
        PULLS,
        "The policy selects every pod of the namespace for egress, and what no policy allows is denied: whatever \
         else they send, in the cluster or out of it, needs a policy of its own.",
        RESOLVERS,
        "A set that an earlier export had and this one lacks stays, and no policy of ours refers to it.",
    ],
    apply: "calicoctl apply -f calico.yaml",
    validator: "the JSON Schemas of Calico's CRDs",
    sources: &[
        "https://docs.tigera.io/calico/latest/reference/resources/globalnetworkpolicy",
        "https://docs.tigera.io/calico/latest/reference/resources/globalnetworkset",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let namespace = namespace(sheet);
    let set_name = |group: &Group<'_>| short(&format!("{namespace}--{}", group.name), MAX_LABEL);
    let groups = sheet.groups();

    let mut objects: Vec<Value> =
        groups.iter().map(|group| set(sheet, &set_name(group), &blocks(group))).collect();

    let mut egress: Vec<Value> = ["UDP", "TCP"]
        .map(|protocol| {
            allow(
                protocol,
                &json!({
                    "namespaceSelector": "projectcalico.org/name == 'kube-system'",
                    "selector": "k8s-app == 'kube-dns'",
                    "ports": [53],
                }),
            )
        })
        .into();
    egress.extend(groups.iter().map(|group| {
        let ports: Vec<u16> = group.ports.iter().map(Port::number).collect();
        allow(
            "TCP",
            &json!({
                // Sets are in no namespace; without this, a pod with the same label would do.
                "namespaceSelector": "global()",
                "selector": format!("{LABEL} == '{}'", set_name(group)),
                "ports": ports,
            }),
        )
    }));
    let spec = json!({
        "tier": "default",
        "namespaceSelector": format!("projectcalico.org/name == '{namespace}'"),
        "types": ["Egress"],
        "egress": egress,
    });
    // A policy's name begins with its tier.
    let name = format!("default.{}", clusterwide_name(sheet));
    let kind = ("projectcalico.org/v3", "GlobalNetworkPolicy");
    objects.push(object(sheet, kind, Reach::Cluster, &name, &spec));
    file(sheet, objects)
}

fn set(sheet: &Sheet<'_>, name: &str, blocks: &[String]) -> Value {
    let kind = ("projectcalico.org/v3", "GlobalNetworkSet");
    let mut set = object(sheet, kind, Reach::Cluster, name, &json!({ "nets": blocks }));
    set["metadata"]["labels"][LABEL] = json!(name);
    set
}

fn allow(protocol: &str, destination: &Value) -> Value {
    json!({ "action": "Allow", "protocol": protocol, "destination": destination })
}

/// Which set a rule means: the label has the set's name.
const LABEL: &str = "acr-allowlist";
