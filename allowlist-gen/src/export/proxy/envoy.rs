//! A whole bootstrap file for Envoy as a forward proxy for CONNECT, and what it shares with the one that goes by SNI.
//!
//! Walls, one behind the other: virtual hosts for exactly the listed `host:port`; a second listener that looks for a
//! listed server name (SNI) in the tunnel; filters that refuse storage, whatever else the file is made to allow, and
//! addresses that aren't public or pinned.

use std::collections::BTreeSet;
use std::iter;
use std::net::SocketAddr;

use ipnet::IpNet;
use ringfence_config::{Port, address, guard};
use serde_json::{Map, Value, json};

use super::node::{Node, object};
use crate::export::sheet::{Host, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "envoy.yaml",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client, Setting::Listen, Setting::Resolver],
    needs: &[],
    limits: "",
    notes: &[
        "Envoy compares the `host:port` of CONNECT, in any case; the trailing-dot form, another port and an address \
         are refused. Then it looks into the tunnel for a ClientHello whose server name (SNI) is on the list with \
         that port, and connects to where it finds that name: what begins otherwise is closed, but the name may be \
         another listed one. A second ClientHello isn't looked at. ringfence checks both.",
        VETTING,
        "It reads /etc/hosts before it asks a name server.",
        "Storage domains are refused, but for listed accounts, even if the file is widened by hand. In the tunnel, \
         that, and a forbidden address, ends the connection to the host before a byte is sent on it.",
        "Each request has a line of JSON on stdout, and each tunnel another, at most ten seconds late \
         (`--file-flush-interval-msec`). The fields that ringfence also has carry the same names; `rule` is \
         `not_in_policy` for what isn't listed, and the flag NR says that no client or no server name fits.",
    ],
    apply: "\
envoy --mode validate --config-path envoy.yaml
envoy --config-path envoy.yaml",
    validator: "`envoy --mode validate`, and CONNECT requests to a running Envoy with ClientHellos in them",
    sources: &[
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/network_filters/\
         sni_dynamic_forward_proxy_filter",
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/other_features/internal_listener",
        "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/http/upgrades",
        "https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/rbac/matchers/upstream_ip_port/v3/\
         upstream_ip_port_matcher.proto",
    ],
};

/// What Envoy does about addresses, either way.
pub(super) const VETTING: &str = "\
    The first address that a name resolves to must be public, or private and pinned for that host. If it can't be \
    reached, Envoy tries the name's other addresses, and those it doesn't check; ringfence checks each.";

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let listen = sheet.options.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 3128)));
    let connect = object([
        ("name", "connect".into()),
        ("address", socket_address(listen).into()),
        ("per_connection_buffer_limit_bytes", json!(BUFFER).into()),
        ("access_log", vec![refused_clients(sheet)].into()),
        ("filter_chains", vec![filter_chain(sheet)].into()),
    ]);
    let ports: BTreeSet<Port> = sheet.hosts.iter().flat_map(|host| host.ports.iter()).collect();
    let inside = ports.iter().map(|port| tunnel_listener(sheet, *port));
    let listeners = iter::once(connect).chain(inside).collect();
    let mut clusters = vec![cluster(sheet)];
    clusters.extend(ports.iter().map(|port| tunnel_cluster(*port)));
    let internal = filter(
        "envoy.bootstrap.internal_listener",
        "envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
        [],
    );
    let document = object([
        ("bootstrap_extensions", vec![internal].into()),
        ("static_resources", resources(listeners, clusters)),
    ]);
    Ok(format!("{}\n{}", sheet.header("# "), quote::yaml(&document)))
}

/// Looks into the tunnels to a port: what was asked for with CONNECT is one thing, and what the client says there
/// another. It has no address, and only the cluster of the same name leads to it.
fn tunnel_listener<'s>(sheet: &'s Sheet<'_>, port: Port) -> Node<'s> {
    let hosts = sheet.hosts.iter().filter(|host| host.ports.contains(port));
    let names: Vec<&str> = hosts.map(|host| host.name.as_str()).collect();
    let place = ("internal_listener", json!({}).into());
    tls_listener(sheet, &tunnels_to(port), place, chain_match(&[], &names), port)
}

