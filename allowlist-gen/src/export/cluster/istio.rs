//! Istio's `ServiceEntry` for the hosts, and the `Sidecar` that denies the rest.

use serde_json::{Value, json};

use crate::export::sheet::{Group, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{MAX_NAME, NAME, PULLS, Reach, file, names, object, short};

pub(in crate::export) const ABOUT: About = About {
    file: "istio.yaml",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Namespace],
    needs: &[Setting::Namespace],
    limits: "256 hosts an entry, and more become more entries; 256 ports an entry: more is an error",
    notes: &[
        PULLS,
        "The sidecar goes by the server name (SNI) of the ClientHello, and connects to addresses that it resolves \
         itself. Pods without one, as in ambient mode, aren't held to it.",
        "The Sidecar sets REGISTRY_ONLY for the namespace, so pods reach services that Istio knows, and nothing else. \
         A namespace has one such Sidecar: if there is another already, put the setting there.",
        "A pod can go round its sidecar, by its user id or its capabilities: have a network policy behind it.",
        "Entries that an earlier export had and this one lacks go on allowing until they are deleted: \
         `kubectl apply --prune` does that.",
    ],
    apply: "\
kubectl apply --dry-run=server -f istio.yaml && \\
  kubectl apply -f istio.yaml --namespace builds --prune --selector app.kubernetes.io/managed-by=allowlist-gen \\
    --prune-allowlist networking.istio.io/v1/ServiceEntry",
    validator: "the JSON Schemas of Istio's CRDs with their rules in CEL, and `@kubernetes-models/istio`",
    sources: &[
        "https://istio.io/latest/docs/reference/config/networking/service-entry/",
        "https://istio.io/latest/docs/reference/config/networking/sidecar/#OutboundTrafficPolicy",
        "https://istio.io/latest/docs/ops/best-practices/security/#understand-traffic-capture-limitations",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut objects = Vec::new();
    for group in sheet.groups() {
        sheet.at_most(MAX_PORTS, "ports of one host", group.ports.iter().count())?;
        objects.extend(group.parts(MAX_HOSTS).iter().map(|group| entry(sheet, group)));
    }
    let spec = json!({ "outboundTrafficPolicy": { "mode": "REGISTRY_ONLY" } });
    let kind = ("networking.istio.io/v1", "Sidecar");
    objects.push(object(sheet, kind, Reach::Namespace, NAME, &spec));
    file(sheet, objects)
}

fn entry(sheet: &Sheet<'_>, group: &Group<'_>) -> Value {
    let ports: Vec<Value> = group
        .ports
        .iter()
        .map(|port| {
            json!({ "number": port.number(), "name": format!("tls-{port}"), "protocol": "TLS" })
        })
        .collect();
    let spec = json!({
        "hosts": names(group).collect::<Vec<_>>(),
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "ports": ports,
        "resolution": "DNS",
    });
    let name = short(&format!("{NAME}--{}", group.name), MAX_NAME);
    object(sheet, ("networking.istio.io/v1", "ServiceEntry"), Reach::Namespace, &name, &spec)
}

/// `maxItems` of `hosts` and of `ports` in the CRD.
const MAX_HOSTS: usize = 256;
const MAX_PORTS: usize = 256;
