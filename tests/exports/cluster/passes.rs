//! The agents' part: what a policy lets pass, read from its objects, and the rules that no schema holds it to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::consumer::Verdict;

/// What may be reached, and on which TCP ports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passing {
    pub(super) names: BTreeSet<(String, u16)>,
    pub(super) blocks: BTreeSet<(String, u16)>,
}

/// What `objects` let pass beside DNS and, where the file leaves that to others, what stays in the cluster.
pub(super) fn read(objects: &[Value]) -> Passing {
    let sets = sets(objects);
    let mut passing = Passing::default();
    for object in objects {
        let shape = Shape::of(kind(object));
        for rule in at(object, shape.rules) {
            if ["Deny", "Drop", "Pass"].iter().any(|word| action(rule) == *word) {
                continue;
            }
            let ports: Vec<u16> = at(rule, shape.ports).into_iter().filter_map(port).collect();
            let names = strings(rule, shape.names);
            let mut blocks = strings(rule, shape.blocks);
            for selector in strings(rule, "destination.selector") {
                blocks.extend(sets.get(&selector).into_iter().flatten().cloned());
            }
            let targets = names.len() + blocks.len();
            assert!(targets == 0 || !ports.is_empty(), "no port is every port: {rule}");
            let cross = |targets: Vec<String>| {
                let ports = ports.clone();
                targets.into_iter().flat_map(move |target| {
                    ports.clone().into_iter().map(move |port| (target.clone(), port))
                })
            };
            passing.names.extend(cross(names));
            passing.blocks.extend(cross(blocks));
        }
    }
    passing
}

/// What agents and the order of rules ask for.
pub(super) fn check(objects: &[Value]) -> Verdict {
    let mut names = BTreeSet::new();
    for object in objects {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        ensure(names.insert((kind(object), name)), || format!("two {} `{name}`", kind(object)))?;
        ensure(size(object) < 1_500_000, || format!("`{name}` is too large for etcd"))?;
        match kind(object) {
            "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy" => cilium(object)?,
            "NetworkPolicy" => network_policy(object)?,
            "GlobalNetworkPolicy" => calico(object, &sets(objects))?,
            "EgressFirewall" => egress_firewall(object)?,
            "ServiceEntry" => service_entry(object)?,
            "FQDNNetworkPolicy" => fqdn_network_policy(object)?,
            "ClusterNetworkPolicy" if is_antrea(object) => antrea(object)?,
            "ClusterNetworkPolicy" | "GlobalNetworkSet" | "Sidecar" => {}
            other => return Err(format!("who reads a {other}?")),
        }
    }
    if objects.iter().any(|object| kind(object) == "ClusterNetworkPolicy" && !is_antrea(object)) {
        cluster_network_policies(objects)?;
    }
    let has = |known: &str| objects.iter().any(|object| kind(object) == known);
    ensure(!has("ServiceEntry") || has("Sidecar"), || "nothing denies the rest".into())?;
    ensure(!has("FQDNNetworkPolicy") || has("NetworkPolicy"), || "nothing allows DNS".into())
}

/// <https://github.com/cilium/cilium/blob/main/pkg/policy/api/rule_validation.go>
fn cilium(policy: &Value) -> Verdict {
    let rules = at(policy, "spec.egress");
    for rule in &rules {
        let destinations: Vec<&String> = rule
            .as_object()
            .into_iter()
            .flat_map(|rule| rule.keys())
            .filter(|key| key.starts_with("to") && *key != "toPorts")
            .collect();
        ensure(destinations.len() == 1, || format!("{destinations:?} in one rule"))?;
        ensure(!at(rule, destinations[0]).is_empty(), || format!("{} of none", destinations[0]))?;
        for ports in at(rule, "toPorts") {
            let count = at(ports, "ports").len();
            ensure((1..=40).contains(&count), || format!("{count} ports in a list"))?;
            let both = ports.get("rules").is_some() && ports.get("serverNames").is_some();
            ensure(!both, || "server names beside DNS rules".into())?;
        }
    }
    let set = |path| strings(policy, path).into_iter().collect::<BTreeSet<String>>();
    let allowed = set("spec.egress.toFQDNs.matchName");
    let asked = set("spec.egress.toPorts.rules.dns.matchName");
    ensure(allowed == asked, || format!("{allowed:?} pass, and {asked:?} may be asked for"))?;
    let is_for_nodes = policy["spec"].get("nodeSelector").is_some();
    ensure(!is_for_nodes || asked.is_empty(), || "no DNS rules for nodes".into())?;
    ensure(is_for_nodes == (kind(policy) == "CiliumClusterwideNetworkPolicy"), || {
        "nodes are selected cluster-wide only".into()
    })?;
    let denies = policy["spec"]["enableDefaultDeny"]["egress"] != false;
    ensure(is_for_nodes != denies, || "pods are denied the rest, and nodes aren't".into())
}

