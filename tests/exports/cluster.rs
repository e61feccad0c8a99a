//! Policies of Kubernetes clusters. No cluster runs here: what stands in for it are the schemas that its API server
//! goes by, the rules that its agents add to them, and a reader that says what a policy lets pass.

mod cel;
mod crd;
mod passes;
mod yaml;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use allowlist_gen::export::{self, Error, Format, Options, Scope, Setting};
use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use ringfence_config::registry::Label;
use ringfence_config::{Allowlist, Entry, Issue, Port, Role};
use serde_json::Value;

use crate::consumer::{self, Mutation};
use crate::lists::{self, List};
use crate::matrix;

/// All formats of this family.
const FORMATS: [Format; 10] = [
    Format::Cilium,
    Format::CiliumSni,
    Format::CiliumNode,
    Format::NetworkPolicy,
    Format::ClusterNetworkPolicy,
    Format::Calico,
    Format::Antrea,
    Format::Ovn,
    Format::Istio,
    Format::Gke,
];

const fn change(from: &'static str, to: &'static str) -> Mutation {
    Mutation { from, to }
}

#[test]
fn ciliums_schema_accepts_the_policy() {
    crd::judge_and_record(
        Format::Cilium,
        &[
            change("matchName: contoso.azurecr.io", "matchName: '*.azurecr.io'"),
            change("cidr: 10.20.0.6/32", "cidr: 10.20.0.6/33"),
            change("port: \"443\"", "port: 443"),
            change("toFQDNs", "toFQDN"),
            change("protocol: UDP", "protocol: udp"),
        ],
    );
}

#[test]
fn ciliums_schema_accepts_the_policy_with_server_names() {
    crd::judge_and_record(
        Format::CiliumSni,
        &[
            change(
                "serverNames:
      - contoso.",
                "serverNames:
      - con*oso.",
            ),
            change("serverNames:\n", "serverName:\n"),
            change("matchName: contoso.azurecr.io", "matchName: '*.azurecr.io'"),
            change("port: \"443\"", "port: 443"),
        ],
    );
}

#[test]
fn ciliums_schema_accepts_the_policy_for_nodes() {
    crd::judge_and_record(
        Format::CiliumNode,
        &[
            change("cidr: 10.20.0.6/32", "cidr: 10.20.0.6"),
            change("nodeSelector: {}", "endpointSelector: {}\n  nodeSelector: {}"),
            change("enableDefaultDeny:\n", "enabledDefaultDeny:\n"),
            change("protocol: TCP", "protocol: tcp"),
        ],
    );
}

#[test]
fn the_schema_of_cluster_network_policies_accepts_the_policy() {
    crd::judge_and_record(
        Format::ClusterNetworkPolicy,
        &[
            change("tier: Admin", "tier: admin"),
            change("priority: 500", "priority: 1001"),
            change("- domainNames", "- domainName"),
            change("action: Accept", "action: Allow"),
            change("number: 443", "number: 0"),
            // These only by its rules in CEL.
            change("- 0.0.0.0/0", "- 0.0.0.0/33"),
            change(
                "- tcp:\n        destinationPort:\n          number: 443",
                "- destinationNamedPort: https",
            ),
        ],
    );
}

#[test]
fn calicos_schemas_accept_the_sets_and_the_policy() {
    crd::judge_and_record(
        Format::Calico,
        &[
            change("nets:", "net:"),
            change("action: Allow", "action: Accept"),
            change("- Egress", "- egress"),
            change("name: builds--acr-contoso", "name: builds--ACR-contoso"),
        ],
    );
}

#[test]
fn antreas_schema_accepts_the_policy() {
    crd::judge_and_record(
        Format::Antrea,
        &[
            change("action: Drop", "action: Deny"),
            change("- fqdn:", "- name:"),
            change("priority: 1000", "priority: 0"),
            change("protocol: UDP", "protocol: ANY"),
        ],
    );
}