fn tunnel_cluster(port: Port) -> Value {
    let name = tunnels_to(port);
    let address = json!({ "envoy_internal_address": { "server_listener_name": name } });
    json!({
        "name": name,
        "circuit_breakers": circuit_breakers(),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

fn tunnels_to(port: Port) -> String {
    format!("tls-{port}")
}

/// A listener for TLS that `chain_match` fits, which it carries to `port` of the server name that the client says.
pub(super) fn tls_listener<'s>(
    sheet: &'s Sheet<'_>,
    name: &str,
    place: (&'static str, Node<'s>),
    chain_match: Node<'s>,
    port: Port,
) -> Node<'s> {
    let inspector = filter(
        "envoy.filters.listener.tls_inspector",
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        [],
    );
    let filter_chain = object([
        ("name", "listed".into()),
        ("filter_chain_match", chain_match),
        ("filters", tls_filters(sheet, port).into()),
    ]);
    object([
        ("name", name.to_owned().into()),
        place,
        ("per_connection_buffer_limit_bytes", json!(BUFFER).into()),
        ("listener_filters_timeout", "5s".into()),
        ("listener_filters", vec![inspector].into()),
        ("access_log", vec![json_log(sheet, name, &TLS_FIELDS)].into()),
        ("filter_chains", vec![filter_chain].into()),
    ])
}

fn tls_filters<'s>(sheet: &'s Sheet<'_>, port: Port) -> Vec<Node<'s>> {
    let rbac = |name: &'static str, reason, permission| {
        let config = [("stat_prefix", name.into()), ("rules", deny(reason, permission))];
        filter(name, "envoy.extensions.filters.network.rbac.v3.RBAC", config)
    };
    let names = filter(
        "envoy.filters.network.sni_dynamic_forward_proxy",
        "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
        [
            ("port_value", json!(port.number()).into()),
            ("save_upstream_address", json!(true).into()),
            ("dns_cache_config", dns_cache(sheet).into()),
        ],
    );
    let tcp_proxy = filter(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        [("stat_prefix", CLUSTER.into()), ("cluster", CLUSTER.into())],
    );
    vec![
        rbac("storage", "storage_forbidden", storage(sheet, Names::Sni)),
        names,
        rbac("addresses", "address_forbidden", addresses(sheet)),
        tcp_proxy,
    ]
}

pub(super) fn resources(listeners: Vec<Node<'_>>, clusters: Vec<Value>) -> Node<'_> {
    object([("listeners", listeners.into()), ("clusters", clusters.into())])
}

fn filter_chain<'s>(sheet: &'s Sheet<'_>) -> Node<'s> {
    let router = "envoy.extensions.filters.http.router.v3.Router";
    let http_filters = vec![
        http_rbac("storage", "storage_forbidden", storage(sheet, Names::Authority)),
        filter("envoy.filters.http.router", router, []),
    ];
    let manager = [
        ("stat_prefix", "connect".into()),
        ("codec_type", "HTTP1".into()),
        // Or a header of the client's would say who it is.
        ("use_remote_address", json!(true).into()),
        ("request_headers_timeout", "10s".into()),
        ("access_log", vec![json_log(sheet, "connect", &REQUEST_FIELDS)].into()),
        ("http_filters", http_filters.into()),
        ("route_config", object([("virtual_hosts", virtual_hosts(sheet).into())])),
    ];
    let manager = filter(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        manager,
    );
    object([
        ("name", "clients".into()),
        ("filter_chain_match", chain_match(&sheet.options.clients, &[])),
        ("filters", vec![manager].into()),
    ])
}

/// One for each port of a registry, with its hosts; the last one is for everything else.
fn virtual_hosts(sheet: &Sheet<'_>) -> Vec<Node<'static>> {
    let mut virtual_hosts = Vec::new();
    for group in sheet.groups() {
        for port in group.ports.iter() {
            let domains: Vec<String> =
                group.hosts.iter().map(|host| authority(host, port)).collect();
            let routes = json!([{
                "name": group.name,
                "match": { "connect_matcher": {} },
                "route": {
                    "cluster": tunnels_to(port),
                    // Of a whole request, which a tunnel is.
                    "timeout": "0s",
                    "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }],
                },
            }]);
            virtual_hosts.push(object([
                ("name", format!("{}:{port}", group.name).into()),
                ("domains", domains.into()),
                ("routes", routes.into()),
            ]));
        }
    }
    let refusal =
        |status: u16, body: &str| json!({ "status": status, "body": { "inline_string": body } });
    let refused = json!({
        "name": "not_in_policy",
        "domains": ["*"],
        "routes": [
            {
                "name": "not_in_policy",
                "match": { "connect_matcher": {} },
                "direct_response": refusal(403, "the host and port are not on the allowlist\n"),
            },
            {
                "name": "method_not_allowed",
                "match": { "prefix": "/" },
                "direct_response": refusal(405, "only CONNECT is served here\n"),
            },
        ],
    });
    virtual_hosts.push(refused.into());
    virtual_hosts
}

/// `host:port`, as a client writes it.
fn authority(host: &Host<'_>, port: Port) -> String {
    format!("{}:{port}", host.name)
}

/// By what a filter recognises a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The target of CONNECT, with its port.
    Authority,
    /// The server name in the ClientHello, which Envoy has in lower case.
    Sni,
}

impl Names {
    /// Permissions, one of which fits `host`.
    fn of<'s>(self, host: &'s Host<'_>) -> Vec<Node<'s>> {
        match self {
            Self::Authority => host
                .ports
                .iter()
                .map(|port| {
                    let is = json!({ "exact": authority(host, port), "ignore_case": true });
                    json!({ "header": { "name": ":authority", "string_match": is } }).into()
                })
                .collect(),
            Self::Sni => {
                let is = object([("exact", host.name.as_str().into())]);
                vec![object([("requested_server_name", is)])]
            }
        }
    }

    /// A permission that fits these domains and all below, on any port: those called `labels`, in `parent`.
    fn below(self, labels: &[&str], parent: &str) -> Value {
        let domain = format!("({})\\.{}", labels.join("|"), parent.replace('.', "\\."));
        match self {
            Self::Authority => {
                let regex = format!("(?i)(.*\\.)?{domain}\\.?(:.*)?");
                json!({ "header": { "name": ":authority", "string_match": { "safe_regex": { "regex": regex } } } })
            }
            Self::Sni => {
                let regex = format!("(.*\\.)?{domain}\\.?");
                json!({ "requested_server_name": { "safe_regex": { "regex": regex } } })
            }
        }
    }
}

/// Fits storage of any cloud, but for listed accounts.
fn storage<'s>(sheet: &'s Sheet<'_>, names: Names) -> Node<'s> {
    let domains = guard::storage_domains();
    let domains: Vec<(&str, &str)> =
        domains.map(|domain| domain.split_once('.').expect("it is below another")).collect();
    let regexes = domains
        .chunk_by(|(_, parent), (_, next)| parent == next)
        .flat_map(|siblings| siblings.chunks(MOST_LABELS))
        .map(|siblings| {
            let labels: Vec<&str> = siblings.iter().map(|(label, _)| *label).collect();
            names.below(&labels, siblings[0].1).into()
        })
        .collect();
    let own = sheet
        .hosts
        .iter()
        .filter(|host| host.is_account())
        .flat_map(|host| names.of(host))
        .collect();
    but_for(any_of(regexes), own)
}

/// Fits connections whose host was found at an address that it may not have.
fn addresses<'s>(sheet: &'s Sheet<'_>) -> Node<'s> {
    let pins: Vec<Node<'_>> = sheet
        .hosts
        .iter()
        .filter(|host| !host.addresses.is_empty())
        .map(|host| {
            let pins = host.addresses.iter().map(|pin| found_at(pin.block())).collect();
            all_of(vec![any_of(Names::Sni.of(host)), any_of(pins)])
        })
        .collect();
    let forbidden = address::forbidden_blocks().map(found_at).collect();
    let private = any_of(address::pinnable_blocks().map(found_at).collect());
    any_of(vec![any_of(forbidden), but_for(private, pins)])
}

fn found_at(block: IpNet) -> Node<'static> {
    let matcher = filter(
        "envoy.rbac.matchers.upstream_ip_port",
        "envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher",
        [("upstream_ip", cidr(block))],
    );
    object([("matcher", matcher)])
}