fn network_policy(policy: &Value) -> Verdict {
    ensure(policy["spec"]["policyTypes"] == serde_json::json!(["Egress"]), || "no egress".into())?;
    let rules = at(policy, "spec.egress");
    for rule in &rules {
        let (to, ports) = (at(rule, "to").len(), at(rule, "ports").len());
        ensure(to > 0 && ports > 0, || "an empty list is everything".into())?;
    }
    let asks = rules.iter().filter(|rule| !at(rule, "to.podSelector").is_empty());
    let protocols: Vec<String> = asks
        .flat_map(|rule| at(rule, "ports"))
        .filter(|port| port["port"] == 53)
        .flat_map(|port| strings(port, "protocol"))
        .collect();
    ensure(protocols == ["UDP", "TCP"], || format!("DNS over {protocols:?}"))
}

fn calico(policy: &Value, sets: &BTreeMap<String, Vec<String>>) -> Verdict {
    let name = policy["metadata"]["name"].as_str().unwrap_or_default();
    ensure(name.starts_with("default."), || format!("`{name}` isn't called after its tier"))?;
    for rule in at(policy, "spec.egress") {
        let to = &rule["destination"];
        let (scope, selector) = (to["namespaceSelector"].as_str(), to["selector"].as_str());
        match (scope, selector) {
            (Some("global()"), Some(selector)) => {
                ensure(sets.contains_key(selector), || format!("`{selector}` is no set"))?;
            }
            (Some(scope), Some(_)) => ensure(scope.contains("'kube-system'"), || scope.into())?,
            _ => return Err(format!("a selector without a scope means any pod: {rule}")),
        }
        ensure(!at(to, "ports").is_empty(), || "no port is every port".into())?;
    }
    ensure(!policy["spec"]["namespaceSelector"].is_null(), || "it selects the cluster".into())
}

fn egress_firewall(firewall: &Value) -> Verdict {
    let rules = at(firewall, "spec.egress");
    let (allows, rest) = rules.split_at(rules.len().saturating_sub(2));
    for rule in allows {
        ensure(rule["type"] == "Allow", || format!("not an Allow in front: {rule}"))?;
        ensure(!at(rule, "ports").is_empty(), || "no port is every port".into())?;
        ensure(!at(rule, "to.dnsName").is_empty(), || format!("no name: {rule}"))?;
    }
    for rule in &rules {
        let to = rule["to"].as_object().map_or(0, serde_json::Map::len);
        ensure(to == 1, || format!("{to} destinations in {rule}"))?;
    }
    ensure(rest.iter().all(|rule| rule["type"] == "Deny"), || "no Deny at the end".into())?;
    let denied: Vec<String> = rest.iter().flat_map(|r| strings(r, "to.cidrSelector")).collect();
    ensure(denied == ["0.0.0.0/0", "::/0"], || format!("only {denied:?} is denied"))
}

fn antrea(policy: &Value) -> Verdict {
    let rules = at(policy, "spec.egress");
    let Some((last, allows)) = rules.split_last() else { return Err("no rules".into()) };
    let drops = action(last) == "Drop" && last.get("to").is_none() && last.get("ports").is_none();
    ensure(drops, || format!("the last rule doesn't drop everything: {last}"))?;
    for rule in allows {
        let (to, ports) = (at(rule, "to").len(), at(rule, "ports").len());
        ensure(action(rule) == "Allow" && to > 0 && ports > 0, || format!("too wide: {rule}"))?;
    }
    let applied = at(policy, "spec.appliedTo.namespaceSelector.matchLabels").len();
    ensure(applied == 1, || "it applies to the cluster".into())
}