#[test]
fn the_schema_of_egress_firewalls_accepts_the_firewall() {
    crd::judge_and_record(
        Format::Ovn,
        &[
            change("name: default", "name: acr-allowlist"),
            change("dnsName: contoso", "dnsName: con*oso"),
            change(
                "cidrSelector: 0.0.0.0/0",
                "cidrSelector: 0.0.0.0/0
      dnsName: a.example",
            ),
            change("type: Allow", "type: Accept"),
        ],
    );
}

#[test]
fn istios_schemas_accept_the_entries_and_the_sidecar() {
    crd::judge_and_record(
        Format::Istio,
        &[
            change("location: MESH_EXTERNAL", "location: EXTERNAL"),
            change("mode: REGISTRY_ONLY", "mode: registry_only"),
            change("number: 443", "number: -1"),
            change("exportTo:", "exportsTo:"),
            // These only by their rules in CEL.
            change("hosts:\n  - contoso.azurecr.io", "hosts:\n  - '*'"),
            change("resolution: DNS", "resolution: NONE\n  endpoints: [{ address: a.example }]"),
            change(
                "protocol: TLS",
                "protocol: TLS\n  - number: 443\n    name: again\n    protocol: TLS",
            ),
        ],
    );
}

#[test]
fn gkes_schema_accepts_the_policies() {
    crd::judge_and_record(
        Format::Gke,
        &[
            change("- name: contoso.azurecr.io", "- name: '*.azurecr.io'"),
            change("matches:", "to:"),
            change("port: 443", "port: 65536"),
            change("kind: FQDNNetworkPolicy", "kind: FqdnNetworkPolicy"),
        ],
    );
}

#[test]
fn kubernetes_accepts_network_policies() {
    let Some(python) = consumer::installed("py/bin/python") else { return };
    let version =
        consumer::first_line(Command::new(&python).args([
            "-c",
            "import importlib.metadata as m; print(m.version('kubernetes-validate'))",
        ]));
    let policy = [
        change("cidr: 10.20.0.6/32", "cidrs: 10.20.0.6/32"),
        change("policyTypes:", "policyType:"),
        change("port: 443", "port: true"),
        change("podSelector: {}", "podSelector: []"),
    ];
    let dns = [
        change("podSelector: {}", "podSelector: []"),
        change("policyTypes:", "policyType:"),
        change("k8s-app: kube-dns", "k8s-app: 1"),
    ];
    for (format, mutations) in [(Format::NetworkPolicy, &policy[..]), (Format::Gke, &dns[..])] {
        let judgement =
            consumer::judge(format, mutations, |text| yaml::kubernetes_validate(&python, text));
        matrix::record(format, "kubernetes-validate --strict", &version, judgement);
    }
}

/// These classes are made of Cilium's and Istio's own types, not of their CRDs, and by somebody else.
#[test]
fn the_models_of_cilium_and_istio_accept_the_objects() {
    let node = consumer::installed("py/bin/node");
    let (Some(node), Some(modules)) = (node, consumer::installed("node/node_modules")) else {
        return;
    };
    let mut models = yaml::Models::start(&node, &modules);
    let pods = [
        change("matchName: contoso.azurecr.io", "matchName: '*.azurecr.io'"),
        change("port: \"443\"", "port: 443"),
        change("protocol: UDP", "protocol: udp"),
        change("endpointSelector: {}", "endpointsSelector: {}"),
    ];
    let nodes = [
        change("cidr: 10.20.0.6/32", "cidr: 10.20.0.6/33"),
        change("nodeSelector: {}", "endpointSelector: {}\n  nodeSelector: {}"),
        change("protocol: TCP", "protocol: tcp"),
    ];
    let istio = [
        change("location: MESH_EXTERNAL", "location: EXTERNAL"),
        change("mode: REGISTRY_ONLY", "mode: registry_only"),
        change("number: 443", "number: -1"),
    ];
    for (format, module, mutations) in [
        (Format::Cilium, "cilium", &pods[..]),
        (Format::CiliumSni, "cilium", &pods[..]),
        (Format::CiliumNode, "cilium", &nodes[..]),
        (Format::Istio, "istio", &istio[..]),
    ] {
        let judgement = consumer::judge(format, mutations, |text| models.accept(text));
        let package = modules.join(format!("@kubernetes-models/{module}/package.json"));
        let package = std::fs::read_to_string(package).expect("a package");
        let package: Value = serde_json::from_str(&package).expect("JSON");
        let version = package["version"].as_str().expect("a version");
        matrix::record(format, &format!("@kubernetes-models/{module}"), version, judgement);
    }
}