/// Fits what one of `rules`, of which there is one, fits.
fn any_of(rules: Vec<Node<'_>>) -> Node<'_> {
    combine("or_rules", rules)
}

/// Fits what each of `rules` fits.
fn all_of(rules: Vec<Node<'_>>) -> Node<'_> {
    combine("and_rules", rules)
}

fn combine<'s>(how: &'static str, mut rules: Vec<Node<'s>>) -> Node<'s> {
    match rules.len() {
        1 => rules.remove(0),
        _ => object([(how, object([("rules", rules.into())]))]),
    }
}

/// `rule`, unless one of `exceptions` fits.
fn but_for<'s>(rule: Node<'s>, exceptions: Vec<Node<'s>>) -> Node<'s> {
    if exceptions.is_empty() {
        rule
    } else {
        all_of(vec![rule, object([("not_rule", any_of(exceptions))])])
    }
}

/// A filter that refuses what `permission` fits, and calls that `reason` in the log.
fn http_rbac<'s>(name: &'static str, reason: &'static str, permission: Node<'s>) -> Node<'s> {
    let config = [("rules", deny(reason, permission))];
    filter(name, "envoy.extensions.filters.http.rbac.v3.RBAC", config)
}

/// The rules of such a filter.
fn deny<'s>(reason: &'static str, permission: Node<'s>) -> Node<'s> {
    let policy = object([
        ("permissions", vec![permission].into()),
        ("principals", json!([{ "any": true }]).into()),
    ]);
    object([("action", "DENY".into()), ("policies", object([(reason, policy)]))])
}

/// The cluster that the names are in, once they are found.
pub(super) fn cluster(sheet: &Sheet<'_>) -> Value {
    json!({
        "name": CLUSTER,
        "connect_timeout": "10s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": circuit_breakers(),
        "cluster_type": filter(
            "envoy.clusters.dynamic_forward_proxy",
            "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            [("dns_cache_config", dns_cache(sheet).into())],
        ),
    })
}

