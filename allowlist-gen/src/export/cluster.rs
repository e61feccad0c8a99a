//! Policies of Kubernetes clusters: an object or several, in YAML.
//!
//! What they share: a header and a line for each host in front, one name and one label for all objects of ours, and
//! the way to the cluster's DNS, without which no pod would find a host that it may reach.

pub(super) mod antrea;
pub(super) mod calico;
pub(super) mod cilium;
pub(super) mod cilium_node;
pub(super) mod cilium_sni;
pub(super) mod cluster_network_policy;
pub(super) mod gke;
pub(super) mod istio;
pub(super) mod network_policy;
pub(super) mod ovn;

use ringfence_config::allowlist::Ports;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::quote;
use super::sheet::{Group, Host, Sheet};
use super::text::Text;
use super::{Error, Setting};

/// Where an object is.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// In the namespace that the export was told.
    Namespace,
    /// In the cluster, whose namespaces share its names.
    Cluster,
}

/// An object, named `name` within its reach.
fn object(
    sheet: &Sheet<'_>,
    (api_version, kind): (&str, &str),
    reach: Reach,
    name: &str,
    spec: &Value,
) -> Value {
    let mut metadata = json!({ "name": name });
    if let Reach::Namespace = reach {
        metadata["namespace"] = json!(namespace(sheet));
    }
    metadata["labels"] = json!({ "app.kubernetes.io/managed-by": "allowlist-gen" });
    json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec })
}

/// The name of a cluster-wide object for one namespace: lists for two namespaces make two objects.
fn clusterwide_name(sheet: &Sheet<'_>) -> String {
    format!("{NAME}-{}", namespace(sheet))
}

/// The namespace whose pods the policy is for. All policies for pods need it: applied to the namespace that kubectl
/// happens to stand in, one would cut off the pods there.
fn namespace<'a>(sheet: &'a Sheet<'_>) -> &'a str {
    let namespace = sheet.options.namespace.as_ref();
    namespace.expect("formats for pods need it, which Sheet::new checked").as_str()
}

/// Refuses the namespace of the cluster's DNS: each policy for pods selects all of its namespace, and DNS that couldn't
/// ask anybody would answer nobody.
fn check_namespace(sheet: &Sheet<'_>) -> Result<(), Error> {
    if sheet.options.namespace.as_ref().is_some_and(|namespace| namespace.as_str() == SYSTEM) {
        let why = "the policy would hold every pod there to the list, the cluster's DNS first, which all others need";
        return Err(sheet.unsuitable(Setting::Namespace, why));
    }
    Ok(())
}

/// The file: a header, a line for each host, and the objects, each a document.
fn file(sheet: &Sheet<'_>, objects: Vec<Value>) -> Result<String, Error> {
    check_namespace(sheet)?;
    let mut text = Text::new(sheet.header("# "));
    for group in sheet.groups() {
        text.line(format_args!("#\n# {}, {}", group.name, group.describe()));
        for host in &group.hosts {
            text.line(format_args!("#   {}: {}", where_it_is(host), host.remark()));
        }
    }
    let mut text = text.into_string();
    let origin = sheet.origin();
    for mut object in objects {
        // https://kubernetes.io/docs/reference/labels-annotations-taints/#description
        object["metadata"]["annotations"] = json!({ "kubernetes.io/description": origin });
        sheet.at_most(MAX_OBJECT, "bytes of one object", object.to_string().len())?;
        text.push_str("---\n");
        text.push_str(&quote::yaml(&object));
    }
    Ok(text)
}

/// `contoso.azurecr.io (10.20.0.6/32)`: the only place where formats without names say whose an address is.
fn where_it_is(host: &Host<'_>) -> String {
    let blocks: Vec<String> = host.addresses.iter().map(|pin| pin.block().to_string()).collect();
    if blocks.is_empty() {
        host.name.to_string()
    } else {
        format!("{} ({})", host.name, blocks.join(", "))
    }
}

/// `name`, cut to `most` characters if it is longer, and told from others by a hash of all of it. Two dashes stand in
/// no registry's name, so nothing that is short enough by itself looks like that.
fn short(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let hash = Sha256::digest(name);
    let hash = hash.iter().take(4).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("{}--{hash}", name[..most - hash.len() - 2].trim_end_matches('-'))
}

/// The pods of the cluster's DNS, as Kubernetes, AKS and most others label them:
/// <https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/>
fn dns_pods() -> Value {
    json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": SYSTEM } },
        "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
    })
}

/// DNS's ports, which are the same for all that say `protocol` and `port`.
fn dns_ports() -> [Value; 2] {
    ["UDP", "TCP"].map(|protocol| json!({ "protocol": protocol, "port": 53 }))
}

fn tcp_ports(ports: &Ports) -> Vec<Value> {
    ports.iter().map(|port| json!({ "protocol": "TCP", "port": port.number() })).collect()
}

/// The labels that select a namespace by its name, which Kubernetes puts on each:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name>
fn namespace_labels(name: &str) -> Value {
    json!({ "matchLabels": { "kubernetes.io/metadata.name": name } })
}

/// The names of the group's hosts.
fn names<'a>(group: &'a Group<'_>) -> impl Iterator<Item = &'a str> {
    group.hosts.iter().map(|host| host.name.as_str())
}

/// The group's private addresses as blocks.
fn blocks(group: &Group<'_>) -> Vec<String> {
    group.addresses().iter().map(|pin| pin.block().to_string()).collect()
}

/// What every object is named after.
const NAME: &str = "acr-allowlist";

/// Where a cluster has its DNS, and more that it can't do without.
const SYSTEM: &str = "kube-system";

/// How much an API server stores as one object: <https://etcd.io/docs/v3.5/dev-guide/limit/>
const MAX_OBJECT: usize = 1_500_000;

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>
const MAX_NAME: usize = 253;

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
const MAX_LABEL: usize = 63;

/// A note of each policy for pods.
const PULLS: &str = "Image pulls are made by the node, not by a pod, so this doesn't see them: it is for builders, \
                     scanners and other pods that fetch images themselves.";

/// A note of each that lets pods ask [`dns_pods`].
const RESOLVERS: &str = "Pods may ask the DNS that is labelled k8s-app=kube-dns in kube-system. Other resolvers, a DNS \
                         cache on the node among them, need their own rule.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_and_stays_its_own() {
        let (one, other) =
            ("acr-".to_owned() + &"a".repeat(70), "acr-".to_owned() + &"a".repeat(71));
        assert_eq!(short("acr-contoso", 63), "acr-contoso");
        assert_eq!((short(&one, 63).len(), short(&other, 63).len()), (63, 63));
        assert_ne!(short(&one, 63), short(&other, 63));
        // What another registry could be called is no name of a long one: two dashes stand in none.
        let hash = short(&one, 63).rsplit('-').next().expect("a hash").to_owned();
        assert_ne!(short(&one, 63), format!("{}-{hash}", &one[..54]));
        let cut = short(&format!("{}--{}", "a".repeat(53), "b".repeat(20)), 63);
        assert!(!cut.contains("---") && cut.len() <= 63, "{cut}");
    }
}