/// What the schemas don't know and the agents do.
#[test]
fn each_policy_obeys_the_rules_that_no_schema_has() {
    each_export(|format, list, documents| {
        if let Err(said) = passes::check(documents) {
            panic!("{} of {}: {said}", format.name(), list.name);
        }
    });
}

/// … and which they refuse when they are broken.
#[test]
fn the_rules_that_no_schema_has_refuse_what_breaks_them() {
    for (format, from, to) in [
        (Format::Cilium, "  - toFQDNs:", "  - toEntities: [world]\n    toFQDNs:"),
        (Format::Cilium, "- matchName: contoso.eastus", "- matchName: evil.eastus"),
        (Format::CiliumNode, "enableDefaultDeny:\n    egress: false", "enableDefaultDeny: {}"),
        (Format::NetworkPolicy, "port: 53", "port: 54"),
        (Format::ClusterNetworkPolicy, "- 0.0.0.0/0", "- 10.0.0.0/8"),
        (Format::ClusterNetworkPolicy, "action: Pass", "action: Deny"),
        (Format::Calico, "global()", "all()"),
        (Format::Calico, "acr-allowlist == 'builds--acr-contoso'", "has(acr-allowlist)"),
        (Format::Antrea, "action: Drop", "action: Drop\n    ports: []"),
        (Format::Ovn, "cidrSelector: \"::/0\"", "cidrSelector: fd00::/8"),
        (Format::Istio, "protocol: TLS", "protocol: TCP"),
        (Format::Istio, "resolution: DNS", "resolution: NONE"),
        (Format::Gke, "kind: NetworkPolicy", "kind: Sidecar"),
    ] {
        let text = lists::contoso().export(format).expect("the list can be written").text;
        let broken = text.replacen(from, to, 1);
        assert_ne!(text, broken, "`{from}` stands nowhere in\n{text}");
        let documents = yaml::documents(&broken).expect("YAML");
        assert!(passes::check(&documents).is_err(), "`{to}` for `{from}` passes");
    }
}

/// Read back, a policy lets pass what the list says, on the ports that it says, and nothing else.
#[test]
fn each_policy_lets_exactly_the_list_pass() {
    each_export(|format, list, documents| {
        let is_pinned = format.about().scope == Scope::PinnedPorts;
        let expected: BTreeSet<(String, u16)> = list
            .allowlist
            .entries()
            .iter()
            .flat_map(|entry| {
                let targets: Vec<String> = if is_pinned {
                    entry.addresses.iter().map(|pin| pin.block().to_string()).collect()
                } else {
                    vec![entry.host.as_str().to_owned()]
                };
                let ports = entry.ports.iter().map(Port::number).collect::<Vec<_>>();
                targets.into_iter().flat_map(move |target| {
                    ports.clone().into_iter().map(move |port| (target.clone(), port))
                })
            })
            .collect();
        let passing = passes::read(documents);
        let passing = if is_pinned { passing.blocks } else { passing.names };
        assert_eq!(passing, expected, "{} of {}", format.name(), list.name);
    });
}