/// Envoy's own limit is 1024 of each.
fn circuit_breakers() -> Value {
    json!({ "thresholds": [{
        "max_connections": TUNNELS, "max_pending_requests": TUNNELS, "max_requests": TUNNELS,
    }] })
}

/// How names are found. Envoy wants it the same in each place.
fn dns_cache(sheet: &Sheet<'_>) -> Value {
    // A listed name is a whole one.
    let whole = ("dns_resolver_options", json!({ "no_default_search_domain": true }).into());
    let servers = sheet.options.resolver.iter();
    let servers = servers.map(|server| ("resolvers", json!([socket_address(*server)]).into()));
    let targets: usize = sheet.hosts.iter().map(|host| host.ports.iter().count()).sum();
    json!({
        "name": CLUSTER,
        "dns_lookup_family": "V4_PREFERRED",
        // Envoy's own limit is 1024.
        "max_hosts": 1024 + targets,
        "typed_dns_resolver_config": filter(
            "envoy.network.dns_resolver.cares",
            "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            iter::once(whole).chain(servers),
        ),
    })
}

/// Which connections a chain of filters is for: those of the clients, and of TLS those with one of these names.
pub(super) fn chain_match<'s>(clients: &[IpNet], server_names: &[&'s str]) -> Node<'s> {
    let mut chain = Vec::new();
    if !server_names.is_empty() {
        chain.push(("transport_protocol", "tls".into()));
        chain.push(("server_names", server_names.iter().copied().collect()));
    }
    if !clients.is_empty() {
        let clients: BTreeSet<IpNet> = clients.iter().map(IpNet::trunc).collect();
        chain.push(("source_prefix_ranges", clients.into_iter().map(cidr).collect()));
    }
    Node::Object(chain)
}

/// A log of connections that no chain of filters is for.
fn refused_clients(sheet: &Sheet<'_>) -> Value {
    let mut log = json!(json_log(sheet, "connect", &[]));
    log["filter"] = json!({ "response_flag_filter": { "flags": ["NR"] } });
    log
}

/// A log in the words of ringfence's: of each connection to a listener, and these fields of it beside.
fn json_log(sheet: &Sheet<'_>, listener: &str, fields: &[(&str, &str)]) -> Node<'static> {
    let mut format = Map::new();
    for (name, value) in CONNECTION_FIELDS.iter().chain(fields) {
        format.insert((*name).to_owned(), (*value).into());
    }
    format.insert("listener".into(), listener.into());
    format.insert("ms".into(), json!({ "total": "%DURATION%" }));
    format.insert("allowlist".into(), sheet.hash().into());
    let log_format = json!({ "json_format": format, "omit_empty_values": true });
    filter(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        [("log_format", log_format.into())],
    )
}

/// An extension of Envoy's with its configuration, whose type it is known by.
fn filter<'s>(
    name: &'static str,
    kind: &str,
    config: impl IntoIterator<Item = (&'static str, Node<'s>)>,
) -> Node<'s> {
    let kind = ("@type", format!("type.googleapis.com/{kind}").into());
    let typed = iter::once(kind).chain(config).collect();
    object([("name", name.into()), ("typed_config", Node::Object(typed))])
}

pub(super) fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn cidr(block: IpNet) -> Node<'static> {
    object([
        ("address_prefix", block.network().to_string().into()),
        ("prefix_len", json!(block.prefix_len()).into()),
    ])
}

const CLUSTER: &str = "hosts";
const BUFFER: u32 = 32_768;
/// In one expression. What Envoy compiles it to has at most 100 instructions, about one for each character:
/// <https://www.envoyproxy.io/docs/envoy/latest/api-v3/type/matcher/v3/regex.proto>
const MOST_LABELS: usize = 4;
const TUNNELS: u32 = 10_000;

/// <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>
const CONNECTION_FIELDS: [(&str, &str); 8] = [
    ("time", "%START_TIME%"),
    ("id", "%CONNECTION_ID%"),
    ("client", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("detail", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("address", "%UPSTREAM_REMOTE_ADDRESS%"),
    ("sent", "%BYTES_RECEIVED%"),
    ("received", "%BYTES_SENT%"),
];
const REQUEST_FIELDS: [(&str, &str); 5] = [
    ("method", "%REQ(:METHOD)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("rule", "%ROUTE_NAME%"),
    ("status", "%RESPONSE_CODE%"),
    ("reason", "%RESPONSE_CODE_DETAILS%"),
];
const TLS_FIELDS: [(&str, &str); 2] =
    [("sni", "%REQUESTED_SERVER_NAME%"), ("reason", "%CONNECTION_TERMINATION_DETAILS%")];
