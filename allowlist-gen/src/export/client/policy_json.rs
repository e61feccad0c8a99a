//! `policy.json` of podman, skopeo, Buildah and CRI-O: images of the listed registries, and no others.

use serde_json::{Map, Value, json};

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "policy.json",
    kind: Kind::Client,
    scope: Scope::Registries,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[
        "All other registries are rejected, and so are images in archives and folders. It replaces the policy that \
         is there, of which the commands keep a copy in `policy.json.before`.",
        "Left out on purpose: data endpoints and storage accounts. No image is named after them, and clients go there \
         for layers when a registry sends them, whatever this file says.",
        "Images of the listed registries are taken without a signature, as before; ask for one with `signedBy` or \
         `sigstoreSigned`.",
        "A registry whose name is written with its port, `:443` say, or in capitals, is none of these.",
    ],
    apply: "\
(
  set -e
  if [ -e /etc/containers/policy.json ]; then
    cp -a /etc/containers/policy.json /etc/containers/policy.json.before
  fi
  install -D -m 644 policy.json /etc/containers/policy.json
)",
    validator: "skopeo, which copies from the listed registries and says that the policy rejects the look-alikes",
    sources: &["https://github.com/containers/image/blob/main/docs/containers-policy.json.5.md"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let accept = json!([{ "type": "insecureAcceptAnything" }]);
    let registries = sheet.hosts.iter().flat_map(super::registries);
    let scopes: Map<String, Value> =
        registries.map(|registry| (registry, accept.clone())).collect();
    Ok(quote::json(&json!({
        "default": [{ "type": "reject" }],
        "transports": { "docker": scopes },
    })))
}