/// Two thousand hosts of two hundred registries, one in three hundred regions, and a host on sixty ports,
/// which make its group's name longer than any object's may be.
#[test]
fn a_long_list_meets_the_limits() {
    let list = long_list(200);
    for format in FORMATS {
        let export = list.export(format).unwrap_or_else(|error| panic!("{error}"));
        let documents = yaml::documents(&export.text).expect("YAML");
        let verdict = crd::accepts(format, &documents).and_then(|()| passes::check(&documents));
        assert_eq!(verdict, Ok(()), "{}", format.name());
        let passing = passes::read(&documents);
        let found = if format.about().scope == Scope::PinnedPorts {
            passing.blocks.len()
        } else {
            passing.names.len()
        };
        assert_eq!(found, 2000 + 300 + 60, "{}", format.name());
    }
}

#[test]
fn more_than_a_target_takes_is_an_error() {
    let list = long_list(800);
    let error = list.export(Format::Ovn).expect_err("8000 rules are the limit");
    assert!(matches!(error, Error::TooMany { limit: 8000, .. }), "{error}");

    let ports = (1..=257).map(|port| Port::try_from(port).expect("a port")).collect();
    let list = of(vec![entry("a.example", Role::Other, ports)]);
    let error = list.export(Format::Istio).expect_err("256 ports are the limit");
    assert!(matches!(error, Error::TooMany { limit: 256, .. }), "{error}");
}

/// An empty policy would allow everything, or nothing.
#[test]
fn an_empty_list_is_no_policy() {
    for format in FORMATS {
        let error = of(Vec::new()).export(format).expect_err("nothing to write");
        assert!(matches!(error, Error::Empty { .. }), "{error}");
    }
}

/// Policies for pods deny what they don't allow: nobody should cut off a namespace by accident.
#[test]
fn a_policy_for_pods_needs_its_namespace() {
    let list = lists::contoso();
    for format in FORMATS.into_iter().filter(|format| *format != Format::CiliumNode) {
        let options = Options { namespace: None, ..lists::options(format) };
        let export = export::render(format, &list.allowlist, list.issue, &options);
        let error = export.expect_err("it needs a namespace");
        let needs = matches!(error, Error::Needs { setting: Setting::Namespace, .. });
        assert!(needs, "{}: {error}", format.name());
    }
}

/// There is the DNS that all other pods need.
#[test]
fn the_namespace_of_the_clusters_dns_is_an_error() {
    let list = lists::contoso();
    let takes_one = |format: &&Format| format.about().takes.contains(&Setting::Namespace);
    for &format in Format::ALL.iter().filter(takes_one) {
        let namespace = Some("kube-system".parse().expect("a label"));
        let options = Options { namespace, ..lists::options(format) };
        let error = export::render(format, &list.allowlist, list.issue, &options);
        let is_refused =
            matches!(error, Err(Error::Unsuitable { setting: Setting::Namespace, .. }));
        assert!(is_refused, "{}: {error:?}", format.name());
    }
}

/// Cilium allows private addresses beside the names: those of the list, on their ports.
#[test]
fn cilium_lets_exactly_the_private_addresses_pass() {
    for format in [Format::Cilium, Format::CiliumSni] {
        let by_name = |list: &List| passes::read(&written(format, list)).blocks;
        let by_address = |list: &List| passes::read(&written(Format::CiliumNode, list)).blocks;
        for list in [lists::contoso(), lists::written("hostile")] {
            assert_eq!(by_name(&list), by_address(&list), "{} of {}", format.name(), list.name);
        }
    }
}

/// `PyYAML` reads YAML 1.1, in which `no` is false and `1e5` a number: our strings stay strings there, too.
#[test]
fn a_reader_of_yaml_1_1_reads_the_same() {
    let Some(python) = consumer::installed("py/bin/python") else { return };
    let mut texts = Vec::new();
    let mut ours = Vec::new();
    for list in lists::all() {
        for format in FORMATS {
            let Ok(export) = list.export(format) else { continue };
            ours.push(yaml::documents(&export.text).expect("YAML"));
            texts.push(export.text);
        }
    }
    let theirs = yaml::read_by_pyyaml(&python, &texts);
    assert_eq!(theirs.len(), ours.len());
    for ((text, ours), theirs) in texts.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours, theirs, "read otherwise:\n{text}");
    }
}