/// The order that makes of several policies one.
fn cluster_network_policies(policies: &[Value]) -> Verdict {
    let priorities: Vec<u64> =
        policies.iter().filter_map(|policy| policy["spec"]["priority"].as_u64()).collect();
    ensure(priorities.is_sorted_by(|one, next| one < next), || format!("{priorities:?}"))?;
    let rules: Vec<&Value> = policies.iter().flat_map(|p| at(p, "spec.egress")).collect();
    for rule in &rules {
        let by_name = at(rule, "to.domainNames").len();
        ensure(by_name == 0 || action(rule) == "Accept", || format!("a name in {rule}"))?;
        let has_ports = !at(rule, "protocols").is_empty();
        ensure(has_ports == (action(rule) == "Accept"), || format!("which ports? {rule}"))?;
    }
    let [accepts @ .., pass, deny] = &rules[..] else { return Err("too few rules".into()) };
    ensure(accepts.iter().all(|rule| action(rule) == "Accept"), || "not an Accept".into())?;
    ensure(action(pass) == "Pass" && pass["to"][0].get("namespaces").is_some(), || {
        "traffic between pods is denied".into()
    })?;
    ensure(action(deny) == "Deny" && strings(deny, "to.networks") == ["0.0.0.0/0", "::/0"], || {
        "the rest isn't denied".into()
    })
}

/// That the sidecar goes by SNI, and looks the addresses up itself.
fn service_entry(entry: &Value) -> Verdict {
    let protocols = strings(entry, "spec.ports.protocol");
    let is_tls = !protocols.is_empty() && protocols.iter().all(|protocol| protocol == "TLS");
    ensure(is_tls, || "no SNI is looked at".into())?;
    let resolution = entry["spec"]["resolution"].as_str();
    ensure(resolution == Some("DNS"), || "the client chooses the address".into())
}

fn fqdn_network_policy(policy: &Value) -> Verdict {
    let names = at(policy, "spec.egress.matches.name").len();
    ensure((1..=10).contains(&names), || format!("{names} names"))?;
    let ports = at(policy, "spec.egress.ports.port").len();
    ensure(ports > 0, || "no port is every port".into())
}

/// Where a kind has its rules, and in these the names, blocks and TCP ports.
struct Shape {
    rules: &'static str,
    names: &'static str,
    blocks: &'static str,
    ports: &'static str,
}

impl Shape {
    fn of(kind: &str) -> Self {
        let (rules, names, blocks, ports) = match kind {
            "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy" => {
                ("spec.egress", "toFQDNs.matchName", "toCIDRSet.cidr", "toPorts.ports.port")
            }
            "NetworkPolicy" => ("spec.egress", "-", "to.ipBlock.cidr", "ports.port"),
            "FQDNNetworkPolicy" => ("spec.egress", "matches.name", "-", "ports.port"),
            "EgressFirewall" => ("spec.egress", "to.dnsName", "to.cidrSelector", "ports.port"),
            "ServiceEntry" => ("spec", "hosts", "addresses", "ports.number"),
            "GlobalNetworkPolicy" => {
                ("spec.egress", "destination.domains", "destination.nets", "destination.ports")
            }
            // Antrea's, or that of Kubernetes' network policy group: no path is in both.
            "ClusterNetworkPolicy" => return Self::of_both(),
            _ => ("-", "-", "-", "-"),
        };
        Self { rules, names, blocks, ports }
    }

    fn of_both() -> Self {
        Self {
            rules: "spec.egress",
            names: "to.fqdn|to.domainNames",
            blocks: "to.ipBlock.cidr|to.networks",
            ports: "ports.port|protocols.tcp.destinationPort.number",
        }
    }
}

/// The addresses of Calico's sets, by the selector that means them.
fn sets(objects: &[Value]) -> BTreeMap<String, Vec<String>> {
    let sets = objects.iter().filter(|object| kind(object) == "GlobalNetworkSet");
    sets.map(|set| {
        let label = set["metadata"]["labels"]["acr-allowlist"].as_str().expect("a label");
        (format!("acr-allowlist == '{label}'"), strings(set, "spec.nets"))
    })
    .collect()
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

fn is_antrea(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("crd.antrea.io/"))
}

fn action(rule: &Value) -> &str {
    rule["action"].as_str().or(rule["type"].as_str()).unwrap_or_default()
}

fn size(object: &Value) -> usize {
    object.to_string().len()
}

/// A port as a number or, as Cilium has it, a string.
fn port(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64()?.try_into().ok(),
    }
}

fn strings(value: &Value, paths: &str) -> Vec<String> {
    at(value, paths).into_iter().map(|v| v.as_str().expect("a string").to_owned()).collect()
}

/// Everything at `a.b.c`, in all elements of the lists on the way; of several paths with `|` between, at any.
fn at<'a>(value: &'a Value, paths: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for path in paths.split('|') {
        let mut values = vec![value];
        for key in path.split('.') {
            let below = values.into_iter().filter_map(|value| value.get(key));
            values = below
                .flat_map(|value| match value {
                    Value::Array(list) => list.iter().collect(),
                    single => vec![single],
                })
                .collect();
        }
        found.extend(values);
    }
    found
}

fn ensure(holds: bool, said: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(said()) }
}