/// Whatever character a reason has, both readers skip it with its comment: YAML allows only printable ones there.
#[test]
fn no_character_of_a_reason_upsets_a_reader() {
    let Some(python) = consumer::installed("py/bin/python") else { return };
    let characters: Vec<char> = ('\0'..='\u{ffff}').chain('\u{1f300}'..'\u{1f400}').collect();
    // As many as stay in a comment when each is escaped.
    let reasons: Vec<String> = characters.chunks(13).map(|some| some.iter().collect()).collect();
    let entries = |with_reasons: bool| -> Vec<Entry> {
        let hosts = reasons.iter().enumerate().map(|(number, reason)| {
            let mut entry = entry(&format!("a{number}.example"), Role::Other, vec![Port::HTTPS]);
            entry.why = with_reasons.then(|| reason.clone());
            entry
        });
        hosts.collect()
    };
    let read = |list: &List| {
        let text = list.export(Format::Istio).expect("the list can be written").text;
        let theirs = yaml::read_by_pyyaml(&python, std::slice::from_ref(&text)).remove(0);
        assert_eq!(yaml::documents(&text).expect("YAML"), theirs);
        theirs.into_iter().map(|object| object["spec"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(read(&of(entries(true))), read(&of(entries(false))));
}

/// Hosts and ports that look like something else are read as what they are.
#[test]
fn names_that_look_like_numbers_stay_names() {
    let list = lists::written("hostile");
    let documents = written(Format::Cilium, &list);
    let text = documents[0].to_string();
    for string in ["\"1e5.0x1f.example\"", "\"true.example\"", "\"443\"", "\"53\""] {
        assert!(text.contains(string), "{string} in {text}");
    }
}

fn long_list(registries: u16) -> List {
    let https = || vec![Port::HTTPS];
    let data = |registry: &Label, number: u16| {
        let region = format!("region{number}");
        let host = format!("{registry}.{region}.data.azurecr.io");
        entry(&host, Role::Data(registry.clone(), region.parse().expect("a region")), https())
    };
    let mut entries = Vec::new();
    for number in 0..registries {
        let name = format!("registry{number}");
        let label: Label = name.parse().expect("a label");
        entries.push(entry(&format!("{name}.azurecr.io"), Role::Login(label.clone()), https()));
        entries.extend((1..10).map(|number| data(&label, number)));
    }
    let label: Label = "contoso".parse().expect("a label");
    entries.extend((1..=300).map(|number| data(&label, number)));
    let ports = (1001..=1060).map(|port| Port::try_from(port).expect("a port")).collect();
    entries.push(entry("ports.example", Role::Other, ports));
    // Everybody an address of their own.
    for (number, entry) in (0_u32..).zip(&mut entries) {
        let address = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
        entry.addresses = vec![Pin::try_from(address).expect("a private address")];
    }
    of(entries)
}

fn entry(host: &str, role: Role, ports: Vec<Port>) -> Entry {
    let mut entry = Entry::new(host.parse().expect("a host"), role);
    entry.ports = Ports::new(ports).expect("a port");
    entry
}

fn of(entries: Vec<Entry>) -> List {
    let allowlist = Allowlist::new(entries).expect("a list");
    List { name: "made", allowlist, issue: Issue::default() }
}

fn written(format: Format, list: &List) -> Vec<Value> {
    let export = list.export(format).expect("the list can be written");
    yaml::documents(&export.text).expect("YAML")
}

/// Calls `check` with every export of every list, and sees that each format has one at all.
fn each_export(check: impl Fn(Format, &List, &[Value])) {
    for format in FORMATS {
        let mut exports = 0;
        for list in lists::all() {
            let Ok(export) = list.export(format) else { continue };
            check(format, &list, &yaml::documents(&export.text).expect("YAML"));
            exports += 1;
        }
        assert!(exports >= 2, "{}: {exports}", format.name());
    }
}
